//! What a node answers about a governor, read: logs of proposals and of what became of them, and which blocks were taken
//! back. Pure: who asks the node is `crates/cli/src/commands/check/rpc.rs`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use alloy_primitives::{B256, keccak256};
use serde_json::{Value as Json, json};

use crate::Party;
use crate::abi::{self, Function, Kind, Value, to_hex};
use crate::proposal::{Context, Proposal, TEXT_MAX};
use crate::unwrap::{CALLS_MAX, Call};

/// Blocks that are remembered to notice that they were taken back. No public chain takes back as many.
pub const REMEMBERED_MAX: usize = 128;

/// `ProposalCreated` of Governor, and of Bravo: one event, one form.
const CREATED: &str =
    "ProposalCreated(uint256,address,address[],uint256[],string[],bytes[],uint256,uint256,string)";

static FORM: LazyLock<(B256, Vec<Kind>)> = LazyLock::new(|| {
    let inputs = Function::parse(CREATED).map(|function| function.inputs).unwrap_or_default();
    (keccak256(CREATED.as_bytes()), inputs)
});

/// What a log says of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Created(Box<Proposal>),
    /// Its id and what became of it: `queued`, `executed`, `canceled`.
    Became(String, &'static str),
}

/// Topics to ask a node for.
#[must_use]
pub fn topics() -> Json {
    let names = ["ProposalQueued(uint256,uint256)", "ProposalExecuted(uint256)", "ProposalCanceled(uint256)"];
    let hashes = names.iter().map(|name| to_hex(keccak256(name.as_bytes()).as_slice()));
    let all: Vec<String> = std::iter::once(to_hex(FORM.0.as_slice())).chain(hashes).collect();
    json!([all])
}

/// One log as `eth_getLogs` gives it; nothing where it is another's.
#[must_use]
pub fn log(json: &Json) -> Option<Said> {
    let topic: B256 = json.get("topics")?.get(0)?.as_str()?.parse().ok()?;
    let data = abi::hex(json.get("data")?.as_str()?)?;
    if topic != FORM.0 {
        let id = data.get(..32).map(B256::from_slice)?;
        let became = [
            ("ProposalQueued(uint256,uint256)", "queued"),
            ("ProposalExecuted(uint256)", "executed"),
            ("ProposalCanceled(uint256)", "canceled"),
        ];
        let word = became.iter().find(|(name, _)| keccak256(name.as_bytes()) == topic)?.1;
        return Some(Said::Became(alloy_primitives::U256::from_be_bytes(id.0).to_string(), word));
    }
    let values = abi::decode(&FORM.1, &data).ok()?;
    let list = |at: usize| values.get(at).map(Value::list).unwrap_or_default();
    let (targets, amounts, signatures, calls) = (list(2), list(3), list(4), list(5));
    let text = values.get(8).and_then(Value::bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(..TEXT_MAX).unwrap_or(text)).into_owned();
    let calls = targets.iter().take(CALLS_MAX).enumerate().filter_map(|(at, target)| {
        let signature = signatures.get(at).and_then(Value::bytes).unwrap_or_default();
        Some(Call {
            to: Party::from(target.address()?),
            value: amounts.get(at).and_then(Value::number).unwrap_or_default(),
            data: calls.get(at).and_then(Value::bytes).unwrap_or_default().to_vec(),
            signature: String::from_utf8_lossy(signature).into_owned(),
            delegate: false,
            chain: None,
        })
    });
    let proposal = Proposal {
        id: values.first().and_then(Value::number).map(|id| id.to_string()),
        text: Some(text),
        calls: calls.collect(),
        context: Context {
            proposer: values.get(1).and_then(Value::address).map(Party::from),
            ..Context::default()
        },
        ..Proposal::default()
    };
    Some(Said::Created(Box::new(proposal)))
}

/// Where a follower is: the blocks that it has seen, by number, with their hashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    pub blocks: BTreeMap<u64, String>,
    /// Proposals that were told of, with the block of each: told of again where the block is taken back.
    pub told: BTreeMap<String, u64>,
}

impl Followed {
    /// The first block that is still to be asked for.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.blocks.last_key_value().map(|(number, _)| number + 1)
    }

    pub fn saw(&mut self, number: u64, hash: &str) {
        self.blocks.insert(number, hash.to_owned());
        while self.blocks.len() > REMEMBERED_MAX {
            self.blocks.pop_first();
        }
    }

    /// Forgets what was taken back: `hash_of` is what the node says now of a block that was seen. Gives the ids of proposals
    /// whose block is gone.
    pub fn take_back(&mut self, mut hash_of: impl FnMut(u64) -> Option<String>) -> Vec<String> {
        while let Some((number, hash)) = self.blocks.last_key_value().map(|(n, h)| (*n, h.clone())) {
            if hash_of(number).as_ref() == Some(&hash) {
                break;
            }
            self.blocks.pop_last();
        }
        let kept = self.blocks.last_key_value().map(|(number, _)| *number);
        let gone: Vec<String> = self
            .told
            .iter()
            .filter(|(_, block)| kept.is_none_or(|kept| **block > kept))
            .map(|(id, _)| id.clone())
            .collect();
        gone.iter().for_each(|id| {
            self.told.remove(id);
        });
        gone
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({"blocks": self.blocks, "told": self.told})
    }

    /// What `to_json` gave; anything else is a new beginning.
    #[must_use]
    pub fn of_json(json: &Json) -> Self {
        let object = |name: &str| json.get(name).and_then(Json::as_object).into_iter().flatten();
        let mut blocks: BTreeMap<u64, String> = object("blocks")
            .filter_map(|(number, hash)| Some((number.parse().ok()?, hash.as_str()?.to_owned())))
            .collect();
        while blocks.len() > REMEMBERED_MAX {
            blocks.pop_first();
        }
        let told = object("told").filter_map(|(id, block)| Some((id.clone(), block.as_u64()?))).collect();
        Self { blocks, told }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn blocks_that_are_taken_back_are_asked_for_again() {
        let mut followed = Followed::default();
        (1..=5).for_each(|n| followed.saw(n, &format!("a{n}")));
        followed.told.insert("old".to_owned(), 2);
        followed.told.insert("new".to_owned(), 5);
        let now = |n: u64| Some(if n >= 4 { format!("b{n}") } else { format!("a{n}") });
        assert_eq!(followed.take_back(now), ["new"]);
        assert_eq!(followed.next(), Some(4));
        assert_eq!(Followed::of_json(&followed.to_json()), followed);
    }

    #[test]
    fn the_topic_is_that_of_governors() {
        assert!(
            topics().to_string().contains("7d84a6263ae0d98d3329bd7b46bb4e8d6f98cd35a7adb45c274c8b7fd5ebd5e0")
        );
    }
}
