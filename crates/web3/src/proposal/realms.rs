//! Realms (Solana): a proposal's options with their instructions. What an instruction does is told by its program and the
//! first bytes of its data.

use alloy_primitives::U256;
use serde_json::{Map, Value as Json};

use crate::effect::{Act, Effect, Power, Seen};
use crate::{Party, abi};

/// More than a proposal of Realms can hold.
const INSTRUCTIONS_MAX: usize = 1_000;

const SYSTEM: &str = "11111111111111111111111111111111";
const TOKENS: [&str; 2] =
    ["TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"];
const LOADER: &str = "BPFLoaderUpgradeab1e11111111111111111111111";
const GOVERNANCE: &str = "GovER5Lthms3bLBqWub97yVrMmEogzX7xNjdXpPPCVZw";

pub fn read(object: &Map<String, Json>) -> Vec<Effect> {
    let mut instructions: Vec<&Json> = Vec::new();
    for options in [object.get("options"), object.get("instructions")] {
        for entry in options.and_then(Json::as_array).into_iter().flatten() {
            match ["instructions", "transactions"].iter().find_map(|name| entry.get(*name)?.as_array()) {
                Some(list) => instructions.extend(list.iter().flat_map(|entry| {
                    entry
                        .get("instructions")
                        .and_then(Json::as_array)
                        .map_or(vec![entry], |list| list.iter().collect())
                })),
                None => instructions.push(entry),
            }
        }
    }
    instructions.truncate(INSTRUCTIONS_MAX);
    instructions.iter().enumerate().filter_map(|(at, json)| instruction(at, json.as_object()?)).collect()
}

fn instruction(at: usize, json: &Map<String, Json>) -> Option<Effect> {
    let program = ["programId", "program_id", "program"].iter().find_map(|name| json.get(*name)?.as_str())?;
    let accounts: Vec<&str> = json
        .get("accounts")
        .or_else(|| json.get("keys"))
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|account| account.as_str().or_else(|| account.get("pubkey").and_then(Json::as_str)))
        .take(64)
        .collect();
    let data = json.get("data").map(bytes).unwrap_or_default();
    let account = |at: usize| accounts.get(at).map(|account| Party::named(account));
    let small = |from: usize| {
        let bytes = data.get(from..from + 8)?;
        Some(U256::from_le_slice(bytes))
    };
    let tag = u32::from_le_bytes(data.first_chunk().copied().unwrap_or_default());
    let first = data.first().copied();
    let (act, power, what, who, amount) = if program == SYSTEM {
        match tag {
            2 => (Act::Move, Power::Value, "coin", account(1), small(4)),
            1 => (Act::Own, Power::Lesser, "assign", account(0), None),
            _ => (Act::Create, Power::None, "account", account(1), None),
        }
    } else if TOKENS.contains(&program) {
        match first {
            Some(3) => (Act::Move, Power::Value, "transfer", account(1), small(1)),
            Some(12) => (Act::Move, Power::Value, "transferChecked", account(2), small(1)),
            Some(4 | 13) => (Act::Allow, Power::Value, "approve", account(1), small(1)),
            Some(6) => (Act::Own, Power::Control, "setAuthority", authority(&data), None),
            Some(7 | 14) => (Act::Mint, Power::Value, "mintTo", account(1), small(1)),
            Some(8 | 15) => (Act::Burn, Power::None, "burn", account(0), small(1)),
            Some(9) => (Act::Move, Power::Lesser, "closeAccount", account(1), None),
            _ => (Act::Call, Power::None, "token instruction", None, None),
        }
    } else if program == LOADER {
        match tag {
            3 => (Act::Upgrade, Power::Control, "program", account(2), None),
            4 | 7 => (Act::Own, Power::Control, "upgrade authority", account(2), None),
            5 => (Act::Destroy, Power::Control, "close", account(1), None),
            _ => (Act::Call, Power::None, "loader instruction", None, None),
        }
    } else if program == GOVERNANCE {
        match first {
            Some(19 | 22) => (Act::Parameter, Power::Rules, "governance configuration", None, None),
            Some(21) => (Act::Own, Power::Control, "realm authority", account(2), None),
            _ => (Act::Call, Power::None, "governance instruction", None, None),
        }
    } else {
        (Act::Call, Power::None, "instruction", None, None)
    };
    Some(Effect {
        act,
        on: if program == SYSTEM { Party::coin() } else { Party::named(program) },
        who,
        what: what.to_owned(),
        amount,
        power,
        chain: Some("Solana".to_owned()),
        path: format!("instruction {}", at + 1),
        seen: Seen::Decoded,
    })
}

/// The new authority is in the data, as a key.
fn authority(data: &[u8]) -> Option<Party> {
    let key = data.get(3..35)?;
    Some(Party::named(&base58(key)))
}

/// Hexadecimal, base64 or a list of numbers.
fn bytes(json: &Json) -> Vec<u8> {
    match json {
        Json::Array(list) => {
            let byte = |n: &Json| n.as_u64().and_then(|n| u8::try_from(n).ok());
            list.iter().take(4096).map_while(byte).collect()
        }
        Json::String(text) if text.starts_with("0x") => abi::hex(text).unwrap_or_default(),
        Json::String(text) => base64(text),
        _ => Vec::new(),
    }
}

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes().take(8192) {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        held = (held << 6 | u32::from(six)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    out
}

fn base58(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut digits: Vec<u8> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let letter = |digit: &u8| LETTERS.get(usize::from(*digit)).copied().map_or('1', char::from);
    std::iter::repeat_n('1', zeros).chain(digits.iter().rev().map(letter)).collect()
}
