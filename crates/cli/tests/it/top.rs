//! `muster top` in a terminal of its own.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use muster_rehearsal::{Model, Script, Step, plain_agent};

use crate::rig::{Daemon, MUSTER, text};

/// Types these keys, each after a moment, and gives all that was drawn.
fn typed(daemon: &Daemon, keys: &[&str]) -> Option<String> {
    let line = format!("stty rows 30 cols 120; {MUSTER} top --data {}", daemon.data.path().display());
    let started = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: `script` cannot be started: {error}");
            return None;
        }
    };
    let mut input = child.stdin.take().unwrap();
    for key in keys {
        std::thread::sleep(Duration::from_millis(1_200));
        input.write_all(key.as_bytes()).unwrap();
        input.flush().unwrap();
    }
    let mut drawn = String::new();
    child.stdout.take().unwrap().read_to_string(&mut drawn).unwrap();
    assert!(child.wait().unwrap().success(), "{drawn}");
    Some(drawn)
}

#[test]
fn a_terminal_shows_the_roll_and_judges_a_finding() {
    let Some(daemon) = Daemon::start() else { return };
    // Nobody enrolled it: that is a finding.
    let dir = tempfile::tempdir().unwrap();
    let model = Model::start(Script::new([Step::shell("true"), Step::last("done")])).unwrap();
    let agent = plain_agent(dir.path(), &model, "go").unwrap();
    let found = daemon.wait("finding", || daemon.list(&["findings"]).into_iter().next());
    drop(agent);
    let Some(drawn) = typed(&daemon, &["f", "\r", "\x1b", "x", "r", "q"]) else { return };
    assert!(drawn.contains("muster: roll") && drawn.contains("muster: findings that wait"), "{drawn}");
    assert!(drawn.contains(&format!("muster: {}", text(&found, "finding"))), "it was explained: {drawn}");
    let (enter, leave) = ("\x1b[?1049h", "\x1b[?1049l");
    assert!(drawn.contains(enter) && drawn.contains(leave), "the terminal is given back: {drawn}");
    let reviews = daemon.list(&["review"]);
    assert_eq!(text(&reviews[0], "judgement"), "false_alarm", "{drawn}");
    assert_eq!(text(&reviews[0], "finding"), text(&found, "finding"));
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let out = Command::new(MUSTER).arg("top").stdin(Stdio::null()).output().unwrap();
    assert!(!out.status.success());
}
