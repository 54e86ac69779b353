//! Everything that drives the engine, as one closed enum. The ledger stores these; replaying them gives the same outputs.

use muster_account::Item;
use muster_event::{Event, Lost, Nanos, ProbeState, ProcessKey, Snapshot};
use muster_mandate::{ApprovalNote, GateNote, MandateNote};
use serde::{Deserialize, Serialize};

use crate::{AgentId, ArtefactRead, Before, Canaries, Containment, HooksRead, Opinions, Remembered};

/// The ledger stores the names of variants and fields: they are never changed (`docs/ledger.md`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The daemon started. First in every stretch of the ledger.
    Start(Start),
    /// A process that was there before the sensor.
    Snapshot(Snapshot),
    Event(Event),
    Lost(Lost),
    /// A probe's state, at start and whenever it changes.
    Probe {
        time_ns: Nanos,
        state: ProbeState,
        /// The last moment at which it was known to see.
        #[serde(default)]
        seen_ns: Option<Nanos>,
    },
    /// The answer to `Output::Identify`. `None`: the files belong to no product that Muster knows.
    Identified {
        process: ProcessKey,
        product: Option<Identified>,
    },
    /// `muster run` announces an agent before it starts it.
    Enrol(Enrol),
    /// A record of an account was read.
    Account(AccountRecord),
    /// The state of an account's file changed.
    AccountState {
        agent: AgentId,
        path: String,
        time_ns: Nanos,
        state: AccountFile,
    },
    /// The clock: sent at least each 250 ms (each second where nothing happened for a while), so that what waits for time
    /// can be decided.
    Tick {
        time_ns: Nanos,
        /// The same moment on `CLOCK_BOOTTIME`, and how long of it the machine has slept; 0: nobody looked.
        #[serde(default)]
        boot_ns: Nanos,
        #[serde(default)]
        asleep_ns: Nanos,
    },
    /// The wall clock was set: `by_ns` forward (positive) or back.
    ClockStep {
        time_ns: Nanos,
        by_ns: i64,
    },
    /// The daemon stops in good order.
    Stop {
        time_ns: Nanos,
    },
    /// Commands that the product's own configuration makes the harness run: hooks, MCP servers, a status line.
    Configured {
        agent: AgentId,
        source: String,
        commands: Vec<Vec<String>>,
    },
    /// An account of a finished run, which no sensor watched, is about to be read.
    Imported(Imported),
    /// What follows is the record of a finished run that others kept. Nobody could enrol its agents here.
    Recorded {
        time_ns: Nanos,
        /// Where it is from, in words.
        source: String,
    },
    /// A language model was asked about an agent, and this is left of its answer after the checks.
    Opinion(Opinions),
    /// What a planted file starts.
    ArtefactRead(ArtefactRead),
    /// A step of mustering out.
    Containment(Box<Containment>),
    /// A mandate was accepted, refused, renewed, revoked, or ended.
    Mandate(Box<MandateNote>),
    /// The gate decided on an action.
    Gate(Box<GateNote>),
    /// A person was asked, or answered.
    Approval(Box<ApprovalNote>),
    /// A person has looked at a finding. It changes nothing of the finding.
    Review(Box<Review>),
    /// How the hooks stand by which an agent's product asks the gate.
    Hooks(Box<HooksRead>),
    /// The decoys that there are now.
    Canaries(Canaries),
    /// What an earlier daemon knew of a lineage.
    Remembered(Box<Remembered>),
}

impl Input {
    /// Its wall-clock time, where it has one.
    pub fn time_ns(&self) -> Option<Nanos> {
        match self {
            Input::Start(start) => Some(start.time_ns),
            Input::Event(event) => Some(event.time_ns),
            Input::Lost(lost) => Some(lost.to_ns),
            Input::Enrol(enrol) => Some(enrol.time_ns),
            Input::Account(record) => Some(record.time_ns),
            Input::Imported(imported) => Some(imported.time_ns),
            Input::Opinion(opinions) => Some(opinions.time_ns),
            Input::ArtefactRead(read) => Some(read.time_ns),
            Input::Containment(step) => Some(step.time_ns),
            Input::Mandate(note) => Some(note.time_ns),
            Input::Gate(note) => Some(note.time_ns),
            Input::Approval(note) => Some(note.time_ns),
            Input::Review(review) => Some(review.time_ns),
            Input::Hooks(read) => Some(read.time_ns),
            Input::Canaries(canaries) => Some(canaries.time_ns),
            Input::Remembered(it) => Some(it.time_ns),
            Input::Probe { time_ns, .. }
            | Input::AccountState { time_ns, .. }
            | Input::Tick { time_ns, .. }
            | Input::ClockStep { time_ns, .. }
            | Input::Recorded { time_ns, .. }
            | Input::Stop { time_ns } => Some(*time_ns),
            Input::Snapshot(_) | Input::Identified { .. } | Input::Configured { .. } => None,
        }
    }
}

