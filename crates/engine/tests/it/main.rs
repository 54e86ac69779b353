//! The engine from outside: what goes in, what comes out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod authority;
mod claims;
mod deception;
mod descent;
mod gaps;
mod guard;
mod opinion;
mod persistence;
mod reconcile;
mod recorded;
mod remembered;
mod replay;
mod result;
mod rig;
mod roll;
mod scenarios;
mod survivor;
mod sustain;
