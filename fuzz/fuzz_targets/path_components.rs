//! `path_components` of crates/sensor/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_sensor::fuzzing::path_components(bytes));
