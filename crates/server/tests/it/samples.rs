//! One entry at least of everything that is stored. New ones come at the end, so that those of before stay as they are.

use std::collections::BTreeMap;

use muster_account::{Actor, Body, Class as Tool, Decision as Decided, Item, Origin, Status};
use muster_engine::claims::{Class as Topic, Source};
use muster_engine::{
    AccountFile, AccountRecord, AgentState, Artefact, ArtefactRead, Before, Canaries, Canary, Certainty,
    Cited, Claim, Code, Containment, Coverage, Descent, Enrol, Evidence, FileAt, Finding, Gap, GapCause,
    HooksRead, Identified, Imported, Input, Interval, Join, Judgement, Label, Living, Member, Opinion,
    Opinions, Remembered, Review, Severity, Stage, Start, State, Strength, Verdict, Via, Written,
};
use muster_event::{
    Access, Address, Attribution, Event, Identity, Kind, Lost, MemoryOp, ProbeState, ProcessKey, Queue,
    SignalTarget, Snapshot,
};
use muster_mandate::{
    Action, ApprovalNote, ApprovalState, Decision, GateNote, GateWay, MandateNote, MandateState,
    Verdict as Verdict_,
};
use muster_server::{Dropped, Entry, EvidenceCopy, Kept, KeptMember, Log, Pruned, StoredOutput};

use crate::leaves::words_of;

const T0: u64 = 1_764_060_000_123_456_789;
const ODD: &str = "a\"b\\c\u{0}\u{202e}\n\u{1f916}";

pub fn descent() -> Descent {
    Descent {
        agent: "one".to_owned(),
        process: key(8),
        from_seq: 3,
        via: Via::Artefact { path: odd(), mechanism: "cron".to_owned() },
        certainty: Certainty::Certain,
        time_ns: T0,
        summary: odd(),
        evidence: vec![Evidence::Event { seq: 3 }],
    }
}

pub fn artefact() -> Artefact {
    Artefact {
        id: "p-1".to_owned(),
        agent: "one".to_owned(),
        path: odd(),
        mechanism: "systemd-unit".to_owned(),
        certainty: Certainty::Likely,
        time_ns: T0,
        process: key(7),
        seq: 3,
        commands: vec![vec![odd(), odd()]],
        added: Vec::new(),
        unit: Some(odd()),
        gone: true,
        stood: None,
        file: None,
    }
}

fn odd() -> String {
    ODD.to_owned()
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_ns: u64::MAX }
}

fn event(seq: u64, kind: Kind) -> Event {
    Event {
        seq,
        time_ns: T0,
        boot_ns: 1,
        process: key(7),
        thread: 8,
        uid: 1000,
        comm: odd(),
        cgroup: u64::MAX,
        kind,
    }
}

