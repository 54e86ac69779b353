//! The store from outside: what was written is read back, by whomever, whatever became of the index.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

use muster_account::{Actor, Body, Item};
use muster_engine::claims::{Class, Source};
use muster_engine::{
    AccountRecord, AgentState, Before, Claim, Code, Coverage, Evidence, Finding, Gap, GapCause, Input, Join,
    Member, Opinions, Output, Severity, Stage, Start, State, Strength, Verdict,
};
use muster_event::{
    Access, Address, Attribution, Event, Identity, Kind, Lost, MemoryOp, ProbeState, ProcessKey, Queue,
    SignalTarget, Snapshot,
};
use muster_ledger::Options;
use muster_server::views::{self, EVENT_FIELDS, EVENT_KINDS, EventView, FindingView};
use muster_server::{
    EventFilter, EvidenceCopy, FindingFilter, Retention, Store, StoreError, StoreReader, TimeRange,
};

/// Bytes that an agent may choose: control characters, quotes, direction marks, SQL, HTML.
const HOSTILE: &str = "a'b\"c\\d\0e\u{1b}[31m\u{202e}\n<script>'); DROP TABLE agents;-- \u{10ffff}%s";
const SECOND: u64 = 1_000_000_000;
/// Blocks and segments of one bundle.
const SMALL: Options = Options { segment_bytes: 1, block: 256 };
const T0: u64 = 1_700_000_000 * SECOND;

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_ns: u64::from(pid) * 10_000_000 }
}

fn event(seq: u64, pid: u32, kind: Kind) -> Event {
    Event {
        seq,
        time_ns: T0 + seq * SECOND,
        boot_ns: seq,
        process: key(pid),
        thread: pid,
        uid: 1000,
        comm: HOSTILE.to_owned(),
        cgroup: 0,
        kind,
    }
}

fn open_kind(path: &str) -> Kind {
    let access = Access { read: false, write: true, create: true, truncate: false, append: false };
    Kind::Open { path: path.to_owned(), access, result: 3 }
}

fn state(agent: &str, pid: u32) -> AgentState {
    AgentState {
        agent: agent.to_owned(),
        product: "claude-code".to_owned(),
        version: Some("2.0".to_owned()),
        model: None,
        root: key(pid),
        parent: None,
        mandate: None,
        mandate_until_ns: None,
        principal: None,
        label: HOSTILE.to_owned(),
        found_by: "package".to_owned(),
        uid: 1000,
        command: vec!["claude".to_owned(), HOSTILE.to_owned()],
        cwd: "/home".to_owned(),
        sessions: vec!["s".to_owned()],
        accounts: vec![HOSTILE.to_owned()],
        started_ns: T0,
        last_ns: T0,
        ended_ns: None,
        state: State::Running,
        stage: Some(Stage::Initiate),
        processes: 1,
        events: 0,
        calls: 0,
        calls_joined: 0,
        doing: HOSTILE.to_owned(),
        containment: None,
        coverage: Coverage::default(),
    }
}

fn member(agent: &str, pid: u32, from_seq: u64) -> Output {
    Output::Member(Member { agent: agent.to_owned(), process: key(pid), from_seq, by: Attribution::Ancestry })
}

fn finding(id: &str, agent: &str, severity: Severity, evidence: Vec<Evidence>) -> Finding {
    Finding {
        id: id.to_owned(),
        code: Code::UnreportedAction,
        severity,
        stage: Stage::Conceal,
        overreach: 2,
        deception: 1,
        agent: agent.to_owned(),
        time_ns: T0 + 5 * SECOND,
        summary: HOSTILE.to_owned(),
        explanation: "why".to_owned(),
        evidence,
    }
}

fn start(boot: &str) -> Input {
    Input::Start(Start {
        time_ns: T0,
        host: "host".to_owned(),
        boot_id: boot.to_owned(),
        version: "0.1.0".to_owned(),
        kernel_record: true,
        daemon: key(1),
        data_dir: "/var/lib/muster".to_owned(),
        boot_ns: 0,
        before: None,
    })
}

fn account(agent: &str, offset: u64) -> AccountRecord {
    AccountRecord {
        agent: agent.to_owned(),
        path: format!("/home/{HOSTILE}.jsonl"),
        offset,
        len: 10,
        sha256: [7; 32],
        time_ns: T0 + 4 * SECOND,
        raw: HOSTILE.as_bytes().to_vec(),
        items: vec![Item {
            time_ns: Some(T0 + 3 * SECOND),
            actor: Actor::Main,
            body: Body::Text { text: HOSTILE.to_owned(), last: false },
        }],
    }
}

fn snapshot(pid: u32) -> Snapshot {
    Snapshot {
        process: key(pid),
        parent: None,
        uid: 0,
        comm: HOSTILE.to_owned(),
        cgroup: 0,
        session: 1,
        group: 1,
        path: "/bin/sh".to_owned(),
        argv: vec![HOSTILE.to_owned()],
        cwd: "/".to_owned(),
        env: BTreeMap::new(),
        open_for_write: Vec::new(),
    }
}

