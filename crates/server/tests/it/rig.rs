//! A server on a small record, full of hostile text, and a client that sends exactly what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_account::{Actor, Body, Item};
use muster_engine::claims::{Class, Source};
use muster_engine::{
    AccountRecord, AgentState, Cited, Claim, Code, Coverage, Evidence, Finding, Input, Judgement, Label,
    Member, Opinion, Opinions, Output, Review, Severity, Stage, Start, State, Verdict,
};
use muster_event::{Attribution, Event, Identity, Kind, Lost, ProbeState, ProcessKey, Queue};
use muster_server::views::MandateView;
use muster_server::{
    ApprovalView, Approve, ApproveRequest, AskStop, Doors, Enrolled, Http, Retention, ReviewView,
    StopRequest, Store, Told, ToldClaim, Update,
};
use tempfile::TempDir;

/// Markup, a terminal's escape, a change of direction, a line break.
pub const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{1b}[2J\u{202e}gpj.exe\u{200b}\r\n";
const T0: u64 = 1_700_000_000_000_000_000;

pub struct Rig {
    pub http: Http,
    pub address: SocketAddr,
    pub socket: PathBuf,
    _folder: TempDir,
}

pub struct Answer {
    pub status: u16,
    /// Names in lower case, one line each.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With more than the story.
    pub fn with(more: impl FnOnce(&mut Store)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(folder.path(), Retention::UNLIMITED).unwrap();
        story(&mut store);
        more(&mut store);
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let socket = folder.path().join("s");
        let unix = UnixListener::bind(&socket).unwrap();
        let enrol = Arc::new(|peer: muster_server::Peer, request: muster_server::EnrolRequest| {
            assert_eq!(peer.pid, std::process::id(), "as the kernel knows it");
            if request.command.is_empty() {
                Err("no command".to_owned())
            } else {
                Ok(Enrolled { agent: "one".to_owned() })
            }
        });
        let ask: Arc<AskStop> = Arc::new(|_, request: StopRequest| {
            let claim = ToldClaim { sentence: request.text, verdict: "contradicted".to_owned() };
            Ok(Told { claims: vec![claim] })
        });
        let http = Http::start(
            folder.path(),
            tcp,
            unix,
            None,
            Doors {
                enrol,
                ask_stop: ask,
                contain: Arc::new(|_, _| Ok(serde_json::json!({"agent": "one"}))),
                review: Arc::new(|peer, request, agent| {
                    Ok(ReviewView {
                        finding: request.finding,
                        agent,
                        time: "1970-01-01T00:00:00Z".to_owned(),
                        judgement: request.judgement.name().to_owned(),
                        note: request.note,
                        by: format!("pid {}", peer.pid),
                    })
                }),
                approvals: Arc::new(Questions),
            },
        )
        .unwrap();
        http.publish(Update::Mandates(vec![mandate()]));
        Self { http, address, socket, _folder: folder }
    }

    /// The head as given, after the request line and `Connection: close`.
    pub fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        exchange(&mut stream, line, headers, body)
    }

    pub fn send_unix(&self, line: &str, body: &str) -> Answer {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        exchange(&mut stream, line, &[("Host", "localhost"), ("Content-Type", "application/json")], body)
    }

    /// As the page and scripts ask: under the server's own name, with the token.
    pub fn get(&self, target: &str) -> Answer {
        let token = format!("Bearer {}", self.http.token());
        self.send(
            &format!("GET {target}"),
            &[("Host", &self.address.to_string()), ("Authorization", &token)],
            "",
        )
    }
}

