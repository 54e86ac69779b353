//! TODO

use serde_json::Value;

use crate::Item;

#[derive(Default)]
pub(crate) struct Codex {}

impl Codex {
    pub(crate) fn items(&mut self, _record: &Value) -> Vec<Item> {
        Vec::new()
    }
}
