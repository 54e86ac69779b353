//! `containment_proc` of crates/contain/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_contain::fuzzing::containment_proc(bytes));
