//! One run of a guest: start it, read its console, stop it in time, judge what it printed (see tests/vm/init).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::repo;

/// Booting takes some 12 s under emulation, the kernel tests a minute or two: this is for a guest that hangs.
const TIME_MAX: Duration = Duration::from_secs(1500);

/// Every marker of the guest begins so; nothing else on its console does.
const MARK: &str = "@@ ";

/// `lsm=` names bpf so that `lsm` programs load; -1: a panic ends the guest (with -no-reboot). A busy host keeps an emulated timer
/// waiting for longer than the kernel's check of it allows.
const COMMAND_LINE: &str =
    "console=ttyS0 loglevel=4 lsm=landlock,bpf panic=-1 no_timer_check rdinit=/init systemd.show_status=0";

/// Boots, emulated: it takes seconds more than KVM, and runs the same on machines without it or with a broken one.
/// Returns the console's text, which also goes to `log`. A guest that outlives its time is ended.
pub fn boot(kernel: &Path, initramfs: &Path, log: &Path) -> Result<String> {
    let start = Instant::now();
    let mut guest = repo::command("qemu-system-x86_64", &[])
        .args(["-machine", "accel=tcg", "-cpu", "max", "-smp", "2", "-m", "4096"])
        .args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none"])
        .args(["-append", COMMAND_LINE])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run `qemu-system-x86_64`")?;
    let console = guest.stdout.take().context("the guest has no console")?;
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut file = std::fs::File::create(log).with_context(|| format!("cannot write `{}`", log.display()))?;
    let mut text = String::new();
    while let Ok(line) = lines.recv_timeout(TIME_MAX.saturating_sub(start.elapsed())) {
        writeln!(file, "{line}")?;
        if let Some(marker) = line.strip_prefix(MARK) {
            println!("  {:>4} s  {marker}", start.elapsed().as_secs());
        }
        text.push_str(&line);
        text.push('\n');
    }
    if start.elapsed() >= TIME_MAX {
        guest.kill()?;
        text.push_str(&format!("{MARK}timeout after {} s\n", TIME_MAX.as_secs()));
    }
    guest.wait()?;
    drop(lines);
    let _ = reader.join();
    Ok(text)
}

/// What went wrong, in words; nothing where every program ran to its end and succeeded.
pub fn judge(console: &str, programs: usize) -> Vec<String> {
    let mut problems = Vec::new();
    let mut ended = 0;
    let mut running = None;
    for line in console.lines() {
        let marker: Vec<&str> = line.strip_prefix(MARK).map(|it| it.split(' ').collect()).unwrap_or_default();
        match marker.as_slice() {
            ["begin", name] => running = Some(*name),
            ["end", name, "0"] => {
                ended += 1;
                running = running.filter(|it| it != name);
            }
            ["end", name, status] => {
                ended += 1;
                running = None;
                problems.push(format!("{name}: exit status {status}"));
            }
            ["timeout", ..] => problems.push(line.trim_start_matches(MARK).to_owned()),
            _ => problems.extend(bad_line(line)),
        }
    }
    if let Some(name) = running {
        problems.push(format!("{name}: the guest ended before it did"));
    }
    if ended != programs {
        problems.push(format!("{ended} of {programs} programs ran to their end"));
    }
    problems
}

/// A line of a test or of the kernel that is a failure by itself.
fn bad_line(line: &str) -> Option<String> {
    let failed_test = line.starts_with("test ") && line.ends_with("... FAILED");
    let not_loaded = line.starts_with("not loaded: ");
    let kernel = ["Kernel panic", "BUG:", "Oops:"].iter().any(|sign| line.contains(sign));
    (failed_test || not_loaded || kernel).then(|| line.to_owned())
}

/// The lines that sum up: what the tests skipped, and the test runners' own results.
pub fn summary(console: &str) -> String {
    let signs = ["test result:", "running ", "skipped: "];
    let wanted = |line: &&str| signs.iter().any(|sign| line.starts_with(sign));
    console.lines().filter(wanted).map(|line| format!("  {line}\n")).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_run() {
        assert!(judge("boot\n@@ begin a\ntest x ... ok\n@@ end a 0\n", 1).is_empty());
    }

    #[test]
    fn bad_runs() {
        let check = |console, expected: &[&str]| assert_eq!(judge(console, 1), expected);
        check("@@ begin a\ntest x ... FAILED\n@@ end a 101\n", &["test x ... FAILED", "a: exit status 101"]);
        check("@@ begin a\nnot loaded: file_open\n@@ end a 0\n", &["not loaded: file_open"]);
        check(
            "@@ begin a\n@@ timeout after 9 s\n",
            &["timeout after 9 s", "a: the guest ended before it did", "0 of 1 programs ran to their end"],
        );
        check(
            "[ 1.0] Kernel panic - not syncing\n",
            &["[ 1.0] Kernel panic - not syncing", "0 of 1 programs ran to their end"],
        );
    }
}
