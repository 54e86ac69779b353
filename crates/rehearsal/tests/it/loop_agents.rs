//! Agents of nobody's make, and programs that are agents in name only.

use std::fs;
use std::time::Duration;

use muster_rehearsal::{Model, Script, Step, curl_agent, name_only_claude, name_only_langchain, plain_agent};

const PATIENCE: Duration = Duration::from_secs(30);

fn script() -> Script {
    Script::new([Step::shell("touch first"), Step::shell("echo 2 > second"), Step::last("done")])
}

#[test]
fn a_python_loop_does_what_the_model_says() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::start(script()).unwrap();
    let mut agent = plain_agent(dir.path(), &model, "go").unwrap();
    assert!(agent.wait(PATIENCE).unwrap().success());
    assert!(dir.path().join("first").exists());
    assert_eq!(model.requests().len(), 3);
}

#[test]
fn a_shell_loop_does_what_the_model_says() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::start(script()).unwrap();
    let mut agent = curl_agent(dir.path(), &model, "go").unwrap();
    assert!(agent.wait(PATIENCE).unwrap().success());
    assert_eq!(fs::read_to_string(dir.path().join("second")).unwrap(), "2\n");
    assert_eq!(model.requests().len(), 3);
}

#[test]
fn look_alikes_only_sleep() {
    let dir = tempfile::tempdir().unwrap();
    for (mut agent, name) in [
        (name_only_claude(dir.path()).unwrap(), "claude"),
        (name_only_langchain(dir.path()).unwrap(), "langchain-worker"),
    ] {
        assert!(agent.wait_still_running());
        let name_seen = fs::read_link(format!("/proc/{}/exe", agent.pid())).unwrap();
        assert_eq!(name_seen.file_name().unwrap(), name);
    }
}
