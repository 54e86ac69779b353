//! The index: SQLite tables made from the ledger's entries, one after the other. It holds nothing that the ledger does
//! not, so it can be thrown away at any time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use muster_engine::{
    AccountRecord, AgentState, Claim, Evidence, Finding, Input, Join, Member, Opinions, Start,
};
use muster_event::{Nanos, ProbeState, ProcessKey, Snapshot};
use muster_ledger::Reader;
use rusqlite::{Connection, OptionalExtension, params};

use crate::entry::{
    self, Decoded, Dropped, Entry, EvidenceCopy, Kept, KeptMember, Log, Pruned, StoredOutput, event_head,
};
use crate::error::Result;
use crate::{StoreError, leaf, views};

mod lineage;
mod told;

use lineage::{Owner, own};
pub(crate) use lineage::{attribution, is_also};

pub(crate) const FILE: &str = "index.db";
pub(crate) const SCHEMA_VERSION: i64 = 8;
const SCHEMA: &str = include_str!("schema.sql");

/// Entries that are held in memory because findings mostly point to what was just done, in bytes.
const RECENT_BYTES: usize = 4 * 1024 * 1024;
/// Ended processes that are still known: their last events may come from another queue than their exit.
const ENDED_MAX: usize = 65_536;
/// Live members that are known at once: pids end at 4 million, a machine's memory long before.
const MEMBERS_MAX: usize = 1_000_000;
/// Pieces of evidence that are copied per finding.
const EVIDENCE_MAX: usize = 256;
/// Entries that are projected in one transaction when the index is made anew.
const BATCH: u64 = 20_000;
/// Damaged entries that are told of one by one.
const WARNINGS_MAX: usize = 20;

pub(crate) struct Index {
    pub conn: Connection,
    reader: Reader,
    /// A transaction is open.
    writing: bool,
    /// Index of the first ledger entry that is not projected.
    pub next: u64,
    pub last_seq: u64,
    pub last_ns: Nanos,
    /// Both clocks at the last tick; 0: not known.
    pub last_tick: (Nanos, Nanos),
    /// First sequence number of this boot.
    boot_seq: u64,
    /// The ledger is read, not written.
    catching_up: bool,
    /// Entries of a block: what retention removes at once, and what a question may pass by.
    block_size: u64,
    /// All blocks that hold events, by first index; the last one grows.
    blocks: BTreeMap<u64, Block>,
    block: u64,
    block_dirty: bool,
    /// What agents did in the current block.
    ranges: HashMap<Arc<str>, Range>,
    /// Whose each process is.
    members: HashMap<ProcessKey, Vec<Owner>>,
    ended: VecDeque<ProcessKey>,
    /// Sequence number, ledger index and bytes.
    recent: VecDeque<(u64, u64, Box<[u8]>)>,
    recent_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Block {
    pub seqs: Option<(u64, u64)>,
    pub times: Option<(Nanos, Nanos)>,
    pub events: u64,
}

#[derive(Clone, Copy)]
struct Range {
    min: u64,
    max: u64,
    dirty: bool,
}

/// SQLite's integers are signed: what is larger is held to be the largest.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn widen(range: &mut Option<(u64, u64)>, value: u64) {
    *range = Some(range.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
}

/// The schema's version; 0 for a new file.
pub(crate) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Opens the file for writing; makes it, readable for its owner only, where it is missing.
pub(crate) fn open_file(path: &Path) -> Result<Connection> {
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::Io { path: path.to_owned(), action: "open", source })?;
    let conn = Connection::open(path)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(conn)
}

impl Index {
    /// Takes an open database: one of this schema, or an empty one.
    pub fn new(conn: Connection, reader: Reader, block_size: u64) -> Result<Index> {
        conn.set_prepared_statement_cache_capacity(64);
        if version(&conn)? == 0 {
            conn.execute_batch(&format!(
                "BEGIN;\n{SCHEMA}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
            ))?;
        }
        let mut index = Index {
            conn,
            reader,
            writing: false,
            next: 0,
            last_seq: 0,
            last_ns: 0,
            last_tick: (0, 0),
            boot_seq: 0,
            catching_up: false,
            block_size,
            blocks: BTreeMap::new(),
            block: 0,
            block_dirty: false,
            ranges: HashMap::new(),
            members: HashMap::new(),
            ended: VecDeque::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
        };
        index.load()?;
        Ok(index)
    }

