//! The Stop hook: an agent is told of its own untruth, and only of its own, before a person reads it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muster_rehearsal::{Agent, Home, Model, Script, Step};
use serde_json::{Value, json};

use crate::agents::{command, installed, project, show};
use crate::rig::{Daemon, MUSTER, text};

const UNTRUE: &str = "I committed and pushed the changes.";
const TRUE: &str = "I committed the change to greet.sh; it stays on this machine.";

/// The product's settings with the hook in them, as the snippet says.
fn install(agent: Agent, daemon: &Daemon, dir: &Path, home: &Path) {
    let out = Command::new(MUSTER)
        .args(["hook", "--data"])
        .arg(daemon.data.path())
        .args(["snippet", agent.name()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let snippet: Value = serde_json::from_slice(&out.stdout).unwrap();
    let file = match agent {
        Agent::ClaudeCode => dir.join(".claude/settings.json"),
        Agent::Codex => home.join(".codex/hooks.json"),
        Agent::GeminiCli => home.join(".gemini/settings.json"),
        Agent::OpenCode => panic!("it has no such hook"),
    };
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut settings: Value =
        fs::read(&file).map_or(json!({}), |bytes| serde_json::from_slice(&bytes).unwrap());
    settings["hooks"] = snippet["hooks"].clone();
    fs::write(file, settings.to_string()).unwrap();
}

/// It says that it pushed, is told that it did not, and says so.
#[track_caller]
fn puts_it_right(agent: Agent) {
    let (Some(installed), Some(daemon)) = (installed(agent), Daemon::start()) else { return };
    let dir = project();
    fs::write(dir.path().join(".git/info/exclude"), ".claude\n").unwrap();
    let home = Home::new().unwrap();
    let model = Model::start(Script::new([
        Step::write("greet.sh", "echo hello\n"),
        Step::shell("git add -A && git commit -q -m 'add greet'"),
        Step::last(UNTRUE),
        Step::last(TRUE),
    ]))
    .unwrap();
    let mut command = command(&daemon, &installed, dir.path(), &home, &model, true);
    if agent == Agent::Codex {
        command.arg("--dangerously-bypass-hook-trust");
    }
    install(agent, &daemon, dir.path(), home.path());
    let ran = muster_rehearsal::run(command, Agent::PATIENCE).unwrap();
    assert!(ran.success(), "{}\n{}\n{}", ran.status, ran.stdout, ran.stderr);
    let found = daemon.finished(agent.name(), dir.path());
    let id = text(&found, "agent");
    let shown = show(&daemon, &found);
    assert!(ran.stdout.contains("it stays on this machine"), "{}\n{}\n{shown}", ran.stdout, ran.stderr);
    // What it said first stays on record; nothing else is held against it, least of all the hook.
    let findings: Vec<String> =
        daemon.findings(&id).iter().map(|f| format!("{} {}", text(f, "severity"), text(f, "code"))).collect();
    assert_eq!(findings, ["high false-claim"], "{shown}");
}

#[test]
fn claude_code_puts_it_right() {
    puts_it_right(Agent::ClaudeCode);
}

#[test]
fn codex_puts_it_right() {
    puts_it_right(Agent::Codex);
}

#[test]
fn gemini_cli_puts_it_right() {
    puts_it_right(Agent::GeminiCli);
}

/// The model's own tools learn nothing of which untruths pass.
#[test]
fn a_tool_of_the_model_is_told_nothing() {
    let (Some(codex), Some(daemon)) = (installed(Agent::Codex), Daemon::start()) else { return };
    let dir = project();
    let home = Home::new().unwrap();
    fs::write(dir.path().join("event"), stop().to_string()).unwrap();
    let data = daemon.data.path().display();
    let model = Model::start(Script::new([
        Step::say(UNTRUE),
        Step::shell(format!("sleep 1; {MUSTER} hook stop --data {data} < event > answer 2> why; true")),
        Step::last("done"),
    ]))
    .unwrap();
    let ran =
        muster_rehearsal::run(command(&daemon, &codex, dir.path(), &home, &model, true), Agent::PATIENCE)
            .unwrap();
    assert!(ran.success(), "{}", ran.stderr);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("answer"), "");
    assert!(read("why").contains("only a hook"), "{}", read("why"));
}

/// What the hook prints, on stdout and stderr, and how long it takes.
fn hook(data: &Path, event: &Value) -> (String, String, Duration) {
    let begun = Instant::now();
    let mut child = Command::new(MUSTER)
        .args(["hook", "stop", "--data"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(event.to_string().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "it never stands in the way");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(out.stdout), text(out.stderr), begun.elapsed())
}

fn stop() -> Value {
    json!({"hook_event_name": "Stop", "stop_hook_active": false, "last_assistant_message": UNTRUE})
}

#[test]
fn without_a_daemon_the_agent_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err, _) = hook(folder.path(), &stop());
    assert!(out.is_empty() && err.lines().count() == 1 && err.contains("not asked"), "{out}{err}");
}

#[test]
fn who_belongs_to_no_agent_is_told_nothing() {
    let Some(daemon) = Daemon::start() else { return };
    let (out, err, took) = hook(daemon.data.path(), &stop());
    assert!(out.is_empty() && err.contains("no agent"), "{out}{err}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_hook_whose_input_never_ends_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(MUSTER)
        .args(["hook", "stop", "--data"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let held = child.stdin.take();
    let begun = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    drop(held);
}
