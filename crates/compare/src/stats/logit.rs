//! Logistic regressions of an outcome on the arm, with runs clustered in tasks.

use super::special::normal_two_sided;

/// The effect of the arm, on the scale of log odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    pub beta: f64,
    pub se: f64,
    pub p: f64,
}

impl Effect {
    fn new(beta: f64, variance: f64) -> Option<Effect> {
        let se = variance.sqrt();
        (se.is_finite() && se > 0.0 && beta.is_finite()).then(|| Effect {
            beta,
            se,
            p: normal_two_sided(beta / se),
        })
    }
}

/// Of one task: successes and runs in the arm that is coded 0, and in the one coded 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub x0: u64,
    pub n0: u64,
    pub x1: u64,
    pub n1: u64,
}

impl Cluster {
    fn floats(self) -> [f64; 4] {
        [self.x0 as f64, self.n0 as f64, self.x1 as f64, self.n1 as f64]
    }
}

/// Newton steps; where they do not come to rest, the effect is infinite (one arm always succeeds).
const STEPS_MAX: usize = 200;
/// Beyond this the effect is taken to be infinite.
const BETA_MAX: f64 = 30.0;

fn expit(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Each task has an intercept of its own, which is conditioned away.
pub fn conditional(clusters: &[Cluster]) -> Option<Effect> {
    let mut beta = 0.0;
    let mut information = 0.0;
    for _ in 0..STEPS_MAX {
        let (mut gradient, mut sum) = (0.0, 0.0);
        for c in clusters {
            let total = c.x0 + c.x1;
            let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
            let low = total.saturating_sub(c.n0);
            // Weights are taken from the middle on, so that none overflows.
            let scale = super::special::ln_choose(c.n1 as f64, c.x1 as f64)
                + super::special::ln_choose(c.n0 as f64, c.x0 as f64)
                + beta * c.x1 as f64;
            for y in low..=total.min(c.n1) {
                let ln = super::special::ln_choose(c.n1 as f64, y as f64)
                    + super::special::ln_choose(c.n0 as f64, (total - y) as f64)
                    + beta * y as f64;
                let w = (ln - scale).exp();
                weight += w;
                first += w * y as f64;
                second += w * (y * y) as f64;
            }
            let expected = first / weight;
            gradient += c.x1 as f64 - expected;
            sum += second / weight - expected * expected;
        }
        information = sum;
        if information <= 1e-12 {
            return None;
        }
        let step = (gradient / information).clamp(-2.0, 2.0);
        beta += step;
        if f64::abs(beta) > BETA_MAX {
            return None;
        }
        if step.abs() < 1e-13 {
            break;
        }
    }
    Effect::new(beta, 1.0 / information)
}

/// Pooled over tasks; the standard error allows for runs of a task going together.
pub fn clustered(clusters: &[Cluster]) -> Option<Effect> {
    let sums = clusters.iter().fold([0.0; 4], |sum, c| {
        let [a, b, d, e] = c.floats();
        let [w, x, y, z] = sum;
        [w + a, x + b, y + d, z + e]
    });
    let [x0, n0, x1, n1] = sums;
    let (p0, p1) = (x0 / n0, x1 / n1);
    if ![p0, p1].iter().all(|p| *p > 0.0 && *p < 1.0) {
        return None;
    }
    let beta = (p1 / (1.0 - p1)).ln() - (p0 / (1.0 - p0)).ln();
    let groups = clusters.len() as f64;
    let mut meat = [[0.0; 2]; 2];
    for c in clusters {
        let [x0, n0, x1, n1] = c.floats();
        let one = x1 - n1 * p1;
        let score = [x0 - n0 * p0 + one, one];
        add_outer(&mut meat, score);
    }
    let n = n0 + n1;
    let correction = groups / (groups - 1.0) * (n - 1.0) / (n - 2.0);
    let (w0, w1) = (n0 * p0 * (1.0 - p0), n1 * p1 * (1.0 - p1));
    let bread = inverse([[w0 + w1, w1], [w1, w1]])?;
    Effect::new(beta, sandwich(bread, meat) * correction)
}

/// Generalised estimating equations with one correlation between the runs of a task. With the correlation.
pub fn gee(clusters: &[Cluster]) -> Option<(Effect, f64)> {
    let sums = clusters.iter().fold((0.0, 0.0, 0.0, 0.0), |s, c| {
        let [x0, n0, x1, n1] = c.floats();
        (s.0 + x0, s.1 + n0, s.2 + x1, s.3 + n1)
    });
    let logit = |p: f64| (p / (1.0 - p)).ln();
    let mut b0 = logit(sums.0 / sums.1);
    let mut b1 = logit(sums.2 / sums.3) - b0;
    if !b0.is_finite() || !b1.is_finite() {
        return None;
    }
    let n = sums.1 + sums.3;
    let mut alpha = 0.0;
    let mut bread = [[0.0; 2]; 2];
    let mut meat = [[0.0; 2]; 2];
    for step in 0..STEPS_MAX {
        let (p0, p1) = (expit(b0), expit(b0 + b1));
        let (v0, v1) = ((p0 * (1.0 - p0)).sqrt(), (p1 * (1.0 - p1)).sqrt());
        if step > 0 {
            alpha = correlation(clusters, (p0, v0), (p1, v1), n);
        }
        let mut hessian = [[0.0; 2]; 2];
        let mut gradient = [0.0; 2];
        meat = [[0.0; 2]; 2];
        for c in clusters {
            let [x0, n0, x1, n1] = c.floats();
            let m = n0 + n1;
            // Inverse of the exchangeable correlation: (I - k J) / (1 - alpha).
            let k = alpha / (1.0 + (m - 1.0) * alpha);
            let (r0, r1) = ((x0 - n0 * p0) / v0, (x1 - n1 * p1) / v1);
            let r = r0 + r1;
            // Sums over the runs of the derivative, on the scale of residuals: v for each run.
            let (d, d1) = (n0 * v0 + n1 * v1, n1 * v1);
            let f = 1.0 / (1.0 - alpha);
            let all = f * (v0 * r0 + v1 * r1 - k * d * r);
            let one = f * (v1 * r1 - k * d1 * r);
            add_outer(&mut meat, [all, one]);
            let [g0, g1] = gradient;
            gradient = [g0 + all, g1 + one];
            let (s, s1) = (n0 * v0 * v0 + n1 * v1 * v1, n1 * v1 * v1);
            let [[h00, h01], [_, h11]] = hessian;
            let (h00, h01, h11) =
                (h00 + f * (s - k * d * d), h01 + f * (s1 - k * d * d1), h11 + f * (s1 - k * d1 * d1));
            hessian = [[h00, h01], [h01, h11]];
        }
        bread = inverse(hessian)?;
        let [[i00, i01], [i10, i11]] = bread;
        let [g0, g1] = gradient;
        let (s0, s1) = (i00 * g0 + i01 * g1, i10 * g0 + i11 * g1);
        b0 += s0;
        b1 += s1;
        if b0.abs() + b1.abs() > BETA_MAX {
            return None;
        }
        if step > 1 && s0.abs() + s1.abs() < 1e-13 {
            break;
        }
    }
    Some((Effect::new(b1, sandwich(bread, meat))?, alpha))
}

/// As statsmodels: mean product of residuals of two runs of a task, over the mean square of all.
fn correlation(clusters: &[Cluster], zero: (f64, f64), one: (f64, f64), n: f64) -> f64 {
    let (mut products, mut pairs, mut squares) = (0.0, 0.0, 0.0);
    for c in clusters {
        let [x0, n0, x1, n1] = c.floats();
        let square =
            |x: f64, n: f64, (p, v): (f64, f64)| x * ((1.0 - p) / v).powi(2) + (n - x) * (p / v).powi(2);
        let s = square(x0, n0, zero) + square(x1, n1, one);
        let r = (x0 - n0 * zero.0) / zero.1 + (x1 - n1 * one.0) / one.1;
        products += (r * r - s) / 2.0;
        pairs += (n0 + n1) * (n0 + n1 - 1.0) / 2.0;
        squares += s;
    }
    let scale = squares / (n - 2.0);
    (products / (scale * (pairs - 2.0))).clamp(-0.99, 0.99)
}

type Matrix = [[f64; 2]; 2];

fn add_outer(matrix: &mut Matrix, [a, b]: [f64; 2]) {
    let [[m00, m01], [m10, m11]] = *matrix;
    *matrix = [[m00 + a * a, m01 + a * b], [m10 + a * b, m11 + b * b]];
}

fn inverse([[a, b], [c, d]]: Matrix) -> Option<Matrix> {
    let determinant = a * d - b * c;
    (determinant.abs() > 1e-300)
        .then(|| [[d / determinant, -b / determinant], [-c / determinant, a / determinant]])
}

/// The lower right cell of bread × meat × bread.
fn sandwich([_, [b10, b11]]: Matrix, [[m00, m01], [m10, m11]]: Matrix) -> f64 {
    let (left0, left1) = (b10 * m00 + b11 * m10, b10 * m01 + b11 * m11);
    left0 * b10 + left1 * b11
}
