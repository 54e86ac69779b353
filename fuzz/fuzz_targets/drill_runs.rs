//! `drill_runs` of crates/assess/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_assess::fuzzing::drill_runs(bytes));
