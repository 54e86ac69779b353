//! Which leaves belong to what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_event::Nanos;
use muster_ledger::note::{Note, Verifier};
use muster_ledger::{Checkpoint, Reader, tree};
use rusqlite::params;

use super::{About, Case, FORMAT, Keys, LEAVES_MAX, Leaf, report};
use crate::entry::{self, Decoded, Entry, Log};
use crate::error::Result;
use crate::index::{int, uint};
use crate::store::{LOG_KEY_PUBLIC, WITNESSED};
use crate::{EventFilter, StoreError, StoreReader, leaf};

/// Longest name of a witness or key file, in bytes.
const KEYS_MAX: u64 = 64 * 1024;
/// Verifier keys of the witnesses that the daemon was given, one a line, in the data folder.
pub const WITNESS_KEYS: &str = "witnesses.vkey";

/// What a bundle is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Finding(String),
    Agent(String),
    Time { from_ns: Nanos, to_ns: Nanos },
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = crate::views::time;
        match self {
            Asked::Finding(id) => write!(f, "finding {id}"),
            Asked::Agent(id) => write!(f, "agent {id}"),
            Asked::Time { from_ns: 0, to_ns: u64::MAX } => write!(f, "all that is on record"),
            Asked::Time { from_ns, to_ns: u64::MAX } => write!(f, "from {}", time(*from_ns)),
            Asked::Time { from_ns, to_ns } => write!(f, "from {} to {}", time(*from_ns), time(*to_ns)),
        }
    }
}

/// Leaves that are wanted, and why.
#[derive(Default)]
struct Wanted {
    why: BTreeMap<u64, &'static str>,
    /// Belong to it, and are not on record or one too many.
    missing: u64,
}

impl Wanted {
    /// The first reason that is given stays.
    fn add(&mut self, leaf: u64, why: &'static str) {
        if self.why.len() >= LEAVES_MAX && !self.why.contains_key(&leaf) {
            self.missing += 1;
        } else {
            self.why.entry(leaf).or_insert(why);
        }
    }
}

impl Case {
    /// Gathers a bundle from a record. `made_ns`: the time now.
    pub fn gather(reader: &StoreReader, data_dir: &Path, asked: &Asked, made_ns: Nanos) -> Result<Case> {
        let mut wanted = Wanted::default();
        match asked {
            Asked::Finding(id) => reader.want_finding(id, &mut wanted)?,
            Asked::Agent(id) => reader.want_agent(id, &mut wanted)?,
            Asked::Time { from_ns, to_ns } => want_time(reader.log(), *from_ns, *to_ns, &mut wanted)?,
        }
        reader.want_log(&mut wanted)?;
        let ledger = reader.log();
        let (bytes, why, missing) = read(ledger, wanted)?;
        let last = bytes.keys().next_back().copied().unwrap_or(0);
        let (checkpoint, head) = head_over(ledger, last)?;
        let mut tiles = ledger.tiles(head.size);
        let mut leaves = Vec::with_capacity(bytes.len());
        for (index, bytes) in bytes {
            let proof = tree::inclusion(&mut tiles, index, head.size)?;
            leaves.push(Leaf { index, bytes, proof });
        }
        let about = About {
            muster_case: FORMAT,
            asked: asked.to_string(),
            made_ns,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            missing,
            why: why.into_iter().map(|(leaf, why)| (leaf, why.to_owned())).collect(),
        };
        let (log, witnesses) = keys_beside(ledger, data_dir, &checkpoint);
        let keys = Keys { log, witnesses };
        let mut case = Case { about, checkpoint, keys, leaves, openings: Vec::new(), report: String::new() };
        case.report = report::html(&case);
        Ok(case)
    }
}

