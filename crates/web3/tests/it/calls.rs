//! Calldata for tests: a signature and words.

use muster_web3::abi::{Function, hex, to_hex};
use serde_json::{Value, json};

pub const A: &str = "0x91c32893216de3ea0a55abb9851f581d4503d39b";
pub const B: &str = "0x2f5e3c8dbb1a4c7790d2a85b6fca3e90d1c77a41";
pub const C: &str = "0x7d1afa7b718fb893db30a3abc0cfc608aacfebb0";
pub const TOKEN: &str = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48";

/// A word: an address, a number, or 32 bytes.
pub fn word(text: &str) -> Vec<u8> {
    let bytes = match text.strip_prefix("0x") {
        Some(_) => hex(text).unwrap(),
        None => text.parse::<u128>().unwrap().to_be_bytes().to_vec(),
    };
    let mut word = vec![0; 32 - bytes.len()];
    word.extend(bytes);
    word
}

/// `call("transfer(address,uint256)", &[A, "5"])`; static arguments only.
pub fn call(signature: &str, words: &[&str]) -> String {
    let mut data = Function::parse(signature).unwrap().selector.to_vec();
    words.iter().for_each(|text| data.extend(word(text)));
    to_hex(&data)
}

/// A call with one `bytes` argument at the end of its head.
pub fn carrying(signature: &str, before: &[&str], inner: &str, after: &[&str]) -> String {
    let mut data = Function::parse(signature).unwrap().selector.to_vec();
    before.iter().for_each(|text| data.extend(word(text)));
    data.extend(word(&((before.len() + after.len() + 1) * 32).to_string()));
    after.iter().for_each(|text| data.extend(word(text)));
    let inner = hex(inner).unwrap();
    data.extend(word(&inner.len().to_string()));
    data.extend(&inner);
    data.resize(data.len() + (32 - inner.len() % 32) % 32, 0);
    to_hex(&data)
}

pub fn role(name: &str) -> String {
    to_hex(muster_web3::alloy_primitives::keccak256(name).as_slice())
}

pub fn proposal(text: &str, calls: &[(&str, String)]) -> Value {
    json!({
        "description": text,
        "targets": calls.iter().map(|(to, _)| *to).collect::<Vec<_>>(),
        "values": vec!["0"; calls.len()],
        "calldatas": calls.iter().map(|(_, data)| data.clone()).collect::<Vec<_>>(),
    })
}
