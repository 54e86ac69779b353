//! What people see in the terminal: the roll, an agent's three lanes, findings, events. Text in, text out; nothing is read
//! or written here. Every word that an agent can influence passes `sanitize` before its width is measured.

#![forbid(unsafe_code)]

mod cell;
mod claims;
mod drill;
mod explain;
mod findings;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gaps;
pub mod judge;
mod lineage;
pub mod notify;
mod opinions;
mod roll;
mod show;
mod time;
pub mod words;

pub use cell::Style;
pub use claims::claims;
pub use drill::{AblationRow, DrillRow, ablation, drills};
pub use explain::{Explain, Said, explain};
pub use findings::{event_line, finding, findings};
pub use gaps::gaps;
pub use lineage::{Lineage, lineage};
pub use opinions::opinions;
pub use roll::{roll, roll_empty, roll_order};
pub use show::{Show, show};
