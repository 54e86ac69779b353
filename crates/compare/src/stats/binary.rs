//! Two proportions: paired (McNemar) and not (Fisher, Boschloo, Barnard), and intervals for their difference.

use super::Interval;
use super::special::{beta_quantile, binomial_cdf, binomial_pmf, chi2_above, ln_choose, normal_quantile};

/// Discordant pairs: `b` succeeded in A only, `c` in B only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    pub exact_p: f64,
    pub mid_p: f64,
    pub chi2: f64,
    pub chi2_p: f64,
    pub chi2_corrected: f64,
    pub chi2_corrected_p: f64,
}

pub fn mcnemar(b: u64, c: u64) -> McNemar {
    let n = b + c;
    let k = b.min(c);
    let below = binomial_cdf(k, n, 0.5);
    let at = binomial_pmf(k, n, 0.5);
    let (exact_p, mid_p) = match (n, b == c) {
        (0, _) => (1.0, 1.0),
        (_, true) => (1.0, 1.0 - 0.5 * at),
        (_, false) => ((2.0 * below).min(1.0), (2.0 * below - at).min(1.0)),
    };
    let difference = b.abs_diff(c) as f64;
    let over = |value: f64| if n == 0 { 0.0 } else { value / n as f64 };
    let chi2 = over(difference * difference);
    let chi2_corrected = over((difference - 1.0) * (difference - 1.0));
    McNemar {
        exact_p,
        mid_p,
        chi2,
        chi2_p: chi2_above(chi2, 1.0),
        chi2_corrected,
        chi2_corrected_p: chi2_above(chi2_corrected, 1.0),
    }
}

/// `x` of `n`, in two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Two {
    pub x1: u64,
    pub n1: u64,
    pub x2: u64,
    pub n2: u64,
}

impl Two {
    /// From a table of rows (group) by columns (success, failure).
    pub fn rows(table: [[u64; 2]; 2]) -> Two {
        let [[a, b], [c, d]] = table;
        Two { x1: a, n1: a + b, x2: c, n2: c + d }
    }

    pub fn p1(&self) -> f64 {
        self.x1 as f64 / self.n1 as f64
    }

    pub fn p2(&self) -> f64 {
        self.x2 as f64 / self.n2 as f64
    }

    pub fn difference(&self) -> f64 {
        self.p1() - self.p2()
    }

    pub fn is_empty(&self) -> bool {
        self.n1 == 0 || self.n2 == 0
    }
}

/// p-values of the exact conditional test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fisher {
    pub two_sided: f64,
    pub less: f64,
    pub greater: f64,
    /// Of the sample; `None` where it is not defined or infinite.
    pub odds_ratio: Option<f64>,
}

pub fn fisher(t: Two) -> Fisher {
    let total = t.x1 + t.x2;
    let low = total.saturating_sub(t.n2);
    let high = total.min(t.n1);
    let all = ln_choose((t.n1 + t.n2) as f64, total as f64);
    let pmf =
        |x: u64| (ln_choose(t.n1 as f64, x as f64) + ln_choose(t.n2 as f64, (total - x) as f64) - all).exp();
    // Equally likely tables must count as such whatever their rounding.
    let seen = pmf(t.x1) * (1.0 + 1e-7);
    let (mut two_sided, mut less, mut greater) = (0.0, 0.0, 0.0);
    for x in low..=high {
        let p = pmf(x);
        if p <= seen {
            two_sided += p;
        }
        if x <= t.x1 {
            less += p;
        }
        if x >= t.x1 {
            greater += p;
        }
    }
    let (ad, bc) = (t.x1 as f64 * (t.n2 - t.x2) as f64, (t.n1 - t.x1) as f64 * t.x2 as f64);
    Fisher {
        two_sided: f64::min(two_sided, 1.0),
        less: f64::min(less, 1.0),
        greater: f64::min(greater, 1.0),
        odds_ratio: (bc > 0.0).then(|| ad / bc),
    }
}

/// Runs in one group that the unconditional tests are still computed for: they take its square.
pub const UNCONDITIONAL_MAX: u64 = 2_000;
/// Steps over the nuisance parameter, before the best of them is refined.
const GRID: usize = 256;

/// Two-sided Boschloo: the likelihood of tables at least as extreme by Fisher's one-sided p, at its greatest over the
/// common rate, doubled. `None`: too many runs.
pub fn boschloo(t: Two) -> Option<f64> {
    if t.n1.max(t.n2) > UNCONDITIONAL_MAX || t.is_empty() {
        return None;
    }
    let mirrored = Two { x1: t.x2, n1: t.n2, x2: t.x1, n2: t.n1 };
    Some((2.0 * boschloo_less(t).min(boschloo_less(mirrored))).min(1.0))
}

