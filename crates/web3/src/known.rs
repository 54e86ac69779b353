//! Functions whose effect is known (`data/functions.txt`), roles by the hash of their name, tokens by their address.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256, address, keccak256};

use crate::Party;
use crate::abi::{Function, Value, to_hex};
use crate::effect::{Act, Effect, Power, Seen};

/// What a line of the table says.
#[derive(Clone, Debug)]
pub struct Known {
    pub function: Function,
    does: Does,
    who: Option<usize>,
    amount: Option<usize>,
    what: Option<usize>,
    on: Option<usize>,
    condition: Option<usize>,
    named: Option<&'static str>,
    governance: bool,
    native: bool,
    /// What a zero of it takes away.
    pub lowers: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Act(Act),
    /// Takes over what was handed to it: nothing for others.
    Accept,
    /// Takes in what is the caller's own.
    Collect,
    /// Sets a proxy up, once; again is an attack.
    Initialize,
    /// Unwrapped elsewhere.
    Wrapper,
}

static TABLE: LazyLock<BTreeMap<[u8; 4], Known>> = LazyLock::new(|| {
    let mut table = BTreeMap::new();
    for line in include_str!("../data/functions.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(known) = parse(line) {
            table.entry(known.function.selector).or_insert(known);
        }
    }
    table
});

/// The names of roles that are in use; a role is the hash of its name.
const ROLES: [&str; 40] = [
    "DEFAULT_ADMIN_ROLE",
    "ADMIN_ROLE",
    "GOVERNOR_ROLE",
    "GOVERNANCE_ROLE",
    "MINTER_ROLE",
    "BURNER_ROLE",
    "PAUSER_ROLE",
    "UPGRADER_ROLE",
    "PROPOSER_ROLE",
    "EXECUTOR_ROLE",
    "CANCELLER_ROLE",
    "TIMELOCK_ADMIN_ROLE",
    "OPERATOR_ROLE",
    "MANAGER_ROLE",
    "KEEPER_ROLE",
    "GUARDIAN_ROLE",
    "OWNER_ROLE",
    "TREASURY_ROLE",
    "WITHDRAWER_ROLE",
    "POOL_ADMIN",
    "EMERGENCY_ADMIN",
    "RISK_ADMIN",
    "FLASH_BORROWER",
    "BRIDGE",
    "ASSET_LISTING_ADMIN",
    "ORACLE_ROLE",
    "STRATEGIST_ROLE",
    "CURATOR_ROLE",
    "SNAPSHOT_ROLE",
    "WHITELISTER_ROLE",
    "FUNDS_ADMIN",
    "FUNDS_ADMIN_ROLE",
    "BUCKET_MANAGER_ROLE",
    "FACILITATOR_MANAGER_ROLE",
    "REWARDS_CONTROLLER_ADMIN_ROLE",
    "COOLDOWN_ADMIN_ROLE",
    "SLASHING_ADMIN_ROLE",
    "RELAYER_ROLE",
    "TRUSTED_FORWARDER",
    "DECAY_CONTROLLER_ROLE",
];

/// Words in a role's name that make it a narrow one.
const NARROW: [&str; 13] = [
    "pauser",
    "pause",
    "canceller",
    "keeper",
    "snapshot",
    "flash",
    "whitelister",
    "oracle",
    "curator",
    "relayer",
    "cooldown",
    "guardian",
    "emission",
];

static ROLE_NAMES: LazyLock<BTreeMap<B256, &'static str>> = LazyLock::new(|| {
    let mut names: BTreeMap<B256, &'static str> =
        ROLES.iter().map(|name| (keccak256(name.as_bytes()), *name)).collect();
    names.insert(B256::ZERO, "DEFAULT_ADMIN_ROLE");
    names
});

