//! Who takes part: an address of any chain, as text. Ethereum's are in lower case, so that equal ones are equal.

use std::fmt;

use alloy_primitives::Address;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Party(String);

/// Longer than any chain's address; what is longer is cut.
const PARTY_MAX: usize = 128;

impl Party {
    /// As another wrote it; `None` where it is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            let is_hex =
                digits.len() >= 40 && digits.len() <= 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            return is_hex.then(|| Self(format!("0x{}", digits.to_ascii_lowercase())));
        }
        let plain = (2..=PARTY_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b));
        plain.then(|| Self(text.to_owned()))
    }

    /// Of a chain whose addresses have another form than Ethereum's.
    #[must_use]
    pub fn named(text: &str) -> Self {
        Self(text.chars().take(PARTY_MAX).collect())
    }

    #[must_use]
    pub fn coin() -> Self {
        Self::from(Address::ZERO)
    }

    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.digits().is_some_and(|digits| digits.bytes().all(|byte| byte == b'0'))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of an address of Ethereum.
    #[must_use]
    pub fn digits(&self) -> Option<&str> {
        self.0.strip_prefix("0x")
    }

    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.0.parse().ok()
    }

    /// As people see it: with Ethereum's check on the letters' case.
    #[must_use]
    pub fn shown(&self) -> String {
        self.address().map_or_else(|| self.0.clone(), |address| address.to_string())
    }
}

impl From<Address> for Party {
    fn from(address: Address) -> Self {
        Self(crate::abi::to_hex(address.as_slice()))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many characters at the front and at the back are the same; `None` where the two are one.
/// People look at both ends of an address: eight in any split are no accident (about 2e-9 for a pair).
#[must_use]
pub fn likeness(a: &Party, b: &Party) -> Option<usize> {
    let (a, b) = (a.digits()?.as_bytes(), b.digits()?.as_bytes());
    if a == b || a.len() != b.len() {
        return None;
    }
    let front = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    // Addresses with long runs of noughts (precompiles, vanity) agree without meaning to.
    let zeros = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'0').count();
    let noise = zeros(a.get(..front).unwrap_or_default())
        .max(zeros(a.get(a.len().saturating_sub(back)..).unwrap_or_default()));
    Some((front + back).saturating_sub(if noise > 3 { noise } else { 0 }))
}

/// From as many on, two addresses are called look-alikes.
pub const LIKENESS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, alike: bool) {
        let (a, b) = (Party::read(a).unwrap(), Party::read(b).unwrap());
        assert_eq!(
            likeness(&a, &b).is_some_and(|n| n >= LIKENESS_MIN),
            alike,
            "{a} {b} {:?}",
            likeness(&a, &b)
        );
    }

    #[test]
    fn look_alikes_in_any_split() {
        let a = "0x91c32893216de3ea0a55abb9851f581d4503d39b";
        check(a, "0x91c3fffffffffffffffffffffffffffffffffd39b".get(..42).unwrap(), false);
        check(a, "0x91c3ffffffffffffffffffffffffffffffffd39b", true);
        check(a, "0x91c32893ffffffffffffffffffffffffffffffff", true);
        check(a, "0xffffffffffffffffffffffffffffffff4503d39b", true);
        check(a, "0x91cfffffffffffffffffffffffffffffffffd39b", false);
        check(a, a, false);
        check(
            "0x0000000000000000000000000000000000000001",
            "0x0000000000000000000000000000000000000002",
            false,
        );
    }
}
