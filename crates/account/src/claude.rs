//! TODO

use serde_json::Value;

use crate::Item;

#[derive(Default)]
pub(crate) struct Claude {}

impl Claude {
    pub(crate) fn items(&mut self, _record: &Value) -> Vec<Item> {
        Vec::new()
    }
}
