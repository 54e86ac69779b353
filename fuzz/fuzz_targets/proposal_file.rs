//! `proposal_file` of crates/web3/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_web3::fuzzing::proposal_file(bytes));
