//! What stands in the ledger: JSON that tells its own names (`docs/ledger.md`). A stored field or variant keeps its name and
//! its meaning for ever; new fields must have a default, new variants may come. What another version wrote is read as far
//! as it is understood.

use std::collections::BTreeMap;

use muster_account::Item;
use muster_engine::{
    AccountRecord, AgentState, Artefact, Claim, Descent, Finding, Gap, Input, Join, Member, Opinions, Review,
    Start,
};
use muster_event::{Event, Nanos, ProbeState, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StoreError;
pub use crate::head::{EventHead, event_head};
pub use crate::leaf::LEAF_MAX;

const VERSION: u64 = 1;

/// One entry of the ledger. Inputs are what happened; outputs and kept rows are there so that the index can be made
/// again without the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Input(Box<Input>),
    Output(StoredOutput),
    Kept(Box<Kept>),
    Log(Box<Log>),
}

/// What the log says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// The first entry of a log: its name, and the key that signs its checkpoints.
    Begun {
        time_ns: Nanos,
        origin: String,
        key: String,
        /// The log that was here before and could not be gone on with: why, and where it is now.
        after: Option<String>,
    },
    /// The key is another from here on. Each signed that the other is right (`key_message`).
    Rotated {
        time_ns: Nanos,
        old: String,
        new: String,
        /// Base64 of Ed25519 signatures.
        by_old: String,
        by_new: String,
    },
    /// The key that was there before the last rotation signs no more.
    Retired { time_ns: Nanos, key: String },
    /// What was heard of a witness, or of a place that checkpoints are sent to.
    Outside {
        time_ns: Nanos,
        /// `witness NAME`, or the place.
        who: String,
        /// `unreachable`, `refused`, `back`; against this log: `rolled-back`, `forked`, `rewritten`.
        what: String,
        text: String,
    },
    /// How the daemon was started: name and value of each setting that changes what is recorded or kept.
    Settings { time_ns: Nanos, settings: BTreeMap<String, String> },
    /// A plan of a comparison was registered (`muster compare`): before its data are read.
    Plan {
        time_ns: Nanos,
        /// The user who registered it.
        by: String,
        /// The plan's file, as it was named.
        file: String,
        /// Its text.
        plan: String,
    },
}

/// The outputs that readers see. The others are orders to the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredOutput {
    Agent(Box<AgentState>),
    Member(Member),
    Join(Join),
    /// With what it points to: so that it stands whatever is removed.
    Finding {
        finding: Box<Finding>,
        evidence: Vec<EvidenceCopy>,
        /// Index of the leaf of each, where it was found.
        #[serde(default)]
        cited: Vec<Option<u64>>,
    },
    Claim(Box<Claim>),
    Opinion(Box<Opinions>),
    Gap(Box<Gap>),
    Descent(Box<Descent>),
    Artefact(Box<Artefact>),
}

/// What is written again when the segment that had it is removed (agents and findings are written as they were).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    Member(KeptMember),
    Probe { time_ns: Nanos, state: ProbeState },
    Start(Start),
    Snapshot(Snapshot),
    Dropped(Pruned),
    Review(Review),
}

/// Retention is about to drop what is before; written first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    #[serde(flatten)]
    pub dropped: Dropped,
    /// Leaves up to `through` that are kept: first and last of each run.
    #[serde(default)]
    pub keep: Vec<(u64, u64)>,
    /// The greatest sequence number so far, and the first one of this boot.
    #[serde(default)]
    pub last_seq: u64,
    #[serde(default)]
    pub boot_seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMember {
    pub member: Member,
    /// Ledger index at which it was first told: the later one wins.
    pub made: u64,
    /// Its exit.
    pub ended_seq: Option<u64>,
    /// The last event of its boot: the same pid and start time after it are another process.
    pub until_seq: Option<u64>,
}

/// A copy of what a finding points to, which outlives the segment that it stood in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceCopy {
    Event(Box<Event>),
    Account(Box<AccountRecord>),
    Process(Box<Snapshot>),
    /// It was not in the ledger when the finding was made.
    Missing,
}

/// What retention removed, in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Wall-clock times of the first and last input that was removed.
    pub from_ns: Nanos,
    pub to_ns: Nanos,
    /// Events that were removed.
    pub events: u64,
    pub bytes: u64,
    /// Last ledger index that was removed.
    pub through: u64,
}

