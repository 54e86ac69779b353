//! Many tests at once: adjusted p-values.

fn order(p: &[f64]) -> Vec<(f64, usize)> {
    let mut order: Vec<(f64, usize)> = p.iter().copied().zip(0..).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    order
}

fn back(adjusted: impl Iterator<Item = (f64, usize)>, n: usize) -> Vec<f64> {
    let mut out = vec![1.0; n];
    for (p, place) in adjusted {
        if let Some(slot) = out.get_mut(place) {
            *slot = p.min(1.0);
        }
    }
    out
}

pub fn bonferroni(p: &[f64]) -> Vec<f64> {
    p.iter().map(|one| (one * p.len() as f64).min(1.0)).collect()
}

/// Holm's step-down: the chance of any false rejection.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let n = p.len();
    let mut most = 0.0_f64;
    let steps = order(p).into_iter().enumerate().map(|(i, (p, place))| {
        most = most.max(p * (n - i) as f64);
        (most, place)
    });
    back(steps, n)
}

/// Benjamini and Hochberg: the share of false ones among rejections, where tests are independent or go together.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, 1.0)
}

/// Benjamini and Yekutieli: the same, whatever the dependence.
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    step_up(p, (1..=p.len()).map(|i| 1.0 / i as f64).sum())
}

fn step_up(p: &[f64], factor: f64) -> Vec<f64> {
    let n = p.len();
    let mut least = f64::INFINITY;
    let steps = order(p).into_iter().enumerate().rev().map(|(i, (p, place))| {
        least = least.min(p * n as f64 * factor / (i + 1) as f64);
        (least, place)
    });
    back(steps, n)
}

pub fn hommel(p: &[f64]) -> Vec<f64> {
    let n = p.len();
    let order = order(p);
    let sorted: Vec<f64> = order.iter().map(|(p, _)| *p).collect();
    let at = |i: usize| sorted.get(i).copied().unwrap_or(1.0);
    let mut adjusted = sorted.clone();
    for m in (2..=n).rev() {
        let least = (1..=m).map(|i| m as f64 * at(n - m + i - 1) / i as f64).fold(f64::INFINITY, f64::min);
        for (i, slot) in adjusted.iter_mut().enumerate() {
            let bound = if i >= n - m { least } else { least.min(m as f64 * at(i)) };
            *slot = slot.max(bound);
        }
    }
    back(adjusted.into_iter().zip(order.into_iter().map(|(_, place)| place)), n)
}
