//! `planted_file` of crates/engine/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_engine::fuzzing::planted_file(bytes));
