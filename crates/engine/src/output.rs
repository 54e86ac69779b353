//! Everything the engine asks for or reports.

use muster_event::{Attribution, Nanos, ProcessKey};
use serde::{Deserialize, Serialize};

use crate::{AgentId, Artefact, Claim, Descent, Finding, Gap, Interval, Opinions, Stage};

#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Look at the files of this process and answer with `Input::Identified`, before the next input.
    Identify {
        process: ProcessKey,
        path: String,
        script: Option<String>,
        argv: Vec<String>,
        cwd: String,
    },
    /// Record everything this process and its descendants do from now on.
    Follow {
        process: ProcessKey,
    },
    /// This process runs the agent's own program: note what is written by the commands that it starts.
    Harness {
        process: ProcessKey,
    },
    /// Read this file as an account of the agent, from its start.
    FollowAccount {
        agent: AgentId,
        path: String,
        format: muster_account::Format,
        /// Where the agent runs and since when: tells whose a session is, where agents share one file.
        cwd: String,
        since_ns: Nanos,
    },
    /// Read the configuration files of the agent's product, and answer with `Input::Configured`.
    ReadConfiguration {
        agent: AgentId,
        product: String,
        home: Option<String>,
        cwd: String,
        /// Its command line may name more files, or give settings itself.
        argv: Vec<String>,
    },
    /// The agent ended a while ago: nothing of its accounts need be read any more.
    Forget {
        agent: AgentId,
    },
    /// The agent appeared, or something about it changed.
    Agent(Box<AgentState>),
    /// This process belongs to the agent, with all that it does from event `from_seq` on.
    Member(Member),
    /// A tool call of an account was matched to what it did.
    Join(Join),
    Finding(Box<Finding>),
    /// Something that it said of its own work was decided.
    Claim(Box<Claim>),
    /// A model's opinion: kept beside the findings, which stay as they are.
    Opinion(Box<Opinions>),
    /// Something could not be seen; it comes again when it grows or ends.
    Gap(Box<Gap>),
    /// A process belongs to the lineage, or may, though no fork connects it.
    Descent(Box<Descent>),
    /// A file of the lineage makes others run something; it comes again when it changes.
    Artefact(Box<Artefact>),
    /// Look how the hooks stand by which this product asks the gate, and answer with `Input::Hooks`.
    ReadHooks {
        agent: AgentId,
        product: String,
        home: Option<String>,
        cwd: String,
    },
    /// Read what this file of the lineage starts, and answer with `Input::ArtefactRead`.
    ReadArtefact {
        agent: AgentId,
        path: String,
        mechanism: String,
        /// Who wrote it, and since when: the file that is meant was changed after that.
        process: ProcessKey,
        since_ns: Nanos,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub agent: AgentId,
    pub process: ProcessKey,
    pub from_seq: u64,
    pub by: Attribution,
}

/// A match between account and record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    pub agent: AgentId,
    pub call_id: String,
    /// The execution (or the file event of a tool that writes from inside the agent's process).
    pub process: ProcessKey,
    pub seq: u64,
    pub strength: Strength,
}

/// Why a call and an act are held to be one, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// The call's id was in the environment of the execution.
    CallId,
    /// Session id and the exact command text.
    SessionText,
    /// The exact command text, within the call's time.
    TimeText,
    /// Process group that the account names.
    ProcessGroup,
    /// Path and time of a file that a tool wrote.
    Path,
}

