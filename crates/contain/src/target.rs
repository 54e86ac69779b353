//! What is to be mustered out, as far as it is known beforehand.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use muster_event::{Nanos, ProcessKey};
use serde::{Deserialize, Serialize};

/// The steps, in their order. A mustering out goes as far as one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Freeze,
    Cut,
    Revoke,
    Kill,
    Quarantine,
    Seal,
    Verify,
}

impl Step {
    pub const ALL: [Step; 7] =
        [Step::Freeze, Step::Cut, Step::Revoke, Step::Kill, Step::Quarantine, Step::Seal, Step::Verify];

    pub fn name(self) -> &'static str {
        match self {
            Step::Freeze => "freeze",
            Step::Cut => "cut",
            Step::Revoke => "revoke",
            Step::Kill => "kill",
            Step::Quarantine => "quarantine",
            Step::Seal => "seal",
            Step::Verify => "verify",
        }
    }

    pub fn named(name: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// Stored beside the journal, so that whoever finishes the job has the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub agent: String,
    /// The boot that process ids, start times and cgroups are of.
    pub boot_id: String,
    /// First processes of the agent and of the agents within it.
    pub roots: Vec<ProcessKey>,
    /// Before it, the root was no agent: children that are older are somebody else's. 0: not known.
    pub began_ns: Nanos,
    /// What the record holds to belong to it.
    pub members: BTreeSet<ProcessKey>,
    /// … and what may.
    pub likely: BTreeSet<ProcessKey>,
    /// Control groups made for it, as paths below the root of the hierarchy.
    pub cgroups: Vec<String>,
    pub markers: Vec<Marker>,
    pub artefacts: Vec<Artefact>,
    pub revocations: Vec<Revocation>,
    pub include_likely: bool,
}

/// A variable that only this lineage has with this value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Marker {
    pub name: String,
    pub value: String,
}

/// A file that would bring the lineage back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    pub path: PathBuf,
    pub mechanism: String,
    pub unit: Option<String>,
    pub certain: bool,
    /// The lineage made the file; otherwise only its lines are its own.
    pub whole: bool,
    /// Texts by which the lineage's lines are known.
    pub lines: Vec<String>,
    /// Where the lineage has mounts of its own: device and inode of the one file that is meant.
    #[serde(default)]
    pub file: Option<(u64, u64)>,
    /// What the lineage calls it, where that is not its path for the machine; `path` is then empty if the machine has none.
    #[serde(default)]
    pub inside: Option<PathBuf>,
}

impl Artefact {
    /// The machine has no mount of it.
    pub fn is_elsewhere(&self) -> bool {
        self.path.as_os_str().is_empty()
    }

    /// Is it there, and the one that is meant?
    pub(crate) fn stands(&self) -> bool {
        let is_it = |meta: Metadata| self.file.is_none_or(|file| file == (meta.dev(), meta.ino()));
        !self.is_elsewhere() && self.path.symlink_metadata().is_ok_and(is_it)
    }

    /// The machine's unit of that name: what a container calls so is another.
    pub(crate) fn unit(&self) -> Option<&str> {
        self.unit.as_deref().filter(|_| self.inside.is_none())
    }
}

impl Target {
    /// The files that are put away.
    pub(crate) fn taken(&self) -> impl Iterator<Item = &Artefact> {
        self.artefacts.iter().filter(|artefact| artefact.certain || self.include_likely)
    }
}

/// A credential that the lineage touched, and what takes its power.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub name: String,
    /// Run as it is, without a shell.
    pub command: Vec<String>,
    /// … or asked by a POST.
    pub url: Option<String>,
    pub seconds: u64,
}