    /// Reads back what is held in memory.
    fn load(&mut self) -> Result<()> {
        self.next = meta(&self.conn, "next")?;
        self.last_seq = meta(&self.conn, "last_seq")?;
        self.last_ns = meta(&self.conn, "last_ns")?;
        self.boot_seq = meta(&self.conn, "boot_seq")?;
        self.blocks = blocks(&self.conn)?;
        self.block = self.blocks.last_key_value().map_or(0, |(first, _)| *first);
        self.block_dirty = false;
        self.last_tick = (meta(&self.conn, "tick_ns")?, meta(&self.conn, "tick_boot_ns")?);
        self.ranges.clear();
        let mut statement =
            self.conn.prepare("SELECT agent, min_seq, max_seq FROM ranges WHERE block = ?1")?;
        let mut rows = statement.query([int(self.block)])?;
        while let Some(row) = rows.next()? {
            let agent: String = row.get(0)?;
            let range = Range { min: uint(row.get(1)?), max: uint(row.get(2)?), dirty: false };
            self.ranges.insert(agent.into(), range);
        }
        self.members.clear();
        self.ended.clear();
        let mut statement = self.conn.prepare(
            "SELECT pid, start_ns, agent, made, by FROM members
             WHERE ended_seq IS NULL AND until_seq IS NULL ORDER BY made",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if self.members.len() >= MEMBERS_MAX {
                break;
            }
            let key = ProcessKey { pid: row.get(0)?, start_ns: uint(row.get(1)?) };
            let (agent, by): (String, String) = (row.get(2)?, row.get(4)?);
            let owner = Owner {
                agent: self.ranges_key(&agent),
                made: uint(row.get(3)?),
                also: is_also(attribution(&by)),
            };
            own(self.members.entry(key).or_default(), owner);
        }
        self.recent.clear();
        self.recent_bytes = 0;
        Ok(())
    }

    fn ranges_key(&self, agent: &str) -> Arc<str> {
        self.ranges.get_key_value(agent).map_or_else(|| agent.into(), |(key, _)| key.clone())
    }

    pub fn begin(&mut self) -> Result<()> {
        if !self.writing {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            self.writing = true;
        }
        Ok(())
    }

    /// Makes everything up to `next` visible to readers.
    pub fn commit(&mut self) -> Result<()> {
        self.begin()?;
        self.write_block()?;
        for (key, value) in [
            ("next", self.next),
            ("last_seq", self.last_seq),
            ("last_ns", self.last_ns),
            ("boot_seq", self.boot_seq),
            ("tick_ns", self.last_tick.0),
            ("tick_boot_ns", self.last_tick.1),
        ] {
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
                .execute(params![key, int(value)])?;
        }
        self.conn.execute_batch("COMMIT")?;
        self.writing = false;
        Ok(())
    }

    /// Forgets what was not committed, and goes back to what was.
    pub fn reset(&mut self) -> Result<()> {
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK")?;
        }
        self.writing = false;
        self.load()
    }

    fn write_block(&mut self) -> Result<()> {
        if self.block_dirty {
            let row = self.blocks.get(&self.block).copied().unwrap_or_default();
            self.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO blocks (first, min_seq, max_seq, min_ns, max_ns, events)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    int(self.block),
                    row.seqs.map(|(min, _)| int(min)),
                    row.seqs.map(|(_, max)| int(max)),
                    row.times.map(|(min, _)| int(min)),
                    row.times.map(|(_, max)| int(max)),
                    int(row.events),
                ])?;
            self.block_dirty = false;
        }
        let block = self.block;
        for (agent, range) in self.ranges.iter_mut().filter(|(_, range)| range.dirty) {
            range.dirty = false;
            write_range(&self.conn, agent, block, (range.min, range.max))?;
        }
        Ok(())
    }

    /// Told before each entry: where it stands.
    pub fn enter(&mut self, at: u64) -> Result<()> {
        self.begin()?;
        let block = at - at % self.block_size;
        if block != self.block || self.blocks.is_empty() {
            self.write_block()?;
            self.ranges.clear();
            self.block = block;
            self.blocks.entry(block).or_default();
            self.block_dirty = true;
        }
        self.next = at + 1;
        Ok(())
    }

    fn saw_time(&mut self, time_ns: Nanos) {
        self.last_ns = time_ns;
        self.block_dirty = true;
        widen(&mut self.blocks.entry(self.block).or_default().times, time_ns);
    }

    /// An event, of which the index keeps only where it is.
    pub fn event(
        &mut self,
        at: u64,
        seq: u64,
        time_ns: Nanos,
        process: ProcessKey,
        exit: bool,
        bytes: &[u8],
    ) -> Result<()> {
        self.last_seq = self.last_seq.max(seq);
        self.saw_time(time_ns);
        let block = self.blocks.entry(self.block).or_default();
        block.events += 1;
        widen(&mut block.seqs, seq);
        if let Some(owners) = self.members.get(&process) {
            for Owner { agent, .. } in owners {
                match self.ranges.get_mut(agent) {
                    Some(range) => {
                        range.min = range.min.min(seq);
                        range.max = range.max.max(seq);
                        range.dirty = true;
                    }
                    None => {
                        self.ranges.insert(agent.clone(), Range { min: seq, max: seq, dirty: true });
                    }
                }
            }
            if exit {
                self.exit(seq, process)?;
            }
        }
        self.recent_bytes += bytes.len();
        self.recent.push_back((seq, at, bytes.into()));
        while self.recent_bytes > RECENT_BYTES {
            let Some((_, _, old)) = self.recent.pop_front() else { break };
            self.recent_bytes -= old.len();
        }
        Ok(())
    }

    fn exit(&mut self, seq: u64, process: ProcessKey) -> Result<()> {
        self.conn
            .prepare_cached(
                "UPDATE members SET ended_seq = ?1 WHERE pid = ?2 AND start_ns = ?3 AND ended_seq IS NULL",
            )?
            .execute(params![int(seq), process.pid, int(process.start_ns)])?;
        self.ended.push_back(process);
        if self.ended.len() > ENDED_MAX
            && let Some(old) = self.ended.pop_front()
        {
            self.members.remove(&old);
        }
        Ok(())
    }

    /// An input that is no event.
    pub fn input(&mut self, at: u64, input: &Input) -> Result<()> {
        if let Some(time_ns) = input.time_ns() {
            self.saw_time(time_ns);
        }
        match input {
            Input::Start(start) => self.start(at, start)?,
            Input::Snapshot(snapshot) => self.snapshot(at, snapshot)?,
            Input::Lost(lost) => {
                self.conn
                    .prepare_cached("INSERT OR REPLACE INTO losses (at, json) VALUES (?1, ?2)")?
                    .execute(params![int(at), serde_json::to_string(lost)?])?;
            }
            Input::Probe { time_ns, state, seen_ns: _ } => self.probe(at, *time_ns, state)?,
            Input::Tick { time_ns, boot_ns, asleep_ns: _ } => self.last_tick = (*time_ns, *boot_ns),
            Input::Account(record) => self.account(at, record)?,
            Input::Review(review) => self.review(at, review)?,
            Input::Stop { time_ns } => {
                self.conn
                    .prepare_cached(
                        "UPDATE starts SET stopped_ns = ?1 WHERE at = (SELECT MAX(at) FROM starts)",
                    )?
                    .execute([int(*time_ns)])?;
            }
            Input::Event(_)
            | Input::Identified { .. }
            | Input::Enrol(_)
            | Input::AccountState { .. }
            | Input::ClockStep { .. }
            | Input::Configured { .. }
            | Input::Imported(_)
            | Input::Recorded { .. }
            | Input::Opinion(_)
            | Input::ArtefactRead(_)
            | Input::Containment(_)
            | Input::Mandate(_)
            | Input::Gate(_)
            | Input::Approval(_)
            | Input::Hooks(_)
            | Input::Remembered(_)
            | Input::Canaries(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, at: u64, start: &Start) -> Result<()> {
        let before: Option<String> = self
            .conn
            .query_row("SELECT boot_id FROM starts ORDER BY at DESC LIMIT 1", [], |row| row.get(0))
            .optional()?;
        if before.is_some_and(|boot_id| boot_id != start.boot_id) {
            // No process of another boot is here any more, whatever its pid.
            self.conn
                .execute("UPDATE members SET until_seq = ?1 WHERE until_seq IS NULL", [int(self.last_seq)])?;
            self.conn.execute("DELETE FROM snapshots", [])?;
            self.members.clear();
            self.ended.clear();
            self.boot_seq = self.last_seq + 1;
        }
        self.end_gaps(start)?;
        self.last_tick = (start.time_ns, start.boot_ns);
        self.conn.execute("DELETE FROM probes", [])?;
        self.conn.execute(
            "INSERT OR REPLACE INTO starts (at, json, boot_id, stopped_ns) VALUES (?1, ?2, ?3, NULL)",
            params![int(at), serde_json::to_string(start)?, start.boot_id],
        )?;
        Ok(())
    }

    fn snapshot(&mut self, at: u64, snapshot: &Snapshot) -> Result<()> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO snapshots (pid, start_ns, at) VALUES (?1, ?2, ?3)")?
            .execute(params![snapshot.process.pid, int(snapshot.process.start_ns), int(at)])?;
        Ok(())
    }

    fn probe(&mut self, at: u64, time_ns: Nanos, state: &ProbeState) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO probes (probe, at, time_ns, error) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![state.probe, int(at), int(time_ns), state.error])?;
        Ok(())
    }

    fn account(&mut self, at: u64, record: &AccountRecord) -> Result<()> {
        let mut times = None;
        for item in &record.items {
            widen(&mut times, entry::item_time(item, record.time_ns));
        }
        let (min, max) = times.unwrap_or((record.time_ns, record.time_ns));
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO accounts (at, agent, path, offset, len, sha256, time_ns, min_ns, max_ns)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                int(at),
                record.agent,
                record.path,
                int(record.offset),
                int(record.len),
                record.sha256,
                int(record.time_ns),
                int(min),
                int(max),
            ])?;
        Ok(())
    }

    pub fn output(&mut self, at: u64, output: &StoredOutput) -> Result<()> {
        match output {
            StoredOutput::Agent(state) => self.agent(at, state),
            StoredOutput::Member(member) => {
                let mut member = member.clone();
                // It cannot have acted before its boot: an equal pid and start time there was another process.
                member.from_seq = member.from_seq.max(self.boot_seq);
                self.member(at, &KeptMember { member, made: at, ended_seq: None, until_seq: None })
            }
            StoredOutput::Join(join) => self.join(at, join),
            StoredOutput::Finding { finding, evidence, cited } => self.finding(at, finding, evidence, cited),
            StoredOutput::Claim(claim) => self.claim(at, claim),
            StoredOutput::Opinion(opinions) => self.opinions(at, opinions),
            StoredOutput::Gap(gap) => self.gap(at, gap),
            StoredOutput::Descent(descent) => self.descent(at, descent),
            StoredOutput::Artefact(artefact) => self.artefact(at, artefact),
        }
    }

    pub fn kept(&mut self, at: u64, kept: &Kept) -> Result<()> {
        match kept {
            Kept::Member(member) => self.member(at, member),
            Kept::Probe { time_ns, state } => self.probe(at, *time_ns, state),
            Kept::Review(review) => self.review(at, review),
            Kept::Start(start) => {
                // A newer one may be there: then this is history.
                let json = serde_json::to_string(start)?;
                let newest: Option<String> = self
                    .conn
                    .query_row("SELECT json FROM starts ORDER BY at DESC LIMIT 1", [], |row| row.get(0))
                    .optional()?;
                if newest.as_ref() == Some(&json) {
                    self.conn.execute(
                        "UPDATE starts SET at = ?1, stopped_ns = NULL WHERE json = ?2",
                        params![int(at), json],
                    )?;
                } else if newest.is_none() {
                    self.conn.execute(
                        "INSERT INTO starts (at, json, boot_id, stopped_ns) VALUES (?1, ?2, ?3, NULL)",
                        params![int(at), json, start.boot_id],
                    )?;
                }
                Ok(())
            }
            Kept::Snapshot(snapshot) => self.snapshot(at, snapshot),
            Kept::Dropped(Pruned { dropped, keep, last_seq, boot_seq }) => {
                self.last_seq = self.last_seq.max(*last_seq);
                self.boot_seq = self.boot_seq.max(*boot_seq);
                self.forget(dropped.through)?;
                self.conn.execute(
                    "INSERT OR REPLACE INTO dropped (one, at, from_ns, to_ns, events, bytes, through, keep)
                     VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        int(at),
                        int(dropped.from_ns),
                        int(dropped.to_ns),
                        int(dropped.events),
                        int(dropped.bytes),
                        int(dropped.through),
                        serde_json::to_string(keep)?
                    ],
                )?;
                Ok(())
            }
        }
    }

    /// What the log says of itself.
    pub fn log(&mut self, at: u64, log: &Log) -> Result<()> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO log (at, json) VALUES (?1, ?2)")?
            .execute(params![int(at), serde_json::to_string(log)?])?;
        Ok(())
    }

    /// Takes out the rows of entries up to this one, which retention drops: some stay in the ledger because findings rest
    /// on them, but no question is answered from these any more.
    pub fn forget(&mut self, through: u64) -> Result<()> {
        self.begin()?;
        for table in [
            "agents",
            "members",
            "joins",
            "claims",
            "opinions",
            "descents",
            "artefacts",
            "accounts",
            "losses",
            "gaps",
            "probes",
            "starts",
            "snapshots",
            "findings",
            "reviews",
        ] {
            self.conn.execute(&format!("DELETE FROM {table} WHERE at <= ?1"), [int(through)])?;
        }
        let gone: Vec<u64> = self
            .blocks
            .keys()
            .copied()
            .filter(|first| first.saturating_add(self.block_size - 1) <= through)
            .collect();
        for first in gone {
            self.blocks.remove(&first);
            self.conn.execute("DELETE FROM blocks WHERE first = ?1", [int(first)])?;
            self.conn.execute("DELETE FROM ranges WHERE block = ?1", [int(first)])?;
        }
        Ok(())
    }

    /// The agent's row, as of this ledger entry.
    fn agent(&mut self, at: u64, state: &AgentState) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO agents (id, at, product, state, started_ns, ended_ns, last_ns, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                state.agent,
                int(at),
                state.product,
                state.state.name(),
                int(state.started_ns),
                state.ended_ns.map(int),
                int(state.last_ns),
                serde_json::to_string(state)?,
            ])?;
        Ok(())
    }

    /// The agent's row alone, which the ledger will get later.
    pub fn agent_meanwhile(&mut self, state: &AgentState) -> Result<()> {
        self.begin()?;
        self.conn
            .prepare_cached("UPDATE agents SET last_ns = ?2, json = ?3 WHERE id = ?1")?
            .execute(params![state.agent, int(state.last_ns), serde_json::to_string(state)?])?;
        Ok(())
    }

    fn member(&mut self, at: u64, kept: &KeptMember) -> Result<()> {
        let KeptMember { member, made, ended_seq, until_seq } = kept;
        let Member { agent, process, from_seq, by } = member;
        self.conn
            .prepare_cached(
                "INSERT INTO members (pid, start_ns, agent, from_seq, by, at, made, ended_seq, until_seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET by = excluded.by, at = excluded.at, made = excluded.made,
                    ended_seq = COALESCE(excluded.ended_seq, ended_seq),
                    until_seq = COALESCE(excluded.until_seq, until_seq)",
            )?
            .execute(params![
                process.pid,
                int(process.start_ns),
                agent,
                int(*from_seq),
                views::attribution_name(*by),
                int(at),
                int(*made),
                ended_seq.map(int),
                until_seq.map(int),
            ])?;
        if ended_seq.is_none()
            && until_seq.is_none()
            && (self.members.len() < MEMBERS_MAX || self.members.contains_key(process))
        {
            let owner = Owner { agent: self.ranges_key(agent), made: *made, also: is_also(*by) };
            own(self.members.entry(*process).or_default(), owner);
        }
        if made < &at && !self.catching_up {
            // Written again: the ranges are there.
            return Ok(());
        }
        // What it did since then was not known to be the agent's when it was recorded.
        self.widen_ranges(agent, *from_seq, ended_seq.or(*until_seq).unwrap_or(u64::MAX))
    }

    fn widen_ranges(&mut self, agent: &str, from: u64, to: u64) -> Result<()> {
        for (first, block) in self.blocks.range(..self.block).rev() {
            let Some((min, max)) = block.seqs else { continue };
            if max < from {
                break;
            }
            if min <= to {
                write_range(&self.conn, agent, *first, (min.max(from), max.min(to)))?;
            }
        }
        if let Some((min, max)) = self.blocks.get(&self.block).and_then(|block| block.seqs)
            && max >= from
            && min <= to
        {
            let (min, max) = (min.max(from), max.min(to));
            let key = self.ranges_key(agent);
            let range = self.ranges.entry(key).or_insert(Range { min, max, dirty: true });
            *range = Range { min: range.min.min(min), max: range.max.max(max), dirty: true };
        }
        Ok(())
    }

    fn join(&mut self, at: u64, join: &Join) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO joins (agent, call_id, pid, start_ns, seq, at, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                join.agent,
                join.call_id,
                join.process.pid,
                int(join.process.start_ns),
                int(join.seq),
                int(at),
                serde_json::to_string(join)?,
            ])?;
        Ok(())
    }

    fn finding(
        &mut self,
        at: u64,
        finding: &Finding,
        copies: &[EvidenceCopy],
        cited: &[Option<u64>],
    ) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO findings (id, at, agent, code, severity, time_ns, leaf, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2, ?7)
                 ON CONFLICT DO UPDATE SET at = excluded.at, agent = excluded.agent, code = excluded.code,
                    severity = excluded.severity, time_ns = excluded.time_ns,
                    leaf = CASE json WHEN excluded.json THEN leaf ELSE excluded.leaf END, json = excluded.json",
            )?
            .execute(params![
                finding.id,
                int(at),
                finding.agent,
                finding.code.name(),
                finding.severity as u8,
                int(finding.time_ns),
                serde_json::to_string(finding)?,
            ])?;
        self.conn.prepare_cached("DELETE FROM evidence WHERE finding = ?1")?.execute([&finding.id])?;
        for (position, copy) in (0..).zip(copies) {
            let leaf = cited.get(position).copied().flatten();
            self.conn
                .prepare_cached(
                    "INSERT INTO evidence (finding, position, copy, leaf) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    finding.id,
                    int(position as u64),
                    serde_json::to_string(copy)?,
                    leaf.map(int)
                ])?;
        }
        Ok(())
    }

    fn claim(&mut self, at: u64, claim: &Claim) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO claims (id, at, agent, verdict, time_ns, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                claim.id,
                int(at),
                claim.agent,
                claim.verdict.name(),
                int(claim.time_ns),
                serde_json::to_string(claim)?,
            ])?;
        Ok(())
    }

    fn opinions(&mut self, at: u64, opinions: &Opinions) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO opinions (agent, skeleton, model, at, time_ns, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                opinions.agent,
                opinions.skeleton,
                opinions.model,
                int(at),
                int(opinions.time_ns),
                serde_json::to_string(opinions)?,
            ])?;
        Ok(())
    }

    /// Copies of what a finding points to.
    pub fn copies(&self, finding: &Finding) -> Result<(Vec<EvidenceCopy>, Vec<Option<u64>>)> {
        let found = finding.evidence.iter().take(EVIDENCE_MAX).map(|evidence| self.copy(evidence));
        Ok(found.collect::<Result<Vec<_>>>()?.into_iter().unzip())
    }

    /// What a pointer points to. What cannot be read is missing: the finding stands all the same.
    fn copy(&self, evidence: &Evidence) -> Result<(EvidenceCopy, Option<u64>)> {
        const MISSING: (EvidenceCopy, Option<u64>) = (EvidenceCopy::Missing, None);
        Ok(match evidence {
            Evidence::Event { seq } => self.copy_event(*seq),
            Evidence::Account { path, offset, sha256 } => {
                let at: Option<i64> = self
                    .conn
                    .prepare_cached(
                        "SELECT at FROM accounts WHERE path = ?1 AND offset = ?2 AND sha256 = ?3
                         ORDER BY at DESC LIMIT 1",
                    )?
                    .query_row(params![path, int(*offset), sha256], |row| row.get(0))
                    .optional()?;
                match at.and_then(|at| self.entry(uint(at))) {
                    Some(Entry::Input(input)) => match *input {
                        Input::Account(record) => (EvidenceCopy::Account(Box::new(record)), at.map(uint)),
                        _ => MISSING,
                    },
                    Some(Entry::Output(_) | Entry::Kept(_) | Entry::Log(_)) | None => MISSING,
                }
            }
            Evidence::Process { pid, start_ns } => {
                match self.snapshot_of(ProcessKey { pid: *pid, start_ns: *start_ns })? {
                    Some((at, snapshot)) => (EvidenceCopy::Process(Box::new(snapshot)), Some(at)),
                    None => MISSING,
                }
            }
        })
    }

    /// Where it stands, and what it says.
    pub fn snapshot_of(&self, process: ProcessKey) -> Result<Option<(u64, Snapshot)>> {
        let at: Option<i64> = self
            .conn
            .prepare_cached("SELECT at FROM snapshots WHERE pid = ?1 AND start_ns = ?2")?
            .query_row(params![process.pid, int(process.start_ns)], |row| row.get(0))
            .optional()?;
        let Some(at) = at.map(uint) else { return Ok(None) };
        let found = match self.entry(at) {
            Some(Entry::Input(input)) => match *input {
                Input::Snapshot(snapshot) => Some(snapshot),
                _ => None,
            },
            Some(Entry::Kept(kept)) => match *kept {
                Kept::Snapshot(snapshot) => Some(snapshot),
                _ => None,
            },
            Some(Entry::Output(_) | Entry::Log(_)) | None => None,
        };
        Ok(found.map(|snapshot| (at, snapshot)))
    }

    /// The entry that stands there, if it can be read and understood.
    fn entry(&self, at: u64) -> Option<Entry> {
        let bytes = leaf::read(&self.reader, at).ok()?;
        match entry::decode(&bytes) {
            Ok(Decoded::Known(entry)) => Some(entry),
            Ok(Decoded::Unknown { .. }) | Err(_) => None,
        }
    }

    fn copy_event(&self, seq: u64) -> (EvidenceCopy, Option<u64>) {
        let decode = |at: u64, bytes: &[u8]| match entry::decode_event(bytes) {
            Ok(Decoded::Known(event)) => (EvidenceCopy::Event(Box::new(event)), Some(at)),
            Ok(Decoded::Unknown { .. }) | Err(_) => (EvidenceCopy::Missing, None),
        };
        if let Some((_, at, bytes)) = self.recent.iter().rev().find(|(recent, ..)| *recent == seq) {
            return decode(*at, bytes);
        }
        let mut end = self.next;
        for (first, block) in self.blocks.iter().rev() {
            if block.seqs.is_some_and(|(min, max)| min <= seq && seq <= max) {
                let mut found = None;
                let visited = leaf::visit(&self.reader, *first, end, &mut |entry| {
                    found = entry
                        .ok()
                        .filter(|(_, bytes)| event_head(bytes).is_some_and(|head| head.seq == seq))
                        .map(|(at, bytes)| decode(at, bytes));
                    Ok(found.is_none())
                });
                if let (Ok(_), Some(found)) = (visited, found) {
                    return found;
                }
            }
            end = *first;
        }
        (EvidenceCopy::Missing, None)
    }

    /// Projects everything that the ledger has and the index has not. Gives what could not be read.
    pub fn catch_up(&mut self, reader: &Reader, end: u64) -> Result<Vec<String>> {
        self.catch_up_telling(reader, end, &mut |_, _| {})
    }

    /// As `catch_up`. `progress` is told from time to time how many leaves are done, and of how many.
    pub fn catch_up_telling(
        &mut self,
        reader: &Reader,
        end: u64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<String>> {
        self.catching_up = true;
        let caught_up = self.project_from(reader, end, progress);
        self.catching_up = false;
        caught_up
    }

    fn project_from(
        &mut self,
        reader: &Reader,
        end: u64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<String>> {
        let mut warnings = Warnings::default();
        let mut since = 0;
        let orphans = leaf::visit(reader, self.next, end, &mut |entry| {
            let (at, bytes) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    warnings.push(format!("{error}; what it held is missing from the index"));
                    return Ok(true);
                }
            };
            self.enter(at)?;
            if let Some(head) = event_head(bytes) {
                let exit = head.kind == "exit";
                self.event(at, head.seq, head.time_ns, head.process, exit, bytes)?;
            } else {
                match entry::decode(bytes) {
                    Ok(Decoded::Known(Entry::Input(input))) => self.input(at, &input)?,
                    Ok(Decoded::Known(Entry::Output(output))) => self.output(at, &output)?,
                    Ok(Decoded::Known(Entry::Kept(kept))) => self.kept(at, &kept)?,
                    Ok(Decoded::Known(Entry::Log(log))) => self.log(at, &log)?,
                    Ok(Decoded::Unknown { what }) => warnings.unknown(at, what),
                    Err(error) => {
                        warnings.push(format!("entry {at} of the ledger cannot be decoded: {error}"))
                    }
                }
            }
            since += 1;
            if since >= BATCH {
                since = 0;
                self.commit()?;
                progress(at, end);
            }
            Ok(true)
        })?;
        if orphans > 0 {
            warnings.push(format!(
                "{orphans} parts of entries in the ledger were passed by: their writer ended before they were whole"
            ));
        }
        self.next = self.next.max(end);
        self.commit()?;
        Ok(warnings.take())
    }

    pub fn block_of(&self, first: u64) -> Block {
        self.blocks.get(&first).copied().unwrap_or_default()
    }

    /// First sequence number of this boot.
    pub fn boot_seq(&self) -> u64 {
        self.boot_seq
    }

    pub fn has_uncommitted(&self) -> bool {
        self.writing
    }
}

