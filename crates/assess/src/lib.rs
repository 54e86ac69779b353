//! The assessment: what a board reads of a machine's agents, computed from what its ledger holds, every number with the
//! findings and leaves that it rests on. Pure: it is given entries and lines, and knows neither files nor a clock.
//!
//! What is not in the ledger is *not recorded*, which is never the same as none.

#![forbid(unsafe_code)]

mod change;
pub mod drills;
pub mod facts;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gap;
mod html;
mod incidents;
mod mapping;
mod means;
mod motive;
pub mod number;
mod opportunity;
mod plot;
pub mod report;
mod scope;
mod summary;
mod text;
mod weaknesses;

pub use drills::Drill;
pub use facts::Facts;
pub use html::html;
pub use report::{About, Assessment, assess};
pub use text::text;
