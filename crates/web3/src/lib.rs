//! Checks of governance: what a proposal does against what it says, and who votes with whom. Pure: no files, no network.

#![forbid(unsafe_code)]

pub mod abi;
mod verdict;

pub use alloy_primitives;

pub use verdict::*;