fn kinds() -> Vec<Kind> {
    let ip = |ip: &str| Address::Ip { ip: ip.parse().unwrap(), port: 443 };
    let access = Access { read: true, write: true, create: true, truncate: false, append: false };
    let signal = |target| Kind::Signal { target, signal: 9, result: 0 };
    vec![
        Kind::Fork { child: key(5) },
        Kind::Exec {
            path: odd(),
            script: Some(odd()),
            argv: vec![odd(), String::new()],
            argv_truncated: true,
            cwd: odd(),
            env: BTreeMap::from([("A".to_owned(), odd()), (odd(), "b".to_owned())]),
            parent: key(1),
            session: 1,
            group: 2,
            file: Identity { device: 1, inode: 2 },
            anonymous: false,
        },
        Kind::Exit { code: Some(-1), signal: None },
        Kind::Exit { code: None, signal: Some(9) },
        Kind::SetSid { session: 3 },
        Kind::Open { path: odd(), access, result: i64::MIN },
        Kind::Rename { from: odd(), to: odd(), result: 0 },
        Kind::Link { from: odd(), to: odd(), result: 0 },
        Kind::Symlink { target: odd(), path: odd(), result: 0 },
        Kind::Unlink { path: odd(), directory: false, result: -2 },
        Kind::Mkdir { path: odd(), result: 0 },
        Kind::Chmod { path: odd(), mode: 0o4755, result: 0 },
        Kind::Chown { path: odd(), uid: 0, gid: 0, result: 0 },
        Kind::Truncate { path: odd(), length: 0, result: 0 },
        Kind::Connect { address: ip("10.0.0.1"), result: -115 },
        Kind::Bind { address: ip("2001:db8::1"), result: 0 },
        Kind::Listen { address: Address::Unix { path: odd() }, result: 0 },
        Kind::Accept { address: Address::Other { family: 40 }, result: 4 },
        Kind::Send { address: ip("10.0.0.1"), result: 4 },
        Kind::Dns { name: odd(), record_type: "A".to_owned(), server: ip("10.0.0.1") },
        Kind::Tls { name: odd(), address: ip("10.0.0.1") },
        Kind::Http { method: odd(), target: odd(), host: Some(odd()), address: ip("10.0.0.1") },
        signal(SignalTarget::Process(1)),
        signal(SignalTarget::Group(0)),
        signal(SignalTarget::Everyone),
        Kind::Ptrace { request: 16, target: 1, result: 0 },
        Kind::ProcessMemory { op: MemoryOp::Write, target: 1, result: 8 },
        Kind::ProcessMemory { op: MemoryOp::Read, target: 1, result: 8 },
        Kind::Bpf { command: 5, result: 3 },
        Kind::LoadModule { name: odd(), result: -1 },
        Kind::Mount { call: odd(), source: odd(), target: odd(), result: 0 },
        Kind::Namespace { call: odd(), flags: 1 << 63, result: 0 },
        Kind::Root { call: odd(), path: odd(), result: 0 },
        Kind::Credentials { call: odd(), arguments: vec![-1, 0], result: 0 },
        Kind::SetName { from: odd(), to: odd() },
        Kind::Memfd { name: odd(), result: 3 },
        Kind::ExecMemory { call: odd(), length: 4096, result: 0 },
        Kind::IoUring { operation: odd(), path: Some(odd()), flags: 2 },
        Kind::Compat { number: 11, result: 0 },
        Kind::Control { call: odd(), arguments: vec![1], result: 0 },
        Kind::Output { stream: 1, bytes: 5, lines: 1, whole: true, hashes: vec![7, u32::MAX] },
    ]
}

fn bodies() -> Vec<Body> {
    vec![
        Body::Session {
            id: odd(),
            version: Some(odd()),
            model: Some(odd()),
            cwd: Some(odd()),
            parent: Some(odd()),
            authority: Some(odd()),
        },
        Body::Prompt { text: odd(), origin: Origin::User },
        Body::Text { text: odd(), last: true },
        Body::Thinking { text: odd() },
        Body::Call {
            call_id: odd(),
            tool: odd(),
            class: Tool::Execute,
            command: Some(odd()),
            paths: vec![odd()],
            cwd: Some(odd()),
            arguments: odd(),
            background: false,
        },
        Body::Effective { call_id: odd(), command: Some(odd()), arguments: odd() },
        Body::Result {
            call_id: odd(),
            status: Status::TimedOut,
            exit_code: Some(-1),
            output: odd(),
            output_len: 9,
            process_group: Some(3),
        },
        Body::Decision { call_id: Some(odd()), decision: Decided::Reject, by: odd(), reason: odd() },
        Body::TurnEnd,
        Body::Other { record_type: odd() },
        Body::Link { record: Some(odd()), after: Some(odd()), ordinal: Some(4) },
    ]
}

