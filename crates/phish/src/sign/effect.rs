//! What signing a request would do, read from its bytes: not what the page says that it does.

use std::sync::LazyLock;

use muster_web3::abi::{Function, Value as Abi};
use muster_web3::alloy_primitives::{Address, U256};
use serde_json::Value;

use super::request::{Asked, Transaction, address, number};

/// Calls in calls.
const DEPTH_MAX: usize = 6;
/// Of one request: a batch that approves more is a warning by itself, and all of the same kind.
pub const EFFECTS_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Somebody may take tokens: how many, until when.
    Allow { token: Option<Address>, spender: Address, amount: U256, until: Option<U256>, offline: bool },
    /// Somebody may take every piece of a collection.
    AllowAll { spender: Address },
    /// Tokens go from one to another.
    Move { from: Option<Address>, to: Address },
    /// An order: what is given, and whether anything comes back to who gives.
    Order { gives: usize, returns: bool, to: Address },
    /// The account runs somebody's code.
    Become { code: Address, everywhere: bool },
    /// A payment to a function that is named like a gift.
    PaysToClaim { name: &'static str, value: U256 },
    /// Nobody can say what it is.
    Blind,
}

struct Known {
    function: Function,
    does: Does,
}

#[derive(Clone, Copy)]
enum Does {
    /// Places of spender, amount, deadline.
    Allow(usize, usize, Option<usize>),
    /// A signed permission that somebody hands in: not the signer's own act.
    HandsIn,
    AllowAll,
    Transfer(usize),
    TransferFrom(usize, usize),
    /// Place of a list of calls as bytes.
    Many(usize),
    /// Places of target and bytes in each element of the list at a place.
    Calls(usize, usize, usize),
    /// One call: target and bytes.
    One(usize, usize),
    Permit2Approve,
}

const KNOWN: &[(&str, Does)] = &[
    ("approve(address,uint256)", Does::Allow(0, 1, None)),
    ("increaseAllowance(address,uint256)", Does::Allow(0, 1, None)),
    ("increaseApproval(address,uint256)", Does::Allow(0, 1, None)),
    ("approveAndCall(address,uint256,bytes)", Does::Allow(0, 1, None)),
    ("setApprovalForAll(address,bool)", Does::AllowAll),
    ("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", Does::HandsIn),
    ("permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)", Does::HandsIn),
    ("approve(address,address,uint160,uint48)", Does::Permit2Approve),
    ("transfer(address,uint256)", Does::Transfer(0)),
    ("transferFrom(address,address,uint256)", Does::TransferFrom(0, 1)),
    ("safeTransferFrom(address,address,uint256)", Does::TransferFrom(0, 1)),
    ("safeTransferFrom(address,address,uint256,bytes)", Does::TransferFrom(0, 1)),
    ("safeTransferFrom(address,address,uint256,uint256,bytes)", Does::TransferFrom(0, 1)),
    ("multicall(bytes[])", Does::Many(0)),
    ("multicall(uint256,bytes[])", Does::Many(1)),
    ("aggregate((address,bytes)[])", Does::Calls(0, 0, 1)),
    ("tryAggregate(bool,(address,bytes)[])", Does::Calls(1, 0, 1)),
    ("aggregate3((address,bool,bytes)[])", Does::Calls(0, 0, 2)),
    ("aggregate3Value((address,bool,uint256,bytes)[])", Does::Calls(0, 0, 3)),
    ("executeBatch((address,uint256,bytes)[])", Does::Calls(0, 0, 2)),
    ("execute((address,uint256,bytes)[])", Does::Calls(0, 0, 2)),
    ("execute(address,uint256,bytes)", Does::One(0, 2)),
    (
        "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
        Does::One(0, 2),
    ),
];

/// Functions that drainers name like gifts or duties: without arguments, and paid.
const LURES: &[&str] = &[
    "claim()",
    "Claim()",
    "claimReward()",
    "claimRewards()",
    "ClaimRewards()",
    "claimAirdrop()",
    "claimTokens()",
    "claimNFT()",
    "securityUpdate()",
    "SecurityUpdate()",
    "SecurityUpdates()",
    "NetworkMerge()",
    "networkMerge()",
    "connect()",
    "Connect()",
    "connectWallet()",
    "verify()",
    "Verify()",
    "validate()",
    "walletSecurity()",
    "redeem()",
    "Redeem()",
    "airdrop()",
    "getReward()",
    "getRewards()",
    "withdrawRewards()",
    "ClaimBonus()",
    "claimBonus()",
    "unlock()",
    "migrate()",
    "Migrate()",
    "swapBonus()",
    "receiveReward()",
    "multiplier()",
    "start()",
    "cashback()",
    "Cashback()",
    "refund()",
    "Compensation()",
    "confirm()",
    "Execute()",
];

