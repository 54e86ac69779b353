//! A proposal as somebody wrote it down: what it says, what it calls, and what is known around it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;
use serde_json::{Map, Value as Json};

use crate::effect::Effect;
use crate::unwrap::Call;
use crate::{Party, abi};

mod forms;
mod opengov;
mod realms;
mod seatbelt;

/// More proposals than any governor had in its life.
pub const PROPOSALS_MAX: usize = 20_000;
/// Of a text: the longest honest ones have some 50 kB. What is beyond is not read, and said.
pub const TEXT_MAX: usize = 1 << 20;
/// Of lists and tables of context (accounts, code, votes).
pub const CONTEXT_MAX: usize = 100_000;
/// How deep JSON is followed where a form does not say where something is.
pub const JSON_DEPTH_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    #[error("no JSON: {0}")]
    Json(String),
    #[error("no proposal: neither calls nor a text (`description`, `targets`, `values`, `calldatas`)")]
    None,
    #[error("`{name}` has {found} entries, `targets` {expected}")]
    Lengths { name: &'static str, found: usize, expected: usize },
    #[error("`{name}`: `{found}` is no {wanted}")]
    Field { name: &'static str, found: String, wanted: &'static str },
    #[error("more than {PROPOSALS_MAX} proposals")]
    TooMany,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposal {
    pub id: Option<String>,
    /// `None` where the form has no text; an empty one was left empty.
    pub text: Option<String>,
    pub calls: Vec<Call>,
    /// What is not in calls: instructions of other chains, another's report.
    pub effects: Vec<Effect>,
    /// What cannot be seen: a preimage that is missing, a text that was cut.
    pub unseen: Vec<String>,
    pub context: Context,
}

/// What is known around a proposal. Nothing of it is needed; what is not known is not asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    pub chain: Option<String>,
    /// Of the fork in force: `selfdestruct` ends other code only before `cancun`.
    pub fork: Option<String>,
    pub proposer: Option<Party>,
    pub accounts: BTreeMap<Party, Account>,
    /// Addresses that are known to be the protocol's, with their names.
    pub known: BTreeMap<Party, String>,
    pub proposer_votes: Option<f64>,
    pub threshold: Option<f64>,
    pub quorum: Option<f64>,
    pub supply: Option<f64>,
    pub delay_min: Option<f64>,
    pub created: Option<f64>,
    pub queued: Option<f64>,
    pub executed: Option<f64>,
    pub votes: Vec<Vote>,
    /// Hash of the code at an address, by moment: `propose`, `queue`, `execute`.
    pub code_hashes: BTreeMap<Party, BTreeMap<String, String>>,
    pub code: BTreeMap<Party, Vec<u8>>,
    /// Deployer of a contract and how: `create`, `create2`.
    pub deployed: BTreeMap<Party, (Option<Party>, String)>,
    /// Ids and texts of earlier proposals, with what they call.
    pub previous: Vec<Proposal>,
    /// Geth's `prestateTracer`: for the simulation.
    pub state: Option<Json>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    pub age_days: Option<f64>,
    pub nonce: Option<f64>,
    pub is_contract: Option<bool>,
    pub is_verified: Option<bool>,
    pub funder: Option<String>,
}

/// A vote on this proposal, with what is known of its weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vote {
    pub voter: String,
    pub support: bool,
    pub weight: f64,
    /// For how long the weight was held when it was cast, in hours.
    pub held_hours: Option<f64>,
    /// Weight that was borrowed, or bought, for this vote.
    pub is_borrowed: bool,
    pub funder: Option<String>,
}

/// All proposals of a file: an object, an array, or an object a line; or a seatbelt's report in Markdown.
pub fn read(bytes: &[u8]) -> Result<Vec<Proposal>, ProposalError> {
    let text = String::from_utf8_lossy(bytes);
    let trimmed = text.trim_start_matches('\u{feff}').trim();
    if trimmed.starts_with('#') {
        return seatbelt::read(trimmed).map(|proposal| vec![proposal]).ok_or(ProposalError::None);
    }
    let whole: Result<Json, _> = serde_json::from_str(trimmed);
    let objects = match whole {
        Ok(Json::Array(objects)) => objects,
        Ok(object) => match object.get("proposals").and_then(Json::as_array) {
            Some(list) => list.clone(),
            None => vec![object],
        },
        // An object a line.
        Err(error) => {
            let lines = trimmed.lines().filter(|line| !line.trim().is_empty()).take(PROPOSALS_MAX + 1);
            let objects: Result<Vec<Json>, _> = lines.map(serde_json::from_str).collect();
            objects
                .ok()
                .filter(|found| found.len() > 1)
                .ok_or_else(|| ProposalError::Json(error.to_string()))?
        }
    };
    if objects.len() > PROPOSALS_MAX {
        return Err(ProposalError::TooMany);
    }
    objects.iter().map(|object| one(object, true)).collect()
}

