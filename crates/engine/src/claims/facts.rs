//! What is known of an agent's work, kept as it happens, so that a claim can be held against it: runs of tests and their
//! ends, changes to files, commits, pushes, what the network was reached for. Bounded; what gave way is remembered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use muster_event::{Address, Event, Kind, Nanos, ProcessKey};

use crate::claims::runner::{self, Purpose, Runner};
use crate::engine::Engine;
use crate::process::Role;

/// Runs remembered per agent: a day of the busiest session has some hundreds.
const RUNS_MAX: usize = 2_000;
/// Changes to files remembered per agent, the newest.
const CHANGES_MAX: usize = 10_000;
/// Files remembered per agent.
const FILES_MAX: usize = 10_000;
/// Command lines remembered per agent, the newest, and how much of each in bytes.
const EXECUTED_MAX: usize = 4_000;
const EXECUTED_BYTES: usize = 400;
/// Other small lists: the first of a kind decide.
const FEW: usize = 64;
/// Parents between a process and the run that it belongs to.
const DEPTH_MAX: usize = 32;

/// One execution of a program whose purpose is known.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub runner: Runner,
    pub name: String,
    pub process: ProcessKey,
    pub action: Option<usize>,
    /// The run within which it was started.
    pub within: Option<ProcessKey>,
    pub seq: u64,
    pub time_ns: Nanos,
    pub end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub seq: u64,
    pub time_ns: Nanos,
    /// As a shell gives it: 128 and more for a signal. `None`: not known.
    pub status: Option<i32>,
}

/// A file was changed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub path: String,
    pub seq: u64,
    pub time_ns: Nanos,
    pub removed: bool,
    /// It was there before: opened without leave to create it, or changed or run before.
    pub again: bool,
    pub test: bool,
    pub source: bool,
    /// A run did it by itself: a cache, a snapshot.
    pub by_run: bool,
}

/// Something that was reached, read or moved.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    pub detail: String,
    pub seq: u64,
    pub time_ns: Nanos,
    /// It was tried, and failed.
    pub failed: bool,
}

#[derive(Default)]
pub(crate) struct Facts {
    pub runs: VecDeque<Run>,
    live: BTreeMap<ProcessKey, ProcessKey>,
    pub changes: VecDeque<Change>,
    files: BTreeSet<String>,
    pub executed: VecDeque<(Nanos, u64, String)>,
    /// What tools reached beyond this machine.
    pub network: Vec<Touch>,
    /// Sensitive files that a program for reading read.
    pub secrets: Vec<Touch>,
    /// References that git moved: of its own branches, and of what it knows of remotes.
    pub refs: Vec<Touch>,
    pub remote_refs: Vec<Touch>,
    /// Something gave way: an absence is none any more.
    pub forgotten: bool,
}

impl Facts {
    /// Runs for a purpose that began by then, newest first; those within another run are that one's.
    pub fn runs_of(&self, purpose: Purpose, by_ns: Nanos) -> impl Iterator<Item = &Run> {
        self.runs
            .iter()
            .rev()
            .filter(move |r| r.runner.purpose == purpose && r.time_ns <= by_ns && !self.is_within(r, purpose))
    }

    fn is_within(&self, run: &Run, purpose: Purpose) -> bool {
        run.within
            .is_some_and(|outer| self.runs.iter().any(|r| r.process == outer && r.runner.purpose == purpose))
    }

