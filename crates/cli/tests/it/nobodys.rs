//! Agents of nobody's make, programs that are agents in name only, and acts against Muster itself.

use std::time::Duration;

use muster_rehearsal::{
    Agent, Home, Model, Script, Step, curl_agent, name_only_claude, name_only_langchain, plain_agent,
};
use serde_json::Value;

use crate::agents::{command, installed, project, show};
use crate::rig::{Daemon, text};

const PATIENCE: Duration = Duration::from_secs(30);

fn script() -> Script {
    Script::new([Step::shell("touch first"), Step::shell("echo 2 > second"), Step::last("done")])
}

/// The three cases that peers get wrong, and a shell script around curl.
#[test]
fn agents_are_known_by_what_they_do_and_not_by_their_names() {
    let Some(daemon) = Daemon::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let model = Model::start(script()).unwrap();
    let claude = name_only_claude(dir.path()).unwrap();
    let langchain = name_only_langchain(dir.path()).unwrap();
    let mut python = plain_agent(dir.path(), &model, "go").unwrap();
    assert!(python.wait(PATIENCE).unwrap().success());
    let mut shell = curl_agent(dir.path(), &model, "go").unwrap();
    assert!(shell.wait(PATIENCE).unwrap().success());
    for (pid, posted) in [(python.pid(), "/v1/chat/completions"), (shell.pid(), "/v1/chat/completions")] {
        let found = daemon.wait("agent of nobody's make", || {
            daemon.roll().into_iter().find(|a| a["root_pid"].as_u64() == Some(u64::from(pid)))
        });
        assert_eq!(found["mandate"], Value::Null);
        assert!(text(&found, "found_by").contains(posted), "{found}");
        assert_eq!(daemon.codes(&text(&found, "agent")), ["unmandated-agent"], "{}", show(&daemon, &found));
    }
    std::thread::sleep(Duration::from_secs(2));
    let pids: Vec<u64> = daemon.roll().iter().filter_map(|a| a["root_pid"].as_u64()).collect();
    assert_eq!(pids.len(), 2, "{:#?}", daemon.roll());
    for stranger in [claude.pid(), langchain.pid()] {
        assert!(!pids.contains(&u64::from(stranger)));
    }
}

/// An agent that goes for the daemon's files and for its own account.
#[test]
fn tampering_is_found() {
    let (Some(codex), Some(daemon)) = (installed(Agent::Codex), Daemon::start()) else { return };
    let dir = project();
    let home = Home::new().unwrap();
    let data = daemon.data.path().display().to_string();
    let model = Model::start(Script::new([
        Step::shell(format!("echo x > {data}/note; kill -0 $(pgrep -of 'muster watch.*{data}'); kill -WINCH $(pgrep -of 'muster watch.*{data}')")),
        Step::shell("for f in $CODEX_HOME/sessions/*/*/*/*.jsonl ~/.codex/sessions/*/*/*/*.jsonl; do echo '{}' >> $f; done; true"),
        Step::last("done"),
    ]))
    .unwrap();
    let ran =
        muster_rehearsal::run(command(&daemon, &codex, dir.path(), &home, &model, true), Agent::PATIENCE)
            .unwrap();
    assert!(ran.success(), "{}", ran.stderr);
    let found = daemon.finished("codex", dir.path());
    let shown = show(&daemon, &found);
    let findings = daemon.findings(&text(&found, "agent"));
    let has = |code: &str, words: &str| {
        assert!(
            findings.iter().any(|f| text(f, "code") == code && text(f, "summary").contains(words)),
            "no {code} with {words}: {findings:#?}\n{shown}"
        );
    };
    has("monitor-tampering", "wrote to Muster's own file");
    has("monitor-tampering", "sent signal 28 to Muster's daemon");
    has("account-tampered", "wrote to an account of codex");
    assert!(!findings.iter().any(|f| text(f, "summary").contains("signal 0")));
}

/// The daemon is stopped and started again while an enrolled agent lives: it stays enrolled, and nothing is lost of before.
#[test]
fn enrolment_outlives_the_daemon() {
    let (Some(codex), Some(daemon)) = (installed(Agent::Codex), Daemon::start()) else { return };
    let dir = project();
    let home = Home::new().unwrap();
    let model = Model::start(Script::new([
        Step::shell("echo before"),
        Step::Wait(9_000),
        Step::shell("echo after"),
        Step::last("done"),
    ]))
    .unwrap();
    let mut child = command(&daemon, &codex, dir.path(), &home, &model, true)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let before = daemon
        .wait("first call", || daemon.roll().into_iter().find(|a| a["calls_joined"].as_u64() == Some(1)));
    let last_seq = daemon.list(&["events", "--last", "1"])[0]["seq"].as_u64().unwrap();
    let data = daemon.stop();
    let daemon = Daemon::start_in(data, &[]).unwrap();
    assert!(child.wait().unwrap().success());
    let after = daemon.wait("the same agent, ended", || {
        daemon.roll().into_iter().find(|a| a["root_pid"] == before["root_pid"] && a["state"] == "ended")
    });
    assert_eq!(after["agent"], before["agent"]);
    assert_eq!(after["mandate"], before["mandate"]);
    assert_eq!(daemon.codes(&text(&after, "agent")), [""; 0], "{}", show(&daemon, &after));
    let events = daemon.list(&["events", "--agent", &text(&after, "agent")]);
    let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted() && seqs.iter().any(|s| *s <= last_seq) && seqs.iter().any(|s| *s > last_seq));
    assert_eq!(daemon.roll().len(), 1);
}

/// A user who is not root enrols what that user starts, under the name that the kernel knows; naming another is refused.
#[test]
fn every_user_may_enrol_in_their_own_name() {
    let Some(daemon) = Daemon::start() else { return };
    let program = tempfile::tempdir().unwrap();
    let muster = program.path().join("muster");
    std::fs::copy(crate::rig::MUSTER, &muster).unwrap();
    std::fs::set_permissions(program.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(&muster);
        command.args(["run", "--data"]).arg(daemon.data.path()).args(more).args(["--", "sleep", "0.3"]);
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        std::os::unix::process::CommandExt::gid(&mut command, 65_534);
        command.output().unwrap()
    };
    let out = run(&[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let agent = daemon.wait("nobody's agent", || daemon.roll().pop());
    assert!(text(&agent, "principal").starts_with("nobody@"), "{agent}");
    let out = run(&["--principal", "root@elsewhere"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("only root may name another principal"));
    assert_eq!(daemon.roll().len(), 1);
}

/// An agent that nobody enrolled cannot launder what it starts.
#[test]
fn an_unmandated_agent_enrols_nobody() {
    let Some(daemon) = Daemon::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run =
        format!("{} run --data {} -- touch laundered", crate::rig::MUSTER, daemon.data.path().display());
    let model = Model::start(Script::new([Step::shell(run), Step::last("done")])).unwrap();
    let mut agent = plain_agent(dir.path(), &model, "go").unwrap();
    assert!(agent.wait(PATIENCE).unwrap().success());
    daemon.wait("the agent", || daemon.roll().into_iter().find(|a| a["state"] == "ended"));
    assert!(!dir.path().join("laundered").exists());
    assert!(daemon.roll().iter().all(|a| a["mandate"].is_null()), "{:#?}", daemon.roll());
    assert!(daemon.said().contains("refused"), "{}", daemon.said());
}
