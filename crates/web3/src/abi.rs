//! Solidity's argument encoding, read with a budget and without a copy. The usual decoders copy what an offset points
//! to: a list whose ten thousand offsets all point to one long string costs gigabytes. Here a value is a view of the
//! input, and what one decoding may make of it is counted.

use alloy_primitives::{Address, B256, U256, keccak256};

/// More values than the largest honest batches have (ENS EP 6.23: 1,500 calls of four values).
pub const VALUES_MAX: usize = 65_536;
/// Types nest no deeper in any standard interface; a deeper one is an attempt at the stack.
pub const DEPTH_MAX: usize = 8;
/// Of a signature's text; Seaport's longest has some 400.
pub const SIGNATURE_MAX: usize = 2_048;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbiError {
    #[error("`{0}` is no type of Solidity")]
    Type(String),
    #[error("`{0}` is no signature of a function")]
    Signature(String),
    #[error("the data end before the value does")]
    Short,
    #[error("an offset or length points outside the data")]
    Offset,
    #[error("more than {VALUES_MAX} values")]
    TooMany,
    #[error("types nest deeper than {DEPTH_MAX}")]
    TooDeep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    Address,
    Bool,
    /// `bytes1` to `bytes32`.
    Word,
    Bytes,
    Text,
    List(Box<Kind>),
    Fixed(Box<Kind>, usize),
    Tuple(Vec<Kind>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Number(U256),
    Address(Address),
    Bool(bool),
    Word(B256),
    /// `bytes` and `string`.
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
}

/// A function as its signature tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub inputs: Vec<Kind>,
    pub selector: [u8; 4],
}

impl Function {
    /// Of `transfer(address,uint256)`.
    pub fn parse(signature: &str) -> Result<Self, AbiError> {
        let bad = || AbiError::Signature(signature.chars().take(80).collect());
        if signature.len() > SIGNATURE_MAX {
            return Err(bad());
        }
        let compact: String = signature.chars().filter(|c| !c.is_whitespace()).collect();
        let (name, rest) = compact.split_once('(').ok_or_else(bad)?;
        let named =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        let inner = rest.strip_suffix(')').filter(|_| named).ok_or_else(bad)?;
        let inputs = kinds(inner, 0)?;
        let hash = keccak256(compact.as_bytes());
        let selector = hash.first_chunk::<4>().copied().ok_or_else(bad)?;
        Ok(Self { name: name.to_owned(), inputs, selector })
    }

    /// The arguments, without the selector.
    pub fn decode<'a>(&self, arguments: &'a [u8]) -> Result<Vec<Value<'a>>, AbiError> {
        decode(&self.inputs, arguments)
    }
}

pub fn decode<'a>(kinds: &[Kind], data: &'a [u8]) -> Result<Vec<Value<'a>>, AbiError> {
    let mut left = VALUES_MAX;
    sequence(kinds.iter(), data, &mut left)
}

impl<'a> Value<'a> {
    pub fn address(&self) -> Option<Address> {
        match self {
            Value::Address(address) => Some(*address),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<U256> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Bool(yes) => Some(U256::from(u8::from(*yes))),
            _ => None,
        }
    }

    pub fn word(&self) -> Option<B256> {
        match self {
            Value::Word(word) => Some(*word),
            Value::Number(number) => Some(B256::from(*number)),
            _ => None,
        }
    }

    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Value<'a>] {
        match self {
            Value::List(values) => values,
            _ => &[],
        }
    }

    /// All addresses in it.
    pub fn addresses(&self, into: &mut Vec<Address>) {
        match self {
            Value::Address(address) => into.push(*address),
            Value::List(values) => values.iter().for_each(|value| value.addresses(into)),
            Value::Number(_) | Value::Bool(_) | Value::Word(_) | Value::Bytes(_) => {}
        }
    }
}

fn kinds(text: &str, depth: usize) -> Result<Vec<Kind>, AbiError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let (mut open, mut from) = (0usize, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open = open.checked_sub(1).ok_or_else(|| AbiError::Type(shown(text)))?,
            ',' if open == 0 => {
                found.push(kind(text.get(from..at).unwrap_or_default(), depth)?);
                from = at + 1;
            }
            _ => {}
        }
    }
    if open != 0 {
        return Err(AbiError::Type(shown(text)));
    }
    found.push(kind(text.get(from..).unwrap_or_default(), depth)?);
    Ok(found)
}

