//! Who proposes and who gains, how old they are and who paid for them; whose votes, and when.

use std::collections::{BTreeMap, BTreeSet};

use super::Case;
use crate::effect::Power;
use crate::proposal::{Account, Vote};
use crate::{Party, Reason, Verdict};

/// An account that is younger is fresh. Forta's ageing is the same; attackers' accounts were hours or days old.
const FRESH_DAYS: f64 = 7.0;
/// Transactions of an account that was made for one thing.
const FRESH_NONCE: f64 = 20.0;
/// Votes within 1 % above the threshold (Lazy Summer: 10,001 of 10,000).
const HUGGING: f64 = 1.01;
/// Votes that were held for less were borrowed or bought for this.
const HELD_HOURS_MIN: f64 = 24.0;
/// Of the votes for it.
const BORROWED_SHARE: f64 = 0.25;
/// A dozen seconds of slack: blocks are no clocks.
const SLACK_SECONDS: f64 = 120.0;

const MIXERS: [&str; 9] =
    ["tornado", "mixer", "railgun", "fixedfloat", "changenow", "sideshift", "synapse", "exch.", "monero"];

pub fn reasons(case: &Case, into: &mut Vec<Reason>) {
    proposer(case, into);
    grantees(case, into);
    power(case, into);
    times(case, into);
}

