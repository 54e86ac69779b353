//! Pairs of voters, and how likely it is that two who have nothing to do with each other look like them.

use super::Votes;

/// Sittings together from which a pair says anything at all.
const SITTINGS_MIN: usize = 4;
/// Votes that are closer to each other are of one sitting: people vote on everything that is open.
const SITTING_SECONDS: f64 = 2.0 * 3_600.0;
/// In a proposal with more voters, each is only held against as many before and after.
const NEIGHBOURS_MAX: usize = 1_000;
/// How many times delays are shuffled at most. The smallest chance that it can show is one in as many.
const SHUFFLES: usize = 20_000;
/// Delays that go together more often than this by shuffling say nothing, with whatever else.
const HABIT_MAX: f64 = 0.05;
/// After as many that were as near, more say nothing new.
const ENOUGH: usize = 10;
/// More sittings tell no more, and cost.
const UNITS_MAX: usize = 64;
/// A pair of which so many choices differ does not vote together.
const ALIKE_MIN: f64 = 0.8;
/// What is looked at closely: pairs whose gaps are at least a little small. All others are counted as tested.
const CLOSE_LOOK: f64 = 0.4;

#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub a: usize,
    pub b: usize,
    pub together: usize,
    pub sittings: usize,
    pub alike: usize,
    pub gap_seconds: f64,
    /// The chance that both voters' own delays, shuffled, go together as well.
    pub p: f64,
    /// The chance of gaps as small, against the others of these weeks.
    pub times: f64,
    /// The chance that two who vote as often chose the same proposals, week by week.
    pub chosen: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    pub pairs: Vec<Pair>,
    /// Pairs with enough in common to be tested.
    pub tested: usize,
}

/// Proposals that opened within as many seconds of each other share a stratum: habits and eras change.
const STRATUM_SECONDS: f64 = 4.0 * WEEK_SECONDS;
const WEEK_SECONDS: f64 = 604_800.0;
/// Fewer gaps tell too little of a stratum: then all proposals' are asked.
const STRATUM_GAPS_MIN: usize = 200;
/// More gaps make no finer answer.
const GAPS_MAX: usize = 4_000;
const STRATUM_GAPS_MAX: usize = 50_000;
/// Who shares more of both votes than this is left out when the others are asked what is usual: a group that is most of a
/// proposal's voters would otherwise be its own measure.
const FELLOW: f64 = 0.6;
/// Fewer others on a proposal say nothing of what is usual there.
const OTHERS_MIN: usize = 3;
/// Delays that go together by far-apart moments are no coordination.
const TIMES: f64 = 0.4;

struct Ballot {
    from: usize,
    to: usize,
    start: f64,
    stratum: usize,
    week: i64,
}

/// What is asked again and again.
struct Usual {
    ballots: Vec<Ballot>,
    /// Gaps between voters of one proposal, sorted, by stratum; the last are all strata's.
    gaps: Vec<Vec<f64>>,
    /// Votes on proposals that opened in a week.
    weeks: std::collections::BTreeMap<i64, usize>,
}

impl Usual {
    /// The share of gaps of these weeks that are as small.
    fn share(&self, ballot: &Ballot, gap: f64) -> f64 {
        let own = self.gaps.get(ballot.stratum).filter(|gaps| gaps.len() >= STRATUM_GAPS_MIN);
        let Some(gaps) = own.or_else(|| self.gaps.last()) else { return 1.0 };
        let smaller = gaps.partition_point(|other| *other <= gap);
        (smaller.max(1) as f64 / gaps.len().max(1) as f64).min(1.0)
    }
}

