//! What a daemon could not see is in its record: it was killed, stopped, or stood still, while an agent ran.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::rig::{Daemon, Folder, MUSTER, text};

/// An agent by enrolment, which lives until it is killed.
struct Agent(Child);

impl Agent {
    fn start(daemon: &Daemon, label: &str) -> Self {
        let child = Command::new(MUSTER)
            .args(["run", "--label", label, "--data"])
            .arg(daemon.data.path())
            .args(["--", "sleep", "300"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self(child);
        daemon.wait(&format!("agent {label}"), || of(daemon, label));
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn of(daemon: &Daemon, label: &str) -> Option<Value> {
    daemon.roll().into_iter().find(|agent| text(agent, "label") == label)
}

fn causes(agent: &Value) -> Vec<String> {
    agent["coverage_detail"]["gaps"].as_array().unwrap().iter().map(|gap| text(gap, "cause")).collect()
}

fn gaps(daemon: &Daemon, cause: &str) -> Vec<Value> {
    daemon.list(&["gaps"]).into_iter().filter(|gap| text(gap, "cause") == cause).collect()
}

fn boot_seconds(gap: &Value) -> u64 {
    (gap["boot_to_ns"].as_u64().unwrap() - gap["boot_from_ns"].as_u64().unwrap()) / 1_000_000_000
}

fn again(folder: &Folder) -> Daemon {
    Daemon::start_at(folder.path(), &[]).unwrap()
}

#[test]
fn a_daemon_that_was_killed_or_stopped_saw_nothing_meanwhile() {
    let Some(daemon) = Daemon::start() else { return };
    let stays = Agent::start(&daemon, "stays");
    let goes = Agent::start(&daemon, "goes");
    // Whatever else runs on this machine: nothing of these two is missing.
    let before = of(&daemon, "stays").unwrap();
    assert_eq!(causes(&before), [""; 0], "{before:#}");
    assert!(daemon.list(&["gaps"]).iter().all(|gap| text(gap, "cause") != "daemon_down"));
    std::thread::sleep(Duration::from_secs(1));

    let folder = daemon.kill();
    drop(goes);
    std::thread::sleep(Duration::from_secs(3));
    let daemon = again(&folder);
    let down = gaps(&daemon, "daemon_down");
    assert_eq!(down.len(), 1, "{down:#?}");
    let gap = &down[0];
    assert!((3..30).contains(&boot_seconds(gap)), "{gap:#}");
    assert!(gap["boot_id_before"].is_null() && gap["agent"].is_null(), "{gap:#}");
    assert!(text(gap, "detail").contains("ended without a word"), "{gap:#}");

    let after = daemon.wait("the agent again", || of(&daemon, "stays").filter(|a| a["state"] == "running"));
    assert_eq!(causes(&after), ["daemon_down"], "{after:#}");
    assert_eq!(after["coverage_detail"]["record_whole"], false, "{after:#}");
    assert_eq!(text(&after, "coverage"), "partial");
    let gone = of(&daemon, "goes").unwrap();
    assert_eq!((text(&gone, "state").as_str(), causes(&gone)), ("ended", vec!["daemon_down".to_owned()]));
    assert_eq!(text(&gone, "coverage"), "partial");
    let later = Agent::start(&daemon, "later");
    assert_eq!(causes(&of(&daemon, "later").unwrap()), [""; 0]);
    let shown = String::from_utf8(daemon.muster(&["show", &text(&after, "agent")]).stdout).unwrap();
    assert!(shown.contains("gap: ") && shown.contains("nobody watched"), "{shown}");
    let listed = String::from_utf8(daemon.muster(&["gaps"]).stdout).unwrap();
    assert!(listed.contains("nobody watched"), "{listed}");
    let of_later = daemon.list(&["gaps", "--agent", &text(&of(&daemon, "later").unwrap(), "agent")]);
    assert!(of_later.iter().all(|gap| text(gap, "cause") != "daemon_down"), "{of_later:#?}");

    // In good order: it is a gap all the same, and it says so. An index made anew has both.
    drop(daemon);
    let daemon = again(&folder);
    let down = gaps(&daemon, "daemon_down");
    assert_eq!(down.len(), 2, "{down:#?}");
    assert!(text(&down[1], "detail").contains("stopped in good order"), "{down:#?}");
    drop(daemon);
    std::fs::remove_file(folder.path().join("index.db")).unwrap();
    let daemon = again(&folder);
    let anew = gaps(&daemon, "daemon_down");
    assert_eq!(anew[..2], down, "{anew:#?}");
    let replayed = String::from_utf8(daemon.muster(&["replay"]).stdout).unwrap();
    assert!(replayed.contains(": the same"), "{replayed}");
    drop((stays, later));
}

#[test]
fn a_daemon_that_stood_still_looked_late() {
    let Some(daemon) = Daemon::start() else { return };
    let _agent = Agent::start(&daemon, "watched");
    let paused = daemon.paused();
    std::thread::sleep(Duration::from_secs(7));
    drop(paused);
    let stalled = daemon.wait("a stall", || gaps(&daemon, "stalled").into_iter().next());
    assert!((6..30).contains(&boot_seconds(&stalled)), "{stalled:#}");
    let agent = daemon.wait("it with the agent", || {
        of(&daemon, "watched").filter(|agent| causes(agent).contains(&"stalled".to_owned()))
    });
    // The kernel kept what was done meanwhile.
    let lost = gaps(&daemon, "lost");
    assert!(!lost.is_empty() || agent["coverage_detail"]["record_whole"] == true, "{agent:#}");
}
