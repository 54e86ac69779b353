//! Each agent once, for real, on a small honest task. An agent that cannot be installed here is skipped, and says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stderr, reason = "a skipped test tells why")]

mod loop_agents;
mod products;