/// What a person says of a finding: the measured rate of false alarms rests on these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    pub time_ns: Nanos,
    /// Id of the finding.
    pub finding: String,
    pub agent: AgentId,
    pub judgement: Judgement,
    /// In the reviewer's own words; may be empty.
    pub note: String,
    /// Who says so, as the kernel or the operator's token shows it.
    pub by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Seen; nothing is said of whether it is right.
    Acknowledged,
    /// It happened, and it matters.
    Confirmed,
    /// It is no such thing.
    FalseAlarm,
    /// Others have to look.
    Escalated,
    /// What was said before is taken back.
    Reopened,
}

impl Judgement {
    pub const ALL: [Judgement; 5] = [
        Judgement::Acknowledged,
        Judgement::Confirmed,
        Judgement::FalseAlarm,
        Judgement::Escalated,
        Judgement::Reopened,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Judgement::Acknowledged => "acknowledged",
            Judgement::Confirmed => "confirmed",
            Judgement::FalseAlarm => "false_alarm",
            Judgement::Escalated => "escalated",
            Judgement::Reopened => "reopened",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    pub time_ns: Nanos,
    /// Name of the product's data file.
    pub product: String,
    pub path: String,
    /// The session, where the path names it: files of one session are one agent.
    pub session: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub time_ns: Nanos,
    pub host: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    pub version: String,
    /// `true`: eBPF; `false`: `/proc` polling, so short-lived processes, files and network are not seen.
    pub kernel_record: bool,
    /// The daemon itself and the folder it keeps everything in: acts against them are findings.
    pub daemon: ProcessKey,
    pub data_dir: String,
    /// `time_ns` on `CLOCK_BOOTTIME`; 0: nobody looked.
    #[serde(default)]
    pub boot_ns: Nanos,
    /// What the ledger has of the daemon before; `None`: it has none.
    #[serde(default)]
    pub before: Option<Before>,
}

/// A product recognised by its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// Name of the product's data file, e.g. `claude-code`.
    pub product: String,
    pub version: Option<String>,
    /// What showed it, e.g. ``package `@openai/codex` `` or ``marker in the executable``.
    pub by: String,
    /// Only starts the real agent (a node script that runs a native binary): the same agent continues in its child.
    pub launcher: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    pub time_ns: Nanos,
    /// The process that will exec the agent's command.
    pub process: ProcessKey,
    /// cgroup v2 id made for the agent; 0 where there is none.
    pub cgroup: u64,
    /// Who enrolled it, e.g. `root@host`.
    pub principal: String,
    /// What for, in words; may be empty.
    pub label: String,
    pub command: Vec<String>,
}

/// One record of an account's file, as read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountRecord {
    pub agent: AgentId,
    /// File it was read from.
    pub path: String,
    pub offset: u64,
    pub len: u64,
    /// SHA-256 of the raw bytes, before redaction.
    #[serde(with = "muster_event::bytes::hex32")]
    pub sha256: [u8; 32],
    /// When it was read.
    pub time_ns: Nanos,
    /// The bytes, with secrets redacted.
    #[serde(with = "muster_event::bytes::text_or_hex")]
    pub raw: Vec<u8>,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountFile {
    Opened {
        format: String,
    },
    /// Shorter than what was already read.
    Truncated {
        from: u64,
        to: u64,
    },
    /// Bytes that were already read are different now.
    Rewritten {
        offset: u64,
    },
    /// Another file now stands at its path.
    Replaced,
    Deleted,
    Unreadable {
        error: String,
    },
    /// Rows of a database whose calls were over, and which had been read, say something else now.
    RowsRewritten {
        first: String,
        count: u64,
    },
    /// … or are gone, and the product did not remove them.
    RowsDeleted {
        first: String,
        count: u64,
    },
}
