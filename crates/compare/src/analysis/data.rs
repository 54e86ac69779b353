//! One measure on both sides: which tests fit it, and which of them decides.

use std::collections::BTreeMap;

use super::{Pairing, TaskRow, Test};
use crate::monitor::{Monitor, Side, Standing, unpaired};
use crate::plan::Plan;
use crate::run::Run;
use crate::set::Set;
use crate::stats::binary::{self, Two};
use crate::stats::logit::{self, Cluster};
use crate::stats::paired::{self, How};
use crate::stats::special::t_quantile_two_sided;
use crate::stats::{Interval, bayes, mean, power, rank, stratified};

/// Draws of the bootstrap, and where its generator begins: the same runs give the same report.
const DRAWS: usize = 4_000;
const SEED: u64 = 42;
/// From so many tasks on, the bootstrap gives the interval; below, t.
const BOOTSTRAP_MIN: usize = 10;
/// What the minimum detectable effect is told for.
const POWER: f64 = 0.8;

/// One measure on both sides.
pub struct Data<'a> {
    pub metric: &'a str,
    pub a: BTreeMap<&'a str, Vec<f64>>,
    pub b: BTreeMap<&'a str, Vec<f64>>,
    pub shared: Vec<&'a str>,
    pub only_a: u64,
    pub only_b: u64,
    pub binary: bool,
    pub runs: (&'a [Run], &'a [Run]),
}

impl<'a> Data<'a> {
    pub fn new(a: &'a Set, b: &'a Set, metric: &'a str) -> Self {
        let runs = (a.runs.as_slice(), b.runs.as_slice());
        let (a, b) = (a.by_task(metric), b.by_task(metric));
        let shared: Vec<&str> = a.keys().filter(|task| b.contains_key(*task)).copied().collect();
        let binary = a.values().chain(b.values()).flatten().all(|v| *v == 0.0 || *v == 1.0);
        let only_a = (a.len() - shared.len()) as u64;
        let only_b = (b.len() - shared.len()) as u64;
        Data { metric, a, b, shared, only_a, only_b, binary, runs }
    }

    /// Two shared tasks are enough for pairs; one is a single stratum.
    pub fn paired(&self) -> bool {
        self.shared.len() >= 2
    }

    fn of(&self, task: &str) -> (&[f64], &[f64]) {
        (
            self.a.get(task).map(Vec::as_slice).unwrap_or_default(),
            self.b.get(task).map(Vec::as_slice).unwrap_or_default(),
        )
    }

    pub fn differences(&self) -> Vec<f64> {
        self.shared
            .iter()
            .filter_map(|task| {
                let (a, b) = self.of(task);
                Some(mean(a)? - mean(b)?)
            })
            .collect()
    }

    /// Means of the shared tasks' means.
    pub fn shared_means(&self) -> Option<(f64, f64)> {
        let rows = self.rows();
        let of = |side: fn(&TaskRow) -> f64| mean(&rows.iter().map(side).collect::<Vec<f64>>());
        Some((of(|row| row.a)?, of(|row| row.b)?))
    }

    pub fn epochs(&self) -> (u64, u64) {
        let counts = || self.a.values().chain(self.b.values()).map(|values| values.len() as u64);
        (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }

    pub fn pairing(&self) -> Pairing {
        let (epochs_least, epochs_most) = self.epochs();
        Pairing {
            paired: self.paired(),
            tasks_both: self.shared.len() as u64,
            only_a: self.only_a,
            only_b: self.only_b,
            epochs_least,
            epochs_most,
        }
    }

    pub fn rows(&self) -> Vec<TaskRow> {
        self.shared
            .iter()
            .filter_map(|task| {
                let (a, b) = self.of(task);
                Some(TaskRow {
                    task: (*task).to_owned(),
                    a: mean(a)?,
                    b: mean(b)?,
                    a_runs: a.len() as u64,
                    b_runs: b.len() as u64,
                })
            })
            .collect()
    }

    fn of_what(&self) -> &'static str {
        if self.binary { "difference of rates, A − B" } else { "difference of means, A − B" }
    }

