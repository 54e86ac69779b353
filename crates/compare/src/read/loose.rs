//! Any JSON value as text and number: other people's logs are not trusted to have the types that they should have.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Bytes kept of one value.
pub const TEXT_MAX: usize = 1 << 20;
/// Arguments that hold a command.
const COMMANDS: [&str; 6] = ["cmd", "command", "code", "script", "bash_command", "keystrokes"];
/// Values that are no text to read.
const OPAQUE: [&str; 5] = ["image", "data", "signature", "image_url", "audio"];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loose {
    /// Strings of the value, in order, one a line.
    pub text: String,
    pub number: Option<f64>,
    /// Of an object: the string under a name that stands for a command.
    pub command: Option<String>,
    pub null: bool,
}

impl Loose {
    fn push(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let room = TEXT_MAX.saturating_sub(self.text.len());
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.text.push_str(text.get(..end).unwrap_or_default());
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Loose, E> {
        Ok(Loose { text: value.to_string(), number: Some(f64::from(u8::from(value))), ..Loose::default() })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Loose, E> {
        Ok(Loose { text: value.to_string(), number: Some(value as f64), ..Loose::default() })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Loose, E> {
        Ok(Loose { text: value.to_string(), number: Some(value as f64), ..Loose::default() })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Loose, E> {
        Ok(Loose {
            text: value.to_string(),
            number: Some(value).filter(|v| v.is_finite()),
            ..Loose::default()
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<Loose, E> {
        let mut loose = Loose::default();
        loose.push(value);
        Ok(loose)
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose { null: true, ..Loose::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
        let mut all = Loose::default();
        while let Some(one) = seq.next_element::<Loose>()? {
            all.push(&one.text);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        let mut all = Loose::default();
        while let Some(key) = map.next_key::<String>()? {
            if OPAQUE.contains(&key.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let one = map.next_value::<Loose>()?;
            if COMMANDS.contains(&key.as_str()) && all.command.is_none() && !one.null {
                all.command = Some(one.text.clone());
            }
            if key != "type" {
                all.push(&one.text);
            }
        }
        Ok(all)
    }
}
