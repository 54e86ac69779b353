//! Where the usual exports keep text and calls: Governor, Governor Bravo, Aave payloads, Tally, Snapshot with SafeSnap.

use alloy_primitives::U256;
use serde_json::{Map, Value as Json};

use super::{JSON_DEPTH_MAX, ProposalError, whole};
use crate::unwrap::{CALLS_MAX, Call};
use crate::{Party, abi};

/// What holds the proposal within an answer of an API.
pub fn inner(json: &Json) -> Option<&Map<String, Json>> {
    let mut object = json.as_object()?;
    for _ in 0..JSON_DEPTH_MAX {
        let next = ["data", "proposal", "referendum", "payload", "args", "params"].iter().find_map(|name| {
            let inner = object.get(*name)?.as_object()?;
            // OpenGov's `proposal` is what is called, not what is proposed.
            let is_call =
                inner.contains_key("Lookup") || inner.contains_key("Inline") || inner.contains_key("section");
            (!is_call && !has_own(object)).then_some(inner)
        });
        match next {
            Some(inner) => object = inner,
            None => break,
        }
    }
    Some(object)
}

fn has_own(object: &Map<String, Json>) -> bool {
    [
        "description",
        "targets",
        "calldatas",
        "body",
        "title",
        "actions",
        "calls",
        "executableCalls",
        "options",
        "track",
    ]
    .iter()
    .any(|name| object.contains_key(*name))
}