    /// All tests of the measure, and the name of the one that decides.
    pub fn tests(&self, done: &Plan, notes: &mut Vec<String>) -> (Vec<Test>, String) {
        if self.a.is_empty() || self.b.is_empty() {
            return (Vec::new(), String::new());
        }
        let (tests, own) = if self.paired() { self.paired_tests(done) } else { self.unpaired_tests(done) };
        let decided = if done.test.is_empty() || tests.iter().any(|test| test.name == done.test) {
            if done.test.is_empty() { own } else { done.test.clone() }
        } else {
            notes.push(format!("the test `{}` does not fit these data; `{own}` decides instead", done.test));
            own
        };
        (tests, decided)
    }

    fn paired_tests(&self, done: &Plan) -> (Vec<Test>, String) {
        let level = done.level;
        let differences = self.differences();
        let estimate = mean(&differences).unwrap_or(f64::NAN);
        let interval = self.interval(&differences, level);
        let of = self.of_what();
        let (p, how) = paired::sign_flip(&differences);
        let note = match how {
            How::Exact => "over all flips of the tasks' differences",
            How::Drawn(_) => "over drawn flips of the tasks' differences",
        };
        let mut tests = vec![
            Test::new("sign-flip", self.metric, of)
                .with(estimate, p)
                .estimating(estimate, interval)
                .noting(note),
        ];
        if let Some(w) = paired::wilcoxon(&differences) {
            tests.push(Test::new("wilcoxon", self.metric, of).with(w.statistic, w.p_corrected));
        }
        if let Some((t, p)) = paired::t_test(&differences) {
            tests.push(
                Test::new("paired-t", self.metric, of)
                    .with(t, p)
                    .estimating(estimate, t_interval(&differences, level)),
            );
        }
        let mut decided = "sign-flip";
        if self.binary {
            tests.extend(self.binary_paired(level, estimate, interval));
            if self.epochs() == (1, 1) {
                decided = "mcnemar-exact";
            }
        }
        (tests, decided.to_owned())
    }

    pub fn interval(&self, differences: &[f64], level: f64) -> Option<Interval> {
        let bounded = |i: Interval| if self.binary { i.within(-1.0, 1.0) } else { i };
        if differences.len() < BOOTSTRAP_MIN {
            return t_interval(differences, level).map(bounded);
        }
        let bootstrap = paired::bootstrap(differences, DRAWS, level, SEED)?;
        let spread = paired::variance(differences)? > 0.0;
        bootstrap.bca.filter(|_| spread).map(bounded).or_else(|| t_interval(differences, level).map(bounded))
    }

