//! Other proposals: the same text with other calls, the same calls by a sibling, many empty ones around one that pays.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::keccak256;

use super::Case;
use super::says::same_calls;
use crate::effect::Power;
use crate::proposal::Proposal;
use crate::{Reason, Verdict};

const CHANNEL: &str = "history";
/// Share of shingles that two texts have in common, from which one is a copy of the other. Proposals of one series (budgets
/// of every year) reach 0.8; a copy with a few words changed stays above 0.9.
const COPY: f64 = 0.9;
/// Words of a shingle.
const SHINGLE: usize = 4;
/// Shingles kept of a text: the smallest hashes are a fair sample of all.
const SKETCH: usize = 128;
/// Decoys are alike and empty; fewer of them are a habit of testing.
const DECOYS_MIN: usize = 3;
/// How many earlier proposals each is held against.
const WINDOW: usize = 2_000;

/// The smallest hashes of a text's shingles.
struct Sketch(BTreeSet<u64>);

impl Sketch {
    fn of(text: &str) -> Self {
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .take(20_000)
            .map(str::to_lowercase)
            .collect();
        let mut kept = BTreeSet::new();
        let size = SHINGLE.min(words.len().max(1));
        for shingle in words.windows(size) {
            let hash = keccak256(shingle.join(" ").as_bytes());
            kept.insert(u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default()));
            if kept.len() > SKETCH {
                kept.pop_last();
            }
        }
        Self(kept)
    }

    fn likeness(&self, other: &Self) -> f64 {
        let smallest: BTreeSet<u64> = self.0.union(&other.0).copied().take(SKETCH).collect();
        let both = smallest.iter().filter(|hash| self.0.contains(hash) && other.0.contains(hash)).count();
        if smallest.is_empty() { 0.0 } else { both as f64 / smallest.len() as f64 }
    }
}

pub fn reasons(case: &Case, into: &mut Vec<Reason>) {
    let previous = &case.proposal.context.previous;
    if previous.is_empty() {
        return;
    }
    let sketch = case.proposal.text.as_deref().map(Sketch::of);
    for earlier in previous.iter().rev().take(WINDOW) {
        let other = earlier.text.as_deref().map(Sketch::of);
        compare(case, sketch.as_ref(), earlier, other.as_ref(), into);
    }
    decoys(case, previous.iter(), into);
}

/// Proposals of one file are each other's history: those before each are its earlier ones.
#[must_use]
pub fn across(proposals: &[Proposal]) -> Vec<Vec<Reason>> {
    let sketches: Vec<Option<Sketch>> = proposals.iter().map(|p| p.text.as_deref().map(Sketch::of)).collect();
    let mut all = Vec::with_capacity(proposals.len());
    for (at, proposal) in proposals.iter().enumerate() {
        let mut reasons = Vec::new();
        if proposals.len() > 1 {
            let case = Case::new(proposal, &[]);
            let from = at.saturating_sub(WINDOW);
            let sketch = sketches.get(at).and_then(Option::as_ref);
            let earlier = proposals.iter().zip(&sketches).take(at).skip(from);
            for (earlier, other) in earlier {
                compare(&case, sketch, earlier, other.as_ref(), &mut reasons);
            }
            let others = proposals.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, p)| p);
            decoys(&case, others, &mut reasons);
        }
        all.push(reasons);
    }
    all
}

