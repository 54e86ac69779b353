//! Checks of governance: what a proposal does against what it says, and who votes with whom. Pure: no files, no network.

#![forbid(unsafe_code)]

pub mod abi;
pub mod bytecode;
pub mod claim;
pub mod effect;
pub mod judge;
pub mod known;
mod party;
pub mod proposal;
pub mod unwrap;
mod verdict;

pub use alloy_primitives;

pub use party::*;
pub use verdict::*;
