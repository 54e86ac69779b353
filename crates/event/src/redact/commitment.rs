//! Salted commitments: what stands in the place of a secret binds whoever has the key to the value, tells nobody else what
//! it was, and can be opened for one value without the others.
//!
//! The commitment to a value is `SHA-256("muster redaction v1\n" || salt || value)`, its salt the first half of
//! `HMAC-SHA256(key, "muster redaction salt v1\n" || value)`: one value has one commitment, so that texts in which it
//! stands stay comparable, and who lacks the key cannot try values, however few are likely.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const COMMITMENT: &[u8] = b"muster redaction v1\n";
const SALT: &[u8] = b"muster redaction salt v1\n";
pub const SALT_BYTES: usize = 16;
/// Bytes that SHA-256 takes at a time: HMAC fills the key up to it.
const BLOCK: usize = 64;

static KEY: OnceLock<Key> = OnceLock::new();

/// What the salts are made from.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// Sets this process's key. Before it is set, marks bear no commitment. `false`: one was set already, and stays.
pub fn set_key(key: [u8; 32]) -> bool {
    KEY.set(Key(key)).is_ok()
}

pub(super) fn process_key() -> Option<&'static Key> {
    KEY.get()
}

/// The opening of a value with this process's key; `None` where none was set.
pub fn open(value: &str) -> Option<Opening> {
    process_key().map(|key| key.open(value))
}

/// What reveals one redacted value, and only that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// 16 bytes, as base64url without padding.
    pub salt: Salt,
    /// As it is when a shell has read it (`plain_value`).
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(pub [u8; SALT_BYTES]);

impl Key {
    pub fn new(key: [u8; 32]) -> Self {
        Key(key)
    }

    pub fn open(&self, value: &str) -> Opening {
        let value = plain_value(value);
        let mac = hmac(&self.0, &[SALT, value.as_bytes()]);
        let mut salt = [0; SALT_BYTES];
        for (to, from) in salt.iter_mut().zip(mac) {
            *to = from;
        }
        Opening { salt: Salt(salt), value: value.into_owned() }
    }
}

impl Opening {
    /// What stands in the mark.
    pub fn commitment(&self) -> String {
        let digest = Sha256::new()
            .chain_update(COMMITMENT)
            .chain_update(self.salt.0)
            .chain_update(self.value.as_bytes())
            .finalize();
        base64url(&digest)
    }
}

/// Does the opening open this commitment? Needs no key.
pub fn check(commitment: &str, opening: &Opening) -> bool {
    opening.commitment() == commitment
}

impl TryFrom<String> for Salt {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = from_base64url(&text).ok_or("a salt is base64url without padding")?;
        bytes.try_into().map(Salt).map_err(|_| "a salt has 16 bytes")
    }
}

impl From<Salt> for String {
    fn from(salt: Salt) -> Self {
        base64url(&salt.0)
    }
}

/// Products quote a command once more before a shell gets it (`pass\!word`): the value is what the shell makes of it, so
/// that it is the same in the account and in the record. Only what `ESCAPED` names can stand escaped in a value.
fn plain_value(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.peek().is_some_and(|next| super::ESCAPED.contains(*next)) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// RFC 2104, with a key that is no longer than a block.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        block
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    parts.iter().for_each(|part| inner.update(part));
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 §5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    let (mut held, mut bits) = (0_u32, 0_u32);
    let mut push = |sextet: u32| out.extend(ALPHABET.chars().nth((sextet & 63) as usize));
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 6 {
            bits -= 6;
            push(held >> bits);
        }
    }
    if bits > 0 {
        push(held << (6 - bits));
    }
    out
}

/// One text for each byte string: what has bits left over that are not zero is none.
fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for c in text.chars() {
        held = held << 6 | ALPHABET.find(c)? as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
        }
    }
    (base64url(&out) == text).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, case 1 with its key filled up with zeros to 32 bytes, as HMAC itself does; RFC 4648 §10.
    #[test]
    fn published_vectors() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = hmac(&key, &[b"Hi ", b"There"]);
        assert_eq!(mac[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
            assert_eq!(base64url(bytes.as_bytes()), text);
            assert_eq!(from_base64url(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
        for none in ["Zh", "Z", "Zg==", "Zm9v+", "é"] {
            assert_eq!(from_base64url(none), None, "{none}");
        }
    }

    /// The form does not change: bundles that were handed out must open for ever. Made by another implementation
    /// (Python's `hmac` and `hashlib`).
    #[test]
    fn the_form_stays() {
        let opening = Key::new([7; 32]).open("hunter2hunter2");
        assert_eq!(serde_json::to_string(&opening).unwrap(), OPENING);
        assert_eq!(opening.commitment(), COMMITTED);
        let read: Opening = serde_json::from_str(OPENING).unwrap();
        assert!(check(COMMITTED, &read));
    }
    const OPENING: &str = r#"{"salt":"zyngBKBpVPwpTS7GEy2VMw","value":"hunter2hunter2"}"#;
    const COMMITTED: &str = "HBklzKHXnH_0hEG5Ex_4rbOhltKKxmO9A5pda_p1TrQ";

    #[test]
    fn an_opening_opens_one_value() {
        let key = Key::new([1; 32]);
        let (one, other) = (key.open("one value"), key.open("another value"));
        assert!(check(&one.commitment(), &one) && !check(&one.commitment(), &other));
        assert_ne!(one.salt, other.salt);
        // Another key: another salt and another commitment.
        assert_ne!(Key::new([2; 32]).open("one value").commitment(), one.commitment());
        // Neither the salt nor the value alone.
        let false_ones = [
            Opening { salt: other.salt, ..one.clone() },
            Opening { value: "one valuf".to_owned(), ..one.clone() },
        ];
        assert!(false_ones.iter().all(|opening| !check(&one.commitment(), opening)));
    }
}