/// Tokens of the main chain: address, symbol, decimals.
const TOKENS: [(Address, &str, u8); 17] = [
    (address!("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"), "USDC", 6),
    (address!("dac17f958d2ee523a2206206994597c13d831ec7"), "USDT", 6),
    (address!("6b175474e89094c44da98b954eedeac495271d0f"), "DAI", 18),
    (address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"), "WETH", 18),
    (address!("2260fac5e5542a773aa44fbcfedf7c193bc2c599"), "WBTC", 8),
    (address!("c18360217d8f7ab5e7c516566761ea12ce7f9d72"), "ENS", 18),
    (address!("7fc66500c84a76ad7e9c93437bfc5ac33e2ddae9"), "AAVE", 18),
    (address!("40d16fc0246ad3160ccc09b8d0d3a2cd28ae6c2f"), "GHO", 18),
    (address!("1f9840a85d5af5bf1d1762f925bdaddc4201f984"), "UNI", 18),
    (address!("c00e94cb662c3520282e6f5717214004a7f26888"), "COMP", 18),
    (address!("9f8f72aa9304c8b593d555f12ef6589cc3a579a2"), "MKR", 18),
    (address!("ae7ab96520de3a18e5e111b5eaab095312d7fe84"), "STETH", 18),
    (address!("7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0"), "WSTETH", 18),
    (address!("5a98fcbea516cf06857215779fd812ca3bef1b32"), "LDO", 18),
    (address!("d533a949740bb3306d119cc777fa900ba034cd52"), "CRV", 18),
    (address!("514910771af9ca656af840dff83e8264ecf986ca"), "LINK", 18),
    (address!("b50721bcf8d664c30412cfbc6cf7a15145234ad1"), "ARB", 18),
];

#[must_use]
pub fn token(party: &Party) -> Option<(&'static str, u8)> {
    let address = party.address()?;
    if address.is_zero() {
        return Some(("ETH", 18));
    }
    TOKENS.iter().find(|(at, ..)| *at == address).map(|(_, symbol, decimals)| (*symbol, *decimals))
}

/// By its hash; what has no known name is shown as it is.
#[must_use]
pub fn role(word: B256) -> String {
    if let Some(name) = ROLE_NAMES.get(&word) {
        return (*name).to_owned();
    }
    // Short names are written as text by some (Zodiac), small numbers by others (AccessManager).
    let text: Vec<u8> = word.iter().copied().take_while(|byte| *byte != 0).collect();
    if text.len() > 2
        && text.iter().all(u8::is_ascii_graphic)
        && word.iter().skip(text.len()).all(|b| *b == 0)
    {
        return String::from_utf8_lossy(&text).into_owned();
    }
    if word.iter().take(24).all(|byte| *byte == 0) {
        return format!("role {}", U256::from_be_bytes(word.0));
    }
    to_hex(word.as_slice())
}

#[must_use]
pub fn find(selector: [u8; 4]) -> Option<&'static Known> {
    TABLE.get(&selector)
}

/// The function of a signature that the proposal itself gives (Governor Bravo), or a known one's.
#[must_use]
pub fn by_name(function: &Function, arguments: &[Value], on: &Party, path: &str) -> Option<Effect> {
    let name = function.name.to_ascii_lowercase();
    let mut addresses = Vec::new();
    arguments.iter().for_each(|value| value.addresses(&mut addresses));
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let setter = ["set", "_set", "change", "update", "transfer", "nominate", "add", "grant"]
        .iter()
        .any(|verb| name.starts_with(verb));
    let act = if name.contains("upgrade") || setter && has(&["implementation"]) {
        Act::Upgrade
    } else if setter && has(&["owner", "admin", "governor", "governance", "timelock", "authority"]) {
        Act::Own
    } else if has(&["revoke", "remove", "renounce"]) {
        Act::Revoke
    } else if setter && has(&["minter", "role", "guardian", "operator", "manager", "controller", "signer"]) {
        Act::Grant
    } else if name.starts_with("mint") {
        Act::Mint
    } else if has(&["transfer", "withdraw", "sweep", "rescue", "drain"]) && !addresses.is_empty() {
        Act::Move
    } else if setter {
        Act::Parameter
    } else {
        return None;
    };
    let amount = arguments.iter().rev().find_map(|value| match value {
        Value::Number(number) => Some(*number),
        _ => None,
    });
    let power = match act {
        Act::Upgrade | Act::Own => Power::Control,
        Act::Grant => role_power(&name),
        Act::Mint | Act::Move => Power::Value,
        Act::Parameter if has(&["quorum", "votingperiod", "votingdelay", "threshold", "delay"]) => {
            Power::Rules
        }
        Act::Parameter => Power::Lesser,
        _ => Power::None,
    };
    let who = match act {
        Act::Move => addresses.last(),
        _ => addresses.first(),
    };
    Some(Effect {
        act,
        on: on.clone(),
        who: who.copied().map(Party::from),
        what: function.name.clone(),
        amount,
        power,
        chain: None,
        path: path.to_owned(),
        seen: Seen::Decoded,
    })
}

/// A role is governing unless its name says that it is narrow: names that nobody knows are taken for the former.
#[must_use]
pub fn role_power(name: &str) -> Power {
    let name = name.to_ascii_lowercase();
    if NARROW.iter().any(|word| name.contains(word)) { Power::Lesser } else { Power::Control }
}

