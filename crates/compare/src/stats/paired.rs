//! Differences by task: sign flips, the signed ranks of Wilcoxon, t, signs; and the bootstrap over tasks.

use super::rank::ranks;
use super::special::{binomial_two_sided, normal_cdf, normal_quantile, normal_two_sided, t_two_sided};
use super::{Interval, Lcg, mean};

/// How a sign-flip p was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Over all flips.
    Exact,
    /// Over so many drawn ones.
    Drawn(u64),
}

/// Differences that are gone through flip by flip.
const ENUMERATED_MAX: usize = 20;
/// Places of the lattice on which the sum of differences lies.
const LATTICE_MAX: usize = 2_000_000;
/// Steps of one unit that differences of rates may have: the common multiple of the numbers of epochs.
const UNIT_MAX: u64 = 5_040;
const DRAWS: u64 = 100_000;

/// Two-sided: how often random signs give a sum at least as far from zero.
pub fn sign_flip(differences: &[f64]) -> (f64, How) {
    let used: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0 && d.is_finite()).collect();
    if used.is_empty() {
        return (1.0, How::Exact);
    }
    if let Some(p) = on_lattice(&used) {
        return (p, How::Exact);
    }
    let seen = used.iter().sum::<f64>().abs() - 1e-12;
    if used.len() <= ENUMERATED_MAX {
        let total = 1_u64 << used.len();
        let extreme = (0..total)
            .filter(|mask| {
                let sum: f64 =
                    used.iter().enumerate().map(|(i, d)| if mask >> i & 1 == 1 { *d } else { -d }).sum();
                sum.abs() >= seen
            })
            .count();
        return (extreme as f64 / total as f64, How::Exact);
    }
    let mut chance = Lcg::new(42);
    let extreme = (0..DRAWS)
        .filter(|_| {
            let sum: f64 = used.iter().map(|d| if chance.coin() { *d } else { -d }).sum();
            sum.abs() >= seen
        })
        .count();
    ((extreme as f64 + 1.0) / (DRAWS as f64 + 1.0), How::Drawn(DRAWS))
}

/// Where all differences are multiples of one unit, the whole distribution is a convolution.
fn on_lattice(used: &[f64]) -> Option<f64> {
    let is_whole = |x: f64| (x - x.round()).abs() < 1e-7;
    let largest = used.iter().fold(0.0_f64, |most, d| most.max(d.abs()));
    let unit = (1..=UNIT_MAX).find(|unit| used.iter().all(|d| is_whole(d * *unit as f64)))?;
    if largest * unit as f64 * used.len() as f64 > LATTICE_MAX as f64 {
        return None;
    }
    let steps: Vec<usize> = used.iter().map(|d| (d.abs() * unit as f64).round() as usize).collect();
    let seen = used.iter().map(|d| (d * unit as f64).round()).sum::<f64>().abs() as usize;
    let total: usize = steps.iter().sum();
    // Place `i`: the sum of those with a plus is `i`; the sum of all is then `2 i - total`.
    if total.saturating_mul(steps.len()) > 400_000_000 {
        return None;
    }
    let mut chance = vec![0.0; total + 1];
    *chance.first_mut()? = 1.0;
    let mut reached = 0;
    for step in steps {
        reached += step;
        for i in (0..=reached.min(total)).rev() {
            let stays = if i + step <= reached { chance.get(i).copied().unwrap_or(0.0) } else { 0.0 };
            let comes = i.checked_sub(step).and_then(|from| chance.get(from)).copied().unwrap_or(0.0);
            if let Some(slot) = chance.get_mut(i) {
                *slot = 0.5 * (stays + comes);
            }
        }
    }
    let p = chance.iter().enumerate().filter(|(i, _)| (2 * i).abs_diff(total) >= seen).map(|(_, p)| p).sum();
    Some(f64::min(p, 1.0))
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// The smaller sum of ranks.
    pub statistic: f64,
    pub p: f64,
    pub p_corrected: f64,
}

