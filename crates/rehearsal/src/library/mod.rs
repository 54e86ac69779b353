//! The scenario library: dishonest and honest runs of real agents, with the findings that each must give, and what plays them.
//!
//! The tables are in `library/*.toml`. What they expect was written before the detectors were: an expectation is changed only
//! where the scenario itself was wrong, and then a line above it says so.

mod census;
mod forge;
mod liar;
mod line;
mod report;
mod scenario;
mod stage;

pub use census::{CODES, problems};
pub use report::{Report, Tally};
pub use scenario::{Act, Library, Move, Scenario, Who};
pub use stage::{Finding, Outcome, Stage, StageError};
