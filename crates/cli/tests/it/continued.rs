//! Sessions that are taken up again, or forked: what an earlier run did is no phantom of the later one, and what the later one
//! does is matched.

use std::path::Path;
use std::process::Command;

use muster_rehearsal::{Agent, Home, Model, Script, Step};
use serde_json::Value;

use crate::agents::{command, installed, project, show};
use crate::rig::{Daemon, text};

fn first() -> Vec<Step> {
    vec![
        Step::write("greet.sh", "echo hello\n"),
        Step::shell("sh greet.sh > out.txt"),
        Step::last("greet.sh is there."),
    ]
}

fn second() -> Vec<Step> {
    let mut steps = first();
    steps.extend([
        Step::shell("git add -A && git commit -q -m 'add greet'"),
        Step::write("notes.md", "# Notes\n"),
        Step::shell("wc -l notes.md"),
        Step::last("I committed greet.sh and wrote notes.md."),
    ]);
    steps
}

/// The same command line, going on with the last session.
fn go_on(agent: Agent, command: &Command, fork: bool) -> Command {
    let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    let (prompt, rest) = arguments.split_last().unwrap();
    let mut again = Command::new(command.get_program());
    if let Some(dir) = command.get_current_dir() {
        again.current_dir(dir);
    }
    again.env_clear();
    again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    match agent {
        Agent::Codex => again.args(rest).args(["resume", "--last"]).arg(prompt),
        Agent::ClaudeCode => again.args(&arguments).arg("--continue").args(fork.then_some("--fork-session")),
        Agent::OpenCode => again.args(&arguments).arg("--continue").args(fork.then_some("--fork")),
        Agent::GeminiCli => again.args(&arguments).args(["--resume", "latest"]),
    };
    again
}

fn run(
    daemon: &Daemon,
    agent: Agent,
    dir: &Path,
    home: &Home,
    steps: Vec<Step>,
    again: Option<bool>,
) -> bool {
    let Some(installed) = installed(agent) else { return false };
    let model = Model::start(Script::new(steps)).unwrap();
    let mut start = command(daemon, &installed, dir, home, &model, true);
    if let Some(fork) = again {
        start = go_on(agent, &start, fork);
    }
    let ran = muster_rehearsal::run(start, Agent::PATIENCE).unwrap();
    assert!(ran.success(), "{}\n{}\n{}", ran.status, ran.stdout, ran.stderr);
    true
}

/// The agents that worked in this folder, in the order of their beginning.
fn of(daemon: &Daemon, dir: &Path) -> Vec<Value> {
    let dir = dir.canonicalize().unwrap();
    let mut roll = daemon.roll();
    roll.retain(|agent| Path::new(&daemon.cwd(agent)) == dir);
    roll.sort_by_key(|agent| text(agent, "started"));
    roll
}

#[track_caller]
fn continued(agent: Agent, fork: bool) {
    let Some(daemon) = Daemon::start() else { return };
    let (dir, home) = (project(), Home::new().unwrap());
    if !run(&daemon, agent, dir.path(), &home, first(), None) {
        return;
    }
    daemon.finished(agent.name(), dir.path());
    run(&daemon, agent, dir.path(), &home, second(), Some(fork));
    let both = daemon.wait("second agent that has ended", || {
        let roll = of(&daemon, dir.path());
        let ended = |a: &Value| text(a, "state") == "ended" && a["calls_joined"].as_u64() >= Some(1);
        (roll.len() == 2 && roll.iter().all(ended)).then_some(roll)
    });
    // What is waited for in case it does not come.
    std::thread::sleep(std::time::Duration::from_secs(6));
    for agent in &both {
        let shown = show(&daemon, agent);
        assert_eq!(
            daemon.codes(&text(agent, "agent")),
            [""; 0],
            "{:#?}\n{shown}",
            daemon.findings(&text(agent, "agent"))
        );
    }
    let joined: Vec<(u64, u64)> = of(&daemon, dir.path())
        .iter()
        .map(|a| (a["calls"].as_u64().unwrap(), a["calls_joined"].as_u64().unwrap()))
        .collect();
    assert!(joined.iter().all(|(calls, joined)| calls == joined), "{joined:?} {}", show(&daemon, &both[1]));
}

#[test]
fn a_resumed_claude_code() {
    continued(Agent::ClaudeCode, false);
}

#[test]
fn a_forked_claude_code() {
    continued(Agent::ClaudeCode, true);
}

#[test]
fn a_resumed_codex() {
    continued(Agent::Codex, false);
}

#[test]
fn a_resumed_gemini_cli() {
    continued(Agent::GeminiCli, false);
}

#[test]
fn a_resumed_opencode() {
    continued(Agent::OpenCode, false);
}

#[test]
fn a_forked_opencode() {
    continued(Agent::OpenCode, true);
}
