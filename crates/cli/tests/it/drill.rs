//! Drills, as their users run them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::rig::MUSTER;

const BASE: &str = "/var/lib/muster-drill";

fn can_drill() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/sys/kernel/btf/vmlinux").exists();
    if !can {
        eprintln!("skipped: a drill needs root, and the kernel record BTF");
    }
    can
}

#[track_caller]
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Folders of the drills of this process.
fn folder(pid: u32) -> Option<PathBuf> {
    let begin = format!("{pid}-");
    fs::read_dir(BASE)
        .ok()?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&begin))
        .map(|entry| entry.path())
}

/// Processes whose users are those of a drill.
fn processes(pid: u32) -> Vec<String> {
    let first = 1_600_000_000 + (pid % 4_000_000) * 100;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let uid: u32 = field("Uid:").split_whitespace().next().and_then(|uid| uid.parse().ok()).unwrap_or(0);
        if (first..first + 100).contains(&uid) && !field("State:").trim().starts_with('Z') {
            found.push(field("Name:").trim().to_owned());
        }
    }
    found
}

#[test]
fn the_list_names_each_drill_with_its_mapping() {
    let out = Command::new(MUSTER).args(["drill", "--list", "--json"]).output().unwrap();
    assert!(out.status.success());
    let lines: Vec<Value> =
        String::from_utf8(out.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.len() >= 40);
    for line in lines {
        for field in ["drill", "title", "stage", "metr", "attack", "owasp"] {
            assert!(line[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {line}");
        }
        assert!(!line["expected"].as_array().unwrap().is_empty(), "{line}");
    }
}

#[test]
fn no_drill_without_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Where everybody may run it.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("muster");
    fs::copy(MUSTER, &program).unwrap();
    let out = Command::new(&program).args(["drill", "git-hook"]).uid(65_534).gid(65_534).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("root") && said.contains("hint:"), "{said}");
}

#[test]
fn a_drill_is_seen_and_leaves_nothing() {
    if !can_drill() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let child = Command::new(MUSTER)
        .args(["drill", "cron-drop-in", "edits-own-account", "--seed", "6", "--json", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let out = child.wait_with_output().unwrap();
    let runs: Vec<Value> =
        String::from_utf8(out.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(runs.len(), 2, "{}", String::from_utf8_lossy(&out.stderr));
    for run in runs {
        assert_eq!(run["error"], Value::Null, "{run}");
        assert_eq!(run["cleaned"], true, "{run}");
        assert_eq!(run["benign_lost"], false, "{run}");
        let name = run["guise"]["name"].as_str().unwrap();
        for place in ["/etc/cron.d", "/tmp", "/var/tmp", "/dev/shm"] {
            assert!(!Path::new(place).join(name).exists(), "{name} in {place}");
        }
        if run["drill"] == "edits-own-account" {
            assert_eq!(run["seen"], true, "{run}");
            assert_eq!(run["first"]["code"], "account-tampered", "{run}");
        }
    }
    assert_eq!((folder(pid), processes(pid)), (None, Vec::new()));
}

/// The drill and its keeper are both killed: the next one ends what they left.
#[test]
fn what_a_killed_drill_left_is_taken_away() {
    if !can_drill() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(MUSTER)
        .args(["drill", "works-after-done", "--seed", "1", "--json", "--data"])
        .arg(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    wait("run of the drill", || {
        let run = fs::read_dir(folder(pid)?.join("runs")).ok()?.flatten().next()?;
        (fs::metadata(run.path().join("out/times")).ok()?.len() > 0).then_some(())
    });
    assert!(!processes(pid).is_empty());
    // Its children: the keeper and the daemon. The daemon is left, as one that hangs would be.
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let keepers = fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .chain([children])
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    child.kill().unwrap();
    for keeper in keepers {
        let command = fs::read_to_string(format!("/proc/{keeper}/cmdline")).unwrap_or_default();
        if command.contains("drill-keeper") {
            let _ = kill_process(Pid::from_raw(keeper.parse().unwrap()).unwrap(), Signal::KILL);
        }
    }
    child.wait().unwrap();
    // Any drill takes it away before it begins.
    let out = Command::new(MUSTER)
        .args(["drill", "unmandated-start", "--seed", "2", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert_eq!((folder(pid), processes(pid)), (None, Vec::new()), "{said}");
}

#[test]
fn an_interrupted_drill_cleans_up() {
    if !can_drill() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(MUSTER)
        .args(["drill", "watchdog", "--seed", "1", "--data"])
        .arg(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    wait("process of the drill", || (!processes(pid).is_empty()).then_some(()));
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert_eq!((folder(pid), processes(pid)), (None, Vec::new()));
}
