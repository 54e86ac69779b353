//! `wallet_request` of crates/phish/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_phish::fuzzing::wallet_request(bytes));
