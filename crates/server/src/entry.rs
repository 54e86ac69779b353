//! What stands in the ledger: one byte of version, then postcard. Structs that are stored must not change their fields
//! without a new version byte; enums may get new variants at their end.

use muster_account::Item;
use muster_engine::{AccountRecord, AgentState, Claim, Finding, Input, Join, Member, Opinions, Start};
use muster_event::{Event, Nanos, ProbeState, ProcessKey, Snapshot};
use serde::{Deserialize, Serialize};

use crate::StoreError;

const VERSION: u8 = 1;

/// One entry of the ledger. Inputs are what happened; outputs and kept rows are there so that the index can be made
/// again without the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    Input(Box<Input>),
    Output(StoredOutput),
    Kept(Box<Kept>),
}

/// The outputs that readers see. The others are orders to the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StoredOutput {
    Agent(Box<AgentState>),
    Member(Member),
    Join(Join),
    /// With what it points to: so that it stands whatever is removed.
    Finding {
        finding: Box<Finding>,
        evidence: Vec<EvidenceCopy>,
    },
    Claim(Box<Claim>),
    Opinion(Box<Opinions>),
}

/// What is written again when the segment that had it is removed (agents and findings are written as they were).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kept {
    Member(KeptMember),
    Probe { time_ns: Nanos, state: ProbeState },
    Start(Start),
    Snapshot(Snapshot),
    Dropped(Dropped),
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
pub(crate) enum EntryRef<'a> {
    Input(&'a Input),
    Output(&'a StoredOutput),
    Kept(&'a Kept),
}

/// Writes an entry into the buffer, which is emptied first.
pub(crate) fn encode(entry: &EntryRef<'_>, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
    let mut bytes = std::mem::take(buffer);
    bytes.clear();
    bytes.push(VERSION);
    *buffer = postcard::to_extend(entry, bytes).map_err(StoreError::Encode)?;
    Ok(())
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, String> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|error| error.to_string()),
        Some((version, _)) => Err(format!("entry of version {version}")),
        None => Err("empty entry".to_owned()),
    }
}

/// Version, `Entry::Input`, `Input::Event`: what an event's entry begins with.
const EVENT_PREFIX: [u8; 3] = [VERSION, 0, 2];

/// The fields of `Event` in their order up to the kind: what a scan needs to pass an event by, without its strings.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventHead<'a> {
    pub seq: u64,
    pub time_ns: Nanos,
    pub boot_ns: Nanos,
    pub process: ProcessKey,
    pub thread: u32,
    pub uid: u32,
    #[serde(borrow)]
    pub comm: &'a str,
    pub cgroup: u64,
    /// Position of the variant of `Kind`.
    pub kind: u32,
}

/// Position of `Kind::Exit`.
pub(crate) const KIND_EXIT: u32 = 2;

/// `None`: no event.
pub(crate) fn event_head(bytes: &[u8]) -> Option<EventHead<'_>> {
    let rest = bytes.strip_prefix(&EVENT_PREFIX)?;
    postcard::take_from_bytes(rest).ok().map(|(head, _)| head)
}

pub(crate) fn decode_event(bytes: &[u8]) -> Result<Event, String> {
    let rest = bytes.strip_prefix(&EVENT_PREFIX).ok_or("no event")?;
    postcard::from_bytes(rest).map_err(|error| error.to_string())
}

/// Wall-clock time of an input, where it has one.
pub(crate) fn input_time(input: &Input) -> Option<Nanos> {
    match input {
        Input::Start(start) => Some(start.time_ns),
        Input::Event(event) => Some(event.time_ns),
        Input::Lost(lost) => Some(lost.to_ns),
        Input::Enrol(enrol) => Some(enrol.time_ns),
        Input::Account(record) => Some(record.time_ns),
        Input::Imported(imported) => Some(imported.time_ns),
        Input::Opinion(opinions) => Some(opinions.time_ns),
        Input::Probe { time_ns, .. }
        | Input::AccountState { time_ns, .. }
        | Input::Tick { time_ns }
        | Input::ClockStep { time_ns, .. }
        | Input::Recorded { time_ns, .. }
        | Input::Stop { time_ns } => Some(*time_ns),
        Input::Snapshot(_) | Input::Identified { .. } | Input::Configured { .. } => None,
    }
}

/// When an item was said: the account's own claim, else when it was read.
pub(crate) fn item_time(item: &Item, read_ns: Nanos) -> Nanos {
    item.time_ns.unwrap_or(read_ns)
}

#[cfg(test)]
mod tests {
    use muster_event::Kind;

    use super::*;

    #[test]
    fn the_head_of_an_event_is_read_from_its_entry() {
        let event = Event {
            seq: 1 << 40,
            time_ns: u64::MAX,
            boot_ns: 7,
            process: ProcessKey { pid: 4_000_000_000, start_ns: 1 << 60 },
            thread: 9,
            uid: 1000,
            comm: "näme\0\u{202e}".to_owned(),
            cgroup: 3,
            kind: Kind::Exit { code: Some(-1), signal: None },
        };
        let mut bytes = Vec::new();
        encode(&EntryRef::Input(&Input::Event(event.clone())), &mut bytes).unwrap();
        let head = event_head(&bytes).unwrap();
        assert_eq!(
            (head.seq, head.time_ns, head.boot_ns, head.process, head.comm, head.kind),
            (event.seq, event.time_ns, event.boot_ns, event.process, event.comm.as_str(), KIND_EXIT)
        );
        assert_eq!(decode_event(&bytes).unwrap(), event);
        assert_eq!(decode(&bytes).unwrap(), Entry::Input(Box::new(Input::Event(event))));
        encode(&EntryRef::Input(&Input::Tick { time_ns: 1 }), &mut bytes).unwrap();
        assert_eq!(event_head(&bytes), None);
    }
}
