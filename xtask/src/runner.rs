//! Runs the tests; what was skipped is told, and the runner's own summary ends the output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::repo;

/// nextest where it is installed (several test binaries at once, kernel tests one by one: .config/nextest.toml);
/// else `cargo test`, one test at a time, because it cannot tell kernel tests from others, with what they print.
pub fn run() -> Result<()> {
    let nextest = Command::new(repo::cargo()).args(["nextest", "--version"]).output();
    if nextest.is_ok_and(|output| output.status.success()) {
        return with_nextest();
    }
    println!("\ncargo-nextest is not installed: `cargo test` instead, one test at a time");
    let own = ["test", "--workspace", "--lib", "--bins", "--tests", "--locked", "--no-fail-fast", "--"];
    repo::succeed(&repo::cargo(), &[&own[..], &["--test-threads=1", "--show-output"]].concat())
}

fn with_nextest() -> Result<()> {
    let junit = repo::target().join("nextest/ci/junit.xml");
    drop(std::fs::remove_file(&junit));
    let args = ["nextest", "run", "--workspace", "--locked", "--profile", "ci"];
    let mut child = repo::command(&repo::cargo(), &args)
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `cargo nextest`")?;
    let said = child.stderr.take().context("the runner has no output")?;
    let mut last = Vec::new();
    for line in BufReader::new(said).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        // From the summary on, it waits for what was skipped.
        if !last.is_empty() || is_summary(&line) {
            last.push(line);
        } else {
            eprintln!("{line}");
        }
    }
    let status = child.wait()?;
    let kept = std::fs::read_to_string(&junit).unwrap_or_default();
    let skipped = skipped(&kept);
    if skipped.is_empty() {
        eprintln!("   no test was skipped for want of something on this machine");
    }
    for line in skipped {
        eprintln!("   {line}");
    }
    let mut out = std::io::stderr().lock();
    for line in last {
        writeln!(out, "{line}")?;
    }
    if !status.success() {
        bail!("`cargo {}` failed ({status})", args.join(" "));
    }
    Ok(())
}

fn is_summary(line: &str) -> bool {
    line.trim_start().starts_with("Summary [")
}

/// `skipped: …` lines of tests that passed for that reason, each with the test's name.
fn skipped(junit: &str) -> Vec<String> {
    let mut test = "";
    let mut out = Vec::new();
    for line in junit.lines() {
        if let Some((_, rest)) = line.split_once("<testcase name=\"") {
            test = rest.split('"').next().unwrap_or_default();
        }
        if let Some((_, reason)) = line.split_once("skipped: ") {
            let reason = reason.split("</system-").next().unwrap_or_default();
            out.push(format!("skipped: {test}: {}", reason.trim()));
        }
    }
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_say_of_themselves() {
        let junit = r#"<testcase name="agents::honest_codex" classname="x">
            <system-err>skipped: codex: no npm</system-err></testcase>
            <testcase name="b"><system-out>running</system-out></testcase>"#;
        assert_eq!(skipped(junit), ["skipped: agents::honest_codex: codex: no npm"]);
        assert!(is_summary("     Summary [ 434.621s] 271 tests run: 271 passed, 0 skipped"));
    }
}
