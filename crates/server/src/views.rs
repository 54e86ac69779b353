//! What scripts see: the JSON of `roll`, `events` and `findings`. View types of its own, so that the core can change
//! without breaking a script. Times are RFC 3339 in UTC with nanoseconds. Fields are only ever added.

use std::collections::BTreeMap;

use muster_engine::{AgentState, Claim, Coverage, Evidence, Finding, Gap, GapCause, Opinions, Severity};
use muster_event::{Access, Attribution, Event, Kind, MemoryOp, Nanos, SignalTarget};
use serde::{Deserialize, Serialize};

mod lineage;

pub use lineage::*;

/// One field of the contract: its name, its type and what it holds. The documentation is made of these
/// (`crate::reference` says which types there are), and tests hold what is printed against them.
pub type Field = (&'static str, &'static str, &'static str);

/// Wall-clock nanoseconds as `2026-01-02T03:04:05.000000006Z`.
pub fn time(ns: Nanos) -> String {
    const PRINTER: jiff::fmt::temporal::DateTimePrinter =
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(9));
    // 64 bits of nanoseconds end in 2554, long before jiff does.
    let timestamp = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    PRINTER.timestamp_to_string(&timestamp)
}

/// The other way round. `None`: no such time, or one before 1970.
pub fn parse_time(text: &str) -> Option<Nanos> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Nanos::try_from(timestamp.as_nanosecond()).ok()
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A line of the roll: one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollView {
    pub agent: String,
    pub product: String,
    pub version: Option<String>,
    pub root_pid: u32,
    pub mandate: Option<String>,
    pub mandate_until: Option<String>,
    pub principal: Option<String>,
    pub label: String,
    pub state: String,
    pub stage: Option<String>,
    pub coverage: String,
    pub coverage_detail: CoverageView,
    pub found_by: String,
    pub parent: Option<String>,
    pub started: String,
    pub ended: Option<String>,
    pub processes: u64,
    pub events: u64,
    pub calls: u64,
    pub calls_joined: u64,
    pub sessions: Vec<String>,
    pub doing: String,
    pub findings: FindingCounts,
}

pub const ROLL_FIELDS: &[Field] = &[
    ("agent", "string", "name of the agent"),
    ("product", "string", "data-file name of the product, or `unknown`"),
    ("version", "string or null", "version of the product, or null"),
    ("root_pid", "integer", "process id of the agent's first process"),
    ("mandate", "string or null", "id of the mandate or enrolment it runs under; null: unmandated"),
    ("mandate_until", "time or null", "when its mandate expires; null: it has none that does"),
    ("principal", "string or null", "who enrolled it, or null"),
    ("label", "string", "what it was enrolled for; may be empty"),
    ("state", "string", "`running`, `ended`, `frozen` or `out`"),
    (
        "stage",
        "string or null",
        "`initiate`, `conceal` or `sustain`: the furthest of its findings; null: none",
    ),
    ("coverage", "string", "one word: `whole`, `record only`, `account only`, `partial` or `presence only`"),
    ("coverage_detail", "object roll.coverage_detail", "what the word stands for, as an object"),
    ("found_by", "string", "how it was found, in words"),
    ("parent", "string or null", "the agent that started it, or null"),
    ("started", "time", "when it started"),
    ("ended", "time or null", "when its last process ended, or null"),
    ("processes", "integer", "live processes of its lineage"),
    ("events", "integer", "events of the record attributed to it"),
    ("calls", "integer", "tool calls in its accounts"),
    ("calls_joined", "integer", "how many of them were matched to the record"),
    ("sessions", "array of string", "session ids that its accounts name"),
    ("doing", "string", "its latest tool call or execution, in words"),
    ("findings", "object roll.findings", "number of its findings by severity, as an object"),
];

/// A mandate that the daemon holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MandateView {
    pub id: String,
    pub state: String,
    pub principal: String,
    pub task: String,
    pub signer: Option<String>,
    pub parent: Option<String>,
    pub renews: Option<String>,
    pub renewed_by: Option<String>,
    pub revoked: Option<String>,
    pub not_before: Option<String>,
    pub expires: String,
    pub agents: Vec<String>,
}

