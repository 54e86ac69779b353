//! Mustering out: nobody of the lineage lives on, nobody else is touched, and no failure leaves it half done.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Daemon, MUSTER, text};

/// A number that only this test's processes sleep for.
pub fn mark(test: u32) -> String {
    format!("{}{test}", 900_000 + std::process::id())
}

/// Command lines of live processes that hold this word.
pub fn alive(word: &str) -> Vec<String> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|it| it.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let command = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let is_dead = stat.rsplit_once(") ")?.1.starts_with('Z');
        let line =
            String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " ");
        (!is_dead && line.contains(word)).then_some(line)
    };
    pids.filter_map(command).collect()
}

pub struct Lineage {
    child: Child,
    pub agent: String,
}

impl Drop for Lineage {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a script as an agent, and waits until so many sleepers of it are there.
pub fn lineage(daemon: &Daemon, script: &str, word: &str, sleepers: usize) -> Lineage {
    let child = Command::new("sh")
        // What the shell had started before it became the agent is the user's.
        .args(["-c", r#"sleep "$1".5 & sleep 0.2; shift; exec "$@""#, "sh", &format!("1{word}"), MUSTER])
        .args(["run", "--label", word, "--data"])
        .arg(daemon.data.path())
        .args(["--", "sh", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let of_label = |agent: &Value| agent["label"] == word;
    let agent = daemon.wait("the agent", || {
        (alive(&format!("sleep {word}")).len() >= sleepers)
            .then(|| daemon.roll().into_iter().find(of_label))
            .flatten()
            .map(|agent| text(&agent, "agent"))
    });
    Lineage { child, agent }
}

pub fn bystander(word: &str) -> String {
    format!("sleep 1{word}.5")
}

/// Ends these very processes.
fn end_all(word: &str) {
    for pid in
        fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse::<i32>().ok())
    {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).replace('\0', " ").trim_end().starts_with(word) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

pub fn end_bystander(word: &str) {
    end_all(&bystander(word));
}

#[track_caller]
pub fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| {
        panic!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    })
}

fn commands(touched: &Value) -> BTreeSet<String> {
    let all = touched["processes"].as_array().unwrap().iter().map(|it| text(it, "command"));
    // Shells and the short sleeps of respawners come and go.
    all.filter(|command| command.starts_with("sleep 9") || command.starts_with("tmux")).collect()
}

#[track_caller]
fn wait_dead(word: &str) {
    let began = Instant::now();
    while !alive(&format!("sleep {word}")).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", alive(word));
        thread::sleep(Duration::from_millis(20));
    }
}

/// Each starts the other again; one has no environment, no session and no control group of its lineage.
fn wild(word: &str) -> String {
    format!(
        "setsid sh -c 'while :; do sleep {word}.1 & wait $!; done' &
         (setsid env -i sh -c 'sleep {word}.2 & exec sleep {word}.3' &)
         (env -i setsid sh -c 'echo $$ >/sys/fs/cgroup/cgroup.procs || echo $$ >/sys/fs/cgroup/unified/cgroup.procs;
             sleep {word}.4 & (sleep {word}.5 &) ; sleep {word}.6' &) 2>/dev/null
         env -u TMUX tmux -L m{word} new-session -d 'sleep {word}.7'
         (while :; do sh -c 'sleep 0.03'; done) &
         sleep {word}.8"
    )
}

#[test]
fn a_wild_lineage_ends_and_nobody_else_does() {
    let Some(daemon) = Daemon::start() else { return };
    let word = mark(1);
    // An agent that is root puts the daemon into its own control group, to have it stopped with it.
    let frame = format!(
        "echo {} >/sys/fs/cgroup/unified$(sed -n s/^0:://p /proc/self/cgroup)/cgroup.procs; ",
        daemon.pid()
    );
    let lineage = lineage(&daemon, &(frame + &wild(&word)), &word, 8);
    assert_eq!(alive(&bystander(&word)).len(), 1);
    let planned = json(&daemon.muster(&["out", &lineage.agent, "--dry-run", "--json"]));
    assert!(alive(&format!("sleep {word}")).len() >= 8, "nothing was touched");
    let out = daemon.muster(&["out", &lineage.agent, "--yes", "--json"]);
    let report = json(&out);
    assert_eq!(alive(&format!("sleep {word}")), Vec::<String>::new());
    assert_eq!(commands(&planned), commands(&report["touched"]));
    assert!(commands(&planned).len() >= 8, "{planned}");
    assert_eq!(report["left"], json!([]), "{report}");
    assert_eq!(out.status.code(), Some(0));
    let ms = report["dead_micros"].as_u64().unwrap() / 1000;
    assert!(ms < 3_000, "{ms} ms");
    assert_eq!(alive(&bystander(&word)).len(), 1);
    let likely = planned["likely"].as_array().unwrap();
    assert!(likely.iter().any(|it| text(it, "command") == bystander(&word)), "{planned}");
    assert_eq!(daemon.list(&["out", "--list"])[0]["state"], "stands");
    end_bystander(&word);
}

#[test]
fn what_is_frozen_can_be_let_go() {
    let Some(daemon) = Daemon::start() else { return };
    let word = mark(2);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("grows");
    let script = format!(
        "(setsid sh -c 'while :; do echo >>{0}; sleep 0.02; done' &); sleep {word}.1",
        file.display()
    );
    let lineage = lineage(&daemon, &script, &word, 1);
    let grows = || {
        let before = fs::metadata(&file).map_or(0, |meta| meta.len());
        thread::sleep(Duration::from_millis(150));
        fs::metadata(&file).map_or(0, |meta| meta.len()) > before
    };
    assert!(grows());
    let report = json(&daemon.muster(&["out", &lineage.agent, "--until", "freeze", "--yes", "--json"]));
    assert_eq!(report["left"], json!([]), "{report}");
    assert!(!grows());
    assert!(daemon.muster(&["thaw", &lineage.agent]).status.success());
    assert!(grows());
    assert_eq!(daemon.list(&["out", "--list"])[0]["state"], "thawed");
    assert!(daemon.muster(&["out", &lineage.agent, "--yes"]).status.success());
    assert!(!grows());
    end_bystander(&word);
}

#[test]
fn an_agent_stops_nobody() {
    let Some(daemon) = Daemon::start() else { return };
    let word = mark(3);
    let victim = lineage(&daemon, &format!("sleep {word}.1"), &word, 1);
    for more in [&[][..], &["--offline"]] {
        let out = Command::new(MUSTER)
            .args(["run", "--data"])
            .arg(daemon.data.path())
            .arg("--")
            // Out of its session, and of its parent's sight.
            .args(["setsid", "-w", MUSTER, "out", &victim.agent, "--yes", "--data"])
            .arg(daemon.data.path())
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains("an agent stops nobody"), "{more:?}: {said}");
    }
    assert!(!alive(&format!("sleep {word}")).is_empty());
    end_bystander(&word);
}

#[test]
fn without_a_daemon() {
    let Some(daemon) = Daemon::start() else { return };
    let word = mark(4);
    let lineage = lineage(&daemon, &wild(&word), &word, 8);
    let data = daemon.kill();
    let muster = |arguments: &[&str]| {
        Command::new(MUSTER).args(arguments).arg("--data").arg(data.path()).output().unwrap()
    };
    let refused = muster(&["out", &lineage.agent, "--yes"]);
    assert_eq!(refused.status.code(), Some(2));
    let report = json(&muster(&["out", &lineage.agent, "--offline", "--yes", "--json"]));
    assert_eq!(alive(&format!("sleep {word}")), Vec::<String>::new());
    // What was not signed yet when the daemon died is not sealed.
    let left = report["left"].as_array().unwrap();
    assert!(left.iter().all(|it| it.as_str().unwrap().starts_with("seal: no checkpoint")), "{report}");
    assert_eq!(alive(&bystander(&word)).len(), 1);
    end_bystander(&word);
    // The next daemon takes the journal into the ledger.
    let told = data.path().join("out").join(text(&report, "id")).join("told");
    assert!(!told.exists());
    let next = Daemon::start_at(data.path(), &[]).unwrap();
    next.wait("the journal", || told.exists().then_some(()));
    drop(next);
}

#[test]
fn the_next_daemon_finishes_it() {
    // The other steps: `cargo run -p muster-cli --example out-runs`.
    let data = tempfile::tempdir().unwrap();
    let Some(daemon) = Daemon::start_halting(data.path(), "kill:begun") else { return };
    let word = mark(5);
    let lineage = lineage(&daemon, &wild(&word), &word, 8);
    let out = daemon.muster(&["out", &lineage.agent, "--yes"]);
    assert!(!out.status.success(), "the daemon died");
    drop(daemon);
    let next = Daemon::start_at(data.path(), &[]).unwrap();
    next.wait("the end", || (next.list(&["out", "--list"])[0]["state"] == "stands").then_some(()));
    wait_dead(&word);
    assert_eq!(alive(&bystander(&word)).len(), 1);
    end_bystander(&word);
}

#[test]
fn a_rule_stops_a_lineage() {
    let data = tempfile::tempdir().unwrap();
    let rule =
        "[contain]\nauto = [{codes = [\"monitor-tampering\"], severity = \"low\", until = \"kill\"}]\n";
    fs::write(data.path().join("config.toml"), rule).unwrap();
    let Some(daemon) = Daemon::start_at(data.path(), &[]) else { return };
    let word = mark(8);
    let go = data.path().join("go");
    let script = format!(
        "(setsid sleep {word}.1 &); while ! [ -e {0} ]; do sleep 0.05; done; echo >>{0}; sleep {word}.2",
        go.display()
    );
    let _lineage = lineage(&daemon, &script, &word, 1);
    fs::write(&go, "").unwrap();
    wait_dead(&word);
    let listed = daemon.list(&["out", "--list"]);
    assert!(text(&listed[0], "by").contains("monitor-tampering"), "{listed:?}");
    end_bystander(&word);
}

/// A mustering out of files alone, as a daemon would have begun it.
fn begun(data: &Path, artefacts: &Value) -> String {
    let id = "o-1a";
    let folder = data.join("out").join(id);
    fs::create_dir_all(&folder).unwrap();
    let target = json!({
        "agent": "agent-x", "boot_id": "", "roots": [], "began_ns": 0, "members": [], "likely": [], "cgroups": [],
        "markers": [], "artefacts": artefacts, "revocations": [], "include_likely": false,
    });
    fs::write(folder.join("target.json"), target.to_string()).unwrap();
    let asked = json!({"time_ns": 1, "note": "asked", "id": id, "agent": "agent-x", "until": "quarantine", "by": "t"});
    fs::write(folder.join("journal.jsonl"), format!("{asked}\n")).unwrap();
    id.to_owned()
}

#[test]
fn files_are_put_away_and_back_whatever_fails() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for halt in ["", "moving", "moved", "quarantine:done"] {
        let data = tempfile::tempdir().unwrap();
        // Another file system than the data's, where there is one.
        for place in [tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()] {
            let dir = fs::canonicalize(place.path()).unwrap();
            let (unit, table, likely) = (dir.join("x.timer"), dir.join("table"), dir.join("likely"));
            fs::write(&unit, "[Timer]\n").unwrap();
            fs::set_permissions(&unit, fs::Permissions::from_mode(0o640)).unwrap();
            let text_before = "# mine\n0 0 * * * /usr/bin/backup\n* * * * * /tmp/back-again\n";
            fs::write(&table, text_before).unwrap();
            fs::write(&likely, "x").unwrap();
            let modified = fs::metadata(&unit).unwrap().mtime_nsec();
            let artefact = |path: &Path, whole: bool, certain: bool| {
                json!({"path": path, "mechanism": "cron", "unit": null, "certain": certain, "whole": whole,
                    "lines": ["* * * * * /tmp/back-again"]})
            };
            let artefacts = json!([
                artefact(&unit, true, true),
                artefact(&table, false, true),
                artefact(&likely, true, false)
            ]);
            let id = begun(data.path(), &artefacts);
            let muster = |arguments: &[&str], halt: &str| {
                let mut command = Command::new(MUSTER);
                command.args(arguments).arg("--data").arg(data.path());
                if !halt.is_empty() {
                    command.env("MUSTER_TEST_HALT", halt);
                }
                command.output().unwrap()
            };
            if !halt.is_empty() {
                assert!(!muster(&["out", "--resume", &id], halt).status.success());
            }
            let report = json(&muster(&["out", "--resume", &id, "--json"], ""));
            assert_eq!(report["left"], json!([]), "{halt}: {report}");
            assert!(!unit.exists() && likely.exists(), "{halt}");
            assert_eq!(fs::read_to_string(&table).unwrap(), "# mine\n0 0 * * * /usr/bin/backup\n");
            let out = muster(&["restore", &id], "");
            assert!(out.status.success(), "{halt}: {}", String::from_utf8_lossy(&out.stdout));
            assert_eq!(fs::read_to_string(&unit).unwrap(), "[Timer]\n");
            let meta = fs::metadata(&unit).unwrap();
            assert_eq!((meta.mode() & 0o777, meta.mtime_nsec()), (0o640, modified), "{halt}");
            assert_eq!(fs::read_to_string(&table).unwrap(), text_before);
            fs::remove_dir_all(data.path().join("out")).unwrap();
        }
    }
}

/// Starts an agent in a folder of its own that runs a script to its end; gives its name.
pub fn ended(daemon: &Daemon, label: &str, dir: &Path, script: &str) -> String {
    let ran = Command::new(MUSTER)
        .args(["run", "--label", label, "--data"])
        .arg(daemon.data.path())
        .args(["--", "sh", "-c", script])
        .current_dir(dir)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(ran.success(), "{script}");
    let agent = daemon
        .wait(label, || daemon.roll().into_iter().find(|it| it["label"] == label && it["state"] == "ended"));
    text(&agent, "agent")
}

#[test]
fn what_was_planted_before_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let Some(daemon) = Daemon::start_at(data.path(), &[]) else { return };
    let word = mark(9);
    let dir = tempfile::tempdir().unwrap();
    let repo = fs::canonicalize(dir.path()).unwrap().join("other");
    fs::create_dir(dir.path().join("project")).unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&repo).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(Command::new("git").args(["init", "-q"]).arg(&repo).status().unwrap().success());
    let hook = repo.join(".git/hooks/pre-commit");
    let script = format!(
        "printf '#!/bin/sh\\n(setsid sleep {word}.1 </dev/null >/dev/null 2>&1 &)\\n' >{0}; chmod +x {0}; sleep 2",
        hook.display()
    );
    let agent = ended(&daemon, &word, &dir.path().join("project"), &script);
    drop(daemon.kill());

    let next = Daemon::start_at(data.path(), &[]).unwrap();
    assert!(git(&["commit", "--allow-empty", "-qm", "x"]).status().unwrap().success());
    next.wait("what the hook started", || {
        let events = next.list(&["events", "--agent", &agent, "--kind", "exec"]);
        events.iter().any(|it| it["argv"][1] == format!("{word}.1")).then_some(())
    });
    let planned = json(&next.muster(&["out", &agent, "--dry-run", "--json"]));
    let report = json(&next.muster(&["out", &agent, "--yes", "--json"]));
    assert_eq!(report["left"], json!([]), "{report}");
    assert_eq!(planned["files"], report["touched"]["files"]);
    assert_eq!(commands(&planned), BTreeSet::from([format!("sleep {word}.1")]), "{planned}");
    assert_eq!(alive(&format!("sleep {word}")), Vec::<String>::new());
    assert!(!hook.exists());
    assert!(next.muster(&["restore", &text(&report, "id")]).status.success());
    assert!(fs::read_to_string(&hook).unwrap().contains(&word));
    drop(next);
    // The same inputs give the same again.
    let replay = Command::new(MUSTER).args(["replay", "--data"]).arg(data.path()).output().unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stdout));
}