/// One row of the roll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    pub agent: AgentId,
    /// Data-file name of the product, or `unknown`.
    pub product: String,
    pub version: Option<String>,
    pub model: Option<String>,
    pub root: ProcessKey,
    /// The agent whose lineage this one was started from.
    pub parent: Option<AgentId>,
    /// Id of the enrolment or mandate it runs under; `None`: unmandated.
    pub mandate: Option<String>,
    /// When its mandate expires, where it has one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate_until_ns: Option<Nanos>,
    pub principal: Option<String>,
    pub label: String,
    /// How it was found, in words, e.g. ``package `@openai/codex` ``, ``posted to `/v1/messages` ``.
    pub found_by: String,
    pub uid: u32,
    pub command: Vec<String>,
    pub cwd: String,
    pub sessions: Vec<String>,
    pub accounts: Vec<String>,
    pub started_ns: Nanos,
    pub last_ns: Nanos,
    pub ended_ns: Option<Nanos>,
    pub state: State,
    pub stage: Option<Stage>,
    /// Live processes of the lineage.
    pub processes: u64,
    /// Events of the record attributed to it.
    pub events: u64,
    /// Tool calls in its accounts, and how many of them were matched to the record.
    pub calls: u64,
    pub calls_joined: u64,
    /// What it does now, in words: the latest tool call or execution.
    pub doing: String,
    /// How far it was mustered out: the last step that was done, and in which mustering out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containment: Option<String>,
    pub coverage: Coverage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    Ended,
    Frozen,
    Out,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Ended => "ended",
            State::Frozen => "frozen",
            State::Out => "out",
        }
    }
}

impl AgentState {
    /// Its state as people see it: a lineage that was frozen does not run, and one that was mustered out has not just ended.
    pub fn standing(&self) -> State {
        let step = self.containment.as_deref().and_then(|done| done.split(' ').next());
        match (self.state, step) {
            (State::Running, Some("freeze" | "cut" | "revoke")) => State::Frozen,
            (State::Ended, Some("kill" | "quarantine" | "seal" | "verify" | "watch")) => State::Out,
            (state, _) => state,
        }
    }
}

/// What could be seen of one agent, and so what could not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The record is complete from this moment on; earlier acts were not seen. `None`: no kernel record.
    pub record_from_ns: Option<Nanos>,
    /// It was running before that moment.
    pub began_unseen: bool,
    /// Events of its time that were lost, all queues.
    pub lost: u64,
    /// Probes that were down during its time.
    pub blind: Vec<String>,
    /// An account is being read.
    pub account: bool,
    /// Accounts that could not be read, and why.
    pub unreadable: Vec<String>,
    /// Intervals of its life in which something could not be seen; more were counted.
    #[serde(default)]
    pub gaps: Vec<Interval>,
    #[serde(default)]
    pub gaps_more: u64,
    /// Files that it wrote, requests and descents that are no longer remembered: what runs them later is not tied to it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lineage_forgotten: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a record that others kept does not show, other than the network and what only concerns single command lines.
fn is_act_of_record(part: &str) -> bool {
    const NO_ACTS: [&str; 4] = ["connect", "sendto", "arguments", "signals"];
    part.strip_prefix("record:").is_some_and(|part| !NO_ACTS.contains(&part))
}

impl Coverage {
    /// Nothing is known to be missing from the record: only then may an absence be called one.
    pub fn record_whole(&self) -> bool {
        self.record_from_ns.is_some()
            && !self.began_unseen
            && !self.unwatched()
            && self.lost == 0
            && self.blind.is_empty()
    }

    /// Nothing is known to be missing of what was executed and written. Without the network probes a call that never ran is
    /// still one.
    pub fn acts_whole(&self) -> bool {
        const ACTS: [&str; 4] =
            ["sched_process_fork", "sched_process_exec", "sched_process_exit", "sys_exit"];
        self.record_from_ns.is_some()
            && !self.began_unseen
            && !self.unwatched()
            && self.lost == 0
            && !self.blind.iter().any(|probe| ACTS.contains(&probe.as_str()) || is_act_of_record(probe))
    }

    /// One word for tables: `whole` is the most that can be said, of the record since `record_from_ns` and the
    /// account as read; never that everything was seen.
    pub fn word(&self) -> &'static str {
        match (self.record_from_ns.is_some(), self.record_whole(), self.account) {
            (false, _, true) => "account only",
            (false, _, false) => "presence only",
            (true, true, true) => "whole",
            (true, true, false) => "record only",
            (true, false, _) => "partial",
        }
    }
}
