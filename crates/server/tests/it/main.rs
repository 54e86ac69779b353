//! The server from outside: who gets an answer, and that answers are what the references say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod case;
mod leaves;
mod rig;
mod samples;
mod security;
