//! What the daemon writes: the ledger first, then the index.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use muster_engine::{AgentId, AgentState, Before, Finding, Input, Join, Member, Output, Start};
use muster_event::{Kind, Nanos, ProbeState, ProcessKey};
use muster_ledger::{Ledger, Options, Reader};
use rusqlite::{OptionalExtension, params};

use crate::StoreError;
use crate::entry::{self, Dropped, EntryRef, Kept, KeptMember, StoredOutput};
use crate::error::Result;
use crate::index::{self, Index, int, uint};
use crate::leaf;

pub(crate) const LEDGER: &str = "ledger";

/// Small enough that one is read in a few hundredths of a second, large enough that a record has hundreds, not millions.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// A row of the roll of which only the counters changed enters the ledger this often (the index has it at once):
/// otherwise a busy agent's row would be most of the ledger.
const COUNTERS_NS: Nanos = 10_000_000_000;

/// Gaps that outlive the segment that told of them, the newest: with one in ten minutes, a month.
const GAPS_KEPT: i64 = 4096;

/// What is kept of the record. Findings, what they rest on, and their agents are kept whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Size of the ledger, in bytes; 0: without limit.
    pub bytes_max: u64,
    /// Age of the newest entry of a segment; 0: without limit.
    pub age_max_ns: Nanos,
}

impl Retention {
    pub const UNLIMITED: Retention = Retention { bytes_max: 0, age_max_ns: 0 };
}

/// The daemon's hold on its record. One at a time per folder.
pub struct Store {
    ledger: Ledger,
    index: Index,
    index_path: PathBuf,
    retention: Retention,
    buffer: Vec<u8>,
    /// Rows of the roll as last written to the ledger, of agents that have not ended.
    written: BTreeMap<AgentId, Written>,
    /// A row failed to enter the index: it is read again from the ledger at the next commit.
    behind: bool,
}

struct Written {
    state: AgentState,
    time_ns: Nanos,
    /// Newer counters, which the ledger has not got yet.
    pending: Option<AgentState>,
}

impl Store {
    /// Opens the record in this folder, or begins one. What was repaired is told as warnings.
    pub fn open(data_dir: &Path, retention: Retention) -> Result<(Store, Vec<String>)> {
        Store::open_with(data_dir, retention, SEGMENT_BYTES)
    }

    /// As `open`, with another size of segments: for tests of what happens between them.
    pub fn open_with(
        data_dir: &Path,
        retention: Retention,
        segment_bytes: u64,
    ) -> Result<(Store, Vec<String>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(|source| StoreError::Io {
            path: data_dir.to_owned(),
            action: "make the folder",
            source,
        })?;
        let folder = data_dir.join(LEDGER);
        let (ledger, recovery) = Ledger::open(&folder, Options { segment_bytes })?;
        let mut warnings = Vec::new();
        if let Some(cut) = recovery.cut {
            warnings.push(format!(
                "the last entry of `{}` was not written whole: {} bytes were cut off at byte {}",
                cut.file.display(),
                cut.bytes,
                cut.offset
            ));
        }
        let index_path = data_dir.join(index::FILE);
        let index = open_index(&index_path, &folder, &ledger, &mut warnings)?;
        let mut store = Store {
            ledger,
            index,
            index_path,
            retention,
            buffer: Vec::new(),
            written: BTreeMap::new(),
            behind: false,
        };
        store.catch_up(&mut warnings)?;
        Ok((store, warnings))
    }

    fn catch_up(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        if self.index.next < self.ledger.next_index() {
            let reader = Reader::open(self.ledger.dir())?;
            let found = self.index.catch_up(&reader, &self.ledger.segments(), self.ledger.next_index())?;
            warnings.extend(found);
        }
        Ok(())
    }

    /// The greatest sequence number in the record, 0 where it has none: the next event is the one after it.
    pub fn last_seq(&self) -> u64 {
        self.index.last_seq
    }

