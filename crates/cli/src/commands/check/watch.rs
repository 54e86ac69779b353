//! `muster check watch`: follows governors on a chain and checks each proposal in the block in which it comes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use muster_web3::chain::{Followed, Said};
use muster_web3::effect::Effect;
use muster_web3::proposal::{Account, Proposal};
use muster_web3::{Checked, Party, Reason, Verdict, abi, chain, judge};
use serde_json::Value as Json;

use super::Printed;
use super::output::Answers;
use super::rpc::{BLOCKS_MAX, Node, number};
use crate::exit::{Exit, usage};

/// Proposals whose code is looked at again when they are queued or executed.
const KEPT_MAX: usize = 1_000;
/// Accounts that are asked for, of one proposal.
const ASKED_MAX: usize = 32;

#[derive(Args)]
pub struct Watch {
    /// The node: `http://127.0.0.1:8545`.
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// A governor to follow. Several may be given.
    #[arg(long, value_name = "ADDR", required = true)]
    governor: Vec<String>,
    /// The first block. Without it, from now on, or from where `--state` left off.
    #[arg(long, value_name = "BLOCK")]
    from: Option<u64>,
    /// Where it is remembered how far it came, so that a restart misses and repeats nothing.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How often the node is asked, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    every: u64,
    /// Stop at the head of the chain instead of waiting for more.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    printed: Printed,
}

impl Watch {
    pub fn run(self) -> Result<Exit> {
        let governors: Result<Vec<Party>> = self
            .governor
            .iter()
            .map(|text| Party::read(text).filter(|party| party.address().is_some()))
            .zip(&self.governor)
            .map(|(party, text)| party.ok_or_else(|| usage(format!("`{text}` is no address"))))
            .collect();
        let mut follower = Follower {
            node: Node::new(&self.rpc)?,
            governors: governors?,
            followed: self.remembered()?,
            kept: BTreeMap::new(),
        };
        let mut answers = Answers::to_stdout(self.printed);
        let mut from = self.from;
        follower.recall()?;
        loop {
            match follower.poll(from.take(), &mut answers) {
                Ok(()) => {
                    if let Some(path) = &self.state {
                        let next = path.with_extension("next");
                        std::fs::write(&next, follower.followed.to_json().to_string())?;
                        std::fs::rename(&next, path)?;
                    }
                }
                Err(error) if self.once => return Err(error),
                // A node that is away for a while is no end: what it has by then is read then.
                Err(error) => eprintln!("warning: {}", muster_event::sanitize(&error.to_string())),
            }
            answers.flush()?;
            if self.once {
                return answers.end();
            }
            std::thread::sleep(Duration::from_millis(self.every.max(50)));
        }
    }

    fn remembered(&self) -> Result<Followed> {
        let Some(path) = &self.state else { return Ok(Followed::default()) };
        match std::fs::read(path) {
            Ok(bytes) => {
                let json: Json = serde_json::from_slice(&bytes).map_err(|error| {
                    usage(format!("`{}` is no state of this command: {error}", path.display()))
                })?;
                Ok(Followed::of_json(&json))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Followed::default()),
            Err(error) => Err(usage(format!("`{}`: {error}", path.display()))),
        }
    }
}

/// All proposals of a governor, once: `muster check proposal --rpc URL --governor ADDR`.
pub fn proposals(rpc: &str, governor: &str, from: u64) -> Result<Vec<Proposal>> {
    let node = Node::new(rpc)?;
    let head = node.head()?;
    let mut found = Vec::new();
    let mut at = from;
    while at <= head {
        let to = head.min(at + BLOCKS_MAX - 1);
        for log in node.logs(governor, at, to)? {
            if let Some(Said::Created(mut proposal)) = chain::log(&log) {
                enrich(&node, &mut proposal)?;
                found.push(*proposal);
            }
        }
        at = to + 1;
    }
    Ok(found)
}

struct Follower {
    node: Node,
    governors: Vec<Party>,
    followed: Followed,
    kept: BTreeMap<String, Proposal>,
}

