//! `signer_message` of crates/ledger/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_ledger::fuzzing::signer_message(bytes));
