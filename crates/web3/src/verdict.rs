//! What every check answers.

use serde::Serialize;

/// Graded; `High` takes two independent channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Info,
    Notice,
    Warning,
    High,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// As it was given: a host, an address, a file's name.
    pub input: String,
    pub verdict: Verdict,
    /// 0 to 1; comparable between inputs of one kind only.
    pub score: f64,
    /// Whom it imitates.
    pub brand: Option<String>,
    pub reasons: Vec<Reason>,
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// Stable, `kebab-case`.
    pub code: String,
    pub text: String,
    /// What of the input shows it.
    pub evidence: Option<String>,
    /// What would refute it.
    pub refuted_by: Option<String>,
    /// Reasons of one channel count once where two are needed.
    pub channel: String,
    pub verdict: Verdict,
}
