//! `claim_text` of crates/engine/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_engine::fuzzing::claim_text(bytes));
