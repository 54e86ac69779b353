//! How many tasks it takes, and what effect so many could show.

use serde::Serialize;

use super::special::{normal_quantile, t_quantile_two_sided};
use super::{Lcg, mean, paired};

/// A study with each task in both arms, `epochs` runs each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Study {
    /// Success rate in the arm that is thought to be the ordinary one.
    pub base: f64,
    /// Difference of rates that is to be found.
    pub effect: f64,
    pub epochs: u64,
    /// Standard deviation of the tasks' own rates around `base`.
    pub spread: f64,
    /// Standard deviation, from task to task, of the effect.
    pub variation: f64,
    pub level: f64,
    pub power: f64,
}

/// More tasks than this are no plan.
pub const TASKS_MAX: u64 = 1_000_000;

/// Tasks up to which a plan is tried out; more follow the normal law closely.
const SIMULATED_MAX: f64 = 250.0;
const STUDIES: u64 = 2_000;

impl Study {
    /// Variance of the difference of one task's two observed rates.
    pub fn variance(&self) -> f64 {
        let other = (self.base + self.effect).clamp(0.0, 1.0);
        // What tasks differ by in rate is no chance within a task: it makes runs of a task more alike.
        let within = |p: f64| (p * (1.0 - p) - self.spread.powi(2)).max(0.0);
        (within(self.base) + within(other)) / self.epochs as f64 + self.variation.powi(2)
    }

    /// Tasks for the power asked for. `None`: no effect, or too many.
    pub fn tasks(&self) -> Option<u64> {
        if self.effect == 0.0 || self.epochs == 0 {
            return None;
        }
        let spread = self.variance().sqrt().max(1e-6);
        let z_power = normal_quantile(self.power);
        let z = -normal_quantile(self.level / 2.0);
        let mut tasks = ((z + z_power) * spread / self.effect).powi(2).ceil().max(2.0);
        // Few tasks know their own spread badly: the t distribution's wider limit.
        for _ in 0..20 {
            let t = t_quantile_two_sided(self.level, (tasks - 1.0).max(1.0));
            let next = ((t + z_power) * spread / self.effect).powi(2).ceil().max(2.0);
            if (next - tasks).abs() < 0.5 {
                break;
            }
            tasks = ((tasks + next) / 2.0).ceil();
        }
        // The lattice of rates costs the test some of its level: simulated studies say how many tasks more that takes.
        while tasks <= SIMULATED_MAX && self.simulated_power(tasks as u64, STUDIES, 1) < self.power {
            tasks = (tasks * 1.03).ceil();
        }
        // Fewer tasks than this cannot reach the level by any flip of signs.
        let least = (2.0 / self.level).log2().ceil();
        let tasks = tasks.max(least);
        (tasks <= TASKS_MAX as f64).then_some(tasks as u64)
    }

    /// The share of simulated studies of so many tasks in which sign flips reject.
    pub fn simulated_power(&self, tasks: u64, studies: u64, seed: u64) -> f64 {
        let mut chance = Lcg::new(seed);
        let rejected = (0..studies)
            .filter(|_| {
                let differences: Vec<f64> = (0..tasks).map(|_| self.task(&mut chance)).collect();
                paired::sign_flip(&differences).0 <= self.level
            })
            .count();
        rejected as f64 / studies as f64
    }

    /// One task's difference of rates. Rates and effects have two values each: that keeps mean and spread as asked for.
    fn task(&self, chance: &mut Lcg) -> f64 {
        let rate = (self.base + if chance.coin() { self.spread } else { -self.spread }).clamp(0.0, 1.0);
        let effect = self.effect + if chance.coin() { self.variation } else { -self.variation };
        let other = (rate + effect).clamp(0.0, 1.0);
        let mut count = |p: f64| (0..self.epochs).filter(|_| chance.uniform() < p).count() as f64;
        (count(other) - count(rate)) / self.epochs as f64
    }
}

/// The smallest mean difference that such tasks would show with this power: what a null result can exclude, roughly.
pub fn detectable(differences: &[f64], level: f64, power: f64) -> Option<f64> {
    mean(differences)?;
    let n = differences.len() as f64;
    let spread = paired::variance(differences)?.sqrt();
    let t = t_quantile_two_sided(level, n - 1.0);
    (spread > 0.0).then(|| (t + normal_quantile(power)) * spread / n.sqrt())
}

/// The same for two groups without pairs.
pub fn detectable_unpaired(p: f64, n1: u64, n2: u64, level: f64, power: f64) -> Option<f64> {
    let variance = p * (1.0 - p) * (1.0 / n1 as f64 + 1.0 / n2 as f64);
    (variance > 0.0 && variance.is_finite())
        .then(|| (normal_quantile(power) - normal_quantile(level / 2.0)) * variance.sqrt())
}
