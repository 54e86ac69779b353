//! How bytes stand in JSON: as text that a person can read and search, never as a list of numbers. For `#[serde(with)]`.

use std::fmt;

use serde::de::{Error, MapAccess, Unexpected, Visitor};

const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

fn digits(bytes: impl IntoIterator<Item = u8>) -> String {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pair = |&[high, low]: &[u8; 2]| Some(nibble(high)? << 4 | nibble(low)?);
    if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
}

/// Takes a string, and makes something else of it.
struct Text<F>(&'static str, F);

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// 32 bytes, such as a SHA-256, as 64 hexadecimal digits.
pub mod hex32 {
    use serde::{Deserializer, Serializer};

    use super::Text;

    pub fn serialize<S: Serializer>(value: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::digits(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        from.deserialize_str(Text("64 hexadecimal digits", |text: &str| super::bytes(text)?.try_into().ok()))
    }
}

/// Numbers of 32 bits, eight hexadecimal digits each, in one string.
pub mod hex_words {
    use serde::{Deserializer, Serializer};

    use super::Text;

    pub fn serialize<S: Serializer>(value: &[u32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::digits(value.iter().flat_map(|word| word.to_be_bytes())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
        from.deserialize_str(Text("hexadecimal digits, eight for each number", |text: &str| {
            let bytes = super::bytes(text)?;
            let (words, rest) = bytes.as_chunks::<4>();
            rest.is_empty().then(|| words.iter().map(|word| u32::from_be_bytes(*word)).collect())
        }))
    }
}

/// Bytes that mostly are text: as that text; where they are not UTF-8, as `{"hex":"…"}`.
pub mod text_or_hex {
    use serde::ser::SerializeMap;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(value) {
            Ok(text) => to.serialize_str(text),
            Err(_) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("hex", &super::digits(value.iter().copied()))?;
                map.end()
            }
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_any(super::TextOrHex)
    }
}

struct TextOrHex;

impl<'de> Visitor<'de> for TextOrHex {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or `{\"hex\":\"…\"}`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Vec<u8>, E> {
        Ok(text.into_bytes())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let text: String = map.next_value()?;
            if key == "hex" {
                let bytes = bytes(&text);
                found =
                    Some(bytes.ok_or_else(|| {
                        A::Error::invalid_value(Unexpected::Str(&text), &"hexadecimal digits")
                    })?);
            }
        }
        found.ok_or_else(|| A::Error::missing_field("hex"))
    }
}
