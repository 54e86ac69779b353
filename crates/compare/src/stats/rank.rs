//! Ranks: Mann–Whitney, Spearman, Kendall.

use super::mean;
use super::special::{normal_two_sided, t_two_sided};

/// Mid-ranks from 1, and the sum of t³ − t over the ties.
pub fn ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out = vec![0.0; values.len()];
    let mut ties = 0.0;
    let mut before = 0.0;
    for same in order.chunk_by(|a, b| a.0 == b.0) {
        let size = same.len() as f64;
        for (_, place) in same {
            if let Some(slot) = out.get_mut(*place) {
                *slot = before + (size + 1.0) / 2.0;
            }
        }
        before += size;
        ties += size.powi(3) - size;
    }
    (out, ties)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// Of the first group.
    pub u: f64,
    /// Two-sided, by the normal approximation with correction for continuity and ties.
    pub p: f64,
}

pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
    let (n1, n2) = (first.len() as f64, second.len() as f64);
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let all: Vec<f64> = first.iter().chain(second).copied().collect();
    let (ranks, ties) = ranks(&all);
    let u = ranks.iter().take(first.len()).sum::<f64>() - n1 * (n1 + 1.0) / 2.0;
    let n = n1 + n2;
    let variance = n1 * n2 / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)));
    let distance = ((u - n1 * n2 / 2.0).abs() - 0.5).max(0.0);
    let p = if variance > 0.0 { normal_two_sided(distance / variance.sqrt()) } else { 1.0 };
    Some(MannWhitney { u, p })
}

/// Pearson's correlation.
pub fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mx, my) = (mean(x)?, mean(y)?);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        xy += (a - mx) * (b - my);
        xx += (a - mx).powi(2);
        yy += (b - my).powi(2);
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Rho and its two-sided p by t.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    if x.len() != y.len() || x.len() < 3 {
        return None;
    }
    let rho = correlation(&ranks(x).0, &ranks(y).0)?;
    let df = x.len() as f64 - 2.0;
    Some((rho, t_two_sided(rho * (df / (1.0 - rho * rho)).sqrt(), df)))
}

/// Tau-b. Takes the square of the number of values.
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mut score, mut only_x, mut only_y) = (0.0, 0.0, 0.0);
    let sign = |a: f64, b: f64| {
        if a > b {
            1.0
        } else if a < b {
            -1.0
        } else {
            0.0
        }
    };
    for (i, (a, b)) in x.iter().zip(y).enumerate() {
        for (c, d) in x.iter().zip(y).skip(i + 1) {
            let (dx, dy) = (sign(*a, *c), sign(*b, *d));
            score += dx * dy;
            only_x += dx * dx;
            only_y += dy * dy;
        }
    }
    (only_x > 0.0 && only_y > 0.0).then(|| score / (f64::sqrt(only_x) * f64::sqrt(only_y)))
}
