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
mod contain;
mod continued;
mod disk;
mod drill;
mod escape;
mod forge;
mod gaps;
mod gate;
mod hook;
mod hostile;
mod judge;
mod library;
mod lineage;
mod log;
mod mandates;
mod nobodys;
mod notify;
mod out;
mod page;
mod persistence;
mod record;
mod redaction;
mod results;
mod rig;
mod rules;
mod signer;
mod top;
mod witness;