impl Follower {
    /// After a restart: what was told of before is history again.
    fn recall(&mut self) -> Result<()> {
        let (Some(first), Some(next)) = (self.followed.told.values().min().copied(), self.followed.next())
        else {
            return Ok(());
        };
        let mut at = first;
        while at < next {
            let to = (at + BLOCKS_MAX).min(next) - 1;
            for governor in &self.governors {
                for log in self.node.logs(governor.as_str(), at, to)? {
                    if let Some(Said::Created(proposal)) = chain::log(&log)
                        && let Some(id) = proposal.id.clone()
                        && self.followed.told.contains_key(&id)
                        && self.kept.len() < KEPT_MAX
                    {
                        self.kept.insert(id, *proposal);
                    }
                }
            }
            at = to + 1;
        }
        Ok(())
    }

    fn poll<W: std::io::Write>(&mut self, from: Option<u64>, answers: &mut Answers<W>) -> Result<()> {
        let head = self.node.head()?;
        let node = &self.node;
        let mut failed = None;
        let gone = self.followed.take_back(|block| {
            node.hash(block).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        for id in gone {
            let reason = Reason::new(
                "taken-back",
                "chain",
                Verdict::Notice,
                "The block of this proposal was taken back by the chain.",
            );
            answers.give(&Checked::of(id, vec![reason]))?;
        }
        let mut at = self.followed.next().or(from).unwrap_or(head);
        while at <= head {
            let to = head.min(at + BLOCKS_MAX - 1);
            let hash = self.node.hash(to)?.ok_or_else(|| anyhow!("the node has no block {to}"))?;
            for governor in self.governors.clone() {
                for log in self.node.logs(governor.as_str(), at, to)? {
                    let block = log.get("blockNumber").and_then(number).unwrap_or(to);
                    if let Some(said) = chain::log(&log) {
                        self.said(said, block, answers)?;
                    }
                }
            }
            self.followed.saw(to, &hash);
            at = to + 1;
        }
        Ok(())
    }

    fn said<W: std::io::Write>(&mut self, said: Said, block: u64, answers: &mut Answers<W>) -> Result<()> {
        match said {
            Said::Created(mut proposal) => {
                let id = proposal.id.clone().unwrap_or_default();
                if self.followed.told.contains_key(&id) {
                    return Ok(());
                }
                enrich(&self.node, &mut proposal)?;
                remember_code(&mut proposal, "propose");
                // What was proposed here before is its history.
                proposal.context.previous = self.kept.values().cloned().collect();
                answers.give(&judge::proposal(&id, &proposal, &[] as &[Effect]))?;
                proposal.context.previous.clear();
                self.followed.told.insert(id.clone(), block);
                if self.kept.len() < KEPT_MAX {
                    self.kept.insert(id, *proposal);
                }
            }
            Said::Became(id, word) => {
                if word == "canceled" {
                    return Ok(());
                }
                let Some(proposal) = self.kept.get_mut(&id) else { return Ok(()) };
                enrich(&self.node, proposal)?;
                remember_code(proposal, if word == "queued" { "queue" } else { "execute" });
                let changed = proposal.context.code_hashes.values().any(|moments| {
                    let mut hashes: Vec<&String> = moments.values().collect();
                    hashes.dedup();
                    hashes.len() > 1
                });
                if changed {
                    answers.give(&judge::proposal(&id, proposal, &[]))?;
                }
            }
        }
        Ok(())
    }
}

/// Code of what is called and of who gains, and how much the proposer did before.
fn enrich(node: &Node, proposal: &mut Proposal) -> Result<()> {
    let unwrapped = muster_web3::unwrap::unwrap(&proposal.calls);
    let mut parties: Vec<Party> =
        unwrapped.effects.iter().filter_map(|effect| effect.gains().cloned()).collect();
    parties.extend(proposal.calls.iter().map(|call| call.to.clone()));
    parties.extend(proposal.context.proposer.clone());
    parties.sort();
    parties.dedup();
    for party in parties.into_iter().filter(|party| party.address().is_some()).take(ASKED_MAX) {
        let code = abi::hex(&node.code(party.as_str())?).unwrap_or_default();
        let nonce = node.nonce(party.as_str())?;
        let account = Account {
            nonce: nonce.map(|nonce| nonce as f64),
            is_contract: Some(!code.is_empty()),
            ..Account::default()
        };
        proposal.context.accounts.insert(party.clone(), account);
        proposal.context.code.insert(party, code);
    }
    Ok(())
}

fn remember_code(proposal: &mut Proposal, moment: &str) {
    for (party, code) in &proposal.context.code {
        let hash = abi::to_hex(muster_web3::alloy_primitives::keccak256(code).as_slice());
        proposal.context.code_hashes.entry(party.clone()).or_default().insert(moment.to_owned(), hash);
    }
}
