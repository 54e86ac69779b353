//! What Muster reports: a disagreement or a dangerous act, with its evidence.

use std::str::FromStr;

use muster_event::Nanos;
use serde::{Deserialize, Serialize};

use crate::AgentId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable: the same finding keeps its id over restarts and replays.
    pub id: String,
    pub code: Code,
    pub severity: Severity,
    pub stage: Stage,
    /// METR's overreach band, 0–3.
    pub overreach: u8,
    /// METR's deception band, 0–3.
    pub deception: u8,
    pub agent: AgentId,
    /// When the act was done (wall clock).
    pub time_ns: Nanos,
    /// One line, plain words.
    pub summary: String,
    /// Why this is a finding, and what would refute it.
    pub explanation: String,
    pub evidence: Vec<Evidence>,
}

/// What kind of finding. One stable name each, documented in `docs/findings/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    UnmandatedAgent,
    UnreportedAction,
    PhantomAction,
    AccountMissing,
    AccountTampered,
    MonitorTampering,
    FalseClaim,
    AccountSilent,
    AccountGap,
    OrphanResult,
    ImitatedResult,
    ResultMismatch,
    DeniedAction,
    DisguisedRetry,
    Omission,
    ModelOpinion,
    Persistence,
    Compute,
    Credentials,
    Copies,
    Money,
    LogTampering,
    Entrenchment,
    CovertChannel,
    CarryOver,
    Successor,
    Rule,
    OutsideMandate,
    ExpiredMandate,
    OutlivedTask,
    MandateRefused,
    OversightBroken,
    MandateTouched,
}