/// One proposal of any form.
pub(crate) fn one(json: &Json, with_context: bool) -> Result<Proposal, ProposalError> {
    let object = forms::inner(json).ok_or(ProposalError::None)?;
    let mut proposal = Proposal { id: forms::id(object), text: forms::text(object), ..Proposal::default() };
    if let Some(text) = &mut proposal.text
        && text.len() > TEXT_MAX
    {
        let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        proposal.unseen.push(format!("the text is longer than {} kB: the rest was not read", TEXT_MAX >> 10));
    }
    proposal.calls = forms::calls(object)?;
    let mut others = realms::read(object);
    others.extend(opengov::read(object, &mut proposal.unseen));
    proposal.effects = others;
    if proposal.text.is_none()
        && proposal.calls.is_empty()
        && proposal.effects.is_empty()
        && proposal.unseen.is_empty()
    {
        return Err(ProposalError::None);
    }
    if with_context {
        proposal.context = context(object);
    }
    Ok(proposal)
}

fn context(object: &Map<String, Json>) -> Context {
    let mut context = Context::default();
    let context_object = object.get("context").and_then(Json::as_object).unwrap_or(object);
    let get = |names: &[&str]| {
        names.iter().find_map(|name| context_object.get(*name).or_else(|| object.get(*name)))
    };
    let text = |names: &[&str]| get(names).and_then(Json::as_str).map(str::to_owned);
    let number = |names: &[&str]| get(names).and_then(float);
    context.chain = text(&["chain", "network"]);
    context.fork = text(&["fork", "hardfork"]);
    let proposer = get(&["proposer", "creator", "author"]);
    match proposer {
        Some(Json::Object(about)) => {
            let address = about.get("address").or_else(|| about.get("id")).and_then(Json::as_str);
            context.proposer = address.and_then(Party::read);
            context.proposer_votes =
                ["votes", "power", "voting_power"].iter().find_map(|name| about.get(*name).and_then(float));
            if let Some(party) = &context.proposer {
                context.accounts.insert(party.clone(), account(about));
            }
        }
        Some(Json::String(address)) => context.proposer = Party::read(address),
        _ => {}
    }
    let votes = number(&["proposer_votes", "proposerVotes", "proposer_power"]);
    context.proposer_votes = votes.or(context.proposer_votes);
    context.threshold = number(&["proposal_threshold", "proposalThreshold", "threshold"]);
    context.quorum = number(&["quorum", "quorum_votes", "quorumVotes"]);
    context.supply = number(&["total_supply", "totalSupply", "supply"]);
    context.delay_min = number(&["minimum_delay", "min_delay", "minDelay", "timelock_delay"]);
    context.created = number(&["created", "created_at", "createdAt"]);
    context.queued = number(&["queued", "queued_at", "queuedAt"]);
    context.executed = number(&["executed", "executed_at", "executedAt"]);
    for (address, about) in entries(get(&["accounts"])) {
        if let (Some(party), Some(about)) = (Party::read(address), about.as_object()) {
            context.accounts.insert(party, account(about));
        }
    }
    match get(&["known", "known_addresses", "knownAddresses"]) {
        Some(Json::Array(list)) => {
            let parties = list.iter().take(CONTEXT_MAX).filter_map(Json::as_str).filter_map(Party::read);
            context.known = parties.map(|party| (party, String::new())).collect();
        }
        Some(Json::Object(map)) => {
            for (address, name) in map.iter().take(CONTEXT_MAX) {
                if let Some(party) = Party::read(address) {
                    context.known.insert(party, name.as_str().unwrap_or_default().to_owned());
                }
            }
        }
        _ => {}
    }
    if let Some(list) = get(&["votes"]).and_then(Json::as_array) {
        context.votes = list.iter().take(CONTEXT_MAX).filter_map(Json::as_object).map(vote).collect();
    }
    for (address, moments) in entries(get(&["code_hash", "code_hashes", "codeHashes"])) {
        if let (Some(party), Some(moments)) = (Party::read(address), moments.as_object()) {
            let hashes = moments
                .iter()
                .filter_map(|(moment, hash)| Some((moment.clone(), hash.as_str()?.to_ascii_lowercase())));
            context.code_hashes.insert(party, hashes.collect());
        }
    }
    for (address, code) in entries(get(&["code", "bytecode"])) {
        if let (Some(party), Some(code)) = (Party::read(address), code.as_str().and_then(abi::hex)) {
            context.code.insert(party, code);
        }
    }
    for (address, about) in entries(get(&["deployed", "deployers"])) {
        if let (Some(party), Some(about)) = (Party::read(address), about.as_object()) {
            let by = about.get("by").and_then(Json::as_str).and_then(Party::read);
            let how = about.get("how").and_then(Json::as_str).unwrap_or_default().to_ascii_lowercase();
            context.deployed.insert(party, (by, how));
        }
    }
    if let Some(list) = get(&["previous", "earlier"]).and_then(Json::as_array) {
        let previous = list.iter().take(PROPOSALS_MAX).filter_map(|earlier| one(earlier, false).ok());
        context.previous = previous.collect();
    }
    context.state = get(&["state", "prestate"]).filter(|state| state.is_object()).cloned();
    context
}

