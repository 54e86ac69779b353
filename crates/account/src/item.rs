//! One thing that an account says, whatever the product that wrote it.

use muster_event::Nanos;
use serde::{Deserialize, Serialize};

/// One thing said. `time_ns` is the account's own claim of when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub time_ns: Option<Nanos>,
    pub actor: Actor,
    pub body: Body,
}

/// Who speaks: the agent itself or a sub-agent inside the same process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Main,
    Sub { id: String },
}

/// What is said. The ledger stores the names of variants and fields: they are never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The account names its session. May come again, with more known.
    Session {
        id: String,
        version: Option<String>,
        model: Option<String>,
        cwd: Option<String>,
        /// The session that this one continues, forks from or serves.
        parent: Option<String>,
        /// Permission mode or approval policy in force, in the product's own words.
        authority: Option<String>,
    },
    Prompt {
        text: String,
        origin: Origin,
    },
    /// Prose for the reader. `last`: the product marked it as the final message of a turn.
    Text {
        text: String,
        last: bool,
    },
    Thinking {
        text: String,
    },
    Call {
        call_id: String,
        /// The product's name of the tool.
        tool: String,
        class: Class,
        /// For `execute`: the command as the model asked for it, as the shell gets it.
        command: Option<String>,
        /// Files that the call names: written (edit, delete, move) or read. As given (may be relative to the session's cwd).
        paths: Vec<String>,
        /// Directory the call runs in, where the account says so.
        cwd: Option<String>,
        /// The arguments as JSON text, as requested.
        arguments: String,
        /// The account says that the call was to go on in the background.
        background: bool,
    },
    /// Arguments as they took effect, where the account tells (a hook rewrote them).
    Effective {
        call_id: String,
        command: Option<String>,
        arguments: String,
    },
    Result {
        call_id: String,
        status: Status,
        /// Of the command, where the account gives it. Never assumed from `status`.
        exit_code: Option<i32>,
        /// What the account shows as output, at most `Item::OUTPUT_MAX` bytes; `output_len` is its whole length in bytes.
        output: String,
        output_len: u64,
        /// The process group of the command, where the account tells (Gemini CLI).
        process_group: Option<u32>,
    },
    Decision {
        call_id: Option<String>,
        decision: Decision,
        by: String,
        reason: String,
    },
    /// A turn ended (the agent stopped and waits).
    TurnEnd,
    /// A record that this reader does not interpret; carried, not rejected.
    Other {
        record_type: String,
    },
    /// Where the record stands in the account's own order, where the product links or numbers its records.
    Link {
        /// The record's own id.
        record: Option<String>,
        /// Id of the record that it follows.
        after: Option<String>,
        /// Its number: the next record has the next one.
        ordinal: Option<u64>,
    },
}

impl Item {
    /// Longest output text kept in an item, in bytes.
    pub const OUTPUT_MAX: usize = 16 * 1024;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    User,
    Sdk,
    System,
    Agent,
    Scheduled,
    Unknown,
}

/// Class of a tool (ACP's tool kinds, plus mcp, delegate, plan, ask).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Read,
    Search,
    Edit,
    Delete,
    Move,
    Execute,
    Fetch,
    Mcp,
    Delegate,
    Think,
    Plan,
    Ask,
    Other,
}

/// What the account says became of a call. `Ok` says nothing about an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    Failed,
    Denied,
    /// The product did not run it: unknown tool, arguments refused before any act.
    NotRun,
    TimedOut,
    Killed,
    Running,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Accept,
    Reject,
}
