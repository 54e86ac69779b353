//! What goes beyond a mandate, and on after it.

use muster_engine::{Input, Output};
use muster_mandate::{MandateNote, MandateState, id_of};

use crate::rig::{Rig, T0};

const BODY: &str = r#"muster = 1
principal = "alice@x"
agent = "claude-code"
task = "a test"
host = "host"
serial = "1"
expires = 2026-01-01T01:00:00Z
[scope]
read = ["/**"]
write = ["/w/**"]
execute = ["/bin/**", "/usr/bin/**"]
tools = ["*"]
[scope.deny]
read = ["~/.ssh/**"]
execute = ["git ** push **"]
[limits]
processes = 3
[oversight]
account = true
"#;

const START: &str = "enrol 100
    exec 100 path=/opt/claude/claude argv=claude HOME=/h
    product 100 claude-code";

fn note(agent: Option<String>, state: MandateState, text: &str, body: Option<&str>) -> Input {
    Input::Mandate(Box::new(MandateNote {
        time_ns: T0,
        id: id_of(BODY.as_bytes()),
        agent,
        state,
        text: text.to_owned(),
        body: body.map(str::to_owned),
        policy: None,
        path: Some("/home/a/m.toml".to_owned()),
        signer: None,
        parent: None,
        expires_ns: Some(T0 + 3_600_000_000_000),
    }))
}

/// The agent of the scenario under `BODY`.
fn under_mandate() -> Rig {
    let mut rig = Rig::new();
    rig.run(START);
    let agent = agent(&rig);
    rig.give(note(None, MandateState::Accepted, "", Some(BODY)));
    rig.give(note(Some(agent), MandateState::Accepted, "", None));
    rig
}

fn agent(rig: &Rig) -> String {
    let mut agents = rig.outputs.iter().filter_map(|output| match output {
        Output::Agent(state) => Some(state.agent.clone()),
        _ => None,
    });
    agents.next_back().unwrap()
}

/// Findings that are about the mandate.
#[track_caller]
fn check(script: &str, expected: &[&str]) {
    let mut rig = under_mandate();
    rig.run(script).run("wait 5");
    assert_eq!(of_mandates(&rig), expected);
}

fn of_mandates(rig: &Rig) -> Vec<String> {
    const CODES: [&str; 6] = [
        "outside-mandate",
        "expired-mandate",
        "outlived-task",
        "mandate-",
        "oversight-broken",
        "mandate-touched",
    ];
    let all = rig.findings();
    let found = all.lines().filter(|line| CODES.iter().any(|code| line.contains(&format!(" {code}"))));
    found.map(str::to_owned).collect()
}

const SHELL: &str = "call 100 c1 Bash sh x
    fork 100 101
    exec 101 path=/bin/sh argv=sh|-c|sh~x";

#[test]
fn within_it_nothing_is_found() {
    check(
        &format!(
            "{SHELL}\n open 101 /w/a\n open 101 /dev/null\n open 100 /h/.claude/x\n read 101 /etc/ssl/private/k\n exit 101 0\n result 100 c1 ok"
        ),
        &[],
    );
}

#[test]
fn beyond_it_each_kind_is_found_once() {
    check(
        &format!(
            "{SHELL}\n open 101 /etc/a\n open 101 /etc/a\n open 101 /etc/b\n fork 101 102\n exec 102 path=/tmp/x argv=x"
        ),
        &[
            "medium outside-mandate: went outside its mandate to write: `/etc/a`, `/etc/b`",
            "medium outside-mandate: went outside its mandate to run programs: `/tmp/x`",
        ],
    );
    check(
        &format!("{SHELL}\n fork 101 102\n exec 102 path=/usr/bin/git argv=git|push"),
        &["high outside-mandate: went outside its mandate to run programs: `/usr/bin/git`"],
    );
}

#[test]
fn it_runs_out() {
    check(
        &format!("{SHELL}\n later 3700\n wait 2\n open 101 /w/a"),
        &[
            "medium expired-mandate: still runs though its mandate expired at 2026-01-01T01:00:00Z",
            "high expired-mandate: goes on to act though its mandate expired at 2026-01-01T01:00:00Z",
        ],
    );
}

#[test]
fn its_file_is_not_touched() {
    check(
        &format!("{SHELL}\n open 101 /home/a/m.toml.sig"),
        &[
            "high mandate-touched: changed a file of a mandate: `/home/a/m.toml.sig`",
            "medium outside-mandate: went outside its mandate to write: `/home/a/m.toml.sig`",
        ],
    );
}

#[test]
fn one_that_is_refused_is_none() {
    let mut rig = Rig::new();
    rig.run(START);
    let agent = agent(&rig);
    rig.give(note(Some(agent), MandateState::Refused, "forged: its signature is not for these bytes", None));
    let id = id_of(BODY.as_bytes());
    assert_eq!(
        of_mandates(&rig),
        [format!(
            "high mandate-refused: its mandate {} was refused: its signature is not for these bytes",
            &id[..12]
        )]
    );
}
