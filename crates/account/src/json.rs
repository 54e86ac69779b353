//! Small readings of JSON values and timestamps that all products share. Nothing here fails: what is absent is `None` or empty.

use muster_event::Nanos;
use serde_json::Value;

/// The string at a chain of keys.
pub(crate) fn text<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a str> {
    at(value, keys)?.as_str()
}

/// The value at a chain of keys.
pub(crate) fn at<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| value.get(key))
}

/// An owned string at a chain of keys; empty where there is none.
pub(crate) fn owned(value: &Value, keys: &[&str]) -> String {
    text(value, keys).unwrap_or_default().to_owned()
}

/// Text cut to at most `max` bytes, on a character boundary.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// An RFC 3339 timestamp with `Z` or an offset, as nanoseconds since the epoch.
pub(crate) fn time_ns(text: &str) -> Option<Nanos> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_nanosecond()).ok()
}
