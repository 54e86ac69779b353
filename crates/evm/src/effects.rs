//! What is seen while calls run: events of the usual kinds, coins that move, code that is made, ended or run in the
//! executor's place.

use std::sync::LazyLock;

use muster_web3::Party;
use muster_web3::alloy_primitives::{Address, B256, Log, U256, keccak256};
use muster_web3::effect::{Act, Effect, Power, Seen};
use muster_web3::known::{role, role_power};
use revm::Inspector;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome};

/// More than a block's gas pays for is not reached; what an answer can use is less.
const EFFECTS_MAX: usize = 10_000;

struct Events {
    transfer: B256,
    approval: B256,
    approval_for_all: B256,
    granted: B256,
    revoked: B256,
    upgraded: B256,
    owner: B256,
    admin: B256,
    rules: [B256; 6],
}

static EVENTS: LazyLock<Events> = LazyLock::new(|| {
    let hash = |text: &str| keccak256(text.as_bytes());
    Events {
        transfer: hash("Transfer(address,address,uint256)"),
        approval: hash("Approval(address,address,uint256)"),
        approval_for_all: hash("ApprovalForAll(address,address,bool)"),
        granted: hash("RoleGranted(bytes32,address,address)"),
        revoked: hash("RoleRevoked(bytes32,address,address)"),
        upgraded: hash("Upgraded(address)"),
        owner: hash("OwnershipTransferred(address,address)"),
        admin: hash("AdminChanged(address,address)"),
        rules: [
            hash("MinDelayChange(uint256,uint256)"),
            hash("VotingDelaySet(uint256,uint256)"),
            hash("VotingPeriodSet(uint256,uint256)"),
            hash("ProposalThresholdSet(uint256,uint256)"),
            hash("QuorumNumeratorUpdated(uint256,uint256)"),
            hash("TimelockChange(address,address)"),
        ],
    }
});

const RULES: [&str; 6] = [
    "updateDelay",
    "setVotingDelay",
    "setVotingPeriod",
    "setProposalThreshold",
    "updateQuorumNumerator",
    "updateTimelock",
];

pub struct Watcher {
    executor: Address,
    path: String,
    found: Vec<Effect>,
}

impl Watcher {
    pub fn new(executor: Address) -> Self {
        Self { executor, path: String::new(), found: Vec::new() }
    }

    pub fn begin(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.found)
    }

    /// A call that reverts does nothing.
    pub fn drop_all(&mut self) {
        self.found.clear();
    }

    fn push(
        &mut self,
        act: Act,
        power: Power,
        on: Address,
        who: Option<Address>,
        what: &str,
        amount: Option<U256>,
    ) {
        if self.found.len() < EFFECTS_MAX {
            self.found.push(Effect {
                act,
                on: Party::from(on),
                who: who.map(Party::from),
                what: what.to_owned(),
                amount,
                power,
                chain: None,
                path: self.path.clone(),
                seen: Seen::Simulated,
            });
        }
    }

    /// Only of what was not reverted: the result has the logs.
    pub fn logs(&mut self, logs: &[Log]) {
        for log in logs {
            self.event(log);
        }
    }

    fn event(&mut self, log: &Log) {
        let topics = log.topics();
        let Some(kind) = topics.first() else { return };
        let topic = |at: usize| topics.get(at).copied().map(Address::from_word);
        let word = |at: usize| log.data.data.get(at * 32..at * 32 + 32).and_then(U256::try_from_be_slice);
        let events = &*EVENTS;
        let on = log.address;
        if *kind == events.transfer {
            let amount = word(0).or_else(|| topics.get(3).map(|word| U256::from_be_bytes(word.0)));
            let (from, to) = (topic(1), topic(2));
            // Only what leaves the executor: transfers between others are how protocols work.
            if from == Some(self.executor) {
                self.push(Act::Move, Power::Value, on, to, "", amount);
            } else if from == Some(Address::ZERO) && to != Some(self.executor) {
                self.push(Act::Mint, Power::Value, on, to, "", amount);
            }
        } else if *kind == events.approval && topic(1) == Some(self.executor) {
            self.push(Act::Allow, Power::Value, on, topic(2), "", word(0));
        } else if *kind == events.approval_for_all
            && topic(1) == Some(self.executor)
            && word(0).is_some_and(|yes| !yes.is_zero())
        {
            self.push(Act::Allow, Power::Value, on, topic(2), "", Some(U256::MAX));
        } else if *kind == events.granted {
            let name = topics.get(1).copied().map(role).unwrap_or_default();
            self.push(Act::Grant, role_power(&name), on, topic(2), &name, None);
        } else if *kind == events.revoked {
            let name = topics.get(1).copied().map(role).unwrap_or_default();
            self.push(Act::Revoke, Power::None, on, topic(2), &name, None);
        } else if *kind == events.upgraded {
            self.push(Act::Upgrade, Power::Control, on, topic(1), "event", None);
        } else if *kind == events.owner {
            self.push(Act::Own, Power::Control, on, topic(2), "owner", None);
        } else if *kind == events.admin {
            let new = topic(2).or_else(|| word(1).map(|word| Address::from_word(B256::from(word))));
            self.push(Act::Own, Power::Control, on, new, "admin", None);
        } else if let Some(rule) =
            events.rules.iter().position(|rule| rule == kind).and_then(|at| RULES.get(at))
        {
            self.push(Act::Parameter, Power::Rules, on, None, rule, word(1));
        }
    }
}

impl<CTX> Inspector<CTX, EthInterpreter> for Watcher {
    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        if inputs.scheme == CallScheme::DelegateCall && inputs.target_address == self.executor {
            let code = inputs.bytecode_address;
            self.push(Act::Delegatecall, Power::Lesser, code, Some(code), "", None);
        }
        if let Some(value) = inputs.value.transfer().filter(|value| !value.is_zero())
            && inputs.caller == self.executor
        {
            self.push(
                Act::Move,
                Power::Value,
                Address::ZERO,
                Some(inputs.target_address),
                "coin",
                Some(value),
            );
        }
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        if let Some(address) = outcome.address {
            self.push(Act::Create, Power::Lesser, address, Some(address), "", None);
        }
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.push(Act::Destroy, Power::Control, contract, None, "selfdestruct", None);
        if contract == self.executor && !value.is_zero() {
            self.push(Act::Move, Power::Value, Address::ZERO, Some(target), "coin", Some(value));
        }
    }
}
