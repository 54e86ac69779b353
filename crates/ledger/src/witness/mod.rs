//! Witnessing a log (C2SP tlog-witness): what is asked, what is right to answer, and what who asked makes of the answer.
//! No clock, no files, no sockets: `muster witness` and the daemon have these.

mod decide;
mod outcome;
mod request;
mod seen;

pub(crate) use decide::follows;
pub use decide::{Accepted, Log, Refusal, Sign, Verdict, decide};
pub use outcome::{Outcome, SIZE_TYPE, outcome};
pub use request::{PROOF_LINES_MAX, REQUEST_MAX, Request};
pub use seen::{RECENT_MAX, Seen};

/// A number as these protocols write it: decimal, without leading zeros.
pub(crate) fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| canonical)
}