fn kind(text: &str, depth: usize) -> Result<Kind, AbiError> {
    if depth >= DEPTH_MAX {
        return Err(AbiError::TooDeep);
    }
    let bad = || AbiError::Type(shown(text));
    if let Some(before) = text.strip_suffix(']') {
        let (element, length) = before.rsplit_once('[').ok_or_else(bad)?;
        let element = Box::new(kind(element, depth + 1)?);
        if length.is_empty() {
            return Ok(Kind::List(element));
        }
        let length: usize = length.parse().map_err(|_| bad())?;
        return if length <= VALUES_MAX { Ok(Kind::Fixed(element, length)) } else { Err(AbiError::TooMany) };
    }
    if let Some(inner) = text.strip_prefix('(') {
        return Ok(Kind::Tuple(kinds(inner.strip_suffix(')').ok_or_else(bad)?, depth + 1)?));
    }
    let sized =
        |rest: &str, max: u32| rest.is_empty() || rest.parse::<u32>().is_ok_and(|n| n >= 1 && n <= max);
    match text {
        "address" => Ok(Kind::Address),
        "bool" => Ok(Kind::Bool),
        "bytes" => Ok(Kind::Bytes),
        "string" => Ok(Kind::Text),
        // An address and a selector in one word.
        "function" => Ok(Kind::Word),
        _ if text.strip_prefix("uint").is_some_and(|rest| sized(rest, 256)) => Ok(Kind::Number),
        _ if text.strip_prefix("int").is_some_and(|rest| sized(rest, 256)) => Ok(Kind::Number),
        _ if text.strip_prefix("bytes").is_some_and(|rest| sized(rest, 32)) => Ok(Kind::Word),
        _ => Err(bad()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Kind {
    fn is_dynamic(&self) -> bool {
        match self {
            Kind::Bytes | Kind::Text | Kind::List(_) => true,
            Kind::Fixed(element, length) => *length > 0 && element.is_dynamic(),
            Kind::Tuple(members) => members.iter().any(Kind::is_dynamic),
            Kind::Number | Kind::Address | Kind::Bool | Kind::Word => false,
        }
    }

    /// Bytes that it takes in the head.
    fn head(&self) -> Result<usize, AbiError> {
        if self.is_dynamic() {
            return Ok(32);
        }
        match self {
            Kind::Fixed(element, length) => element.head()?.checked_mul(*length).ok_or(AbiError::TooMany),
            Kind::Tuple(members) => members
                .iter()
                .try_fold(0usize, |sum, member| sum.checked_add(member.head()?).ok_or(AbiError::TooMany)),
            _ => Ok(32),
        }
    }
}

fn sequence<'a, 'k>(
    kinds: impl Iterator<Item = &'k Kind>,
    frame: &'a [u8],
    left: &mut usize,
) -> Result<Vec<Value<'a>>, AbiError> {
    let mut values = Vec::new();
    let mut at = 0usize;
    for kind in kinds {
        values.push(if kind.is_dynamic() {
            let offset = length(word(frame, at)?)?;
            value(kind, frame.get(offset..).ok_or(AbiError::Offset)?, left)?
        } else {
            value(kind, frame.get(at..).ok_or(AbiError::Short)?, left)?
        });
        at = at.checked_add(kind.head()?).ok_or(AbiError::Offset)?;
    }
    Ok(values)
}

/// `data` begins where the value does.
fn value<'a>(kind: &Kind, data: &'a [u8], left: &mut usize) -> Result<Value<'a>, AbiError> {
    *left = left.checked_sub(1).ok_or(AbiError::TooMany)?;
    Ok(match kind {
        Kind::Number => Value::Number(U256::from_be_bytes(word(data, 0)?.0)),
        Kind::Bool => Value::Bool(!word(data, 0)?.is_zero()),
        Kind::Address => Value::Address(Address::from_word(word(data, 0)?)),
        Kind::Word => Value::Word(word(data, 0)?),
        Kind::Bytes | Kind::Text => {
            let length = length(word(data, 0)?)?;
            let rest = data.get(32..).ok_or(AbiError::Short)?;
            Value::Bytes(rest.get(..length).ok_or(AbiError::Offset)?)
        }
        Kind::List(element) => {
            let length = length(word(data, 0)?)?;
            if length > *left {
                return Err(AbiError::TooMany);
            }
            let rest = data.get(32..).ok_or(AbiError::Short)?;
            Value::List(sequence(std::iter::repeat_n(&**element, length), rest, left)?)
        }
        Kind::Fixed(element, length) => {
            if *length > *left {
                return Err(AbiError::TooMany);
            }
            Value::List(sequence(std::iter::repeat_n(&**element, *length), data, left)?)
        }
        Kind::Tuple(members) => Value::List(sequence(members.iter(), data, left)?),
    })
}

