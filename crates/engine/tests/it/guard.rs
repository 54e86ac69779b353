//! Hooks that ask the gate, taken away or passed by; decoys that somebody reads.

use muster_engine::{Canaries, Canary, HooksRead, Input, Output};
use muster_mandate::{Action, Decision, GateNote, GateWay, Verdict};

use crate::rig::{Rig, T0};

const FILE: &str = "/home/ann/.claude/settings.json";
const SECOND: u64 = 1_000_000_000;

const AGENT: &str = "
    enrol 100
    exec 100 path=/opt/claude argv=claude cwd=/w HOME=/home/ann
    product 100 claude-code
    fork 100 101
    exec 101 path=/bin/sh argv=sh|-c|work";

struct Life {
    rig: Rig,
    agent: String,
}

impl Life {
    /// An agent whose hook stands, or not.
    fn begin(hooked: bool) -> Self {
        let mut rig = Rig::new();
        rig.run(AGENT);
        let asked = rig.outputs.iter().find_map(|output| match output {
            Output::ReadHooks { agent, product, .. } if product == "claude-code" => Some(agent.clone()),
            _ => None,
        });
        let mut life = Life { rig, agent: asked.unwrap() };
        life.read(hooked);
        life
    }

    fn read(&mut self, intact: bool) {
        let intact = if intact { vec![FILE.to_owned()] } else { Vec::new() };
        let watched = vec![FILE.to_owned()];
        let (agent, wrong) = (self.agent.clone(), Vec::new());
        self.rig.give(Input::Hooks(Box::new(HooksRead { agent, time_ns: T0, intact, watched, wrong })));
    }

    fn asked(&self) -> usize {
        self.rig.outputs.iter().filter(|output| matches!(output, Output::ReadHooks { .. })).count()
    }

    fn note(&mut self, call: &str, at_s: u64) {
        self.rig.give(Input::Gate(Box::new(GateNote {
            time_ns: T0 + at_s * SECOND,
            agent: self.agent.clone(),
            process: None,
            by: GateWay::Hook,
            action: Action::Read { path: "/w/a".to_owned() },
            decision: Decision {
                verdict: Verdict::Allow,
                rule: "r".to_owned(),
                reason: String::new(),
                mandate: None,
            },
            enforced: true,
            blocked: false,
            approval: None,
            call: Some(call.to_owned()),
            count: 1,
        })));
    }

    fn tampering(&self) -> Vec<String> {
        let all = self.rig.outputs.iter();
        all.filter_map(|output| match output {
            Output::Finding(f) if f.code.name() == "monitor-tampering" => {
                Some(format!("{} {}", f.severity.name(), f.summary))
            }
            _ => None,
        })
        .collect()
    }
}

/// What the lineage does, and what is found where the hook is gone after it.
#[track_caller]
fn check(act: &str, severity: Option<&str>) {
    let mut life = Life::begin(true);
    let before = life.asked();
    life.rig.run(act).run("wait 1");
    if life.asked() > before {
        life.read(false);
    }
    let found = life.tampering();
    assert_eq!(found.first().map(|f| f.split(' ').next().unwrap()), severity, "{act}: {found:?}");
    // Where it still stands, nothing was taken away.
    let mut life = Life::begin(true);
    life.rig.run(act).run("wait 1");
    life.read(true);
    assert!(life.tampering().is_empty(), "{act}: {:?}", life.tampering());
}

#[test]
fn who_takes_the_hook_away_is_found() {
    check(&format!("open 101 {FILE}"), Some("critical"));
    check(&format!("unlink 101 {FILE}"), Some("critical"));
    check(&format!("rename 101 {FILE} /tmp/x"), Some("critical"));
    check(&format!("rename 101 /tmp/x {FILE}"), Some("critical"));
    check("rename 101 /home/ann/.claude /home/ann/.old", Some("critical"));
    check(&format!("symlink 101 /tmp/x {FILE}"), Some("critical"));
    check("open 101 /home/ann/.claude/settings.json.bak", None);
    check("open 101 /home/ann/.claude/settings", None);
}

#[test]
fn a_person_may_take_it_away() {
    let mut life = Life::begin(true);
    life.rig.run("wait 1");
    life.read(false);
    life.rig.run("call 100 c1 execute ls\nresult 100 c1 ok\nwait 20");
    life.read(false);
    assert!(life.tampering().is_empty(), "{:?}", life.tampering());
}

#[test]
fn tools_that_run_unasked_are_found() {
    let mut life = Life::begin(true);
    life.note("c1", 0);
    life.rig.run("call 100 c1 execute ls\nresult 100 c1 ok\nwait 20");
    let quiet = life.asked();
    life.rig.run("call 100 c2 execute rm x\nresult 100 c2 ok\nwait 20");
    assert!(life.asked() > quiet, "the files are looked at once more");
    life.read(true);
    let found = life.tampering();
    assert!(
        matches!(found.as_slice(), [one] if one.starts_with("high ") && one.contains("rm x")),
        "{found:?}"
    );
    // Never asked: it may never have been trusted.
    let mut life = Life::begin(true);
    life.rig.run("call 100 c1 execute ls\nresult 100 c1 ok\nwait 20");
    life.read(true);
    assert!(
        matches!(life.tampering().as_slice(), [one] if one.starts_with("medium ")),
        "{:?}",
        life.tampering()
    );
    // Without a hook there is nothing to miss.
    let mut life = Life::begin(false);
    life.rig.run("call 100 c1 execute ls\nresult 100 c1 ok\nwait 20");
    assert!(life.tampering().is_empty());
}

#[test]
fn decoys_tell_of_who_reads_them() {
    let mut life = Life::begin(false);
    let planted = ["/home/ann/.ssh/id_old", "/home/ann/.aws/old"];
    let planted = planted.map(|path| Canary { path: path.to_owned(), kind: "ssh key".to_owned() }).to_vec();
    life.rig.give(Input::Canaries(Canaries { time_ns: T0, planted }));
    life.rig.run(
        "fork 101 102
         exec 102 path=/bin/cat argv=cat|/home/ann/.ssh/id_old
         read 102 /home/ann/.ssh/id_old
         fork 101 103
         exec 103 path=/bin/grep argv=grep|-r|x|/home/ann
         read 103 /home/ann/.aws/old
         read 103 /home/ann/.aws/other",
    );
    let found: Vec<String> = life
        .rig
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Finding(f) if f.summary.contains("decoy") => {
                Some(format!("{} {}", f.severity.name(), f.summary))
            }
            _ => None,
        })
        .collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("high read a decoy (ssh key) by `cat "), "{found:#?}");
    assert!(found[1].starts_with("medium ") && found[1].contains("grep -r x /home/ann"), "{found:#?}");
    // Taken away, they are files like others.
    life.rig.give(Input::Canaries(Canaries { time_ns: T0, planted: Vec::new() }));
    life.rig
        .run("fork 101 104\nexec 104 path=/bin/cat argv=cat|/home/ann/.aws/old\nread 104 /home/ann/.aws/old");
    assert_eq!(
        life.rig
            .outputs
            .iter()
            .filter(|o| matches!(o, Output::Finding(f) if f.summary.contains("decoy")))
            .count(),
        2
    );
}