pub fn id(object: &Map<String, Json>) -> Option<String> {
    ["id", "proposalId", "proposal_id", "index", "payloadId", "number"].iter().find_map(|name| {
        match object.get(*name)? {
            Json::String(text) => Some(text.chars().take(100).collect()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        }
    })
}

/// Title and text; `None` where the form has neither.
pub fn text(object: &Map<String, Json>) -> Option<String> {
    let get = |names: &[&str]| names.iter().find_map(|name| object.get(*name).and_then(Json::as_str));
    let title = get(&["title", "name"]);
    let body = get(&["description", "body", "text", "content", "descriptionText", "markdown"]);
    match (title, body) {
        (None, None) => None,
        (Some(title), None) => Some(title.to_owned()),
        (None, Some(body)) => Some(body.to_owned()),
        (Some(title), Some(body))
            if body.trim_start().trim_start_matches('#').trim_start().starts_with(title) =>
        {
            Some(body.to_owned())
        }
        (Some(title), Some(body)) => Some(format!("# {title}\n\n{body}")),
    }
}

pub fn calls(object: &Map<String, Json>) -> Result<Vec<Call>, ProposalError> {
    if let Some(targets) = object.get("targets").and_then(Json::as_array) {
        return governor(object, targets);
    }
    let mut calls = Vec::new();
    for name in ["executableCalls", "calls", "actions", "transactions", "executions", "txs"] {
        if let Some(list) = object.get(name).and_then(Json::as_array) {
            for entry in list.iter().take(CALLS_MAX) {
                // OpenGov's and Realms' own calls are read elsewhere.
                if let Some(entry) = entry.as_object()
                    && let Some(call) = call(entry)?
                {
                    calls.push(call);
                }
            }
        }
    }
    // SafeSnap: batches of transactions in Snapshot's plug-ins.
    if let Some(plugins) = object.get("plugins") {
        let parsed;
        let plugins = match plugins {
            Json::String(text) => {
                parsed = serde_json::from_str(text).unwrap_or(Json::Null);
                &parsed
            }
            other => other,
        };
        transactions(plugins, 0, &mut calls)?;
    }
    Ok(calls)
}

fn governor(object: &Map<String, Json>, targets: &[Json]) -> Result<Vec<Call>, ProposalError> {
    let list = |names: &[&str]| names.iter().find_map(|name| object.get(*name).and_then(Json::as_array));
    let values = list(&["values", "_values"]);
    let data = list(&["calldatas", "calldata", "callDatas", "datas", "data"]);
    let signatures = list(&["signatures"]);
    let expected = targets.len();
    for (name, found) in [("values", values), ("calldatas", data), ("signatures", signatures)] {
        if let Some(found) = found.map(Vec::len)
            && found != expected
            && !(found == 0 && name != "calldatas")
        {
            return Err(ProposalError::Lengths { name, found, expected });
        }
    }
    let mut calls = Vec::new();
    for (at, target) in targets.iter().enumerate().take(CALLS_MAX) {
        let value = values.and_then(|list| list.get(at));
        calls.push(Call {
            to: party("targets", target)?,
            value: value.map_or(Ok(U256::ZERO), |value| number("values", value))?,
            data: data
                .and_then(|list| list.get(at))
                .map_or(Ok(Vec::new()), |data| bytes("calldatas", data))?,
            signature: signatures
                .and_then(|list| list.get(at))
                .and_then(Json::as_str)
                .unwrap_or_default()
                .trim()
                .to_owned(),
            delegate: false,
            chain: None,
        });
    }
    Ok(calls)
}

/// `{to, value, data}` under its many names; `None` where it is something else.
fn call(entry: &Map<String, Json>) -> Result<Option<Call>, ProposalError> {
    let get = |names: &[&str]| names.iter().find_map(|name| entry.get(*name));
    let Some(target) = get(&["target", "to", "address", "targetAddress"]).filter(|target| target.is_string())
    else {
        return Ok(None);
    };
    let yes = get(&["withDelegateCall", "withDelegatecall", "delegatecall", "delegate"]);
    let operation =
        entry.get("operation").and_then(whole).is_some_and(|operation| operation == U256::from(1));
    let chain = get(&["chain", "chainId"]).and_then(|chain| match chain {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(format!("chain {number}")),
        _ => None,
    });
    let data = get(&["calldata", "callData", "data", "calldatas"]);
    Ok(Some(Call {
        to: party("target", target)?,
        value: get(&["value", "amount"]).map_or(Ok(U256::ZERO), |value| number("value", value))?,
        data: data.map_or(Ok(Vec::new()), |data| bytes("calldata", data))?,
        signature: get(&["signature"]).and_then(Json::as_str).unwrap_or_default().trim().to_owned(),
        delegate: operation || yes.and_then(Json::as_bool).unwrap_or(false),
        chain,
    }))
}

fn transactions(json: &Json, depth: usize, into: &mut Vec<Call>) -> Result<(), ProposalError> {
    if depth > JSON_DEPTH_MAX || into.len() >= CALLS_MAX {
        return Ok(());
    }
    match json {
        Json::Array(list) => list.iter().try_for_each(|entry| transactions(entry, depth + 1, into)),
        Json::Object(object) => match call(object)? {
            Some(call) => {
                into.push(call);
                Ok(())
            }
            // SafeSnap repeats a batch: once as it will be sent, once for people.
            None => match object.get("mainTransaction").filter(|main| main.is_object()) {
                Some(main) => transactions(main, depth + 1, into),
                None => object.values().try_for_each(|entry| transactions(entry, depth + 1, into)),
            },
        },
        _ => Ok(()),
    }
}

fn shown(json: &Json) -> String {
    json.to_string().chars().take(80).collect()
}

fn party(name: &'static str, json: &Json) -> Result<Party, ProposalError> {
    let read = json.as_str().and_then(Party::read);
    read.ok_or_else(|| ProposalError::Field { name, found: shown(json), wanted: "address" })
}

fn number(name: &'static str, json: &Json) -> Result<U256, ProposalError> {
    whole(json).ok_or_else(|| ProposalError::Field { name, found: shown(json), wanted: "number" })
}

fn bytes(name: &'static str, json: &Json) -> Result<Vec<u8>, ProposalError> {
    let read = match json {
        Json::Null => Some(Vec::new()),
        Json::String(text) => abi::hex(text),
        _ => None,
    };
    read.ok_or_else(|| ProposalError::Field { name, found: shown(json), wanted: "hexadecimal string" })
}
