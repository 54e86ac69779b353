//! A wallet request in any form that it has on its way: JSON-RPC, typed data, a transaction, its raw bytes, a test vector.

use muster_web3::abi;
use muster_web3::alloy_primitives::{Address, U256};
use serde_json::Value;

/// What one file may ask for: batches of wallets have some ten.
pub const REQUESTS_MAX: usize = 10_000;
/// Boxes in boxes: a batch of JSON-RPC in a record with its origin has three.
const NESTING_MAX: usize = 6;

/// One thing that a wallet is asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub asked: Asked,
    /// The page that asks, where it is known.
    pub origin: Option<String>,
    /// What a simulation said that it does: amounts with their sign.
    pub outcome: Vec<Change>,
    /// The one who spends was seen to have no code: a person's account.
    pub spender_is_account: bool,
}

#[derive(Clone, Debug)]
pub struct Change {
    pub asset: String,
    pub gains: bool,
}

#[derive(Clone, Debug)]
pub enum Asked {
    Transaction(Transaction),
    Typed(Value),
    /// `personal_sign`: the text, or what is no text.
    Message(Vec<u8>),
    /// `eth_sign`: a hash, of whatever.
    Hash,
    /// A method that signs nothing.
    Other(String),
}

#[derive(Clone, Debug, Default)]
pub struct Transaction {
    pub to: Option<Address>,
    pub value: U256,
    pub data: Vec<u8>,
    /// EIP-7702: to whom an account's code is given, on which chain (0: on all).
    pub authorizations: Vec<(Address, U256)>,
}

/// All requests of a text.
pub fn read(text: &str) -> Result<Vec<Request>, String> {
    let text = text.trim();
    if text.starts_with("0x") {
        return Ok(vec![raw(text).map(|t| plain(Asked::Transaction(t)))?]);
    }
    let value: Value = serde_json::from_str(text).map_err(|e| format!("no JSON: {e}"))?;
    let mut found = Vec::new();
    collect(&value, &Shared::default(), 0, &mut found)?;
    if found.is_empty() {
        return Err("no request of a wallet in it".to_owned());
    }
    Ok(found)
}

#[derive(Clone, Default)]
struct Shared {
    origin: Option<String>,
    outcome: Vec<Change>,
    spender_is_account: bool,
}

fn plain(asked: Asked) -> Request {
    Request { asked, origin: None, outcome: Vec::new(), spender_is_account: false }
}

fn collect(value: &Value, shared: &Shared, depth: usize, into: &mut Vec<Request>) -> Result<(), String> {
    if depth > NESTING_MAX {
        return Err("nested too deeply".to_owned());
    }
    if into.len() >= REQUESTS_MAX {
        return Err(format!("more than {REQUESTS_MAX} requests"));
    }
    if let Some(all) = value.as_array() {
        return all.iter().try_for_each(|one| collect(one, shared, depth + 1, into));
    }
    let Some(object) = value.as_object() else {
        return match value.as_str().filter(|s| s.starts_with("0x")) {
            Some(text) => {
                into.push(with(Asked::Transaction(raw(text)?), shared));
                Ok(())
            }
            None => Err("no request of a wallet".to_owned()),
        };
    };
    let mut shared = shared.clone();
    if let Some(origin) = ["origin", "url", "host", "site"].iter().find_map(|k| object.get(*k)?.as_str()) {
        shared.origin = Some(origin.to_owned());
    }
    if let Some(outcome) = ["simulation", "outcome", "balanceChanges"].iter().find_map(|k| object.get(*k)) {
        shared.outcome = changes(outcome);
    }
    if object.get("spenderIsContract").and_then(Value::as_bool) == Some(false) {
        shared.spender_is_account = true;
    }
    if let Some(method) = object.get("method").and_then(Value::as_str) {
        let none = Value::Null;
        return rpc(method, object.get("params").unwrap_or(&none), &shared, depth, into);
    }
    if object.contains_key("primaryType") || (object.contains_key("domain") && object.contains_key("message"))
    {
        into.push(with(Asked::Typed(value.clone()), &shared));
        return Ok(());
    }
    if let Some(text) = ["rawTx", "raw", "serialized"].iter().find_map(|k| object.get(*k)?.as_str()) {
        into.push(with(Asked::Transaction(raw(text)?), &shared));
        return Ok(());
    }
    if object.contains_key("to")
        || object.get("data").is_some_and(Value::is_string)
        || object.contains_key("authorizationList")
    {
        into.push(with(Asked::Transaction(transaction(value)), &shared));
        return Ok(());
    }
    for key in ["request", "tests", "requests", "typedData", "transaction", "tx", "calls", "data", "payload"]
    {
        if let Some(inner) = object.get(key).filter(|v| v.is_object() || v.is_array()) {
            return collect(inner, &shared, depth + 1, into);
        }
    }
    Err("no request of a wallet".to_owned())
}

