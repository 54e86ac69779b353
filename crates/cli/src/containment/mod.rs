//! Mustering out: from the record to a target, in the daemon's threads or without a daemon (`crates/contain` does it).

pub mod config;
pub mod oversight;
mod seal;
pub mod target;
pub mod thread;

pub use config::Config;
pub use seal::{post, seal, silence, unsilence};
pub use thread::{Containments, Job};