    /// The last sign of life of the daemon that wrote here before; `None`: there was none.
    pub fn before(&self) -> Result<Option<Before>> {
        let row: Option<(String, Option<i64>)> = self
            .index
            .conn
            .query_row("SELECT boot_id, stopped_ns FROM starts ORDER BY at DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let (tick_ns, tick_boot_ns) = self.index.last_tick;
        Ok(row.map(|(boot_id, stopped)| {
            let stopped = stopped.map(uint);
            // It stops within a tick of the last one.
            let time_ns = stopped.unwrap_or(if tick_ns == 0 { self.index.last_ns } else { tick_ns });
            let boot_ns = if tick_boot_ns == 0 {
                0
            } else {
                tick_boot_ns.saturating_add(time_ns.saturating_sub(tick_ns))
            };
            Before { time_ns, boot_ns, boot_id, stopped: stopped.is_some() }
        }))
    }

    /// Bytes of the ledger.
    pub fn bytes(&self) -> u64 {
        self.ledger.bytes()
    }

    pub fn index_path(&self) -> &Path {
        &self.index_path
    }

    /// Takes an input: into the ledger, then into the index. After an error of the ledger it was not taken; after one
    /// of the index it was, and the next `commit` puts the index right.
    pub fn append(&mut self, input: &Input) -> Result<()> {
        let at = self.write(&EntryRef::Input(input))?;
        self.project(at, |index, bytes| match input {
            Input::Event(event) => {
                let exit = matches!(event.kind, Kind::Exit { .. });
                index.event(event.seq, event.time_ns, event.process, exit, bytes)
            }
            other => index.input(at, other),
        })?;
        match input {
            Input::Tick { time_ns, .. } => self.write_pending(*time_ns, false),
            Input::Stop { time_ns } => self.write_pending(*time_ns, true),
            _ => Ok(()),
        }
    }

    /// Takes what the engine reported. Orders to the daemon are passed by.
    pub fn apply(&mut self, output: &Output) -> Result<()> {
        match output {
            Output::Agent(state) => self.apply_agent(state),
            Output::Member(member) => self.put(&StoredOutput::Member(Member::clone(member))),
            Output::Join(join) => self.put(&StoredOutput::Join(Join::clone(join))),
            Output::Claim(claim) => self.put(&StoredOutput::Claim(claim.clone())),
            Output::Opinion(opinions) => self.put(&StoredOutput::Opinion(opinions.clone())),
            Output::Gap(gap) => self.put(&StoredOutput::Gap(gap.clone())),
            Output::Finding(finding) => {
                // What it points to may still be held back. Where that fails, the finding goes on without the copy.
                let _ = self.ledger.commit(false);
                let evidence = self.index.copies(finding)?;
                self.put(&StoredOutput::Finding { finding: finding.clone(), evidence })
            }
            Output::Identify { .. }
            | Output::Follow { .. }
            | Output::Harness { .. }
            | Output::FollowAccount { .. }
            | Output::Forget { .. }
            | Output::ReadConfiguration { .. } => Ok(()),
        }
    }

    fn apply_agent(&mut self, state: &AgentState) -> Result<()> {
        let now = self.index.last_ns;
        if let Some(written) = self.written.get_mut(&state.agent)
            && only_counters_differ(&written.state, state)
            && now.saturating_sub(written.time_ns) < COUNTERS_NS
        {
            written.pending = Some(state.clone());
            let done = self.index.agent_meanwhile(state);
            return self.noticed(done);
        }
        self.write_agent(state.clone(), now)
    }

    fn write_agent(&mut self, state: AgentState, time_ns: Nanos) -> Result<()> {
        self.put(&StoredOutput::Agent(Box::new(state.clone())))?;
        if state.ended_ns.is_some() {
            self.written.remove(&state.agent);
        } else {
            self.written.insert(state.agent.clone(), Written { state, time_ns, pending: None });
        }
        Ok(())
    }

    /// Writes rows whose counters waited long enough.
    fn write_pending(&mut self, now: Nanos, all: bool) -> Result<()> {
        let due: Vec<AgentState> = self
            .written
            .values()
            .filter(|written| all || now.saturating_sub(written.time_ns) >= COUNTERS_NS)
            .filter_map(|written| written.pending.clone())
            .collect();
        due.into_iter().try_for_each(|state| self.write_agent(state, now))
    }

    fn put(&mut self, output: &StoredOutput) -> Result<()> {
        let at = self.write(&EntryRef::Output(output))?;
        self.project(at, |index, _| index.output(at, output))
    }

    fn keep(&mut self, kept: &Kept) -> Result<()> {
        let at = self.write(&EntryRef::Kept(kept))?;
        self.project(at, |index, _| index.kept(at, kept))
    }

    fn write(&mut self, entry: &EntryRef<'_>) -> Result<u64> {
        entry::encode(entry, &mut self.buffer)?;
        leaf::split(&self.buffer, |leaf| Ok(self.ledger.append(leaf)?))
    }

    fn project(&mut self, at: u64, act: impl FnOnce(&mut Index, &[u8]) -> Result<()>) -> Result<()> {
        if self.behind {
            return Ok(());
        }
        let segment = self.ledger.active_first();
        let done = self.index.enter(at, segment).and_then(|()| act(&mut self.index, &self.buffer));
        self.noticed(done)
    }

    fn noticed(&mut self, done: Result<()>) -> Result<()> {
        self.behind |= done.is_err();
        done
    }

    /// Makes everything visible to readers; `durable`: and waits until the ledger is on the disk.
    pub fn commit(&mut self, durable: bool) -> Result<()> {
        self.ledger.commit(durable)?;
        if self.behind {
            self.index.reset()?;
            self.catch_up(&mut Vec::new())?;
            self.behind = false;
        }
        if self.index.has_uncommitted()
            && let Err(error) = self.index.commit()
        {
            self.behind = true;
            return Err(error);
        }
        Ok(())
    }

    /// Removes the oldest segments over the limit. Tells what was removed by this call.
    pub fn enforce(&mut self, now_ns: Nanos) -> Result<Option<Dropped>> {
        self.commit(false)?;
        let segments = self.ledger.segments();
        let Retention { bytes_max, age_max_ns } = self.retention;
        let mut over = if bytes_max == 0 { 0 } else { self.ledger.bytes().saturating_sub(bytes_max) };
        let oldest = if age_max_ns == 0 { 0 } else { now_ns.saturating_sub(age_max_ns) };
        let mut removed = Vec::new();
        let mut too_old = false;
        let Some((active, closed)) = segments.split_last() else { return Ok(None) };
        for segment in closed {
            let old = self.index.segment_of(segment.first).times.is_some_and(|(_, last)| last < oldest);
            if over == 0 && !old {
                break;
            }
            too_old |= old;
            over = over.saturating_sub(segment.bytes);
            removed.push(segment.clone());
        }
        let Some(last) = removed.last() else { return Ok(None) };
        let next = segments.get(removed.len()).unwrap_or(active).first;
        let through = next.saturating_sub(1).max(last.first);

        let firsts: Vec<u64> = removed.iter().map(|segment| segment.first).collect();
        let mut gone = Dropped { from_ns: 0, to_ns: 0, events: 0, bytes: 0, through };
        let before = index::dropped(&self.index.conn)?;
        let mut all = before.unwrap_or(gone);
        for segment in &removed {
            let held = self.index.segment_of(segment.first);
            gone.add(held.times, held.events, segment.bytes);
            // It may have been counted already, by a daemon that died before it removed the file.
            if before.is_none_or(|before| segment.first > before.through) {
                all.add(held.times, held.events, segment.bytes);
            }
        }
        all.through = through;

        let min_seq = segments
            .iter()
            .skip(removed.len())
            .filter_map(|segment| self.index.segment_of(segment.first).seqs)
            .map(|(min, _)| min)
            .min()
            .unwrap_or(u64::MAX);
        let keep = self.gather(through, min_seq)?;
        let freed: u64 = removed.iter().map(|segment| segment.bytes).sum();
        if !too_old && keep.bytes.saturating_mul(2) > freed {
            // Most of it is findings and what they rest on: to write it again would gain nothing.
            return Ok(None);
        }
        let done = self.rewrite(keep, through, &all).and_then(|()| self.index.forget_segments(&firsts));
        // Half of it must not stand: the next commit goes back to what was.
        self.noticed(done)?;
        self.commit(true)?;
        for first in firsts {
            self.ledger.remove_segment(first)?;
        }
        Ok(Some(gone))
    }

    /// What stands in entries up to this one and must outlive them.
    fn gather(&mut self, through: u64, min_seq: u64) -> Result<Keep> {
        let conn = &self.index.conn;
        let cut = int(through);
        let mut keep = Keep::default();

        let mut findings = conn.prepare("SELECT id, json FROM findings WHERE at <= ?1 ORDER BY at, id")?;
        let mut rows = findings.query([cut])?;
        while let Some(row) = rows.next()? {
            let (id, json): (String, String) = (row.get(0)?, row.get(1)?);
            let finding: Finding = serde_json::from_str(&json)?;
            let evidence = index::evidence(conn, &id)?;
            keep.outputs.push(StoredOutput::Finding { finding: Box::new(finding), evidence });
        }
        // Agents that still have something: findings, life, or events that stay.
        let mut agents = conn.prepare(
            "SELECT json FROM agents WHERE at <= ?1 AND (
                ended_ns IS NULL
                OR EXISTS (SELECT 1 FROM findings WHERE agent = agents.id)
                OR EXISTS (SELECT 1 FROM ranges WHERE agent = agents.id AND max_seq >= ?2)
             ) ORDER BY at, id",
        )?;
        let mut rows = agents.query(params![cut, int(min_seq)])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            keep.outputs.push(StoredOutput::Agent(Box::new(serde_json::from_str(&json)?)));
        }
        // What these claimed stays with them.
        let mut claims = conn.prepare(
            "SELECT json FROM claims WHERE at <= ?1
                AND EXISTS (SELECT 1 FROM agents WHERE id = claims.agent AND (at > ?1
                    OR ended_ns IS NULL
                    OR EXISTS (SELECT 1 FROM findings WHERE agent = claims.agent)
                    OR EXISTS (SELECT 1 FROM ranges WHERE agent = claims.agent AND max_seq >= ?2)))
             ORDER BY at, id",
        )?;
        let mut rows = claims.query(params![cut, int(min_seq)])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            keep.outputs.push(StoredOutput::Claim(serde_json::from_str(&json)?));
        }
        let mut opinions = conn.prepare(
            "SELECT json FROM opinions WHERE at <= ?1
                AND EXISTS (SELECT 1 FROM agents WHERE id = opinions.agent AND (at > ?1
                    OR ended_ns IS NULL
                    OR EXISTS (SELECT 1 FROM findings WHERE agent = opinions.agent)
                    OR EXISTS (SELECT 1 FROM ranges WHERE agent = opinions.agent AND max_seq >= ?2)))
             ORDER BY at, skeleton, model",
        )?;
        let mut rows = opinions.query(params![cut, int(min_seq)])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            keep.outputs.push(StoredOutput::Opinion(serde_json::from_str(&json)?));
        }
        // What could not be seen stays known, of whatever time.
        let mut gaps =
            conn.prepare("SELECT json FROM gaps WHERE at <= ?1 ORDER BY from_ns DESC, id LIMIT ?2")?;
        let mut rows = gaps.query(params![cut, GAPS_KEPT])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            keep.outputs.push(StoredOutput::Gap(serde_json::from_str(&json)?));
        }
        // Processes that may still act, or whose acts stay.
        let mut members = conn.prepare(
            "SELECT pid, start_ns, agent, from_seq, by, made, ended_seq, until_seq FROM members
             WHERE at <= ?1 AND COALESCE(ended_seq, until_seq, ?2) >= ?2
                AND EXISTS (SELECT 1 FROM agents WHERE id = members.agent AND (at > ?1
                    OR ended_ns IS NULL
                    OR EXISTS (SELECT 1 FROM findings WHERE agent = members.agent)
                    OR EXISTS (SELECT 1 FROM ranges WHERE agent = members.agent AND max_seq >= ?2)))
             ORDER BY made, pid, start_ns",
        )?;
        let mut rows = members.query(params![cut, int(min_seq)])?;
        let mut live = Vec::new();
        while let Some(row) = rows.next()? {
            let process = ProcessKey { pid: row.get(0)?, start_ns: uint(row.get(1)?) };
            let by: String = row.get(4)?;
            let member = Member {
                agent: row.get(2)?,
                process,
                from_seq: uint(row.get(3)?),
                by: index::attribution(&by),
            };
            let ended: Option<i64> = row.get(6)?;
            let until: Option<i64> = row.get(7)?;
            if ended.is_none() && until.is_none() {
                live.push(process);
            }
            keep.kept.push(Kept::Member(KeptMember {
                member,
                made: uint(row.get(5)?),
                ended_seq: ended.map(uint),
                until_seq: until.map(uint),
            }));
        }
        for process in live {
            if let Some(snapshot) = self.index.snapshot_of(process)? {
                keep.kept.push(Kept::Snapshot(snapshot));
            }
        }
        let mut probes =
            conn.prepare("SELECT probe, time_ns, error FROM probes WHERE at <= ?1 ORDER BY probe")?;
        let mut rows = probes.query([cut])?;
        while let Some(row) = rows.next()? {
            let state = ProbeState { probe: row.get(0)?, error: row.get(2)? };
            keep.kept.push(Kept::Probe { time_ns: uint(row.get(1)?), state });
        }
        let mut starts = conn.prepare("SELECT at, json FROM starts ORDER BY at DESC LIMIT 1")?;
        let mut rows = starts.query([])?;
        if let Some(row) = rows.next()? {
            let (at, json): (i64, String) = (row.get(0)?, row.get(1)?);
            if at <= cut {
                let start: Start = serde_json::from_str(&json)?;
                keep.kept.push(Kept::Start(start));
            }
        }
        let mut buffer = Vec::new();
        let outputs = keep.outputs.iter().map(EntryRef::Output);
        for entry in outputs.chain(keep.kept.iter().map(EntryRef::Kept)) {
            entry::encode(&entry, &mut buffer)?;
            keep.bytes += buffer.len() as u64;
        }
        Ok(keep)
    }

    /// Writes again what must stay, and takes the rest out of the index.
    fn rewrite(&mut self, keep: Keep, through: u64, dropped: &Dropped) -> Result<()> {
        self.index.begin()?;
        for table in [
            "agents",
            "members",
            "joins",
            "claims",
            "opinions",
            "accounts",
            "losses",
            "gaps",
            "probes",
            "starts",
            "snapshots",
        ] {
            self.index.conn.execute(&format!("DELETE FROM {table} WHERE at <= ?1"), [int(through)])?;
        }
        keep.outputs.iter().try_for_each(|output| self.put(output))?;
        keep.kept.iter().try_for_each(|kept| self.keep(kept))?;
        self.keep(&Kept::Dropped(*dropped))
    }
}

