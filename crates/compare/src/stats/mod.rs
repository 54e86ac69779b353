//! The statistics: pure functions, each checked against SciPy, statsmodels or scikit-learn (`tests/it/reference.rs`).

pub mod bayes;
pub mod binary;
pub mod detector;
pub mod evidence;
pub mod logit;
pub mod malingering;
pub mod multiplicity;
pub mod paired;
pub mod power;
pub mod rank;
pub mod special;
pub mod stratified;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub fn around(middle: f64, half: f64) -> Interval {
        Interval { low: middle - half, high: middle + half }
    }

    pub fn within(self, low: f64, high: f64) -> Interval {
        Interval { low: self.low.max(low), high: self.high.min(high) }
    }

    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Knuth's generator, written down in the reference: same seed, same report. Nothing here needs more of chance.
#[derive(Clone, Debug)]
pub struct Lcg(u64);

impl Lcg {
    pub fn new(seed: u64) -> Self {
        Lcg(seed)
    }

    /// 31 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn coin(&mut self) -> bool {
        self.draw() >> 30 == 1
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.draw() as f64 / (1_u64 << 31) as f64
    }
}
