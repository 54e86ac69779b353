//! What code can do, by what can be reached: data after the code and the compiler's trailer are no instructions.

/// Longer than any chain lets code be (Amsterdam: 48 kB; init code twice that).
pub const CODE_MAX: usize = 128 << 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    pub destroys: bool,
    pub creates: bool,
    pub creates2: bool,
    /// Of an address that is not written in the code.
    pub delegatecalls: bool,
    /// EIP-7702: the address whose code it lends.
    pub delegated: Option<String>,
    pub truncated: bool,
}

/// One pass from the start and from each `JUMPDEST` that a constant points to, or, where a jump is computed, from all.
#[must_use]
pub fn traits(code: &[u8]) -> Traits {
    let mut found = Traits::default();
    if let [0xef, 0x01, 0x00, address @ ..] = code
        && address.len() == 20
    {
        found.delegated = Some(crate::abi::to_hex(address));
        return found;
    }
    found.truncated = code.len() > CODE_MAX;
    let code = without_trailer(code.get(..CODE_MAX).unwrap_or(code));
    let dests = jump_dests(code);
    let mut is_reached = vec![false; code.len()];
    let mut queue = vec![0usize];
    // Constants that are pushed anywhere in reached code may be jumped to: through the stack they reach any jump.
    while let Some(start) = queue.pop() {
        let mut at = start;
        while let Some(byte) = code.get(at).copied() {
            match is_reached.get_mut(at) {
                Some(seen) if !*seen => *seen = true,
                _ => break,
            }
            match byte {
                0xf0 => found.creates = true,
                0xf5 => found.creates2 = true,
                0xf4 | 0xf2 => found.delegatecalls = true,
                0xff => {
                    found.destroys = true;
                    break;
                }
                // stop, jump, return, revert, invalid
                0x00 | 0x56 | 0xf3 | 0xfd | 0xfe => break,
                0x60..=0x7f => {
                    let length = usize::from(byte - 0x5f);
                    let constant = code.get(at + 1..at + 1 + length).unwrap_or_default();
                    let target = constant
                        .iter()
                        .fold(0usize, |n, b| n.saturating_mul(256).saturating_add(usize::from(*b)));
                    if dests.get(target) == Some(&true) && is_reached.get(target) == Some(&false) {
                        queue.push(target);
                    }
                    at += length;
                }
                // What the machine does not know ends it.
                0x0c..=0x0f | 0x1f | 0x21..=0x2f | 0x4b..=0x4f | 0xa5..=0xef | 0xf6..=0xf9 | 0xfb | 0xfc => {
                    break;
                }
                _ => {}
            }
            at += 1;
        }
    }
    found
}

fn jump_dests(code: &[u8]) -> Vec<bool> {
    let mut dests = vec![false; code.len()];
    let mut at = 0;
    while let Some(byte) = code.get(at).copied() {
        if byte == 0x5b
            && let Some(dest) = dests.get_mut(at)
        {
            *dest = true;
        }
        at += match byte {
            0x60..=0x7f => usize::from(byte - 0x5f) + 1,
            _ => 1,
        };
    }
    dests
}

/// Solidity's trailer is CBOR; its last two bytes are its length.
fn without_trailer(code: &[u8]) -> &[u8] {
    let Some((body, length)) = code.split_last_chunk::<2>() else { return code };
    let length = usize::from(u16::from_be_bytes(*length));
    let Some(start) = body.len().checked_sub(length) else { return code };
    let is_cbor = body.get(start).is_some_and(|byte| (0xa1..=0xa4).contains(byte)) && length > 8;
    if is_cbor { body.get(..start).unwrap_or(code) } else { code }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[track_caller]
    fn check(hex: &str, destroys: bool, creates2: bool) {
        let found = traits(&crate::abi::hex(hex).unwrap());
        assert_eq!((found.destroys, found.creates2), (destroys, creates2), "{hex}");
    }

    #[test]
    fn reach_counts_and_not_bytes() {
        // caller selfdestruct
        check("33ff", true, false);
        // stop, then a byte that nobody reaches
        check("00ff", false, false);
        // the argument of a push
        check("60ff00", false, false);
        // jump over data to a selfdestruct
        check("600556ffff5b33ff", true, false);
        check("600456ff5b00", false, false);
        // create2
        check("600060006000600060006000f500", false, true);
        assert_eq!(
            traits(&crate::abi::hex("ef0100aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap())
                .delegated
                .unwrap(),
            "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        );
    }
}
