//! Product data that a user edits: any text is read or refused, and patterns match or do not, without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_engine::{Products, glob};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Some((pattern, subject)) = text.split_once('\n') {
        let _ = glob(pattern, subject);
        if let Ok(products) = Products::built_in() {
            let _ = products.is_model_request(pattern, subject);
            let _ = products.is_provider(subject);
        }
    }
    let _ = Products::with(&[("fuzzed.toml".to_owned(), text.into_owned())]);
});