fn known(selector: [u8; 4]) -> Option<&'static Known> {
    static TABLE: LazyLock<Vec<Known>> = LazyLock::new(|| {
        let of =
            |(text, does): &(&str, Does)| Some(Known { function: Function::parse(text).ok()?, does: *does });
        KNOWN.iter().filter_map(of).collect()
    });
    TABLE.iter().find(|k| k.function.selector == selector)
}

fn lure(selector: [u8; 4]) -> Option<&'static str> {
    static TABLE: LazyLock<Vec<([u8; 4], &str)>> = LazyLock::new(|| {
        LURES.iter().filter_map(|name| Some((Function::parse(name).ok()?.selector, *name))).collect()
    });
    TABLE.iter().find(|(s, _)| *s == selector).map(|(_, name)| *name)
}

/// All that a request would do, as far as it is known.
#[must_use]
pub fn effects(asked: &Asked) -> Vec<Effect> {
    let mut found = Vec::new();
    match asked {
        Asked::Transaction(tx) => {
            for (code, chain) in &tx.authorizations {
                if !code.is_zero() {
                    found.push(Effect::Become { code: *code, everywhere: chain.is_zero() });
                }
            }
            call(tx.to, tx.value, &tx.data, 0, &mut found);
        }
        Asked::Typed(typed) => super::typed::effects(typed, &mut found),
        Asked::Message(bytes) if bytes.len() == 32 && std::str::from_utf8(bytes).is_err() => {
            found.push(Effect::Blind)
        }
        Asked::Hash => found.push(Effect::Blind),
        Asked::Message(_) | Asked::Other(_) => {}
    }
    found.truncate(EFFECTS_MAX);
    found
}

/// One call, and what is in it.
pub fn call(to: Option<Address>, value: U256, data: &[u8], depth: usize, found: &mut Vec<Effect>) {
    if depth > DEPTH_MAX || found.len() >= EFFECTS_MAX {
        return;
    }
    let Some((selector, arguments)) = data.split_first_chunk::<4>() else { return };
    if value > U256::ZERO
        && arguments.len() <= 32
        && let Some(name) = lure(*selector)
    {
        found.push(Effect::PaysToClaim { name, value });
        return;
    }
    let Some(known) = known(*selector) else { return };
    let Ok(values) = known.function.decode(arguments) else { return };
    let who = |at: usize| values.get(at).and_then(Abi::address);
    let much = |at: usize| values.get(at).and_then(Abi::number).unwrap_or_default();
    match known.does {
        Does::Allow(spender, amount, until) => {
            if let Some(spender) = who(spender) {
                let until = until.map(much);
                found.push(Effect::Allow { token: to, spender, amount: much(amount), until, offline: false });
            }
        }
        Does::Permit2Approve => {
            if let Some(spender) = who(1) {
                let until = Some(much(3));
                found.push(Effect::Allow { token: who(0), spender, amount: much(2), until, offline: false });
            }
        }
        Does::AllowAll if !much(1).is_zero() => {
            found.extend(who(0).map(|spender| Effect::AllowAll { spender }))
        }
        Does::AllowAll | Does::HandsIn => {}
        Does::Transfer(at) => found.extend(who(at).map(|to| Effect::Move { from: None, to })),
        Does::TransferFrom(from, at) => {
            found.extend(who(at).map(|to| Effect::Move { from: who(from), to }));
        }
        Does::Many(at) => {
            for inner in values.get(at).map_or(&[][..], Abi::list).iter().filter_map(Abi::bytes) {
                call(to, U256::ZERO, inner, depth + 1, found);
            }
        }
        Does::Calls(at, target, bytes) => {
            for inner in values.get(at).map_or(&[][..], Abi::list) {
                let parts = inner.list();
                let to = parts.get(target).and_then(Abi::address);
                if let Some(data) = parts.get(bytes).and_then(Abi::bytes) {
                    call(to, U256::ZERO, data, depth + 1, found);
                }
            }
        }
        Does::One(target, bytes) => {
            if let Some(data) = values.get(bytes).and_then(Abi::bytes) {
                call(who(target), U256::ZERO, data, depth + 1, found);
            }
        }
    }
}

/// The address and number readers, for `typed.rs`.
pub(super) fn who(value: Option<&Value>) -> Option<Address> {
    address(value?.as_str()?)
}

pub(super) fn much(value: Option<&Value>) -> U256 {
    value.and_then(number).unwrap_or_default()
}

/// So much that it stands for all there is.
#[must_use]
pub fn unlimited(amount: U256) -> bool {
    let ones = amount != U256::ZERO && amount.count_ones() == amount.bit_len() && amount.bit_len() >= 63;
    ones || amount.bit_len() > 127
}

impl Transaction {
    /// Whether it only pays.
    #[must_use]
    pub fn only_pays(&self) -> bool {
        self.data.is_empty() && self.authorizations.is_empty()
    }
}