fn word(data: &[u8], at: usize) -> Result<B256, AbiError> {
    let end = at.checked_add(32).ok_or(AbiError::Short)?;
    data.get(at..end).map(B256::from_slice).ok_or(AbiError::Short)
}

fn length(word: B256) -> Result<usize, AbiError> {
    let number = U256::from_be_bytes(word.0);
    usize::try_from(number).map_err(|_| AbiError::Offset)
}

/// The bytes of `0x…`; white space and a missing prefix are forgiven.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.len() % 2 != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.as_bytes().chunks_exact(2) {
        let mut byte = 0u8;
        for digit in pair {
            byte = byte << 4 | u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        }
        bytes.push(byte);
    }
    Some(bytes)
}

/// `0x` and the digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn selectors_are_those_that_are_known() {
        for (signature, selector) in [
            ("transfer(address,uint256)", "a9059cbb"),
            ("grantRole(bytes32, address)", "2f2ff15d"),
            ("diamondCut((address,uint8,bytes4[])[],address,bytes)", "1f931c1c"),
            ("propose(address[],uint256[],bytes[],string)", "7d5e81e2"),
        ] {
            let function = Function::parse(signature).unwrap();
            assert_eq!(to_hex(&function.selector), format!("0x{selector}"), "{signature}");
        }
    }

    #[test]
    fn what_is_no_signature() {
        for bad in
            ["", "x", "x(", "x(uint257)", "x(bytes33)", "x((address)", "(address)", "x(address))", "x(a b)"]
        {
            assert!(Function::parse(bad).is_err(), "{bad}");
        }
        let deep = format!("x({}uint256{})", "(".repeat(50), ")".repeat(50));
        assert_eq!(Function::parse(&deep), Err(AbiError::TooDeep));
    }

    /// Every offset points to the same list: the values would be a thousand to the third power.
    #[test]
    fn offsets_that_share_what_they_point_to_are_counted() {
        let mut data = Vec::new();
        let push = |n: usize, data: &mut Vec<u8>| data.extend(U256::from(n).to_be_bytes::<32>());
        push(32, &mut data);
        for _ in 0..3 {
            push(1000, &mut data);
            for _ in 0..1000 {
                push(1000 * 32, &mut data);
            }
        }
        data.resize(data.len() + 32 * 2000, 0);
        let function = Function::parse("x(uint256[][][])").unwrap();
        assert_eq!(function.decode(&data), Err(AbiError::TooMany));
    }

    #[test]
    fn dynamic_tuples_in_lists() {
        let function = Function::parse("f((address,bytes)[],uint256)").unwrap();
        let text = "0000000000000000000000000000000000000000000000000000000000000040\
            0000000000000000000000000000000000000000000000000000000000000007\
            0000000000000000000000000000000000000000000000000000000000000001\
            0000000000000000000000000000000000000000000000000000000000000020\
            00000000000000000000000000000000000000000000000000000000000000aa\
            0000000000000000000000000000000000000000000000000000000000000040\
            0000000000000000000000000000000000000000000000000000000000000002\
            1234000000000000000000000000000000000000000000000000000000000000";
        let data = hex(text).unwrap();
        let values = function.decode(&data).unwrap();
        let pair = values.first().unwrap().list().first().unwrap().list();
        assert_eq!(pair.get(1).unwrap().bytes(), Some(&[0x12, 0x34][..]));
        assert_eq!(values.get(1).unwrap().number(), Some(U256::from(7)));
    }
}
