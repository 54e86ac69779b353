//! Muster's vocabulary: what the sensors saw, as plain data. No I/O, no clock, no async.

#![forbid(unsafe_code)]

pub mod bytes;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod kind;
mod output;
mod process;
pub mod redact;
mod sanitize;

pub use kind::{Access, Address, Identity, Kind, MemoryOp, SignalTarget};
pub use output::{OUTPUT_LINES_MAX, OutputText, line_hash};
pub use process::{Attribution, Event, Lost, ProbeState, ProcessKey, Queue, Snapshot};
pub use redact::{redact, redact_argv, redact_bytes, redact_url};
pub use sanitize::{escape_bytes, sanitize};

/// Nanoseconds. Which clock is in the field's name: `time_ns` is wall-clock time since the Unix epoch,
/// `boot_ns` is `CLOCK_BOOTTIME`.
pub type Nanos = u64;
