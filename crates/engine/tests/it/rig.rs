//! A small language for scenarios, so that a case is a few lines of text.
//!
//! Each line is one input; time passes only by `wait`. Processes are named by pid.
//!
//! ```text
//! scan 50 parent=1 path=/usr/bin/python3 argv=python3|x.py   a process that was there before
//! enrol 100                                                  `muster run` with this pid
//! fork 100 101
//! exec 101 path=/bin/bash argv=bash|-c|ls cwd=/w CODEX_TOOL_CALL_ID=c1
//! product 101 codex                                          the answer about its files
//! open 100 /w/a.txt                                          opened for writing
//! read 100 /etc/shadow                                       a sensitive file opened for reading
//! refused 101 /proc/7/mem                                    an open that failed (`refusedwrite`: one for writing)
//! http 101 POST /v1/messages
//! call 100 c1 execute ls                                     account of the agent with this root
//! write 100 c2 /w/a.txt
//! rewrite 100 c2 /w/a.txt TEXT                               the same, with its text
//! result 100 c1 ok
//! exited 100 c1 1                                            the same, with an exit code
//! shows 100 c1 a|b                                           a result with exit code 0 and these lines of output
//! wrote 101 a|b                                              what a command had written when it ended
//! say 100 All done.
//! link b a                                                   the next record is `b` and follows `a`
//! number 7                                                   the next record is the seventh
//! print 100 c1 one⏎two                                       a result with its output
//! allow 100 c1 user                                          somebody let the call pass
//! look 100 c3 /w/a.txt                                       a call that reads (`fetch`: one that fetches)
//! chmod 101 /w/a 4755
//! exit 101 0
//! died 101 11                                                by a signal
//! signal 100 101
//! wait 3
//! recorded                                                   what follows is a record that others kept
//! blind record:open                                          … and what it does not show
//! later 3600                                                 the same in one step, in which the machine slept
//! stall 8                                                    the same, in which only the daemon stood still
//! set -3600                                                  the wall clock is set by so many seconds
//! sees sys_exit                                              a probe that was blind sees again
//! append 100 /w/a.txt                                        opened to write behind what is there
//! hardlink 100 /w/a /w/b
//! symlink 100 /w/a /w/b
//! socket 100 /run/docker.sock                                connected to it
//! unreadable 100 /h/x.jsonl no~room                          an account cannot be read
//! readable 100 /h/x.jsonl
//! ```

use std::collections::BTreeMap;

use muster_account::{Actor, Body, Class, Item, Origin, Status};
use muster_engine::{
    AccountFile, AccountRecord, Before, Engine, Enrol, Gap, Identified, Input, Output, Products, Start,
};
use muster_event::{
    Access, Address, Event, Identity, Kind, Lost, OutputText, ProcessKey, Queue, Snapshot, line_hash,
};

/// 1 January 2026.
pub const T0: u64 = 1_767_225_600_000_000_000;
/// The same moment since boot: processes under 10 began before it.
pub const BOOT_NS: u64 = 5_000 * SECOND;
const SECOND: u64 = 1_000_000_000;

pub struct Rig {
    pub engine: Engine,
    pub outputs: Vec<Output>,
    pub inputs: Vec<Input>,
    time_ns: u64,
    /// By how much the wall clock was set, and how long the machine has slept.
    set_ns: i64,
    asleep_ns: u64,
    seq: u64,
    parents: BTreeMap<u32, u32>,
    roots: BTreeMap<u32, String>,
    offset: u64,
    /// Place of the record that comes next.
    link: Option<Body>,
}

impl Rig {
    pub fn new() -> Self {
        Self::after(None)
    }

    /// A daemon that starts after another.
    pub fn after(before: Option<Before>) -> Self {
        let mut rig = Self {
            // What is about rules has them (`sustain.rs`).
            engine: Engine::with_rules(Products::built_in().unwrap(), muster_engine::Rules::none()),
            outputs: Vec::new(),
            inputs: Vec::new(),
            time_ns: T0,
            set_ns: 0,
            asleep_ns: 0,
            seq: 0,
            parents: BTreeMap::new(),
            roots: BTreeMap::new(),
            offset: 0,
            link: None,
        };
        rig.give(Input::Start(Start {
            time_ns: T0,
            host: "host".into(),
            boot_id: "boot".into(),
            version: "test".into(),
            kernel_record: true,
            daemon: key(7),
            data_dir: "/var/lib/muster".into(),
            boot_ns: BOOT_NS,
            before,
        }));
        rig
    }

