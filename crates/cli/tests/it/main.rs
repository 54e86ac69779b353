//! The binary as its users run it: on the real kernel, with the real agents under a scripted model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod agents;
mod assess;
mod claims;
mod compare;
mod continued;
mod disk;
mod drill;
mod forge;
mod gaps;
mod hook;
mod hostile;
mod judge;
mod library;
mod lineage;
mod log;
mod nobodys;
mod out;
mod persistence;
mod record;
mod redaction;
mod results;
mod rig;
mod rules;
mod signer;
mod witness;
