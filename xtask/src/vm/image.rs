//! What a guest boots into: busybox, the programs under test with their libraries, and tests/vm/init.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use crate::repo;

/// Where the kernel, busybox and the tests expect to find folders.
const FOLDERS: &[&str] = &["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var/lib"];

pub fn initramfs(programs: &[PathBuf]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder);
    }
    archive.file("init", &read(&repo::root().join("tests/vm/init"))?);
    archive.file("bin/busybox", &read(&busybox()?)?);
    for applet in repo::output("busybox", &["--list"])?.lines().filter(|applet| *applet != "busybox") {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
    archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n");
    // Nobody's passwords: their names are what the tests read. init takes them from others' sight.
    archive.file("etc/shadow", b"root:*:20000:0:99999:7:::\n");
    archive.file("etc/gshadow", b"root:*::\n");
    archive.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n");

    let mut libraries = BTreeSet::new();
    for (number, program) in programs.iter().enumerate() {
        let name = program.file_name().context("a program without a name")?.to_string_lossy();
        // cargo's hash after the last hyphen says nothing to a reader.
        let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
        archive.file(&format!("payload/{number}-{name}"), &read(program)?);
        libraries.extend(libraries_of(program)?);
    }
    for library in libraries {
        archive.file(&library, &read(Path::new(&library))?);
    }
    Ok(archive.finish())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

pub(super) fn busybox() -> Result<PathBuf> {
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("busybox")).find(|it| it.is_file())
    });
    let path = found.context("`busybox` is not installed")?;
    if !libraries_of(&path)?.is_empty() {
        bail!("`{}` needs shared libraries\nhint: apt-get install busybox-static", path.display());
    }
    Ok(path)
}

/// The shared libraries of a program and its loader, by absolute path.
pub(super) fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let output = repo::command("ldd", &[&program.to_string_lossy()]).output().context("cannot run `ldd`")?;
    // ldd fails on a static program, which then needs nothing.
    Ok(libraries(&String::from_utf8_lossy(&output.stdout)))
}

fn libraries(ldd: &str) -> Vec<String> {
    ldd.lines()
        .filter_map(|line| {
            let after = line.split_once("=>").map_or(line, |(_, after)| after);
            let path = after.split_whitespace().next()?;
            path.starts_with('/').then(|| path.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints() {
        let dynamic =
            "\tlinux-vdso.so.1 (0x7ff)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(libraries(dynamic), ["/lib/x/libc.so.6", "/lib64/ld.so.2"]);
        assert!(libraries("\tstatically linked\n").is_empty());
    }
}
