//! EIP-712 data: permissions and orders that are signed without a transaction.

use muster_web3::alloy_primitives::{Address, U256};
use serde_json::Value;

use super::effect::{EFFECTS_MAX, Effect, much, who};

pub fn effects(typed: &Value, found: &mut Vec<Effect>) {
    let none = Value::Null;
    let message = typed.get("message").unwrap_or(&none);
    let contract = who(typed.get("domain").and_then(|d| d.get("verifyingContract")));
    let primary = typed.get("primaryType").and_then(Value::as_str).unwrap_or_default();
    match primary {
        "Permit" => permit(message, contract, found),
        "PermitForAll" | "PermitAll" => {
            found.extend(spender(message).map(|spender| Effect::AllowAll { spender }));
        }
        "PermitSingle"
        | "PermitBatch"
        | "PermitTransferFrom"
        | "PermitBatchTransferFrom"
        | "PermitWitnessTransferFrom"
        | "PermitBatchWitnessTransferFrom" => permit2(message, found),
        "OrderComponents" | "BulkOrder" => orders(message, 0, found),
        "MetaTransaction" | "ForwardRequest" => {
            let data =
                message.get("functionSignature").or_else(|| message.get("data")).and_then(Value::as_str);
            if let Some(data) = data.and_then(muster_web3::abi::hex) {
                super::effect::call(who(message.get("to")).or(contract), U256::ZERO, &data, 1, found);
            }
        }
        "SafeTx" => {
            if let Some(data) = message.get("data").and_then(Value::as_str).and_then(muster_web3::abi::hex) {
                super::effect::call(who(message.get("to")), much(message.get("value")), &data, 1, found);
            }
        }
        "TransferWithAuthorization" => {
            found
                .extend(who(message.get("to")).map(|to| Effect::Move { from: who(message.get("from")), to }));
        }
        "Authorization" => {
            if let Some(code) = who(message.get("address")) {
                found.push(Effect::Become { code, everywhere: much(message.get("chainId")).is_zero() });
            }
        }
        _ => {}
    }
}

fn spender(message: &Value) -> Option<Address> {
    ["spender", "operator"].iter().find_map(|key| who(message.get(*key)))
}

/// EIP-2612, and DAI's own, in which a yes is all.
fn permit(message: &Value, token: Option<Address>, found: &mut Vec<Effect>) {
    let Some(spender) = spender(message) else { return };
    let (amount, until) = match message.get("allowed") {
        Some(allowed) if much(Some(allowed)).is_zero() && allowed.as_str() != Some("true") => return,
        Some(_) => {
            let expiry = much(message.get("expiry"));
            (U256::MAX, if expiry.is_zero() { U256::MAX } else { expiry })
        }
        None => (much(message.get("value")), much(message.get("deadline"))),
    };
    found.push(Effect::Allow { token, spender, amount, until: Some(until), offline: true });
}

fn permit2(message: &Value, found: &mut Vec<Effect>) {
    let Some(spender) = spender(message) else { return };
    let details = message.get("details").or_else(|| message.get("permitted"));
    let each = match details {
        Some(Value::Array(all)) => all.iter().take(EFFECTS_MAX).collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for one in each {
        let until = one.get("expiration").or_else(|| message.get("deadline"));
        found.push(Effect::Allow {
            token: who(one.get("token")),
            spender,
            amount: much(one.get("amount")),
            until: Some(much(until)),
            offline: true,
        });
    }
}

/// Seaport: items are given for a consideration; a drainer's returns nothing to who signs.
fn orders(message: &Value, depth: usize, found: &mut Vec<Effect>) {
    if depth > 8 || found.len() >= EFFECTS_MAX {
        return;
    }
    let inner = message.get("tree").unwrap_or(message);
    if let Some(all) = inner.as_array() {
        return all.iter().for_each(|one| orders(one, depth + 1, found));
    }
    let Some(gives) = inner.get("offer").and_then(Value::as_array).filter(|o| !o.is_empty()) else { return };
    let offerer = who(inner.get("offerer"));
    let consideration = inner.get("consideration").and_then(Value::as_array);
    let mut returns = false;
    let mut to = Address::ZERO;
    for item in consideration.into_iter().flatten() {
        let recipient = who(item.get("recipient"));
        let least = much(item.get("startAmount")).min(much(item.get("endAmount")));
        // A wei is a price in name only.
        let worth = least > U256::from(1_000u32) || much(item.get("itemType")) >= U256::from(2u8);
        if recipient == offerer && offerer.is_some() {
            returns |= worth && !least.is_zero();
        } else if let Some(other) = recipient {
            to = other;
        }
    }
    found.push(Effect::Order { gives: gives.len(), returns, to });
}
