//! `account_gemini_cli` of crates/account/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_account::fuzzing::account_gemini_cli(bytes));
