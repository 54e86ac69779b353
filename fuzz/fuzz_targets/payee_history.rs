//! `payee_history` of crates/phish/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_phish::fuzzing::payee_history(bytes));
