//! `marks` of crates/event/src/fuzzing.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| muster_event::fuzzing::marks(bytes));
