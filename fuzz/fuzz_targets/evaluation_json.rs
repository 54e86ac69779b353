//! `evaluation_json` of crates/compare/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_compare::fuzzing::evaluation_json(bytes));