fn gap(id: &str, agent: Option<&str>, to_ns: Option<u64>) -> Gap {
    Gap {
        id: id.to_owned(),
        cause: GapCause::AccountUnreadable,
        subject: HOSTILE.to_owned(),
        agent: agent.map(str::to_owned),
        from_ns: T0,
        to_ns,
        boot_id: "boot".to_owned(),
        boot_id_before: None,
        boot_from_ns: Some(1),
        boot_to_ns: None,
        count: None,
        detail: String::new(),
    }
}

/// A small story: two agents, one started by the other, and somebody else.
fn story(store: &mut Store) {
    store.append(&start("boot")).unwrap();
    store.append(&Input::Snapshot(snapshot(50))).unwrap();
    let probe = ProbeState { probe: "exec".to_owned(), error: Some("no BTF".to_owned()) };
    store.append(&Input::Probe { time_ns: T0, state: probe, seen_ns: None }).unwrap();
    let fork = Kind::Fork { child: key(20) };
    store.append(&Input::Event(event(1, 10, fork))).unwrap();
    store.append(&Input::Event(event(2, 10, open_kind("/a")))).unwrap();
    store.apply(&Output::Agent(Box::new(state("one", 10)))).unwrap();
    store.apply(&member("one", 10, 1)).unwrap();
    store.apply(&member("one", 20, 1)).unwrap();
    store.append(&Input::Event(event(3, 20, open_kind(HOSTILE)))).unwrap();
    store.append(&Input::Event(event(4, 99, open_kind("/not-an-agent")))).unwrap();
    store.append(&Input::Event(event(5, 20, open_kind("/b")))).unwrap();
    store.apply(&Output::Agent(Box::new(state("two", 20)))).unwrap();
    store.apply(&member("two", 20, 5)).unwrap();
    store.append(&Input::Account(account("one", 100))).unwrap();
    let join = Join {
        agent: "one".to_owned(),
        call_id: HOSTILE.to_owned(),
        process: key(20),
        seq: 3,
        strength: Strength::TimeText,
    };
    store.apply(&Output::Join(join)).unwrap();
    let evidence = vec![
        Evidence::Event { seq: 3 },
        Evidence::Account { path: account("one", 100).path, offset: 100, sha256: [7; 32] },
        Evidence::Process { pid: 50, start_ns: key(50).start_ns },
        Evidence::Event { seq: 12345 },
    ];
    store.apply(&Output::Finding(Box::new(finding("f-1", "one", Severity::High, evidence)))).unwrap();
    store.apply(&Output::Finding(Box::new(finding("f-2", "two", Severity::Low, vec![])))).unwrap();
    let claim = Claim {
        id: "c-1".to_owned(),
        agent: "one".to_owned(),
        time_ns: T0,
        actor: None,
        source: Source::Prose,
        class: Class::TestsPass,
        sentence: HOSTILE.to_owned(),
        verdict: Verdict::Hollow,
        reason: HOSTILE.to_owned(),
        said: Evidence::Event { seq: 3 },
        evidence: vec![],
    };
    store.apply(&Output::Claim(Box::new(claim))).unwrap();
    let opinions = Opinions {
        agent: "one".to_owned(),
        time_ns: T0,
        model: "m".to_owned(),
        endpoint: "h".to_owned(),
        skeleton: [7; 32],
        opinions: vec![],
        dropped: 2,
    };
    store.apply(&Output::Opinion(Box::new(opinions))).unwrap();
    for (id, agent, to_ns) in
        [("g-1", None, Some(T0 + SECOND)), ("g-2", Some("one"), None), ("g-3", Some("two"), Some(T0 + 9))]
    {
        store.apply(&Output::Gap(Box::new(gap(id, agent, to_ns)))).unwrap();
    }
    store.apply(&Output::Follow { process: key(10) }).unwrap();
    let lost = Lost { queue: Queue::Lineage, count: 3, from_ns: T0, to_ns: T0 + SECOND };
    store.append(&Input::Lost(lost)).unwrap();
    store.append(&Input::Event(event(6, 20, Kind::Exit { code: Some(0), signal: None }))).unwrap();
    let mut ended = state("two", 20);
    ended.state = State::Ended;
    ended.ended_ns = Some(T0 + 6 * SECOND);
    store.apply(&Output::Agent(Box::new(ended))).unwrap();
    store.append(&Input::Stop { time_ns: T0 + 10 * SECOND }).unwrap();
    store.commit(true).unwrap();
}

fn seqs(reader: &StoreReader, filter: &EventFilter) -> Vec<u64> {
    let mut seqs = Vec::new();
    let warnings = reader
        .events(filter, &mut |event| {
            seqs.push(event.seq);
            true
        })
        .unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    seqs
}

fn of(agent: &str) -> EventFilter {
    EventFilter { agent: Some(agent.to_owned()), ..EventFilter::default() }
}

