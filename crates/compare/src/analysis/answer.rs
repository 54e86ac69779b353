//! The plain answer, and what does not follow from it.

use super::data::Data;
use super::{Answer, Arm, Role, Test, Verdict};
use crate::monitor::Standing;
use crate::plan::{Plan, PlanView};
use crate::stats::{binary, mean};

/// Measures that are named where the asked one has no values.
const OTHERS_MAX: usize = 8;

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

pub fn answer(
    data: &Data,
    tests: &[Test],
    arms: &[Arm],
    done: &Plan,
    sequential: Option<&Standing>,
) -> Answer {
    let others: Vec<&str> = tests
        .iter()
        .filter(|t| t.role == Role::Conduct)
        .map(|t| t.metric.as_str())
        .take(OTHERS_MAX)
        .collect();
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
    // Where tasks are paired, only those in both count, each once: so that the difference is that of the two values.
    let shared = data.paired().then(|| data.shared_means()).flatten();
    let side = |at: usize, letter: &str| {
        let arm = arms.get(at);
        let value = match shared {
            Some((a, b)) => Some(if at == 0 { a } else { b }),
            None => arm.and_then(|arm| arm.mean),
        };
        let value = value.map_or("no value".to_owned(), |v| {
            if rate { format!("{:.1} %", v * 100.0) } else { format!("{v:.3}") }
        });
        format!("{letter} ({}) {value}", arm.map(|arm| arm.name.as_str()).unwrap_or_default())
    };
    let over = match data.shared.len() {
        tasks if shared.is_some() && data.only_a + data.only_b > 0 => {
            format!(" over the {tasks} tasks that both have")
        }
        _ => String::new(),
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
            let others = if others.is_empty() {
                String::new()
            } else {
                format!(" Both have values of: {} (--metric).", others.join(", "))
            };
            format!(" Of `{metric}`, {missing} values.{others}")
        }
        _ => String::new(),
    };
    Answer {
        verdict,
        text: format!("{head}: {}, {}{over}; {effect}{chance}.{why}", side(0, "A"), side(1, "B")),
        metric: metric.clone(),
        test,
        estimate,
        interval,
        p,
        level: done.level,
        detectable,
    }
}

pub fn cannot(
    data: &Data,
    answer: &Answer,
    arms: &[Arm],
    plan: Option<&PlanView>,
    done: &Plan,
) -> Vec<String> {
    let mut out = vec![
        "Why it differs. A difference between arms is no proof of intent: prompts, tools, load, model version and chance of \
         the set-up differ too, unless all but the one thing was kept the same and arms were assigned at random."
            .to_owned(),
    ];
    match answer.verdict {
        Verdict::Difference => {}
        Verdict::NoDifferenceShown => {
            let size = answer.detectable.map_or_else(|| none_unlike(data, answer), |d| {
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
    if data.a.len() == 1 && data.b.len() == 1 && data.shared.len() == 1 {
        out.push("Anything about other tasks: all runs are of one.".to_owned());
    } else if !data.paired() {
        out.push(
            "That the tasks are alike: the sides share fewer than two tasks, so differences of the tasks are in the result."
                .to_owned(),
        );
    }
    let (least, most) = data.epochs();
    if done.sequential && most > 1 {
        out.push(
            "That tasks like these differ on the whole: the e-process counts pairs of runs, several of one task, and speaks against \
             the arms being alike in every one of these tasks."
                .to_owned(),
        );
    }
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

/// How many tasks may differ where none did.
fn none_unlike(data: &Data, answer: &Answer) -> String {
    let tasks = data.shared.len() as u64;
    if !data.paired() || data.differences().iter().any(|difference| *difference != 0.0) {
        return String::new();
    }
    let most = binary::clopper_pearson(0, tasks, answer.level).high;
    format!(" None of {tasks} tasks differed; up to {:.1} % of tasks like these may.", most * 100.0)
}
