//! Fuzzing with the one stable toolchain: libFuzzer's own coverage, no nightly, no cargo-fuzz (fuzz/README.md).

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::repo;

/// What libFuzzer needs of the code under test: edges and comparisons counted, one unit so that names stay stable.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// Named, so that the flags reach our code and its dependencies but no build script.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// An input that needs more is a finding too.
const LIMITS: [&str; 5] =
    ["-rss_limit_mb=1024", "-timeout=10", "-max_len=65536", "-verbosity=0", "-print_final_stats=1"];

pub fn run(args: &[&str]) -> Result<()> {
    let (targets, seconds) = parse(args)?;
    let targets = if targets.is_empty() { all_targets()? } else { targets };
    for target in targets {
        println!("\n── {target}: {seconds} s");
        fuzz(&target, seconds).with_context(|| {
            format!("`{target}` failed\nhint: repeat it with `cargo xtask fuzz {target}`; the input is in fuzz/artifacts")
        })?;
    }
    Ok(())
}

fn parse(args: &[&str]) -> Result<(Vec<String>, u32)> {
    match args {
        [] => Ok((Vec::new(), 60)),
        ["--seconds", seconds, rest @ ..] => {
            let (targets, _) = parse(rest)?;
            Ok((targets, seconds.parse().with_context(|| format!("not a number of seconds: `{seconds}`"))?))
        }
        [target, rest @ ..] if !target.starts_with('-') => {
            let (mut targets, seconds) = parse(rest)?;
            targets.insert(0, (*target).to_owned());
            Ok((targets, seconds))
        }
        [other, ..] => bail!("no such option: `{other}`"),
    }
}

fn all_targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(repo::root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if let (Some(stem), Some("rs")) = (path.file_stem(), path.extension().and_then(|it| it.to_str())) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn fuzz(target: &str, seconds: u32) -> Result<()> {
    let folder = repo::root().join("fuzz");
    let corpus = folder.join("corpus").join(target);
    let artifacts = folder.join("artifacts").join(target);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let words = folder.join("corpus").join(format!("{target}.dict"));
    std::fs::write(&words, dictionary(target)?)?;
    let mut command = repo::command(
        &repo::cargo(),
        &["run", "--quiet", "--release", "--bin", target, "--target", PLATFORM],
    );
    command.arg("--").arg(&corpus);
    let seeds = folder.join("seeds").join(target);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    let status = command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-dict={}", words.display()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(LIMITS)
        .env("RUSTFLAGS", RUSTFLAGS)
        .current_dir(&folder)
        .status()
        .context("cannot run `cargo`")?;
    if !status.success() {
        bail!("the fuzzer ended with {status}");
    }
    Ok(())
}

/// What a parser compares its input with stands in its crate's source as literals: libFuzzer puts them into inputs.
fn dictionary(target: &str) -> Result<String> {
    let tree = repo::Tree::read()?;
    let krate = tree
        .files
        .iter()
        .filter_map(|(path, text)| Some((properties_crate(path)?, text)))
        .find(|(_, text)| properties(text).any(|name| name == target))
        .map(|(krate, _)| format!("crates/{krate}/src/"))
        .with_context(|| format!("no `fuzzing.rs` has a property `{target}`"))?;
    let sources = tree.with_extension("rs").filter(|(path, _)| path.starts_with(&krate));
    let words: BTreeSet<&str> = sources.flat_map(|(_, text)| literals(text)).collect();
    Ok(words.into_iter().map(|word| format!("\"{word}\"\n")).collect())
}

/// The crate whose properties this file holds.
pub fn properties_crate(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.strip_suffix("/src/fuzzing.rs")
}

/// The names of the properties in a `fuzzing.rs`.
pub fn properties(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("pub fn ")?.strip_suffix("(bytes: &[u8]) {"))
}

/// Short plain strings in quotes.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).filter(|word| {
        (2..=40).contains(&word.len())
            && word.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"\\{".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_the_fuzzer() {
        let words: Vec<&str> = literals("f(\"tool_use\", \"x\", \"a\\n\");\n\"{fmt}\" \"id name\"").collect();
        assert_eq!(words, ["tool_use", "id name"]);
        assert_eq!(properties("pub fn a(bytes: &[u8]) {\nfn b(bytes: &[u8]) {\n").collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn arguments() {
        assert_eq!(parse(&[]).unwrap(), (vec![], 60));
        assert_eq!(parse(&["a", "--seconds", "5", "b"]).unwrap(), (vec!["a".to_owned(), "b".to_owned()], 5));
        assert!(parse(&["--x"]).is_err());
        assert!(parse(&["--seconds", "many"]).is_err());
    }
}
