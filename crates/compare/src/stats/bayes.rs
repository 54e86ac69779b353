//! Two rates with uniform priors.

use super::binary::Two;
use super::special::ln_beta;

/// The probability that the first rate is above the second. Exact: a sum over the successes of the first.
pub fn first_above(t: Two) -> f64 {
    let (a1, b1) = (1.0 + t.x1 as f64, 1.0 + (t.n1 - t.x1) as f64);
    let (a2, b2) = (1.0 + t.x2 as f64, 1.0 + (t.n2 - t.x2) as f64);
    let below = ln_beta(a2, b2);
    (0..=t.x1)
        .map(|i| {
            let i = i as f64;
            (ln_beta(a2 + i, b1 + b2) - (b1 + i).ln() - ln_beta(1.0 + i, b1) - below).exp()
        })
        .sum::<f64>()
        .min(1.0)
        .max(if a1 > 0.0 { 0.0 } else { f64::NAN })
}

/// log10 of the Bayes factor of two rates against one.
pub fn log10_bayes_factor(t: Two) -> f64 {
    let b = |x: u64, n: u64| ln_beta(1.0 + x as f64, 1.0 + (n - x) as f64);
    (b(t.x1, t.n1) + b(t.x2, t.n2) - b(t.x1 + t.x2, t.n1 + t.n2)) / std::f64::consts::LN_10
}
