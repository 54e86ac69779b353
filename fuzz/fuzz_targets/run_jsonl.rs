//! `run_jsonl` of crates/compare/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_compare::fuzzing::run_jsonl(bytes));
