//! OpenGov (Polkadot, Kusama): a referendum with its call, as explorers decode it. A preimage that is not there cannot be
//! checked, and is said to be so.

use serde_json::{Map, Value as Json};

use super::{JSON_DEPTH_MAX, whole};
use crate::Party;
use crate::effect::{Act, Effect, Power, Seen};

/// More than a block's weight lets a batch hold.
const CALLS_MAX: usize = 5_000;

pub fn read(object: &Map<String, Json>, unseen: &mut Vec<String>) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut calls = 0;
    let preimage =
        ["preimage", "call", "proposedCall", "preimageCall"].iter().find_map(|name| object.get(*name));
    if let Some(proposal) = object.get("proposal") {
        if let Some(lookup) = proposal.get("Lookup") {
            match preimage {
                None | Some(Json::Null) => {
                    unseen.push("the preimage is missing: what is called cannot be seen".to_owned())
                }
                Some(preimage) => {
                    let told = lookup.get("len").and_then(Json::as_u64);
                    let bytes = preimage.as_str().or_else(|| preimage.get("bytes").and_then(Json::as_str));
                    let length = bytes.map(|hex| (hex.trim_start_matches("0x").len() / 2) as u64);
                    let length = length.or_else(|| preimage.get("len").and_then(Json::as_u64));
                    if let (Some(told), Some(length)) = (told, length)
                        && told != length
                    {
                        unseen.push(format!("the preimage has {length} bytes, the referendum says {told}"));
                    }
                }
            }
        } else {
            walk(proposal, "call", 0, &mut calls, &mut effects);
        }
    }
    if let Some(preimage) = preimage.filter(|preimage| preimage.is_object()) {
        walk(preimage, "call", 0, &mut calls, &mut effects);
    }
    effects
}

fn walk(json: &Json, path: &str, depth: usize, calls: &mut usize, effects: &mut Vec<Effect>) {
    *calls += 1;
    if depth > JSON_DEPTH_MAX || *calls > CALLS_MAX {
        return;
    }
    match json {
        Json::Array(list) => {
            for (at, call) in list.iter().enumerate() {
                walk(call, &format!("{path} {}", at + 1), depth + 1, calls, effects);
            }
        }
        Json::Object(object) => {
            let word =
                |names: &[&str]| names.iter().find_map(|name| object.get(*name).and_then(Json::as_str));
            let Some(method) = word(&["method", "call_name", "name"]) else {
                for inner in object.values().filter(|value| value.is_object() || value.is_array()) {
                    walk(inner, path, depth + 1, calls, effects);
                }
                return;
            };
            let section = word(&["section", "pallet", "call_module", "module"]).unwrap_or_default();
            let empty = Json::Null;
            let arguments = object.get("args").or_else(|| object.get("params")).unwrap_or(&empty);
            let path = format!("{path} > {section}.{method}");
            effects.extend(effect(section, method, arguments, &path));
            for inner in
                ["calls", "call", "proposal", "message"].iter().filter_map(|name| arguments.get(*name))
            {
                walk(inner, &path, depth + 1, calls, effects);
            }
        }
        _ => {}
    }
}

fn effect(section: &str, method: &str, arguments: &Json, path: &str) -> Option<Effect> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "");
    let (section, method) = (plain(section), plain(method));
    let who = ["beneficiary", "dest", "target", "who", "new", "delegate"]
        .iter()
        .find_map(|name| account(arguments.get(*name)?, 0));
    let amount =
        ["amount", "value", "newFree", "new_free"].iter().find_map(|name| whole(arguments.get(*name)?));
    let (act, power) = match (section.as_str(), method.as_str()) {
        (
            "system",
            "setcode"
            | "setcodewithoutchecks"
            | "authorizeupgrade"
            | "authorizeupgradewithoutchecks"
            | "applyauthorizedupgrade",
        )
        | ("parachainsystem", "authorizeupgrade" | "enactauthorizedupgrade") => {
            (Act::Upgrade, Power::Control)
        }
        ("system", "setstorage" | "killstorage" | "killprefix") => (Act::Parameter, Power::Control),
        ("treasury" | "bounties" | "childbounties", m)
            if m.starts_with("spend") || m.starts_with("propose") || m.starts_with("approve") =>
        {
            (Act::Move, Power::Value)
        }
        ("balances" | "assets", m) if m.contains("transfer") => (Act::Move, Power::Value),
        ("balances" | "assets", "forcesetbalance" | "setbalance" | "mint") => (Act::Mint, Power::Value),
        ("sudo", "setkey") => (Act::Own, Power::Control),
        ("proxy", "addproxy") => (Act::Grant, Power::Control),
        ("proxy", "removeproxy" | "removeproxies") => (Act::Revoke, Power::None),
        ("xcmpallet" | "polkadotxcm", _) => (Act::Bridge, Power::None),
        ("utility" | "whitelist" | "sudo" | "scheduler" | "proxy", _) => return None,
        ("fellowshipcollective", "promotemember" | "addmember") => (Act::Grant, Power::Lesser),
        ("staking" | "configuration" | "parameters", _) => (Act::Parameter, Power::Lesser),
        ("convictionvoting" | "referenda", _) => (Act::Parameter, Power::Rules),
        _ => (Act::Call, Power::None),
    };
    Some(Effect {
        act,
        on: if act == Act::Move { Party::coin() } else { Party::named(&section) },
        who,
        what: format!("{section}.{method}"),
        amount,
        power,
        chain: Some("Polkadot".to_owned()),
        path: path.to_owned(),
        seen: Seen::Decoded,
    })
}

/// `"1abc"`, `{Id: "1abc"}`, `{V3: {…: {id: "0x…"}}}`.
fn account(json: &Json, depth: usize) -> Option<Party> {
    if depth > JSON_DEPTH_MAX {
        return None;
    }
    match json {
        Json::String(text) if text.len() >= 32 => Some(Party::named(text)),
        Json::Object(object) => object.values().find_map(|inner| account(inner, depth + 1)),
        Json::Array(list) => list.iter().find_map(|inner| account(inner, depth + 1)),
        _ => None,
    }
}
