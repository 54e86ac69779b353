//! What the ledger keeps of mandates, gate and approvals. Stored: names of fields and variants never change.

use muster_event::{Nanos, ProcessKey};
use serde::{Deserialize, Serialize};

use crate::{Action, Decision, Verdict};

/// Something came to be of a mandate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MandateNote {
    pub time_ns: Nanos,
    /// SHA-256 of the signed bytes, hex.
    pub id: String,
    /// The agent that it is for; `None`: it is only known so far.
    pub agent: Option<String>,
    pub state: MandateState,
    /// Why it was refused, who renewed it; words for people.
    pub text: String,
    /// The signed bytes themselves (TOML), where it is accepted for the first time.
    pub body: Option<String>,
    /// The Cedar file that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The file that it was read from, where the daemon knows it: who runs under it does not touch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Who signed, by the allowed signers.
    pub signer: Option<String>,
    /// Id of the mandate that it is a part of.
    pub parent: Option<String>,
    pub expires_ns: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateState {
    Accepted,
    Refused,
    Renewed,
    Revoked,
    Expired,
}

/// The gate decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateNote {
    pub time_ns: Nanos,
    pub agent: String,
    /// Who was about to act, where that is known.
    pub process: Option<ProcessKey>,
    pub by: GateWay,
    pub action: Action,
    pub decision: Decision,
    /// `false`: only observed; the act went on whatever the decision.
    pub enforced: bool,
    /// The act did not happen, as far as who enforces can tell.
    pub blocked: bool,
    /// The approval that decided an `ask`.
    pub approval: Option<String>,
    /// The agent's id for its tool call.
    pub call: Option<String>,
    /// How often the same was decided since it was last told; at least 1.
    pub count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateWay {
    Hook,
    Mcp,
    /// Landlock, seccomp or cgroup programs of `muster run`.
    Kernel,
    /// A mandate held against the record afterwards.
    Record,
}

/// A question to people, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalNote {
    pub time_ns: Nanos,
    pub id: String,
    pub agent: String,
    pub state: ApprovalState,
    pub action: Action,
    pub decision: Decision,
    /// What the agent said about it.
    pub said: Option<String>,
    /// Who answered, by the kernel or by a signed token.
    pub by: Option<String>,
    /// Until when the question waits, or the pattern holds.
    pub until_ns: Option<Nanos>,
    /// Not this action only: whatever fits this, until the mandate ends.
    pub pattern: Option<String>,
    /// How many identical questions stand behind it; at least 1.
    pub count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    Asked,
    Answered(Verdict),
    /// Nobody answered in time: denied.
    TimedOut,
    Withdrawn,
}
