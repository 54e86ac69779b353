//! Who votes with whom: pairs of voters whose times and choices go together more than week, session and habit explain.
//!
//! People vote on everything that is open in one sitting, soon after something opens, or whenever they look. So what counts
//! is not the vote but the sitting, and a pair is held against what the others on the same proposals did and against both
//! voters' own habits (their delays, shuffled). Moving together is one channel; `high` takes a second: who paid for the
//! accounts, or when they were made.

use crate::{Checked, Reason, Verdict};

mod entropy;
mod pairs;
mod read;

pub use pairs::{Pair, pairs};
pub use read::{Vote, Votes, VotesError, read};

/// A funder of more voters than this, or of more than this share, is an exchange or a bridge.
const HUB_MAX: usize = 20;
const HUB_SHARE: f64 = 0.02;
/// Accounts made within this of each other, where few others were.
const BIRTH_SECONDS: f64 = 86_400.0;
const BIRTH_SHARE: f64 = 0.02;
/// Who moves with more partners than this moves with the crowd: then it takes the second channel to say anything.
const CROWD_MAX: usize = 12;
/// False discoveries among the pairs that are called coordinated on times alone.
const DISCOVERY: f64 = 5e-3;
/// Delays that go together are a common clock, unless the same proposals were chosen too, at moments that are near.
const CHOSEN: f64 = 0.05;
const TIMES: f64 = 0.3;
/// With a second channel a pair is no longer one of very many.
const LINKED: f64 = 0.05;

/// One answer for the whole, then one for each voter, in their order.
#[must_use]
pub fn check(name: &str, votes: &Votes) -> Vec<Checked> {
    let found = pairs(votes);
    let tested = found.tested.max(1) as f64;
    let n = votes.voters.len();
    let links = Links::of(votes);
    // Benjamini and Hochberg, over all pairs that could have been found.
    let mut sorted: Vec<&Pair> = found.pairs.iter().collect();
    sorted.sort_by(|a, b| a.p.total_cmp(&b.p).then_with(|| (a.a, a.b).cmp(&(b.a, b.b))));
    let mut limit = 0.0;
    for (rank, pair) in sorted.iter().enumerate() {
        if pair.p <= DISCOVERY * (rank + 1) as f64 / tested {
            limit = pair.p;
        }
    }
    let near = |pair: &Pair| pair.times <= TIMES && pair.chosen <= CHOSEN;
    let mut partners = vec![0usize; n];
    for pair in &found.pairs {
        if pair.p <= limit && near(pair) {
            for at in [pair.a, pair.b] {
                if let Some(count) = partners.get_mut(at) {
                    *count += 1;
                }
            }
        }
    }
    let of_crowd = |at: usize| partners.get(at).is_some_and(|count| *count > CROWD_MAX);
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); n];
    let mut groups = Groups::new(n);
    for pair in &found.pairs {
        let second = links.between(pair.a, pair.b);
        let by_itself = pair.p <= limit && near(pair) && !of_crowd(pair.a) && !of_crowd(pair.b);
        let linked = second.is_some() && pair.p <= LINKED;
        if !by_itself && !linked {
            continue;
        }
        groups.join(pair.a, pair.b);
        for (at, other) in [(pair.a, pair.b), (pair.b, pair.a)] {
            let Some(list) = reasons.get_mut(at).filter(|list| list.len() < 8) else { continue };
            let other = votes.name(other);
            let verdict = if second.is_some() { Verdict::High } else { Verdict::Warning };
            list.push(
                Reason::new(
                    "votes-together",
                    "times",
                    verdict,
                    format!(
                        "It votes with {other}: {} proposals in {} sittings, {} of them alike, {} apart at the median.",
                        pair.together,
                        pair.sittings,
                        pair.alike,
                        hours(pair.gap_seconds)
                    ),
                )
                .evidence(format!("chance of it for two voters of these habits: {:.1e}; of as small gaps in these weeks: {:.1e}; of the same choice of proposals: {:.1e}", pair.p, pair.times, pair.chosen))
                .refuted_by("a reason that both act on: one delegate's two accounts that are told of, a reminder that both get"),
            );
            if let Some((code, text)) = &second {
                list.push(
                    Reason::new(code, "origin", Verdict::Warning, format!("{text} {other}."))
                        .refuted_by("a service that many use, and that is not known as one here"),
                );
            }
        }
    }
    let sizes = groups.sizes();
    let mut answers = vec![entropy::answer(name, votes, &mut groups)];
    for (at, list) in reasons.into_iter().enumerate() {
        let mut checked = Checked::of(votes.name(at), list);
        let size = sizes.get(groups.root(at)).copied().unwrap_or(1);
        if size > 1 {
            let reason =
                Reason::new("group", "times", Verdict::Info, format!("It is one of a group of {size}."));
            checked.reasons.push(reason.evidence(format!("group {}", votes.name(groups.root(at)))));
        }
        answers.push(checked);
    }
    answers
}

fn hours(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

/// The second channel: purse and birth.
struct Links<'a> {
    votes: &'a Votes,
    hub_min: usize,
    funded: std::collections::BTreeMap<&'a str, usize>,
    births: Vec<f64>,
}

impl<'a> Links<'a> {
    fn of(votes: &'a Votes) -> Self {
        let mut funded = std::collections::BTreeMap::new();
        for voter in &votes.voters {
            if let Some(funder) = &voter.funder {
                *funded.entry(funder.as_str()).or_insert(0usize) += 1;
            }
        }
        let mut births: Vec<f64> = votes.voters.iter().filter_map(|voter| voter.first_seen).collect();
        births.sort_by(f64::total_cmp);
        let share = (votes.voters.len() as f64 * HUB_SHARE) as usize;
        Self { votes, hub_min: share.max(HUB_MAX), funded, births }
    }

    fn between(&self, a: usize, b: usize) -> Option<(&'static str, &'static str)> {
        let (a, b) = (self.votes.voters.get(a)?, self.votes.voters.get(b)?);
        if let (Some(one), Some(other)) = (&a.funder, &b.funder) {
            let is_hub = self.funded.get(one.as_str()).is_some_and(|count| *count > self.hub_min);
            if one == other && !is_hub {
                return Some(("one-purse", "The account was paid for by whoever paid for"));
            }
            if *one == b.name || *other == a.name {
                return Some(("one-purse", "One of the two accounts paid for the other:"));
            }
        }
        let (one, other) = (a.first_seen?, b.first_seen?);
        if (one - other).abs() <= BIRTH_SECONDS {
            let from = self.births.partition_point(|time| *time < one - BIRTH_SECONDS);
            let to = self.births.partition_point(|time| *time <= one + BIRTH_SECONDS);
            let rare = (to - from) as f64 <= (self.births.len() as f64 * BIRTH_SHARE).max(12.0);
            if rare && self.births.len() >= 50 {
                return Some(("one-birth", "The account was made within a day of"));
            }
        }
        None
    }
}

/// Sets of voters that are joined pair by pair.
pub struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn new(n: usize) -> Self {
        Self { parent: (0..n).collect() }
    }

    pub fn root(&self, mut at: usize) -> usize {
        while let Some(parent) = self.parent.get(at).copied().filter(|parent| *parent != at) {
            at = parent;
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller index stays: the same for any order of pairs.
        let (keep, drop) = (a.min(b), a.max(b));
        if let Some(parent) = self.parent.get_mut(drop) {
            *parent = keep;
        }
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.parent.len()];
        for at in 0..self.parent.len() {
            if let Some(size) = sizes.get_mut(self.root(at)) {
                *size += 1;
            }
        }
        sizes
    }
}
