//! Checks of governance: what a proposal does against what it says, and who votes with whom. Pure: no files, no network.

mod verdict;

pub use verdict::*;
