//! Secrets of a real agent's run: nowhere in what Muster keeps, the same mark in account and record, and revealed to who
//! knows them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use muster_rehearsal::{Agent, Script, Step};
use serde_json::Value;

use crate::agents::{installed, project, run, show};
use crate::rig::{Daemon, MUSTER, text};

const TOKEN: &str = "sk-ant-api03-Zx81kQ0pLmN4vB7cD2eF5gH9";
const PASSWORD: &str = "Tr0ub4dor!and=3";
const JSON: &str = "hunter2hunter2";

fn reveal(arguments: &[&str], data: &Path, value: &str) -> Output {
    let mut child = Command::new(MUSTER)
        .arg("reveal")
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that only checks does not read it.
    drop(child.stdin.take().unwrap().write_all(value.as_bytes()));
    child.wait_with_output().unwrap()
}

/// Files that hold the bytes, anywhere below.
pub fn holding(folder: &Path, bytes: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A living daemon puts files in the place of others.
        let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let meta = match fs::symlink_metadata(&path) {
            Err(error) if gone(&error) => continue,
            meta => meta.unwrap(),
        };
        if meta.is_dir() {
            found.extend(holding(&path, bytes));
        } else if meta.is_file() {
            let content = match fs::read(&path) {
                Err(error) if gone(&error) => continue,
                content => content.unwrap(),
            };
            if content.windows(bytes.len()).any(|window| window == bytes.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn places(found: &Value) -> Vec<String> {
    let places = found["found"][0]["places"].as_array().into_iter().flatten();
    places.map(|place| place.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn secrets_of(agent: Agent) {
    let (Some(installed), Some(daemon)) = (installed(agent), Daemon::start()) else { return };
    let dir = project();
    let script = Script::new([
        Step::shell(format!("echo \"Authorization: Bearer {TOKEN}\" | wc -c")),
        Step::shell(format!("env DB_PASSWORD='{PASSWORD}' true && echo 'it'\\''s done'")),
        Step::shell(format!("printf %s '{{\"password\":\"{JSON}\"}}' > conf.json && cat conf.json")),
        Step::shell(format!("echo key {TOKEN} for $HOME/x; false")),
        Step::shell(format!("MY_TOKEN={JSON}")),
        // Longer than what is kept of a process's arguments.
        Step::shell(format!("cat > notes <<'E'\n{}api_key: {TOKEN}\nE", "a line of notes\n".repeat(3000))),
        Step::last("I tried the token; it works."),
    ]);
    let _home = run(&daemon, &installed, dir.path(), script, true);
    let found = daemon.finished(agent.name(), dir.path());
    let id = text(&found, "agent");
    let shown = show(&daemon, &found);
    // Account and record are still held to be one, and outputs are the same.
    assert_eq!(daemon.codes(&id), [""; 0], "{shown}");
    assert_eq!((&found["calls"], &found["calls_joined"]), (&6.into(), &6.into()), "{shown}");
    let data = daemon.data.path().to_owned();
    let events = dir.path().join("events.jsonl");
    fs::write(&events, daemon.muster(&["events", "--agent", &id, "--json"]).stdout).unwrap();

    for value in [TOKEN, PASSWORD, JSON] {
        assert_eq!(holding(&data, value), [""; 0], "{value}");
        let out = reveal(&["--json"], &data, value);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(0), "{value}: {said}");
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
        let places = places(&answer);
        for side in ["event ", "account "] {
            assert!(places.iter().any(|place| place.starts_with(side)), "{value}: {places:#?}");
        }
        // A person sees which marks are equal, and not all of them.
        let commitment = text(&answer["found"][0], "commitment");
        assert!(!shown.contains(&commitment), "{shown}");
        assert!(shown.contains(&format!("[redacted:{}]", &commitment[..6])), "{value}: {shown}");

        // The opening is all that another needs, and it opens nothing else.
        let out = reveal(&[], &data, &format!("{value}\n"));
        let opening: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((text(&opening, "value").as_str(), opening.as_object().unwrap().len()), (value, 3));
        let file = dir.path().join("opening.json");
        fs::write(&file, &out.stdout).unwrap();
        let arguments = ["--check", file.to_str().unwrap(), "--in", events.to_str().unwrap()];
        let out = reveal(&arguments, Path::new("/nonexistent"), "");
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let mut forged = opening.clone();
        forged["value"] = "hunter2hunter3".into();
        fs::write(&file, forged.to_string()).unwrap();
        assert_eq!(reveal(&arguments, Path::new("/nonexistent"), "").status.code(), Some(3));
    }
    let out = reveal(&["--json"], &data, "hunter2hunter3");
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(1), &b"{\"found\":[]}\n"[..]));
    // The record gives the same again, by whoever has no key.
    assert!(String::from_utf8(daemon.muster(&["replay"]).stdout).unwrap().contains("the same"));
}

#[test]
fn secrets_of_claude_code() {
    secrets_of(Agent::ClaudeCode);
}

#[test]
fn secrets_of_codex() {
    secrets_of(Agent::Codex);
}

#[test]
fn secrets_of_gemini_cli() {
    secrets_of(Agent::GeminiCli);
}

#[test]
fn secrets_of_opencode() {
    secrets_of(Agent::OpenCode);
}

/// What is enrolled is told by the agent's user: the daemon cuts secrets out of it, whatever it is sent.
#[test]
fn an_enrolment_keeps_no_secret() {
    let Some(daemon) = Daemon::start() else { return };
    let data = daemon.data.path();
    let ran = Command::new(MUSTER)
        .args(["run", "--label", &format!("use {TOKEN}"), "--data"])
        .arg(data)
        .args(["--", "true", "--client-secret", PASSWORD])
        .status()
        .unwrap();
    assert!(ran.success());
    let of_enrolment = |value| {
        let out = reveal(&["--json"], data, value);
        let answer: Value = serde_json::from_slice(&out.stdout).ok()?;
        places(&answer).iter().any(|place| place.starts_with("enrolment ")).then_some(())
    };
    daemon.wait("marks in the enrolment", || of_enrolment(TOKEN).and_then(|()| of_enrolment(PASSWORD)));
    assert_eq!([holding(data, TOKEN), holding(data, PASSWORD)].concat(), [""; 0]);
    // The same key the next time.
    let key = fs::read(data.join("redaction.key")).unwrap();
    let folder = daemon.stop();
    let Some(daemon) = Daemon::start_in(folder, &[]) else { return };
    assert_eq!(fs::read(daemon.data.path().join("redaction.key")).unwrap(), key);
}

#[test]
fn a_key_that_others_can_read_is_none() {
    let data = tempfile::tempdir().unwrap();
    let key = data.path().join("redaction.key");
    fs::write(&key, [1; 32]).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let out = Command::new(MUSTER)
        .args(["watch", "--no-kernel", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("hint: `chmod 600"), "{said}");
    let out = reveal(&[], data.path(), TOKEN);
    assert_eq!(out.status.code(), Some(2));
}
