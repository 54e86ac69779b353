//! What is to be thought of a proposal: reasons from its text, its effects and what is known around it.
//!
//! Channels, each with evidence of its own: `text` (what is said against what is done), `effect` (who gains by the calls,
//! whatever is said), `look-alike`, `party` (age and funding), `votes`, `time`, `code`, `code-history`, `history` (other
//! proposals), `bribery`, `run` (what happens when the calls run). `high` takes two of them.

use std::collections::BTreeSet;

use crate::claim::Claims;
use crate::effect::{Act, Effect, Power};
use crate::proposal::Proposal;
use crate::unwrap::{Unwrapped, unwrap};
use crate::{Checked, Party, Reason, Verdict};

mod code;
mod context;
mod deeds;
mod history;
mod says;

pub use history::across;

/// Effects listed in an answer.
const LISTED_MAX: usize = 12;

/// Everything that a check of one proposal rests on.
pub struct Case<'a> {
    pub proposal: &'a Proposal,
    pub claims: Claims,
    pub effects: Vec<Effect>,
    pub unwrapped: Unwrapped,
    /// Contracts that the proposal calls or changes: no strangers to it.
    pub own: BTreeSet<Party>,
}

impl<'a> Case<'a> {
    /// `ran`: the effects that happened when the calls were run, where they were.
    #[must_use]
    pub fn new(proposal: &'a Proposal, ran: &[Effect]) -> Self {
        let unwrapped = unwrap(&proposal.calls);
        let mut effects = unwrapped.effects.clone();
        effects.extend(proposal.effects.iter().cloned());
        effects.extend(ran.iter().cloned());
        let mut own = unwrapped.targets.clone();
        own.extend(effects.iter().map(|effect| effect.on.clone()));
        own.extend(proposal.context.known.keys().cloned());
        // Who is only called so that it gets something, or is new code, is a stranger all the same.
        for effect in &effects {
            let is_code = effect.act == Act::Delegatecall;
            let is_coin = effect.act == Act::Move && effect.on.is_zero();
            if let Some(who) = effect.who.as_ref().filter(|_| is_code || is_coin)
                && !proposal.context.known.contains_key(who)
                && !effects.iter().any(|other| other.on == *who && other.power > Power::None)
            {
                own.remove(who);
            }
        }
        let claims = Claims::of(proposal.text.as_deref().unwrap_or_default());
        Self { proposal, claims, effects, unwrapped, own }
    }

    /// Whether nothing in the proposal says who this is.
    #[must_use]
    pub fn is_stranger(&self, party: &Party) -> bool {
        !self.claims.names(party) && !self.own.contains(party) && !party.is_zero()
    }

    /// The address in the text, among the contracts or known, that looks like this one.
    fn twin(&self, party: &Party) -> Option<(&Party, usize)> {
        let named = self.claims.parties.iter().chain(&self.own).filter(|other| *other != party);
        named
            .filter_map(|other| crate::likeness(party, other).map(|n| (other, n)))
            .filter(|(_, n)| *n >= crate::LIKENESS_MIN)
            .max_by_key(|(_, n)| *n)
    }
}

/// One proposal by itself.
#[must_use]
pub fn proposal(name: &str, proposal: &Proposal, ran: &[Effect]) -> Checked {
    let reasons = reasons(&Case::new(proposal, ran));
    Checked::of(name, reasons)
}

/// The reasons alone, for who adds some of other sources.
#[must_use]
pub fn reasons(case: &Case) -> Vec<Reason> {
    let mut reasons = Vec::new();
    says::reasons(case, &mut reasons);
    deeds::reasons(case, &mut reasons);
    context::reasons(case, &mut reasons);
    code::reasons(case, &mut reasons);
    history::reasons(case, &mut reasons);
    reasons.push(listed(case));
    for text in case.unwrapped.problems.iter().chain(&case.proposal.unseen) {
        reasons.push(
            Reason::new("not-all-seen", "sight", Verdict::Notice, format!("Not all could be seen: {text}."))
                .refuted_by("the whole proposal, or its simulation"),
        );
    }
    let unknown: usize = case.unwrapped.unknown.values().sum();
    if unknown > 0 {
        let names: Vec<&str> = case.unwrapped.unknown.keys().take(5).map(String::as_str).collect();
        reasons.push(
            Reason::new(
                "unknown-calls",
                "sight",
                Verdict::Info,
                format!("{unknown} of {} calls have a function that is not known.", case.unwrapped.calls),
            )
            .evidence(names.join(", "))
            .refuted_by("the contracts' interfaces, or a simulation (`--state`, `--rpc`)"),
        );
    }
    reasons
}

fn listed(case: &Case) -> Reason {
    let mut effects: Vec<&Effect> = case.effects.iter().collect();
    effects.sort_by_key(|effect| std::cmp::Reverse(effect.power));
    let lines: Vec<String> = effects.iter().take(LISTED_MAX).map(|effect| effect.line()).collect();
    let text = match case.effects.len() {
        0 => "It calls nothing.".to_owned(),
        n if n > LISTED_MAX => {
            format!("It has {n} effects in {} calls; the weightiest {LISTED_MAX}:", case.unwrapped.calls)
        }
        n => format!("It has {n} effects in {} calls.", case.unwrapped.calls),
    };
    let reason = Reason::new("effects", "sight", Verdict::Info, text);
    if lines.is_empty() { reason } else { reason.evidence(lines.join("; ")) }
}
