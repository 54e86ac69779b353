//! Mustering out: a lineage is frozen, cut off, killed, and what would bring it back is put away. It is told what belongs to
//! the lineage; it decides nothing about that but from `/proc`, and touches nothing that is only likely unless it is told to.
//!
//! [`Out::carry_out`] does the steps, [`journal`] is what it did, [`restore`] undoes what was put away.

#![forbid(unsafe_code)]

mod cgroup;
mod closure;
mod cut;
mod freeze;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
mod kill;
pub mod mounts;
mod out;
mod process;
mod quarantine;
pub mod restore;
mod revoke;
mod run;
mod target;
mod units;
mod verify;

pub use closure::{Closure, Guard};
pub use freeze::{Frozen, Stopped};
pub use out::{
    Bare, FOLDER, Known, Out, Outside, Plan, PlannedFile, Report, StepReport, Told, dry_run, is_id,
};
pub use process::{Process, ancestors, boot_id, key_of, table};
pub use quarantine::{Action, Quarantined};
pub use target::{Artefact, Marker, Revocation, Step, Target};
