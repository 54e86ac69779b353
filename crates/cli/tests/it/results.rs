//! Results in the accounts of the real agents, honest and forged.

use std::fs;
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
    // By then its own program is known, and the first of the script's steps waits.
    daemon.wait("question to the model", || {
        let agent =
            daemon.roll().into_iter().find(|a| text(a, "product") == product && !a["mandate"].is_null())?;
        daemon.list(&["events", "--agent", &text(&agent, "agent"), "--kind", "http"]).pop()
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

/// Outputs long and short, coloured, binary, drawn over, late, of all kinds of programs.
const OUTPUTS: &[&str] = &[
    "echo hello",
    "true",
    "ls -la",
    "echo out; echo err >&2; exit 3",
    "printf 'no newline at end'",
    "printf '\\033[31mred\\033[0m and \\033[1mbold\\033[0m\\n'",
    "git log --oneline; git status; git diff --stat",
    "seq 1 300",
    "seq 1 3000",
    "seq 1 30000",
    "head -c 3000 /dev/urandom",
    "printf '\\x00\\x01bin\\x02\\n'",
    "printf '10%%\\r20%%\\r30%%\\ndone\\n'",
    "cat README; cat README; echo done",
    "for i in 1 2 3; do echo \"line $i\"; sleep 0.05; done",
    "(sleep 0.4; echo late) & echo early",
    "echo 'key sk-ant-0123456789abcdefghijABCDEFGHIJ end'",
    "ls /nowhere",
    "cat README | tr a-z A-Z | tee copy.txt | sort",
    "echo hidden > file.txt",
    "exec 3>&1; echo three >&3",
    "echo '  indented   text  '; echo; echo; printf '\\ttab\\n'",
    "echo 'ünïcödé ✓ 日本語'",
    "yes | head -30",
    "awk 'BEGIN{for(i=0;i<300;i++) print \"row\", i, i*i}'",
    "echo '<tag>&amp; \"quotes\" \\ back'",
    "env | sort | head -5",
    "cd /tmp && pwd",
    "cd /tmp; exit 4",
    "tput cols; stty size; tty",
    "diff README copy.txt",
    "cp README b.txt && cat README b.txt > c.txt && cat c.txt",
    "printf '%0500d\\n' 7",
    "echo 'Exit code 7'; echo 'Process Group PGID: 9'; echo '(no output)'",
    "dd if=/dev/zero bs=1k count=2 | wc -c",
    "git diff --no-index --color=always README copy.txt",
    "sh -c 'echo from sh; echo to err >&2' | cat",
    "time true",
    "set -x; echo traced",
    "for i in 1 2 3 4; do (echo a$i; echo b$i >&2) & done; wait",
    "git --version; uname -s; id -un; date +%Y",
];

#[track_caller]
fn honest_outputs(agent: Agent) {
    let (Some(installed), Some(daemon)) = (installed(agent), Daemon::start()) else { return };
    let dir = project();
    let mut steps: Vec<Step> = OUTPUTS.iter().map(|command| Step::shell(*command)).collect();
    steps.push(Step::last("I have seen all of it."));
    let _home = run(&daemon, &installed, dir.path(), Script::new(steps), true);
    let found = daemon.finished(agent.name(), dir.path());
    assert_eq!(daemon.codes(&text(&found, "agent")), [""; 0], "{}", show(&daemon, &found));
}

/// One line of an output is another in the account; another output is not what it was at all.
#[track_caller]
fn forged_output(agent: Agent) {
    let (Some(installed), Some(daemon)) = (installed(agent), Daemon::start()) else { return };
    let dir = project();
    fs::write(dir.path().join("one"), "ran 12 tests\n1 has failed\nthe end\n").unwrap();
    fs::write(dir.path().join("two"), "nothing works\n").unwrap();
    let script = Script::new([
        // Until the daemon is paused.
        Step::Wait(4_000),
        Step::shell("cat one"),
        Step::shell("cat two"),
        Step::shell("echo honest"),
        Step::last("It works."),
    ]);
    let (_home, found) = run_and_forge(&daemon, &installed, dir.path(), script, |home| {
        forge::output(agent, home, "1 has failed", "0 have failed");
        forge::output(agent, home, "nothing works", "all is well");
    });
    let id = text(&found, "agent");
    let mut said: Vec<String> = daemon
        .findings(&id)
        .iter()
        .map(|f| format!("{} {}: {}", text(f, "severity"), text(f, "code"), text(f, "summary")))
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "high result-mismatch: its account shows `all is well` as output of `cat two`, which did not write it",
            "medium result-mismatch: its account shows `0 have failed` as output of `cat one`, which did not write it",
        ],
        "{}",
        show(&daemon, &found)
    );
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
    outputs_claude_code: honest_outputs(Agent::ClaudeCode);
    outputs_codex: honest_outputs(Agent::Codex);
    outputs_gemini_cli: honest_outputs(Agent::GeminiCli);
    outputs_opencode: honest_outputs(Agent::OpenCode);
    forged_output_claude_code: forged_output(Agent::ClaudeCode);
    forged_output_codex: forged_output(Agent::Codex);
    forged_output_gemini_cli: forged_output(Agent::GeminiCli);
    forged_output_opencode: forged_output(Agent::OpenCode);
    forged_success_claude_code: forged_success(Agent::ClaudeCode);
    forged_success_codex: forged_success(Agent::Codex);
    forged_success_gemini_cli: forged_success(Agent::GeminiCli);
    forged_success_opencode: forged_success(Agent::OpenCode);
}