pub const MANDATE_FIELDS: &[Field] = &[
    ("id", "string", "SHA-256 of the signed bytes, hex"),
    ("state", "string", "`in force`, `expired`, `renewed` or `revoked`"),
    ("principal", "string", "who answers for it"),
    ("task", "string", "what it is for"),
    ("signer", "string or null", "fingerprint of the key that signed it"),
    ("parent", "string or null", "id of the mandate that it is a part of"),
    ("renews", "string or null", "id of the mandate whose lease it renews"),
    ("renewed_by", "string or null", "id of the mandate that renewed it"),
    ("revoked", "string or null", "who revoked it, and why"),
    ("not_before", "time or null", "when it begins"),
    ("expires", "time", "when it ends"),
    ("agents", "array of string", "agents that it was given to since the daemon's start"),
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageView {
    pub record_from: Option<String>,
    pub record_whole: bool,
    pub began_unseen: bool,
    pub lost: u64,
    pub blind: Vec<String>,
    pub account: bool,
    pub unreadable: Vec<String>,
    pub gaps: Vec<IntervalView>,
    pub gaps_more: u64,
}

pub const COVERAGE_FIELDS: &[Field] = &[
    ("record_from", "time or null", "the record is complete from this moment on; null: no kernel record"),
    ("record_whole", "boolean", "nothing is known to be missing from the record"),
    ("began_unseen", "boolean", "it was running before that moment"),
    ("lost", "integer", "events of its time that were lost"),
    (
        "blind",
        "array of string",
        "probes that were down during its time; `record:…`: what a record that others kept does not show",
    ),
    ("account", "boolean", "an account is being read"),
    ("unreadable", "array of string", "accounts that could not be read, and why"),
    (
        "gaps",
        "array of roll.gap",
        "intervals of its life in which something could not be seen (`muster gaps` has more of each)",
    ),
    ("gaps_more", "integer", "… and how many more there were"),
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalView {
    pub cause: GapCause,
    pub from: String,
    pub to: Option<String>,
}

pub const INTERVAL_FIELDS: &[Field] = &[
    ("cause", "string", "as in `gaps`"),
    ("from", "time", "the last moment before it"),
    ("to", "time or null", "the first moment after it; null: it goes on"),
];

/// A line of `muster gaps`: an interval in which something could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapView {
    pub id: String,
    pub cause: GapCause,
    pub subject: String,
    pub agent: Option<String>,
    pub from: String,
    pub to: Option<String>,
    pub boot_id: String,
    pub boot_id_before: Option<String>,
    pub boot_from_ns: Option<Nanos>,
    pub boot_to_ns: Option<Nanos>,
    pub count: Option<u64>,
    pub detail: String,
}

pub const GAP_FIELDS: &[Field] = &[
    ("id", "string", "name of the gap; the same while it goes on"),
    (
        "cause",
        "string",
        "`daemon_down`, `lost`, `probe_blind`, `clock_step`, `asleep`, `stalled` or `account_unreadable`",
    ),
    ("subject", "string", "the queue, probe or account's file that it is about; else empty"),
    ("agent", "string or null", "whom it is about; null: everybody who was there"),
    ("from", "time", "the last moment before it"),
    ("to", "time or null", "the first moment after it; null: it goes on"),
    ("boot_id", "string", "the boot at its end (or now)"),
    (
        "boot_id_before",
        "string or null",
        "the boot at its beginning, where the machine was started anew between",
    ),
    (
        "boot_from_ns",
        "integer or null",
        "`from` on `CLOCK_BOOTTIME`, of the boot at its beginning, in nanoseconds",
    ),
    ("boot_to_ns", "integer or null", "`to` on `CLOCK_BOOTTIME`, of the boot at its end, in nanoseconds"),
    ("count", "integer or null", "events that are known to be missing"),
    ("detail", "string", "more, in words"),
];

impl From<&Gap> for GapView {
    fn from(gap: &Gap) -> Self {
        GapView {
            id: gap.id.clone(),
            cause: gap.cause,
            subject: gap.subject.clone(),
            agent: gap.agent.clone(),
            from: time(gap.from_ns),
            to: gap.to_ns.map(time),
            boot_id: gap.boot_id.clone(),
            boot_id_before: gap.boot_id_before.clone(),
            boot_from_ns: gap.boot_from_ns,
            boot_to_ns: gap.boot_to_ns,
            count: gap.count,
            detail: gap.detail.clone(),
        }
    }
}

impl From<&Coverage> for CoverageView {
    fn from(coverage: &Coverage) -> Self {
        CoverageView {
            record_from: coverage.record_from_ns.map(time),
            record_whole: coverage.record_whole(),
            began_unseen: coverage.began_unseen,
            lost: coverage.lost,
            blind: coverage.blind.clone(),
            account: coverage.account,
            unreadable: coverage.unreadable.clone(),
            gaps: coverage
                .gaps
                .iter()
                .map(|gap| IntervalView {
                    cause: gap.cause,
                    from: time(gap.from_ns),
                    to: gap.to_ns.map(time),
                })
                .collect(),
            gaps_more: coverage.gaps_more,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingCounts {
    pub critical: u64,
    pub high: u64,
    pub medium: u64,
    pub low: u64,
    pub info: u64,
}

pub const FINDING_COUNTS_FIELDS: &[Field] = &[
    ("critical", "integer", "number of critical findings"),
    ("high", "integer", "number of high findings"),
    ("medium", "integer", "number of medium findings"),
    ("low", "integer", "number of low findings"),
    ("info", "integer", "number of findings for information"),
];

impl FindingCounts {
    pub fn add(&mut self, severity: Severity, count: u64) {
        let slot = match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Info => &mut self.info,
        };
        *slot = slot.saturating_add(count);
    }

    pub fn total(&self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.info
    }
}

impl RollView {
    pub fn new(state: &AgentState, findings: FindingCounts) -> Self {
        RollView {
            agent: state.agent.clone(),
            product: state.product.clone(),
            version: state.version.clone(),
            root_pid: state.root.pid,
            mandate: state.mandate.clone(),
            mandate_until: state.mandate_until_ns.map(time),
            principal: state.principal.clone(),
            label: state.label.clone(),
            state: state.standing().name().to_owned(),
            stage: state.stage.map(|stage| stage.name().to_owned()),
            coverage: state.coverage.word().to_owned(),
            coverage_detail: CoverageView::from(&state.coverage),
            found_by: state.found_by.clone(),
            parent: state.parent.clone(),
            started: time(state.started_ns),
            ended: state.ended_ns.map(time),
            processes: state.processes,
            events: state.events,
            calls: state.calls,
            calls_joined: state.calls_joined,
            sessions: state.sessions.clone(),
            doing: state.doing.clone(),
            findings,
        }
    }
}

/// A line of the record: one event, flat. What a kind does not have is left out; the first nine are always there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    pub seq: u64,
    pub time: String,
    pub agent: Option<String>,
    pub attribution: Option<String>,
    pub pid: u32,
    pub thread: u32,
    pub uid: u32,
    pub comm: String,
    pub kind: String,

    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv_truncated: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_group: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<i64>,
}

pub const EVENT_FIELDS: &[Field] = &[
    ("seq", "integer", "number of the event on this host, from 1, without holes"),
    ("time", "time", "when the kernel saw it"),
    ("agent", "string or null", "the agent that it is attributed to, or null"),
    (
        "attribution",
        "string or null",
        "`cgroup`, `marker`, `ancestry` or `text`: how it was tied to the agent; null without one",
    ),
    ("pid", "integer", "process id of the acting process"),
    ("thread", "integer", "id of the acting thread"),
    ("uid", "integer", "user id of the acting process"),
    ("comm", "string", "the task's own name for itself: never trust it"),
    ("kind", "string", "what was done; which of the fields below are there depends on it"),
    ("path", "string", "the file, as the kernel resolved it"),
    ("from", "string", "old path of a rename, existing path of a link, old name of a task"),
    ("to", "string", "new path of a rename or link, new name of a task"),
    (
        "target",
        "string",
        "text of a symlink, place of a mount, target of an HTTP request; `everyone` for a signal to all",
    ),
    ("source", "string", "what was mounted"),
    (
        "access",
        "array of string",
        "how a file was opened: of `read`, `write`, `create`, `truncate`, `append`",
    ),
    ("directory", "boolean", "a directory was removed"),
    ("mode", "integer", "permission bits of a chmod, as a decimal number"),
    ("owner_uid", "integer", "new owner of a chown"),
    ("owner_gid", "integer", "new group of a chown"),
    ("length", "integer", "length of a truncate or of memory, in bytes"),
    ("script", "string", "the script file, where an interpreter runs one"),
    ("argv", "array of string", "arguments of an execution"),
    ("argv_truncated", "boolean", "there were more arguments than are copied"),
    ("cwd", "string", "working directory of an execution"),
    ("env", "map of string", "environment variables that mark an agent or its account"),
    ("anonymous", "boolean", "the executable lives in memory only"),
    ("device", "integer", "device number of the executable"),
    ("inode", "integer", "inode number of the executable"),
    ("session", "integer", "session id of the process"),
    ("group", "integer", "process group of the process"),
    ("child_pid", "integer", "process id of the new process"),
    ("parent_pid", "integer", "process id of the parent"),
    ("target_pid", "integer", "process that was signalled, traced, or whose memory was used"),
    ("target_group", "integer", "process group that was signalled; 0: the sender's own"),
    ("exit_status", "integer", "status that the process ended with, 0 to 255"),
    ("signal", "integer", "signal that was sent, or that ended the process"),
    ("address", "string", "endpoint, as `ip:port`, `[ip]:port`, `unix:path` or `family:number`"),
    ("server", "string", "DNS server that was asked, likewise"),
    ("name", "string", "name in a DNS question or TLS hello, of a kernel module or of a memory file"),
    ("record_type", "string", "record type of a DNS question"),
    ("method", "string", "method of an HTTP request"),
    ("host", "string", "host of an HTTP request"),
    ("call", "string", "name of the system call or setting"),
    ("operation", "string", "`read` or `write` of a process's memory; name of an io_uring request"),
    ("request", "integer", "number of a ptrace request"),
    ("command", "integer", "number of a bpf command"),
    ("number", "integer", "number of a 32-bit system call"),
    ("flags", "integer", "flags, as a number"),
    ("arguments", "array of integer", "arguments of the call, as given"),
    ("stream", "integer", "output of a command: 1 (standard output, or both) or 2 (standard error)"),
    ("bytes", "integer", "how many bytes a command wrote to it"),
    ("lines", "integer", "lines that hold anything among those looked at"),
    ("whole", "boolean", "all that was written was looked at"),
    ("result", "integer", "0 or a count on success, `-errno` on failure"),
];

/// Each kind, and the fields that it may have beside those that every event has.
pub const EVENT_KINDS: &[(&str, &[&str])] = &[
    ("fork", &["child_pid"]),
    (
        "exec",
        &[
            "path",
            "script",
            "argv",
            "argv_truncated",
            "cwd",
            "env",
            "parent_pid",
            "session",
            "group",
            "device",
            "inode",
            "anonymous",
        ],
    ),
    ("exit", &["exit_status", "signal"]),
    ("setsid", &["session"]),
    ("open", &["path", "access", "result"]),
    ("rename", &["from", "to", "result"]),
    ("link", &["from", "to", "result"]),
    ("symlink", &["target", "path", "result"]),
    ("unlink", &["path", "directory", "result"]),
    ("mkdir", &["path", "result"]),
    ("chmod", &["path", "mode", "result"]),
    ("chown", &["path", "owner_uid", "owner_gid", "result"]),
    ("truncate", &["path", "length", "result"]),
    ("connect", &["address", "result"]),
    ("bind", &["address", "result"]),
    ("listen", &["address", "result"]),
    ("accept", &["address", "result"]),
    ("send", &["address", "result"]),
    ("dns", &["name", "record_type", "server"]),
    ("tls", &["name", "address"]),
    ("http", &["method", "target", "host", "address"]),
    ("signal", &["target_pid", "target_group", "target", "signal", "result"]),
    ("ptrace", &["request", "target_pid", "result"]),
    ("process_memory", &["operation", "target_pid", "result"]),
    ("bpf", &["command", "result"]),
    ("load_module", &["name", "result"]),
    ("mount", &["call", "source", "target", "result"]),
    ("namespace", &["call", "flags", "result"]),
    ("root", &["call", "path", "result"]),
    ("credentials", &["call", "arguments", "result"]),
    ("set_name", &["from", "to"]),
    ("memfd", &["name", "result"]),
    ("exec_memory", &["call", "length", "result"]),
    ("io_uring", &["operation", "path", "flags"]),
    ("compat", &["number", "result"]),
    ("control", &["call", "arguments", "result"]),
    ("output", &["stream", "bytes", "lines", "whole"]),
];

impl EventView {
    pub fn new(event: &Event, agent: Option<(&str, Attribution)>) -> Self {
        let mut view = EventView {
            seq: event.seq,
            time: time(event.time_ns),
            agent: agent.map(|(id, _)| id.to_owned()),
            attribution: agent.map(|(_, by)| attribution_name(by).to_owned()),
            pid: event.process.pid,
            thread: event.thread,
            uid: event.uid,
            comm: event.comm.clone(),
            kind: event.kind.name().to_owned(),
            ..EventView::default()
        };
        view.set_kind(&event.kind);
        view
    }

    fn set_kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Fork { child } => self.child_pid = Some(child.pid),
            Kind::Exec {
                path,
                script,
                argv,
                argv_truncated,
                cwd,
                env,
                parent,
                session,
                group,
                file,
                anonymous,
            } => {
                self.path = Some(path.clone());
                self.script.clone_from(script);
                self.argv = Some(argv.clone());
                self.argv_truncated = Some(*argv_truncated);
                self.cwd = Some(cwd.clone());
                self.env = Some(env.clone());
                self.parent_pid = Some(parent.pid);
                self.session = Some(*session);
                self.group = Some(*group);
                self.device = Some(file.device);
                self.inode = Some(file.inode);
                self.anonymous = Some(*anonymous);
            }
            Kind::Exit { code, signal } => {
                self.exit_status = *code;
                self.signal = *signal;
            }
            Kind::SetSid { session } => self.session = Some(*session),
            Kind::Open { path, access, result } => {
                self.path = Some(path.clone());
                self.access = Some(access_names(*access));
                self.result = Some(*result);
            }
            Kind::Rename { from, to, result } | Kind::Link { from, to, result } => {
                self.from = Some(from.clone());
                self.to = Some(to.clone());
                self.result = Some(*result);
            }
            Kind::Symlink { target, path, result } => {
                self.target = Some(target.clone());
                self.path = Some(path.clone());
                self.result = Some(*result);
            }
            Kind::Unlink { path, directory, result } => {
                self.path = Some(path.clone());
                self.directory = Some(*directory);
                self.result = Some(*result);
            }
            Kind::Mkdir { path, result } => {
                self.path = Some(path.clone());
                self.result = Some(*result);
            }
            Kind::Chmod { path, mode, result } => {
                self.path = Some(path.clone());
                self.mode = Some(*mode);
                self.result = Some(*result);
            }
            Kind::Chown { path, uid, gid, result } => {
                self.path = Some(path.clone());
                self.owner_uid = Some(*uid);
                self.owner_gid = Some(*gid);
                self.result = Some(*result);
            }
            Kind::Truncate { path, length, result } => {
                self.path = Some(path.clone());
                self.length = Some(*length);
                self.result = Some(*result);
            }
            Kind::Connect { address, result }
            | Kind::Bind { address, result }
            | Kind::Listen { address, result }
            | Kind::Accept { address, result }
            | Kind::Send { address, result } => {
                self.address = Some(address.to_string());
                self.result = Some(*result);
            }
            Kind::Dns { name, record_type, server } => {
                self.name = Some(name.clone());
                self.record_type = Some(record_type.clone());
                self.server = Some(server.to_string());
            }
            Kind::Tls { name, address } => {
                self.name = Some(name.clone());
                self.address = Some(address.to_string());
            }
            Kind::Http { method, target, host, address } => {
                self.method = Some(method.clone());
                self.target = Some(target.clone());
                self.host.clone_from(host);
                self.address = Some(address.to_string());
            }
            Kind::Signal { target, signal, result } => {
                match target {
                    SignalTarget::Process(pid) => self.target_pid = Some(*pid),
                    SignalTarget::Group(group) => self.target_group = Some(*group),
                    SignalTarget::Everyone => self.target = Some("everyone".to_owned()),
                }
                self.signal = Some(*signal);
                self.result = Some(*result);
            }
            Kind::Ptrace { request, target, result } => {
                self.request = Some(*request);
                self.target_pid = Some(*target);
                self.result = Some(*result);
            }
            Kind::ProcessMemory { op, target, result } => {
                let operation = match op {
                    MemoryOp::Read => "read",
                    MemoryOp::Write => "write",
                };
                self.operation = Some(operation.to_owned());
                self.target_pid = Some(*target);
                self.result = Some(*result);
            }
            Kind::Bpf { command, result } => {
                self.command = Some(*command);
                self.result = Some(*result);
            }
            Kind::LoadModule { name, result } | Kind::Memfd { name, result } => {
                self.name = Some(name.clone());
                self.result = Some(*result);
            }
            Kind::Mount { call, source, target, result } => {
                self.call = Some(call.clone());
                self.source = Some(source.clone());
                self.target = Some(target.clone());
                self.result = Some(*result);
            }
            Kind::Namespace { call, flags, result } => {
                self.call = Some(call.clone());
                self.flags = Some(*flags);
                self.result = Some(*result);
            }
            Kind::Root { call, path, result } => {
                self.call = Some(call.clone());
                self.path = Some(path.clone());
                self.result = Some(*result);
            }
            Kind::Credentials { call, arguments, result } | Kind::Control { call, arguments, result } => {
                self.call = Some(call.clone());
                self.arguments = Some(arguments.clone());
                self.result = Some(*result);
            }
            Kind::SetName { from, to } => {
                self.from = Some(from.clone());
                self.to = Some(to.clone());
            }
            Kind::ExecMemory { call, length, result } => {
                self.call = Some(call.clone());
                self.length = Some(*length);
                self.result = Some(*result);
            }
            Kind::IoUring { operation, path, flags } => {
                self.operation = Some(operation.clone());
                self.path.clone_from(path);
                self.flags = Some(*flags);
            }
            Kind::Compat { number, result } => {
                self.number = Some(*number);
                self.result = Some(*result);
            }
            // The hashes are for the engine: they tell a person nothing.
            Kind::Output { stream, bytes, lines, whole, hashes: _ } => {
                self.stream = Some(*stream);
                self.bytes = Some(*bytes);
                self.lines = Some(*lines);
                self.whole = Some(*whole);
            }
        }
    }
}