    pub fn give(&mut self, input: Input) {
        self.inputs.push(input.clone());
        for output in self.engine.step(input) {
            if let Output::Agent(state) = &output {
                self.roots.insert(state.root.pid, state.agent.clone());
            }
            self.outputs.push(output);
        }
    }

    pub fn run(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            self.line(line);
        }
        self
    }

    fn tick(&mut self) {
        let boot_ns = (self.time_ns + BOOT_NS - T0).saturating_add_signed(-self.set_ns);
        self.give(Input::Tick { time_ns: self.time_ns, boot_ns, asleep_ns: self.asleep_ns });
    }

    fn account_state(&mut self, pid: u32, path: &str, state: AccountFile) {
        let agent = self.roots[&pid].clone();
        self.give(Input::AccountState { agent, path: path.into(), time_ns: self.time_ns, state });
    }

    /// All gaps as last told, a line each: in whole seconds since the beginning, on both clocks.
    pub fn gaps(&self) -> String {
        let mut last: Vec<&Gap> = Vec::new();
        for output in &self.outputs {
            if let Output::Gap(gap) = output {
                match last.iter_mut().find(|known| known.id == gap.id) {
                    Some(known) => *known = gap,
                    None => last.push(gap),
                }
            }
        }
        let at = |ns: u64, zero: u64| (ns as i64 - zero as i64) / SECOND as i64;
        let mut out = String::new();
        for gap in last {
            let to = gap.to_ns.map_or("…".to_owned(), |to| at(to, T0).to_string());
            let boot = |ns: Option<u64>| ns.map_or("?".to_owned(), |ns| at(ns, BOOT_NS).to_string());
            let count = gap.count.map(|count| format!(" ({count})")).unwrap_or_default();
            let whose = gap.agent.as_ref().map(|_| " of one").unwrap_or_default();
            let subject = if gap.subject.is_empty() { String::new() } else { format!(" {}", gap.subject) };
            out.push_str(&format!(
                "{}{subject}{whose} {}–{to} boot {}–{}{count}: {}\n",
                gap.cause.name(),
                at(gap.from_ns, T0),
                boot(gap.boot_from_ns),
                boot(gap.boot_to_ns),
                gap.detail
            ));
        }
        out
    }

    /// The agent's coverage: its word, then the gaps that it has.
    pub fn coverage(&self, root: u32) -> String {
        let mut states = self.outputs.iter().rev().filter_map(|output| match output {
            Output::Agent(state) if state.root.pid == root => Some(&state.coverage),
            _ => None,
        });
        let coverage = states.next().unwrap();
        let gaps: Vec<&str> = coverage.gaps.iter().map(|gap| gap.cause.name()).collect();
        format!("{} [{}]", coverage.word(), gaps.join(", "))
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let pid = |at: usize| -> u32 { words[at].parse().unwrap_or_else(|_| panic!("a pid in `{line}`")) };
        let rest = |at: usize| words[at..].join(" ");
        // A millisecond between any two inputs, as in life.
        self.time_ns += 1_000_000;
        match words[0] {
            "wait" => {
                let seconds: u64 = words[1].parse().unwrap();
                for _ in 0..seconds * 5 {
                    self.time_ns += SECOND / 5;
                    self.tick();
                }
            }
            "later" => {
                let seconds: u64 = words[1].parse().unwrap();
                self.time_ns += seconds * SECOND;
                self.asleep_ns += seconds * SECOND;
                self.tick();
            }
            "stall" => {
                self.time_ns += words[1].parse::<u64>().unwrap() * SECOND;
                self.tick();
            }
            "set" => {
                let by_ns = words[1].parse::<i64>().unwrap() * SECOND as i64;
                self.time_ns = self.time_ns.saturating_add_signed(by_ns);
                self.set_ns += by_ns;
                self.give(Input::ClockStep { time_ns: self.time_ns, by_ns });
            }
            "sees" => self.give(Input::Probe {
                time_ns: self.time_ns,
                state: muster_event::ProbeState { probe: words[1].into(), error: None },
                seen_ns: Some(self.time_ns),
            }),
            "unreadable" => {
                self.account_state(
                    pid(1),
                    words[2],
                    AccountFile::Unreadable { error: words[3].replace('~', " ") },
                );
            }
            "readable" => {
                self.account_state(pid(1), words[2], AccountFile::Opened { format: "codex".into() });
            }
            "scan" => {
                let (fields, env) = fields(&words[2..]);
                let parent = fields.get("parent").map(|p| key(p.parse().unwrap()));
                self.give(Input::Snapshot(Snapshot {
                    process: key(pid(1)),
                    parent,
                    uid: 0,
                    comm: "x".into(),
                    cgroup: 0,
                    session: 0,
                    group: 0,
                    path: fields["path"].clone(),
                    argv: argv(&fields),
                    cwd: fields.get("cwd").cloned().unwrap_or_else(|| "/w".into()),
                    env,
                    open_for_write: Vec::new(),
                }));
            }
            "recorded" => {
                self.give(Input::Recorded { time_ns: self.time_ns, source: "strace `x.log`".into() });
            }
            "blind" => self.give(Input::Probe {
                time_ns: self.time_ns,
                state: muster_event::ProbeState { probe: words[1].into(), error: Some("not traced".into()) },
                seen_ns: None,
            }),
            "enrol" => self.give(Input::Enrol(Enrol {
                time_ns: self.time_ns,
                process: key(pid(1)),
                cgroup: 0,
                principal: "ann@host".into(),
                label: String::new(),
                command: vec!["agent".into()],
            })),
            "fork" => {
                self.parents.insert(pid(2), pid(1));
                self.event(pid(1), Kind::Fork { child: key(pid(2)) });
            }
            "exec" => {
                let (fields, env) = fields(&words[2..]);
                let parent = self.parents.get(&pid(1)).copied().unwrap_or(1);
                let parent = fields.get("parent").map_or(parent, |p| p.parse().unwrap());
                self.event(
                    pid(1),
                    Kind::Exec {
                        path: fields["path"].clone(),
                        script: fields.get("script").cloned(),
                        argv: argv(&fields),
                        argv_truncated: fields.contains_key("cut"),
                        cwd: fields.get("cwd").cloned().unwrap_or_else(|| "/w".into()),
                        env,
                        parent: key(parent),
                        session: fields.get("session").map_or(1, |session| session.parse().unwrap()),
                        group: pid(1),
                        file: Identity { device: 1, inode: 1 },
                        anonymous: false,
                    },
                );
            }
            "product" => self.give(Input::Identified {
                process: key(pid(1)),
                product: Some(Identified {
                    product: words[2].into(),
                    version: None,
                    by: "test".into(),
                    launcher: words.get(3) == Some(&"launcher"),
                }),
            }),
            "stranger" => self.give(Input::Identified { process: key(pid(1)), product: None }),
            "exit" => self
                .event(pid(1), Kind::Exit { code: words.get(2).map(|c| c.parse().unwrap()), signal: None }),
            "died" => {
                self.event(pid(1), Kind::Exit { code: None, signal: Some(words[2].parse().unwrap()) });
            }
            "signal" => self.event(
                pid(1),
                Kind::Signal { target: muster_event::SignalTarget::Process(pid(2)), signal: 15, result: 0 },
            ),
            "killpg" => self.event(
                pid(1),
                Kind::Signal { target: muster_event::SignalTarget::Group(pid(2)), signal: 15, result: 0 },
            ),
            "open" => self.event(
                pid(1),
                Kind::Open {
                    path: rest(2),
                    access: Access { read: false, write: true, create: true, truncate: true, append: false },
                    result: 3,
                },
            ),
            "read" => self.event(
                pid(1),
                Kind::Open {
                    path: rest(2),
                    access: Access {
                        read: true,
                        write: false,
                        create: false,
                        truncate: false,
                        append: false,
                    },
                    result: 3,
                },
            ),
            "refused" | "refusedwrite" => {
                let write = words[0] == "refusedwrite";
                let access = Access { read: !write, write, create: write, truncate: write, append: false };
                self.event(pid(1), Kind::Open { path: rest(2), access, result: -13 });
            }
            "rename" => {
                self.event(pid(1), Kind::Rename { from: words[2].into(), to: words[3].into(), result: 0 })
            }
            "hardlink" => {
                self.event(pid(1), Kind::Link { from: words[2].into(), to: words[3].into(), result: 0 })
            }
            "symlink" => self
                .event(pid(1), Kind::Symlink { target: words[2].into(), path: words[3].into(), result: 0 }),
            "append" => self.event(
                pid(1),
                Kind::Open {
                    path: rest(2),
                    access: Access { read: false, write: true, create: true, truncate: false, append: true },
                    result: 3,
                },
            ),
            "socket" => {
                let address = Address::Unix { path: words[2].into() };
                self.event(pid(1), Kind::Connect { address, result: 0 });
            }
            "unlink" => {
                self.event(pid(1), Kind::Unlink { path: words[2].into(), directory: false, result: 0 })
            }
            "connect" => {
                let address = Address::Ip { ip: words[2].parse().unwrap(), port: 443 };
                self.event(pid(1), Kind::Connect { address, result: words[3].parse().unwrap() });
            }
            "http" => self.event(
                pid(1),
                Kind::Http {
                    method: words[2].into(),
                    target: words[3].into(),
                    host: None,
                    address: loopback(),
                },
            ),
            "tls" => self.event(pid(1), Kind::Tls { name: words[2].into(), address: loopback() }),
            "dns" => self.event(
                pid(1),
                Kind::Dns { name: words[2].into(), record_type: "A".into(), server: loopback() },
            ),
            "kill" => self.event(
                pid(1),
                Kind::Signal { target: muster_event::SignalTarget::Process(pid(2)), signal: 9, result: 0 },
            ),
            "lost" => self.give(Input::Lost(Lost {
                queue: Queue::Lineage,
                count: words[1].parse().unwrap(),
                from_ns: self.time_ns - 1,
                to_ns: self.time_ns,
            })),
            "call" => self.said(
                pid(1),
                Body::Call {
                    call_id: words[2].into(),
                    tool: words[3].into(),
                    class: Class::Execute,
                    command: Some(rest(4)),
                    paths: vec![],
                    cwd: None,
                    arguments: String::new(),
                    background: words[3] == "background",
                },
            ),
            "oldcall" => {
                let now = self.time_ns;
                self.time_ns = T0 - 3600 * SECOND;
                self.line(&line.replacen("oldcall", "call", 1));
                self.time_ns = now;
            }
            // A write of a file, with its text.
            "rewrite" => self.said(
                pid(1),
                Body::Call {
                    call_id: words[2].into(),
                    tool: "Write".into(),
                    class: Class::Edit,
                    command: None,
                    paths: vec![words[3].into()],
                    cwd: None,
                    arguments: rest(4),
                    background: false,
                },
            ),
            "delegate" => self.said(
                pid(1),
                Body::Call {
                    call_id: words[2].into(),
                    tool: "Task".into(),
                    class: Class::Delegate,
                    command: None,
                    paths: vec![],
                    cwd: None,
                    arguments: String::new(),
                    background: false,
                },
            ),
            "handback" => self.said(
                pid(1),
                Body::Result {
                    call_id: words[2].into(),
                    status: Status::Ok,
                    exit_code: None,
                    output: rest(3),
                    output_len: 0,
                    process_group: None,
                },
            ),
            "write" => self.said(
                pid(1),
                Body::Call {
                    call_id: words[2].into(),
                    tool: "Write".into(),
                    class: Class::Edit,
                    command: None,
                    paths: vec![rest(3)],
                    cwd: None,
                    arguments: String::new(),
                    background: false,
                },
            ),
            "result" => self.said(
                pid(1),
                Body::Result {
                    call_id: words[2].into(),
                    status: match words[3] {
                        "ok" => Status::Ok,
                        "failed" => Status::Failed,
                        "denied" => Status::Denied,
                        "running" => Status::Running,
                        other => panic!("status `{other}`"),
                    },
                    exit_code: None,
                    output: String::new(),
                    output_len: 0,
                    process_group: None,
                },
            ),
            // What a call gave out, and the exit status of its command.
            "gave" => self.said(
                pid(1),
                Body::Result {
                    call_id: words[2].into(),
                    status: if words[3] == "0" { Status::Ok } else { Status::Failed },
                    exit_code: words[3].parse().ok(),
                    output: rest(4).replace("\\n", "\n"),
                    output_len: 0,
                    process_group: None,
                },
            ),
            // A call of a tool of a server: its name, its arguments.
            "tool" => self.said(
                pid(1),
                Body::Call {
                    call_id: words[2].into(),
                    tool: words[3].into(),
                    class: Class::Mcp,
                    command: None,
                    paths: vec![],
                    cwd: None,
                    arguments: rest(4),
                    background: false,
                },
            ),
            "shows" => {
                let output = words.get(3..).unwrap_or_default().join(" ").replace('|', "\n");
                self.said(
                    pid(1),
                    Body::Result {
                        call_id: words[2].into(),
                        status: Status::Ok,
                        exit_code: Some(0),
                        output_len: output.len() as u64,
                        output,
                        process_group: None,
                    },
                );
            }
            "wrote" | "wrote-part" | "wrote-err" => {
                let text = words.get(2..).unwrap_or_default().join(" ").replace('|', "\n");
                let lines = OutputText::new(&text).lines;
                let kind = Kind::Output {
                    stream: if words[0] == "wrote-err" { 2 } else { 1 },
                    bytes: text.len() as u64,
                    lines: lines.len() as u64,
                    whole: words[0] != "wrote-part",
                    hashes: lines.iter().map(|line| line_hash(line)).collect(),
                };
                self.event(pid(1), kind);
            }
            "exited" => {
                let code: i32 = words[3].parse().unwrap();
                self.said(
                    pid(1),
                    Body::Result {
                        call_id: words[2].into(),
                        status: if code == 0 { Status::Ok } else { Status::Failed },
                        exit_code: Some(code),
                        output: String::new(),
                        output_len: 0,
                        process_group: None,
                    },
                );
            }
            "say" => self.said(pid(1), Body::Text { text: rest(2).replace('⏎', "\n"), last: true }),
            "prompt" => self.said(pid(1), Body::Prompt { text: rest(2), origin: Origin::User }),
            "link" | "number" => {
                let id = |at: usize| words.get(at).filter(|id| **id != "-").map(|id| (*id).to_owned());
                let linked = words[0] == "link";
                self.link = Some(Body::Link {
                    record: linked.then(|| id(1)).flatten(),
                    after: linked.then(|| id(2)).flatten(),
                    ordinal: (!linked).then(|| words[1].parse().unwrap()),
                });
            }
            "print" => self.said(
                pid(1),
                Body::Result {
                    call_id: words[2].into(),
                    status: Status::Ok,
                    exit_code: Some(0),
                    output_len: rest(3).len() as u64,
                    output: rest(3).replace('⏎', "\n"),
                    process_group: None,
                },
            ),
            "allow" => self.said(
                pid(1),
                Body::Decision {
                    call_id: Some(words[2].into()),
                    decision: muster_account::Decision::Accept,
                    by: words[3].into(),
                    reason: String::new(),
                },
            ),
            "look" | "fetch" => self.said(
                pid(1),
                Body::Call {
                    call_id: words[2].into(),
                    tool: words[0].into(),
                    class: if words[0] == "look" { Class::Read } else { Class::Fetch },
                    command: None,
                    paths: if words[0] == "look" { vec![rest(3)] } else { Vec::new() },
                    cwd: None,
                    arguments: rest(3),
                    background: false,
                },
            ),
            "chmod" => {
                let mode = u32::from_str_radix(words[3], 8).unwrap();
                self.event(pid(1), Kind::Chmod { path: words[2].into(), mode, result: 0 });
            }
            "session" => self.said(
                pid(1),
                Body::Session {
                    id: words[2].into(),
                    version: None,
                    model: None,
                    cwd: None,
                    parent: None,
                    authority: None,
                },
            ),
            other => panic!("no such line: {other}"),
        }
    }

    fn event(&mut self, pid: u32, kind: Kind) {
        self.seq += 1;
        let event = Event {
            seq: self.seq,
            time_ns: self.time_ns,
            boot_ns: self.time_ns.saturating_sub(T0),
            process: key(pid),
            thread: pid,
            uid: 1000,
            comm: "x".into(),
            cgroup: 0,
            kind,
        };
        self.give(Input::Event(event));
    }

    fn said(&mut self, root: u32, body: Body) {
        let offset = self.offset;
        let link = self.link.take();
        self.offset += 100;
        let agent = self.roots.get(&root).unwrap_or_else(|| panic!("no agent has root {root}")).clone();
        self.give(Input::Account(AccountRecord {
            agent,
            path: "/h/account.jsonl".into(),
            offset,
            len: 100,
            sha256: [u8::try_from(offset / 100 % 251).unwrap(); 32],
            time_ns: self.time_ns,
            raw: Vec::new(),
            items: std::iter::once(body)
                .chain(link)
                .map(|body| Item { time_ns: Some(self.time_ns), actor: Actor::Main, body })
                .collect(),
        }));
    }

    /// All findings, a line each.
    pub fn findings(&self) -> String {
        let mut out = String::new();
        for output in &self.outputs {
            if let Output::Finding(finding) = output {
                out.push_str(&format!(
                    "{} {}: {}\n",
                    finding.severity.name(),
                    finding.code.name(),
                    finding.summary
                ));
            }
        }
        out
    }

    /// All claims, a line each: verdict, class, reason.
    pub fn claims(&self) -> String {
        let mut out = String::new();
        for output in &self.outputs {
            if let Output::Claim(claim) = output {
                assert!(claim.evidence.len() <= 3, "{claim:?}");
                out.push_str(&format!("{} {}: {}\n", claim.verdict.name(), claim.class.name(), claim.reason));
            }
        }
        out
    }

    /// All descents, a line each: certainty, pid, whose (by the pid of its root), what connects them, why.
    pub fn descents(&self) -> String {
        let mut roots = BTreeMap::new();
        let mut out = String::new();
        for output in &self.outputs {
            match output {
                Output::Agent(state) => drop(roots.insert(state.agent.clone(), state.root.pid)),
                Output::Descent(descent) => {
                    let via = match &descent.via {
                        muster_engine::Via::Artefact { path, mechanism } => format!("{mechanism} {path}"),
                        muster_engine::Via::Request { service } => format!("asked {service}"),
                        muster_engine::Via::Content { path } => format!("runs {path}"),
                    };
                    let sure = match descent.certainty {
                        muster_engine::Certainty::Certain => "certain",
                        muster_engine::Certainty::Likely => "likely",
                    };
                    assert!(!descent.evidence.is_empty());
                    let why = descent.summary.rsplit(": ").next().unwrap();
                    let why = if descent.summary.contains(": ") { format!(": {why}") } else { String::new() };
                    out.push_str(&format!(
                        "{sure} {} of {} {via}{why}\n",
                        descent.process.pid, roots[&descent.agent]
                    ));
                }
                _ => {}
            }
        }
        out
    }

    /// Pids of the processes that were told to be members of the agent with this root, without itself.
    pub fn members(&self, root: u32) -> Vec<u32> {
        let id = &self.roots[&root];
        let mut pids: Vec<u32> = self
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Member(member) if member.agent == *id && member.process.pid != root => {
                    Some(member.process.pid)
                }
                _ => None,
            })
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// The roll at the end: product, root pid, state, members.
    pub fn roll(&self) -> String {
        let mut last = BTreeMap::new();
        for output in &self.outputs {
            if let Output::Agent(state) = output {
                last.insert(state.root.pid, state.clone());
            }
        }
        let mut out = String::new();
        for state in last.values() {
            let mandate = if state.mandate.is_some() { "mandated" } else { "unmandated" };
            out.push_str(&format!(
                "{} {} {mandate} {} processes={}\n",
                state.product,
                state.root.pid,
                state.state.name(),
                state.processes
            ));
        }
        out
    }
}

