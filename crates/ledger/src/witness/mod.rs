//! Witnessing a log (C2SP tlog-witness): what is asked, what is right to answer, and what who asked makes of the answer.
//! No clock, no files, no sockets: `muster witness` and the daemon have these.

mod decide;
mod outcome;
mod request;
mod seen;

use sha2::{Digest, Sha256};

pub(crate) use decide::follows;
pub use decide::{Accepted, Log, Refusal, Sign, Verdict, decide};
pub use outcome::{Outcome, SIZE_TYPE, outcome};
pub use request::{PROOF_LINES_MAX, REQUEST_MAX, Request};
pub use seen::{RECENT_MAX, Seen};

/// Of a log's name, in the name of its file.
const READABLE_MAX: usize = 80;

/// A name for files about a log or a checkpoint: what can be read of it, and what tells it from all others.
pub fn file_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    let readable: String = text.chars().take(READABLE_MAX).map(plain).collect();
    let hash = Sha256::digest(text);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    // Not hidden, and no folder above.
    format!("{}-{hash}", readable.trim_start_matches('.'))
}

/// A number as these protocols write it: decimal, without leading zeros.
pub(crate) fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_names_a_file_and_nothing_else() {
        assert_eq!(file_name("example.com/log"), "example.com_log-4d3203c8f35cdf60");
        let names = ["a/b", "a_b", "../../etc/passwd", "..", "\u{202e}x", &"long".repeat(99)];
        for name in names.map(file_name) {
            assert!(
                name.len() < 100 && !name.starts_with('.') && !name.contains('/') && name.is_ascii(),
                "{name}"
            );
        }
        assert_ne!(file_name("a/b"), file_name("a_b"));
    }
}
