//! E-processes: evidence that may be looked at after each run. Under no difference, the chance that one *ever* reaches 1/α is
//! at most α (Ville), so one may stop when one likes.

use super::Interval;
use super::special::{beta_cdf, ln_beta};

/// Discordant pairs: `successes` of one direction among them. Against one half, mixed over Beta(1, 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    pub ones: u64,
    pub zeros: u64,
}

impl Signs {
    pub fn push(&mut self, one: bool) {
        if one { self.ones += 1 } else { self.zeros += 1 }
    }

    fn ln_against(&self, p0: f64) -> f64 {
        let (s, f) = (self.ones as f64, self.zeros as f64);
        ln_beta(1.0 + s, 1.0 + f) - s * p0.ln() - f * (-p0).ln_1p()
    }

    /// Two-sided.
    pub fn e(&self) -> f64 {
        self.ln_against(0.5).exp()
    }

    /// That ones are the more frequent.
    pub fn e_one_sided(&self) -> f64 {
        let above = beta_cdf(0.5, 1.0 + self.zeros as f64, 1.0 + self.ones as f64);
        self.ln_against(0.5).exp() * above / 0.5
    }

    /// The shares of ones that are not rejected: holds at all times at once.
    pub fn interval(&self, level: f64) -> Interval {
        let n = (self.ones + self.zeros) as f64;
        if n == 0.0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let seen = self.ones as f64 / n;
        let bound = -level.ln();
        let find = |mut inside: f64, mut outside: f64| {
            for _ in 0..100 {
                let middle = (inside + outside) / 2.0;
                if self.ln_against(middle) < bound { inside = middle } else { outside = middle }
            }
            (inside + outside) / 2.0
        };
        Interval {
            low: if self.ones == 0 { 0.0 } else { find(seen, 0.0) },
            high: if self.zeros == 0 { 1.0 } else { find(seen, 1.0) },
        }
    }
}

/// Two streams of successes, looked at a run of each at a time (Turner, Ly and Grünwald).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoStreams {
    e: f64,
    first: (f64, f64),
    second: (f64, f64),
    gamma: f64,
}

impl TwoStreams {
    pub const GAMMA: f64 = 0.18;

    pub fn new(gamma: f64) -> Self {
        TwoStreams { e: 1.0, first: (0.0, 0.0), second: (0.0, 0.0), gamma }
    }

    pub fn push(&mut self, first: bool, second: bool) {
        let rate = |(s, f): (f64, f64)| (s + self.gamma) / (s + f + 2.0 * self.gamma);
        let (a, b) = (rate(self.first), rate(self.second));
        let both = (a + b) / 2.0;
        let likelihood = |p: f64, y: bool| if y { p } else { 1.0 - p };
        self.e *= likelihood(a, first) * likelihood(b, second)
            / (likelihood(both, first) * likelihood(both, second));
        for (counts, y) in [(&mut self.first, first), (&mut self.second, second)] {
            if y { counts.0 += 1.0 } else { counts.1 += 1.0 }
        }
    }

    pub fn e(&self) -> f64 {
        self.e
    }
}

/// The mean of normal values of known spread against zero, mixed over N(0, τ²).
pub fn normal_mixture(n: u64, sum: f64, sigma: f64, tau: f64) -> f64 {
    let (v, t) = (sigma * sigma, tau * tau);
    let wide = v + n as f64 * t;
    (v / wide).sqrt() * (t * sum * sum / (2.0 * v * wide)).exp()
}

/// Half the width of the interval for a mean that holds at all times.
pub fn normal_half_width(n: u64, sigma: f64, rho2: f64, level: f64) -> f64 {
    let n = n as f64;
    sigma * ((n + rho2) / (n * n) * ((n + rho2) / (rho2 * level * level)).ln()).sqrt()
}

/// Of several e-values with any dependence: their mean is one.
pub fn merge_any(values: &[f64]) -> f64 {
    super::mean(values).unwrap_or(1.0)
}

/// e-BH: which of many e-values are discoveries at this false discovery rate, whatever their dependence.
pub fn e_bh(values: &[f64], level: f64) -> Vec<bool> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let n = values.len() as f64;
    let least = sorted
        .iter()
        .enumerate()
        .filter(|(i, e)| **e >= n / (level * (*i as f64 + 1.0)))
        .map(|(_, e)| *e)
        .fold(f64::INFINITY, f64::min);
    values.iter().map(|e| *e >= least).collect()
}
