//! A daemon that starts again is told what lineages left behind, and knows who runs it.

use std::collections::BTreeMap;

use muster_engine::{AgentState, Artefact, ArtefactRead, Input, Living, Output, Recollection, Remembered};
use muster_event::Attribution;

use crate::rig::{Rig, T0, key};

const MACHINE: &str = "
    scan 1 parent=0 path=/usr/lib/systemd/systemd argv=/sbin/init
    scan 20 parent=1 path=/usr/sbin/cron argv=/usr/sbin/cron|-f
    scan 30 parent=1 path=/usr/bin/bash argv=-bash cwd=/home/u
";
const AGENT: &str = "
    enrol 100
    exec 100 path=/opt/agent argv=agent cwd=/home/u/project HOME=/home/u
    fork 100 101
    exec 101 path=/usr/bin/bash argv=bash|-c|work cwd=/home/u/project
";

/// What a person's own table said before any agent changed it.
fn read(rig: &mut Rig, agent: &str, path: &str, commands: &[&str]) {
    let argv = |text: &&str| ["sh", "-c", text].map(str::to_owned).to_vec();
    rig.give(Input::ArtefactRead(ArtefactRead {
        agent: agent.to_owned(),
        path: path.to_owned(),
        time_ns: T0,
        commands: match path {
            "" => vec![commands.iter().map(|folder| (*folder).to_owned()).collect()],
            _ => commands.iter().map(argv).collect(),
        },
        unit: None,
        error: None,
        marks: Vec::new(),
        file: None,
    }));
}

/// What a daemon would have stored of the only agent.
fn stored(rig: &Rig) -> Remembered {
    let mut state: Option<AgentState> = None;
    let mut artefacts: BTreeMap<String, Artefact> = BTreeMap::new();
    for output in &rig.outputs {
        match output {
            Output::Agent(it) => state = Some((**it).clone()),
            Output::Artefact(it) => drop(artefacts.insert(it.path.clone(), (**it).clone())),
            _ => {}
        }
    }
    let state = state.unwrap();
    let mut files = Recollection::default();
    for input in &rig.inputs {
        if let Input::Event(event) = input
            && matches!(event.process.pid, 100 | 101)
        {
            files.take(&state.agent, event);
        }
    }
    Remembered {
        time_ns: T0,
        files: files.files(&state),
        state: Box::new(state),
        artefacts: artefacts.into_values().collect(),
        live: Vec::new(),
    }
}

/// A daemon sees `before`; the next one, when the agent is gone, sees `after`.
#[track_caller]
fn check(before: &str, after: &str, expected: &str) {
    let mut first = Rig::new();
    first.run(MACHINE).run(AGENT);
    read(&mut first, "", "", &["/etc", "/var"]);
    read(&mut first, "", "/etc/crontab", &["/usr/bin/backup"]);
    first.run(before).run("wait 1");
    let id = stored(&first).state.agent.clone();
    read(&mut first, &id, "/etc/crontab", &["/usr/bin/backup", "/opt/x"]);
    first.run("exit 101 0\nexit 100 0\nwait 8");
    let remembered = stored(&first);

    let mut next = Rig::new();
    next.run(MACHINE);
    next.give(Input::Remembered(Box::new(remembered)));
    read(&mut next, "", "/etc/crontab", &["/usr/bin/backup", "/opt/x"]);
    read(&mut next, "", "", &["/etc", "/var"]);
    next.run(after).run("wait 8");
    let told: Vec<String> = next
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Descent(it) => Some(format!("{:?} {} {}", it.certainty, it.process.pid, it.agent == id)),
            _ => None,
        })
        .collect();
    assert_eq!(told.join("\n"), expected, "{before} {after}");
}

const CRON_RUNS: &str = "
    fork 20 200
    fork 200 201
    exec 201 path=/usr/bin/dash argv=/bin/sh|-c|X parent=200";

#[test]
fn what_was_planted_before_is_known_to_the_next_daemon() {
    // A line of the table, and a file that was made; a person's own line, and a project's own file.
    check("open 101 /etc/crontab", &CRON_RUNS.replace('X', "/opt/x"), "Certain 201 true");
    check("open 101 /etc/crontab", &CRON_RUNS.replace('X', "/usr/bin/backup"), "Likely 201 true");
    let runs = |path: &str| {
        format!("{}\nfork 201 202\nexec 202 path={path} argv={path}", CRON_RUNS.replace('X', "true"))
    };
    check("open 101 /opt/b", &runs("/opt/b"), "Certain 202 true");
    check("open 101 /tmp/a\nrename 101 /tmp/a /opt/b", &runs("/opt/b"), "Certain 202 true");
    check("open 101 /opt/b\nunlink 101 /opt/b", &runs("/opt/b"), "");
    check("open 101 /home/u/project/b", &runs("/home/u/project/b"), "");
}

#[test]
fn who_lived_on_belongs_to_it_still() {
    let mut first = Rig::new();
    first.run(MACHINE).run(AGENT).run("wait 1");
    let mut next = Rig::new();
    next.run(MACHINE).run(
        "scan 200 parent=1 path=/opt/x argv=/opt/x
        scan 201 parent=200 path=/usr/bin/sleep argv=sleep|9
        scan 300 parent=1 path=/usr/bin/sleep argv=sleep|8",
    );
    let mut remembered = stored(&first);
    remembered.live =
        [200, 999].map(|pid| Living { process: key(pid), from_seq: 3, by: Attribution::Artefact }).to_vec();
    let id = remembered.state.agent.clone();
    next.give(Input::Remembered(Box::new(remembered)));
    next.run("fork 201 202\nwait 1");
    let joined: Vec<u32> = next
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Member(it) if it.agent == id => Some(it.process.pid),
            _ => None,
        })
        .collect();
    assert_eq!(joined, [200, 201, 202]);
}
