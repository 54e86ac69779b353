//! Text that an agent chose cannot speak to the terminal: whatever is drawn, no character of it is a command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use muster_account::{Actor, Body, Class, Decision, Item, Origin, Status};
use muster_engine::claims::{Class as Claimed, Source};
use muster_engine::{
    AgentState, Artefact, Certainty, Claim, Code, Coverage, Descent, Evidence, Finding, Gap, GapCause, Join,
    Member, Severity, Stage, State, Strength, Verdict, Via,
};
use muster_event::{Access, Address, Attribution, Event, Identity, Kind, ProcessKey};
use muster_report::{Explain, Lineage, Said, Show, Style};

/// Clears the screen, sets the title, turns the direction, hides, breaks the line, and forges one of our own.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}b\u{2066}\u{200b}\u{ad}\u{feff}\r\nno findings\r\n\u{0}\u{7f}<script>";
const T0: u64 = 1_700_000_000_000_000_000;

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_ns: 0 }
}

fn text() -> String {
    HOSTILE.to_owned()
}

fn agent() -> AgentState {
    AgentState {
        agent: text(),
        product: text(),
        version: Some(text()),
        model: Some(text()),
        root: key(10),
        parent: Some(text()),
        mandate: Some(text()),
        mandate_until_ns: None,
        principal: Some(text()),
        label: text(),
        found_by: text(),
        uid: 0,
        command: vec![text(); 2],
        cwd: text(),
        sessions: vec![text()],
        accounts: vec![text()],
        started_ns: T0,
        last_ns: T0,
        ended_ns: None,
        state: State::Running,
        stage: Some(Stage::Conceal),
        processes: 1,
        events: 1,
        calls: 1,
        calls_joined: 1,
        doing: text(),
        containment: Some(text()),
        coverage: Coverage { blind: vec![text()], unreadable: vec![text()], lost: 1, ..Coverage::default() },
    }
}

fn lineage(agents: Vec<Lineage>) -> Lineage {
    let evidence = vec![Evidence::Account { path: text(), offset: 1, sha256: [0; 32] }];
    let descents = [
        Via::Artefact { path: text(), mechanism: text() },
        Via::Request { service: text() },
        Via::Content { path: text() },
    ]
    .map(|via| Descent {
        agent: text(),
        process: key(11),
        from_seq: 1,
        via,
        certainty: Certainty::Likely,
        time_ns: T0,
        summary: text(),
        evidence: evidence.clone(),
    });
    let artefact = Artefact {
        id: text(),
        agent: text(),
        path: text(),
        mechanism: text(),
        certainty: Certainty::Certain,
        time_ns: T0,
        process: key(10),
        seq: 1,
        commands: vec![vec![text(); 2]],
        added: Vec::new(),
        unit: Some(text()),
        gone: true,
        stood: None,
        file: None,
    };
    let mut state = agent();
    state.coverage.lineage_forgotten = 7;
    let member = Member { agent: text(), process: key(10), from_seq: 1, by: Attribution::Content };
    Lineage {
        state,
        processes: vec![member],
        ended: 1,
        descents: descents.into(),
        artefacts: vec![artefact],
        agents,
    }
}

fn events() -> Vec<Event> {
    let address = || Address::Unix { path: text() };
    let access = Access { read: false, write: true, create: true, truncate: false, append: false };
    let kinds = vec![
        Kind::Exec {
            path: text(),
            script: Some(text()),
            argv: vec![text(); 2],
            argv_truncated: false,
            cwd: text(),
            env: BTreeMap::from([(text(), text())]),
            parent: key(1),
            session: 1,
            group: 1,
            file: Identity { device: 1, inode: 2 },
            anonymous: true,
        },
        Kind::Open { path: text(), access, result: -13 },
        Kind::Rename { from: text(), to: text(), result: 0 },
        Kind::Symlink { target: text(), path: text(), result: 0 },
        Kind::Connect { address: address(), result: 0 },
        Kind::Dns { name: text(), record_type: text(), server: address() },
        Kind::Tls { name: text(), address: address() },
        Kind::Http { method: text(), target: text(), host: Some(text()), address: address() },
        Kind::LoadModule { name: text(), result: 0 },
        Kind::Mount { call: text(), source: text(), target: text(), result: 0 },
        Kind::Root { call: text(), path: text(), result: 0 },
        Kind::SetName { from: text(), to: text() },
        Kind::Memfd { name: text(), result: 0 },
        Kind::IoUring { operation: text(), path: Some(text()), flags: 0 },
        Kind::Control { call: text(), arguments: vec![1], result: 0 },
    ];
    let event = |(seq, kind)| {
        let (time_ns, process) = (T0 + seq, key(10));
        Event { seq, time_ns, boot_ns: seq, process, thread: 10, uid: 0, comm: text(), cgroup: 0, kind }
    };
    (1..).zip(kinds).map(event).collect()
}

