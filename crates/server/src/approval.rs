//! Questions to people about what an agent is about to do, as the API shows them, and the answers as it takes them.

use serde::{Deserialize, Serialize};

use crate::http::Peer;
use crate::views::Field;

/// One open question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    pub id: String,
    pub agent: String,
    /// What it is about to do, in one line.
    pub action: String,
    /// The same with all its parts.
    pub detail: serde_json::Value,
    pub rule: String,
    pub reason: String,
    pub mandate: Option<String>,
    pub said: Option<String>,
    pub asked: String,
    pub until: String,
    pub count: u64,
    pub pattern: Option<String>,
    pub line: Option<String>,
}

pub const APPROVAL_FIELDS: &[Field] = &[
    ("id", "string", "name of the question"),
    ("agent", "string", "name of the agent"),
    ("action", "string", "what it is about to do, in one line"),
    ("detail", "value", "the same with all its parts"),
    ("rule", "string", "the line of the mandate that wants a person asked"),
    ("reason", "string", "what that line says"),
    ("mandate", "string or null", "id of the mandate"),
    ("said", "string or null", "what the agent says about it; its own words"),
    ("asked", "time", "when it was asked first"),
    ("until", "time", "when the answer will be no"),
    ("count", "integer", "how many wait for the same answer"),
    ("pattern", "string or null", "a pattern that would answer its like until the mandate ends"),
    ("line", "string or null", "a line of a mandate's scope that would make the question unnecessary"),
];

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// Of the question; may be left out where one is open.
    #[serde(default)]
    pub id: Option<String>,
    pub allow: bool,
    /// Whatever fits this, until the mandate ends.
    #[serde(default)]
    pub pattern: Option<String>,
}

pub const APPROVE_FIELDS: &[Field] = &[
    ("allow", "boolean", "let it pass, or not"),
    ("id", "string or null", "name of the question; may be left out where one is open"),
    ("pattern", "string or null", "whatever fits this (`write /srv/app/**`), until the mandate ends"),
];

/// The questions, and who may answer them.
pub trait Approve: Send + Sync {
    fn open(&self) -> Vec<ApprovalView>;
    /// It may look through `/proc`.
    fn answer(&self, who: Peer, request: ApproveRequest) -> Result<ApprovalView, String>;
}
