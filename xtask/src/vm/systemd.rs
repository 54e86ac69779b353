//! A guest whose first process is systemd, with cron, at and D-Bus, out of the files of this machine's own packages: Muster runs
//! there as the service that it ships, and musters out what agents planted with each of these (tests/vm/systemd).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::image::{busybox, libraries_of, read};
use crate::repo;

/// What is in the guest, with all that these need.
const PACKAGES: &[&str] = &[
    "at",
    "base-files",
    "bash",
    "coreutils",
    "cron",
    "dash",
    "dbus",
    "dbus-user-session",
    "findutils",
    "grep",
    "libc-bin",
    "libpam-modules",
    "libpam-runtime",
    "libpam-systemd",
    "login",
    "mount",
    "passwd",
    "procps",
    "sed",
    "systemd",
    "systemd-sysv",
    "tmux",
    "util-linux",
];
/// Of the packages; the rest says nothing to a machine.
const LEFT_OUT: &[&str] = &[
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/locale",
    "/usr/share/lintian",
    "/usr/share/info",
    "/usr/share/perl",
    "/usr/share/zoneinfo",
    "/usr/share/i18n",
    "/usr/lib/x86_64-linux-gnu/perl",
    "/usr/lib/x86_64-linux-gnu/gconv",
    "/usr/lib/udev/hwdb",
];
const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];
const FOLDERS: &[&str] =
    &["dev", "home/ann", "proc", "root", "run", "sys", "tmp", "var/lib/systemd/linger", "var/log", "var/tmp"];
/// Nothing there has devices, a network or a screen.
const MASKED: &[&str] = &[
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "getty@.service",
    "serial-getty@.service",
    "console-getty.service",
];
const WANTED: &[&str] = &["atd", "cron", "muster", "proof"];
const PROOF: &str = "[Unit]\nAfter=muster.service cron.service atd.service systemd-user-sessions.service\n[Service]\nType=exec\n\
    ExecStart=/usr/local/bin/proof\nStandardOutput=file:/dev/ttyS0\nStandardError=inherit\n";
const USERS: &str = "ann:x:4242:4242::/home/ann:/bin/bash\n";
const GROUPS: &str = "ann:x:4242:\n";

/// The packages that this machine lacks.
pub fn missing() -> Vec<&'static str> {
    let is_there = |package: &&&str| {
        repo::output("dpkg-query", &["-W", "-f", "${db:Status-Status}", package])
            .is_ok_and(|it| it == "installed")
    };
    PACKAGES.iter().filter(|package| !is_there(package)).copied().collect()
}

pub fn image(muster: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for (name, target) in LINKS {
        archive.link(name, target);
    }
    for folder in FOLDERS {
        archive.folder(folder);
    }
    for path in files()? {
        // As dpkg lists them, some are in folders that are links now.
        let inside = path.trim_start_matches('/');
        let is_moved = LINKS.iter().any(|(name, _)| inside.split('/').next() == Some(name));
        let inside = if is_moved { format!("usr/{inside}") } else { inside.to_owned() };
        match std::fs::read_link(&path) {
            Ok(target) => archive.link(&inside, &target.to_string_lossy()),
            Err(_) => archive.file(&inside, &read(Path::new(&path))?),
        }
    }
    for library in libraries_of(muster)? {
        archive.file(
            &format!("usr/{}", library.trim_start_matches("/usr").trim_start_matches('/')),
            &read(Path::new(&library))?,
        );
    }
    archive.file("usr/local/bin/muster", &read(muster)?);
    let own = repo::root().join("tests/vm/systemd");
    archive.file("usr/local/bin/proof", &read(&own.join("proof"))?);
    archive.file("init", &read(&own.join("init"))?);
    archive.file("usr/bin/busybox", &read(&busybox()?)?);
    configure(&mut archive)?;
    Ok(archive.finish())
}

fn configure(archive: &mut Archive) -> Result<()> {
    let units = "etc/systemd/system";
    archive.file(&format!("{units}/muster.service"), &read(&repo::root().join("systemd/muster.service"))?);
    archive.file(&format!("{units}/proof.service"), PROOF.as_bytes());
    for name in WANTED {
        let own = matches!(*name, "muster" | "proof");
        let folder = if own { "/etc/systemd/system" } else { "/lib/systemd/system" };
        archive.link(
            &format!("{units}/multi-user.target.wants/{name}.service"),
            &format!("{folder}/{name}.service"),
        );
    }
    for name in MASKED {
        archive.link(&format!("{units}/{name}"), "/dev/null");
    }
    archive.link(&format!("{units}/default.target"), "/lib/systemd/system/multi-user.target");
    archive.file("var/lib/systemd/linger/ann", b"");
    archive.file("etc/machine-id", b"");
    archive.file("etc/hostname", b"guest\n");
    archive.file("etc/hosts", b"127.0.0.1 localhost\n");
    // The system's users, and one person.
    let system = |file: &str, more: &str| -> Result<String> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{file}`"))?;
        let is_system = |line: &&str| {
            line.split(':').nth(2).is_some_and(|id| id.parse::<u32>().is_ok_and(|id| id < 1000))
        };
        Ok(text.lines().filter(is_system).map(|line| format!("{line}\n")).collect::<String>() + more)
    };
    archive.file("etc/passwd", system("/etc/passwd", USERS)?.as_bytes());
    archive.file("etc/group", system("/etc/group", GROUPS)?.as_bytes());
    archive.file("etc/shadow", b"root:*:20000:0:99999:7:::\nann:*:20000:0:99999:7:::\n");
    archive.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nshadow: files\nhosts: files\n");
    for name in [
        "common-account",
        "common-auth",
        "common-password",
        "common-session",
        "common-session-noninteractive",
    ] {
        archive.file(&format!("etc/pam.d/{name}"), &read(&PathBuf::from("/etc/pam.d").join(name))?);
    }
    Ok(())
}

/// The files of the packages and of all that they depend on.
fn files() -> Result<BTreeSet<String>> {
    let options =
        ["--recurse", "--installed", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"];
    let more = ["--no-replaces", "--no-enhances"];
    let depends = repo::output("apt-cache", &[&["depends"], &options[..], &more[..], PACKAGES].concat())?;
    let names: BTreeSet<&str> =
        depends.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric())).collect();
    let mut files = BTreeSet::new();
    for name in names {
        // Names that others provide are no packages.
        let listed = repo::command("dpkg", &["-L", name]).output().context("cannot run `dpkg`")?;
        for path in String::from_utf8_lossy(&listed.stdout).lines() {
            let is_wanted = path.starts_with('/') && LEFT_OUT.iter().all(|it| !path.starts_with(it));
            if is_wanted && std::fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_dir()) {
                files.insert(path.to_owned());
            }
        }
    }
    if files.is_empty() {
        bail!("apt and dpkg tell of no files");
    }
    Ok(files)
}

/// The program without what only a debugger reads: the guest holds all of it in memory.
pub fn program(folder: &Path) -> Result<PathBuf> {
    repo::output(&repo::cargo(), &["build", "--locked", "--package", "muster-cli", "--bin", "muster"])
        .context("muster does not build")?;
    let (from, to) = (repo::target().join("debug/muster"), folder.join("muster"));
    repo::output("strip", &["-o", &to.to_string_lossy(), &from.to_string_lossy()])?;
    Ok(to)
}
