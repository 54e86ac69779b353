//! The kernel tests on Debian's kernels, in QEMU guests under software emulation: an initramfs, no disk, no network.
//!
//! Outside the everyday gate: it downloads kernels and takes minutes. What it does is told in tests/vm/README.md.

mod cpio;
mod guest;
mod image;
mod kernel;
mod systemd;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::repo;

/// Debian 12's own kernel, and the one of Debian 13 (also packaged for 12).
pub const KERNELS: [&str; 2] = ["6.1", "6.12"];

pub fn run(kernels: &[&str]) -> Result<()> {
    for program in ["qemu-system-x86_64", "busybox", "dpkg-deb", "apt-get"] {
        if repo::command(program, &["--help"]).output().is_err() {
            bail!("`{program}` is not installed\nhint: `make test-vm` installs what the guests need");
        }
    }
    let programs = match std::env::var_os("MUSTER_VM_PROGRAM") {
        Some(program) => vec![PathBuf::from(program)],
        None => kernel_tests()?,
    };
    let folder = repo::target().join("vm");
    std::fs::create_dir_all(&folder)?;
    let initramfs = folder.join("initramfs.cpio");
    std::fs::write(&initramfs, image::initramfs(&programs)?)?;

    let mut failed = Vec::new();
    for version in kernels {
        println!("\n── kernel {version}");
        let Some(kernel) = kernel::fetch(version, &folder)? else {
            println!("skipped: apt has no cloud kernel {version} on this Debian");
            continue;
        };
        println!("{} ({} programs)", kernel.name, programs.len());
        let log = folder.join(format!("{version}.log"));
        let output = guest::boot(&kernel.image, &initramfs, &log)?;
        let problems = guest::judge(&output, programs.len());
        println!("{}", guest::summary(&output));
        for problem in &problems {
            println!("failed: {problem}");
        }
        if !problems.is_empty() {
            failed.push(format!("{version} (its console: {})", log.display()));
        }
    }
    if !failed.is_empty() {
        bail!("failed on kernel {}", failed.join(", "));
    }
    Ok(())
}

/// Muster as a service under systemd, and mustering out what systemd, cron and at would start.
pub fn systemd() -> Result<()> {
    let missing = systemd::missing();
    let tools = ["qemu-system-x86_64", "busybox", "strip", "dpkg-deb", "apt-get", "apt-cache"];
    let lacks = tools.into_iter().filter(|program| repo::command(program, &["--help"]).output().is_err());
    let lacks: Vec<&str> = missing.into_iter().chain(lacks).collect();
    if !lacks.is_empty() {
        println!("skipped: the guest with systemd needs {} here", lacks.join(", "));
        return Ok(());
    }
    let folder = repo::target().join("vm");
    std::fs::create_dir_all(&folder)?;
    let initramfs = folder.join("systemd.cpio");
    std::fs::write(&initramfs, systemd::image(&systemd::program(&folder)?)?)?;
    let Some(kernel) = kernel::fetch(KERNELS[0], &folder)? else {
        println!("skipped: apt has no cloud kernel {} on this Debian", KERNELS[0]);
        return Ok(());
    };
    println!("{} with systemd", kernel.name);
    let log = folder.join("systemd.log");
    let output = guest::boot(&kernel.image, &initramfs, &log)?;
    let shown = ["ok: ", "FAILED: ", "dead ", "LEFT: "];
    output
        .lines()
        .filter(|line| shown.iter().any(|it| line.starts_with(it)))
        .for_each(|line| println!("  {line}"));
    let problems = guest::judge(&output, 1);
    if !problems.is_empty() {
        bail!("{} (its console: {})", problems.join("; "), log.display());
    }
    Ok(())
}

/// Builds the sensor's integration tests and says where they are.
fn kernel_tests() -> Result<Vec<PathBuf>> {
    let args = ["test", "--locked", "--package", "muster-sensor", "--tests", "--no-run"];
    let json = repo::output(&repo::cargo(), &[&args[..], &["--message-format", "json"]].concat())
        .context("the sensor's tests do not build")?;
    let tests: Vec<PathBuf> = json.lines().filter_map(executable).collect();
    if tests.is_empty() {
        bail!("muster-sensor has no integration test (crates/sensor/tests/it)");
    }
    Ok(tests)
}

/// The path in a cargo message about a finished integration test; `None` for any other message.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let kinds = message.get("target")?.get("kind")?.as_array()?;
    let path = message.get("executable")?.as_str()?;
    kinds.iter().any(|kind| kind == "test").then(|| PathBuf::from(path))
}
