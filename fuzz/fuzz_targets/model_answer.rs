//! `model_answer` of crates/report/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_report::fuzzing::model_answer(bytes));