impl Known {
    /// What this call does; nothing where it does nothing to others.
    #[must_use]
    pub fn effect(&self, arguments: &[Value], target: &Party, path: &str) -> Option<Effect> {
        let address =
            |at: Option<usize>| at.and_then(|at| arguments.get(at)).and_then(Value::address).map(Party::from);
        let number = |at: Option<usize>| at.and_then(|at| arguments.get(at)).and_then(Value::number);
        let off = self.condition.is_some() && number(self.condition).is_some_and(|yes| yes.is_zero());
        let act = match self.does {
            Does::Act(Act::Grant) if off => Act::Revoke,
            Does::Act(Act::Allow) if off => return None,
            Does::Act(act) => act,
            Does::Initialize => Act::Own,
            Does::Accept | Does::Collect | Does::Wrapper => Act::Call,
        };
        let what = match (self.named, self.what.and_then(|at| arguments.get(at)).and_then(Value::word)) {
            (None, Some(word)) => role(word),
            (Some(named), _) => named.to_owned(),
            (None, None) => self.function.name.clone(),
        };
        let all = self.condition.is_some() && act == Act::Allow;
        let amount = if all { Some(U256::MAX) } else { number(self.amount) };
        let power = match act {
            Act::Grant => role_power(&what),
            // Names of domains are owned one by one; they are no power over the protocol.
            Act::Own if what == "name" => Power::Lesser,
            Act::Upgrade | Act::Own | Act::Delegatecall => Power::Control,
            Act::Move | Act::Mint => Power::Value,
            Act::Allow if amount.is_some_and(|amount| amount.is_zero()) => Power::None,
            Act::Allow | Act::Bridge => Power::Value,
            Act::Parameter if self.governance => Power::Rules,
            Act::Parameter | Act::Create | Act::Delegate => Power::Lesser,
            Act::Destroy => Power::Control,
            Act::Revoke | Act::Burn | Act::Call => Power::None,
        };
        let on = if self.native { Party::coin() } else { address(self.on).unwrap_or_else(|| target.clone()) };
        Some(Effect {
            act,
            on,
            who: address(self.who),
            what,
            amount,
            power,
            chain: None,
            path: path.to_owned(),
            seen: Seen::Decoded,
        })
    }
}

fn parse(line: &'static str) -> Option<Known> {
    let (signature, rest) = line.split_once(" = ")?;
    let mut words = rest.split(' ');
    let does = match words.next()? {
        "grant" => Does::Act(Act::Grant),
        "revoke" => Does::Act(Act::Revoke),
        "upgrade" => Does::Act(Act::Upgrade),
        "own" => Does::Act(Act::Own),
        "move" => Does::Act(Act::Move),
        "allow" => Does::Act(Act::Allow),
        "parameter" => Does::Act(Act::Parameter),
        "mint" => Does::Act(Act::Mint),
        "burn" => Does::Act(Act::Burn),
        "create" => Does::Act(Act::Create),
        "destroy" => Does::Act(Act::Destroy),
        "delegate" => Does::Act(Act::Delegate),
        "accept" => Does::Accept,
        "collect" => Does::Collect,
        "initialize" => Does::Initialize,
        "wrapper" => Does::Wrapper,
        _ => return None,
    };
    let mut known = Known {
        function: Function::parse(signature).ok()?,
        does,
        who: None,
        amount: None,
        what: None,
        on: None,
        condition: None,
        named: None,
        governance: false,
        native: false,
        lowers: None,
    };
    for word in words {
        match word.split_once('=') {
            None if word == "governance" => known.governance = true,
            None if word == "native" => known.native = true,
            None if word == "all" => {}
            Some(("who", at)) => known.who = Some(at.parse().ok()?),
            Some(("amount", at)) => known.amount = Some(at.parse().ok()?),
            Some(("what", at)) => known.what = Some(at.parse().ok()?),
            Some(("on", at)) => known.on = Some(at.parse().ok()?),
            Some(("if", at)) => known.condition = Some(at.parse().ok()?),
            // Whose tokens are moved is told by the simulation.
            Some(("from", _)) => {}
            Some(("named", name)) => known.named = Some(name),
            Some(("down", what)) => known.lowers = Some(what),
            _ => return None,
        }
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_to_its_words() {
        for line in include_str!("../data/functions.txt").lines() {
            if !line.is_empty() && !line.starts_with('#') {
                assert!(parse(line).is_some(), "{line}");
            }
        }
    }

    #[test]
    fn roles_have_names() {
        assert_eq!(role(B256::ZERO), "DEFAULT_ADMIN_ROLE");
        assert_eq!(role(keccak256("GOVERNOR_ROLE")), "GOVERNOR_ROLE");
        assert_eq!(role(B256::from(U256::from(7))), "role 7");
        assert_eq!(role_power("PAUSER_ROLE"), Power::Lesser);
    }
}