pub fn attribution_name(by: Attribution) -> &'static str {
    match by {
        Attribution::Cgroup => "cgroup",
        Attribution::Marker => "marker",
        Attribution::Ancestry => "ancestry",
        Attribution::Text => "text",
        Attribution::Artefact => "artefact",
        Attribution::Request => "request",
        Attribution::Content => "content",
    }
}

fn access_names(access: Access) -> Vec<String> {
    let Access { read, write, create, truncate, append } = access;
    [(read, "read"), (write, "write"), (create, "create"), (truncate, "truncate"), (append, "append")]
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    pub finding: String,
    pub code: String,
    pub severity: String,
    pub stage: String,
    pub overreach: u8,
    pub deception: u8,
    pub owasp: String,
    pub attack: Option<String>,
    pub agent: String,
    pub time: String,
    pub summary: String,
    pub explanation: String,
    pub evidence: Vec<EvidenceView>,
}

pub const FINDING_FIELDS: &[Field] = &[
    ("finding", "string", "id of the finding: the same over restarts"),
    ("code", "string", "what kind of finding"),
    ("severity", "string", "`critical`, `high`, `medium`, `low` or `info`"),
    ("stage", "string", "`initiate`, `conceal` or `sustain`"),
    ("overreach", "integer", "METR's overreach band, 0 to 3"),
    ("deception", "integer", "METR's deception band, 0 to 3"),
    ("owasp", "string", "entry of OWASP's Top 10 for Agentic Applications"),
    ("attack", "string or null", "technique of MITRE ATT&CK, or null"),
    ("agent", "string", "name of the agent"),
    ("time", "time", "when the act was done"),
    ("summary", "string", "one line, in plain words"),
    ("explanation", "string", "why this is a finding, and what would refute it"),
    ("evidence", "array of findings.evidence", "pointers into the record and the account, as objects"),
];

