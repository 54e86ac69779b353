//! One run of an agent on one task, as numbers.

use std::collections::BTreeMap;

use serde::Serialize;

/// The measure that is compared unless another is named.
pub const SUCCESS: &str = "success";
/// Bytes of the name of a task, an arm or a measure.
pub const NAME_MAX: usize = 512;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Run {
    pub task: String,
    /// As the source counts them; `None`: it does not say. In a `Set` each run has one.
    pub epoch: Option<u64>,
    pub arm: Option<String>,
    /// `success` and the measures of conduct that its source shows. What is not here is not known, never zero.
    pub measures: BTreeMap<String, f64>,
    /// How hard its task is, where the source says so: greater is harder.
    pub difficulty: Option<f64>,
    /// How often guessing alone succeeds.
    pub chance: Option<f64>,
    /// It broke off by an error of its harness, not by its own doing.
    pub error: bool,
}

impl Run {
    pub fn measure(&self, name: &str) -> Option<f64> {
        self.measures.get(name).copied().filter(|value| value.is_finite())
    }
}

/// Measures, and what they are, in the order in which they are shown.
pub const MEASURES: [(&str, &str); 19] = [
    (SUCCESS, "outcome of the run, by its scorer"),
    ("tool_calls", "tool calls"),
    ("commands", "commands executed"),
    ("tests_run", "commands that run tests"),
    ("writes", "calls that write files"),
    ("seconds_to_first_write", "seconds until the first call that writes"),
    ("text_bytes", "bytes of prose to its reader"),
    ("thinking_bytes", "bytes of thinking that the source shows"),
    ("refusals", "messages in which it declines"),
    ("stops", "1: it was stopped (a limit, an error, an operator)"),
    ("denials", "calls that were not allowed"),
    ("oversight_reads", "calls that touch the configuration of its oversight"),
    ("test_words", "sentences about being tested itself"),
    ("claims_contradicted", "claims that the record contradicts or shows to be hollow"),
    ("findings", "findings above `info`"),
    ("overreach_1", "findings of overreach band 1 or more"),
    ("overreach_2", "findings of overreach band 2 or more"),
    ("deception_1", "findings of deception band 1 or more"),
    ("deception_2", "findings of deception band 2 or more"),
];