/// `Entry` without ownership; the same bytes.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryRef<'a> {
    Input(&'a Input),
    Output(&'a StoredOutput),
    Kept(&'a Kept),
    Log(&'a Log),
}

/// Writes an entry into the buffer, which is emptied first.
pub fn encode(entry: &EntryRef<'_>, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Written<'a> {
        v: u64,
        #[serde(flatten)]
        entry: &'a EntryRef<'a>,
    }
    buffer.clear();
    serde_json::to_writer(&mut *buffer, &Written { v: VERSION, entry }).map_err(StoreError::Encode)
}

/// What was read of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<T> {
    Known(T),
    /// It is an entry, but says something that only another version of Muster understands: what, in words.
    Unknown {
        what: String,
    },
}

/// The fields of an entry. Others are passed by.
#[derive(Deserialize)]
struct Read {
    v: u64,
    input: Option<Box<Input>>,
    output: Option<StoredOutput>,
    kept: Option<Box<Kept>>,
    log: Option<Box<Log>>,
}

/// Reads a whole entry (`leaf` puts it together).
pub fn decode(bytes: &[u8]) -> Result<Decoded<Entry>, String> {
    match serde_json::from_slice(bytes) {
        Ok(Read { v: 0, .. }) => Err("entry of version 0".to_owned()),
        Ok(Read { input, output, kept, log, .. }) => match (input, output, kept, log) {
            (Some(input), None, None, None) => Ok(Decoded::Known(Entry::Input(input))),
            (None, Some(output), None, None) => Ok(Decoded::Known(Entry::Output(output))),
            (None, None, Some(kept), None) => Ok(Decoded::Known(Entry::Kept(kept))),
            (None, None, None, Some(log)) => Ok(Decoded::Known(Entry::Log(log))),
            (None, None, None, None) => unknown(bytes, "an entry without content"),
            _ => Err("two entries in one".to_owned()),
        },
        Err(error) if error.is_data() => unknown(bytes, &error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Names what is in an entry that does not fit, where it is one.
fn unknown<T>(bytes: &[u8], reason: &str) -> Result<Decoded<T>, String> {
    const WHAT_MAX: usize = 200;
    let leaf: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let fields = leaf.as_object().ok_or("no entry")?;
    match fields.get("v") {
        Some(v) if v.as_u64().is_some_and(|v| v > 0) => {}
        Some(_) | None => return Err("an entry without a version".to_owned()),
    }
    let mut path = Vec::new();
    if let Some((name, content)) = fields.iter().find(|(name, _)| *name != "v") {
        path.push(name.as_str());
        let content = variant(content, &mut path);
        if let Some(kind) = content.and_then(|content| content.get("kind")) {
            variant(kind, &mut path);
        }
    }
    // serde lists what it knows; that is long, and no news.
    let reason = reason.split_once(", expected").map_or(reason, |(reason, _)| reason);
    let what = format!("{}: {reason}", path.join("."));
    Ok(Decoded::Unknown { what: what.chars().take(WHAT_MAX).collect() })
}

/// The name of an enum's variant as it is stored, and what it holds.
fn variant<'a>(value: &'a Value, path: &mut Vec<&'a str>) -> Option<&'a Value> {
    match value {
        Value::String(name) => {
            path.push(name);
            None
        }
        Value::Object(fields) if fields.len() == 1 => {
            let (name, content) = fields.iter().next()?;
            path.push(name);
            Some(content)
        }
        _ => None,
    }
}

/// Reads an entry that is an event.
pub fn decode_event(bytes: &[u8]) -> Result<Decoded<Event>, String> {
    match decode(bytes)? {
        Decoded::Known(Entry::Input(input)) => match *input {
            Input::Event(event) => Ok(Decoded::Known(event)),
            _ => Err("no event".to_owned()),
        },
        Decoded::Known(Entry::Output(_) | Entry::Kept(_) | Entry::Log(_)) => Err("no event".to_owned()),
        Decoded::Unknown { what } => Ok(Decoded::Unknown { what }),
    }
}

/// When an item was said: the account's own claim, else when it was read.
pub(crate) fn item_time(item: &Item, read_ns: Nanos) -> Nanos {
    item.time_ns.unwrap_or(read_ns)
}
