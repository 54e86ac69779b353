//! Each agent once, for real, on a small honest task. An agent that cannot be installed here is skipped, and says so.
#![allow(clippy::print_stderr, reason = "a skipped test tells why")]

mod loop_agents;
mod products;
