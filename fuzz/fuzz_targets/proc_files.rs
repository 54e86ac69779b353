//! `proc_files` of crates/sensor/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_sensor::fuzzing::proc_files(bytes));
