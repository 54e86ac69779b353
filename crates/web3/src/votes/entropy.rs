//! How few decide: the entropy of voting blocs over time, and where it drops.

use super::{Groups, Votes};
use crate::{Checked, Reason, Verdict};

/// Proposals of a window. Single ones jump.
const WINDOW: usize = 10;
/// Windows before a drop can be called one.
const PAST_MIN: usize = 3;
/// Bits that are lost: half as many blocs would have done.
const DROP_BITS: f64 = 1.0;

/// For the whole: minimal entropy, `-log2` of the largest bloc's share, a group of coordinated voters being one bloc.
pub fn answer(name: &str, votes: &Votes, groups: &mut Groups) -> Checked {
    let mut of_proposal: Vec<(f64, f64)> = Vec::new();
    let mut from = 0;
    for proposal in 0..votes.proposals.len() {
        let to = from
            + votes.votes.get(from..).unwrap_or_default().partition_point(|vote| vote.proposal <= proposal);
        let list = votes.votes.get(from..to).unwrap_or_default();
        from = to;
        let mut blocs: std::collections::BTreeMap<usize, f64> = std::collections::BTreeMap::new();
        for vote in list {
            *blocs.entry(groups.root(vote.voter)).or_insert(0.0) += vote.weight.max(0.0);
        }
        let sum: f64 = blocs.values().sum();
        let largest = blocs.values().copied().fold(0.0, f64::max);
        if sum > 0.0 && list.len() > 1 {
            of_proposal.push((list.first().map_or(0.0, |vote| vote.time), -(largest / sum).log2()));
        }
    }
    of_proposal.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bits: Vec<f64> = of_proposal.iter().map(|(_, bits)| *bits).collect();
    let windows: Vec<f64> = bits
        .chunks(WINDOW)
        .filter(|window| window.len() == WINDOW)
        .map(|window| window.iter().sum::<f64>() / WINDOW as f64)
        .collect();
    let mean = bits.iter().sum::<f64>() / bits.len().max(1) as f64;
    let text = format!(
        "{} voters cast {} votes on {} proposals; the largest bloc leaves {mean:.2} bits on the mean.",
        votes.voters.len(),
        votes.votes.len(),
        votes.proposals.len()
    );
    let mut reasons = vec![Reason::new("bloc-entropy", "blocs", Verdict::Info, text)];
    for (at, now) in windows.iter().enumerate().skip(PAST_MIN) {
        let mut past: Vec<f64> = windows.iter().take(at).copied().collect();
        past.sort_by(f64::total_cmp);
        let usual = past.get(past.len() / 2).copied().unwrap_or_default();
        let least = past.first().copied().unwrap_or_default();
        if usual - now >= DROP_BITS && *now < least && reasons.len() < 5 {
            let first = of_proposal.get(at * WINDOW).map_or(0.0, |(time, _)| *time);
            reasons.push(
                Reason::new(
                    "entropy-drop",
                    "blocs",
                    Verdict::Notice,
                    format!(
                        "From time {first:.0} on, the largest bloc leaves {now:.2} bits, {usual:.2} before."
                    ),
                )
                .refuted_by("a large delegate who came openly"),
            );
        }
    }
    Checked::of(name, reasons)
}