#[must_use]
pub fn pairs(votes: &Votes) -> Pairs {
    let n = votes.voters.len();
    let usual = usual(votes);
    let mut of_voter: Vec<Vec<usize>> = vec![Vec::new(); n];
    for (at, vote) in votes.votes.iter().enumerate() {
        if let Some(list) = of_voter.get_mut(vote.voter) {
            list.push(at);
        }
    }
    let mut found = Pairs::default();
    // Sums over all others, for one voter at a time.
    let mut sums = vec![0f64; n];
    let mut counts = vec![0u32; n];
    let mut touched: Vec<usize> = Vec::new();
    for a in 0..n {
        let own = of_voter.get(a).map(Vec::as_slice).unwrap_or_default();
        if own.len() < SITTINGS_MIN {
            continue;
        }
        for at in own {
            let Some(vote) = votes.votes.get(*at) else { continue };
            let Some(ballot) = usual.ballots.get(vote.proposal) else { continue };
            let from = ballot.from.max(at.saturating_sub(NEIGHBOURS_MAX));
            let to = ballot.to.min(at + NEIGHBOURS_MAX + 1);
            for other in votes.votes.get(from..to).unwrap_or_default() {
                if other.voter <= a || of_voter.get(other.voter).is_none_or(|list| list.len() < SITTINGS_MIN)
                {
                    continue;
                }
                if let (Some(sum), Some(count)) = (sums.get_mut(other.voter), counts.get_mut(other.voter)) {
                    if *count == 0 {
                        touched.push(other.voter);
                    }
                    *count += 1;
                    *sum -= usual.share(ballot, (vote.time - other.time).abs()).ln();
                }
            }
        }
        touched.sort_unstable();
        for b in &touched {
            let (Some(total), Some(together)) = (sums.get(*b), counts.get(*b)) else { continue };
            let together = *together as usize;
            if together < SITTINGS_MIN {
                continue;
            }
            found.tested += 1;
            if fisher(*total, together) > CLOSE_LOOK {
                continue;
            }
            let other = of_voter.get(*b).map(Vec::as_slice).unwrap_or_default();
            // Whoever votes with both nearly always is no measure of what is usual.
            let fellow = |voter: usize| {
                let shared = f64::from(counts.get(voter).copied().unwrap_or_default());
                let theirs = of_voter.get(voter).map_or(0, Vec::len) as f64;
                shared >= FELLOW * own.len() as f64 && shared >= FELLOW * theirs
            };
            found.pairs.extend(closely(votes, &usual, &fellow, (a, own), (*b, other)));
        }
        for b in touched.drain(..) {
            if let (Some(sum), Some(count)) = (sums.get_mut(b), counts.get_mut(b)) {
                (*sum, *count) = (0.0, 0);
            }
        }
    }
    found
}

fn usual(votes: &Votes) -> Usual {
    let mut usual = Usual { ballots: Vec::new(), gaps: Vec::new(), weeks: std::collections::BTreeMap::new() };
    let mut strata: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
    let mut everywhere = Vec::new();
    let mut from = 0;
    for proposal in 0..votes.proposals.len() {
        let to = from
            + votes.votes.get(from..).unwrap_or_default().partition_point(|vote| vote.proposal <= proposal);
        let list = votes.votes.get(from..to).unwrap_or_default();
        let start = list.first().map_or(0.0, |vote| vote.time);
        let next = strata.len();
        let stratum = *strata.entry((start / STRATUM_SECONDS) as i64).or_insert(next);
        let week = (start / WEEK_SECONDS) as i64;
        *usual.weeks.entry(week).or_insert(0) += list.len();
        if usual.gaps.len() <= stratum {
            usual.gaps.push(Vec::new());
        }
        let sample = sample(list);
        everywhere.extend(sample.iter().copied().take(STRATUM_GAPS_MAX.saturating_sub(everywhere.len())));
        if let Some(gaps) = usual.gaps.get_mut(stratum) {
            gaps.extend(sample.into_iter().take(STRATUM_GAPS_MAX.saturating_sub(gaps.len())));
        }
        usual.ballots.push(Ballot { from, to, start, stratum, week });
        from = to;
    }
    usual.gaps.push(everywhere);
    usual.gaps.iter_mut().for_each(|gaps| gaps.sort_by(f64::total_cmp));
    usual
}

/// Gaps between the voters of one proposal: all, or as many taken evenly.
fn sample(list: &[super::Vote]) -> Vec<f64> {
    let n = list.len();
    let all = n * n.saturating_sub(1) / 2;
    let mut gaps = Vec::new();
    if all <= GAPS_MAX {
        for (at, vote) in list.iter().enumerate() {
            gaps.extend(list.iter().skip(at + 1).map(|other| other.time - vote.time));
        }
        return gaps;
    }
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..GAPS_MAX {
        let (one, two) = (random(&mut state) as usize % n, random(&mut state) as usize % n);
        if let (Some(one), Some(two)) = (list.get(one), list.get(two))
            && one.voter != two.voter
        {
            gaps.push((one.time - two.time).abs());
        }
    }
    gaps
}

