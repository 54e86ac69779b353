//! Claude Code, Codex, Gemini CLI and OpenCode do an honest piece of work under a scripted model.

use std::fs;
use std::path::Path;
use std::process::Command;

use muster_rehearsal::{Agent, Home, Installed, Model, Script, Step, install};
use tempfile::TempDir;

/// Without `$(…)`: Gemini CLI refuses it.
const TEST: &str = "sh greet.sh | grep -qx hello && touch passed";

/// A repository with a first commit.
fn project() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("README"), "a project\n").unwrap();
    git(dir.path(), &["init", "-q", "-b", "main"]);
    git(dir.path(), &["add", "-A"]);
    git(dir.path(), &["config", "user.name", "x"]);
    git(dir.path(), &["config", "user.email", "x@example.invalid"]);
    git(dir.path(), &["commit", "-q", "-m", "begin"]);
    dir
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let out = Command::new("git").current_dir(dir).args(arguments).output().unwrap();
    assert!(out.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn installed(agent: Agent) -> Option<Installed> {
    install(agent).inspect_err(|skipped| eprintln!("{skipped}")).ok()
}

fn honest_task() -> Script {
    Script::new([
        Step::say("I write the program, then its test."),
        Step::write("greet.sh", "echo hallo\n"),
        Step::edit("greet.sh", "echo hallo", "echo hello"),
        Step::shell(TEST),
        Step::Parallel(vec![Step::shell("echo one > one"), Step::shell("echo two > two")]),
        Step::shell("git add greet.sh && git commit -q -m 'add greet'"),
        Step::last("greet.sh says hello; its test passes; I committed it."),
    ])
}

#[track_caller]
fn check(agent: Agent) {
    let Some(installed) = installed(agent) else { return };
    let (dir, home) = (project(), Home::new().unwrap());
    let model = Model::start(honest_task()).unwrap();
    let ran = installed.run(dir.path(), &home, &model, "write greet.sh", Agent::PATIENCE).unwrap();
    eprintln!("{} took {:?}", agent.name(), ran.took);
    assert!(ran.success(), "{}: {}\n{}\n{}", agent.name(), ran.status, ran.stdout, ran.stderr);
    assert_eq!(model.problems(), [""; 0]);
    let asked: Vec<_> =
        model.requests().iter().filter(|r| r.api.is_some()).map(|r| r.calls.clone()).collect();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    assert_eq!(read("greet.sh"), "echo hello\n", "{asked:?}\n{}\n{}", ran.stdout, ran.stderr);
    assert!(dir.path().join("passed").exists(), "the test command ran");
    assert_eq!((read("one").as_str(), read("two").as_str()), ("one\n", "two\n"));
    assert_eq!(git(dir.path(), &["log", "--format=%s"]), "add greet\nbegin\n");
    assert!(ran.stdout.contains("I committed it"), "{}", ran.stdout);
}

#[test]
fn claude_code() {
    check(Agent::ClaudeCode);
}

#[test]
fn codex() {
    check(Agent::Codex);
}

#[test]
fn gemini_cli() {
    check(Agent::GeminiCli);
}

#[test]
fn opencode() {
    check(Agent::OpenCode);
}
