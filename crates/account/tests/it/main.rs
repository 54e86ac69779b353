//! What the readers make of real accounts, and of what is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod claude;
mod codex;
mod gemini;
mod opencode;
mod openhands;
