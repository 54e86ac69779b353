//! Whether two sets of an agent's runs differ in behaviour: the statistics, the readers of other people's logs, and the
//! report. Pure: bytes come in through `Read`, nothing here opens a file, looks at a clock or draws true chance.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod conduct;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod monitor;
pub mod plan;
pub mod read;
pub mod report;
pub mod run;
pub mod set;
pub mod stats;

pub use run::Run;