/// Everything that a reader can be asked, as text.
fn answers(dir: &Path) -> String {
    let reader = StoreReader::open(dir).unwrap();
    let mut text = format!("{:#?}\n{:#?}\n", reader.roll_views().unwrap(), reader.health().unwrap());
    let mut agents: Vec<Option<String>> = reader.roll().unwrap().into_iter().map(|a| Some(a.agent)).collect();
    text += &format!("{:#?}\n", reader.roll().unwrap());
    agents.push(None);
    for agent in agents {
        let filter = EventFilter { agent: agent.clone(), ..EventFilter::default() };
        reader
            .records(&filter, &mut |record| {
                text += &format!("{record:?}\n");
                true
            })
            .unwrap();
        for finding in
            reader.findings(&FindingFilter { agent: agent.clone(), ..FindingFilter::default() }).unwrap()
        {
            text += &format!("{:#?}\n", reader.finding(&finding.id).unwrap());
        }
        text += &format!("{:#?}\n", reader.gaps(agent.as_deref(), None).unwrap());
        let agent = agent.unwrap_or_default();
        text += &format!("{:#?}\n", reader.joins(&agent).unwrap());
        text += &format!("{:#?}\n", reader.claims(&agent, None, None).unwrap());
        text += &format!("{:#?}\n", reader.opinions(&agent, None).unwrap());
        text += &format!("{:#?}\n", reader.lineage(&agent).unwrap());
        text += &format!("{:#?}\n", reader.account_items(&agent, TimeRange::default(), None).unwrap());
    }
    text
}

fn remove_index(dir: &Path) {
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(dir.join(file));
    }
}

fn member_by(agent: &str, pid: u32, from_seq: u64, by: Attribution) -> Output {
    Output::Member(Member { agent: agent.to_owned(), process: key(pid), from_seq, by })
}

/// Two lineages on one process: both have what it does from then on, and neither loses it. So it is after a new start.
#[test]
fn a_process_of_two_lineages_is_in_both() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    store.append(&start("boot")).unwrap();
    store.apply(&Output::Agent(Box::new(state("one", 10)))).unwrap();
    store.apply(&Output::Agent(Box::new(state("two", 20)))).unwrap();
    store.apply(&member("one", 10, 1)).unwrap();
    store.apply(&member("one", 11, 1)).unwrap();
    store.append(&Input::Event(event(1, 11, open_kind("/a")))).unwrap();
    store.apply(&member_by("two", 11, 2, Attribution::Request)).unwrap();
    store.append(&Input::Event(event(2, 11, open_kind("/b")))).unwrap();
    // Nobody's but by what others started for it.
    store.apply(&member_by("two", 30, 3, Attribution::Content)).unwrap();
    store.append(&Input::Event(event(3, 30, open_kind("/c")))).unwrap();
    store.commit(true).unwrap();
    drop(store);
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    store.append(&Input::Event(event(4, 11, open_kind("/d")))).unwrap();
    store.append(&Input::Event(event(5, 11, Kind::Exit { code: Some(0), signal: None }))).unwrap();
    store.commit(true).unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    assert_eq!(seqs(&reader, &of("one")), [1, 2, 4, 5]);
    assert_eq!(seqs(&reader, &of("two")), [2, 3, 4, 5]);
    assert_eq!(reader.event(4).unwrap().unwrap().agent, Some(("one".to_owned(), Attribution::Ancestry)));
    assert_eq!(reader.event(3).unwrap().unwrap().agent, Some(("two".to_owned(), Attribution::Content)));
    let lineage = reader.lineage("two").unwrap().unwrap();
    assert_eq!(lineage.processes.iter().map(|m| m.process).collect::<Vec<_>>(), [key(30)]);
    assert_eq!(lineage.ended, 1);
    assert_eq!(reader.lineage("one").unwrap().unwrap().processes[0].process, key(10));
    assert_eq!(reader.lineage("nobody").unwrap(), None);
}

