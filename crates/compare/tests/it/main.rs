//! The tests of this crate, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod hostile;
mod logs;
mod null;
/// One builder of ZIP files for these and for the properties.
#[path = "../../src/fuzzing/packed.rs"]
#[allow(dead_code, reason = "shared: the properties need only parts of it")]
mod packed;
mod reference;
mod reports;
mod scipy;

/// A file that is not named above would not be run.
#[test]
fn no_file_is_forgotten() {
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name}");
    }
}