fn write_range(conn: &Connection, agent: &str, block: u64, (min, max): (u64, u64)) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO ranges (agent, block, min_seq, max_seq) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET min_seq = MIN(min_seq, excluded.min_seq), max_seq = MAX(max_seq, excluded.max_seq)",
    )?
    .execute(params![agent, int(block), int(min), int(max)])?;
    Ok(())
}

pub(crate) fn meta(conn: &Connection, key: &str) -> Result<u64> {
    let value: Option<i64> =
        conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?;
    Ok(value.map_or(0, uint))
}

pub(crate) fn blocks(conn: &Connection) -> Result<BTreeMap<u64, Block>> {
    let mut statement = conn.prepare("SELECT first, min_seq, max_seq, min_ns, max_ns, events FROM blocks")?;
    let rows = statement.query_map([], |row| {
        let pair = |a: usize, b: usize| -> rusqlite::Result<Option<(u64, u64)>> {
            let (min, max): (Option<i64>, Option<i64>) = (row.get(a)?, row.get(b)?);
            Ok(min.zip(max).map(|(min, max)| (uint(min), uint(max))))
        };
        let block = Block { seqs: pair(1, 2)?, times: pair(3, 4)?, events: uint(row.get(5)?) };
        Ok((uint(row.get(0)?), block))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn dropped(conn: &Connection) -> Result<Option<Dropped>> {
    Ok(conn
        .query_row("SELECT from_ns, to_ns, events, bytes, through FROM dropped", [], |row| {
            Ok(Dropped {
                from_ns: uint(row.get(0)?),
                to_ns: uint(row.get(1)?),
                events: uint(row.get(2)?),
                bytes: uint(row.get(3)?),
                through: uint(row.get(4)?),
            })
        })
        .optional()?)
}

/// Leaves up to the last dropped one that were kept: first and last of each run.
pub(crate) fn kept_leaves(conn: &Connection) -> Result<Vec<(u64, u64)>> {
    let keep: Option<String> = conn.query_row("SELECT keep FROM dropped", [], |row| row.get(0)).optional()?;
    Ok(keep.map(|keep| serde_json::from_str(&keep)).transpose()?.unwrap_or_default())
}

/// Rows in which another index says something else, in words; the first few of each table. Tables that only help to find
/// things may be wider in one of them.
pub(crate) fn differences(conn: &Connection, other: &Path) -> Result<Vec<String>> {
    const SHOWN: usize = 5;
    conn.execute("ATTACH DATABASE ?1 AS other", [other.to_string_lossy()])?;
    let mut found = Vec::new();
    for (table, columns) in [
        ("agents", "id, at, product, state, started_ns, ended_ns"),
        ("members", "pid, start_ns, agent, from_seq, by, at, made, ended_seq, until_seq"),
        ("joins", "agent, call_id, pid, start_ns, seq, at, json"),
        ("findings", "id, at, agent, code, severity, time_ns, leaf, json"),
        ("evidence", "finding, position, copy, leaf"),
        ("reviews", "finding, at, time_ns, judgement, json"),
        ("claims", "id, at, agent, verdict, time_ns, json"),
        ("opinions", "agent, skeleton, model, at, time_ns, json"),
        ("descents", "agent, pid, start_ns, via, at, time_ns, json"),
        ("artefacts", "id, at, agent, gone, time_ns, json"),
        ("accounts", "at, agent, path, offset, len, sha256, time_ns, min_ns, max_ns"),
        ("losses", "at, json"),
        ("probes", "probe, at, time_ns, error"),
        ("starts", "at, json, boot_id, stopped_ns"),
        ("snapshots", "pid, start_ns, at"),
        ("dropped", "at, from_ns, to_ns, events, bytes, through, keep"),
        ("log", "at, json"),
    ] {
        let first = columns.split(',').next().unwrap_or("*");
        for (here, there, word) in
            [("main", "other", "is missing"), ("other", "main", "is not in the ledger")]
        {
            let sql = format!(
                "SELECT CAST({first} AS TEXT) FROM (SELECT {columns} FROM {here}.{table}
                 EXCEPT SELECT {columns} FROM {there}.{table})"
            );
            let mut statement = conn.prepare(&sql)?;
            let rows: Vec<String> =
                statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            found.extend(rows.iter().take(SHOWN).map(|row| format!("{table} {row}: {word}")));
            if rows.len() > SHOWN {
                found.push(format!("{table}: {} more rows of which each {word}", rows.len() - SHOWN));
            }
        }
    }
    conn.execute_batch("DETACH DATABASE other")?;
    Ok(found)
}

/// The leaf of each piece of evidence.
pub(crate) fn cited(conn: &Connection, finding: &str) -> Result<Vec<Option<u64>>> {
    let mut statement =
        conn.prepare_cached("SELECT leaf FROM evidence WHERE finding = ?1 ORDER BY position")?;
    let rows = statement.query_map([finding], |row| Ok(row.get::<_, Option<i64>>(0)?.map(uint)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn evidence(conn: &Connection, finding: &str) -> Result<Vec<EvidenceCopy>> {
    let mut statement =
        conn.prepare_cached("SELECT copy FROM evidence WHERE finding = ?1 ORDER BY position")?;
    let rows = statement.query_map([finding], |row| {
        let copy = row.get_ref(0)?.as_bytes()?;
        Ok(serde_json::from_slice(copy).unwrap_or(EvidenceCopy::Missing))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[derive(Default)]
pub(crate) struct Warnings {
    list: Vec<String>,
    more: u64,
    /// Entries that another version wrote; the first is told.
    unknown: u64,
    unknown_first: String,
}

impl Warnings {
    pub fn push(&mut self, warning: String) {
        if self.list.len() < WARNINGS_MAX { self.list.push(warning) } else { self.more += 1 }
    }

    pub fn unknown(&mut self, at: u64, what: String) {
        if self.unknown == 0 {
            self.unknown_first = format!("entry {at}, {what}");
        }
        self.unknown += 1;
    }

    pub fn take(mut self) -> Vec<String> {
        if self.unknown > 0 {
            self.list.push(format!(
                "entries of the ledger that this version does not understand: {} (the first: {})",
                self.unknown, self.unknown_first
            ));
        }
        if self.more > 0 {
            self.list.push(format!("and {} more places of the ledger that cannot be read", self.more));
        }
        self.list
    }
}
