//! A day of one busy agent: 50,000 tool calls, 5 million events of the record, a tick each fifth of a second. At three sizes, each
//! in a process of its own, to see that time and memory grow no faster than the day.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking")]

use std::process::Command;
use std::time::Instant;

use muster_account::{Actor, Body, Class, Item, Origin, Status};
use muster_engine::{AccountRecord, Engine, Enrol, Identified, Input, Output, Products, Start};
use muster_event::{Access, Address, Event, Identity, Kind, ProcessKey};

const T0: u64 = 1_767_225_600_000_000_000;
const SECOND: u64 = 1_000_000_000;
const ROOT: ProcessKey = ProcessKey { pid: 100, start_ns: 100_000_000 };
/// Events of one call, with the fork, exec and exit of its shell and of what that runs.
const EVENTS_PER_CALL: u64 = 100;
const CALLS: [u64; 3] = [12_500, 25_000, 50_000];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(calls) = arguments.iter().find_map(|a| a.strip_prefix("--calls=")) {
        return day(calls.parse().unwrap());
    }
    println!(
        "{:>8} {:>10} {:>8} {:>12} {:>10} {:>9}",
        "calls", "events", "seconds", "events/s", "peak MB", "findings"
    );
    for calls in CALLS {
        let ran = Command::new(std::env::current_exe().unwrap()).arg(format!("--calls={calls}")).status();
        assert!(ran.unwrap().success());
    }
}

struct Day {
    engine: Engine,
    agent: String,
    time_ns: u64,
    ticked_ns: u64,
    seq: u64,
    pid: u32,
    offset: u64,
    previous: String,
    findings: u64,
    joins: u64,
}