/// Extreme: few in the first group. For each count there, how many in the second it takes at least.
fn boschloo_less(t: Two) -> f64 {
    let seen = fisher(t).less * (1.0 + 1e-9);
    let mut bounds = Vec::new();
    // Fisher's p grows with the first count and falls with the second, so the bound only ever rises.
    let mut bound = 0;
    for x1 in 0..=t.n1 {
        while bound <= t.n2 && fisher_less(x1, t.n1, bound, t.n2) > seen {
            bound += 1;
        }
        bounds.push(bound);
    }
    greatest(|p| {
        let mut above = vec![0.0; t.n2 as usize + 2];
        let mut sum = 0.0;
        for (x2, slot) in above.iter_mut().enumerate().rev() {
            sum += binomial_pmf(x2 as u64, t.n2, p);
            *slot = sum;
        }
        bounds
            .iter()
            .enumerate()
            .map(|(x1, bound)| {
                binomial_pmf(x1 as u64, t.n1, p) * above.get(*bound as usize).copied().unwrap_or(0.0)
            })
            .sum()
    })
}

fn fisher_less(x1: u64, n1: u64, x2: u64, n2: u64) -> f64 {
    let total = x1 + x2;
    let all = ln_choose((n1 + n2) as f64, total as f64);
    let low = total.saturating_sub(n2);
    (low..=x1)
        .map(|x| (ln_choose(n1 as f64, x as f64) + ln_choose(n2 as f64, (total - x) as f64) - all).exp())
        .sum()
}

/// Runs in one group that Barnard's test, whose region is no staircase, is still computed for.
pub const BARNARD_MAX: u64 = 300;

/// Two-sided Barnard with the pooled Wald statistic. `None`: too many runs.
pub fn barnard(t: Two) -> Option<f64> {
    if t.n1.max(t.n2) > BARNARD_MAX || t.is_empty() {
        return None;
    }
    let wald = |x1: u64, x2: u64| {
        let (n1, n2) = (t.n1 as f64, t.n2 as f64);
        let p = (x1 + x2) as f64 / (n1 + n2);
        let variance = p * (1.0 - p) * (1.0 / n1 + 1.0 / n2);
        if variance <= 0.0 { 0.0 } else { ((x1 as f64 / n1 - x2 as f64 / n2) / variance.sqrt()).abs() }
    };
    let seen = wald(t.x1, t.x2) * (1.0 - 1e-12);
    let region: Vec<(u64, u64)> = (0..=t.n1)
        .flat_map(|x1| (0..=t.n2).map(move |x2| (x1, x2)))
        .filter(|(x1, x2)| wald(*x1, *x2) >= seen)
        .collect();
    Some(greatest(|p| {
        let first: Vec<f64> = (0..=t.n1).map(|x| binomial_pmf(x, t.n1, p)).collect();
        let second: Vec<f64> = (0..=t.n2).map(|x| binomial_pmf(x, t.n2, p)).collect();
        let at = |pmf: &[f64], x: u64| pmf.get(x as usize).copied().unwrap_or(0.0);
        region.iter().map(|(x1, x2)| at(&first, *x1) * at(&second, *x2)).sum()
    }))
}

/// The greatest value over (0, 1): a grid, and then golden sections beside its best point.
fn greatest(value: impl Fn(f64) -> f64) -> f64 {
    let step = 1.0 / GRID as f64;
    let mut best = (0.0, 0.5);
    for at in 1..GRID {
        let p = at as f64 * step;
        let v = value(p);
        if v > best.0 {
            best = (v, p);
        }
    }
    let (mut low, mut high) = (best.1 - step, best.1 + step);
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..40 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if value(a) > value(b) { high = b } else { low = a }
    }
    value((low + high) / 2.0).max(best.0).min(1.0)
}

/// Pearson's chi-squared without correction: statistic and p. `None`: a margin is empty.
pub fn chi2(t: Two) -> Option<(f64, f64)> {
    let n = (t.n1 + t.n2) as f64;
    let successes = (t.x1 + t.x2) as f64;
    let margins = t.n1 as f64 * t.n2 as f64 * successes * (n - successes);
    if margins <= 0.0 {
        return None;
    }
    let determinant = t.x1 as f64 * (t.n2 - t.x2) as f64 - (t.n1 - t.x1) as f64 * t.x2 as f64;
    let statistic = n * determinant * determinant / margins;
    Some((statistic, chi2_above(statistic, 1.0)))
}

pub fn cohen_h(t: Two) -> f64 {
    2.0 * (t.p1().sqrt().asin() - t.p2().sqrt().asin())
}

/// Newcombe's hybrid of two Wilson intervals.
pub fn newcombe(t: Two, level: f64) -> Interval {
    let (first, second) = (wilson(t.x1, t.n1, level), wilson(t.x2, t.n2, level));
    let (p1, p2, d) = (t.p1(), t.p2(), t.difference());
    Interval {
        low: d - ((p1 - first.low).powi(2) + (second.high - p2).powi(2)).sqrt(),
        high: d + ((first.high - p1).powi(2) + (p2 - second.low).powi(2)).sqrt(),
    }
}

