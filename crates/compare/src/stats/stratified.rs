//! Tables stratified by task: Cochran–Mantel–Haenszel, the common odds ratio, Breslow–Day.

use super::Interval;
use super::special::{chi2_above, normal_quantile};

/// `[[A succeeded, A failed], [B succeeded, B failed]]`.
pub type Table = [[f64; 2]; 2];

#[derive(Clone, Debug, PartialEq)]
pub struct Cmh {
    pub statistic: f64,
    pub p: f64,
    pub statistic_corrected: f64,
    pub p_corrected: f64,
    pub odds_ratio: f64,
    /// Robins, Breslow and Greenland.
    pub log_odds_ratio_se: f64,
    pub odds_ratio_interval: Interval,
    pub risk_ratio: f64,
    /// Whether the odds ratios of the strata are one.
    pub breslow_day: f64,
    pub breslow_day_p: f64,
}

/// `None`: no stratum says anything.
pub fn cmh(strata: &[Table], level: f64) -> Option<Cmh> {
    let (mut seen, mut expected, mut variance) = (0.0, 0.0, 0.0);
    let (mut r, mut s, mut pr, mut ps_qr, mut qs) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let (mut risk_top, mut risk_bottom) = (0.0, 0.0);
    let mut used = 0.0;
    for [[a, b], [c, d]] in strata.iter().copied() {
        let n = a + b + c + d;
        if n < 2.0 {
            continue;
        }
        used += 1.0;
        seen += a;
        expected += (a + b) * (a + c) / n;
        variance += (a + b) * (c + d) * (a + c) * (b + d) / (n * n * (n - 1.0));
        let (p, q, ri, si) = ((a + d) / n, (b + c) / n, a * d / n, b * c / n);
        r += ri;
        s += si;
        pr += p * ri;
        ps_qr += p * si + q * ri;
        qs += q * si;
        risk_top += a * (c + d) / n;
        risk_bottom += c * (a + b) / n;
    }
    if variance <= 0.0 {
        return None;
    }
    let difference = f64::abs(seen - expected);
    let statistic = difference * difference / variance;
    let corrected = (difference - 0.5).max(0.0).powi(2) / variance;
    let odds_ratio = r / s;
    let se = (pr / (2.0 * r * r) + ps_qr / (2.0 * r * s) + qs / (2.0 * s * s)).sqrt();
    let half = -normal_quantile(level / 2.0) * se;
    let breslow_day = breslow_day(strata, odds_ratio);
    Some(Cmh {
        statistic,
        p: chi2_above(statistic, 1.0),
        statistic_corrected: corrected,
        p_corrected: chi2_above(corrected, 1.0),
        odds_ratio,
        log_odds_ratio_se: se,
        odds_ratio_interval: Interval {
            low: (odds_ratio.ln() - half).exp(),
            high: (odds_ratio.ln() + half).exp(),
        },
        risk_ratio: risk_top / risk_bottom,
        breslow_day,
        breslow_day_p: chi2_above(breslow_day, f64::max(used - 1.0, 1.0)),
    })
}

fn breslow_day(strata: &[Table], ratio: f64) -> f64 {
    let mut sum = 0.0;
    for [[a, b], [c, d]] in strata.iter().copied() {
        let (row, column, n) = (a + b, a + c, a + b + c + d);
        // The count in the first cell at which this table would have the common ratio.
        let e = if (ratio - 1.0).abs() < 1e-12 {
            row * column / n
        } else {
            let square = 1.0 - ratio;
            let linear = n - row - column + ratio * (row + column);
            let constant = -ratio * row * column;
            let root = (linear * linear - 4.0 * square * constant).max(0.0).sqrt();
            let (one, two) = ((-linear + root) / (2.0 * square), (-linear - root) / (2.0 * square));
            let fits = |x: f64| x >= (row + column - n).max(0.0) - 1e-9 && x <= row.min(column) + 1e-9;
            if fits(one) { one } else { two }
        };
        let cells = [e, row - e, column - e, n - row - column + e];
        if cells.iter().all(|cell| *cell > 1e-12) {
            let variance = 1.0 / cells.iter().map(|cell| 1.0 / cell).sum::<f64>();
            sum += (a - e) * (a - e) / variance;
        }
    }
    sum
}
