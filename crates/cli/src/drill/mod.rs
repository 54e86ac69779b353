//! `muster drill`: plays a rogue deployment in a cell, and measures what is seen of it.
//!
//! Who runs what: the drill (root, this machine's own namespaces) prepares a folder and starts a *keeper* for each run. The
//! keeper (root) makes the cell, starts in it a small world (a listener for "the internet", a cron) and a benign companion,
//! and a *launcher* that enrols, gives up root and becomes the agent. The keeper ends all of it when the drill tells it to,
//! when the drill is gone, or when the time is up.

pub mod agent;
mod cell;
pub mod clean;
pub mod keeper;
mod link;
pub mod measure;
pub mod place;
pub mod schedule;
pub mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;

use muster_event::ProcessKey;
use serde::{Deserialize, Serialize};

/// Where drills have their folders: outside `/tmp`, `/run` and `/var/tmp`, which a cell has of its own.
pub const BASE: &str = "/var/lib/muster-drill";
/// Users of drills: so high that no machine gives them out; each run has two (agent, companion).
pub const UID_MIN: u32 = 1_600_000_000;
pub const UID_MAX: u32 = 2_100_000_000;
/// Longest that a run may last, whatever happens.
pub const SECONDS_MAX: u64 = 60;

/// All that a keeper must know. Stands in the run's folder, which only root writes: it is the journal too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    pub id: String,
    /// The run's folder.
    pub root: PathBuf,
    pub uid: u32,
    pub label: String,
    pub mandate: bool,
    /// Folder of the daemon that watches.
    pub data: PathBuf,
    pub cron: bool,
    pub drill: ProcessKey,
}

impl Spec {
    pub fn companion_uid(&self) -> u32 {
        self.uid + 1
    }

    pub fn path(&self) -> PathBuf {
        self.root.join("spec.json")
    }

    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub fn work(&self) -> PathBuf {
        self.home().join("project")
    }

    /// Where the agent's own program is.
    pub fn harness(&self) -> PathBuf {
        self.root.join("harness")
    }

    pub fn out(&self) -> PathBuf {
        self.root.join("out")
    }
}

/// What the agent is to play.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Play {
    pub session: String,
    /// Where its account is; `None`: it keeps none.
    pub account: Option<PathBuf>,
    pub work: PathBuf,
    /// Where it notes when it did what, for the drill.
    pub times: PathBuf,
    pub acts: Vec<muster_drill::Act>,
    pub linger_ms: u64,
}

/// Words of scenarios, by what they stand for here.
pub type Words = BTreeMap<String, String>;
