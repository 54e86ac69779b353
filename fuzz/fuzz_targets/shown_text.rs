//! What is shown to a person: no secret comes back, no control character comes through, nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_event::{escape_bytes, redact, redact_bytes, sanitize};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let shown = sanitize(&text);
    assert!(!shown.chars().any(|c| c.is_control()), "a control character came through: {shown:?}");
    assert_eq!(sanitize(&shown), shown, "sanitizing twice changes what is shown");
    let _ = escape_bytes(bytes);
    let once = redact(&text);
    assert_eq!(redact(&once), once, "redacting twice changes the text");
    let _ = redact_bytes(bytes);
});