fn compare(
    case: &Case,
    sketch: Option<&Sketch>,
    earlier: &Proposal,
    other: Option<&Sketch>,
    into: &mut Vec<Reason>,
) {
    let name = earlier.id.clone().unwrap_or_else(|| "an earlier one".to_owned());
    let strong = case.effects.iter().any(|effect| effect.power >= Power::Value);
    let alike = match (sketch, other) {
        (Some(a), Some(b)) => a.likeness(b),
        _ => 0.0,
    };
    let same = !case.proposal.calls.is_empty()
        && same_calls(case.proposal, earlier)
        && targets_same(case.proposal, earlier);
    let one = |into: &mut Vec<Reason>, reason: Reason| {
        if !into.iter().any(|other| other.code == reason.code) {
            into.push(reason);
        }
    };
    if alike >= COPY && !same && strong && case.proposal.calls != earlier.calls {
        one(
            into,
            Reason::new(
                "copied-text",
                CHANNEL,
                Verdict::Warning,
                format!(
                    "The text is that of proposal {name} ({:.0} % alike), the calls are others.",
                    alike * 100.0
                ),
            )
            .refuted_by("a series whose text is the same each time, with what changed said"),
        );
    }
    let proposers = (&case.proposal.context.proposer, &earlier.context.proposer);
    if same && strong {
        let sibling = matches!(proposers, (Some(a), Some(b)) if a != b);
        let funder = |proposal: &Proposal| {
            let proposer = proposal.context.proposer.as_ref()?;
            proposal.context.accounts.get(proposer)?.funder.clone()
        };
        let one_purse = funder(case.proposal).is_some() && funder(case.proposal) == funder(earlier)
            || funder(case.proposal).as_deref()
                == earlier.context.proposer.as_ref().map(crate::Party::as_str)
                && earlier.context.proposer.is_some();
        if sibling {
            one(
                into,
                Reason::new(
                    "same-by-another",
                    CHANNEL,
                    Verdict::High,
                    format!("The same calls were proposed before, as {name}, by another account."),
                )
                .refuted_by("a first try that failed for form, and a text that says so"),
            );
        }
        if sibling && one_purse {
            one(
                into,
                Reason::new(
                    "sibling-proposer",
                    "party",
                    Verdict::Warning,
                    "Both proposers were paid for by one account.",
                )
                .refuted_by("an exchange that pays for many"),
            );
        }
        if !sibling {
            one(
                into,
                Reason::new(
                    "tried-again",
                    CHANNEL,
                    Verdict::Notice,
                    format!("The same calls were proposed before, as {name}."),
                ),
            );
        }
    }
    // The same payee asks again for more.
    let gain = |effects: &[crate::effect::Effect]| -> BTreeMap<crate::Party, f64> {
        let mut sums = BTreeMap::new();
        for effect in effects {
            if let (Some(who), Some(amount)) = (effect.gains(), effect.amount) {
                *sums.entry(who.clone()).or_insert(0.0) += f64::from(amount);
            }
        }
        sums
    };
    if !same && strong && !earlier.calls.is_empty() {
        let before = gain(&crate::unwrap::unwrap(&earlier.calls).effects);
        let again = gain(&case.effects).into_iter().find(|(who, sum)| {
            before.get(who).is_some_and(|old| *old > 0.0 && *sum >= old * 3.0)
                && !case.proposal.context.known.contains_key(who)
        });
        if let Some((who, _)) = again {
            one(
                into,
                Reason::new(
                    "asks-for-more",
                    CHANNEL,
                    Verdict::Notice,
                    format!("The payee of {name} asks again, for three times as much or more."),
                )
                .evidence(who.shown())
                .refuted_by("a team whose earlier request was granted and done"),
            );
        }
    }
}

fn targets_same(one: &Proposal, other: &Proposal) -> bool {
    one.calls.iter().zip(&other.calls).all(|(a, b)| a.to == b.to)
}

/// Synthetify: ten proposals of one look, nine of them empty.
fn decoys<'a>(case: &Case, others: impl Iterator<Item = &'a Proposal>, into: &mut Vec<Reason>) {
    if !case.effects.iter().any(|effect| effect.power >= Power::Value) {
        return;
    }
    let Some(author) = &case.proposal.context.proposer else {
        return decoys_by_text(case, others, into);
    };
    let empty = others
        .filter(|other| other.context.proposer.as_ref() == Some(author))
        .filter(|other| other.calls.is_empty() && other.effects.is_empty())
        .take(10_000)
        .count();
    told(empty, "of one author", into);
}

fn decoys_by_text<'a>(case: &Case, others: impl Iterator<Item = &'a Proposal>, into: &mut Vec<Reason>) {
    let Some(text) = &case.proposal.text else { return };
    let own = Sketch::of(text);
    let empty = others
        .filter(|other| other.calls.is_empty() && other.effects.is_empty())
        .filter(|other| other.text.as_deref().is_some_and(|text| Sketch::of(text).likeness(&own) >= 0.6))
        .take(10_000)
        .count();
    told(empty, "with a like text", into);
}

fn told(empty: usize, whose: &str, into: &mut Vec<Reason>) {
    if empty >= DECOYS_MIN {
        into.push(
            Reason::new(
                "among-decoys",
                CHANNEL,
                Verdict::Warning,
                format!("{empty} proposals {whose} call nothing; this one does."),
            )
            .refuted_by("polls of opinion that are usual here"),
        );
    }
}
