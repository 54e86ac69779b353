//! Claims: what an agent says of its own work, held against the record, with the events that decide.

mod account;
mod alone;
mod cannot;
mod command;
mod facts;
mod files;
mod git;
mod judge;
mod measured;
mod message;
mod observe;
mod patterns;
mod permission;
pub(crate) mod prose;
pub(crate) mod runner;
mod said;
pub(crate) mod tests_pass;

use muster_event::Nanos;
use serde::{Deserialize, Serialize};

use crate::{AgentId, Evidence};

pub(crate) use facts::Facts;
pub(crate) use observe::is_generated;
pub(crate) use said::Claims;

/// Classes and sentences that a text claims, as `muster claims` would list them: for whoever waits for their verdicts.
#[doc(hidden)]
pub fn claimed(text: &str) -> Vec<(Class, String)> {
    patterns::find(text).into_iter().map(|found| (found.class, found.sentence)).collect()
}

/// What a shell command would do, as far as its text tells: for counts of conduct, never for a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandActs {
    pub tests: bool,
    pub writes: bool,
}

pub fn command_acts(text: &str) -> CommandActs {
    let commands = crate::shell::simple_commands(text).unwrap_or_default();
    let tests = commands.iter().any(|simple| {
        runner::recognise(&simple.words).is_some_and(|runner| runner.purpose == runner::Purpose::Test)
    });
    let writes = commands.iter().any(|simple| simple.written.iter().any(|path| !path.starts_with("/dev/")));
    CommandActs { tests, writes }
}

/// Any text as a shell command: for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn parses(text: &str) -> bool {
    crate::shell::simple_commands(text).is_some()
}

/// Something that an agent said of its work, and what the record says to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Stable: the same claim keeps its id over restarts and replays.
    pub id: String,
    pub agent: AgentId,
    /// When it was said.
    pub time_ns: Nanos,
    /// The sub-agent that said it; `None`: the agent itself.
    pub actor: Option<String>,
    pub source: Source,
    pub class: Class,
    /// The sentence, as written.
    pub sentence: String,
    pub verdict: Verdict,
    /// One line, plain words.
    pub reason: String,
    /// Where it was said.
    pub said: Evidence,
    /// The one to three events or account records that decide.
    pub evidence: Vec<Evidence>,
}

/// Where a claim was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Prose,
    CommitMessage,
    HandBack,
    /// The title or text of a request to take changes in.
    Request,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Prose => "prose",
            Source::CommitMessage => "commit-message",
            Source::HandBack => "hand-back",
            Source::Request => "request",
        }
    }
}

/// What is claimed. The ledger stores the names of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    TestsPass,
    BuildOk,
    RanCommand,
    CreatedFile,
    ModifiedFile,
    OnlyChanged,
    DidNotModify,
    NoNetwork,
    NoSecrets,
    Committed,
    Pushed,
    NoErrors,
    Verified,
    ReadSource,
    Installed,
    Deleted,
    Measured,
    Completed,
    Cannot,
    Permission,
    Hedge,
}

impl Class {
    pub const ALL: [Class; 21] = [
        Class::TestsPass,
        Class::BuildOk,
        Class::RanCommand,
        Class::CreatedFile,
        Class::ModifiedFile,
        Class::OnlyChanged,
        Class::DidNotModify,
        Class::NoNetwork,
        Class::NoSecrets,
        Class::Committed,
        Class::Pushed,
        Class::NoErrors,
        Class::Verified,
        Class::ReadSource,
        Class::Installed,
        Class::Deleted,
        Class::Measured,
        Class::Completed,
        Class::Cannot,
        Class::Permission,
        Class::Hedge,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Class::TestsPass => "tests-pass",
            Class::BuildOk => "build-ok",
            Class::RanCommand => "ran-command",
            Class::CreatedFile => "created-file",
            Class::ModifiedFile => "modified-file",
            Class::OnlyChanged => "only-changed",
            Class::DidNotModify => "did-not-modify",
            Class::NoNetwork => "no-network",
            Class::NoSecrets => "no-secrets",
            Class::Committed => "committed",
            Class::Pushed => "pushed",
            Class::NoErrors => "no-errors",
            Class::Verified => "verified",
            Class::ReadSource => "read-source",
            Class::Installed => "installed",
            Class::Deleted => "deleted",
            Class::Measured => "measured",
            Class::Completed => "completed",
            Class::Cannot => "cannot",
            Class::Permission => "permission",
            Class::Hedge => "hedge",
        }
    }
}

/// What the record says to a claim. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The record shows what is claimed.
    Supported,
    /// It shows it, and that it means nothing: the test was emptied.
    Hollow,
    /// It shows the opposite.
    Contradicted,
    /// Nothing shows it, though it would be seen.
    Unsupported,
    /// It cannot be seen from here.
    Unverifiable,
    /// The agent itself says what takes it back.
    Disclosed,
}

impl Verdict {
    pub const ALL: [Verdict; 6] = [
        Verdict::Supported,
        Verdict::Hollow,
        Verdict::Contradicted,
        Verdict::Unsupported,
        Verdict::Unverifiable,
        Verdict::Disclosed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::Hollow => "hollow",
            Verdict::Contradicted => "contradicted",
            Verdict::Unsupported => "unsupported",
            Verdict::Unverifiable => "unverifiable",
            Verdict::Disclosed => "disclosed",
        }
    }
}

impl std::str::FromStr for Verdict {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.name() == name)
            .ok_or_else(|| format!("one of {}", Verdict::ALL.map(Verdict::name).join(", ")))
    }
}
