//! Two sets of runs, compared: every test with its numbers, the plain answer, and what it does not say.

mod answer;
mod data;
mod patterns;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::monitor::Standing;
use crate::plan::{Plan, PlanView};
use crate::run::{MEASURES, Run};
use crate::set::Set;
use crate::stats::{Interval, binary, mean, multiplicity};

use answer::{answer, cannot};
use data::Data;
use patterns::patterns;

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
    if !a.runs.is_empty() && a.runs == b.runs {
        notes.push("A and B hold exactly the same runs: is one of them the wrong one?".to_owned());
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
