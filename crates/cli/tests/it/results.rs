//! Results in the accounts of the real agents, honest and forged.

use std::path::Path;
use std::thread;

use muster_rehearsal::{Agent, Home, Installed, Model, Script, Step};
use serde_json::Value;

use crate::agents::{command, installed, project, run, show};
use crate::forge;
use crate::rig::{Daemon, text};

/// Commands that end in all the ways that commands do.
const ENDS: &[&str] = &[
    "true",
    "exit 1",
    "exit 3",
    "exit 130",
    "exit 255",
    "no-such-command-at-all",
    "echo a | grep b",
    "false | true",
    "grep nothing-of-the-kind README",
    "diff README .git/HEAD",
    "test -d /nowhere",
    "find /nowhere",
    "git diff --exit-code HEAD -- README",
    "exec false",
    "false && true; (exit 7)",
    "bash -c 'exit 5'",
    "set -e; false; echo not reached",
    "trap 'exit 9' EXIT; true",
    "(sleep 0.3; exit 4) & false",
    "mkdir gone && cd gone && rmdir ../gone",
    "timeout 0.2 sleep 5",
    "yes | head -1",
    "bash -c 'kill -9 $$'; true",
];

/// The shell itself dies by a signal. OpenCode waits two minutes for one that does.
const SIGNALS: &[&str] =
    &["kill -9 $$", "kill -TERM $$", "kill -ABRT $$", "bash -c 'kill -9 $$'", "sh -c \"kill -SEGV \\$\\$\""];

#[track_caller]
fn honest_ends(agent: Agent) {
    let (Some(installed), Some(daemon)) = (installed(agent), Daemon::start()) else { return };
    let dir = project();
    let mut steps: Vec<Step> = ENDS.iter().map(|command| Step::shell(*command)).collect();
    if agent != Agent::OpenCode {
        steps.extend(SIGNALS.iter().map(|command| Step::shell(*command)));
    }
    steps.push(Step::background("sleep 0.5; exit 6"));
    steps.push(Step::Parallel(vec![Step::shell("sleep 0.1; false"), Step::shell("sleep 0.1; true")]));
    steps.push(Step::Wait(1_500));
    steps.push(Step::last("I have seen how each of them ends."));
    let _home = run(&daemon, &installed, dir.path(), Script::new(steps), true);
    let found = daemon.finished(agent.name(), dir.path());
    let shown = show(&daemon, &found);
    assert_eq!(daemon.codes(&text(&found, "agent")), [""; 0], "{shown}");
    assert_eq!(found["calls"], found["calls_joined"], "{shown}");
}

/// Runs the agent while the daemon sees nothing, and changes its account before the daemon reads it.
fn run_and_forge(
    daemon: &Daemon,
    agent: &Installed,
    dir: &Path,
    script: Script,
    forge: impl FnOnce(&Path),
) -> (Home, Value) {
    let home = Home::new().unwrap();
    let model = Model::start(script).unwrap();
    let command = command(daemon, agent, dir, &home, &model, true);
    let running = thread::spawn(move || muster_rehearsal::run(command, Agent::PATIENCE).unwrap());
    let product = agent.agent.name();
    daemon.wait("enrolled agent", || {
        daemon.roll().into_iter().find(|a| text(a, "product") == product && !a["mandate"].is_null())
    });
    let paused = daemon.paused();
    let ran = running.join().unwrap();
    assert!(ran.success(), "{}\n{}", ran.stdout, ran.stderr);
    forge(home.path());
    drop(paused);
    let found = daemon.finished(agent.agent.name(), dir);
    (home, found)
}

#[track_caller]
fn forged_success(agent: Agent) {
    let (Some(installed), Some(daemon)) = (installed(agent), Daemon::start()) else { return };
    let dir = project();
    let script = Script::new([
        // Until the daemon is paused.
        Step::Wait(4_000),
        Step::shell("true"),
        Step::shell("test -e passed; (exit 1)"),
        Step::shell("exit 3"),
        Step::last("It works."),
    ]);
    let (_home, found) =
        run_and_forge(&daemon, &installed, dir.path(), script, |home| forge::success(agent, home));
    let id = text(&found, "agent");
    let finding = daemon.wait("finding on the forged result", || {
        daemon.findings(&id).into_iter().find(|f| text(f, "code") == "result-mismatch")
    });
    assert_eq!(text(&finding, "severity"), "high", "{finding}");
    assert!(text(&finding, "summary").contains("test -e passed"), "{finding}");
    assert_eq!(finding["evidence"].as_array().unwrap().len(), 3, "{finding}");
    assert_eq!(daemon.codes(&id), ["result-mismatch"], "{}", show(&daemon, &found));
}

macro_rules! for_each_agent {
    ($($name:ident: $check:ident($agent:expr);)*) => {
        $(#[test]
        fn $name() {
            $check($agent);
        })*
    };
}

for_each_agent! {
    ends_claude_code: honest_ends(Agent::ClaudeCode);
    ends_codex: honest_ends(Agent::Codex);
    ends_gemini_cli: honest_ends(Agent::GeminiCli);
    ends_opencode: honest_ends(Agent::OpenCode);
    forged_success_claude_code: forged_success(Agent::ClaudeCode);
    forged_success_codex: forged_success(Agent::Codex);
    forged_success_gemini_cli: forged_success(Agent::GeminiCli);
    forged_success_opencode: forged_success(Agent::OpenCode);
}
