//! What an agent does that is governance: the proposal or vote in a tool call, a request's body or a command line.
//! Only the reading: what a finding makes of it is the engine's.

use serde_json::Value as Json;

use crate::{Checked, abi, judge, proposal, unwrap};

/// Of a call's text. A proposal is smaller; what is longer is not looked through.
pub const CALL_MAX: usize = 4 << 20;
/// Proposals of one call.
const FOUND_MAX: usize = 16;
const DEPTH_MAX: usize = 12;

/// The checks of all that a call proposes or sends: JSON anywhere in it, and calldata of `propose`.
#[must_use]
pub fn checks_of(text: &str) -> Vec<Checked> {
    let mut found = Vec::new();
    if text.len() > CALL_MAX {
        return found;
    }
    if let Ok(json) = serde_json::from_str::<Json>(text) {
        walk(&json, 0, &mut found);
    } else if let (Some(from), Some(to)) = (text.find('{'), text.rfind('}'))
        && let Some(Ok(json)) = text.get(from..=to).map(serde_json::from_str::<Json>)
    {
        walk(&json, 0, &mut found);
    } else {
        words(text, &mut found);
    }
    found
}

fn walk(json: &Json, depth: usize, found: &mut Vec<Checked>) {
    if depth > DEPTH_MAX || found.len() >= FOUND_MAX {
        return;
    }
    match json {
        Json::Object(object) => {
            let is_proposal = object.contains_key("targets")
                && (object.contains_key("calldatas") || object.contains_key("signatures"));
            if is_proposal && let Ok(read) = proposal::one(json, true) {
                found.push(judge::proposal("proposal", &read, &[]));
                return;
            }
            object.values().for_each(|inner| walk(inner, depth + 1, found));
        }
        Json::Array(list) => list.iter().for_each(|inner| walk(inner, depth + 1, found)),
        // A body in a body, or a command line.
        Json::String(text) if text.contains('{') => match serde_json::from_str::<Json>(text) {
            Ok(inner) => walk(&inner, depth + 1, found),
            Err(_) => words(text, found),
        },
        Json::String(text) => words(text, found),
        _ => {}
    }
}

/// Calldata of `propose` (Governor and Bravo) among the words.
fn words(text: &str, found: &mut Vec<Checked>) {
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let is_propose = word.starts_with("0x7d5e81e2") || word.starts_with("0xda95691a");
        if !is_propose || found.len() >= FOUND_MAX {
            continue;
        }
        let Some(data) = abi::hex(word) else { continue };
        if let Some(read) = proposed(&data) {
            found.push(judge::proposal("proposal", &read, &[]));
        }
    }
}

fn proposed(data: &[u8]) -> Option<proposal::Proposal> {
    let (selector, arguments) = data.split_first_chunk::<4>()?;
    let signature = match selector {
        [0x7d, 0x5e, 0x81, 0xe2] => "propose(address[],uint256[],bytes[],string)",
        [0xda, 0x95, 0x69, 0x1a] => "propose(address[],uint256[],string[],bytes[],string)",
        _ => return None,
    };
    let values = abi::Function::parse(signature).ok()?.decode(arguments).ok()?;
    let last = values.last()?.bytes()?;
    let list = |at: usize| values.get(at).map(abi::Value::list).unwrap_or_default();
    let (signatures, datas) = if values.len() == 5 { (list(2), list(3)) } else { (&[][..], list(2)) };
    let calls = list(0).iter().enumerate().take(unwrap::CALLS_MAX).filter_map(|(at, target)| {
        Some(unwrap::Call {
            to: crate::Party::from(target.address()?),
            value: list(1).get(at).and_then(abi::Value::number).unwrap_or_default(),
            data: datas.get(at).and_then(abi::Value::bytes).unwrap_or_default().to_vec(),
            signature: signatures
                .get(at)
                .and_then(abi::Value::bytes)
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .unwrap_or_default(),
            delegate: false,
            chain: None,
        })
    });
    Some(proposal::Proposal {
        text: Some(String::from_utf8_lossy(last).into_owned()),
        calls: calls.collect(),
        ..proposal::Proposal::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_within_a_tool_call() {
        let inner = r#"{"description":"","targets":["0x91c32893216de3ea0a55abb9851f581d4503d39b"],"values":[0],"calldatas":["0xf2fde38b0000000000000000000000002f5e3c8dbb1a4c7790d2a85b6fca3e90d1c77a41"]}"#;
        let outer = serde_json::json!({"tool": "bash", "input": {"body": inner}}).to_string();
        for text in [inner, &outer, &format!("curl -d '{inner}' http://localhost")] {
            let checks = checks_of(text);
            assert_eq!(checks.len(), 1, "{text}");
            assert!(checks.iter().all(|check| check.verdict == crate::Verdict::High), "{checks:#?}");
        }
        assert!(checks_of("ls -la").is_empty() && checks_of("{\"a\": [1, 2]}").is_empty());
    }
}
