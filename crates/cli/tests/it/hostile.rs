//! Bad input, and machines that lack something: a clear line, a lowered coverage, never a crash, a hang or silence.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muster_rehearsal::{Model, Script, Step, plain_agent};

use crate::rig::{Daemon, MUSTER, text};

/// Runs a shell script as an enrolled agent.
pub fn enrolled(daemon: &Daemon, script: &str) -> std::process::Output {
    Command::new(MUSTER)
        .args(["run", "--data"])
        .arg(daemon.data.path())
        .args(["--", "bash", "-c", script])
        .output()
        .unwrap()
}

#[test]
fn a_storm_of_forks() {
    let Some(daemon) = Daemon::start() else { return };
    // 10,000 processes as fast as they can be made, 500 alive at once.
    let out =
        enrolled(&daemon, "for i in $(seq 20); do for j in $(seq 500); do : & done; wait; done; echo over");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "over\n");
    let agent = daemon.wait("ended agent", || daemon.roll().into_iter().find(|a| a["state"] == "ended"));
    let forks = daemon
        .list(&["events", "--agent", &text(&agent, "agent"), "--kind", "fork", "--last", "20000"])
        .len() as u64;
    let lost = agent["coverage_detail"]["lost"].as_u64().unwrap();
    assert!(forks >= 10_000 || lost > 0 && forks + lost >= 10_000, "{forks} forks, {lost} lost");
    assert_eq!(lost, 0, "nothing was lost");
}

#[test]
fn names_full_of_escape_codes() {
    let Some(daemon) = Daemon::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}<script>alert(1)</script>\u{200b}";
    let program = dir.path().join(hostile.replace('/', "∕"));
    fs::copy("/bin/true", &program).unwrap();
    let status = Command::new(MUSTER)
        .args(["run", "--label", hostile, "--principal", hostile, "--data"])
        .arg(daemon.data.path())
        .arg("--")
        .arg(&program)
        .arg(hostile)
        .status()
        .unwrap();
    assert!(status.success());
    let agent = daemon.wait("ended agent", || daemon.roll().into_iter().find(|a| a["state"] == "ended"));
    let id = text(&agent, "agent");
    for command in [&["roll"][..], &["show", &id], &["findings"], &["events", "--agent", &id]] {
        let out = daemon.muster(command);
        let shown = String::from_utf8(out.stdout).unwrap();
        let bad = |c: char| {
            c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{200b}'
        };
        assert!(!shown.contains(bad), "{command:?}: {:?}", shown.chars().find(|c| bad(*c)));
    }
    // The same on the page.
    let page = daemon.get("/");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert"), "{page}");
}

/// Not root: who is there is still seen, and what that is worth is said.
#[test]
fn without_root_only_presence_is_seen() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become nobody");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let nobody = 65_534;
    std::os::unix::fs::chown(data.path(), Some(nobody), Some(nobody)).unwrap();
    let program = tempfile::tempdir().unwrap();
    let muster = program.path().join("muster");
    fs::copy(MUSTER, &muster).unwrap();
    for folder in [program.path(), data.path()] {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let errors = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(&muster)
        .args(["watch", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .uid(nobody)
        .gid(nobody)
        .stdout(Stdio::piped())
        .stderr(errors.reopen().unwrap())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut ready)
        .unwrap();
    let said = fs::read_to_string(errors.path()).unwrap();
    drop(child.kill());
    drop(child.wait());
    assert!(ready.starts_with("ready ") && ready.contains("record=proc"), "{ready}{said}");
    assert!(said.contains("needs root") && said.contains("hint: start it with sudo"), "{said}");
    // The doctor says the same, and ends.
    let out = Command::new(&muster).args(["doctor", "--json"]).uid(nobody).gid(nobody).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let lines = String::from_utf8(out.stdout).unwrap();
    let root: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((root["what"].as_str(), root["ok"].as_bool()), (Some("root"), Some(false)));
}

/// Without eBPF the roll is still taken, from /proc, and the coverage says what that is worth.
#[test]
fn from_proc_alone() {
    let Some(daemon) = Daemon::start_in(tempfile::tempdir().unwrap(), &["--no-kernel"]) else { return };
    assert!(daemon.ready.contains("record=proc"));
    let mut agent = Command::new(MUSTER)
        .args(["run", "--data"])
        .arg(daemon.data.path())
        .args(["--", "sleep", "3"])
        .spawn()
        .unwrap();
    let found = daemon.wait("agent", || daemon.roll().into_iter().find(|a| a["state"] == "running"));
    assert_eq!(text(&found, "coverage"), "presence only");
    assert!(agent.wait().unwrap().success());
    daemon.wait("its end", || daemon.roll().into_iter().find(|a| a["state"] == "ended"));
}

/// Things in the place of an account that are none: each a line in the coverage, and the daemon goes on.
#[test]
fn accounts_that_cannot_be_read() {
    let Some(daemon) = Daemon::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sessions = dir.path().join(".codex/sessions/2026/01/01");
    fs::create_dir_all(&sessions).unwrap();
    let name = |n: u32| {
        sessions.join(format!("rollout-2026-01-01T00-00-00-00000000-0000-0000-0000-00000000000{n}.jsonl"))
    };
    symlink("/proc/self/mem", name(1)).unwrap();
    fs::create_dir(name(2)).unwrap();
    let lines = "not json\n{\"timestamp\":\"x\"}\n{\"timestamp\":\"2026-01-01T00:00:00Z\",\"type\":\"event_msg\",\"payload\":{\"type\":\"new_thing\"}}\n{\"torn\":";
    let script = format!(
        "cd '{}'; printf '%s' '{lines}' > {}; head -c 300000 /dev/urandom > {}; sleep 1; : > {}; rm {}; sleep 1",
        sessions.display(),
        name(3).display(),
        name(4).display(),
        name(3).display(),
        name(4).display()
    );
    let model = Model::start(Script::new([Step::shell(script), Step::last("done")])).unwrap();
    let mut agent = plain_agent(dir.path(), &model, "go").unwrap();
    assert!(agent.wait(Duration::from_secs(30)).unwrap().success());
    daemon.wait("agent", || daemon.roll().into_iter().find(|a| a["state"] == "ended"));
    // It still answers, and takes the next agent.
    enrolled(&daemon, "true");
    daemon.wait("the next agent", || (daemon.roll().len() == 2).then_some(()));
    assert!(!daemon.said().contains("panicked"), "{}", daemon.said());
}

/// Mistakes of its user: exit status 2, what is wrong, and what to do.
#[test]
fn mistakes_are_named() {
    let check = |arguments: &[&str], words: &[&str]| {
        let begun = Instant::now();
        let out = Command::new(MUSTER).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?} does not say `{word}`: {said}");
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    };
    let empty = tempfile::tempdir().unwrap();
    let here = empty.path().to_str().unwrap();
    check(
        &["run", "--data", here, "--", "true"],
        &["no daemon answers", "hint: start it with `muster watch`"],
    );
    check(&["watch", "--data", "/proc/nowhere"], &["cannot make", "hint: name a folder with --data"]);
    check(&["watch", "--data", here, "--listen", "203.0.113.1:1"], &["cannot listen", "--listen"]);
    check(&["import", "--data", here, "/etc/hostname"], &["no account of a known format", "--format"]);
    check(&["import", "--data", here, "/nowhere"], &["cannot read `/nowhere`"]);
    check(&["show", "--data", here, "nobody"], &["hint"]);
    check(&["watch", "--data", here, "--products", "/nowhere"], &["/nowhere"]);
    check(&["roll", "--data", "/nowhere"], &["hint"]);
}
