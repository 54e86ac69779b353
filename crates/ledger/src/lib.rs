//! The append-only log: a folder of segment files that take bytes and give them back by number. It knows nothing of
//! what the bytes mean, has no clock and no async. One writer (`Ledger`, under a lock), any number of readers
//! (`Reader`, in any process, while the writer writes).

#![forbid(unsafe_code)]

mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod reader;
mod segment;
mod writer;

pub use error::{Error, Result};
pub use reader::{Entries, Reader};
pub use segment::{ENTRY_MAX, SegmentInfo, scan};
pub use writer::{Ledger, Options, Recovery, TornTail};
