//! Special functions that the tests rest on: gamma, beta, normal, t, chi-squared, binomial. Checked to 1e-9 against SciPy.

use std::f64::consts::{LN_2, PI, SQRT_2};

/// Steps of a continued fraction or series. It needs about as many as the root of the larger parameter.
const STEPS_MAX: usize = 100_000;
const EPSILON: f64 = 1e-16;
const TINY: f64 = 1e-300;

pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

pub fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

pub fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// The regularised incomplete beta function.
pub fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        (front * beta_fraction(x, a, b) / a).min(1.0)
    } else {
        (1.0 - front * beta_fraction(1.0 - x, b, a) / b).max(0.0)
    }
}

/// Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for step in 1..STEPS_MAX {
        let m = step as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let change = d * c;
        h *= change;
        if (change - 1.0).abs() < EPSILON {
            break;
        }
    }
    h
}

/// The value below which a Beta(a, b) lies with probability `q`.
pub fn beta_quantile(q: f64, a: f64, b: f64) -> f64 {
    if q <= 0.0 {
        return 0.0;
    }
    if q >= 1.0 {
        return 1.0;
    }
    // Halving floating-point numbers ends when no number is left between.
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..1100 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if beta_cdf(middle, a, b) < q { low = middle } else { high = middle }
    }
    low + (high - low) / 2.0
}

pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// Probability beyond `|z|` on both sides.
pub fn normal_two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / SQRT_2)
}

/// Acklam's approximation, made exact by Newton steps.
pub fn normal_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let mut z = if p < 0.02425 {
        let q = (-2.0 * p.ln()).sqrt();
        horner(&C, q) / (horner(&D, q) * q + 1.0)
    } else {
        let q = p - 0.5;
        let r = q * q;
        horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    };
    for _ in 0..4 {
        let density = (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
        if density <= 0.0 {
            break;
        }
        let u = (normal_cdf(z) - p) / density;
        z -= u / (1.0 + z * u / 2.0);
    }
    z
}

/// Probability above `x` of a chi-squared with `df` degrees of freedom.
pub fn chi2_above(x: f64, df: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if (df - 1.0).abs() < f64::EPSILON {
        return libm::erfc((x / 2.0).sqrt());
    }
    gamma_above(df / 2.0, x / 2.0)
}

/// The regularised upper incomplete gamma function.
fn gamma_above(a: f64, x: f64) -> f64 {
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut sum, mut term) = (1.0 / a, 1.0 / a);
        for step in 1..STEPS_MAX {
            term *= x / (a + step as f64);
            sum += term;
            if term < sum * EPSILON {
                break;
            }
        }
        return (1.0 - front * sum).max(0.0);
    }
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut h = d;
    for step in 1..STEPS_MAX {
        let an = -(step as f64) * (step as f64 - a);
        b += 2.0;
        d = an * d + b;
        d = 1.0 / if d.abs() < TINY { TINY } else { d };
        c = b + an / c;
        c = if c.abs() < TINY { TINY } else { c };
        h *= d * c;
        if (d * c - 1.0).abs() < EPSILON {
            break;
        }
    }
    front * h
}

/// Probability beyond `|t|` on both sides.
pub fn t_two_sided(t: f64, df: f64) -> f64 {
    if !t.is_finite() {
        return if t.is_nan() { 1.0 } else { 0.0 };
    }
    beta_cdf(df / (df + t * t), df / 2.0, 0.5)
}

/// The value beyond which, on both sides, lies `p`.
pub fn t_quantile_two_sided(p: f64, df: f64) -> f64 {
    let x = beta_quantile(p, df / 2.0, 0.5);
    if x <= 0.0 { f64::INFINITY } else { (df * (1.0 - x) / x).sqrt() }
}

pub fn binomial_pmf(k: u64, n: u64, p: f64) -> f64 {
    if k > n {
        return 0.0;
    }
    if p <= 0.0 {
        return if k == 0 { 1.0 } else { 0.0 };
    }
    if p >= 1.0 {
        return if k == n { 1.0 } else { 0.0 };
    }
    let (k, n) = (k as f64, n as f64);
    if (p - 0.5).abs() < f64::EPSILON {
        return (ln_choose(n, k) - n * LN_2).exp();
    }
    (ln_choose(n, k) + k * p.ln() + (n - k) * (-p).ln_1p()).exp()
}

/// Probability of at most `k`.
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_cdf(1.0 - p, (n - k) as f64, k as f64 + 1.0)
}

/// Two-sided, as SciPy does it: all outcomes that are no likelier than the one seen.
pub fn binomial_two_sided(k: u64, n: u64, p: f64) -> f64 {
    let seen = binomial_pmf(k, n, p) * (1.0 + 1e-7);
    (0..=n).map(|i| binomial_pmf(i, n, p)).filter(|pmf| *pmf <= seen).sum::<f64>().min(1.0)
}
