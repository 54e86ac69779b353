//! The process table: every process seen since the start, live or recently ended, and whose it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use muster_event::{Attribution, Nanos, ProcessKey};

use crate::AgentId;

/// Ended processes that are remembered, so that late events and late account records still find them. 65,536 is twice
/// the default pid range of Debian; what falls out can no longer be attributed.
const ENDED_MAX: usize = 65_536;
/// Longest command line kept in memory per process, in bytes: the ledger has the whole one.
const ARGV_BYTES_MAX: usize = 32 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub key: ProcessKey,
    pub parent: Option<ProcessKey>,
    pub uid: u32,
    pub path: String,
    pub script: Option<String>,
    pub argv: Vec<String>,
    pub cwd: String,
    pub env: BTreeMap<String, String>,
    pub session: u32,
    pub group: u32,
    pub cgroup: u64,
    /// Event of its latest exec; 0 when it was found by the scan.
    pub exec_seq: u64,
    /// The record has only the beginning of its command line.
    pub argv_cut: bool,
    pub time_ns: Nanos,
    pub ended: bool,
    /// It was itself seen to run the agent's own program: what it goes on as may be that program again (`env`, a launcher).
    pub harness: bool,
    /// It forked and has not executed a file of its own: it still runs its parent's program.
    pub forked: bool,
    /// Names of the program that its parent ran when it forked: a shell may go on as another before the child does anything.
    pub born: Vec<String>,
    pub member: Option<Membership>,
    /// Other lineages that it belongs to as well, though no fork of theirs led to it.
    pub also: Vec<Membership>,
}

impl Process {
    /// The first is the one whose acts its acts are.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.member.iter().chain(&self.also)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub agent: AgentId,
    pub by: Attribution,
    pub role: Role,
}

/// What a process is to its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The agent's own program: what it executes directly is an action.
    Harness,
    /// Part of this action (index into the agent's actions).
    Action(usize),
    /// Belongs to the agent, but its place is not known (found by the scan, or by its marker).
    Member,
}

#[derive(Default)]
pub(crate) struct Processes {
    table: HashMap<ProcessKey, Process>,
    live: HashMap<u32, ProcessKey>,
    children: HashMap<ProcessKey, BTreeSet<ProcessKey>>,
    ended: VecDeque<ProcessKey>,
}

impl Processes {
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.table.get(&key)
    }

    pub fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        self.table.get_mut(&key)
    }

    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.live.get(&pid).and_then(|key| self.table.get(key))
    }

    pub fn insert(&mut self, mut process: Process) {
        trim(&mut process.argv);
        if let Some(parent) = process.parent {
            self.children.entry(parent).or_default().insert(process.key);
        }
        self.live.insert(process.key.pid, process.key);
        self.table.insert(process.key, process);
    }

    /// The process of this event, made up from the event where its beginning was not seen.
    pub fn ensure(&mut self, key: ProcessKey, uid: u32, comm: &str, cgroup: u64, time_ns: Nanos) {
        if self.table.contains_key(&key) {
            return;
        }
        self.insert(Process {
            key,
            parent: None,
            uid,
            path: comm.to_owned(),
            script: None,
            argv: Vec::new(),
            cwd: String::new(),
            env: BTreeMap::new(),
            session: 0,
            group: 0,
            cgroup,
            exec_seq: 0,
            argv_cut: false,
            time_ns,
            ended: false,
            harness: false,
            forked: true,
            born: Vec::new(),
            member: None,
            also: Vec::new(),
        });
    }

    pub fn set_parent(&mut self, key: ProcessKey, parent: ProcessKey) {
        if let Some(process) = self.table.get_mut(&key)
            && process.parent.is_none()
            && parent != key
        {
            process.parent = Some(parent);
            self.children.entry(parent).or_default().insert(key);
        }
    }

    pub fn end(&mut self, key: ProcessKey) {
        let Some(process) = self.table.get_mut(&key) else { return };
        if process.ended {
            return;
        }
        process.ended = true;
        if self.live.get(&key.pid) == Some(&key) {
            self.live.remove(&key.pid);
        }
        self.ended.push_back(key);
        while self.ended.len() > ENDED_MAX {
            if let Some(old) = self.ended.pop_front() {
                self.forget(old);
            }
        }
    }

    fn forget(&mut self, key: ProcessKey) {
        if let Some(process) = self.table.remove(&key)
            && let Some(parent) = process.parent
            && let Some(siblings) = self.children.get_mut(&parent)
        {
            siblings.remove(&key);
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
        self.children.remove(&key);
    }

    /// All descendants that are known, breadth first, in a stable order.
    pub fn descendants(&self, root: ProcessKey) -> Vec<ProcessKey> {
        let mut out: Vec<ProcessKey> = Vec::new();
        let mut seen = BTreeSet::from([root]);
        let mut queue = VecDeque::from([root]);
        while let Some(key) = queue.pop_front() {
            for &child in self.children.get(&key).into_iter().flatten() {
                if seen.insert(child) {
                    out.push(child);
                    queue.push_back(child);
                }
            }
        }
        out
    }

    /// From the process's parent upwards.
    pub fn ancestors(&self, key: ProcessKey) -> impl Iterator<Item = &Process> {
        let mut next = self.table.get(&key).and_then(|p| p.parent);
        // A parent chain cannot be longer than this on Linux (pid_max), and a cycle cannot arise from real events;
        // the bound makes sure of it for forged ones.
        let mut left = 1024;
        std::iter::from_fn(move || {
            left -= 1;
            if left == 0 {
                return None;
            }
            let process = self.table.get(&next?)?;
            next = process.parent;
            Some(process)
        })
    }
}

pub(crate) fn trim(argv: &mut [String]) {
    let mut left = ARGV_BYTES_MAX;
    for argument in argv.iter_mut() {
        if argument.len() > left {
            let mut end = left;
            while !argument.is_char_boundary(end) {
                end -= 1;
            }
            argument.truncate(end);
        }
        left = left.saturating_sub(argument.len());
    }
}