/// Reads until the stream ends, or, where it goes on for ever, until nothing comes.
fn exchange(stream: &mut (impl Read + Write), line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    // What is too long is refused before all of it is taken: there is an answer all the same.
    drop(stream.write_all(format!("{request}\r\n{body}").as_bytes()));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {line}: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// The first lines of a stream, up to one that begins with `until`.
pub fn stream_until(rig: &Rig, until: &str, publish: impl Fn(&Http)) -> String {
    let mut stream = TcpStream::connect(rig.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!(
        "GET /api/v1/stream HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        rig.address,
        rig.http.token()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut read = String::new();
    let mut piece = [0; 4096];
    let mut published = false;
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the stream ended: {read}");
        read.push_str(&String::from_utf8_lossy(&piece[..count]));
        // Who listens is known once the head has come.
        if !published && read.contains("\r\n\r\n") {
            publish(&rig.http);
            published = true;
        }
        if let Some((_, rest)) = read.split_once(until)
            && let Some((line, _)) = rest.split_once('\n')
        {
            return line.to_owned();
        }
    }
}

fn mandate() -> MandateView {
    MandateView {
        id: "0a".repeat(32),
        state: "in force".to_owned(),
        principal: "alice@x".to_owned(),
        task: "a task".to_owned(),
        signer: Some("SHA256:x".to_owned()),
        parent: None,
        renews: None,
        renewed_by: None,
        revoked: None,
        not_before: None,
        expires: muster_server::views::time(T0),
        agents: vec!["one".to_owned()],
    }
}

pub fn state() -> AgentState {
    AgentState {
        agent: "one".to_owned(),
        product: HOSTILE.to_owned(),
        version: Some(HOSTILE.to_owned()),
        model: None,
        root: key(10),
        parent: None,
        mandate: Some("m".to_owned()),
        mandate_until_ns: None,
        principal: Some(HOSTILE.to_owned()),
        label: HOSTILE.to_owned(),
        found_by: HOSTILE.to_owned(),
        uid: 1000,
        command: vec!["claude".to_owned(), HOSTILE.to_owned()],
        cwd: HOSTILE.to_owned(),
        sessions: vec![HOSTILE.to_owned()],
        accounts: vec![HOSTILE.to_owned()],
        started_ns: T0,
        last_ns: T0,
        ended_ns: None,
        state: State::Running,
        stage: Some(Stage::Conceal),
        processes: 1,
        events: 3,
        calls: 1,
        calls_joined: 0,
        doing: HOSTILE.to_owned(),
        containment: None,
        coverage: Coverage { record_from_ns: Some(T0), ..Coverage::default() },
    }
}

fn opinions() -> Opinions {
    Opinions {
        agent: "one".to_owned(),
        time_ns: 1,
        model: HOSTILE.to_owned(),
        endpoint: "127.0.0.1:1".to_owned(),
        skeleton: [7; 32],
        opinions: vec![Opinion {
            about: Some("f-1".to_owned()),
            label: Label::MisleadingClaim,
            confidence: 90,
            cited: vec![Cited {
                item: "E1".to_owned(),
                text: HOSTILE.to_owned(),
                evidence: Some(Evidence::Event { seq: 1 }),
            }],
            quote: HOSTILE.to_owned(),
            rationale: HOSTILE.to_owned(),
        }],
        dropped: 2,
    }
}

fn claim() -> Claim {
    Claim {
        id: "c-1".to_owned(),
        agent: "one".to_owned(),
        time_ns: 1,
        actor: Some(HOSTILE.to_owned()),
        source: Source::Request,
        class: Class::TestsPass,
        sentence: HOSTILE.to_owned(),
        verdict: Verdict::Hollow,
        reason: HOSTILE.to_owned(),
        said: Evidence::Account { path: HOSTILE.to_owned(), offset: 2, sha256: [7; 32] },
        evidence: vec![
            Evidence::Event { seq: 1 },
            Evidence::Account { path: HOSTILE.to_owned(), offset: 2, sha256: [7; 32] },
        ],
    }
}

pub fn finding() -> Finding {
    Finding {
        id: "f-1".to_owned(),
        code: Code::UnreportedAction,
        severity: Severity::High,
        stage: Stage::Conceal,
        overreach: 2,
        deception: 1,
        agent: "one".to_owned(),
        time_ns: T0,
        summary: HOSTILE.to_owned(),
        explanation: HOSTILE.to_owned(),
        evidence: vec![
            Evidence::Event { seq: 1 },
            Evidence::Account { path: HOSTILE.to_owned(), offset: 0, sha256: [7; 32] },
            Evidence::Process { pid: 50, start_ns: 0 },
        ],
    }
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_ns: 0 }
}

fn story(store: &mut Store) {
    let started = Start {
        time_ns: T0,
        host: "host".to_owned(),
        boot_id: "boot".to_owned(),
        version: "0".to_owned(),
        kernel_record: true,
        daemon: key(1),
        data_dir: "/d".to_owned(),
        boot_ns: 0,
        before: None,
    };
    store.append(&Input::Start(started)).unwrap();
    let probe = ProbeState { probe: "exec".to_owned(), error: Some(HOSTILE.to_owned()) };
    store.append(&Input::Probe { time_ns: T0, state: probe, seen_ns: None }).unwrap();
    store
        .append(&Input::Probe {
            time_ns: T0,
            state: ProbeState { probe: "exit".to_owned(), error: None },
            seen_ns: None,
        })
        .unwrap();
    let exec = Kind::Exec {
        path: HOSTILE.to_owned(),
        script: None,
        argv: vec![HOSTILE.to_owned()],
        argv_truncated: false,
        cwd: HOSTILE.to_owned(),
        env: [("AGENT".to_owned(), HOSTILE.to_owned())].into(),
        parent: key(1),
        session: 1,
        group: 1,
        file: Identity { device: 1, inode: 2 },
        anonymous: false,
    };
    let kinds = [
        exec,
        Kind::SetName { from: "a".to_owned(), to: HOSTILE.to_owned() },
        Kind::Exit { code: Some(0), signal: None },
    ];
    for (seq, kind) in (1..).zip(kinds) {
        let comm = HOSTILE.to_owned();
        let (time_ns, process) = (T0 + seq, key(10));
        let event = Event { seq, time_ns, boot_ns: seq, process, thread: 10, uid: 0, comm, cgroup: 0, kind };
        store.append(&Input::Event(event)).unwrap();
    }
    let body = Body::Text { text: HOSTILE.to_owned(), last: true };
    let record = AccountRecord {
        agent: "one".to_owned(),
        path: HOSTILE.to_owned(),
        offset: 0,
        len: 9,
        sha256: [7; 32],
        time_ns: T0,
        raw: HOSTILE.as_bytes().to_vec(),
        items: vec![Item { time_ns: None, actor: Actor::Main, body }],
    };
    store.append(&Input::Account(record)).unwrap();
    store.append(&Input::Lost(Lost { queue: Queue::Lineage, count: 3, from_ns: T0, to_ns: T0 + 1 })).unwrap();
    store.apply(&Output::Agent(Box::new(state()))).unwrap();
    let (process, by) = (key(10), Attribution::Ancestry);
    store.apply(&Output::Member(Member { agent: "one".to_owned(), process, from_seq: 1, by })).unwrap();
    store.apply(&Output::Finding(Box::new(finding()))).unwrap();
    store.apply(&Output::Claim(Box::new(claim()))).unwrap();
    store.apply(&Output::Opinion(Box::new(opinions()))).unwrap();
    store.apply(&Output::Descent(Box::new(crate::samples::descent()))).unwrap();
    store.apply(&Output::Artefact(Box::new(crate::samples::artefact()))).unwrap();
    let review = Review {
        time_ns: T0,
        finding: "f-1".to_owned(),
        agent: "one".to_owned(),
        judgement: Judgement::Escalated,
        note: HOSTILE.to_owned(),
        by: HOSTILE.to_owned(),
    };
    store.append(&Input::Review(Box::new(review))).unwrap();
    store.commit(true).unwrap();
}

/// Many agents, and many findings of one of them, all with hostile words.
pub fn crowd(store: &mut Store, agents: usize, findings: usize) {
    for at in 0..agents {
        let agent = format!("agent-{at}");
        let state = AgentState { agent, started_ns: T0 + at as u64, ..state() };
        store.apply(&Output::Agent(Box::new(state))).unwrap();
    }
    for at in 0..findings {
        let (id, agent) = (format!("many-{at}"), "agent-7".to_owned());
        let finding = Finding { id, agent, time_ns: T0 + at as u64, ..finding() };
        store.apply(&Output::Finding(Box::new(finding))).unwrap();
    }
    store.commit(true).unwrap();
}

/// One question that is always open, and takes any answer.
struct Questions;

impl Approve for Questions {
    fn open(&self) -> Vec<ApprovalView> {
        let detail = serde_json::json!({"kind": "write", "path": "/srv/app/x"});
        vec![ApprovalView {
            id: "q-1".to_owned(),
            agent: "one".to_owned(),
            action: "write /srv/app/x".to_owned(),
            detail,
            rule: "oversight.ask[0]".to_owned(),
            reason: "line 9".to_owned(),
            mandate: None,
            said: Some("I fix it".to_owned()),
            asked: "2026-11-25T12:00:00.000000000Z".to_owned(),
            until: "2026-11-25T12:05:00.000000000Z".to_owned(),
            count: 1,
            pattern: None,
            line: None,
        }]
    }

    fn answer(&self, who: muster_server::Peer, request: ApproveRequest) -> Result<ApprovalView, String> {
        let by_kernel = !who.operator;
        if request.allow && !by_kernel {
            return Err("it came over TCP".to_owned());
        }
        self.open().pop().ok_or_else(String::new)
    }
}