/// One pointer: exactly one of `event`, `account` and `process` is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EvidenceView {
    Event { event: u64 },
    Account { account: String, offset: u64, sha256: String },
    Process { process: u32 },
}

pub const EVIDENCE_FIELDS: &[Field] = &[
    ("event", "integer", "number of an event of the record"),
    ("account", "string", "file of an account"),
    ("offset", "integer", "place of the record in that file, in bytes"),
    ("sha256", "string", "SHA-256 of the record's bytes, in hex"),
    ("process", "integer", "process id of a process that was there before Muster"),
];

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        match evidence {
            Evidence::Event { seq } => EvidenceView::Event { event: *seq },
            Evidence::Account { path, offset, sha256 } => {
                EvidenceView::Account { account: path.clone(), offset: *offset, sha256: hex(sha256) }
            }
            Evidence::Process { pid, start_ns: _ } => EvidenceView::Process { process: *pid },
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        FindingView {
            finding: finding.id.clone(),
            code: finding.code.name().to_owned(),
            severity: finding.severity.name().to_owned(),
            stage: finding.stage.name().to_owned(),
            overreach: finding.overreach,
            deception: finding.deception,
            owasp: finding.code.owasp().to_owned(),
            attack: finding.code.attack().map(str::to_owned),
            agent: finding.agent.clone(),
            time: time(finding.time_ns),
            summary: finding.summary.clone(),
            explanation: finding.explanation.clone(),
            evidence: finding.evidence.iter().map(EvidenceView::from).collect(),
        }
    }
}