fn with(asked: Asked, shared: &Shared) -> Request {
    let Shared { origin, outcome, spender_is_account } = shared.clone();
    Request { asked, origin, outcome, spender_is_account }
}

fn rpc(
    method: &str,
    params: &Value,
    shared: &Shared,
    depth: usize,
    into: &mut Vec<Request>,
) -> Result<(), String> {
    let first = params.get(0).unwrap_or(params);
    let asked = match method {
        "eth_sendTransaction" | "eth_signTransaction" => Asked::Transaction(transaction(first)),
        "eth_sendRawTransaction" => Asked::Transaction(raw(first.as_str().unwrap_or_default())?),
        "wallet_sendCalls" => {
            let Some(calls) = first.get("calls") else { return Err("no calls".to_owned()) };
            return collect(calls, shared, depth + 1, into);
        }
        "eth_signTypedData" | "eth_signTypedData_v3" | "eth_signTypedData_v4" => {
            let typed = params.as_array().into_iter().flatten().find_map(|p| match p {
                Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
                Value::Object(_) => Some(p.clone()),
                _ => None,
            });
            match typed {
                Some(typed) => Asked::Typed(typed),
                None => Asked::Other(method.to_owned()),
            }
        }
        "eth_sign" => Asked::Hash,
        "personal_sign" => {
            // Both orders are met: the message is what is no address.
            let texts: Vec<&str> =
                params.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let text = texts.iter().find(|t| address(t).is_none()).copied().unwrap_or_default();
            Asked::Message(abi::hex(text).filter(|_| text.starts_with("0x")).unwrap_or_else(|| text.into()))
        }
        other => Asked::Other(other.to_owned()),
    };
    into.push(with(asked, shared));
    Ok(())
}

fn transaction(value: &Value) -> Transaction {
    let data = ["data", "input"].iter().find_map(|k| value.get(*k)?.as_str()).and_then(abi::hex);
    let listed = value.get("authorizationList").and_then(Value::as_array);
    Transaction {
        to: value.get("to").and_then(Value::as_str).and_then(address),
        value: value.get("value").and_then(number).unwrap_or_default(),
        data: data.unwrap_or_default(),
        authorizations: listed
            .into_iter()
            .flatten()
            .filter_map(|a| {
                let to = ["address", "contractAddress"].iter().find_map(|k| address(a.get(*k)?.as_str()?))?;
                Some((to, a.get("chainId").and_then(number).unwrap_or_default()))
            })
            .take(REQUESTS_MAX)
            .collect(),
    }
}

fn changes(value: &Value) -> Vec<Change> {
    let list = value.as_array().or_else(|| {
        ["changes", "balanceChanges", "assetChanges"].iter().find_map(|k| value.get(*k)?.as_array())
    });
    let mut found = Vec::new();
    for change in list.into_iter().flatten().take(REQUESTS_MAX) {
        let text = |k: &str| change.get(k).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        let amount = ["change", "amount", "delta", "diff"].iter().find_map(|k| text(k)).unwrap_or_default();
        let asset = ["asset", "token", "symbol"].iter().find_map(|k| text(k)).unwrap_or_default();
        let out = amount.starts_with('-') || text("direction").is_some_and(|d| d == "out");
        found.push(Change { asset, gains: !out });
    }
    found
}

#[must_use]
pub fn address(text: &str) -> Option<Address> {
    let bytes = abi::hex(text.trim()).filter(|_| text.trim().starts_with("0x"))?;
    (bytes.len() == 20).then(|| Address::from_slice(&bytes))
}

