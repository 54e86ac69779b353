//! What belongs to a lineage though no fork connects it: processes that others started for it, and files that make others
//! start something.

use muster_event::{Nanos, ProcessKey};
use serde::{Deserialize, Serialize};

use crate::{AgentId, Evidence};

/// How sure it is that a process or a file is of the lineage. Only what is certain joins it, and is stopped with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    Certain,
    Likely,
}

/// A process that belongs to a lineage though no fork connects it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descent {
    pub agent: AgentId,
    pub process: ProcessKey,
    /// The event from which on it belongs.
    pub from_seq: u64,
    pub via: Via,
    pub certainty: Certainty,
    pub time_ns: Nanos,
    /// One line, plain words: what connects them, and for what is only likely, why it is no more.
    pub summary: String,
    pub evidence: Vec<Evidence>,
}

/// What connects a process with the lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A file of the lineage made another program start it: a cron table, a unit, a hook.
    Artefact { path: String, mechanism: String },
    /// The lineage asked a service to start it: `systemd`, `tmux`, `docker`, …
    Request { service: String },
    /// It runs a file that the lineage wrote.
    Content { path: String },
}

/// A file of the lineage that makes others run something, and so could bring it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// The same agent and path give the same id.
    pub id: String,
    pub agent: AgentId,
    pub path: String,
    /// Name in `crates/engine/persistence/`, e.g. `cron`.
    pub mechanism: String,
    pub certainty: Certainty,
    /// When it was last written, by which process, in which event.
    pub time_ns: Nanos,
    pub process: ProcessKey,
    pub seq: u64,
    /// What it starts, as far as it was read.
    pub commands: Vec<Vec<String>>,
    /// Those of them that did not stand there before; empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Vec<String>>,
    /// The service manager's name for it.
    pub unit: Option<String>,
    /// The lineage removed it again.
    pub gone: bool,
    /// A file stood there before any agent wrote it; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood: Option<bool>,
    /// The very file, as it was found when it had been written: under another path, where the lineage has mounts of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileAt>,
}

/// One very file, whatever it is called within a lineage's own mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAt {
    /// Its path for the machine; empty: the machine has no mount of it.
    pub path: String,
    pub device: u64,
    pub inode: u64,
}

/// The answer to `Output::ReadArtefact`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtefactRead {
    pub agent: AgentId,
    pub path: String,
    pub time_ns: Nanos,
    pub commands: Vec<Vec<String>>,
    pub unit: Option<String>,
    /// Why it could not be read; `commands` is then empty.
    pub error: Option<String>,
    /// What stands out in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<crate::persistence::Mark>,
    /// The very file, where it could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileAt>,
}

/// A step of mustering out, as told by who carries it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containment {
    /// Name of the mustering out.
    pub id: String,
    pub agent: AgentId,
    pub time_ns: Nanos,
    /// `freeze`, `cut`, `revoke`, `kill`, `quarantine`, `seal`, `verify`, `watch`, `thaw`, `restore`.
    pub step: String,
    /// `begun`, `done`, `failed`, `undone`.
    pub state: String,
    /// What was done, to what, or why it failed.
    pub text: String,
    /// Who asked: a principal, or the rule.
    pub by: String,
}