/// The share of the others on this proposal that are as near; nothing where too few are others.
fn near(
    votes: &Votes,
    ballot: &Ballot,
    fellow: &impl Fn(usize) -> bool,
    (a, b): (usize, usize),
    time: f64,
    gap: f64,
) -> f64 {
    let all = votes.votes.get(ballot.from..ballot.to).unwrap_or_default();
    let (mut others, mut nearer) = (0usize, 0usize);
    // A few hundred say what is usual as well as all.
    let step = all.len().div_ceil(400).max(1);
    for vote in all.iter().step_by(step) {
        if vote.voter != a && vote.voter != b && !fellow(vote.voter) {
            others += 1;
            nearer += usize::from((vote.time - time).abs() <= gap);
        }
    }
    if others < OTHERS_MIN { 0.0 } else { (nearer as f64 + 0.5) / (others as f64 + 1.0) }
}

/// How likely it is that two who vote as often in a week vote on the same: by week, each by the popularity of what both chose.
fn same_choice_of_proposals(
    votes: &Votes,
    usual: &Usual,
    joint: &[(usize, usize)],
    own: &[usize],
    other: &[usize],
) -> (f64, usize) {
    let week = |at: usize| {
        votes.votes.get(at).and_then(|vote| usual.ballots.get(vote.proposal)).map_or(0, |ballot| ballot.week)
    };
    let count = |list: &[usize]| {
        let mut counts: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
        list.iter().for_each(|at| *counts.entry(week(*at)).or_insert(0) += 1);
        counts
    };
    let (one, two) = (count(own), count(other));
    let mut weeks: std::collections::BTreeMap<i64, f64> = std::collections::BTreeMap::new();
    for (at, _) in joint {
        let Some(ballot) = votes.votes.get(*at).and_then(|vote| usual.ballots.get(vote.proposal)) else {
            continue;
        };
        let often = one.get(&ballot.week).max(two.get(&ballot.week)).copied().unwrap_or(1) as f64;
        let cast = usual.weeks.get(&ballot.week).copied().unwrap_or(1).max(1) as f64;
        let chance = (often * (ballot.to - ballot.from) as f64 / cast).min(1.0);
        *weeks.entry(ballot.week).or_insert(0.0) -= chance.ln();
    }
    (weeks.values().sum(), weeks.len())
}

