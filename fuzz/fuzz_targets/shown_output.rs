//! `shown_output` of crates/account/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_account::fuzzing::shown_output(bytes));