    fn binary_paired(&self, level: f64, estimate: f64, interval: Option<Interval>) -> Vec<Test> {
        let mut out = Vec::new();
        let single = self.epochs() == (1, 1);
        let of = self.of_what();
        if single {
            let count = |wanted: (f64, f64)| {
                self.shared
                    .iter()
                    .filter(|task| {
                        let (a, b) = self.of(task);
                        (a.first(), b.first()) == (Some(&wanted.0), Some(&wanted.1))
                    })
                    .count() as u64
            };
            let (b, c) = (count((1.0, 0.0)), count((0.0, 1.0)));
            let m = binary::mcnemar(b, c);
            let note = format!("{b} tasks succeeded in A only, {c} in B only");
            out.push(
                Test::new("mcnemar-exact", self.metric, of)
                    .with(b.min(c) as f64, m.exact_p)
                    .estimating(estimate, interval)
                    .noting(&note),
            );
            out.push(
                Test::new("mcnemar-mid-p", self.metric, of)
                    .with(b.min(c) as f64, m.mid_p)
                    .estimating(estimate, interval),
            );
        }
        let strata: Vec<stratified::Table> = self
            .shared
            .iter()
            .map(|task| {
                let (a, b) = self.of(task);
                let wins = |values: &[f64]| values.iter().filter(|v| **v == 1.0).count() as f64;
                [[wins(a), a.len() as f64 - wins(a)], [wins(b), b.len() as f64 - wins(b)]]
            })
            .collect();
        if let Some(cmh) = stratified::cmh(&strata, level) {
            out.push(
                Test::new("cmh", self.metric, "common odds ratio, A to B")
                    .with(cmh.statistic, cmh.p)
                    .estimating(cmh.odds_ratio, Some(cmh.odds_ratio_interval))
                    .noting("tasks as strata"),
            );
            if !single && cmh.breslow_day.is_finite() && cmh.odds_ratio.is_finite() {
                out.push(
                    Test::new("breslow-day", self.metric, "common odds ratio, A to B")
                        .with(cmh.breslow_day, cmh.breslow_day_p)
                        .noting("a small p: the difference is not the same in all tasks"),
                );
            }
        }
        let clusters: Vec<Cluster> = strata
            .iter()
            .map(|[[a, af], [b, bf]]| Cluster {
                x0: *b as u64,
                n0: (b + bf) as u64,
                x1: *a as u64,
                n1: (a + af) as u64,
            })
            .collect();
        let logits = [
            ("conditional-logit", logit::conditional(&clusters)),
            ("gee", logit::gee(&clusters).map(|(effect, _)| effect)),
        ];
        for (name, effect) in logits {
            if let Some(effect) = effect {
                let half = -crate::stats::special::normal_quantile(level / 2.0) * effect.se;
                out.push(
                    Test::new(name, self.metric, "log odds ratio, A to B")
                        .with(effect.beta / effect.se, effect.p)
                        .estimating(effect.beta, Some(Interval::around(effect.beta, half))),
                );
            }
        }
        out
    }

    fn unpaired_tests(&self, done: &Plan) -> (Vec<Test>, String) {
        let level = done.level;
        let of = self.of_what();
        // Runs of a task go together: where there are several, the tasks are what counts.
        let per_task =
            |side: &BTreeMap<&str, Vec<f64>>| side.values().filter_map(|v| mean(v)).collect::<Vec<f64>>();
        let single_task = self.a.len() == 1 && self.b.len() == 1;
        let (a, b) = if single_task {
            let all =
                |side: &BTreeMap<&str, Vec<f64>>| side.values().flatten().copied().collect::<Vec<f64>>();
            (all(&self.a), all(&self.b))
        } else {
            (per_task(&self.a), per_task(&self.b))
        };
        let estimate = mean(&a).unwrap_or(f64::NAN) - mean(&b).unwrap_or(f64::NAN);
        let interval = welch(&a, &b, level).map(|i| if self.binary { i.within(-1.0, 1.0) } else { i });
        let mut tests = Vec::new();
        let mut decided = "mann-whitney";
        if let Some(m) = rank::mann_whitney(&a, &b) {
            tests.push(
                Test::new("mann-whitney", self.metric, of).with(m.u, m.p).estimating(estimate, interval),
            );
        }
        if self.binary && (single_task || self.epochs() == (1, 1)) {
            let wins = |values: &[f64]| values.iter().filter(|v| **v == 1.0).count() as u64;
            let two = Two { x1: wins(&a), n1: a.len() as u64, x2: wins(&b), n2: b.len() as u64 };
            let newcombe = binary::newcombe(two, level);
            let fisher = binary::fisher(two);
            let mut test = Test::new("fisher", self.metric, of)
                .with(fisher.odds_ratio.unwrap_or(f64::NAN), fisher.two_sided)
                .estimating(two.difference(), Some(newcombe));
            test.note = Some("the statistic is the odds ratio".to_owned());
            tests.push(test);
            decided = "fisher";
            if let Some(p) = binary::boschloo(two) {
                tests.push(
                    Test::new("boschloo", self.metric, of)
                        .with(fisher.less.min(fisher.greater), p)
                        .estimating(two.difference(), Some(newcombe)),
                );
                decided = "boschloo";
            }
            tests.push(
                Test::new(
                    "beta-binomial",
                    self.metric,
                    "probability that A's rate is above B's, uniform priors",
                )
                .estimating(bayes::first_above(two), None)
                .noting(&format!(
                    "log10 Bayes factor of two rates against one: {:.3}",
                    bayes::log10_bayes_factor(two)
                )),
            );
        }
        (tests, decided.to_owned())
    }