#[test]
fn what_was_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, warnings) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    story(&mut store);
    assert_eq!(store.last_seq(), 6);
    let reader = StoreReader::open(dir.path()).unwrap();

    let roll = reader.roll().unwrap();
    assert_eq!(roll.iter().map(|a| a.agent.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(roll[0], state("one", 10));
    assert_eq!(reader.agent("two").unwrap().unwrap().state, State::Ended);
    assert_eq!(reader.agent(HOSTILE).unwrap(), None);
    assert_eq!(reader.roll_views().unwrap()[0].findings.high, 1);
    assert_eq!(reader.claims("one", Some(Verdict::Hollow), None).unwrap()[0].sentence, HOSTILE);
    assert_eq!(reader.claims("one", Some(Verdict::Supported), None).unwrap(), []);
    assert_eq!(reader.claims("two", None, None).unwrap(), []);
    assert_eq!(reader.opinions("one", None).unwrap()[0].dropped, 2);
    assert_eq!(reader.last_records("one", 1).unwrap().len(), 1);

    assert_eq!(seqs(&reader, &EventFilter::default()), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(&reader, &of("one")), [1, 2, 3]);
    assert_eq!(seqs(&reader, &of("two")), [5, 6], "the later membership wins, from its first event on");
    assert_eq!(seqs(&reader, &EventFilter { pid: Some(10), ..EventFilter::default() }), [1, 2]);
    assert_eq!(seqs(&reader, &EventFilter { kinds: vec!["exit".to_owned()], ..EventFilter::default() }), [6]);
    let middle = EventFilter { since_seq: Some(2), until_seq: Some(4), ..EventFilter::default() };
    assert_eq!(seqs(&reader, &middle), [2, 3, 4]);
    let times = EventFilter {
        since_ns: Some(T0 + 3 * SECOND),
        until_ns: Some(T0 + 4 * SECOND),
        ..EventFilter::default()
    };
    assert_eq!(seqs(&reader, &times), [3, 4]);
    assert_eq!(seqs(&reader, &EventFilter { limit: Some(2), ..EventFilter::default() }), [1, 2]);
    assert_eq!(seqs(&reader, &EventFilter { limit: Some(2), last: true, ..EventFilter::default() }), [5, 6]);
    assert_eq!(reader.event(4).unwrap().unwrap().agent, None);
    assert_eq!(reader.event(7).unwrap(), None);
    let third = reader.event(3).unwrap().unwrap();
    assert_eq!(third.event, event(3, 20, open_kind(HOSTILE)));
    assert_eq!(third.agent, Some(("one".to_owned(), Attribution::Ancestry)));

    let high = FindingFilter { severity_min: Some(Severity::Medium), ..FindingFilter::default() };
    assert_eq!(reader.findings(&high).unwrap().len(), 1);
    assert_eq!(reader.findings(&FindingFilter::default()).unwrap().len(), 2);
    let other = FindingFilter { code: Some(Code::AccountMissing), ..FindingFilter::default() };
    assert_eq!(reader.findings(&other).unwrap(), []);
    let detail = reader.finding("f-1").unwrap().unwrap();
    assert_eq!(
        detail.evidence,
        [
            EvidenceCopy::Event(Box::new(event(3, 20, open_kind(HOSTILE)))),
            EvidenceCopy::Account(Box::new(account("one", 100))),
            EvidenceCopy::Process(Box::new(snapshot(50))),
            EvidenceCopy::Missing,
        ]
    );

    let items = reader.account_items("one", TimeRange::default(), None).unwrap();
    assert_eq!(items[0].item, account("one", 100).items[0]);
    let late = TimeRange { since_ns: Some(T0 + 4 * SECOND), until_ns: None };
    assert_eq!(reader.account_items("one", late, None).unwrap(), []);
    assert_eq!(reader.joins("one").unwrap()[0].call_id, HOSTILE);

    let health = reader.health().unwrap();
    assert_eq!((health.last_seq, health.lost), (6, 3));
    assert_eq!(health.host.as_deref(), Some("host"));
    assert_eq!(health.probes[0].error.as_deref(), Some("no BTF"));
    assert_eq!(health.stopped_ns, Some(T0 + 10 * SECOND));
    // The journal frames what it holds, and who wrote it counts what it took.
    assert!(health.ledger_bytes.abs_diff(store.bytes()) < 1000);
}

#[test]
fn an_index_made_anew_gives_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open_with(dir.path(), Retention::UNLIMITED, SMALL).unwrap();
    story(&mut store);
    drop(store);
    let before = answers(dir.path());

    remove_index(dir.path());
    assert_eq!(answers(dir.path()), before, "by a reader, for itself");
    assert!(!dir.path().join("index.db").exists());

    let (store, warnings) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    assert_eq!(warnings.len(), 1);
    drop(store);
    assert_eq!(answers(dir.path()), before, "by the daemon");

    // Rubbish, an older schema, a ledger that went back.
    std::fs::write(
        dir.path().join("index.db"),
        "this is no database, and long enough to be looked at as one".repeat(9),
    )
    .unwrap();
    assert_eq!(answers(dir.path()), before);
    let (store, warnings) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    assert_eq!(warnings.len(), 1);
    drop(store);
    assert_eq!(answers(dir.path()), before);
    let conn = rusqlite::Connection::open(dir.path().join("index.db")).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    assert_eq!(answers(dir.path()), before);
    let (_, warnings) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(answers(dir.path()), before);
}

#[test]
fn an_index_that_is_behind_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open_with(dir.path(), Retention::UNLIMITED, SMALL).unwrap();
    store.append(&start("boot")).unwrap();
    store.append(&Input::Event(event(1, 10, open_kind("/first")))).unwrap();
    drop(store);
    std::fs::copy(dir.path().join("index.db"), old.path().join("index.db")).unwrap();
    let (mut store, _) = Store::open_with(dir.path(), Retention::UNLIMITED, SMALL).unwrap();
    story(&mut store);
    drop(store);
    let before = answers(dir.path());
    remove_index(dir.path());
    std::fs::copy(old.path().join("index.db"), dir.path().join("index.db")).unwrap();
    let (store, warnings) = Store::open_with(dir.path(), Retention::UNLIMITED, SMALL).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    drop(store);
    assert_eq!(answers(dir.path()), before);
}