/// A claim, with what the record says to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimView {
    pub claim: String,
    pub agent: String,
    pub time: String,
    pub actor: Option<String>,
    pub source: String,
    pub class: String,
    pub sentence: String,
    pub verdict: String,
    pub reason: String,
    pub said: EvidenceView,
    pub evidence: Vec<EvidenceView>,
}

pub const CLAIM_FIELDS: &[Field] = &[
    ("claim", "string", "id of the claim: the same over restarts"),
    ("agent", "string", "name of the agent"),
    ("time", "time", "when it was said"),
    ("actor", "string or null", "the sub-agent that said it; null: the agent itself"),
    (
        "source",
        "string",
        "`prose`, `commit-message`, `hand-back` (of a sub-agent) or `request` (to take changes in)",
    ),
    ("class", "string", "what is claimed, e.g. `tests-pass`"),
    ("sentence", "string", "the sentence, as written"),
    (
        "verdict",
        "string",
        "`supported`, `hollow`, `contradicted`, `unsupported`, `unverifiable` or `disclosed`",
    ),
    ("reason", "string", "one line, in plain words"),
    ("said", "object findings.evidence", "where it was said"),
    ("evidence", "array of findings.evidence", "what decides, as pointers into the record and the account"),
];

impl From<&Claim> for ClaimView {
    fn from(claim: &Claim) -> Self {
        ClaimView {
            claim: claim.id.clone(),
            agent: claim.agent.clone(),
            time: time(claim.time_ns),
            actor: claim.actor.clone(),
            source: claim.source.name().to_owned(),
            class: claim.class.name().to_owned(),
            sentence: claim.sentence.clone(),
            verdict: claim.verdict.name().to_owned(),
            reason: claim.reason.clone(),
            said: EvidenceView::from(&claim.said),
            evidence: claim.evidence.iter().map(EvidenceView::from).collect(),
        }
    }
}

