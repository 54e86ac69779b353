//! `muster import` of a gigabyte: its rate, its memory, its progress bar.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Mode;
use crate::daemon::{MUSTER, folder, memory};
use crate::figures::{head, row};
use crate::transcripts;

pub fn run(mode: Mode) {
    head(&["accounts", "files", "records", "items", "time", "rate", "VmHWM"]);
    let mut sizes = mode.pick(vec![16 << 20, 64 << 20], vec![128 << 20, 1 << 30]);
    sizes.sort_unstable();
    for bytes in &sizes {
        import(*bytes);
    }
    println!("\nprogress bar on a terminal: {}", if draws_a_bar() { "drawn" } else { "NOT drawn" });
}

fn import(bytes: u64) {
    let accounts = folder();
    let written = transcripts::write(accounts.path(), bytes);
    let data = folder();
    let mut child = Command::new(MUSTER)
        .args(["import", "--json", "--data"])
        .arg(data.path())
        .arg(accounts.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut high = 0;
    while child.try_wait().unwrap().is_none() {
        high = high.max(memory(child.id(), "VmHWM").unwrap_or(0));
        std::thread::sleep(Duration::from_millis(10));
    }
    let summary: Value = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    assert_eq!(summary["bytes"].as_u64(), Some(written), "{summary}");
    let seconds = summary["seconds"].as_f64().unwrap();
    row(&[
        format!("{:.0} MB", written as f64 / 1e6),
        summary["files"].to_string(),
        summary["records"].to_string(),
        summary["items"].to_string(),
        format!("{seconds:.1} s"),
        format!("{:.1} MB/s", written as f64 / 1e6 / seconds),
        format!("{:.1} MiB", high as f64 / f64::from(1 << 20)),
    ]);
}

/// `script` gives it a terminal.
fn draws_a_bar() -> bool {
    let (accounts, data) = (folder(), folder());
    transcripts::write(accounts.path(), 24 << 20);
    let line = format!(
        "stty cols 100; {MUSTER} import --data {} {}",
        data.path().display(),
        accounts.path().display()
    );
    let out = Command::new("script").args(["-qefc", &line, "/dev/null"]).env("TERM", "xterm").output();
    out.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("import █"))
}