#[test]
fn counters_are_seen_at_once_and_survive_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    store.append(&start("boot")).unwrap();
    store.apply(&Output::Agent(Box::new(state("one", 10)))).unwrap();
    let bytes = store.bytes();
    for events in 1..=100 {
        let mut now = state("one", 10);
        now.events = events;
        store.apply(&Output::Agent(Box::new(now))).unwrap();
    }
    assert_eq!(store.bytes(), bytes, "counting is no news for the ledger");
    store.commit(false).unwrap();
    assert_eq!(StoreReader::open(dir.path()).unwrap().agent("one").unwrap().unwrap().events, 100);
    store.append(&Input::Tick { time_ns: T0 + 11 * SECOND, boot_ns: 0, asleep_ns: 0 }).unwrap();
    assert!(store.bytes() > bytes + 100, "but after a while it is");
    drop(store);
    remove_index(dir.path());
    assert_eq!(StoreReader::open(dir.path()).unwrap().agent("one").unwrap().unwrap().events, 100);
}

#[test]
fn a_reader_reads_while_the_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open_with(dir.path(), Retention::UNLIMITED, SMALL).unwrap();
    store.append(&start("boot")).unwrap();
    store.apply(&Output::Agent(Box::new(state("one", 10)))).unwrap();
    store.apply(&member("one", 10, 1)).unwrap();
    store.commit(false).unwrap();
    let folder = dir.path().to_owned();
    const COUNT: u64 = 20_000;
    let reading = std::thread::spawn(move || {
        let reader = StoreReader::open(&folder).unwrap();
        let mut rounds = 0u64;
        let mut next = 1;
        while next <= COUNT {
            let filter = EventFilter { since_seq: Some(next), ..of("one") };
            reader
                .events(&filter, &mut |event| {
                    assert_eq!(event.seq, next);
                    assert_eq!(event.agent.as_deref(), Some("one"));
                    next += 1;
                    true
                })
                .unwrap();
            rounds += 1;
            assert_eq!(reader.roll().unwrap().len(), 1);
        }
        rounds
    });
    for seq in 1..=COUNT {
        store.append(&Input::Event(event(seq, 10, open_kind("/x")))).unwrap();
        if seq % 100 == 0 {
            store.commit(false).unwrap();
        }
    }
    store.commit(false).unwrap();
    assert!(reading.join().unwrap() > 1);
}

#[test]
fn retention_keeps_findings_and_what_they_rest_on() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { bytes_max: 1_000_000, age_max_ns: 0 };
    let (mut store, _) = Store::open_with(dir.path(), retention, SMALL).unwrap();
    story(&mut store);
    // A third agent, which leaves nothing but events.
    store.apply(&Output::Agent(Box::new(AgentState { ended_ns: Some(T0), ..state("three", 30) }))).unwrap();
    store.apply(&member("three", 30, 7)).unwrap();
    store.append(&Input::Event(event(7, 30, open_kind("/gone")))).unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    let before =
        (reader.finding("f-1").unwrap(), reader.finding("f-2").unwrap(), reader.agent("one").unwrap());
    let mut dropped = 0;
    let mut all = Vec::new();
    for seq in 8..10_008 {
        // `one` goes on; its membership was told in a segment that is long gone.
        store.append(&Input::Event(event(seq, if seq % 2 == 0 { 10 } else { 99 }, open_kind("/y")))).unwrap();
        if seq % 500 == 0 {
            if let Some(gone) = store.enforce(T0 + seq * SECOND).unwrap() {
                dropped += gone.events;
            }
            assert!(store.bytes() <= 1_000_000 + 400_000, "{}", store.bytes());
        }
        all.push(seq);
    }
    store.commit(false).unwrap();
    assert_eq!(seqs(&reader, &EventFilter::default()).len() as u64, 10_007 - dropped);
    assert_eq!(
        before,
        (reader.finding("f-1").unwrap(), reader.finding("f-2").unwrap(), reader.agent("one").unwrap())
    );
    assert!(before.0.is_some());
    assert_eq!(reader.agent("three").unwrap(), None, "an agent without findings goes with its events");
    assert!(reader.agent("two").unwrap().is_some(), "an agent with findings stays");
    let one = seqs(&reader, &of("one"));
    assert_eq!(*one.last().unwrap(), 10_006);
    let all_there = seqs(&reader, &EventFilter::default());
    assert_eq!(one, all_there.into_iter().filter(|seq| seq % 2 == 0).collect::<Vec<_>>());
    let health = reader.health().unwrap();
    assert_eq!(health.dropped.unwrap().events, dropped);
    assert_eq!(health.host.as_deref(), Some("host"));
    assert_eq!(health.probes.len(), 1);
    drop(store);
    drop(reader);

    let before = answers(dir.path());
    remove_index(dir.path());
    let (store, _) = Store::open_with(dir.path(), retention, SMALL).unwrap();
    drop(store);
    // That it was stopped once is not carried on; all else is.
    assert_eq!(answers(dir.path()), before);
}