impl Code {
    pub const ALL: [Code; 33] = [
        Code::UnmandatedAgent,
        Code::UnreportedAction,
        Code::PhantomAction,
        Code::AccountMissing,
        Code::AccountTampered,
        Code::MonitorTampering,
        Code::FalseClaim,
        Code::AccountSilent,
        Code::AccountGap,
        Code::OrphanResult,
        Code::ImitatedResult,
        Code::ResultMismatch,
        Code::DeniedAction,
        Code::DisguisedRetry,
        Code::Omission,
        Code::ModelOpinion,
        Code::Persistence,
        Code::Compute,
        Code::Credentials,
        Code::Copies,
        Code::Money,
        Code::LogTampering,
        Code::Entrenchment,
        Code::CovertChannel,
        Code::CarryOver,
        Code::Successor,
        Code::Rule,
        Code::OutsideMandate,
        Code::ExpiredMandate,
        Code::OutlivedTask,
        Code::MandateRefused,
        Code::OversightBroken,
        Code::MandateTouched,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Code::UnmandatedAgent => "unmandated-agent",
            Code::UnreportedAction => "unreported-action",
            Code::PhantomAction => "phantom-action",
            Code::AccountMissing => "account-missing",
            Code::AccountTampered => "account-tampered",
            Code::MonitorTampering => "monitor-tampering",
            Code::FalseClaim => "false-claim",
            Code::AccountSilent => "account-silent",
            Code::AccountGap => "account-gap",
            Code::OrphanResult => "orphan-result",
            Code::ImitatedResult => "imitated-result",
            Code::ResultMismatch => "result-mismatch",
            Code::DeniedAction => "denied-action",
            Code::DisguisedRetry => "disguised-retry",
            Code::Omission => "omission",
            Code::ModelOpinion => "model-opinion",
            Code::Persistence => "persistence",
            Code::Compute => "compute",
            Code::Credentials => "credentials",
            Code::Copies => "copies",
            Code::Money => "money",
            Code::LogTampering => "log-tampering",
            Code::Entrenchment => "entrenchment",
            Code::CovertChannel => "covert-channel",
            Code::CarryOver => "carry-over",
            Code::Successor => "successor",
            Code::Rule => "rule",
            Code::OutsideMandate => "outside-mandate",
            Code::ExpiredMandate => "expired-mandate",
            Code::OutlivedTask => "outlived-task",
            Code::MandateRefused => "mandate-refused",
            Code::OversightBroken => "oversight-broken",
            Code::MandateTouched => "mandate-touched",
        }
    }

    /// One of the factors by which an agent can stay: of these the daily and honest acts are told too, at `info`.
    pub fn is_sustain(self) -> bool {
        matches!(
            self,
            Code::Compute
                | Code::Credentials
                | Code::Copies
                | Code::Money
                | Code::LogTampering
                | Code::Entrenchment
                | Code::CovertChannel
                | Code::CarryOver
                | Code::Successor
                | Code::Rule
        )
    }

    /// OWASP Top 10 for Agentic Applications (December 2025).
    pub fn owasp(self) -> &'static str {
        match self {
            Code::UnmandatedAgent => "ASI10",
            Code::OutsideMandate | Code::ExpiredMandate | Code::MandateRefused | Code::MandateTouched => {
                "ASI03"
            }
            Code::OutlivedTask | Code::OversightBroken => "ASI10",
            Code::UnreportedAction | Code::PhantomAction => "ASI10",
            Code::AccountMissing
            | Code::AccountTampered
            | Code::FalseClaim
            | Code::AccountSilent
            | Code::AccountGap
            | Code::OrphanResult
            | Code::ImitatedResult
            | Code::ResultMismatch
            | Code::Omission
            | Code::ModelOpinion => "ASI09",
            Code::MonitorTampering | Code::DeniedAction | Code::DisguisedRetry | Code::Persistence => "ASI10",
            Code::Credentials => "ASI03",
            Code::CarryOver => "ASI06",
            Code::CovertChannel => "ASI07",
            Code::Compute
            | Code::Copies
            | Code::Money
            | Code::LogTampering
            | Code::Entrenchment
            | Code::Successor
            | Code::Rule => "ASI10",
        }
    }

    /// MITRE ATT&CK technique, where one fits.
    pub fn attack(self) -> Option<&'static str> {
        match self {
            Code::UnmandatedAgent
            | Code::UnreportedAction
            | Code::PhantomAction
            | Code::FalseClaim
            | Code::OrphanResult
            | Code::ImitatedResult
            | Code::ResultMismatch
            | Code::Omission
            | Code::ModelOpinion
            | Code::CarryOver
            | Code::Successor
            | Code::Rule
            | Code::OutsideMandate
            | Code::OutlivedTask => None,
            Code::ExpiredMandate => Some("T1078"),
            Code::MandateRefused => Some("T1553"),
            Code::OversightBroken => Some("T1562"),
            Code::MandateTouched => Some("T1098"),
            Code::Compute => Some("T1496"),
            Code::Credentials => Some("T1552"),
            Code::Copies => Some("T1567"),
            Code::Money => Some("T1657"),
            Code::LogTampering => Some("T1070"),
            Code::Entrenchment => Some("T1543"),
            Code::CovertChannel => Some("T1102"),
            Code::AccountMissing | Code::AccountTampered | Code::AccountGap | Code::AccountSilent => {
                Some("T1070")
            }
            Code::MonitorTampering => Some("T1562.001"),
            Code::DeniedAction => Some("T1548"),
            Code::DisguisedRetry => Some("T1027"),
            Code::Persistence => Some("T1546"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Severity::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .ok_or_else(|| format!("one of {}", Severity::ALL.map(Severity::name).join(", ")))
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Code::ALL
            .into_iter()
            .find(|c| c.name() == name)
            .ok_or_else(|| format!("one of {}", Code::ALL.map(Code::name).join(", ")))
    }
}

impl Severity {
    pub const ALL: [Severity; 5] =
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// How far towards staying rogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Initiate,
    Conceal,
    Sustain,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Initiate => "initiate",
            Stage::Conceal => "conceal",
            Stage::Sustain => "sustain",
        }
    }
}

/// A pointer into the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// An event of the record, by its sequence number.
    Event { seq: u64 },
    /// A record of an account.
    Account {
        path: String,
        offset: u64,
        #[serde(with = "muster_event::bytes::hex32")]
        sha256: [u8; 32],
    },
    /// A process found by the scan at start (no event has a number for it).
    Process { pid: u32, start_ns: Nanos },
}
