//! The append-only Merkle log: a folder in the layout of C2SP tlog-tiles that takes bytes and gives them back by number,
//! with proofs that they are what they were. It knows nothing of what the bytes mean, has no clock and no async. One
//! writer (`Ledger`, under a lock), any number of readers (`Reader`, in any process, while the writer writes).

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod cosignature;
#[cfg(test)]
mod crash;
mod disk;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod head;
pub mod note;
mod reader;
mod seal;
mod segment;
pub mod signing;
mod tile;
pub mod tree;
mod verify;
pub mod witness;
mod writer;

pub use checkpoint::Checkpoint;
pub use error::{Error, Result};
pub use head::Head;
pub use reader::{Entries, Reader, Tiles};
pub use segment::{ENTRY_MAX, SegmentInfo, scan};
pub use tile::TileName;
pub use tree::Hash;
pub use verify::{Damage, Report, Tampering, VerifyError, verify, verify_leaf};
pub use writer::{Block, Ledger, Options, Recovery, TornTail};