#[test]
fn what_a_daemon_did_not_see_it_did_not_see_until_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    assert_eq!(store.before().unwrap(), None);
    store.append(&start("boot")).unwrap();
    store.append(&Input::Tick { time_ns: T0 + 7 * SECOND, boot_ns: 70, asleep_ns: 0 }).unwrap();
    store.apply(&Output::Agent(Box::new(state("one", 10)))).unwrap();
    store.apply(&Output::Gap(Box::new(gap("g-1", Some("one"), None)))).unwrap();
    store.append(&Input::Event(event(1, 10, open_kind("/x")))).unwrap();
    drop(store);
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    let before = Before { time_ns: T0 + 7 * SECOND, boot_ns: 70, boot_id: "boot".to_owned(), stopped: false };
    assert_eq!(store.before().unwrap(), Some(before.clone()));
    let Input::Start(start) = start("boot") else { unreachable!() };
    store.append(&Input::Start(Start { before: Some(before.clone()), ..start })).unwrap();
    store.append(&Input::Stop { time_ns: T0 + 9 * SECOND }).unwrap();
    store.commit(true).unwrap();
    let gaps = StoreReader::open(dir.path()).unwrap().gaps(None, None).unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (gaps[0].to_ns, gaps[0].detail.as_str()),
        (Some(before.time_ns), "so it was when the daemon ended")
    );
    assert_eq!(store.before().unwrap().map(|it| (it.time_ns, it.stopped)), Some((T0 + 9 * SECOND, true)));
    // The same from the ledger alone.
    let seen = answers(dir.path());
    drop(store);
    remove_index(dir.path());
    assert_eq!(answers(dir.path()), seen);
}

#[test]
fn age_alone_removes_too() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { bytes_max: 0, age_max_ns: 100 * SECOND };
    let (mut store, _) = Store::open_with(dir.path(), retention, SMALL).unwrap();
    story(&mut store);
    for seq in 7..1000 {
        store.append(&Input::Event(event(seq, 99, open_kind("/y")))).unwrap();
    }
    assert_eq!(store.enforce(T0).unwrap(), None);
    // Blocks go once another thread has seen to it that they are on the disk: some first, some later.
    let began = std::time::Instant::now();
    let mut events = 0;
    while events <= 400 {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{events}");
        if let Some(gone) = store.enforce(T0 + 600 * SECOND).unwrap() {
            assert!(gone.to_ns < T0 + 500 * SECOND, "{gone:?}");
            events += gone.events;
        }
    }
    assert_eq!(store.enforce(T0 + 600 * SECOND).unwrap(), None);
    let reader = StoreReader::open(dir.path()).unwrap();
    assert_eq!(reader.finding("f-1").unwrap().unwrap().evidence.len(), 4);
    assert!(reader.event(500).unwrap().is_some());
    assert!(reader.event(100).unwrap().is_none());
}

#[test]
fn an_equal_pid_after_a_reboot_is_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    story(&mut store);
    store.append(&start("another boot")).unwrap();
    store.append(&Input::Event(event(7, 10, open_kind("/x")))).unwrap();
    store.commit(false).unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    assert_eq!(seqs(&reader, &of("one")), [1, 2, 3]);
    // And the other way round: what a process is found to be later says nothing of the boot before.
    store.apply(&Output::Agent(Box::new(state("three", 10)))).unwrap();
    store.apply(&member("three", 10, 0)).unwrap();
    store.commit(false).unwrap();
    assert_eq!(seqs(&reader, &of("three")), [7]);
    assert_eq!(seqs(&reader, &of("one")), [1, 2, 3]);
}

#[test]
fn no_record_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = StoreReader::open(&dir.path().join("nothing")).err().unwrap();
    assert!(matches!(error, StoreError::NoRecord { .. }));
    assert!(error.to_string().contains("hint: start `muster watch`, or name its folder with --data"));
}

#[test]
fn files_are_private_and_one_daemon_holds_them() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    let (mut store, _) = Store::open(&folder, Retention::UNLIMITED).unwrap();
    story(&mut store);
    assert!(Store::open(&folder, Retention::UNLIMITED).is_err());
    for file in ["", "index.db", "index.db-wal", "ledger"] {
        let mode = std::fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{file}");
    }
}