impl StoreReader {
    fn want_finding(&self, id: &str, wanted: &mut Wanted) -> Result<()> {
        let conn = self.index();
        let (at, leaf, agent): (i64, i64, String) =
            conn.query_row("SELECT at, leaf, agent FROM findings WHERE id = ?1", [id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        wanted.add(uint(leaf), "the finding");
        wanted.add(uint(at), "the finding");
        let mut cited = conn.prepare_cached("SELECT leaf FROM evidence WHERE finding = ?1")?;
        let mut rows = cited.query([id])?;
        while let Some(row) = rows.next()? {
            match row.get::<_, Option<i64>>(0)? {
                Some(leaf) => wanted.add(uint(leaf), "what the finding rests on"),
                None => wanted.missing += 1,
            }
        }
        self.want_rows("SELECT at FROM agents WHERE id = ?1", &agent, "the agent", wanted)?;
        self.want_rows(
            "SELECT members.at FROM members JOIN agents ON agents.id = agent WHERE agent = ?1
                AND members.pid = json_extract(agents.json, '$.root.pid')",
            &agent,
            "the agent's first process",
            wanted,
        )?;
        self.want_gaps(&agent, wanted)
    }

    fn want_agent(&self, id: &str, wanted: &mut Wanted) -> Result<()> {
        let conn = self.index();
        let mut statement = conn.prepare_cached("SELECT id FROM findings WHERE agent = ?1 ORDER BY id")?;
        let ids: Vec<String> =
            statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for finding in ids {
            self.want_finding(&finding, wanted)?;
        }
        self.want_rows("SELECT at FROM agents WHERE id = ?1", id, "the agent", wanted)?;
        self.want_gaps(id, wanted)?;
        for (sql, why) in [
            ("SELECT at FROM accounts WHERE agent = ?1", "what the agent said"),
            ("SELECT at FROM claims WHERE agent = ?1", "what the agent claimed"),
            ("SELECT at FROM members WHERE agent = ?1", "a process of the agent"),
            ("SELECT at FROM joins WHERE agent = ?1", "a call and what came of it"),
            ("SELECT at FROM opinions WHERE agent = ?1", "what a model thinks of it"),
            ("SELECT at FROM descents WHERE agent = ?1", "what joined the agent"),
            ("SELECT at FROM artefacts WHERE agent = ?1", "what may bring the agent back"),
        ] {
            self.want_rows(sql, id, why, wanted)?;
        }
        let filter = EventFilter { agent: Some(id.to_owned()), ..EventFilter::default() };
        self.events_with_leaves(&filter, &mut |leaf| wanted.add(leaf, "what the agent did"))
    }

    fn want_rows(&self, sql: &str, id: &str, why: &'static str, wanted: &mut Wanted) -> Result<()> {
        let mut statement = self.index().prepare_cached(sql)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            wanted.add(uint(row.get(0)?), why);
        }
        Ok(())
    }

    /// What could not be seen while the agent lived, and the daemon's starts.
    fn want_gaps(&self, agent: &str, wanted: &mut Wanted) -> Result<()> {
        let Some(state) = self.agent(agent)? else { return Ok(()) };
        let to = state.ended_ns.unwrap_or(u64::MAX);
        let mut statement = self.index().prepare_cached(
            "SELECT at FROM losses WHERE json_extract(json, '$.to_ns') >= ?1 AND json_extract(json, '$.from_ns') <= ?2",
        )?;
        let mut rows = statement.query(params![int(state.started_ns), int(to)])?;
        while let Some(row) = rows.next()? {
            wanted.add(uint(row.get(0)?), "what could not be seen");
        }
        let mut statement = self.index().prepare_cached(
            "SELECT at FROM gaps WHERE (agent IS NULL OR agent = ?1) AND from_ns <= ?3
                AND COALESCE(to_ns, ?3) >= ?2",
        )?;
        let mut rows = statement.query(params![agent, int(state.started_ns), int(to)])?;
        while let Some(row) = rows.next()? {
            wanted.add(uint(row.get(0)?), "what could not be seen");
        }
        self.want_rows("SELECT at FROM starts WHERE ?1 = ?1", agent, "a start of the daemon", wanted)?;
        Ok(())
    }

    /// What the log says of itself: its name, keys and settings, and what was dropped.
    fn want_log(&self, wanted: &mut Wanted) -> Result<()> {
        self.want_rows("SELECT at FROM log WHERE ?1 = ?1", "", "what the log says of itself", wanted)?;
        self.want_rows("SELECT at FROM dropped WHERE ?1 = ?1", "", "what was dropped", wanted)
    }
}

/// All leaves of a time: inputs of that time, and what came of them.
fn want_time(ledger: &Reader, from_ns: Nanos, to_ns: Nanos, wanted: &mut Wanted) -> Result<()> {
    let mut now = 0;
    leaf::visit(ledger, 0, u64::MAX, &mut |entry| {
        let Ok((at, bytes)) = entry else { return Ok(true) };
        let mut pruned = false;
        if let Some(head) = entry::event_head(bytes) {
            now = head.time_ns;
        } else if let Ok(Decoded::Known(entry)) = entry::decode(bytes) {
            match &entry {
                Entry::Input(input) => now = input.time_ns().unwrap_or(now),
                Entry::Kept(_) => pruned = true,
                Entry::Output(_) | Entry::Log(_) => {}
            }
        }
        if !pruned && from_ns <= now && now <= to_ns {
            wanted.add(at, "of the time asked for");
        }
        Ok(true)
    })?;
    Ok(())
}

type Found = (BTreeMap<u64, Vec<u8>>, BTreeMap<u64, &'static str>, u64);

/// The bytes of the wanted leaves, with the parts of those that are in parts.
fn read(ledger: &Reader, wanted: Wanted) -> Result<Found> {
    let Wanted { why, mut missing } = wanted;
    let mut bytes = BTreeMap::new();
    let mut there = BTreeMap::new();
    for (leaf, reason) in why {
        let first = match leaf::first_of(ledger, leaf) {
            Ok(first) => first,
            Err(StoreError::Ledger(muster_ledger::Error::NotFound { .. })) => {
                missing += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        there.insert(leaf, reason);
        for index in first..=leaf {
            bytes.insert(index, ledger.read(index)?);
        }
    }
    Ok((bytes, there, missing))
}

/// The checkpoint to prove by: one that witnesses have cosigned, where it reaches so far, else the newest.
fn head_over(ledger: &Reader, last: u64) -> Result<(Vec<u8>, muster_ledger::Head)> {
    let witnessed = std::fs::read(ledger.dir().join(WITNESSED)).ok();
    let newest = ledger.checkpoint()?;
    for note in [witnessed, newest].into_iter().flatten() {
        let head = Note::parse(&note).ok().and_then(|note| Some(Checkpoint::parse(&note.text).ok()?.head));
        if let Some(head) = head.filter(|head| head.size > last) {
            return Ok((note, head));
        }
    }
    Err(StoreError::NotSigned { leaf: last })
}

/// The keys of log and witnesses that have signed a checkpoint, as far as they are named in the log or beside it. Nothing
/// vouches for them.
pub(crate) fn keys_beside(ledger: &Reader, data_dir: &Path, checkpoint: &[u8]) -> (Vec<String>, Vec<String>) {
    let lines = |name: &str| -> Vec<String> {
        use std::io::Read;
        let mut text = String::new();
        let read = std::fs::File::open(data_dir.join(name))
            .and_then(|file| file.take(KEYS_MAX).read_to_string(&mut text));
        if read.is_err() {
            text.clear();
        }
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let note = Note::parse(checkpoint).ok();
    let signs = |key: &String| {
        key.parse::<Verifier>()
            .is_ok_and(|key| note.iter().flat_map(|note| &note.signatures).any(|line| line.is_by(&key)))
    };
    let mut log: Vec<String> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for key in lines(LOG_KEY_PUBLIC).into_iter().chain(first_key(ledger)) {
        if signs(&key) && seen.insert(key.clone()) {
            log.push(key);
        }
    }
    let witnesses = lines(WITNESS_KEYS).into_iter().filter(signs).collect();
    (log, witnesses)
}

/// The key with which the log says that it begins.
fn first_key(ledger: &Reader) -> Option<String> {
    let bytes = leaf::read(ledger, 0).ok()?;
    match entry::decode(&bytes) {
        Ok(Decoded::Known(Entry::Log(log))) => match *log {
            Log::Begun { key, .. } => Some(key),
            _ => None,
        },
        _ => None,
    }
}