/// By the normal approximation, zeros left out, ties corrected for.
pub fn wilcoxon(differences: &[f64]) -> Option<Wilcoxon> {
    let used: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0 && d.is_finite()).collect();
    if used.is_empty() {
        return None;
    }
    let sizes: Vec<f64> = used.iter().map(|d| (d.abs() * 1e12).round() / 1e12).collect();
    let (ranks, ties) = ranks(&sizes);
    let plus: f64 = used.iter().zip(&ranks).filter(|(d, _)| **d > 0.0).map(|(_, rank)| rank).sum();
    let n = used.len() as f64;
    let all = n * (n + 1.0) / 2.0;
    let statistic = plus.min(all - plus);
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let distance = (statistic - all / 2.0).abs();
    let p = |d: f64| if variance > 0.0 { normal_two_sided(d / variance.sqrt()) } else { 1.0 };
    Some(Wilcoxon { statistic, p: p(distance), p_corrected: p((distance - 0.5).max(0.0)) })
}

/// Statistic and two-sided p of the t test that the mean is zero. `None`: all the same, or fewer than two.
pub fn t_test(differences: &[f64]) -> Option<(f64, f64)> {
    let n = differences.len() as f64;
    let se = (variance(differences)? / n).sqrt();
    if se <= 0.0 {
        return None;
    }
    let t = mean(differences)? / se;
    Some((t, t_two_sided(t, n - 1.0)))
}

/// Unbiased.
pub fn variance(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let middle = mean(values)?;
    Some(values.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0))
}

pub fn sign_test(differences: &[f64]) -> f64 {
    let plus = differences.iter().filter(|d| **d > 0.0).count() as u64;
    let minus = differences.iter().filter(|d| **d < 0.0).count() as u64;
    if plus + minus == 0 { 1.0 } else { binomial_two_sided(plus, plus + minus, 0.5) }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    pub means: Vec<f64>,
    pub z0: f64,
    pub acceleration: f64,
    pub percentile: Interval,
    /// `None`: all draws are the same, or all lie on one side.
    pub bca: Option<Interval>,
}

/// The mean over tasks, tasks drawn with replacement: what is drawn is the whole task, with all its epochs.
pub fn bootstrap(values: &[f64], draws: usize, level: f64, seed: u64) -> Option<Bootstrap> {
    let n = values.len();
    let seen = mean(values)?;
    let mut chance = Lcg::new(seed);
    let means: Vec<f64> = (0..draws)
        .map(|_| {
            let drawn: Vec<f64> =
                (0..n).filter_map(|_| values.get((chance.draw() % n as u64) as usize).copied()).collect();
            pairwise(&drawn) / n as f64
        })
        .collect();
    let mut sorted = means.clone();
    sorted.sort_by(f64::total_cmp);
    let below = means.iter().filter(|m| **m < seen - 1e-12 * (1.0 + seen.abs())).count();
    let z0 = normal_quantile(below as f64 / draws as f64);
    let sum: f64 = values.iter().sum();
    let left_out: Vec<f64> = values.iter().map(|v| (sum - v) / (n as f64 - 1.0)).collect();
    let middle = mean(&left_out)?;
    let cubes: f64 = left_out.iter().map(|v| (middle - v).powi(3)).sum();
    let squares: f64 = left_out.iter().map(|v| (middle - v).powi(2)).sum();
    let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };
    let shifted = |q: f64| {
        let z = normal_quantile(q);
        normal_cdf(z0 + (z0 + z) / (1.0 - acceleration * (z0 + z)))
    };
    let bca = (z0.is_finite() && n > 1).then(|| Interval {
        low: quantile(&sorted, shifted(level / 2.0)),
        high: quantile(&sorted, shifted(1.0 - level / 2.0)),
    });
    let percentile =
        Interval { low: quantile(&sorted, level / 2.0), high: quantile(&sorted, 1.0 - level / 2.0) };
    Some(Bootstrap { means, z0, acceleration, percentile, bca })
}

/// As numpy sums: in eight lanes. So that equal means are equal to the last bit.
fn pairwise(values: &[f64]) -> f64 {
    if values.len() < 8 {
        return values.iter().sum();
    }
    let mut lanes = [0.0; 8];
    let whole = values.chunks_exact(8);
    let rest: Vec<f64> = whole.remainder().to_vec();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, v| sum + v)
}

/// Linear between the order statistics.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let at = |i: usize| sorted.get(i.min(last)).copied().unwrap_or(f64::NAN);
    let below = place.floor();
    at(below as usize) + (at(below as usize + 1) - at(below as usize)) * (place - below)
}
