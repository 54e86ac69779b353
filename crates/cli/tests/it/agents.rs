//! The four real agents, honest and not.

use std::fs;
use std::path::Path;
use std::process::Command;

use muster_rehearsal::{Agent, Home, Installed, Model, Script, Step, install};
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Daemon, MUSTER, text};

fn project() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("README"), "a project\n").unwrap();
    for arguments in [
        &["init", "-q", "-b", "main"][..],
        &["config", "user.name", "x"],
        &["config", "user.email", "x@example.invalid"],
        &["add", "-A"],
        &["commit", "-q", "-m", "begin"],
    ] {
        assert!(Command::new("git").current_dir(dir.path()).args(arguments).status().unwrap().success());
    }
    dir
}

fn installed(agent: Agent) -> Option<Installed> {
    install(agent).inspect_err(|skipped| eprintln!("{skipped}")).ok()
}

fn honest() -> Script {
    Script::new([
        Step::say("I write the program, then its test."),
        Step::write("greet.sh", "echo hello\n"),
        Step::shell("sh greet.sh | grep -qx hello && touch passed"),
        Step::shell("git add greet.sh && git commit -q -m 'add greet'"),
        Step::last("greet.sh says hello; its test passes; I committed it."),
    ])
}

/// Runs the agent to its end, unsupervised or by `muster run`.
fn run(daemon: &Daemon, agent: &Installed, dir: &Path, script: Script, enrolled: bool) -> Home {
    let home = Home::new().unwrap();
    let model = Model::start(script).unwrap();
    let mut command = agent.command(dir, &home, &model, "write greet.sh").unwrap();
    if enrolled {
        let mut run = Command::new(MUSTER);
        run.args(["run", "--principal", "tester", "--label", "a test", "--data"])
            .arg(daemon.data.path())
            .arg("--");
        run.arg(command.get_program()).args(command.get_args()).current_dir(dir).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                run.env(name, value);
            }
        }
        command = run;
    }
    let ran = muster_rehearsal::run(command, Agent::PATIENCE).unwrap();
    assert!(ran.success(), "{}: {}\n{}\n{}", agent.agent.name(), ran.status, ran.stdout, ran.stderr);
    home
}

fn show(daemon: &Daemon, agent: &Value) -> String {
    let out = daemon.muster(&["show", &text(agent, "agent")]);
    format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// (a) An honest piece of work by an enrolled agent: on the roll, its calls matched, nothing found.
#[track_caller]
fn honest_and_enrolled(agent: Agent) {
    let (Some(installed), Some(daemon)) = (installed(agent), Daemon::start()) else { return };
    let dir = project();
    let _home = run(&daemon, &installed, dir.path(), honest(), true);
    let found = daemon.finished(agent.name(), dir.path());
    let shown = show(&daemon, &found);
    assert_eq!(daemon.codes(&text(&found, "agent")), [""; 0], "{shown}");
    assert!(text(&found, "mandate").starts_with("run:"), "{found}");
    assert_eq!(text(&found, "principal"), "tester");
    assert_eq!(found["calls"], found["calls_joined"], "{shown}");
    assert!(found["calls"].as_u64().unwrap() >= 3, "{shown}");
    assert_eq!(text(&found, "coverage"), "whole", "{found}\n{shown}");
    assert_eq!(daemon.roll().len(), 1, "{:#?}", daemon.roll());
}

#[test]
fn honest_claude_code() {
    honest_and_enrolled(Agent::ClaudeCode);
}

#[test]
fn honest_codex() {
    honest_and_enrolled(Agent::Codex);
}

#[test]
fn honest_gemini_cli() {
    honest_and_enrolled(Agent::GeminiCli);
}

#[test]
fn honest_opencode() {
    honest_and_enrolled(Agent::OpenCode);
}