    /// Runs that this one started.
    pub fn inner<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(|r| r.within == Some(run.process) && r.process != run.process)
    }

    /// Changes by then, newest first.
    pub fn changes_by(&self, by_ns: Nanos) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev().filter(move |c| c.time_ns <= by_ns)
    }

    fn change(&mut self, mut change: Change) {
        change.again |= self.files.contains(&change.path);
        if self.files.len() < FILES_MAX {
            self.files.insert(change.path.clone());
        } else {
            self.forgotten = true;
        }
        self.changes.push_back(change);
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
            self.forgotten = true;
        }
    }

    fn run(&mut self, run: Run) {
        // The same process went on as another program: that is what it is for.
        if let Some(known) = self.runs.iter_mut().rev().take(FEW).find(|r| r.process == run.process) {
            *known = Run { within: known.within, seq: known.seq, time_ns: known.time_ns, ..run };
            return;
        }
        if self.live.len() < RUNS_MAX {
            self.live.insert(run.process, run.process);
        }
        self.runs.push_back(run);
        if self.runs.len() > RUNS_MAX {
            self.runs.pop_front();
            self.forgotten = true;
        }
    }

    fn end(&mut self, process: ProcessKey, end: End) {
        if self.live.remove(&process).is_some()
            && let Some(run) = self.runs.iter_mut().rev().find(|r| r.process == process)
        {
            run.end = Some(end);
        }
    }

    fn touch(list: &mut Vec<Touch>, touch: Touch) {
        if list.len() >= FEW {
            // The first tell that it happened, the last when it did so last.
            list.pop();
        }
        list.push(touch);
    }
}

/// Folders that builds and tools fill.
const GENERATED: [&str; 17] = [
    "/.git/",
    "/node_modules/",
    "/target/",
    "/build/",
    "/dist/",
    "/out/",
    "/__pycache__/",
    "/.pytest_cache/",
    "/.venv/",
    "/venv/",
    "/.cache/",
    "/.mypy_cache/",
    "/.ruff_cache/",
    "/coverage/",
    "/.next/",
    "/.tox/",
    "/.idea/",
];
/// Kinds of files on which the outcome of tests rests.
const SOURCE: [&str; 36] = [
    "py", "js", "ts", "jsx", "tsx", "mjs", "cjs", "rs", "go", "rb", "java", "kt", "c", "cc", "cpp", "h",
    "hpp", "cs", "php", "sh", "bash", "swift", "ex", "exs", "lua", "scala", "pl", "sql", "html", "css",
    "vue", "svelte", "toml", "yaml", "yml", "json",
];

fn is_source(path: &str) -> bool {
    let kind = path.rsplit_once('.').map_or("", |(_, kind)| kind);
    let name = crate::roll::name_of(path);
    SOURCE.contains(&kind)
        && !GENERATED.iter().any(|folder| path.contains(folder))
        && !matches!(name, "package-lock.json" | "composer.lock" | "tsconfig.tsbuildinfo")
}

/// Programs by which somebody looks at a file; others read what they need of their own.
const READERS: [&str; 16] = [
    "cat", "head", "tail", "less", "more", "grep", "rg", "sed", "awk", "base64", "xxd", "strings", "cp",
    "bat", "tac", "nl",
];

