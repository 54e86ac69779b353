//! Checks of governance: what a proposal does against what it says, and who votes with whom. Pure: no files, no network.

#![forbid(unsafe_code)]

pub mod abi;
pub mod bytecode;
pub mod chain;
pub mod claim;
pub mod effect;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod joined;
pub mod judge;
pub mod known;
mod party;
pub mod proposal;
pub mod protocol;
pub mod unwrap;
mod verdict;
pub mod votes;

pub use alloy_primitives;

pub use joined::*;
pub use party::*;
pub use verdict::*;
