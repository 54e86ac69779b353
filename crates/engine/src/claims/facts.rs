//! What is known of an agent's work, kept as it happens, so that a claim can be held against it: runs of tests and their
//! ends, changes to files, commits, pushes, what the network was reached for. Bounded; what gave way is remembered.

use std::collections::{BTreeSet, VecDeque};

use muster_event::{Nanos, ProcessKey};

use crate::claims::runner::{Purpose, Runner, Suite};

/// Runs remembered per agent: a day of the busiest session has some hundreds.
const RUNS_MAX: usize = 2_000;
/// Changes to files remembered per agent, the newest.
const CHANGES_MAX: usize = 10_000;
/// Files remembered per agent.
const FILES_MAX: usize = 10_000;
/// Names remembered per agent of files that are not.
const SKIPPED_MAX: usize = 100_000;
/// Command lines remembered per agent, the newest.
const EXECUTED_MAX: usize = 4_000;
/// Other small lists: the first of a kind decide.
const FEW: usize = 64;

/// One execution of a program whose purpose is known.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub runner: Runner,
    pub suite: Suite,
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
    /// A run of tests or a build did it by itself: it asks for its updates.
    pub by_run: bool,
}

#[derive(Default)]
pub(crate) struct Facts {
    pub runs: VecDeque<Run>,
    pub live: BTreeSet<ProcessKey>,
    pub changes: VecDeque<Change>,
    files: BTreeSet<String>,
    pub executed: VecDeque<(Nanos, u64, String)>,
    /// What tools reached beyond this machine.
    pub network: Vec<Touch>,
    /// Sensitive files that a program for reading read.
    pub secrets: Vec<Touch>,
    /// Command lines of tools that ended badly.
    pub failed: Vec<Touch>,
    /// References that git moved: of its own branches, and of what it knows of remotes.
    pub refs: Vec<Touch>,
    pub remote_refs: Vec<Touch>,
    /// Names of files in folders that tools fill: only that there were such.
    skipped: BTreeSet<u64>,
    /// Runs or changes gave way: an absence is none any more.
    pub forgotten: bool,
    /// Command lines gave way.
    pub executed_forgotten: bool,
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

    /// Did this agent make the file?
    pub fn has_made(&self, path: &str) -> bool {
        self.files.contains(path)
            && self.changes.iter().any(|change| change.path == path && !change.again && !change.removed)
    }

    /// Runs that this one started.
    pub fn inner<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(|r| r.within == Some(run.process) && r.process != run.process)
    }

    /// Changes by then, newest first.
    pub fn changes_by(&self, by_ns: Nanos) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev().filter(move |c| c.time_ns <= by_ns)
    }

    /// A file of this name was written, where files are not remembered one by one.
    pub fn has_skipped(&self, name: &str) -> bool {
        self.skipped.contains(&hash(name))
    }

    pub fn skip(&mut self, path: &str) {
        if self.skipped.len() < SKIPPED_MAX {
            self.skipped.insert(hash(crate::roll::name_of(path)));
        } else {
            self.forgotten = true;
        }
    }

    /// A command line that was executed.
    pub fn execute(&mut self, time_ns: Nanos, seq: u64, line: String) {
        self.executed.push_back((time_ns, seq, line));
        if self.executed.len() > EXECUTED_MAX {
            self.executed.pop_front();
            self.executed_forgotten = true;
        }
    }

    pub fn change(&mut self, mut change: Change) {
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

    pub fn run(&mut self, run: Run) {
        // The same process went on as another program: that is what it is for.
        if let Some(known) = self.runs.iter_mut().rev().take(FEW).find(|r| r.process == run.process) {
            *known = Run { within: known.within, seq: known.seq, time_ns: known.time_ns, ..run };
            return;
        }
        if self.live.len() < RUNS_MAX {
            self.live.insert(run.process);
        }
        self.runs.push_back(run);
        if self.runs.len() > RUNS_MAX {
            self.runs.pop_front();
            self.forgotten = true;
        }
    }

    /// Is this run one of tests, or a build?
    pub fn is_check(&self, process: ProcessKey) -> bool {
        self.runs.iter().rev().take(FEW).any(|r| {
            r.process == process && matches!(r.runner.purpose, Purpose::Test | Purpose::Build | Purpose::Lint)
        })
    }

    pub fn end(&mut self, process: ProcessKey, end: End) {
        if self.live.remove(&process)
            && let Some(run) = self.runs.iter_mut().rev().find(|r| r.process == process)
        {
            run.end = Some(end);
        }
    }

    pub fn touch(list: &mut Vec<Touch>, touch: Touch) {
        if list.len() >= FEW {
            // The first tell that it happened, the last when it did so last.
            list.pop();
        }
        list.push(touch);
    }
}

/// The same on every replay.
fn hash(name: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
