//! The sensor on this machine's kernel.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking; some acts are system calls that have no safe form"
)]

mod acts;
mod cut;
mod extras;
mod kernel;
mod outputs;
mod rig;
