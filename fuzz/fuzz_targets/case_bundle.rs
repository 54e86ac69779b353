//! `case_bundle` of crates/server/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_server::fuzzing::case_bundle(bytes));
