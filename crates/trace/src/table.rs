//! The processes of a record: their stable identity, their folder, their open files.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use muster_event::{Address, Nanos, ProcessKey};

use crate::path;

/// Processes kept at once: the default pid range of Debian, twice.
const PROCESSES_MAX: usize = 65_536;
/// Tasks (processes and threads) kept at once.
const TASKS_MAX: usize = 4 * PROCESSES_MAX;
/// Open files kept per process: the usual limit of a login is 1,024.
const FILES_MAX: usize = 4_096;
/// As the kernel cuts the name of a task.
const COMM_MAX: usize = 15;

/// An open file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub path: Option<String>,
    /// A socket's other end.
    pub peer: Option<Address>,
    pub close_on_exec: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub parent: Option<ProcessKey>,
    /// `None`: the record does not say.
    pub cwd: Option<String>,
    pub files: Arc<BTreeMap<i32, File>>,
    /// The program that it runs.
    pub program: Option<String>,
    pub comm: String,
    pub session: u32,
    pub group: u32,
    pub uid: u32,
}

/// The kernel's way to say that a user id is not known.
pub(crate) const NO_UID: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Table {
    tasks: HashMap<u32, ProcessKey>,
    processes: HashMap<ProcessKey, Process>,
    order: VecDeque<ProcessKey>,
    /// A first task that is known by another number than its process.
    renamed: Option<(u32, ProcessKey)>,
    /// Processes, tasks and files that were forgotten.
    pub forgotten: u64,
}

impl Table {
    pub fn of_task(&self, task: u32) -> Option<ProcessKey> {
        self.tasks.get(&task).copied()
    }

    /// The one that is left.
    pub fn only_task(&self) -> Option<u32> {
        let mut tasks = self.tasks.keys();
        tasks.next().copied().filter(|_| tasks.next().is_none())
    }

    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.processes.get(&key)
    }

    pub fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        self.processes.get_mut(&key)
    }

    /// A process that is seen for the first time; with a parent it has what that one has.
    pub fn begin(
        &mut self,
        pid: u32,
        time_ns: Nanos,
        parent: Option<ProcessKey>,
        cwd: Option<&str>,
    ) -> ProcessKey {
        let key = ProcessKey::new(pid, time_ns);
        let mut process = match parent.and_then(|key| self.processes.get(&key)) {
            Some(parent) => parent.clone(),
            None => Process {
                parent: None,
                cwd: cwd.map(str::to_owned),
                files: Arc::default(),
                program: None,
                comm: String::new(),
                session: pid,
                group: pid,
                uid: NO_UID,
            },
        };
        process.parent = parent;
        self.processes.insert(key, process);
        self.add_task(pid, key);
        self.order.push_back(key);
        while self.processes.len() > PROCESSES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            if self.processes.remove(&oldest).is_some() {
                self.forgotten = self.forgotten.saturating_add(1);
                if self.tasks.get(&oldest.pid) == Some(&oldest) {
                    self.tasks.remove(&oldest.pid);
                }
            }
        }
        // Those that ended are passed by when they come to the front; they must not pile up either.
        if self.order.len() > 2 * PROCESSES_MAX {
            let processes = &self.processes;
            self.order.retain(|key| processes.contains_key(key));
        }
        key
    }

    /// Another task of a process.
    pub fn add_task(&mut self, task: u32, key: ProcessKey) {
        if self.tasks.len() >= TASKS_MAX {
            self.forgotten = self.forgotten.saturating_add(1);
            let processes = &self.processes;
            self.tasks.retain(|task, key| *task == key.pid && processes.contains_key(key));
        }
        self.tasks.insert(task, key);
    }

    /// A task ended. The process, if it was its first task: that one is reported last.
    pub fn end(&mut self, task: u32) -> Option<(ProcessKey, Process)> {
        let leads = self.leads(task);
        let key = self.tasks.remove(&task)?;
        if !leads {
            return None;
        }
        Some((key, self.processes.remove(&key)?))
    }

    /// Gives a task another number.
    pub fn rename(&mut self, from: u32, to: u32) {
        if let Some(key) = self.tasks.remove(&from) {
            self.tasks.insert(to, key);
            self.renamed = Some((to, key));
        }
    }

    /// Is it the first task of its process: the one that is reported last?
    pub fn leads(&self, task: u32) -> bool {
        self.tasks.get(&task).is_some_and(|key| key.pid == task || self.renamed == Some((task, *key)))
    }

    pub fn set_file(&mut self, key: ProcessKey, number: i32, file: File) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let files = Arc::make_mut(&mut process.files);
        if files.len() >= FILES_MAX && !files.contains_key(&number) {
            self.forgotten = self.forgotten.saturating_add(1);
            return;
        }
        files.insert(number, file);
    }

    pub fn file(&self, key: ProcessKey, number: i32) -> Option<&File> {
        self.processes.get(&key)?.files.get(&number)
    }

    pub fn close(&mut self, key: ProcessKey, number: i32) {
        if let Some(process) = self.processes.get_mut(&key)
            && process.files.contains_key(&number)
        {
            Arc::make_mut(&mut process.files).remove(&number);
        }
    }

    /// It runs another program now.
    pub fn execute(&mut self, key: ProcessKey, program: &str) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.program = Some(program.to_owned());
        process.comm = path::name_of(program).chars().take(COMM_MAX).collect();
        if process.files.values().any(|file| file.close_on_exec) {
            Arc::make_mut(&mut process.files).retain(|_, file| !file.close_on_exec);
        }
    }
}
