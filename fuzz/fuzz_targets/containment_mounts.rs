//! `containment_mounts` of crates/contain/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_contain::fuzzing::containment_mounts(bytes));
