//! Two sets of runs, compared: every test with its numbers, the plain answer, and what it does not say.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::monitor::{Monitor, Side, Standing, unpaired};
use crate::plan::{Plan, PlanView};
use crate::run::{MEASURES, Run, SUCCESS};
use crate::set::Set;
use crate::stats::binary::{self, Two};
use crate::stats::logit::{self, Cluster};
use crate::stats::paired::{self, How};
use crate::stats::special::t_quantile_two_sided;
use crate::stats::{Interval, bayes, malingering, mean, multiplicity, power, rank, stratified};

/// Draws of the bootstrap, and where its generator begins: the same runs give the same report.
const DRAWS: usize = 4_000;
const SEED: u64 = 42;
/// From so many tasks on, the bootstrap gives the interval; below, t.
const BOOTSTRAP_MIN: usize = 10;
/// What the minimum detectable effect is told for.
const POWER: f64 = 0.8;
/// Measures that are compared; those beyond are named as left out.
const MEASURES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub answer: Answer,
    pub plan: Option<PlanView>,
    pub arms: Vec<Arm>,
    pub pairing: Pairing,
    pub tests: Vec<Test>,
    pub sequential: Option<Standing>,
    pub patterns: Vec<Pattern>,
    /// Of the primary measure, by task: for the plots.
    pub tasks: Vec<TaskRow>,
    pub cannot_conclude: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Difference,
    NoDifferenceShown,
    CannotConclude,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    pub verdict: Verdict,
    /// The plain answer.
    pub text: String,
    pub metric: String,
    pub test: String,
    /// A − B.
    pub estimate: Option<f64>,
    pub interval: Option<Interval>,
    pub p: Option<f64>,
    pub level: f64,
    /// What such data would have shown in 8 of 10 studies.
    pub detectable: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arm {
    pub name: String,
    pub runs: u64,
    pub tasks: u64,
    /// Runs that were left out, by the rules of the plan.
    pub left_out: u64,
    /// Runs with a value of the primary measure.
    pub with_value: u64,
    pub mean: Option<f64>,
    /// Of a rate: Clopper–Pearson, as if runs were independent.
    pub interval: Option<Interval>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pairing {
    /// Compared task by task.
    pub paired: bool,
    pub tasks_both: u64,
    pub only_a: u64,
    pub only_b: u64,
    pub epochs_least: u64,
    pub epochs_most: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Primary,
    /// The same measure by other tests: they do not decide.
    Supporting,
    /// A further measure, corrected for being one of many.
    Conduct,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Test {
    pub name: String,
    pub metric: String,
    pub role: Role,
    pub statistic: Option<f64>,
    pub p: Option<f64>,
    pub estimate: Option<f64>,
    /// What the estimate is of.
    pub of: String,
    pub interval: Option<Interval>,
    /// Holm's and Benjamini and Hochberg's, among the measures of conduct.
    pub p_holm: Option<f64>,
    pub p_bh: Option<f64>,
    pub note: Option<String>,
}

impl Test {
    fn new(name: &str, metric: &str, of: &str) -> Test {
        Test {
            name: name.to_owned(),
            metric: metric.to_owned(),
            role: Role::Supporting,
            statistic: None,
            p: None,
            estimate: None,
            of: of.to_owned(),
            interval: None,
            p_holm: None,
            p_bh: None,
            note: None,
        }
    }

    fn with(mut self, statistic: f64, p: f64) -> Test {
        self.statistic = Some(statistic).filter(|s| s.is_finite());
        self.p = Some(p.clamp(0.0, 1.0)).filter(|p| p.is_finite());
        self
    }

    fn estimating(mut self, estimate: f64, interval: Option<Interval>) -> Test {
        self.estimate = Some(estimate).filter(|e| e.is_finite());
        self.interval = interval.filter(|i| i.low.is_finite() && i.high.is_finite());
        self
    }

    fn noting(mut self, note: &str) -> Test {
        self.note = Some(note.to_owned());
        self
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pattern {
    pub name: String,
    pub arm: String,
    pub statistic: Option<f64>,
    pub p: Option<f64>,
    /// What it is, in words.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskRow {
    pub task: String,
    pub a: f64,
    pub b: f64,
    pub a_runs: u64,
    pub b_runs: u64,
}

/// Compares what `done` says; `plan`: what was registered, and where.
pub fn compare(
    mut a: Set,
    mut b: Set,
    done: &Plan,
    plan: Option<PlanView>,
    mut notes: Vec<String>,
) -> Comparison {
    if crate::set::align(&mut a, &mut b) {
        notes.push("tasks are paired by their ids alone: the evaluations have different names".to_owned());
    }
    for set in [&a, &b] {
        if set.renumbered > 0 {
            notes.push(format!(
                "{}: {} runs have an epoch that another log has too; they count as further runs",
                set.name, set.renumbered
            ));
        }
    }
    let left_a = exclude(&mut a, done);
    let left_b = exclude(&mut b, done);
    let metric = done.metric.as_str();
    let primary = Data::new(&a, &b, metric);
    let (mut tests, decided) = primary.tests(done, &mut notes);
    for test in &mut tests {
        if test.name == decided {
            test.role = Role::Primary;
        }
    }
    tests.extend(conduct(&a, &b, done, &mut notes));
    let sequential = primary.sequential(done);
    let arms = vec![arm(&a, left_a, metric, done.level), arm(&b, left_b, metric, done.level)];
    let mut plan = plan;
    if let Some(view) = &mut plan {
        view.deviations.extend(size_deviations(done, &primary));
    }
    let answer = answer(&primary, &tests, &arms, done, sequential.as_ref());
    let patterns = [&a, &b].into_iter().flat_map(patterns).collect();
    let cannot_conclude = cannot(&primary, &answer, &arms, plan.as_ref(), done);
    if primary.only_a > 0 || primary.only_b > 0 {
        notes.push(format!(
            "{} tasks are in A only and {} in B only; where tasks are paired they do not count",
            primary.only_a, primary.only_b
        ));
    }
    Comparison {
        answer,
        plan,
        arms,
        pairing: primary.pairing(),
        tests,
        sequential,
        patterns,
        tasks: primary.rows(),
        cannot_conclude,
        notes,
    }
}

fn size_deviations(done: &Plan, data: &Data) -> Vec<String> {
    let mut out = Vec::new();
    let tasks = data.shared.len() as u64;
    if done.tasks > 0 && tasks != done.tasks {
        out.push(format!("tasks in both arms: planned `{}`, done `{tasks}`", done.tasks));
    }
    let (least, most) = data.epochs();
    if done.epochs > 0 && (least != done.epochs || most != done.epochs) {
        out.push(format!("epochs: planned `{}`, done `{least}` to `{most}`", done.epochs));
    }
    out
}

fn exclude(set: &mut Set, done: &Plan) -> u64 {
    let before = set.runs.len();
    let out = |run: &Run| (done.exclude_errors && run.error) || done.exclude_tasks.contains(&run.task);
    set.runs.retain(|run| !out(run));
    (before - set.runs.len()) as u64
}

fn arm(set: &Set, left_out: u64, metric: &str, level: f64) -> Arm {
    let values: Vec<f64> = set.runs.iter().filter_map(|run| run.measure(metric)).collect();
    let n = values.len() as u64;
    let binary = !values.is_empty() && values.iter().all(|v| *v == 0.0 || *v == 1.0);
    let successes = values.iter().filter(|v| **v == 1.0).count() as u64;
    Arm {
        name: set.name.clone(),
        runs: set.runs.len() as u64,
        tasks: set.runs.iter().map(|run| &run.task).collect::<BTreeSet<_>>().len() as u64,
        left_out,
        with_value: n,
        mean: mean(&values),
        interval: binary.then(|| binary::clopper_pearson(successes, n, level)),
    }
}

/// One measure on both sides.
struct Data<'a> {
    metric: &'a str,
    a: BTreeMap<&'a str, Vec<f64>>,
    b: BTreeMap<&'a str, Vec<f64>>,
    shared: Vec<&'a str>,
    only_a: u64,
    only_b: u64,
    binary: bool,
    runs: (&'a [Run], &'a [Run]),
}

impl<'a> Data<'a> {
    fn new(a: &'a Set, b: &'a Set, metric: &'a str) -> Self {
        let runs = (a.runs.as_slice(), b.runs.as_slice());
        let (a, b) = (a.by_task(metric), b.by_task(metric));
        let shared: Vec<&str> = a.keys().filter(|task| b.contains_key(*task)).copied().collect();
        let binary = a.values().chain(b.values()).flatten().all(|v| *v == 0.0 || *v == 1.0);
        let only_a = (a.len() - shared.len()) as u64;
        let only_b = (b.len() - shared.len()) as u64;
        Data { metric, a, b, shared, only_a, only_b, binary, runs }
    }

    /// Two shared tasks are enough for pairs; one is a single stratum.
    fn paired(&self) -> bool {
        self.shared.len() >= 2
    }

    fn of(&self, task: &str) -> (&[f64], &[f64]) {
        (
            self.a.get(task).map(Vec::as_slice).unwrap_or_default(),
            self.b.get(task).map(Vec::as_slice).unwrap_or_default(),
        )
    }

    fn differences(&self) -> Vec<f64> {
        self.shared
            .iter()
            .filter_map(|task| {
                let (a, b) = self.of(task);
                Some(mean(a)? - mean(b)?)
            })
            .collect()
    }

    fn epochs(&self) -> (u64, u64) {
        let counts = || self.a.values().chain(self.b.values()).map(|values| values.len() as u64);
        (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }

    fn pairing(&self) -> Pairing {
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

    fn rows(&self) -> Vec<TaskRow> {
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
    fn tests(&self, done: &Plan, notes: &mut Vec<String>) -> (Vec<Test>, String) {
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

    fn interval(&self, differences: &[f64], level: f64) -> Option<Interval> {
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

    fn sequential(&self, done: &Plan) -> Option<Standing> {
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
    fn least_p(&self) -> f64 {
        let n = self.shared.len() as i32;
        if self.paired() { 2.0_f64.powi(1 - n.min(1_000)) } else { 0.0 }
    }

    fn detectable(&self, level: f64) -> Option<f64> {
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

/// The other measures that both sides have, corrected for their number.
fn conduct(a: &Set, b: &Set, done: &Plan, notes: &mut Vec<String>) -> Vec<Test> {
    let names = |set: &Set| -> BTreeSet<String> {
        set.runs.iter().flat_map(|run| run.measures.keys().cloned()).collect()
    };
    let place = |name: &str| MEASURES.iter().position(|(known, _)| *known == name).unwrap_or(MEASURES.len());
    let mut shared: Vec<String> =
        names(a).intersection(&names(b)).filter(|name| **name != done.metric).cloned().collect();
    shared.sort_by_key(|name| (place(name), name.clone()));
    if shared.len() > MEASURES_MAX {
        notes.push(format!(
            "{} measures beyond the first {MEASURES_MAX} are left out",
            shared.len() - MEASURES_MAX
        ));
        shared.truncate(MEASURES_MAX);
    }
    let mut tests = Vec::new();
    for name in &shared {
        let data = Data::new(a, b, name);
        let own = Plan { test: String::new(), ..done.clone() };
        let (all, decided) = data.tests(&own, notes);
        tests.extend(all.into_iter().find(|test| test.name == decided));
    }
    let p: Vec<f64> = tests.iter().map(|test| test.p.unwrap_or(1.0)).collect();
    let adjusted = multiplicity::holm(&p).into_iter().zip(multiplicity::benjamini_hochberg(&p));
    for (test, (holm, bh)) in tests.iter_mut().zip(adjusted) {
        test.role = Role::Conduct;
        test.p_holm = Some(holm);
        test.p_bh = Some(bh);
    }
    tests
}

/// `0.183` as `+18.3 points` for a rate, else as a number.
pub fn amount(value: f64, rate: bool) -> String {
    if rate { format!("{:+.1} points", value * 100.0) } else { format!("{value:+.3}") }
}

pub fn level_words(level: f64) -> String {
    let percent = format!("{:.4}", (1.0 - level) * 100.0);
    format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
}

pub fn p_words(p: f64) -> String {
    if p < 0.0001 { "p < 0.0001".to_owned() } else { format!("p = {p:.4}") }
}

fn answer(data: &Data, tests: &[Test], arms: &[Arm], done: &Plan, sequential: Option<&Standing>) -> Answer {
    let primary = tests.iter().find(|test| test.role == Role::Primary);
    let metric = &done.metric;
    let estimate =
        primary.and_then(|t| t.estimate).filter(|_| primary.is_none_or(|t| t.of.starts_with("difference")));
    let estimate = estimate.or_else(|| mean(&data.differences()));
    let interval =
        primary.and_then(|t| t.interval).filter(|_| primary.is_some_and(|t| t.of.starts_with("difference")));
    let interval = interval
        .or_else(|| if data.paired() { data.interval(&data.differences(), done.level) } else { None });
    let (test, p) = match (done.sequential, sequential) {
        (true, Some(standing)) => ("e-process".to_owned(), Some(standing.anytime_p)),
        (true, None) => (String::new(), None),
        (false, _) => (primary.map(|t| t.name.clone()).unwrap_or_default(), primary.and_then(|t| t.p)),
    };
    let detectable = data.detectable(done.level);
    let impossible = !done.sequential && data.least_p() > done.level;
    let verdict = match (p, impossible) {
        (None, _) | (_, true) => Verdict::CannotConclude,
        (Some(p), false) if p <= done.level => Verdict::Difference,
        (Some(_), false) => Verdict::NoDifferenceShown,
    };
    let rate = data.binary;
    let side = |at: usize, letter: &str| {
        let arm = arms.get(at);
        let value = arm.and_then(|arm| arm.mean);
        let value = value.map_or("no value".to_owned(), |v| {
            if rate { format!("{:.1} %", v * 100.0) } else { format!("{v:.3}") }
        });
        format!("{letter} ({}) {value}", arm.map(|arm| arm.name.as_str()).unwrap_or_default())
    };
    let effect = match (estimate, interval) {
        (Some(estimate), Some(i)) => format!(
            "A − B = {} ({} interval {} to {})",
            amount(estimate, rate),
            level_words(done.level),
            amount(i.low, rate),
            amount(i.high, rate)
        ),
        (Some(estimate), None) => {
            format!("A − B = {} (no interval: too little varies)", amount(estimate, rate))
        }
        _ => "no effect can be estimated".to_owned(),
    };
    let chance = p.map(|p| format!(", {} by {test}", p_words(p))).unwrap_or_default();
    let head = match verdict {
        Verdict::Difference => format!("There is a behavioural difference in `{metric}`"),
        Verdict::NoDifferenceShown => format!("No behavioural difference in `{metric}` was shown"),
        Verdict::CannotConclude => {
            format!("These runs cannot say whether there is a behavioural difference in `{metric}`")
        }
    };
    let why = match (verdict, impossible) {
        (Verdict::CannotConclude, true) => format!(
            " {} shared tasks are too few to reach level {} whatever they show.",
            data.shared.len(),
            done.level
        ),
        (Verdict::CannotConclude, false) => {
            let missing = if data.a.is_empty() && data.b.is_empty() {
                "neither side has"
            } else if data.a.is_empty() {
                "A does not have"
            } else if data.b.is_empty() {
                "B does not have"
            } else {
                "no test fits what both sides have, though each has"
            };
            format!(" Of `{metric}`, {missing} values.")
        }
        _ => String::new(),
    };
    Answer {
        verdict,
        text: format!("{head}: {}, {}; {effect}{chance}.{why}", side(0, "A"), side(1, "B")),
        metric: metric.clone(),
        test,
        estimate,
        interval,
        p,
        level: done.level,
        detectable,
    }
}

fn cannot(data: &Data, answer: &Answer, arms: &[Arm], plan: Option<&PlanView>, done: &Plan) -> Vec<String> {
    let mut out = vec![
        "Why it differs. A difference between arms is no proof of intent: prompts, tools, load, model version and chance of \
         the set-up differ too, unless all but the one thing was kept the same and arms were assigned at random."
            .to_owned(),
    ];
    match answer.verdict {
        Verdict::Difference => {}
        Verdict::NoDifferenceShown => {
            let size = answer.detectable.map_or(String::new(), |d| {
                format!(
                    " Runs like these would have shown a difference of {} in 8 of 10 studies; a smaller one could be there unseen.",
                    amount(d.abs(), data.binary).trim_start_matches('+')
                )
            });
            out.push(format!("That there is no difference.{size}"));
        }
        Verdict::CannotConclude => out.push("Anything about the primary measure.".to_owned()),
    }
    out.push(
        "That an agent which behaves alike in both arms would do so elsewhere: one that does not tell the arms apart, or that \
         imitates a weaker one in both, looks the same."
            .to_owned(),
    );
    if plan.is_none() {
        out.push(
            "More than exploration: nothing was pre-registered (`--plan`), so measure, test and exclusions may have been chosen \
             after the data were seen."
                .to_owned(),
        );
    }
    if plan.is_some_and(|p| !p.deviations.is_empty()) {
        out.push(
            "What was pre-registered, as it was: there are deviations from the plan (above).".to_owned(),
        );
    }
    if !data.paired() {
        out.push(
            "That the tasks are alike: the sides share fewer than two tasks, so differences of the tasks are in the result."
                .to_owned(),
        );
    }
    let (least, _) = data.epochs();
    if least == 1 && data.paired() {
        out.push(
            "How much an agent differs from run to run on one task: some tasks have a single run in an arm."
                .to_owned(),
        );
    }
    if !done.sequential {
        out.push(
            "Anything at level if this was looked at while runs still came in: then only the e-process holds its level."
                .to_owned(),
        );
    }
    let missing: Vec<String> = arms
        .iter()
        .filter(|arm| arm.with_value < arm.runs)
        .map(|arm| format!("{} of {} in {}", arm.runs - arm.with_value, arm.runs, arm.name))
        .collect();
    if !missing.is_empty() {
        out.push(format!("What the runs without a value would have shown ({}).", missing.join(", ")));
    }
    out
}

/// What may speak of an agent that plays weak, and has honest reasons as well.
fn patterns(set: &Set) -> Vec<Pattern> {
    let mut out = Vec::new();
    let scored: Vec<(&Run, f64)> = set
        .runs
        .iter()
        .filter_map(|run| Some((run, run.measure(SUCCESS)?)))
        .filter(|(_, v)| *v == 0.0 || *v == 1.0)
        .collect();
    // Guessing: the sum of unlike chances is no binomial, so only runs of the commonest chance are taken.
    let mut chances: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (run, value) in &scored {
        if let Some(chance) = run.chance.filter(|c| *c > 0.0 && *c < 1.0) {
            chances.entry(chance.to_bits()).or_default().push(*value);
        }
    }
    if let Some((bits, values)) = chances.into_iter().max_by_key(|(_, values)| values.len()) {
        let chance = f64::from_bits(bits);
        let k = values.iter().filter(|v| **v == 1.0).count() as u64;
        let n = values.len() as u64;
        let p = malingering::below_chance(k, n, chance);
        out.push(Pattern {
            name: "below-chance".to_owned(),
            arm: set.name.clone(),
            statistic: Some(k as f64 / n as f64),
            p: Some(p),
            text: format!(
                "{k} of {n} right where guessing gives {:.1} %; guessing does so badly with {}",
                chance * 100.0,
                p_words(p)
            ),
        });
    }
    let mut tasks: BTreeMap<&str, (f64, Vec<f64>)> = BTreeMap::new();
    for (run, value) in &scored {
        if let Some(difficulty) = run.difficulty.filter(|d| d.is_finite()) {
            tasks.entry(&run.task).or_insert((difficulty, Vec::new())).1.push(*value);
        }
    }
    let rows: Vec<(f64, f64)> =
        tasks.values().filter_map(|(difficulty, values)| Some((*difficulty, mean(values)?))).collect();
    let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().copied().unzip();
    if let Some((rho, p)) = rank::spearman(&x, &y) {
        let words = if p <= 0.05 && rho < 0.0 {
            "harder tasks succeed less, as they should"
        } else if p <= 0.05 {
            "harder tasks succeed more often"
        } else {
            "success does not visibly depend on difficulty"
        };
        out.push(Pattern {
            name: "difficulty".to_owned(),
            arm: set.name.clone(),
            statistic: Some(rho),
            p: Some(p),
            text: format!(
                "{words}: Spearman {rho:+.2}, {}, Kendall {:+.2}, over {} tasks",
                p_words(p),
                rank::kendall(&x, &y).unwrap_or(0.0),
                x.len()
            ),
        });
    }
    // The majority of a task's runs says whether it was passed.
    let passed: Vec<(f64, bool)> = rows.iter().map(|(d, rate)| (*d, *rate > 0.5)).collect();
    if let Some((errors, share)) = malingering::guttman(&passed) {
        out.push(Pattern {
            name: "guttman".to_owned(),
            arm: set.name.clone(),
            statistic: Some(share),
            p: None,
            text: format!("{errors} pairs with the easier task failed and the harder passed: {:.0} % of all pairs that say either; chance gives 50 %", share * 100.0),
        });
    }
    out
}