fn entries(json: Option<&Json>) -> impl Iterator<Item = (&String, &Json)> {
    json.and_then(Json::as_object).into_iter().flatten().take(CONTEXT_MAX)
}

fn account(about: &Map<String, Json>) -> Account {
    let number = |names: &[&str]| names.iter().find_map(|name| about.get(*name).and_then(float));
    let yes = |names: &[&str]| names.iter().find_map(|name| about.get(*name).and_then(Json::as_bool));
    let funder =
        ["funded_by", "funder", "fundedBy"].iter().find_map(|name| about.get(*name).and_then(Json::as_str));
    let hours = number(&["age_hours"]).map(|hours| hours / 24.0);
    Account {
        age_days: number(&["age_days", "ageDays"]).or(hours),
        nonce: number(&["nonce", "transactions"]),
        is_contract: yes(&["is_contract", "isContract", "contract"]),
        is_verified: yes(&["verified", "is_verified"]),
        funder: funder.map(str::to_owned),
    }
}

fn vote(about: &Map<String, Json>) -> Vote {
    let text = |names: &[&str]| names.iter().find_map(|name| about.get(*name).and_then(Json::as_str));
    let number = |names: &[&str]| names.iter().find_map(|name| about.get(*name).and_then(float));
    let support =
        ["support", "choice"].iter().find_map(|name| about.get(*name)).is_none_or(|choice| match choice {
            Json::Bool(yes) => *yes,
            Json::String(word) => {
                matches!(word.to_ascii_lowercase().as_str(), "for" | "yes" | "yae" | "pass" | "1")
            }
            other => float(other).is_some_and(|number| number == 1.0),
        });
    Vote {
        voter: text(&["voter", "address"]).unwrap_or_default().to_ascii_lowercase(),
        support,
        weight: number(&["weight", "vp", "votes"]).unwrap_or_default(),
        held_hours: number(&["held_hours", "heldHours"]),
        is_borrowed: about.get("borrowed").and_then(Json::as_bool).unwrap_or(false),
        funder: text(&["funder", "funded_by", "fundedBy"]).map(str::to_owned),
    }
}

/// A number, however it is written: `12`, `"12"`, `"0x0c"`.
pub(crate) fn float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => {
            let plain = text.trim().replace([',', '_'], "");
            plain.parse().ok().or_else(|| whole(json).map(f64::from)).filter(|n: &f64| n.is_finite())
        }
        _ => None,
    }
}

/// A whole number of Ethereum's size.
pub(crate) fn whole(json: &Json) -> Option<U256> {
    match json {
        Json::Number(number) => {
            let text = number.to_string();
            U256::from_str_radix(&text, 10).ok().or_else(|| {
                // 1e21, as JavaScript writes it.
                number.as_f64().filter(|n| *n >= 0.0 && *n < 1e77 && n.fract() == 0.0).map(U256::from)
            })
        }
        Json::String(text) => {
            let text = text.trim();
            match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                Some("") => Some(U256::ZERO),
                Some(digits) if digits.len() <= 64 => U256::from_str_radix(digits, 16).ok(),
                Some(_) => None,
                None if text.len() <= 78 => U256::from_str_radix(&text.replace(['_', ','], ""), 10).ok(),
                None => None,
            }
        }
        Json::Null => Some(U256::ZERO),
        // Ethers' old big numbers.
        Json::Object(object) => object.get("hex").or_else(|| object.get("_hex")).and_then(whole),
        _ => None,
    }
}

/// The contracts that a proposal calls by itself.
#[must_use]
pub fn targets(proposal: &Proposal) -> BTreeSet<&Party> {
    proposal.calls.iter().map(|call| &call.to).collect()
}
