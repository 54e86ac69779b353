//! `mandate` of crates/rules/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_mandate::fuzzing::mandate(bytes));
