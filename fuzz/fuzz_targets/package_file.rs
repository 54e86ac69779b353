//! `package_file` of crates/cli/src/fuzzing.rs: a program cannot be depended on, so its files are modules here.

#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/cli/src/configuration.rs"]
mod configuration;
#[allow(dead_code, reason = "the other target uses the rest")]
#[path = "../../crates/cli/src/fuzzing.rs"]
mod fuzzing;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/cli/src/identify.rs"]
mod identify;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::package_file(bytes));
