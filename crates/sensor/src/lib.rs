//! The sensor: what the kernel saw, from eBPF probes, or what `/proc` shows where these do not load.
//!
//! [`start`] gives a [`Source`]; each [`Source::poll`] gives what was seen since, in the order in which it happened.

// In `ring` and `hold` only: the workspace denies the rest.
#![deny(unsafe_code)]

mod canary;
mod clock;
mod cut;
mod decode;
mod extras;
pub mod filter;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod hold;
mod kernel;
mod markers;
mod network;
mod paths;
mod polling;
mod probes;
mod recipes;
mod ring;
mod scan;
mod sensitive;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_event::{Event, Kind, Lost, Nanos, ProbeState, ProcessKey, Snapshot};

pub use canary::act as canary;
pub use clock::{Clocks, clocks, now_ns};
pub use cut::{Silenced, silence, silenced, unsilence};
pub use decode::Decoder;
pub use kernel::{KernelSensor, Tested};
pub use markers::is_marker;
pub use polling::PollingSensor;
pub use probes::{cgroup_root, purpose as probe_purpose};
pub use scan::{ancestry, nearest, process_key, scan, snapshot};
pub use sensitive::is_sensitive;

/// Why there is no kernel record.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    #[error("the kernel record needs root\nhint: start it with sudo")]
    NotRoot,
    #[error(
        "this kernel has no type information (BTF): {reason}\nhint: use a kernel with CONFIG_DEBUG_INFO_BTF, as Debian's are"
    )]
    NoBtf { reason: String },
    #[error("the probes cannot be loaded: {reason}")]
    Load { reason: String },
    #[error("a table of the probes cannot be filled: {reason}")]
    Map { reason: String },
}

/// Decides which network events of processes outside any lineage are kept.
pub type Keep = Box<dyn Fn(&Kind) -> bool + Send>;

pub struct Config {
    /// Sequence number of the first event.
    pub first_seq: u64,
    pub keep: Keep,
    /// What to run as a canary (`muster canary`): the program and its first arguments. `None`: no canaries.
    pub canary: Option<(PathBuf, Vec<String>)>,
}

/// What was seen since the last poll.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order of their `boot_ns`, but for records that came late; `seq` has no holes.
    pub events: Vec<Event>,
    /// Processes that are new, where only `/proc` is looked at.
    pub snapshots: Vec<Snapshot>,
    pub lost: Vec<Lost>,
    /// Probes whose state changed.
    pub probes: Vec<ProbeState>,
    /// The wall clock was set forward (positive) or back, by so many nanoseconds.
    pub clock_step_ns: Option<i64>,
}

/// Where events come from.
pub trait Source {
    /// `false`: `/proc` only. Processes that live shorter than a look, files and network are not seen.
    fn is_kernel(&self) -> bool;
    /// Waits at most so long, then gives what was seen.
    fn poll(&mut self, timeout: Duration) -> Batch;
    /// Records all that this process and its descendants do from now on.
    fn follow(&mut self, process: ProcessKey);
    /// This process runs an agent's own program: what it executes is a command whose output is noted.
    fn harness(&mut self, process: ProcessKey);
    /// Follows whatever runs in this cgroup (v2 id) from its first instruction.
    fn follow_cgroup(&mut self, cgroup: u64);
    fn unfollow_cgroup(&mut self, cgroup: u64);
    /// Follows whoever executes this file, from its first instruction.
    fn follow_executable(&mut self, path: &Path);
    /// The last moment at which this probe was known to see; `None`: it is not known.
    fn seen_ns(&self, _probe: &str) -> Option<Nanos> {
        None
    }
    /// Every probe, as it is.
    fn states(&self) -> Vec<ProbeState>;
}

/// The kernel's record if it can be had, else `/proc`, with the reason.
pub fn start(config: Config) -> (Box<dyn Source>, Option<SensorError>) {
    let first_seq = config.first_seq;
    match KernelSensor::start(config) {
        Ok(sensor) => (Box::new(sensor), None),
        Err(error) => (Box::new(PollingSensor::start(first_seq)), Some(error)),
    }
}

/// Nanoseconds of a duration, for arithmetic on clocks.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