#[test]
fn a_damaged_entry_is_told_of_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    store.append(&start("boot")).unwrap();
    for seq in 1..=9 {
        store.append(&Input::Event(event(seq, 10, open_kind(&format!("/file-{seq}"))))).unwrap();
    }
    drop(store);
    let file = dir.path().join("ledger/segments").join(format!("{:020}.log", 0));
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(7).position(|w| w == b"/file-5").unwrap();
    bytes[at] = b'X';
    std::fs::write(&file, bytes).unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    let mut seen = Vec::new();
    let warnings = reader
        .events(&EventFilter::default(), &mut |event| {
            seen.push(event.seq);
            true
        })
        .unwrap();
    assert_eq!(seen, [1, 2, 3, 4, 6, 7, 8, 9]);
    assert_eq!(warnings.len(), 1);
    remove_index(dir.path());
    // No checkpoint spoke of it: it may be what a power cut left, so the daemon goes on from there, and says so.
    let (_, warnings) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    assert!(warnings.iter().any(|w| w.contains("not written whole")), "{warnings:?}");
}

#[test]
fn long_entries_are_whole_and_what_is_not_understood_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open_with(dir.path(), Retention::UNLIMITED, SMALL).unwrap();
    store.append(&start("boot")).unwrap();
    drop(store);
    let options = SMALL;
    let (mut ledger, _) = muster_ledger::Ledger::open(&dir.path().join("ledger"), options).unwrap();
    ledger.append(b"\x01{\"v\":1,\"input\":").unwrap();
    for n in 0..3 {
        ledger.append(format!(r#"{{"v":2,"input":{{"quiet":{{"n":{n}}}}}}}"#).as_bytes()).unwrap();
    }
    ledger.append(b"\x01{\"v\":1,\"input\":").unwrap();
    ledger.commit(true).unwrap();
    drop(ledger);

    let (mut store, warnings) = Store::open_with(dir.path(), Retention::UNLIMITED, SMALL).unwrap();
    let understood = "entries of the ledger that this version does not understand: 3 \
                      (the first: entry 2, input.quiet: unknown variant `quiet`)";
    assert!(warnings.iter().any(|warning| warning == understood), "{warnings:?}");
    store.apply(&Output::Agent(Box::new(state("one", 10)))).unwrap();
    let long = AccountRecord { raw: vec![b'"'; 150_000], ..account("one", 0) };
    let mut exec = every_kind().swap_remove(1);
    if let Kind::Exec { argv, .. } = &mut exec {
        argv.push("x".repeat(150_000));
    }
    for seq in 1..=4 {
        store.append(&Input::Event(event(seq, 10, exec.clone()))).unwrap();
        store.append(&Input::Account(AccountRecord { offset: seq, ..long.clone() })).unwrap();
    }
    store.commit(true).unwrap();
    let see = || {
        let reader = StoreReader::open(dir.path()).unwrap();
        assert_eq!(seqs(&reader, &EventFilter::default()), [1, 2, 3, 4]);
        assert_eq!(reader.event(3).unwrap().unwrap().event.kind, exec);
        let records = reader.last_records("one", 9).unwrap();
        assert_eq!(records.len(), 4);
        assert!(records.iter().all(|record| record.raw == long.raw));
        reader.warnings().to_vec()
    };
    see();
    drop(store);
    remove_index(dir.path());
    let warnings = see();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("2 parts of entries"), "{warnings:?}");
}

/// One of each kind, in the order of `Kind`.
fn every_kind() -> Vec<Kind> {
    let s = || HOSTILE.to_owned();
    let address = || Address::Ip { ip: "2001:db8::1".parse().unwrap(), port: 443 };
    vec![
        Kind::Fork { child: key(5) },
        Kind::Exec {
            path: s(),
            script: Some(s()),
            argv: vec![s()],
            argv_truncated: true,
            cwd: s(),
            env: BTreeMap::from([(s(), s())]),
            parent: key(1),
            session: 1,
            group: 2,
            file: Identity { device: 1, inode: 2 },
            anonymous: false,
        },
        Kind::Exit { code: Some(1), signal: Some(9) },
        Kind::SetSid { session: 3 },
        open_kind(HOSTILE),
        Kind::Rename { from: s(), to: s(), result: 0 },
        Kind::Link { from: s(), to: s(), result: 0 },
        Kind::Symlink { target: s(), path: s(), result: 0 },
        Kind::Unlink { path: s(), directory: false, result: -2 },
        Kind::Mkdir { path: s(), result: 0 },
        Kind::Chmod { path: s(), mode: 0o4755, result: 0 },
        Kind::Chown { path: s(), uid: 0, gid: 0, result: 0 },
        Kind::Truncate { path: s(), length: 0, result: 0 },
        Kind::Connect { address: address(), result: -115 },
        Kind::Bind { address: address(), result: 0 },
        Kind::Listen { address: address(), result: 0 },
        Kind::Accept { address: address(), result: 4 },
        Kind::Send { address: address(), result: 4 },
        Kind::Dns { name: s(), record_type: "A".to_owned(), server: address() },
        Kind::Tls { name: s(), address: address() },
        Kind::Http { method: s(), target: s(), host: Some(s()), address: address() },
        Kind::Signal { target: SignalTarget::Process(1), signal: 9, result: 0 },
        Kind::Ptrace { request: 16, target: 1, result: 0 },
        Kind::ProcessMemory { op: MemoryOp::Write, target: 1, result: 8 },
        Kind::Bpf { command: 5, result: 3 },
        Kind::LoadModule { name: s(), result: -1 },
        Kind::Mount { call: s(), source: s(), target: s(), result: 0 },
        Kind::Namespace { call: s(), flags: 1 << 40, result: 0 },
        Kind::Root { call: s(), path: s(), result: 0 },
        Kind::Credentials { call: s(), arguments: vec![-1, 0], result: 0 },
        Kind::SetName { from: s(), to: s() },
        Kind::Memfd { name: s(), result: 3 },
        Kind::ExecMemory { call: s(), length: 4096, result: 0 },
        Kind::IoUring { operation: s(), path: Some(s()), flags: 2 },
        Kind::Compat { number: 11, result: 0 },
        Kind::Control { call: s(), arguments: vec![1], result: 0 },
        Kind::Output { stream: 1, bytes: 5, lines: 1, whole: true, hashes: vec![7] },
    ]
}