fn loopback() -> Address {
    Address::Ip { ip: "127.0.0.1".parse().unwrap(), port: 80 }
}

pub fn key(pid: u32) -> ProcessKey {
    // The first few began before Muster.
    let since = if pid < 10 { 0 } else { BOOT_NS };
    ProcessKey { pid, start_ns: since + u64::from(pid) * 10_000_000 }
}

/// `name=value` words; upper-case names are environment.
fn fields(words: &[&str]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    words
        .iter()
        .filter_map(|w| w.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace('~', " ")))
        .partition(|(name, _)| !name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
}

fn argv(fields: &BTreeMap<String, String>) -> Vec<String> {
    fields.get("argv").map(|a| a.split('|').map(str::to_owned).collect()).unwrap_or_default()
}

/// Runs a scenario and compares its findings, whatever lies between `wait`s.
#[track_caller]
pub fn check(script: &str, expected: &str) {
    let mut rig = Rig::new();
    rig.run(script);
    let expected: String =
        expected.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    assert_eq!(rig.findings(), expected);
}

#[track_caller]
pub fn check_roll(script: &str, expected: &str) {
    let mut rig = Rig::new();
    rig.run(script).run("wait 1");
    let expected: String =
        expected.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    assert_eq!(rig.roll(), expected);
}
