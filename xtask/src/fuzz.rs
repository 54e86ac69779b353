//! Fuzzing with the one stable toolchain: libFuzzer's own coverage, no nightly, no cargo-fuzz (fuzz/README.md).

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
    let status = repo::command(
        &repo::cargo(),
        &["run", "--quiet", "--release", "--bin", target, "--target", PLATFORM],
    )
    .arg("--")
    .arg(&corpus)
    .arg(format!("-max_total_time={seconds}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        assert_eq!(parse(&[]).unwrap(), (vec![], 60));
        assert_eq!(parse(&["a", "--seconds", "5", "b"]).unwrap(), (vec!["a".to_owned(), "b".to_owned()], 5));
        assert!(parse(&["--x"]).is_err());
        assert!(parse(&["--seconds", "many"]).is_err());
    }
}
