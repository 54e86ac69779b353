//! Numbers with what they rest on: shares with exact intervals, times with distribution-free ones, references.

use muster_compare::stats::binary::clopper_pearson;
use muster_compare::stats::special::binomial_cdf;
use serde::{Deserialize, Serialize};

/// All intervals hold 95 %.
pub const LEVEL: f64 = 0.05;
/// References that stand beside a number; more are counted.
pub const REFERENCES_MAX: usize = 12;

/// Where in the ledger something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// `finding`, `agent`, `gap`, `input` or `drill`.
    pub what: String,
    pub id: String,
    /// Number of the leaf, for `muster verify` and `muster export`. `None`: it is in no ledger (a drill's own file).
    pub leaf: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct References {
    pub first: Vec<Reference>,
    /// Beyond these.
    pub more: u64,
}

impl References {
    pub fn of(all: impl IntoIterator<Item = Reference>) -> Self {
        let mut references = References::default();
        for one in all {
            references.push(one);
        }
        references
    }

    pub fn push(&mut self, one: Reference) {
        if self.first.len() < REFERENCES_MAX {
            self.first.push(one);
        } else {
            self.more += 1;
        }
    }
}

/// A share of runs, with its exact (Clopper–Pearson) interval. Of none there is no share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rate {
    pub count: u64,
    pub of: u64,
    pub share: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub references: References,
}

impl Rate {
    pub fn new(count: u64, of: u64) -> Rate {
        Rate::at(count, of, LEVEL)
    }

    pub fn at(count: u64, of: u64, level: f64) -> Rate {
        let interval = (of > 0 && count <= of).then(|| clopper_pearson(count, of, level));
        Rate {
            count,
            of,
            share: (of > 0).then(|| count as f64 / of as f64),
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
            references: References::default(),
        }
    }

    /// Of `of`, those that are referred to: one reference each.
    pub fn referring(all: Vec<Reference>, of: u64) -> Rate {
        Rate { references: References::of(all.iter().cloned()), ..Rate::new(all.len() as u64, of) }
    }
}

/// Times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    pub n: u64,
    pub median_ms: Option<f64>,
    /// From order statistics: it needs no assumption on how times are spread. Below six there is none.
    pub median_low_ms: Option<f64>,
    pub median_high_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub most_ms: Option<f64>,
}

impl Times {
    pub fn of(mut ms: Vec<u64>) -> Option<Times> {
        if ms.is_empty() {
            return None;
        }
        ms.sort_unstable();
        let n = ms.len();
        let at = |place: usize| ms.get(place).map(|value| *value as f64);
        // `lower`: so many lie below the interval with at most half the level.
        let lower = (0..n as u64)
            .take_while(|k| binomial_cdf(*k, n as u64, 0.5) <= LEVEL / 2.0)
            .last()
            .map(|k| k as usize);
        let median = match (at((n - 1) / 2), at(n / 2)) {
            (Some(one), Some(other)) => Some(f64::midpoint(one, other)),
            _ => None,
        };
        Some(Times {
            n: n as u64,
            median_ms: median,
            median_low_ms: lower.and_then(at),
            median_high_ms: lower.and_then(|k| at(n - 1 - k)),
            // Nearest rank.
            p95_ms: at((n * 95).div_ceil(100).saturating_sub(1)),
            most_ms: ms.last().map(|value| *value as f64),
        })
    }
}

/// Attempts until one of them is seen with 99 %, where each is seen with this chance, independently of the others. An agent
/// that knows where nobody looks is not independent.
pub fn attempts(chance: f64) -> Option<f64> {
    const SEEN: f64 = 0.99;
    if chance >= 1.0 {
        return Some(1.0);
    }
    (chance > 0.0).then(|| ((1.0 - SEEN).ln() / (1.0 - chance).ln()).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_intervals() {
        // SciPy's, by way of `stats-reference.json` (`proportion_ci`, "beta").
        for (k, n, low, high) in [
            (0, 50, 0.0, 0.07112173646419767),
            (1, 50, 0.000506227983040829, 0.10646954571149993),
            (5, 50, 0.03327509358902247, 0.21813536643420228),
            (50, 50, 0.9288782635358024, 1.0),
            (3, 200, 0.003104107621553509, 0.04320828191771261),
        ] {
            let rate = Rate::new(k, n);
            assert!((rate.low.unwrap_or(9.0) - low).abs() < 1e-9, "{k} of {n}: {rate:?}");
            assert!((rate.high.unwrap_or(9.0) - high).abs() < 1e-9, "{k} of {n}: {rate:?}");
        }
        assert_eq!(Rate::new(0, 0).share, None);
    }

    #[test]
    fn times() {
        assert_eq!(Times::of(Vec::new()), None);
        let few = Times::of(vec![5, 1, 3]).unwrap_or_default();
        assert_eq!((few.median_ms, few.median_low_ms, few.most_ms), (Some(3.0), None, Some(5.0)));
        // Of 10, the second and the ninth hold the median with 97.9 %.
        let ten = Times::of((1..=10).collect()).unwrap_or_default();
        assert_eq!((ten.median_ms, ten.median_low_ms, ten.median_high_ms), (Some(5.5), Some(2.0), Some(9.0)));
        assert_eq!(ten.p95_ms, Some(10.0));
    }

    #[test]
    fn attempts_until_seen() {
        for (chance, expected) in
            [(0.002, 2_300.0), (0.05, 90.0), (0.25, 16.0), (0.5, 6.6), (0.8, 2.9), (0.94, 1.6)]
        {
            let got = attempts(chance).unwrap_or_default();
            assert!((got - expected).abs() / expected < 0.03, "{chance}: {got}");
        }
        assert_eq!((attempts(0.0), attempts(1.0)), (None, Some(1.0)));
    }
}
