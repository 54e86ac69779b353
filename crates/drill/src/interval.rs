//! Clopper–Pearson: the exact interval of a share. Bounds by bisection over the binomial's tail, summed as logarithms:
//! runs are hundreds, so that is quick, and no table or library of special functions is needed.

use serde::Serialize;

/// A share with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// `count` of `of`, at 95 %. `None`: of none there is no share.
pub fn exact(count: u64, of: u64) -> Option<Interval> {
    const HALF: f64 = 0.025;
    if of == 0 || count > of {
        return None;
    }
    let low = match count {
        0 => 0.0,
        // P(X ≥ count) = HALF
        _ => bisect(|p| 1.0 - below(count - 1, of, p) - HALF),
    };
    let high = match count == of {
        true => 1.0,
        // P(X ≤ count) = HALF
        false => bisect(|p| HALF - below(count, of, p)),
    };
    Some(Interval { share: count as f64 / of as f64, low, high })
}

/// Where a rising function crosses zero between 0 and 1.
fn bisect(f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Each halves it: beyond 60 there is nothing left of an f64.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// P(X ≤ count) of the binomial.
fn below(count: u64, of: u64, p: f64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return if count >= of { 1.0 } else { 0.0 };
    }
    let (n, odds) = (of as f64, p.ln() - (1.0 - p).ln());
    let mut term = n * (1.0 - p).ln();
    let mut sum = term.exp();
    for k in 1..=count {
        let k = k as f64;
        term += ((n - k + 1.0) / k).ln() + odds;
        sum += term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: u64, of: u64, low: f64, high: f64) {
        let found = exact(count, of).unwrap();
        assert!((found.low - low).abs() < 1e-6 && (found.high - high).abs() < 1e-6, "{found:?}");
    }

    /// Where it has a closed form, and values from R's `binom.test`.
    #[test]
    fn known_values() {
        check(0, 10, 0.0, 1.0 - 0.025_f64.powf(0.1));
        check(10, 10, 0.025_f64.powf(0.1), 1.0);
        check(299, 299, 0.025_f64.powf(1.0 / 299.0), 1.0);
        check(0, 300, 0.0, 1.0 - 0.025_f64.powf(1.0 / 300.0));
        check(1, 1, 0.025, 1.0);
        check(5, 10, 0.187_086, 0.812_914);
        check(1, 10, 0.002_529, 0.445_016);
        assert_eq!(exact(0, 0), None);
        assert_eq!(exact(3, 2), None);
    }

    #[test]
    fn the_bounds_lie_around_the_share() {
        for of in [1, 7, 300, 2_000] {
            for count in (0..=of).step_by(1 + of as usize / 20) {
                let found = exact(count, of).unwrap();
                assert!(found.low <= found.share && found.share <= found.high, "{count} of {of}: {found:?}");
            }
        }
    }
}
