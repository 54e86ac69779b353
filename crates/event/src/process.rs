//! Who acted: the stable identity of an execution, and the envelope every event travels in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Kind, Nanos};

/// The stable identity of a process on one boot of one host: a pid alone is reused, a pid with its start time is not.
/// With the host's boot id (kept once per ledger start) it is unique across reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Process id (thread group id) in the initial pid namespace.
    pub pid: u32,
    /// Start of the thread-group leader, nanoseconds of `CLOCK_BOOTTIME`, floored to the 10 ms tick that
    /// `/proc/PID/stat` reports, so that the kernel's and `/proc`'s idea of one process are equal.
    pub start_ns: Nanos,
}

impl ProcessKey {
    /// `/proc/PID/stat` counts in ticks of 1/100 s; both sources are floored to it.
    pub const TICK_NS: Nanos = 10_000_000;

    /// A key from a start time of any precision.
    pub fn new(pid: u32, start_ns: Nanos) -> Self {
        Self { pid, start_ns: start_ns - start_ns % Self::TICK_NS }
    }
}

/// One thing that a sensor saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Sequence number on this host, from 1, without holes: a hole in a ledger is a loss.
    pub seq: u64,
    /// Wall-clock time at which the kernel saw it.
    pub time_ns: Nanos,
    /// The same moment on `CLOCK_BOOTTIME`, which no clock step moves.
    pub boot_ns: Nanos,
    /// The process that acted.
    pub process: ProcessKey,
    /// The thread that acted (kernel task id).
    pub thread: u32,
    pub uid: u32,
    /// The kernel's name of the task (15 bytes at most). An agent can set it: never trust it for identity.
    pub comm: String,
    /// cgroup v2 id, 0 where there is none.
    pub cgroup: u64,
    pub kind: Kind,
}

/// A process found by a scan of `/proc`, not by its exec: it was there before the sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub process: ProcessKey,
    pub parent: Option<ProcessKey>,
    pub uid: u32,
    pub comm: String,
    pub cgroup: u64,
    pub session: u32,
    pub group: u32,
    /// Kernel-resolved path of the executable.
    pub path: String,
    pub argv: Vec<String>,
    pub cwd: String,
    /// Only the markers of agents (see `Kind::Exec::env`).
    pub env: BTreeMap<String, String>,
    /// Files it holds open for writing (paths as in `/proc/PID/fd`): where a running agent's account is.
    pub open_for_write: Vec<String>,
}

/// How an event was tied to its agent, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// In the cgroup that `muster run` made for the agent.
    Cgroup,
    /// Carries the agent's session or call id in the environment it was executed with.
    Marker,
    /// Descends from the agent's root process.
    Ancestry,
    /// Its command text is the text of one of the agent's tool calls.
    Text,
    /// A file of the agent's made another program start it.
    Artefact,
    /// A service started it because the agent asked.
    Request,
    /// It runs a file that the agent wrote.
    Content,
}

/// The sensor's queues. Each has its own loss counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// fork, exec, exit of all processes.
    Process,
    /// File, socket and privilege events of lineages.
    Lineage,
    /// DNS questions, TLS names, HTTP request lines.
    Network,
    /// The kernel's map of lineage members was full: descendants were not followed.
    Members,
    /// Events that the sensor delivered but the daemon could not take in time.
    Intake,
}

impl Queue {
    pub fn name(self) -> &'static str {
        match self {
            Queue::Process => "process",
            Queue::Lineage => "lineage",
            Queue::Network => "network",
            Queue::Members => "members",
            Queue::Intake => "intake",
        }
    }
}

/// What could not be seen: `count` events of one queue, between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub queue: Queue,
    pub count: u64,
    /// Wall-clock time of the last reading at which the counter was lower.
    pub from_ns: Nanos,
    /// Wall-clock time of the reading that showed the loss.
    pub to_ns: Nanos,
}

/// The state of one probe, as found by loading it and by its canary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProbeState {
    /// Name of the probe, e.g. `sched_process_exec`.
    pub probe: String,
    /// `None`: attached and answering its canary. Otherwise why not.
    pub error: Option<String>,
}