/// What a model answered. Its first words say what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpinionsView {
    pub note: String,
    pub agent: String,
    pub time: String,
    pub model: String,
    pub endpoint: String,
    pub skeleton: String,
    pub dropped: u32,
    pub opinions: Vec<OpinionView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpinionView {
    pub about: Option<String>,
    pub label: String,
    pub confidence: u8,
    pub quote: String,
    pub rationale: String,
    pub cited: Vec<CitedView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CitedView {
    pub item: String,
    pub text: String,
    pub evidence: Option<EvidenceView>,
}

const OPINION_NOTE: &str = "a language model's opinion, no evidence; it changes no finding";

pub const OPINIONS_FIELDS: &[Field] = &[
    ("note", "string", "what it is worth: an opinion of a language model, no evidence"),
    ("agent", "string", "name of the agent"),
    ("time", "time", "when the model answered"),
    ("model", "string", "name of the model, as it was asked for"),
    ("endpoint", "string", "host and port of the server that was asked"),
    ("skeleton", "string", "SHA-256 of what the model was shown, in hex"),
    ("dropped", "integer", "opinions of the answer that did not pass the checks"),
    (
        "opinions",
        "array of opinions.opinion",
        "those that did; none: the model had nothing to say that could be checked",
    ),
];

pub const OPINION_FIELDS: &[Field] = &[
    (
        "about",
        "string or null",
        "id of the finding that it is about; null: it asks for a look at something else",
    ),
    (
        "label",
        "string",
        "`misleading-claim`, `fabricated-result`, `concealment`, `unreported-act`, `beyond-the-task`, \
         `oversight-evasion` or `unclear`",
    ),
    ("confidence", "integer", "the model's own, in percent; not calibrated"),
    ("quote", "string", "literally in one of the cited items"),
    ("rationale", "string", "the model's words"),
    ("cited", "array of opinions.cited", "what it rests on"),
];

pub const CITED_FIELDS: &[Field] = &[
    ("item", "string", "name of the item in what the model was shown, e.g. `E12`"),
    ("text", "string", "the item, as the model saw it"),
    ("evidence", "object findings.evidence or null", "where it stands; null for a finding or a claim"),
];

impl From<&Opinions> for OpinionsView {
    fn from(from: &Opinions) -> Self {
        OpinionsView {
            note: OPINION_NOTE.to_owned(),
            agent: from.agent.clone(),
            time: time(from.time_ns),
            model: from.model.clone(),
            endpoint: from.endpoint.clone(),
            skeleton: hex(&from.skeleton),
            dropped: from.dropped,
            opinions: from
                .opinions
                .iter()
                .map(|opinion| OpinionView {
                    about: opinion.about.clone(),
                    label: opinion.label.name().to_owned(),
                    confidence: opinion.confidence,
                    quote: opinion.quote.clone(),
                    rationale: opinion.rationale.clone(),
                    cited: opinion
                        .cited
                        .iter()
                        .map(|cited| CitedView {
                            item: cited.item.clone(),
                            text: cited.text.clone(),
                            evidence: cited.evidence.as_ref().map(EvidenceView::from),
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

/// The names of all kinds of events.
pub fn kind_names() -> impl Iterator<Item = &'static str> {
    EVENT_KINDS.iter().map(|(name, _)| *name)
}