fn closely(
    votes: &Votes,
    usual: &Usual,
    fellow: &impl Fn(usize) -> bool,
    (a, own): (usize, &[usize]),
    (b, other): (usize, &[usize]),
) -> Option<Pair> {
    // Both lists go by proposal.
    let mut joint: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for one in own {
        let proposal = votes.votes.get(*one)?.proposal;
        while other
            .get(at)
            .is_some_and(|two| votes.votes.get(*two).is_some_and(|vote| vote.proposal < proposal))
        {
            at += 1;
        }
        if let Some(two) = other.get(at)
            && votes.votes.get(*two)?.proposal == proposal
        {
            joint.push((*one, *two));
        }
    }
    let vote = |at: usize| votes.votes.get(at);
    joint.sort_by(|x, y| match (vote(x.0), vote(y.0)) {
        (Some(x), Some(y)) => x.time.total_cmp(&y.time),
        _ => std::cmp::Ordering::Equal,
    });
    let alike =
        joint.iter().filter(|(x, y)| vote(*x).map(|v| v.choice) == vote(*y).map(|v| v.choice)).count();
    if (alike as f64) < ALIKE_MIN * joint.len() as f64 {
        return None;
    }
    // Sittings: what either of them cast in one go counts once, by its middle gap.
    let mut units: Vec<Unit> = Vec::new();
    let mut current: Vec<Unit> = Vec::new();
    let mut last: Option<(f64, f64)> = None;
    for (x, y) in &joint {
        let (one, two) = (vote(*x)?, vote(*y)?);
        let ballot = usual.ballots.get(one.proposal)?;
        let gap = (one.time - two.time).abs();
        // The others on this proposal, and the others near either of the two.
        let p = usual.share(ballot, gap);
        let unit = Unit { p, gap, at: *x, one: one.time - ballot.start, two: two.time - ballot.start };
        let same = last.is_some_and(|(t, u)| {
            (one.time - t).abs() <= SITTING_SECONDS || (two.time - u).abs() <= SITTING_SECONDS
        });
        if !same && !current.is_empty() {
            units.extend(middle(&mut current));
        }
        current.push(unit);
        last = Some((one.time, two.time));
    }
    units.extend(middle(&mut current));
    units.truncate(UNITS_MAX);
    if units.len() < SITTINGS_MIN {
        return None;
    }
    let product = |units: &[Unit]| fisher(units.iter().map(|unit| -unit.p.ln()).sum(), units.len());
    if product(&units) > TIMES {
        return None;
    }
    let p = habit(&units, a as u64 ^ (b as u64) << 32);
    if p > HABIT_MAX {
        return None;
    }
    // Last, because it looks through the ballots: what the others on each proposal did.
    for unit in &mut units {
        let one = vote(unit.at)?;
        let ballot = usual.ballots.get(one.proposal)?;
        unit.p = unit.p.max(near(votes, ballot, fellow, (a, b), one.time, unit.gap)).min(1.0);
    }
    let times = product(&units);
    if times > TIMES {
        return None;
    }
    let (chosen, weeks) = same_choice_of_proposals(votes, usual, &joint, own, other);
    let mut gaps: Vec<f64> = units.iter().map(|unit| unit.gap).collect();
    gaps.sort_by(f64::total_cmp);
    Some(Pair {
        a,
        b,
        together: joint.len(),
        sittings: units.len(),
        alike,
        gap_seconds: gaps.get(gaps.len() / 2).copied().unwrap_or_default(),
        p,
        times,
        chosen: fisher(chosen, weeks.max(1)),
    })
}

#[derive(Clone)]
struct Unit {
    p: f64,
    gap: f64,
    /// The one voter's vote.
    at: usize,
    one: f64,
    two: f64,
}

fn middle(units: &mut Vec<Unit>) -> Option<Unit> {
    units.sort_by(|a, b| a.p.total_cmp(&b.p));
    let middle = units.get(units.len() / 2).cloned();
    units.clear();
    middle
}

/// How often the two's own delays, shuffled, go together as well: early birds and Monday's voters do.
fn habit(units: &[Unit], seed: u64) -> f64 {
    // Ten minutes: closer is no closer.
    let apart = |one: f64, two: f64| ((one - two).abs() + 600.0).ln();
    let n = units.len();
    // All that shuffling can put together, once.
    let table: Vec<f64> =
        units.iter().flat_map(|one| units.iter().map(move |two| apart(one.one, two.two))).collect();
    let observed: f64 = (0..n).filter_map(|at| table.get(at * n + at)).sum();
    let mut order: Vec<usize> = (0..units.len()).collect();
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let (mut as_near, mut done) = (0usize, 0usize);
    while done < SHUFFLES && as_near < ENOUGH {
        done += 1;
        for at in (1..order.len()).rev() {
            let to = random(&mut state) as usize % (at + 1);
            order.swap(at, to);
        }
        let sum: f64 = order.iter().enumerate().filter_map(|(at, other)| table.get(at * n + other)).sum();
        as_near += usize::from(sum <= observed + 1e-9);
    }
    (1 + as_near) as f64 / (1 + done) as f64
}

/// No true chance: the same votes give the same answer.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}

/// Fisher: the chance that `n` chances have so small a product. With an even number of degrees of freedom this is a sum.
fn fisher(sum: f64, n: usize) -> f64 {
    let mut term = (-sum).exp();
    let mut total = term;
    for k in 1..n {
        term *= sum / k as f64;
        total += term;
    }
    total.clamp(f64::MIN_POSITIVE, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fisher_is_the_tail_of_chi_squared() {
        // chi2.sf(2 * 10, 8) = 0.010336
        assert!((fisher(10.0, 4) - 0.010_336).abs() < 1e-6);
        assert!((fisher(0.0, 4) - 1.0).abs() < 1e-12);
    }
}