pub fn wald_difference(t: Two, level: f64) -> Interval {
    let variance = t.p1() * (1.0 - t.p1()) / t.n1 as f64 + t.p2() * (1.0 - t.p2()) / t.n2 as f64;
    Interval::around(t.difference(), z(level) * variance.sqrt())
}

pub fn agresti_caffo(t: Two, level: f64) -> Interval {
    wald_difference(Two { x1: t.x1 + 1, n1: t.n1 + 2, x2: t.x2 + 1, n2: t.n2 + 2 }, level)
}

/// Miettinen and Nurminen: the differences that the corrected score test does not reject.
pub fn score_difference(t: Two, level: f64) -> Interval {
    score_interval(t, level, t.n2 as f64)
}

/// The same as statsmodels (0.14, 0.15) has it: with `x2` where Miettinen and Nurminen have `n2` in one coefficient. Here for the
/// comparison with the reference alone.
#[doc(hidden)]
pub fn score_difference_of_statsmodels(t: Two, level: f64) -> Interval {
    score_interval(t, level, t.x2 as f64)
}

fn score_interval(t: Two, level: f64, linear: f64) -> Interval {
    let critical = z(level);
    let d = t.difference();
    // The statistic falls as the assumed difference rises.
    let find = |mut low: f64, mut high: f64, target: f64| {
        for _ in 0..200 {
            let middle = low + (high - low) / 2.0;
            if score_statistic(t, middle, linear) > target { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    };
    Interval { low: find(-1.0, d, critical), high: find(d, 1.0, -critical) }
}

fn score_statistic(t: Two, delta: f64, linear: f64) -> f64 {
    let (n1, n2) = (t.n1 as f64, t.n2 as f64);
    let (x1, x2) = (t.x1 as f64, t.x2 as f64);
    let n = n1 + n2;
    // The most likely rates under this difference: the root of a cubic, here by its trigonometric solution.
    let l3 = n;
    let l2 = (n1 + 2.0 * n2) * delta - n - (x1 + x2);
    let l1 = (linear * delta - n - 2.0 * x2) * delta + x1 + x2;
    let l0 = x2 * delta * (1.0 - delta);
    let q = l2.powi(3) / (3.0 * l3).powi(3) - l1 * l2 / (6.0 * l3 * l3) + l0 / (2.0 * l3);
    let root = (l2 * l2 / (3.0 * l3).powi(2) - l1 / (3.0 * l3)).max(0.0).sqrt();
    let p = if q >= 0.0 { root } else { -root };
    let cosine = if p == 0.0 { 0.0 } else { (q / p.powi(3)).clamp(-1.0, 1.0) };
    let a = (std::f64::consts::PI + cosine.acos()) / 3.0;
    let r2 = 2.0 * p * a.cos() - l2 / (3.0 * l3);
    // The roots of the true cubic are rates; those of statsmodels' are taken as they come.
    let (r1, r2) =
        if linear == n2 { ((r2 + delta).clamp(0.0, 1.0), r2.clamp(0.0, 1.0)) } else { (r2 + delta, r2) };
    let variance = (r1 * (1.0 - r1) / n1 + r2 * (1.0 - r2) / n2) * n / (n - 1.0);
    let difference = t.difference() - delta;
    if variance <= 0.0 {
        return if difference > 0.0 {
            f64::INFINITY
        } else if difference < 0.0 {
            f64::NEG_INFINITY
        } else {
            0.0
        };
    }
    difference / variance.sqrt()
}

fn z(level: f64) -> f64 {
    -normal_quantile(level / 2.0)
}

pub fn wilson(k: u64, n: u64, level: f64) -> Interval {
    let (z, p, n) = (z(level), k as f64 / n as f64, n as f64);
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Interval::around(middle, half).within(0.0, 1.0)
}

/// Holds its level exactly.
pub fn clopper_pearson(k: u64, n: u64, level: f64) -> Interval {
    let (kf, rest) = (k as f64, (n - k) as f64);
    Interval {
        low: if k == 0 { 0.0 } else { beta_quantile(level / 2.0, kf, rest + 1.0) },
        high: if k == n { 1.0 } else { beta_quantile(1.0 - level / 2.0, kf + 1.0, rest) },
    }
}

pub fn jeffreys(k: u64, n: u64, level: f64) -> Interval {
    let (a, b) = (k as f64 + 0.5, (n - k) as f64 + 0.5);
    Interval { low: beta_quantile(level / 2.0, a, b), high: beta_quantile(1.0 - level / 2.0, a, b) }
}

pub fn agresti_coull(k: u64, n: u64, level: f64) -> Interval {
    let z = z(level);
    let n = n as f64 + z * z;
    let p = (k as f64 + z * z / 2.0) / n;
    Interval::around(p, z * (p * (1.0 - p) / n).sqrt()).within(0.0, 1.0)
}