fn day(calls: u64) {
    let begun = Instant::now();
    let mut day = Day::begin();
    // The day has as many hours, whatever is done in it.
    let between = 24 * 3600 * SECOND / CALLS.last().copied().unwrap();
    for number in 0..calls {
        day.call(number);
        if number % 25 == 24 {
            day.say("All tests pass. I committed the changes. I did not modify the tests.");
            day.said(Body::TurnEnd);
            day.said(Body::Prompt { text: format!("Go on with part {number}."), origin: Origin::User });
        }
        let until = T0 + (number + 1) * between;
        while day.time_ns < until {
            day.pass(SECOND / 5);
        }
    }
    day.event(ROOT, Kind::Exit { code: Some(0), signal: None });
    for _ in 0..100 {
        day.pass(SECOND / 5);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(day.joins >= calls, "{} of {calls} calls were matched", day.joins);
    println!(
        "{calls:>8} {:>10} {seconds:>8.1} {:>12.0} {:>10} {:>9}",
        day.seq,
        day.seq as f64 / seconds,
        peak / 1024,
        day.findings
    );
}

impl Day {
    fn begin() -> Self {
        let mut day = Day {
            engine: Engine::new(Products::built_in().unwrap()),
            agent: String::new(),
            time_ns: T0,
            ticked_ns: T0,
            seq: 0,
            pid: 200,
            offset: 0,
            previous: String::new(),
            findings: 0,
            joins: 0,
        };
        day.give(Input::Start(Start {
            time_ns: T0,
            host: "host".into(),
            boot_id: "boot".into(),
            version: "bench".into(),
            kernel_record: true,
            daemon: ProcessKey { pid: 7, start_ns: 7 },
            data_dir: "/var/lib/muster".into(),
            boot_ns: 0,
            before: None,
        }));
        day.give(Input::Enrol(Enrol {
            time_ns: T0,
            process: ROOT,
            cgroup: 5,
            principal: "bench".into(),
            label: String::new(),
            command: vec!["claude".into()],
        }));
        day.exec(ROOT, ROOT, "/opt/claude", &["claude"]);
        day.give(Input::Identified {
            process: ROOT,
            product: Some(Identified {
                product: "claude-code".into(),
                version: None,
                by: "bench".into(),
                launcher: false,
            }),
        });
        day
    }

    fn give(&mut self, input: Input) {
        for output in self.engine.step(input) {
            match output {
                Output::Agent(state) => self.agent = state.agent,
                Output::Finding(_) => self.findings += 1,
                Output::Join(_) => self.joins += 1,
                _ => {}
            }
        }
    }

    fn pass(&mut self, ns: u64) {
        self.time_ns += ns;
        while self.ticked_ns + SECOND / 5 <= self.time_ns {
            self.ticked_ns += SECOND / 5;
            self.give(Input::Tick { time_ns: self.ticked_ns, boot_ns: 0, asleep_ns: 0 });
        }
    }

    fn call(&mut self, number: u64) {
        let id = format!("toolu_{number:016}");
        if number % 5 == 4 {
            return self.edit(&id, number);
        }
        let command = match number % 25 {
            0 => "python3 -m pytest -q tests".to_owned(),
            1 => format!("git add -A && git commit -q -m 'Part {number}'"),
            _ => format!("grep -rn part_{number} src | head -20; sed -n 1,{}p src/part.py", number % 90 + 1),
        };
        self.said(Body::Call {
            call_id: id.clone(),
            tool: "Bash".into(),
            class: Class::Execute,
            command: Some(command.clone()),
            paths: vec![],
            cwd: None,
            arguments: format!("{{\"command\":\"{command}\"}}"),
            background: false,
        });
        let shell = self.fork(ROOT);
        let wrapped = format!(
            "source /root/.claude/shell-snapshots/s.sh && eval '{}' < /dev/null && pwd -P >| /tmp/claude-1-cwd",
            command.replace('\'', "'\"'\"'")
        );
        self.exec(shell, ROOT, "/bin/bash", &["/bin/bash", "-c", &wrapped]);
        let until = self.seq + EVENTS_PER_CALL - 8;
        let mut child_at = 0;
        while self.seq < until {
            let child = self.fork(shell);
            let argv: &[&str] = match (number % 25, child_at) {
                (0, 0) => &["python3", "-m", "pytest", "-q", "tests"],
                (1, 1) => &["git", "commit", "-q", "-m", "Part"],
                _ => &["grep", "-rn", "part", "src"],
            };
            self.exec(child, shell, "/usr/bin/tool", argv);
            for at in 0..9 {
                self.open(child, &format!("/w/src/part_{}.py", (number + at) % 3_000), at % 3 == 0);
            }
            if child_at == 0 {
                let address = Address::Ip { ip: [127, 0, 0, 1].into(), port: 80 };
                self.event(child, Kind::Connect { address, result: 0 });
            }
            self.event(child, Kind::Exit { code: Some(0), signal: None });
            child_at += 1;
        }
        self.event(shell, Kind::Exit { code: Some(0), signal: None });
        let output = format!("src/part.py:{number}: def part_{number}(): pass\n").repeat(20);
        self.result(&id, &output);
    }

    fn edit(&mut self, id: &str, number: u64) {
        let path = format!("/w/src/part_{}.py", number % 3_000);
        self.said(Body::Call {
            call_id: id.to_owned(),
            tool: "Edit".into(),
            class: Class::Edit,
            command: None,
            paths: vec![path.clone()],
            cwd: None,
            arguments: format!("{{\"file_path\":\"{path}\",\"old_string\":\"a\",\"new_string\":\"b\"}}"),
            background: false,
        });
        self.open(ROOT, &format!("{path}.tmp.100.{number:x}"), true);
        self.event(ROOT, Kind::Rename { from: format!("{path}.tmp.100.{number:x}"), to: path, result: 0 });
        for at in 0..EVENTS_PER_CALL - 2 {
            self.open(ROOT, &format!("/root/.claude/projects/-w/cache-{}.json", at % 50), true);
        }
        self.result(id, "The file has been updated.");
    }

    fn result(&mut self, id: &str, output: &str) {
        self.said(Body::Result {
            call_id: id.to_owned(),
            status: Status::Ok,
            exit_code: None,
            output: output.to_owned(),
            output_len: output.len() as u64,
            process_group: None,
        });
    }

    fn say(&mut self, text: &str) {
        self.said(Body::Text { text: text.to_owned(), last: true });
    }

    fn said(&mut self, body: Body) {
        self.pass(1_000_000);
        let id = format!("{:08x}-0000-4000-8000-000000000000", self.offset);
        let after = std::mem::replace(&mut self.previous, id.clone());
        let link =
            Body::Link { record: Some(id), after: Some(after).filter(|a| !a.is_empty()), ordinal: None };
        let record = AccountRecord {
            agent: self.agent.clone(),
            path: "/root/.claude/projects/-w/4f1c.jsonl".into(),
            offset: self.offset,
            len: 500,
            sha256: [7; 32],
            time_ns: self.time_ns,
            raw: Vec::new(),
            items: [body, link]
                .map(|body| Item { time_ns: Some(self.time_ns), actor: Actor::Main, body })
                .to_vec(),
        };
        self.offset += 500;
        self.give(Input::Account(record));
    }

    fn fork(&mut self, parent: ProcessKey) -> ProcessKey {
        self.pid = if self.pid >= 4_000_000 { 200 } else { self.pid + 1 };
        let child = ProcessKey { pid: self.pid, start_ns: self.time_ns };
        self.event(parent, Kind::Fork { child });
        child
    }

    fn exec(&mut self, process: ProcessKey, parent: ProcessKey, path: &str, argv: &[&str]) {
        self.event(
            process,
            Kind::Exec {
                path: path.to_owned(),
                script: None,
                argv: argv.iter().map(|a| (*a).to_owned()).collect(),
                argv_truncated: false,
                cwd: "/w".into(),
                env: Default::default(),
                parent,
                session: 1,
                group: 1,
                file: Identity { device: 1, inode: 1 },
                anonymous: false,
            },
        );
    }

    fn open(&mut self, process: ProcessKey, path: &str, write: bool) {
        let access = Access { read: !write, write, create: false, truncate: write, append: false };
        self.event(process, Kind::Open { path: path.to_owned(), access, result: 3 });
    }

    fn event(&mut self, process: ProcessKey, kind: Kind) {
        self.seq += 1;
        self.pass(10_000);
        self.give(Input::Event(Event {
            seq: self.seq,
            time_ns: self.time_ns,
            boot_ns: self.time_ns - T0,
            process,
            thread: process.pid,
            uid: 0,
            comm: "x".into(),
            cgroup: 5,
            kind,
        }));
    }
}
