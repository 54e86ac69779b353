//! What a proposal does, in a few words of its own: one effect for each thing that changes hands or rules.

use alloy_primitives::U256;
use serde::Serialize;

use crate::Party;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A role or right is given.
    Grant,
    Revoke,
    /// Code is exchanged behind an address.
    Upgrade,
    /// An owner, admin or governor is set.
    Own,
    /// Tokens or coins go somewhere.
    Move,
    /// Somebody may take tokens later.
    Allow,
    Parameter,
    Mint,
    Burn,
    Delegatecall,
    Create,
    Destroy,
    Bridge,
    /// Voting power is lent.
    Delegate,
    /// Something else, known by its selector or not at all.
    Call,
}

/// How the effect is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Read from the calls.
    Decoded,
    /// It happened when the calls were run.
    Simulated,
    /// Another's report says that it happened.
    Reported,
}

/// How much it changes who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Nothing that lasts, or less power than before.
    None,
    /// One setting, a narrow role.
    Lesser,
    /// Tokens, coins, or the right to take them.
    Value,
    /// The rules by which is decided.
    Rules,
    /// Who decides, or which code runs.
    Control,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub act: Act,
    /// The contract or token; the zero address for the chain's coin.
    pub on: Party,
    /// Who gets or loses it; the new code.
    pub who: Option<Party>,
    /// The role, parameter or function.
    pub what: String,
    pub amount: Option<U256>,
    pub power: Power,
    /// Another chain, where it happens behind a bridge.
    pub chain: Option<String>,
    /// `call 3 > schedule > call 1`.
    pub path: String,
    pub seen: Seen,
}

impl Act {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Act::Grant => "grant",
            Act::Revoke => "revoke",
            Act::Upgrade => "upgrade",
            Act::Own => "own",
            Act::Move => "move",
            Act::Allow => "allow",
            Act::Parameter => "parameter",
            Act::Mint => "mint",
            Act::Burn => "burn",
            Act::Delegatecall => "delegatecall",
            Act::Create => "create",
            Act::Destroy => "destroy",
            Act::Bridge => "bridge",
            Act::Delegate => "delegate",
            Act::Call => "call",
        }
    }
}

impl Effect {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{}: {}", self.path, self.act.name());
        if !self.what.is_empty() {
            line.push_str(&format!(" {}", self.what));
        }
        if let Some(amount) = self.amount {
            let amount = if amount == U256::MAX { "without limit".to_owned() } else { amount.to_string() };
            line.push_str(&format!(" {amount}"));
        }
        if let Some(who) = &self.who {
            line.push_str(&format!(
                " {} {}",
                if self.act == Act::Revoke { "from" } else { "to" },
                who.shown()
            ));
        }
        line.push_str(&if self.on.is_zero() {
            " in coin".to_owned()
        } else {
            format!(" on {}", self.on.shown())
        });
        if let Some(chain) = &self.chain {
            line.push_str(&format!(" ({chain})"));
        }
        line
    }

    /// Who gains something by it.
    #[must_use]
    pub fn gains(&self) -> Option<&Party> {
        match self.act {
            Act::Grant | Act::Own | Act::Move | Act::Allow | Act::Mint | Act::Upgrade | Act::Delegate => {
                self.who.as_ref()
            }
            _ => None,
        }
    }
}

/// An allowance of which no token has as much: without limit.
#[must_use]
pub fn without_limit(amount: U256) -> bool {
    amount.bit_len() > 120
}
