//! `other_assessment` of crates/assess/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_assess::fuzzing::other_assessment(bytes));
