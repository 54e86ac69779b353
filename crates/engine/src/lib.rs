//! The core: lineage, roll, reconciliation. A pure state machine: no clock, no file, no socket, no thread, no randomness.

#![forbid(unsafe_code)]

mod action;
mod agent;
mod artefact;
mod asked;
mod authority;
mod borrowed;
mod canary;
mod chain;
pub mod claims;
mod content;
mod copies;
mod denial;
mod descent;
mod effects;
mod engine;
mod finding;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gap;
mod guard;
mod imitation;
mod input;
mod intent;
mod lineage;
mod omission;
mod opinion;
mod orphan;
mod output;
mod persistence;
mod process;
mod products;
mod reconcile;
mod record;
mod remembered;
mod request;
mod result;
mod roll;
mod rules;
mod said;
mod shell;
mod shown;
mod silence;
mod survivor;
mod sustain;
mod timeline;

pub use authority::{actions_of, credential, install_folders};
pub use canary::{Canaries, Canary};
pub use claims::{Claim, Verdict};
pub use descent::{Artefact, ArtefactRead, Certainty, Containment, Descent, FileAt, Via};
pub use engine::Engine;
pub use finding::{Code, Evidence, Finding, Severity, Stage};
pub use gap::{Before, Gap, GapCause, Interval};
pub use guard::HooksRead;
pub use input::{AccountFile, AccountRecord, Enrol, Identified, Imported, Input, Judgement, Review, Start};
pub use intent::{ACTIONS_MAX, actions, is_metadata};
pub use muster_rules::Rules;
pub use opinion::{Cited, Label, Opinion, Opinions};
pub use output::{AgentState, Coverage, Join, Member, Output, State, Strength};
pub use persistence::{Mark, MarkKind, Mechanism, Persistence, Reach, Reader, Starts};
pub use products::{Marker, Package, Product, Products, ProductsError, glob};
pub use remembered::{Living, Recollection, Remembered, Written};

/// Name of one agent, unique over hosts and boots: product and a hash of boot id, pid and start time,
/// e.g. `claude-code-k3v9qd2mfx`.
pub type AgentId = String;
