//! How good a monitor is: its scores against what was really there.

use super::paired::variance;
use super::special::normal_quantile;
use super::{Interval, mean};

#[derive(Clone, Debug, PartialEq)]
pub struct Quality {
    pub positives: u64,
    pub negatives: u64,
    pub auroc: f64,
    /// DeLong.
    pub auroc_variance: f64,
    pub auroc_interval: Interval,
    pub average_precision: f64,
    /// `None`: a score is no probability.
    pub brier: Option<f64>,
    pub mann_whitney_u: f64,
}

/// Each with a score, and whether it was really there. `None`: one of the two kinds is missing.
pub fn quality(scored: &[(f64, bool)], level: f64) -> Option<Quality> {
    let mut positive: Vec<f64> = scored.iter().filter(|(_, there)| *there).map(|(s, _)| *s).collect();
    let mut negative: Vec<f64> = scored.iter().filter(|(_, there)| !*there).map(|(s, _)| *s).collect();
    positive.sort_by(f64::total_cmp);
    negative.sort_by(f64::total_cmp);
    let placed = |value: f64, among: &[f64]| {
        let below = among.partition_point(|other| *other < value) as f64;
        let through = among.partition_point(|other| *other <= value) as f64;
        (below + through) / 2.0 / among.len() as f64
    };
    let of_positive: Vec<f64> = positive.iter().map(|s| placed(*s, &negative)).collect();
    let of_negative: Vec<f64> = negative.iter().map(|s| 1.0 - placed(*s, &positive)).collect();
    let (m, n) = (positive.len() as f64, negative.len() as f64);
    let auroc = mean(&of_positive).filter(|_| !negative.is_empty())?;
    let auroc_variance =
        variance(&of_positive).unwrap_or(0.0) / m + variance(&of_negative).unwrap_or(0.0) / n;
    let probabilities = scored.iter().all(|(s, _)| (0.0..=1.0).contains(s));
    let squares = scored.iter().map(|(s, there)| (s - f64::from(u8::from(*there))).powi(2)).sum::<f64>();
    Some(Quality {
        positives: positive.len() as u64,
        negatives: negative.len() as u64,
        auroc,
        auroc_variance,
        auroc_interval: Interval::around(auroc, -normal_quantile(level / 2.0) * auroc_variance.sqrt())
            .within(0.0, 1.0),
        average_precision: average_precision(scored, m),
        brier: probabilities.then(|| squares / scored.len() as f64),
        mann_whitney_u: auroc * m * n,
    })
}

/// Steps down the scores: those flagged at each threshold that divides two scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub threshold: f64,
    pub true_flags: u64,
    pub false_flags: u64,
}

pub fn steps(scored: &[(f64, bool)]) -> Vec<Step> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut true_flags, mut false_flags) = (0, 0);
    sorted
        .chunk_by(|a, b| a.0 == b.0)
        .map(|same| {
            true_flags += same.iter().filter(|(_, there)| *there).count() as u64;
            false_flags += same.iter().filter(|(_, there)| !*there).count() as u64;
            let threshold = same.first().map_or(f64::NAN, |(s, _)| *s);
            Step { threshold, true_flags, false_flags }
        })
        .collect()
}

fn average_precision(scored: &[(f64, bool)], positives: f64) -> f64 {
    let mut before = 0.0;
    steps(scored)
        .iter()
        .map(|step| {
            let recall = step.true_flags as f64 / positives;
            let gain =
                (recall - before) * step.true_flags as f64 / (step.true_flags + step.false_flags) as f64;
            before = recall;
            gain
        })
        .sum()
}

/// The best recall whose share of false alarms is at most `rate`; with its threshold.
pub fn recall_at_false_rate(scored: &[(f64, bool)], rate: f64) -> Option<(f64, f64)> {
    let (positives, negatives) = counts(scored)?;
    let best =
        steps(scored).into_iter().take_while(|s| s.false_flags as f64 <= rate * negatives + 1e-9).last();
    Some(best.map_or((0.0, f64::INFINITY), |s| (s.true_flags as f64 / positives, s.threshold)))
}

/// The best recall at which so many alerts a day are given, where `per_day` cases come in and `prevalence` of them are real.
pub fn recall_at_alerts(
    scored: &[(f64, bool)],
    alerts: f64,
    per_day: f64,
    prevalence: f64,
) -> Option<(f64, f64)> {
    let (positives, negatives) = counts(scored)?;
    let flagged = |s: &Step| {
        per_day
            * (prevalence * s.true_flags as f64 / positives
                + (1.0 - prevalence) * s.false_flags as f64 / negatives)
    };
    let best = steps(scored).into_iter().take_while(|s| flagged(s) <= alerts + 1e-9).last();
    Some(best.map_or((0.0, f64::INFINITY), |s| (s.true_flags as f64 / positives, s.threshold)))
}

fn counts(scored: &[(f64, bool)]) -> Option<(f64, f64)> {
    let positives = scored.iter().filter(|(_, there)| *there).count();
    let negatives = scored.len() - positives;
    (positives > 0 && negatives > 0).then_some((positives as f64, negatives as f64))
}

/// Rogan and Gladen: how frequent a thing is, of which `flagged` is the share that an imperfect monitor flags.
pub fn true_prevalence(flagged: f64, true_rate: f64, false_rate: f64) -> Option<f64> {
    (true_rate > false_rate).then(|| ((flagged - false_rate) / (true_rate - false_rate)).clamp(0.0, 1.0))
}

/// The share of real ones among alerts.
pub fn precision_at(prevalence: f64, true_rate: f64, false_rate: f64) -> Option<f64> {
    let all = prevalence * true_rate + (1.0 - prevalence) * false_rate;
    (all > 0.0).then(|| prevalence * true_rate / all)
}