impl Engine {
    /// Keeps what an event tells of an agent's work.
    pub(crate) fn note_fact(&mut self, event: &Event) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = process.member.as_ref() else { return };
        let action = match member.role {
            Role::Action(index) => Some(index),
            Role::Harness => None,
            Role::Member => return,
        };
        let id = member.agent.clone();
        let touch = |detail: String, failed| Touch { detail, seq: event.seq, time_ns: event.time_ns, failed };
        match &event.kind {
            Kind::Exec { argv, .. } => self.note_exec(event, &id, action, argv),
            Kind::Exit { code, signal } => {
                let status = code.or(signal.map(|signal| 128_i32.saturating_add(signal)));
                let end = End { seq: event.seq, time_ns: event.time_ns, status };
                if let Some(agent) = self.agents.get_mut(&id) {
                    agent.claims.facts.end(event.process, end);
                }
            }
            Kind::Open { path, access, result } if access.write && *result >= 0 => {
                self.note_change(event, &id, path, false, !access.create);
            }
            Kind::Open { path, access, result } if access.read && *result >= 0 && action.is_some() => {
                let reader = process.argv.first().map_or("", |a| crate::roll::name_of(a));
                if READERS.contains(&reader)
                    && let Some(agent) = self.agents.get_mut(&id)
                {
                    Facts::touch(&mut agent.claims.facts.secrets, touch(path.clone(), false));
                }
            }
            Kind::Rename { from, to, result } if *result >= 0 => {
                self.note_change(event, &id, to, false, false);
                self.note_change(event, &id, from, true, true);
            }
            Kind::Link { to, result, .. } if *result >= 0 => self.note_change(event, &id, to, false, false),
            Kind::Unlink { path, result, .. } if *result >= 0 => {
                self.note_change(event, &id, path, true, true)
            }
            Kind::Truncate { path, result, .. } if *result >= 0 => {
                self.note_change(event, &id, path, false, true)
            }
            Kind::Connect { address: Address::Ip { ip, port }, result }
                if action.is_some() && !is_local(ip) =>
            {
                let failed = *result < 0 && *result != -115;
                if let Some(agent) = self.agents.get_mut(&id) {
                    Facts::touch(&mut agent.claims.facts.network, touch(format!("{ip}:{port}"), failed));
                }
            }
            Kind::Dns { name, .. } | Kind::Tls { name, .. } if action.is_some() && name != "localhost" => {
                if let Some(agent) = self.agents.get_mut(&id) {
                    Facts::touch(&mut agent.claims.facts.network, touch(name.clone(), false));
                }
            }
            _ => {}
        }
    }

    fn note_exec(&mut self, event: &Event, id: &str, action: Option<usize>, argv: &[String]) {
        let within = self.run_of(event.process, id);
        let Some(agent) = self.agents.get_mut(id) else { return };
        // What the harness runs for itself says nothing of the model's work.
        if action
            .and_then(|index| agent.actions.get(&index))
            .is_some_and(|a| a.helper.is_some() && !a.uncovered)
        {
            return;
        }
        let facts = &mut agent.claims.facts;
        let line = argv.join(" ");
        let line = super::prose::head(&line, EXECUTED_BYTES).to_owned();
        facts.executed.push_back((event.time_ns, event.seq, line));
        if facts.executed.len() > EXECUTED_MAX {
            facts.executed.pop_front();
            facts.forgotten = true;
        }
        let Some(runner) = runner::recognise(argv) else { return };
        facts.run(Run {
            runner,
            name: crate::reconcile::shorten(&argv.join(" ")),
            process: event.process,
            action,
            within,
            seq: event.seq,
            time_ns: event.time_ns,
            end: None,
        });
    }

    /// The outermost live run that this process belongs to, other than itself.
    fn run_of(&self, key: ProcessKey, id: &str) -> Option<ProcessKey> {
        let facts = &self.agents.get(id)?.claims.facts;
        if facts.live.is_empty() {
            return None;
        }
        self.processes
            .ancestors(key)
            .take(DEPTH_MAX)
            .filter(|p| facts.live.contains_key(&p.key))
            .last()
            .map(|p| p.key)
    }

    fn note_change(&mut self, event: &Event, id: &str, path: &str, removed: bool, again: bool) {
        let by_run = {
            let live = self.agents.get(id).is_some_and(|a| a.claims.facts.live.contains_key(&event.process));
            live || self.run_of(event.process, id).is_some()
        };
        let Some(agent) = self.agents.get_mut(id) else { return };
        if path.contains("/.git/") {
            let touch =
                Touch { detail: path.to_owned(), seq: event.seq, time_ns: event.time_ns, failed: removed };
            let facts = &mut agent.claims.facts;
            if removed {
            } else if path.contains("/.git/refs/remotes/") || path.contains("/.git/logs/refs/remotes/") {
                Facts::touch(&mut facts.remote_refs, touch);
            } else if path.contains("/.git/refs/heads/") || path.contains("/.git/logs/") {
                Facts::touch(&mut facts.refs, touch);
            }
            return;
        }
        if path.starts_with("/dev/") || path.starts_with("/proc/") {
            return;
        }
        let inside = agent.works_in(path);
        let test =
            inside && runner::is_test_file(path) && !GENERATED.iter().any(|folder| path.contains(folder));
        agent.claims.facts.change(Change {
            path: path.to_owned(),
            seq: event.seq,
            time_ns: event.time_ns,
            removed,
            again,
            test,
            source: inside && (is_source(path) || test),
            by_run,
        });
    }
}

fn is_local(ip: &IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}