    pub fn sequential(&self, done: &Plan) -> Option<Standing> {
        let mut monitor = Monitor::new(done.level);
        if self.paired() {
            // Epoch by epoch, so that no task has all its runs before another begins.
            let (_, most) = self.epochs();
            for epoch in 0..most as usize {
                for task in &self.shared {
                    let (a, b) = self.of(task);
                    for (side, values) in [(Side::A, a), (Side::B, b)] {
                        if let Some(value) = values.get(epoch) {
                            monitor.push(side, task, *value);
                        }
                    }
                }
            }
            return Some(monitor.standing());
        }
        if !self.binary || self.a.is_empty() || self.b.is_empty() {
            return None;
        }
        let stream = |runs: &[Run]| -> Vec<bool> {
            runs.iter().filter_map(|run| run.measure(self.metric)).map(|v| v == 1.0).collect()
        };
        let (a, b) = (stream(self.runs.0), stream(self.runs.1));
        // Runs of one task go together, which two streams do not allow for.
        if self.epochs() != (1, 1) && (self.a.len() > 1 || self.b.len() > 1) {
            return None;
        }
        let e = unpaired(&a, &b);
        Some(Standing {
            pairs: a.len().min(b.len()) as u64,
            discordant: a.iter().zip(&b).filter(|(x, y)| x != y).count() as u64,
            a_more: a.iter().zip(&b).filter(|(x, y)| **x && !**y).count() as u64,
            e,
            e_largest: e.max(1.0),
            threshold: 1.0 / done.level,
            anytime_p: (1.0 / e).min(1.0),
            a_more_share: Interval { low: 0.0, high: 1.0 },
            crossed_at: (e >= 1.0 / done.level).then_some(a.len().min(b.len()) as u64),
            unpaired: a.len().abs_diff(b.len()) as u64,
        })
    }

    /// The smallest p that these data could give, whatever they said.
    pub fn least_p(&self) -> f64 {
        let n = self.shared.len() as i32;
        if self.paired() { 2.0_f64.powi(1 - n.min(1_000)) } else { 0.0 }
    }

    pub fn detectable(&self, level: f64) -> Option<f64> {
        if self.paired() {
            return power::detectable(&self.differences(), level, POWER);
        }
        let all = |side: &BTreeMap<&str, Vec<f64>>| side.values().flatten().copied().collect::<Vec<f64>>();
        let (a, b) = (all(&self.a), all(&self.b));
        let pooled = mean(&a.iter().chain(&b).copied().collect::<Vec<_>>())?;
        self.binary
            .then(|| power::detectable_unpaired(pooled, a.len() as u64, b.len() as u64, level, POWER))?
    }
}

fn t_interval(differences: &[f64], level: f64) -> Option<Interval> {
    let n = differences.len() as f64;
    let se = (paired::variance(differences)? / n).sqrt();
    (se > 0.0).then(|| {
        Interval::around(mean(differences).unwrap_or(f64::NAN), t_quantile_two_sided(level, n - 1.0) * se)
    })
}

fn welch(a: &[f64], b: &[f64], level: f64) -> Option<Interval> {
    let (va, vb) = (paired::variance(a)? / a.len() as f64, paired::variance(b)? / b.len() as f64);
    let se = (va + vb).sqrt();
    if se <= 0.0 {
        return None;
    }
    let df = (va + vb).powi(2) / (va * va / (a.len() as f64 - 1.0) + vb * vb / (b.len() as f64 - 1.0));
    Some(Interval::around(mean(a)? - mean(b)?, t_quantile_two_sided(level, df) * se))
}
