//! The committed object of the probes against its source: it must be what clang makes of it.
//!
//! Without clang, only the checksums in muster.bpf.built are compared: they say that the object was built from this source,
//! if whoever committed it told the truth. With the same clang and headers as then, every instruction is compared; with
//! others, what no version of the compiler may change.

mod btf;
mod elf;
mod form;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::repo;

/// Folder and name of each object.
const OBJECTS: [(&str, &str); 2] = [("crates/sensor/bpf", "muster"), ("crates/sensor/bpf/cut", "cut")];
const HINT: &str = "hint: the `build.sh` beside it builds it anew";
/// The oldest that makes a good object (Debian 12's), and the newest that is looked for.
const OLDEST: u32 = 14;
const NEWEST: u32 = 40;

struct Clang {
    name: String,
    strip: String,
    /// The first line of `--version`: two builds of one version may differ.
    version: String,
}

pub fn run() -> Result<()> {
    OBJECTS.iter().try_for_each(|(folder, name)| check(&repo::root().join(folder), name))
}

fn check(folder: &Path, name: &str) -> Result<()> {
    let noted = notes(&folder.join(format!("{name}.bpf.built")))?;
    let script = folder.join("build.sh").to_string_lossy().into_owned();
    let sums = parse(&repo::output("sh", &[&script, "--sums"])?);
    for what in ["sources", "object"] {
        if noted.get(what) != sums.get(what) {
            bail!("the {what} of {name}.bpf.o changed since it was built\n{HINT}");
        }
    }
    let Some(clang) = choose(noted.get("clang").map_or("", String::as_str)) else {
        println!(
            "skipped: there is no clang {OLDEST} or later with its llvm-strip to rebuild the probes with"
        );
        return Ok(());
    };
    if !has_headers(&clang, &folder.join(format!("{name}.bpf.c"))) {
        println!("skipped: there are no headers of libbpf (libbpf-dev) to rebuild the probes with");
        return Ok(());
    }

    let target = repo::target().join("probes");
    std::fs::create_dir_all(&target)?;
    let output = target.join(format!("{name}.bpf.o"));
    let built = repo::command("sh", &[&script, &output.to_string_lossy()])
        .env("CLANG", &clang.name)
        .env("LLVM_STRIP", &clang.strip)
        .output()?;
    if !built.status.success() {
        bail!(
            "{} does not compile the probes:\n{}",
            clang.name,
            String::from_utf8_lossy(&built.stderr).trim()
        );
    }
    let fresh = notes(&target.join(format!("{name}.bpf.built")))?;
    let same = ["clang", "headers"].iter().all(|it| noted.get(*it) == fresh.get(*it));
    compare(name, &std::fs::read(folder.join(format!("{name}.bpf.o")))?, &std::fs::read(&output)?, same)?;
    let compared = if same { "every instruction" } else { "programs, calls, maps, fields and types" };
    println!("{name}.bpf.o is what its source makes (rebuilt with {}; compared: {compared})", clang.version);
    if !same {
        println!("it was built with {}, or other headers", noted.get("clang").map_or("?", String::as_str));
    }
    Ok(())
}

fn compare(name: &str, committed: &[u8], built: &[u8], same_compiler: bool) -> Result<()> {
    let read = |form: fn(&[u8]) -> Option<form::Form>| {
        let committed = form(committed).with_context(|| format!("{name}.bpf.o cannot be read"))?;
        Ok::<_, anyhow::Error>((committed, form(built).context("what clang made cannot be read")?))
    };
    let (old, new) = read(form::meaning)?;
    let mut difference = form::difference(&old, &new);
    if same_compiler && difference.is_none() {
        let (old, new) = read(form::bytes)?;
        difference = form::difference(&old, &new);
    }
    if let Some(difference) = difference {
        bail!("{name}.bpf.o is not what its source makes: {difference}\n{HINT}");
    }
    Ok(())
}

fn notes(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The clang that built the object, if it is here; else the newest.
fn choose(wanted: &str) -> Option<Clang> {
    let suffixes = std::iter::once(String::new()).chain((OLDEST..=NEWEST).rev().map(|it| format!("-{it}")));
    let found: Vec<Clang> = suffixes
        .filter_map(|suffix| {
            let name = format!("clang{suffix}");
            let version = first_line(&name)?;
            (major(&version)? >= OLDEST).then_some(())?;
            // Any llvm-strip does: it only takes sections away.
            let strip = [format!("llvm-strip{suffix}"), "llvm-strip".to_owned()]
                .into_iter()
                .find(|it| first_line(it).is_some())?;
            Some(Clang { name, strip, version })
        })
        .collect();
    let at = found.iter().position(|it| it.version == wanted).or_else(|| {
        let newest = found.iter().enumerate().max_by_key(|(_, it)| major(&it.version))?;
        Some(newest.0)
    })?;
    found.into_iter().nth(at)
}

fn first_line(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().map(str::to_owned)).flatten()
}

/// `Debian clang version 14.0.6` → 14
fn major(version: &str) -> Option<u32> {
    version.split("version ").nth(1)?.split('.').next()?.parse().ok()
}

fn has_headers(clang: &Clang, source: &Path) -> bool {
    let output = repo::command(&clang.name, &["-target", "bpf", "-M", &source.to_string_lossy()]).output();
    // Any other trouble with the source is for the build to tell.
    output.is_ok_and(|it| !String::from_utf8_lossy(&it.stderr).contains("'bpf/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(major("Debian clang version 14.0.6"), Some(14));
        assert_eq!(major("Ubuntu clang version 18.1.3 (1ubuntu1)"), Some(18));
        assert_eq!(major("bash: no such thing"), None);
    }

    #[test]
    fn notes_are_lines_of_name_and_value() {
        let notes = parse("clang: Debian clang version 14.0.6\nsources: ab\nnonsense\n");
        assert_eq!(notes["clang"], "Debian clang version 14.0.6");
        assert_eq!(notes.len(), 2);
    }
}