/// A number as JSON has it: itself, decimal or `0x…`.
#[must_use]
pub fn number(value: &Value) -> Option<U256> {
    match value {
        Value::Number(n) => match n.as_u64() {
            Some(n) => Some(U256::from(n)),
            None => n
                .as_f64()
                .filter(|f| *f >= 0.0)
                .map(|f| if f >= 1e38 { U256::MAX } else { U256::from(f as u128) }),
        },
        Value::String(text) => {
            let text = text.trim();
            match text.strip_prefix("0x") {
                Some("") => Some(U256::ZERO),
                Some(hex) => U256::from_str_radix(hex, 16).ok(),
                None => U256::from_str_radix(text, 10).ok(),
            }
        }
        Value::Bool(yes) => Some(U256::from(u8::from(*yes))),
        _ => None,
    }
}

/// A raw transaction: legacy, or of type 1, 2 or 4, signed or not.
fn raw(text: &str) -> Result<Transaction, String> {
    let bytes = abi::hex(text).ok_or("no hexadecimal")?;
    let bad = || "no transaction that can be read".to_owned();
    let (kind, rlp) = match bytes.first() {
        Some(kind @ 1..=4) => (*kind, bytes.get(1..).unwrap_or_default()),
        Some(0xc0..) => (0, bytes.as_slice()),
        _ => return Err(bad()),
    };
    let (list, _) = item(rlp).ok_or_else(bad)?;
    let Item::List(mut rest) = list else { return Err(bad()) };
    let mut fields = Vec::new();
    while let Some((field, left)) = item(rest).filter(|_| fields.len() < 16) {
        fields.push(field);
        rest = left;
    }
    // Where the receiver stands: after nonce and price(s), the gas, and the chain where there is a type.
    let at = match kind {
        0 => 3,
        1 => 4,
        _ => 5,
    };
    let bytes_at = |at: usize| match fields.get(at) {
        Some(Item::Bytes(bytes)) => Ok(*bytes),
        _ => Err(bad()),
    };
    let to = bytes_at(at)?;
    let value = bytes_at(at + 1)?;
    let mut made = Transaction {
        to: (to.len() == 20).then(|| Address::from_slice(to)),
        value: U256::try_from_be_slice(value).ok_or_else(bad)?,
        data: bytes_at(at + 2)?.to_vec(),
        authorizations: Vec::new(),
    };
    if let (4, Some(Item::List(all))) = (kind, fields.get(at + 4)) {
        let mut all = *all;
        while let Some((Item::List(inner), left)) =
            item(all).filter(|_| made.authorizations.len() < REQUESTS_MAX)
        {
            if let Some((Item::Bytes(chain), after)) = item(inner)
                && let Some((Item::Bytes(to), _)) = item(after)
                && to.len() == 20
            {
                let chain = U256::try_from_be_slice(chain).unwrap_or_default();
                made.authorizations.push((Address::from_slice(to), chain));
            }
            all = left;
        }
    }
    Ok(made)
}

#[derive(Clone, Copy, Debug)]
enum Item<'a> {
    Bytes(&'a [u8]),
    List(&'a [u8]),
}

/// The first item of RLP, and what is after it.
fn item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let long = |n: u8| {
        let (length, rest) = rest.split_at_checked(usize::from(n))?;
        let length =
            length.iter().try_fold(0usize, |l, b| l.checked_mul(256)?.checked_add(usize::from(*b)))?;
        rest.split_at_checked(length)
    };
    Some(match first {
        0..=0x7f => (Item::Bytes(bytes.get(..1)?), rest),
        0x80..=0xb7 => {
            let (body, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (Item::Bytes(body), rest)
        }
        0xb8..=0xbf => {
            let (body, rest) = long(first - 0xb7)?;
            (Item::Bytes(body), rest)
        }
        0xc0..=0xf7 => {
            let (body, rest) = rest.split_at_checked(usize::from(first - 0xc0))?;
            (Item::List(body), rest)
        }
        _ => {
            let (body, rest) = long(first - 0xf7)?;
            (Item::List(body), rest)
        }
    })
}