fn account(raw: &[u8]) -> AccountRecord {
    let item = |(n, body)| Item {
        time_ns: Some(n),
        actor: if n == 0 { Actor::Sub { id: odd() } } else { Actor::Main },
        body,
    };
    AccountRecord {
        agent: "one".to_owned(),
        path: odd(),
        offset: 1,
        len: 10,
        sha256: [0xa7; 32],
        time_ns: T0,
        raw: raw.to_vec(),
        items: (0..).zip(bodies()).map(item).collect(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        process: key(50),
        parent: Some(key(1)),
        uid: 0,
        comm: odd(),
        cgroup: 0,
        session: 1,
        group: 1,
        path: odd(),
        argv: vec![odd()],
        cwd: odd(),
        env: BTreeMap::from([("A".to_owned(), odd())]),
        open_for_write: vec![odd()],
    }
}

fn start() -> Start {
    Start {
        time_ns: T0,
        host: odd(),
        boot_id: "2f1e".to_owned(),
        version: "0.1.0".to_owned(),
        kernel_record: true,
        daemon: key(1),
        data_dir: odd(),
        boot_ns: 0,
        before: None,
    }
}

fn evidence() -> Vec<Evidence> {
    vec![
        Evidence::Event { seq: 3 },
        Evidence::Account { path: odd(), offset: 100, sha256: [7; 32] },
        Evidence::Process { pid: 50, start_ns: 4 },
    ]
}

fn agent() -> AgentState {
    AgentState {
        agent: "one".to_owned(),
        product: "claude-code".to_owned(),
        version: Some("2.0".to_owned()),
        model: Some(odd()),
        root: key(1),
        parent: Some("two".to_owned()),
        mandate: Some("m".to_owned()),
        mandate_until_ns: None,
        principal: Some(odd()),
        label: odd(),
        found_by: odd(),
        uid: 1000,
        command: vec![odd()],
        cwd: odd(),
        sessions: vec![odd()],
        accounts: vec![odd()],
        started_ns: T0,
        last_ns: T0,
        ended_ns: Some(T0),
        state: State::Ended,
        stage: Some(Stage::Sustain),
        processes: 1,
        events: 2,
        calls: 3,
        calls_joined: 4,
        doing: odd(),
        containment: None,
        coverage: Coverage {
            record_from_ns: Some(T0),
            began_unseen: true,
            lost: 4,
            blind: vec!["sys_exit".to_owned()],
            account: true,
            unreadable: vec![odd()],
            gaps: Vec::new(),
            gaps_more: 0,
            lineage_forgotten: 0,
        },
    }
}

fn finding() -> Finding {
    Finding {
        id: "f-1".to_owned(),
        code: Code::UnreportedAction,
        severity: Severity::High,
        stage: Stage::Conceal,
        overreach: 2,
        deception: 1,
        agent: "one".to_owned(),
        time_ns: T0,
        summary: odd(),
        explanation: odd(),
        evidence: evidence(),
    }
}

fn member() -> Member {
    Member { agent: "one".to_owned(), process: key(7), from_seq: 3, by: Attribution::Ancestry }
}

fn outputs() -> Vec<StoredOutput> {
    let claim = Claim {
        id: "c-1".to_owned(),
        agent: "one".to_owned(),
        time_ns: T0,
        actor: Some(odd()),
        source: Source::CommitMessage,
        class: Topic::TestsPass,
        sentence: odd(),
        verdict: Verdict::Hollow,
        reason: odd(),
        said: Evidence::Event { seq: 3 },
        evidence: evidence(),
    };
    let cited = Cited { item: "E1".to_owned(), text: odd(), evidence: Some(Evidence::Event { seq: 3 }) };
    let opinion = Opinion {
        about: Some("f-1".to_owned()),
        label: Label::BeyondTheTask,
        confidence: 50,
        cited: vec![cited],
        quote: odd(),
        rationale: odd(),
    };
    let opinions = Opinions {
        agent: "one".to_owned(),
        time_ns: T0,
        model: odd(),
        endpoint: odd(),
        skeleton: [0x1f; 32],
        opinions: vec![opinion],
        dropped: 2,
    };
    let copies = vec![
        EvidenceCopy::Event(Box::new(event(3, Kind::SetSid { session: 4 }))),
        EvidenceCopy::Account(Box::new(account(b"copied"))),
        EvidenceCopy::Process(Box::new(snapshot())),
        EvidenceCopy::Missing,
    ];
    vec![
        StoredOutput::Agent(Box::new(agent())),
        StoredOutput::Member(member()),
        StoredOutput::Join(Join {
            agent: "one".to_owned(),
            call_id: odd(),
            process: key(7),
            seq: 3,
            strength: Strength::TimeText,
        }),
        StoredOutput::Finding { finding: Box::new(finding()), evidence: copies, cited: Vec::new() },
        StoredOutput::Claim(Box::new(claim)),
        StoredOutput::Opinion(Box::new(opinions)),
    ]
}

fn inputs() -> Vec<Input> {
    let account_state =
        |state| Input::AccountState { agent: "one".to_owned(), path: odd(), time_ns: T0, state };
    let mut inputs = vec![
        Input::Start(start()),
        Input::Snapshot(snapshot()),
        Input::Lost(Lost { queue: Queue::Lineage, count: 3, from_ns: T0, to_ns: T0 + 1 }),
        Input::Probe {
            time_ns: T0,
            state: ProbeState { probe: "sys_exit".to_owned(), error: Some(odd()) },
            seen_ns: None,
        },
        Input::Identified {
            process: key(7),
            product: Some(Identified { product: odd(), version: Some(odd()), by: odd(), launcher: true }),
        },
        Input::Identified { process: key(7), product: None },
        Input::Enrol(Enrol {
            time_ns: T0,
            process: key(7),
            cgroup: 4711,
            principal: odd(),
            label: odd(),
            command: vec![odd()],
        }),
        Input::Account(account(ODD.as_bytes())),
        Input::Account(account(b"\xff\x00no text")),
        Input::Tick { time_ns: T0, boot_ns: 0, asleep_ns: 0 },
        Input::ClockStep { time_ns: T0, by_ns: -4 },
        Input::Stop { time_ns: T0 },
        Input::Configured { agent: "one".to_owned(), source: odd(), commands: vec![vec![odd()]] },
        Input::Imported(Imported { time_ns: T0, product: odd(), path: odd(), session: Some(odd()) }),
        Input::Recorded { time_ns: T0, source: odd() },
        account_state(AccountFile::Opened { format: odd() }),
        account_state(AccountFile::Truncated { from: 9, to: 1 }),
        account_state(AccountFile::Rewritten { offset: 4 }),
        account_state(AccountFile::Replaced),
        account_state(AccountFile::Deleted),
        account_state(AccountFile::Unreadable { error: odd() }),
        account_state(AccountFile::RowsRewritten { first: odd(), count: 2 }),
        account_state(AccountFile::RowsDeleted { first: odd(), count: 2 }),
    ];
    let opinions = outputs().into_iter().find_map(|output| match output {
        StoredOutput::Opinion(opinions) => Some(Input::Opinion(*opinions)),
        _ => None,
    });
    inputs.extend(opinions);
    inputs.extend((1..).zip(kinds()).map(|(seq, kind)| Input::Event(event(seq, kind))));
    inputs
}

fn kept() -> Vec<Kept> {
    vec![
        Kept::Member(KeptMember { member: member(), made: 3, ended_seq: Some(4), until_seq: Some(5) }),
        Kept::Probe { time_ns: T0, state: ProbeState { probe: "sys_exit".to_owned(), error: None } },
        Kept::Start(start()),
        Kept::Snapshot(snapshot()),
        Kept::Dropped(Pruned { dropped: dropped(), keep: Vec::new(), last_seq: 0, boot_seq: 0 }),
    ]
}

pub fn entries() -> Vec<Entry> {
    let inputs = inputs().into_iter().map(|input| Entry::Input(Box::new(input)));
    let outputs = outputs().into_iter().map(Entry::Output);
    let kept = kept().into_iter().map(|kept| Entry::Kept(Box::new(kept)));
    inputs.chain(outputs).chain(kept).chain(later()).collect()
}

fn dropped() -> Dropped {
    Dropped { from_ns: 1, to_ns: T0, events: 3, bytes: 4, through: 5 }
}

/// What came after the first of these leaves were written.
fn later() -> Vec<Entry> {
    let finding = StoredOutput::Finding {
        finding: Box::new(finding()),
        evidence: vec![EvidenceCopy::Missing],
        cited: vec![Some(3), None],
    };
    let pruned = Pruned { dropped: dropped(), keep: vec![(1, 1), (3, 5)], last_seq: 9, boot_seq: 2 };
    let logs = [
        Log::Begun { time_ns: T0, origin: odd(), key: odd(), after: Some(odd()) },
        Log::Rotated { time_ns: T0, old: odd(), new: odd(), by_old: odd(), by_new: odd() },
        Log::Retired { time_ns: T0, key: odd() },
        Log::Settings { time_ns: T0, settings: BTreeMap::from([("keep_mib".to_owned(), "4096".to_owned())]) },
    ];
    let mut later = vec![Entry::Output(finding), Entry::Kept(Box::new(Kept::Dropped(pruned)))];
    later.extend(logs.map(|log| Entry::Log(Box::new(log))));
    let before = Before { time_ns: T0 - 9, boot_ns: 4, boot_id: "2f1e".to_owned(), stopped: true };
    let gap = Gap {
        id: "g-1".to_owned(),
        cause: GapCause::AccountUnreadable,
        subject: odd(),
        agent: Some("one".to_owned()),
        from_ns: T0,
        to_ns: Some(T0 + 9),
        boot_id: "2f1e".to_owned(),
        boot_id_before: Some("0a1b".to_owned()),
        boot_from_ns: Some(1),
        boot_to_ns: Some(2),
        count: Some(3),
        detail: odd(),
    };
    let mut state = agent();
    state.coverage.gaps = vec![Interval { cause: GapCause::DaemonDown, from_ns: T0 - 9, to_ns: Some(T0) }];
    state.coverage.gaps_more = 3;
    let open = Gap { id: "g-2".to_owned(), agent: None, to_ns: None, boot_to_ns: None, ..gap.clone() };
    let state_of_probe = ProbeState { probe: "sys_exit".to_owned(), error: None };
    let inputs = [
        Input::Start(Start { boot_ns: 13, before: Some(before), ..start() }),
        Input::Tick { time_ns: T0, boot_ns: 14, asleep_ns: 5 },
        Input::Probe { time_ns: T0, state: state_of_probe, seen_ns: Some(T0 - 1) },
    ];
    let outputs = [
        StoredOutput::Gap(Box::new(gap)),
        StoredOutput::Gap(Box::new(open)),
        StoredOutput::Agent(Box::new(state)),
    ];
    let inputs = inputs.into_iter().map(|input| Entry::Input(Box::new(input)));
    later.extend(inputs.chain(outputs.into_iter().map(Entry::Output)));
    let outside = Log::Outside { time_ns: T0, who: odd(), what: "back".to_owned(), text: odd() };
    later.push(Entry::Log(Box::new(outside)));
    later.extend(descents());
    later.extend(reviews());
    later.extend(mandates());
    later.extend(gates());
    later.extend(remembered());
    let plan = Log::Plan { time_ns: T0, by: odd(), file: odd(), plan: odd() };
    later.push(Entry::Log(Box::new(plan)));
    later
}

fn reviews() -> Vec<Entry> {
    let review = Review {
        time_ns: T0,
        finding: "f-1".to_owned(),
        agent: "one".to_owned(),
        judgement: Judgement::FalseAlarm,
        note: odd(),
        by: odd(),
    };
    let kept = Entry::Kept(Box::new(Kept::Review(review.clone())));
    vec![Entry::Input(Box::new(Input::Review(Box::new(review)))), kept]
}

fn mandates() -> Vec<Entry> {
    let note = |state, full: bool| {
        Input::Mandate(Box::new(MandateNote {
            time_ns: T0,
            id: "0a".repeat(32),
            agent: full.then(|| "one".to_owned()),
            state,
            text: odd(),
            body: full.then(odd),
            policy: full.then(odd),
            path: full.then(odd),
            signer: full.then(odd),
            parent: full.then(|| "0b".repeat(32)),
            expires_ns: full.then_some(T0),
        }))
    };
    let inputs = [
        note(MandateState::Accepted, true),
        note(MandateState::Refused, false),
        note(MandateState::Renewed, true),
        note(MandateState::Revoked, false),
        note(MandateState::Expired, false),
    ];
    let output = StoredOutput::Agent(Box::new(AgentState { mandate_until_ns: Some(T0), ..agent() }));
    let inputs = inputs.into_iter().map(|input| Entry::Input(Box::new(input)));
    inputs.chain([Entry::Output(output)]).collect()
}

fn gates() -> Vec<Entry> {
    let action = Action::Execute { path: odd(), argv: vec![odd()] };
    let decision = Decision { verdict: Verdict_::Ask, rule: odd(), reason: odd(), mandate: Some(odd()) };
    let (intact, watched, wrong) = (vec![odd()], vec![odd(), odd()], Vec::new());
    let inputs = [
        Input::Gate(Box::new(GateNote {
            time_ns: T0,
            agent: "one".to_owned(),
            process: Some(key(7)),
            by: GateWay::Hook,
            action: action.clone(),
            decision: decision.clone(),
            enforced: true,
            blocked: true,
            approval: Some(odd()),
            call: Some(odd()),
            count: 2,
        })),
        Input::Approval(Box::new(ApprovalNote {
            time_ns: T0,
            id: "q-1".to_owned(),
            agent: "one".to_owned(),
            state: ApprovalState::Answered(Verdict_::Deny),
            action,
            decision,
            said: Some(odd()),
            by: Some(odd()),
            until_ns: Some(T0 + 9),
            pattern: Some(odd()),
            count: 3,
        })),
        Input::Hooks(Box::new(HooksRead { agent: "one".to_owned(), time_ns: T0, intact, watched, wrong })),
        Input::Canaries(Canaries { time_ns: T0, planted: vec![Canary { path: odd(), kind: odd() }] }),
    ];
    inputs.into_iter().map(|input| Entry::Input(Box::new(input))).collect()
}

fn descents() -> Vec<Entry> {
    let inputs = [
        Input::ArtefactRead(ArtefactRead {
            agent: "one".to_owned(),
            path: odd(),
            time_ns: T0,
            commands: vec![vec![odd()]],
            unit: None,
            marks: Vec::new(),
            error: Some(odd()),
            file: None,
        }),
        Input::Containment(Box::new(Containment {
            id: "out-1".to_owned(),
            agent: "one".to_owned(),
            time_ns: T0,
            step: "freeze".to_owned(),
            state: "done".to_owned(),
            text: odd(),
            by: odd(),
        })),
    ];
    let outputs = [
        StoredOutput::Descent(Box::new(descent())),
        StoredOutput::Artefact(Box::new(artefact())),
        StoredOutput::Agent(Box::new(AgentState { containment: Some(odd()), ..agent() })),
    ];
    let inputs = inputs.into_iter().map(|input| Entry::Input(Box::new(input)));
    inputs.chain(outputs.into_iter().map(Entry::Output)).collect()
}

fn remembered() -> Vec<Entry> {
    let file = FileAt { path: odd(), device: 7, inode: 8 };
    let written = Written { path: odd(), seq: 3, process: key(7), time_ns: T0, origin: Some(odd()) };
    let artefact = Artefact { stood: Some(true), file: Some(file.clone()), ..artefact() };
    let inputs = [
        Input::Remembered(Box::new(Remembered {
            time_ns: T0,
            state: Box::new(agent()),
            artefacts: vec![artefact],
            files: vec![written.clone(), Written { origin: None, ..written }],
            live: vec![Living { process: key(8), from_seq: 4, by: Attribution::Artefact }],
        })),
        Input::ArtefactRead(ArtefactRead {
            agent: "one".to_owned(),
            path: odd(),
            time_ns: T0,
            commands: Vec::new(),
            unit: None,
            error: None,
            marks: Vec::new(),
            file: Some(file),
        }),
    ];
    inputs.into_iter().map(|input| Entry::Input(Box::new(input))).collect()
}

/// The words of the enums that are words alone.
pub fn words() -> Vec<(&'static str, Vec<String>)> {
    vec![
        words_of::<Queue>("`queue` of a loss"),
        words_of::<GapCause>("`cause` of a gap"),
        words_of::<Attribution>("`by` of a member"),
        words_of::<Strength>("`strength` of a join"),
        words_of::<Certainty>("`certainty`"),
        words_of::<State>("`state` of an agent"),
        words_of::<Stage>("`stage`"),
        words_of::<Severity>("`severity`"),
        words_of::<Code>("`code` of a finding"),
        words_of::<Judgement>("`judgement` of a review"),
        words_of::<Source>("`source` of a claim"),
        words_of::<Topic>("`class` of a claim"),
        words_of::<Verdict>("`verdict` of a claim"),
        words_of::<Label>("`label` of an opinion"),
        words_of::<Origin>("`origin` of a prompt"),
        words_of::<Tool>("`class` of a call"),
        words_of::<Status>("`status` of a result"),
        words_of::<Decision>("`decision`"),
        words_of::<MemoryOp>("`op` of `process_memory`"),
    ]
}
