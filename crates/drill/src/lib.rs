//! Drills: harmless simulated rogue deployments as data, the guises that they come in, what is counted of their runs.
//! No I/O, no clock: `muster drill` plays them.

#![forbid(unsafe_code)]

mod account;
mod guise;
mod interval;
mod plan;
mod scenario;

pub use account::{Account, Result as Shown};
pub use guise::{Guise, Interpreter, Tells, Writer};
pub use interval::{Interval, exact};
pub use plan::{Act, Told, plan, scatter};
pub use scenario::{Expected, FACTORS, Library, LibraryError, Scenario, Step};

/// The product that drill agents are (`crates/engine/products/drill.toml`), and the package by which Muster knows them.
pub const PRODUCT: &str = "drill-agent";
pub const PACKAGE: &str = "@muster/drill-agent";
/// What the labels of drill agents begin with: people who read the roll see that it is a drill.
pub const LABEL: &str = "drill:";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
mod tests;