#[test]
fn every_kind_has_its_fields_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    let kinds = every_kind();
    assert_eq!(kinds.len(), EVENT_KINDS.len());
    let always: Vec<&str> = EVENT_FIELDS.iter().take(9).map(|(name, ..)| *name).collect();
    for ((seq, kind), (name, fields)) in (1..).zip(&kinds).zip(EVENT_KINDS) {
        assert_eq!(kind.name(), *name);
        let event = event(seq, 10, kind.clone());
        store.append(&Input::Event(event.clone())).unwrap();
        let view = EventView::new(&event, Some(("one", Attribution::Marker)));
        let line = serde_json::to_string(&view).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<EventView>(&line).unwrap(), view);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let mut found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected: Vec<&str> = always.iter().chain(*fields).copied().collect();
        if *name == "signal" {
            expected.retain(|field| !["target", "target_group"].contains(field));
        }
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{name}");
        assert!(fields.iter().all(|field| EVENT_FIELDS.iter().any(|(known, ..)| known == field)), "{name}");
    }
    store.commit(false).unwrap();
    let reader = StoreReader::open(dir.path()).unwrap();
    let mut read = Vec::new();
    reader
        .records(&EventFilter::default(), &mut |record| {
            read.push(record.event.kind);
            true
        })
        .unwrap();
    assert_eq!(read, kinds);
    for kind in kinds {
        let filter = EventFilter { kinds: vec![kind.name().to_owned()], ..EventFilter::default() };
        assert_eq!(seqs(&reader, &filter).len(), 1, "{}", kind.name());
    }
}

fn names<T: serde::Serialize>(value: &T) -> Vec<String> {
    let value = serde_json::to_value(value).unwrap();
    let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn the_documented_fields_are_those_of_the_views() {
    let documented = |wanted: &str| {
        let fields = muster_server::reference::TABLES.iter().find(|(name, ..)| *name == wanted).unwrap().2;
        let mut names: Vec<String> = fields.iter().map(|(name, ..)| (*name).to_owned()).collect();
        names.sort();
        names
    };
    let roll = views::RollView::new(&state("one", 10), views::FindingCounts::default());
    assert_eq!(names(&roll), documented("roll"));
    assert_eq!(names(&roll.coverage_detail), documented("roll.coverage_detail"));
    assert_eq!(names(&roll.findings), documented("roll.findings"));
    let evidence = vec![
        Evidence::Event { seq: 1 },
        Evidence::Account { path: "/a".to_owned(), offset: 2, sha256: [0xab; 32] },
        Evidence::Process { pid: 3, start_ns: 4 },
    ];
    let finding = FindingView::from(&finding("f-1", "one", Severity::High, evidence));
    assert_eq!(names(&finding), documented("findings"));
    let mut pointers: Vec<String> = finding.evidence.iter().flat_map(names).collect();
    pointers.sort();
    assert_eq!(pointers, documented("findings.evidence"));
    let text = serde_json::to_string(&finding).unwrap();
    assert!(text.contains(r#"[{"event":1},{"account":"/a","offset":2,"sha256":"abab"#), "{text}");
    assert_eq!(serde_json::from_str::<FindingView>(&text).unwrap(), finding);
}

#[test]
fn times_are_utc_with_nanoseconds() {
    assert_eq!(views::time(0), "1970-01-01T00:00:00.000000000Z");
    assert_eq!(views::time(T0 + 7), "2023-11-14T22:13:20.000000007Z");
    assert_eq!(views::time(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    assert_eq!(views::parse_time("2023-11-14T22:13:20.000000007Z"), Some(T0 + 7));
    assert_eq!(views::parse_time("2023-11-14T23:13:20+01:00"), Some(T0));
    assert_eq!(views::parse_time("1969-12-31T00:00:00Z"), None);
    assert_eq!(views::parse_time("yesterday"), None);
}
