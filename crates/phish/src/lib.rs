//! Checks of what is used to deceive people: hosts, messages, wallet requests, addresses. Pure: no files, no network.

pub use muster_web3::{Checked, Reason, Verdict};