/// Why an account is no established one, in words.
fn freshness(account: &Account) -> Option<String> {
    let mut words = Vec::new();
    if let Some(age) = account.age_days.filter(|age| *age < FRESH_DAYS) {
        words.push(format!("{age:.1} days old"));
    }
    if let Some(nonce) = account.nonce.filter(|nonce| *nonce < FRESH_NONCE) {
        let fresh_by_age = account.age_days.is_none_or(|age| age < FRESH_DAYS);
        if fresh_by_age && account.is_contract != Some(true) {
            words.push(format!("{nonce} transactions"));
        }
    }
    if let Some(funder) = mixer(account) {
        words.push(format!("paid for by {funder}"));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn mixer(account: &Account) -> Option<&str> {
    let funder = account.funder.as_deref()?;
    let lower = funder.to_lowercase();
    MIXERS.iter().any(|mixer| lower.contains(mixer)).then_some(funder)
}

fn proposer(case: &Case, into: &mut Vec<Reason>) {
    let context = &case.proposal.context;
    let Some(proposer) = &context.proposer else { return };
    let account = context.accounts.get(proposer);
    if let Some(why) = account.and_then(freshness) {
        into.push(
            Reason::new(
                "fresh-proposer",
                "party",
                Verdict::Warning,
                format!("The proposer is an account without a past: {why}."),
            )
            .evidence(proposer.shown())
            .refuted_by("who proposes has said elsewhere that this account is theirs"),
        );
    }
    if let (Some(votes), Some(threshold)) = (context.proposer_votes, context.threshold)
        && threshold > 0.0
        && votes >= threshold
        && votes <= threshold * HUGGING
    {
        into.push(
            Reason::new(
                "threshold-hugging",
                "votes",
                Verdict::Warning,
                format!("The proposer has {votes} votes, just the {threshold} that it takes to propose."),
            )
            .refuted_by("a delegation that was made for a known author"),
        );
    }
    let gains = case.effects.iter().find(|e| e.power >= Power::Value && e.gains() == Some(proposer));
    if let Some(effect) = gains {
        into.push(
            Reason::new("proposer-gains", "party", Verdict::Notice, "The proposer gains by it.")
                .evidence(effect.line())
                .refuted_by("a text that says so"),
        );
    }
}

fn grantees(case: &Case, into: &mut Vec<Reason>) {
    let context = &case.proposal.context;
    let mut told: BTreeSet<&Party> = BTreeSet::new();
    for effect in case.effects.iter().filter(|effect| effect.power >= Power::Value) {
        let Some(who) = effect.gains().filter(|who| told.insert(who)) else { continue };
        let Some(account) = context.accounts.get(who) else { continue };
        let fresh = freshness(account);
        let plain = account.is_contract == Some(false) && effect.power == Power::Control;
        if fresh.is_none() && !plain {
            continue;
        }
        let why = match (&fresh, plain) {
            (Some(why), true) => format!("{why}, one key and no contract"),
            (Some(why), false) => why.clone(),
            (None, _) => "one key and no contract".to_owned(),
        };
        let verdict = if fresh.is_some() { Verdict::Warning } else { Verdict::Notice };
        into.push(
            Reason::new(
                "fresh-grantee",
                "party",
                verdict,
                format!("Who gains is an account without a past: {why}."),
            )
            .evidence(effect.line())
            .refuted_by("the account is a known party's, and the text says so"),
        );
    }
}

fn power(case: &Case, into: &mut Vec<Reason>) {
    let context = &case.proposal.context;
    let cast: f64 = context.votes.iter().map(|vote| vote.weight).sum();
    if let Some(supply) = context.supply.filter(|supply| *supply > 0.0)
        && cast > supply * 1.000_001
    {
        into.push(
            Reason::new(
                "more-votes-than-tokens",
                "votes",
                Verdict::High,
                format!("{cast} votes were cast; there are {supply} tokens."),
            )
            .refuted_by("weights that are not counted in tokens (multipliers, quadratic votes)"),
        );
    }
    let for_it: Vec<&Vote> = context.votes.iter().filter(|vote| vote.support).collect();
    let sum: f64 = for_it.iter().map(|vote| vote.weight).sum();
    if sum <= 0.0 {
        return;
    }
    let borrowed: f64 = for_it
        .iter()
        .filter(|vote| vote.is_borrowed || vote.held_hours.is_some_and(|hours| hours < HELD_HOURS_MIN))
        .map(|vote| vote.weight)
        .sum();
    if borrowed >= sum * BORROWED_SHARE {
        let same_block = for_it.iter().any(|vote| vote.held_hours.is_some_and(|hours| hours < 0.01));
        let text = if same_block {
            "Votes come from tokens that were had for no longer than a block: a flash loan can do that."
        } else {
            "Votes come from tokens that were borrowed or bought for this vote."
        };
        into.push(
            Reason::new("borrowed-votes", "votes", Verdict::High, text)
                .evidence(format!("{:.0} % of the votes for it", 100.0 * borrowed / sum))
                .refuted_by("a snapshot that was taken before the tokens came"),
        );
    }
    let mut funders: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for vote in &for_it {
        if let Some(funder) = &vote.funder {
            let entry = funders.entry(funder).or_default();
            entry.0 += 1;
            entry.1 += vote.weight;
        }
    }
    if let Some((funder, (n, weight))) = funders
        .into_iter()
        .filter(|(_, (n, w))| *n >= 3 && *w >= sum * 0.3)
        .max_by(|a, b| a.1.1.total_cmp(&b.1.1))
    {
        into.push(
            Reason::new(
                "one-purse",
                "party",
                Verdict::Warning,
                format!(
                    "{n} voters with {:.0} % of the votes for it were paid for by one account.",
                    100.0 * weight / sum
                ),
            )
            .evidence(funder.to_owned())
            .refuted_by("an exchange, bridge or paymaster that pays for many"),
        );
    }
    let largest = for_it.iter().max_by(|a, b| a.weight.total_cmp(&b.weight));
    if let (Some(largest), Some(quorum)) = (largest, context.quorum)
        && largest.weight >= quorum
        && quorum > 0.0
        && largest.weight >= sum * 0.8
    {
        let own = context.proposer.as_ref().is_some_and(|proposer| proposer.as_str() == largest.voter);
        let verdict = if own { Verdict::Warning } else { Verdict::Notice };
        let who = if own { "The proposer alone" } else { "One voter alone" };
        into.push(
            Reason::new("one-voter-quorum", "votes", verdict, format!("{who} makes up the quorum."))
                .evidence(largest.voter.clone())
                .refuted_by("a delegate who is known to vote alone"),
        );
    }
}

fn times(case: &Case, into: &mut Vec<Reason>) {
    let context = &case.proposal.context;
    let (Some(from), Some(executed)) = (context.queued.or(context.created), context.executed) else { return };
    let took = executed - from;
    if let Some(least) = context.delay_min
        && took >= 0.0
        && took <= least + SLACK_SECONDS
    {
        into.push(
            Reason::new(
                "at-least-delay",
                "time",
                Verdict::Notice,
                format!(
                    "It was executed {took:.0} seconds after it was queued, as soon as that was allowed."
                ),
            )
            .refuted_by("a keeper that executes everything at once"),
        );
    }
    if let Some(created) = context.created
        && (0.0..86_400.0).contains(&(executed - created))
    {
        into.push(
            Reason::new(
                "within-a-day",
                "time",
                Verdict::Warning,
                format!("From proposal to execution it took {:.1} hours.", (executed - created) / 3_600.0),
            )
            .refuted_by("an emergency that the text names"),
        );
    }
}
