//! What was decided before the data were seen: the plan, and how what was done departs from it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::run::SUCCESS;

/// Bytes of a plan.
pub const PLAN_MAX: usize = 64 * 1024;
/// Its first line once it is registered.
pub const REGISTERED: &str = "muster-compare-plan/1";

/// What a person may decide, each with what holds where nobody did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// In words: what is expected, and why.
    pub title: String,
    /// The primary measure.
    pub metric: String,
    pub level: f64,
    /// The primary test; empty: chosen by the kind of data.
    pub test: String,
    pub exclude_errors: bool,
    pub exclude_tasks: BTreeSet<String>,
    /// The scorer that gives the outcome; empty: the first.
    pub scorer: String,
    /// Tasks and epochs that were planned; 0: none.
    pub tasks: u64,
    pub epochs: u64,
    /// The answer rests on the e-process: one may look at any time.
    pub sequential: bool,
    /// Names of the two sides; empty: not fixed.
    pub a: String,
    pub b: String,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            title: String::new(),
            metric: SUCCESS.to_owned(),
            level: 0.05,
            test: String::new(),
            exclude_errors: true,
            exclude_tasks: BTreeSet::new(),
            scorer: String::new(),
            tasks: 0,
            epochs: 0,
            sequential: false,
            a: String::new(),
            b: String::new(),
        }
    }
}

/// Tests that may be the primary one.
pub const TESTS: [&str; 7] =
    ["sign-flip", "mcnemar-exact", "mcnemar-mid-p", "fisher", "boschloo", "cmh", "mann-whitney"];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("it is no plan: {0}")]
    Malformed(String),
    #[error("{0}")]
    Wrong(String),
    #[error("its registration is not whole")]
    Registration,
}

impl Plan {
    pub fn parse(text: &str) -> Result<Plan, PlanError> {
        if text.len() > PLAN_MAX {
            return Err(PlanError::Wrong(format!("a plan has at most {PLAN_MAX} bytes")));
        }
        let plan: Plan =
            toml::from_str(text).map_err(|error| PlanError::Malformed(error.message().to_owned()))?;
        plan.check()?;
        Ok(plan)
    }

    pub fn check(&self) -> Result<(), PlanError> {
        if !(self.level > 0.0 && self.level < 0.5) {
            return Err(PlanError::Wrong(format!("level {} is not between 0 and 0.5", self.level)));
        }
        if !self.test.is_empty() && !TESTS.contains(&self.test.as_str()) {
            return Err(PlanError::Wrong(format!(
                "test `{}` is none of {}",
                self.test.escape_debug(),
                TESTS.join(", ")
            )));
        }
        if self.metric.is_empty() {
            return Err(PlanError::Wrong("the metric is empty".to_owned()));
        }
        Ok(())
    }

    /// Ways in which what is done differs from this.
    pub fn deviations(&self, done: &Plan) -> Vec<String> {
        let mut out = Vec::new();
        let mut differs = |what: &str, planned: String, done: String| {
            if planned != done {
                out.push(format!("{what}: planned `{planned}`, done `{done}`"));
            }
        };
        differs("primary metric", self.metric.clone(), done.metric.clone());
        differs("level", self.level.to_string(), done.level.to_string());
        differs("primary test", or(&self.test, "chosen by the data"), or(&done.test, "chosen by the data"));
        differs("runs with errors", excluded(self.exclude_errors), excluded(done.exclude_errors));
        differs("tasks left out", list(&self.exclude_tasks), list(&done.exclude_tasks));
        differs("scorer", or(&self.scorer, "first"), or(&done.scorer, "first"));
        differs("sequential", self.sequential.to_string(), done.sequential.to_string());
        for (side, planned, done) in [("A", &self.a, &done.a), ("B", &self.b, &done.b)] {
            if !planned.is_empty() {
                differs(side, planned.clone(), done.clone());
            }
        }
        out
    }
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}

fn excluded(yes: bool) -> String {
    if yes { "left out" } else { "counted" }.to_owned()
}

fn list(tasks: &BTreeSet<String>) -> String {
    if tasks.is_empty() { "none".to_owned() } else { tasks.iter().cloned().collect::<Vec<_>>().join(", ") }
}

/// The text that is signed: when, and the plan as it was written.
pub fn registration(time: &str, plan: &str) -> String {
    let end = if plan.ends_with('\n') { "" } else { "\n" };
    format!("{REGISTERED}\nregistered {time}\n\n{plan}{end}")
}

/// Takes it apart again: time and plan.
pub fn registered(text: &str) -> Result<(&str, &str), PlanError> {
    let rest = text.strip_prefix(REGISTERED).and_then(|rest| rest.strip_prefix("\nregistered "));
    let (time, plan) = rest.and_then(|rest| rest.split_once("\n\n")).ok_or(PlanError::Registration)?;
    if time.contains('\n') {
        return Err(PlanError::Registration);
    }
    Ok((time, plan))
}

/// What a report says of how its plan came about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanView {
    pub title: String,
    pub metric: String,
    pub level: f64,
    pub test: String,
    /// RFC 3339; null: it was not registered before the data were read.
    pub registered: Option<String>,
    /// The ledger's leaf, or the signed file and its key.
    #[serde(rename = "where")]
    pub place: String,
    pub deviations: Vec<String>,
}