#[derive(Default)]
struct Keep {
    outputs: Vec<StoredOutput>,
    kept: Vec<Kept>,
    /// What writing it takes.
    bytes: u64,
}

impl Dropped {
    fn add(&mut self, times: Option<(Nanos, Nanos)>, events: u64, bytes: u64) {
        if let Some((from, to)) = times {
            self.from_ns = if self.from_ns == 0 { from } else { self.from_ns.min(from) };
            self.to_ns = self.to_ns.max(to);
        }
        self.events = self.events.saturating_add(events);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Best effort, for an orderly end: whoever needs to know commits.
        let now = self.index.last_ns;
        let _ = self.write_pending(now, true);
        let _ = self.commit(false);
    }
}

/// The index that is there, or an empty one where it cannot be used.
fn open_index(path: &Path, folder: &Path, ledger: &Ledger, warnings: &mut Vec<String>) -> Result<Index> {
    let why = match usable_index(path, folder) {
        Ok(Some(index)) if index.next <= ledger.next_index() => return Ok(index),
        Ok(Some(_)) => "it knows more than the ledger has".to_owned(),
        Ok(None) => "it was missing or of another version".to_owned(),
        Err(StoreError::Index(error)) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DiskFull) => {
            error.to_string()
        }
        Err(error) => return Err(error),
    };
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io { path: file, action: "remove", source });
            }
            _ => {}
        }
    }
    if ledger.next_index() > 0 {
        warnings.push(format!("the index `{}` is made anew from the ledger: {why}", path.display()));
    }
    Index::new(index::open_file(path)?, Reader::open(folder)?)
}

/// `None`: there is none of this schema.
fn usable_index(path: &Path, folder: &Path) -> Result<Option<Index>> {
    if !path.exists() {
        return Ok(None);
    }
    let conn = index::open_file(path)?;
    if index::version(&conn)? != index::SCHEMA_VERSION {
        return Ok(None);
    }
    Ok(Some(Index::new(conn, Reader::open(folder)?)?))
}

/// Whether two rows tell the same but for what counts on all the time.
fn only_counters_differ(a: &AgentState, b: &AgentState) -> bool {
    let mut a = a.clone();
    a.last_ns = b.last_ns;
    a.processes = b.processes;
    a.events = b.events;
    a.calls = b.calls;
    a.calls_joined = b.calls_joined;
    a.doing.clone_from(&b.doing);
    a == *b
}
