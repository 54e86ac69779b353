//! `muster_events` of crates/trace/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_trace::fuzzing::muster_events(bytes));
