//! `dns_message` of crates/enforce/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_enforce::fuzzing::dns_message(bytes));