fn said() -> Vec<(u64, Item)> {
    let bodies = vec![
        Body::Session {
            id: text(),
            version: Some(text()),
            model: Some(text()),
            cwd: Some(text()),
            parent: Some(text()),
            authority: Some(text()),
        },
        Body::Prompt { text: text(), origin: Origin::User },
        Body::Text { text: text(), last: true },
        Body::Thinking { text: text() },
        Body::Call {
            call_id: text(),
            tool: text(),
            class: Class::Execute,
            command: Some(text()),
            paths: vec![text()],
            cwd: Some(text()),
            arguments: text(),
            background: true,
        },
        Body::Effective { call_id: text(), command: Some(text()), arguments: text() },
        Body::Result {
            call_id: text(),
            status: Status::Failed,
            exit_code: Some(1),
            output: text(),
            output_len: 1,
            process_group: None,
        },
        Body::Decision { call_id: Some(text()), decision: Decision::Reject, by: text(), reason: text() },
        Body::Other { record_type: text() },
        Body::Link { record: Some(text()), after: Some(text()), ordinal: Some(1) },
    ];
    let item = |body| (T0, Item { time_ns: None, actor: Actor::Sub { id: text() }, body });
    bodies.into_iter().map(item).collect()
}

fn finding() -> Finding {
    Finding {
        id: text(),
        code: Code::UnreportedAction,
        severity: Severity::Critical,
        stage: Stage::Conceal,
        overreach: 2,
        deception: 1,
        agent: text(),
        time_ns: T0,
        summary: text(),
        explanation: text(),
        evidence: vec![
            Evidence::Event { seq: 1 },
            Evidence::Account { path: text(), offset: 0, sha256: [7; 32] },
            Evidence::Process { pid: 50, start_ns: 0 },
        ],
    }
}

/// Without our own colours, nothing but line breaks is left of what a terminal obeys.
#[track_caller]
fn check(drawn: &str, colour: bool) {
    let mut plain = drawn.to_owned();
    if colour {
        for code in ["0", "1", "2", "31", "1;31", "33", "32", "36"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
    }
    let unsafe_text =
        |c: char| (c.is_control() && c != '\n') || muster_event::sanitize(&c.to_string()) != c.to_string();
    let found: Vec<char> = plain.chars().filter(|c| *c != '\n' && unsafe_text(*c)).collect();
    assert!(found.is_empty(), "{found:?} came through:\n{plain:?}");
    assert!(!plain.lines().any(|line| line.trim() == "no findings"), "a line was forged:\n{plain}");
}

fn gap() -> Gap {
    Gap {
        id: text(),
        cause: GapCause::AccountUnreadable,
        subject: text(),
        agent: Some(text()),
        from_ns: T0,
        to_ns: None,
        boot_id: text(),
        boot_id_before: None,
        boot_from_ns: Some(1),
        boot_to_ns: None,
        count: Some(1),
        detail: text(),
    }
}

fn claim() -> Claim {
    let account = Evidence::Account { path: text(), offset: 0, sha256: [0; 32] };
    Claim {
        id: text(),
        agent: text(),
        time_ns: T0,
        actor: Some(text()),
        source: Source::HandBack,
        class: Claimed::TestsPass,
        sentence: text(),
        verdict: Verdict::Contradicted,
        reason: text(),
        said: account.clone(),
        evidence: vec![account],
    }
}

#[test]
fn hostile_text_cannot_command_the_terminal() {
    let (agent, events, said, finding, claim) = (agent(), events(), said(), finding(), claim());
    let join = Join { agent: text(), call_id: text(), process: key(10), seq: 1, strength: Strength::CallId };
    for colour in [false, true] {
        for width in [40, 100, 400] {
            let style = Style { colour, width };
            let counts = BTreeMap::from([(text(), [1; 5])]);
            check(&muster_report::roll(std::slice::from_ref(&agent), &counts, T0 + 1, &style), colour);
            check(&muster_report::findings(std::slice::from_ref(&finding), &style), colour);
            check(&muster_report::claims(std::slice::from_ref(&claim), &style), colour);
            check(&muster_report::finding(&finding, &events, &style), colour);
            check(&muster_report::gaps(&[gap()], &style), colour);
            check(&muster_report::lineage(&lineage(vec![lineage(Vec::new())]), &style), colour);
            let items: Vec<Item> = said.iter().map(|(_, item)| item.clone()).collect();
            for (claim, items) in [(Some(&claim), &items[..]), (None, &items[..]), (None, &[][..])] {
                let said = Said { path: HOSTILE, offset: 1, items, raw: HOSTILE };
                let explain = Explain {
                    finding: &finding,
                    agent: claim.map(|_| &agent),
                    claim,
                    said: std::slice::from_ref(&said),
                    events: &events,
                    missing: 1,
                };
                check(&muster_report::explain(&explain, &style), colour);
            }
            for event in &events {
                let line = muster_report::event_line(event, Some(HOSTILE), &style);
                check(&line, colour);
                assert!(!line.contains('\n'), "one event, one line: {line:?}");
            }
            let show = Show {
                agent: &agent,
                events: &events,
                said: &said,
                joins: std::slice::from_ref(&join),
                findings: std::slice::from_ref(&finding),
                claims: std::slice::from_ref(&claim),
                now_ns: T0 + 1,
            };
            check(&muster_report::show(&show, &style), colour);
        }
    }
}
