//! Reports of Aave's seatbelt (Markdown): the text of a proposal, and the events that its payload gave when it was run.

use alloy_primitives::U256;

use super::{Proposal, TEXT_MAX};
use crate::Party;
use crate::effect::{Act, Effect, Power, Seen};
use crate::known::role_power;

/// More events than any payload gave.
const EVENTS_MAX: usize = 10_000;

pub fn read(text: &str) -> Option<Proposal> {
    let mut proposal = Proposal::default();
    if !text.contains("## Payload ") && !text.contains("## Proposal ") && !text.contains("Raw diff") {
        return None;
    }
    let mut lines = text.lines();
    let mut contract: Option<Party> = None;
    let mut in_events = false;
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("## Payload ").or_else(|| line.strip_prefix("## Proposal ")) {
            proposal.id = rest.split_whitespace().next().map(str::to_owned);
        }
        if line.contains("<summary>Proposal text</summary>") {
            let mut body = String::new();
            for line in lines.by_ref() {
                if line.trim() == "</details>" || body.len() > TEXT_MAX {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            proposal.text = Some(body);
            continue;
        }
        if let Some(creator) = line.strip_prefix("- creator: ") {
            proposal.context.proposer = Party::read(creator);
        }
        if let Some(heading) = line.strip_prefix("### ") {
            in_events = heading.contains("events emitted");
        }
        if line.starts_with("## ") && line.contains("vent") {
            in_events = true;
        }
        if !in_events || proposal.effects.len() >= EVENTS_MAX {
            continue;
        }
        if line.starts_with("- ") {
            contract = addresses(line).into_iter().next();
        } else if let Some(event) = line.trim().strip_prefix("- `")
            && let Some(on) = &contract
            && let Some(effect) = effect(event.trim_end_matches('`'), on, proposal.effects.len())
        {
            proposal.effects.push(effect);
        }
    }
    // What stands in the report's list of known contracts is the protocol's.
    for line in text.lines().filter(|line| line.contains("address-book")) {
        if let Some(party) = addresses(line).into_iter().next() {
            let name = line.split('"').nth(1).unwrap_or_default().chars().take(80).collect();
            proposal.context.known.entry(party).or_insert(name);
        }
    }
    for line in text.lines().filter(|line| line.contains(": EOA (verification")) {
        if let Some(party) = addresses(line).into_iter().next() {
            proposal.context.accounts.entry(party).or_default().is_contract = Some(false);
        }
    }
    let has_simulation = text.contains("state changes") || !proposal.effects.is_empty();
    if proposal.text.is_none() && !has_simulation {
        proposal.unseen.push("the report has neither a text nor a simulation".to_owned());
    }
    Some(proposal)
}

/// `Transfer(from: 0x…, to: 0x…, value: 480,000[480000000000](6 decimals))`
fn effect(event: &str, on: &Party, at: usize) -> Option<Effect> {
    let (name, rest) = event.split_once('(')?;
    let fields: Vec<(&str, &str)> = rest.split(", ").filter_map(|field| field.split_once(": ")).collect();
    let field = |names: &[&str]| {
        names.iter().find_map(|name| fields.iter().find(|(key, _)| key == name)).map(|(_, value)| *value)
    };
    let party = |names: &[&str]| field(names).and_then(|value| Party::read(value.trim_end_matches(')')));
    let amount = |names: &[&str]| {
        let value = field(names)?;
        let exact = value.split_once('[').and_then(|(_, rest)| rest.split(']').next());
        U256::from_str_radix(exact.unwrap_or(value).trim_end_matches(')'), 10).ok()
    };
    let named = |names: &[&str]| field(names).unwrap_or_default().trim_end_matches(')').to_owned();
    let zero = |names: &[&str]| party(names).is_some_and(|party| party.is_zero());
    let (act, who, what, amount, power) = match name {
        "RoleGranted" => {
            let role = named(&["role"]);
            let role = role.parse().map_or(role, crate::known::role);
            let power = role_power(&role);
            (Act::Grant, party(&["account"]), role, None, power)
        }
        "RoleRevoked" => (Act::Revoke, party(&["account"]), named(&["role"]), None, Power::None),
        "Upgraded" => (Act::Upgrade, party(&["implementation"]), String::new(), None, Power::Control),
        "OwnershipTransferred" | "AdminChanged" => {
            (Act::Own, party(&["newOwner", "newAdmin", "user"]), name.to_owned(), None, Power::Control)
        }
        "Transfer" if zero(&["from"]) => (
            Act::Mint,
            party(&["to", "dst"]),
            String::new(),
            amount(&["value", "amount", "wad"]),
            Power::Value,
        ),
        "Transfer" => (
            Act::Move,
            party(&["to", "dst"]),
            String::new(),
            amount(&["value", "amount", "wad"]),
            Power::Value,
        ),
        "Approval" => {
            (Act::Allow, party(&["spender", "guy"]), String::new(), amount(&["value", "wad"]), Power::Value)
        }
        "CreateStream" => {
            (Act::Move, party(&["recipient"]), "stream".to_owned(), amount(&["deposit"]), Power::Value)
        }
        _ => return None,
    };
    Some(Effect {
        act,
        on: on.clone(),
        who,
        what,
        amount,
        power,
        chain: None,
        path: format!("event {}", at + 1),
        seen: Seen::Reported,
    })
}

fn addresses(line: &str) -> Vec<Party> {
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() == 42)
        .filter_map(Party::read)
        .collect()
}
