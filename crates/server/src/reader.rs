//! What everybody reads: the API, the page, the commands; with the daemon, beside it or without it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use muster_account::Item;
use muster_engine::{
    AccountRecord, AgentId, AgentState, Artefact, Claim, Code, Descent, Finding, Gap, Input, Join, Member,
    Opinions, Severity, Start, Verdict,
};
use muster_event::{Attribution, Event, Lost, Nanos, ProbeState, ProcessKey};
use muster_ledger::note::Note;
use muster_ledger::{Checkpoint, Reader};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::StoreError;
use crate::entry::{self, Decoded, Dropped, Entry, EvidenceCopy, Log};
use crate::error::Result;
use crate::head::event_head;
use crate::index::{self, Index, Warnings, int, uint};
use crate::leaf;
use crate::store::LEDGER;
use crate::views::{EventView, FindingCounts, RollView};

/// Most events that `EventFilter::last` gives: they are held in memory until the first is known.
pub const LAST_MAX: usize = 100_000;
/// Processes whose agent is remembered during one scan.
const KEYS_MAX: usize = 65_536;
/// Losses that `health` tells of one by one.
const LOSSES_MAX: i64 = 1000;

pub struct StoreReader {
    pub(crate) conn: Connection,
    ledger: Reader,
    warnings: Vec<String>,
}

/// Processes of a lineage that are read at once: as many as the kernel follows.
const PROCESSES_MAX: i64 = 65_536;
/// Descents and artefacts of one agent: more than the engine tells of.
const DESCENTS_MAX: i64 = 10_000;

/// All that belongs to an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineage {
    pub state: AgentState,
    /// Agents that were started from within it.
    pub agents: Vec<AgentId>,
    /// Processes that were not seen to end, the oldest first.
    pub processes: Vec<Member>,
    /// … and how many were.
    pub ended: u64,
    pub descents: Vec<Descent>,
    pub artefacts: Vec<Artefact>,
}

/// Which findings; the newest come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingFilter {
    pub agent: Option<AgentId>,
    pub severity_min: Option<Severity>,
    pub code: Option<Code>,
    pub since_ns: Option<Nanos>,
    pub limit: Option<usize>,
}

/// Which events; all bounds are included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events attributed to this agent.
    pub agent: Option<AgentId>,
    pub since_seq: Option<u64>,
    pub until_seq: Option<u64>,
    pub since_ns: Option<Nanos>,
    pub until_ns: Option<Nanos>,
    /// Names of kinds (`views::EVENT_KINDS`); empty: all.
    pub kinds: Vec<String>,
    pub pid: Option<u32>,
    pub limit: Option<usize>,
    /// The last `limit` events (at most `LAST_MAX`), still in order, not the first ones.
    pub last: bool,
}

/// Which items of an account; all bounds are included, and are of the time that the account itself claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub since_ns: Option<Nanos>,
    pub until_ns: Option<Nanos>,
}

/// An event, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributedEvent {
    /// Index of its leaf in the ledger.
    pub leaf: u64,
    pub event: Event,
    pub agent: Option<(AgentId, Attribution)>,
}

/// One thing that an account said, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountItem {
    pub path: String,
    pub offset: u64,
    pub len: u64,
    pub sha256: [u8; 32],
    /// When it was read.
    pub read_ns: Nanos,
    pub item: Item,
}

/// A finding with what it rests on; the copies are in the order of `finding.evidence`.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingDetail {
    pub finding: Finding,
    pub evidence: Vec<EvidenceCopy>,
}

/// How the record itself is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The daemon's latest start; `None`: it never started.
    pub start: Option<Start>,
    pub started_ns: Option<Nanos>,
    /// It ended in good order at this time.
    pub stopped_ns: Option<Nanos>,
    pub version: Option<String>,
    pub host: Option<String>,
    pub probes: Vec<ProbeState>,
    /// The latest losses that are still on record, oldest first.
    pub losses: Vec<Lost>,
    /// Events lost since the daemon's latest start.
    pub lost: u64,
    pub last_seq: u64,
    /// Time of the latest input: while the daemon lives, less than a second ago.
    pub last_ns: Nanos,
    pub ledger_bytes: u64,
    /// What retention removed.
    pub dropped: Option<Dropped>,
}

impl StoreReader {
    /// Opens a record for reading. Where the index is missing or of another version, it is made anew for this reader
    /// alone, which takes time with a large ledger.
    pub fn open(data_dir: &Path) -> Result<StoreReader> {
        let folder = data_dir.join(LEDGER);
        let ledger = match std::fs::read_dir(&folder) {
            Ok(_) => Reader::open(&folder)?,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(StoreError::NoRecord { dir: data_dir.to_owned() });
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(StoreError::NotAllowed { dir: data_dir.to_owned() });
            }
            Err(source) => return Err(StoreError::Io { path: folder, action: "read the folder", source }),
        };
        let path = data_dir.join(index::FILE);
        if path.exists()
            && let Some(conn) = open_read_only(&path)?
        {
            conn.busy_timeout(std::time::Duration::from_secs(5))?;
            conn.set_prepared_statement_cache_capacity(64);
            return Ok(StoreReader { conn, ledger, warnings: Vec::new() });
        }
        // A database without a name: on disk, private, gone with the connection.
        let block = muster_ledger::Options::default().block;
        let mut index = Index::new(Connection::open("")?, Reader::open(&folder)?, block)?;
        let warnings = index.catch_up(&ledger, ledger.next_index()?)?;
        Ok(StoreReader { conn: index.conn, ledger, warnings })
    }

    pub(crate) fn index(&self) -> &Connection {
        &self.conn
    }

    /// The leaves of these events.
    pub(crate) fn events_with_leaves(&self, filter: &EventFilter, visit: &mut dyn FnMut(u64)) -> Result<()> {
        self.records(filter, &mut |event| {
            visit(event.leaf);
            true
        })?;
        Ok(())
    }

    /// The log that all of it is made from.
    pub fn log(&self) -> &Reader {
        &self.ledger
    }

    /// What was wrong with the record when it was opened.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Plans of comparisons that were registered in this log, the oldest first: leaf, and what stands in it. One whose leaf
    /// retention has dropped is no evidence any more, and not among them.
    pub fn plans(&self) -> Result<Vec<(u64, Log)>> {
        let mut statement = self.conn.prepare("SELECT at FROM log ORDER BY at")?;
        let mut rows = statement.query([])?;
        let mut plans = Vec::new();
        while let Some(row) = rows.next()? {
            let at = uint(row.get(0)?);
            let bytes = match leaf::read(&self.ledger, at) {
                Ok(bytes) => bytes,
                Err(StoreError::Ledger(muster_ledger::Error::NotFound { .. })) => continue,
                Err(error) => return Err(error),
            };
            if let Ok(Decoded::Known(Entry::Log(log))) = entry::decode(&bytes)
                && matches!(*log, Log::Plan { .. })
            {
                plans.push((at, *log));
            }
        }
        Ok(plans)
    }

    /// How many leaves the newest checkpoint speaks of, and of which log.
    pub fn signed(&self) -> Result<Option<(u64, String)>> {
        let Some(note) = self.ledger.checkpoint()? else { return Ok(None) };
        let note = Note::parse(&note).map_err(|error| StoreError::Sign(error.to_string()))?;
        let checkpoint =
            Checkpoint::parse(&note.text).map_err(|error| StoreError::Sign(error.to_string()))?;
        Ok(Some((checkpoint.head.size, checkpoint.origin)))
    }

    /// All agents on record, by start, then name.
    pub fn roll(&self) -> Result<Vec<AgentState>> {
        self.rows("SELECT json FROM agents ORDER BY started_ns, id", [])
    }

    /// The roll as scripts see it.
    pub fn roll_views(&self) -> Result<Vec<RollView>> {
        let counts = self.finding_counts()?;
        let views = self.roll()?;
        Ok(views
            .iter()
            .map(|state| RollView::new(state, counts.get(&state.agent).copied().unwrap_or_default()))
            .collect())
    }

    pub fn agent(&self, id: &str) -> Result<Option<AgentState>> {
        Ok(self.rows("SELECT json FROM agents WHERE id = ?1", [id])?.pop())
    }

    /// All that belongs to an agent, as far as it is known.
    pub fn lineage(&self, id: &str) -> Result<Option<Lineage>> {
        // One moment of the index, for all questions.
        let moment = self.conn.unchecked_transaction()?;
        let Some(state) = self.agent(id)? else { return Ok(None) };
        let mut statement = self.conn.prepare_cached(
            "SELECT id FROM agents WHERE json_extract(json, '$.parent') = ?1 ORDER BY started_ns, id",
        )?;
        let agents = statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let ended: i64 = self.conn.query_row(
            "SELECT COUNT(DISTINCT pid || ' ' || start_ns) FROM members
             WHERE agent = ?1 AND (ended_seq IS NOT NULL OR until_seq IS NOT NULL)",
            [id],
            |row| row.get(0),
        )?;
        let lineage = Lineage {
            state,
            agents,
            processes: self.processes(id)?,
            ended: uint(ended),
            descents: self.rows(
                "SELECT json FROM descents WHERE agent = ?1 ORDER BY time_ns, at LIMIT ?2",
                params![id, DESCENTS_MAX],
            )?,
            artefacts: self.rows(
                "SELECT json FROM artefacts WHERE agent = ?1 ORDER BY time_ns, at LIMIT ?2",
                params![id, DESCENTS_MAX],
            )?,
        };
        drop(moment);
        Ok(Some(lineage))
    }

    /// Its processes that were not seen to end, and that no other agent has taken over since.
    fn processes(&self, id: &str) -> Result<Vec<Member>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT pid, start_ns, MIN(from_seq), by FROM members AS own
             WHERE agent = ?1 AND ended_seq IS NULL AND until_seq IS NULL
                AND (by IN ('artefact', 'request', 'content') OR NOT EXISTS (
                    SELECT 1 FROM members WHERE pid = own.pid AND start_ns = own.start_ns AND made > own.made
                        AND agent != ?1 AND by NOT IN ('artefact', 'request', 'content')))
             GROUP BY pid, start_ns ORDER BY 3, pid LIMIT ?2",
        )?;
        let rows = statement.query_map(params![id, PROCESSES_MAX], |row| {
            let by: String = row.get(3)?;
            Ok(Member {
                agent: id.to_owned(),
                process: ProcessKey { pid: row.get(0)?, start_ns: uint(row.get(1)?) },
                from_seq: uint(row.get(2)?),
                by: index::attribution(&by),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Number of findings of each agent that has one.
    pub fn finding_counts(&self) -> Result<BTreeMap<AgentId, FindingCounts>> {
        let mut counts: BTreeMap<AgentId, FindingCounts> = BTreeMap::new();
        let mut statement = self
            .conn
            .prepare_cached("SELECT agent, severity, COUNT(*) FROM findings GROUP BY agent, severity")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let severity = severity(row.get(1)?);
            counts.entry(row.get(0)?).or_default().add(severity, uint(row.get(2)?));
        }
        Ok(counts)
    }

    pub fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>> {
        self.rows(
            "SELECT json FROM findings
             WHERE (?1 IS NULL OR agent = ?1) AND severity >= ?2 AND (?3 IS NULL OR code = ?3) AND time_ns >= ?4
             ORDER BY time_ns DESC, id LIMIT ?5",
            params![
                filter.agent,
                filter.severity_min.map_or(0, |severity| severity as u8),
                filter.code.map(Code::name),
                int(filter.since_ns.unwrap_or(0)),
                limit(filter.limit),
            ],
        )
    }

    pub fn finding(&self, id: &str) -> Result<Option<FindingDetail>> {
        let found: Option<Finding> = self.rows("SELECT json FROM findings WHERE id = ?1", [id])?.pop();
        found
            .map(|finding| Ok(FindingDetail { evidence: index::evidence(&self.conn, &finding.id)?, finding }))
            .transpose()
    }

    /// Ids that begin so: the first few.
    pub(crate) fn finding_ids(&self, beginning: &str) -> Result<Vec<String>> {
        const SOME: i64 = 5;
        let mut statement = self.conn.prepare_cached(
            "SELECT id FROM findings WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT ?2",
        )?;
        let ids = statement.query_map(params![beginning, SOME], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// Processes that belong to the agent and, as far as the record goes, live.
    pub fn members(&self, agent: &str) -> Result<Vec<ProcessKey>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT DISTINCT pid, start_ns FROM members WHERE agent = ?1 AND ended_seq IS NULL ORDER BY pid, start_ns",
        )?;
        let keys = statement
            .query_map([agent], |row| Ok(ProcessKey { pid: row.get(0)?, start_ns: uint(row.get(1)?) }))?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    }

    /// Those of them that no other boot has ended, from which event on they belong, and why.
    pub fn living(&self, agent: &str) -> Result<Vec<muster_engine::Living>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT pid, start_ns, MIN(from_seq), by FROM members
             WHERE agent = ?1 AND ended_seq IS NULL AND until_seq IS NULL GROUP BY pid, start_ns ORDER BY pid, start_ns",
        )?;
        let rows = statement.query_map([agent], |row| {
            let by: String = row.get(3)?;
            Ok(muster_engine::Living {
                process: ProcessKey { pid: row.get(0)?, start_ns: uint(row.get(1)?) },
                from_seq: uint(row.get(2)?),
                by: index::attribution(&by),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Files of the lineage that make others run something. Nothing, where the index has no such table.
    pub fn planted(&self, agent: &str) -> Result<Vec<muster_engine::Artefact>> {
        self.rows_if("artefacts", agent)
    }

    /// Processes that belong to the lineage though no fork connects them.
    pub fn descended(&self, agent: &str) -> Result<Vec<muster_engine::Descent>> {
        self.rows_if("descents", agent)
    }

    fn rows_if<T: serde::de::DeserializeOwned>(&self, table: &str, agent: &str) -> Result<Vec<T>> {
        let is_there: bool = self.conn.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)",
            [table],
            |row| row.get(0),
        )?;
        if is_there {
            self.rows(&format!("SELECT json FROM {table} WHERE agent = ?1"), [agent])
        } else {
            Ok(Vec::new())
        }
    }

    pub fn joins(&self, agent: &str) -> Result<Vec<Join>> {
        self.rows("SELECT json FROM joins WHERE agent = ?1 ORDER BY seq, call_id", [agent])
    }

    /// What the agent claimed of its work, and what the record says to it, in the order in which it was said.
    pub fn claims(&self, agent: &str, verdict: Option<Verdict>, limit: Option<usize>) -> Result<Vec<Claim>> {
        self.rows(
            "SELECT json FROM claims WHERE agent = ?1 AND verdict = COALESCE(?2, verdict) ORDER BY time_ns, at LIMIT ?3",
            params![agent, verdict.map(Verdict::name), self::limit(limit)],
        )
    }

    /// The latest gaps, oldest first: those of everybody, and of this agent or of all. With an agent, only those that met
    /// its time.
    pub fn gaps(&self, agent: Option<&str>, limit: Option<usize>) -> Result<Vec<Gap>> {
        let mut found: Vec<Gap> = self.rows(
            "SELECT json FROM gaps
             WHERE ?1 IS NULL OR agent = ?1 OR agent IS NULL AND EXISTS (SELECT 1 FROM agents WHERE id = ?1
                AND started_ns <= COALESCE(gaps.to_ns, started_ns)
                AND COALESCE(ended_ns, last_ns, gaps.from_ns) >= gaps.from_ns)
             ORDER BY from_ns DESC, id LIMIT ?2",
            params![agent, self::limit(limit)],
        )?;
        found.reverse();
        Ok(found)
    }

    /// What models answered that were asked about the agent, the oldest first.
    pub fn opinions(&self, agent: &str, limit: Option<usize>) -> Result<Vec<Opinions>> {
        self.rows(
            "SELECT json FROM opinions WHERE agent = ?1 ORDER BY time_ns, at LIMIT ?2",
            params![agent, self::limit(limit)],
        )
    }

    /// The last records of its accounts, in the order in which they were read.
    pub fn last_records(&self, agent: &str, limit: usize) -> Result<Vec<AccountRecord>> {
        let mut statement =
            self.conn.prepare_cached("SELECT at FROM accounts WHERE agent = ?1 ORDER BY at DESC LIMIT ?2")?;
        let mut rows = statement.query(params![agent, self::limit(Some(limit))])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.extend(self.account_record(uint(row.get(0)?))?);
        }
        records.reverse();
        Ok(records)
    }

    /// `None`: it was removed by retention since, or is not understood.
    fn account_record(&self, at: u64) -> Result<Option<AccountRecord>> {
        let bytes = match leaf::read(&self.ledger, at) {
            Ok(bytes) => bytes,
            Err(StoreError::Ledger(muster_ledger::Error::NotFound { .. })) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(Decoded::Known(Entry::Input(input))) = entry::decode(&bytes) else { return Ok(None) };
        Ok(match *input {
            Input::Account(record) => Some(record),
            _ => None,
        })
    }

    /// What the agent said, in the order in which it was read.
    pub fn account_items(
        &self,
        agent: &str,
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Vec<AccountItem>> {
        let limit = limit.unwrap_or(usize::MAX);
        let (since, until) = (range.since_ns.unwrap_or(0), range.until_ns.unwrap_or(u64::MAX));
        let mut statement = self.conn.prepare_cached(
            "SELECT at FROM accounts WHERE agent = ?1 AND max_ns >= ?2 AND min_ns <= ?3 ORDER BY at",
        )?;
        let mut rows = statement.query(params![agent, int(since), int(until)])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(record) = self.account_record(uint(row.get(0)?))? else { continue };
            for item in record.items {
                if items.len() >= limit {
                    return Ok(items);
                }
                let time_ns = entry::item_time(&item, record.time_ns);
                if since <= time_ns && time_ns <= until {
                    items.push(AccountItem {
                        path: record.path.clone(),
                        offset: record.offset,
                        len: record.len,
                        sha256: record.sha256,
                        read_ns: record.time_ns,
                        item,
                    });
                }
            }
        }
        Ok(items)
    }

    pub fn health(&self) -> Result<Health> {
        let row: Option<(i64, String, Option<i64>)> = self
            .conn
            .query_row("SELECT at, json, stopped_ns FROM starts ORDER BY at DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let (at, start, stopped) = match row {
            Some((at, json, stopped)) => (at, Some(serde_json::from_str::<Start>(&json)?), stopped),
            None => (0, None, None),
        };
        let since: Vec<Lost> = self.rows("SELECT json FROM losses WHERE at > ?1", [at])?;
        let mut losses: Vec<Lost> =
            self.rows("SELECT json FROM losses ORDER BY at DESC LIMIT ?1", [LOSSES_MAX])?;
        losses.reverse();
        let mut probes = self.conn.prepare_cached("SELECT probe, error FROM probes ORDER BY probe")?;
        let probes = probes
            .query_map([], |row| Ok(ProbeState { probe: row.get(0)?, error: row.get(1)? }))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Health {
            started_ns: start.as_ref().map(|start| start.time_ns),
            stopped_ns: stopped.map(uint),
            version: start.as_ref().map(|start| start.version.clone()),
            host: start.as_ref().map(|start| start.host.clone()),
            start,
            probes,
            losses,
            lost: since.iter().fold(0, |sum, lost| sum.saturating_add(lost.count)),
            last_seq: index::meta(&self.conn, "last_seq")?,
            last_ns: index::meta(&self.conn, "last_ns")?,
            ledger_bytes: self.ledger.bytes()?,
            dropped: index::dropped(&self.conn)?,
        })
    }

    /// The event with this number, from the ledger.
    pub fn event(&self, seq: u64) -> Result<Option<AttributedEvent>> {
        let filter = EventFilter { since_seq: Some(seq), until_seq: Some(seq), ..EventFilter::default() };
        let mut found = None;
        self.records(&filter, &mut |record| {
            found = Some(record);
            false
        })?;
        Ok(found)
    }

    /// Calls `visit` with each event that the filter lets through, in order, until it returns `false`. Memory does not
    /// grow with the record. Gives the places of the ledger that could not be read: what was there is not told of.
    pub fn events(
        &self,
        filter: &EventFilter,
        visit: &mut dyn FnMut(EventView) -> bool,
    ) -> Result<Vec<String>> {
        self.records(filter, &mut |AttributedEvent { event, agent, .. }| {
            visit(EventView::new(&event, agent.as_ref().map(|(id, by)| (id.as_str(), *by))))
        })
    }

    /// As `events`, with the events themselves.
    pub fn records(
        &self,
        filter: &EventFilter,
        visit: &mut dyn FnMut(AttributedEvent) -> bool,
    ) -> Result<Vec<String>> {
        let scan = Scan { reader: self, filter, keys: RefCell::default(), warnings: RefCell::default() };
        let limit = filter.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let blocks = self.blocks(filter)?;
        if filter.last {
            scan.last(&blocks, limit.min(LAST_MAX), visit)?;
        } else {
            let mut given = 0;
            for block in blocks {
                let mut go_on = true;
                scan.block(block, &mut |record| {
                    given += 1;
                    go_on = visit(record) && given < limit;
                    Ok(go_on)
                })?;
                if !go_on {
                    break;
                }
            }
        }
        Ok(scan.warnings.into_inner().take())
    }

    /// The blocks in which such events can be, as ranges of ledger indices.
    fn blocks(&self, filter: &EventFilter) -> Result<Vec<(u64, u64)>> {
        // One moment of the index, for both questions.
        let moment = self.conn.unchecked_transaction()?;
        let end = index::meta(&moment, "next")?;
        let all = index::blocks(&moment)?;
        let ranges = match &filter.agent {
            None => None,
            Some(agent) => {
                let mut statement =
                    moment.prepare_cached("SELECT block, min_seq, max_seq FROM ranges WHERE agent = ?1")?;
                let rows = statement.query_map([agent], |row| {
                    Ok((uint(row.get(0)?), (uint(row.get(1)?), uint(row.get(2)?))))
                })?;
                Some(rows.collect::<rusqlite::Result<BTreeMap<u64, (u64, u64)>>>()?)
            }
        };
        drop(moment);
        let meets = |range: Option<(u64, u64)>, since: Option<u64>, until: Option<u64>| {
            range.is_some_and(|(min, max)| max >= since.unwrap_or(0) && min <= until.unwrap_or(u64::MAX))
        };
        let mut found = Vec::new();
        let mut firsts = all.keys().skip(1).copied().chain([end]);
        for (first, block) in &all {
            let next = firsts.next().unwrap_or(end);
            let seqs = match &ranges {
                None => block.seqs,
                Some(ranges) => ranges.get(first).copied(),
            };
            if meets(seqs, filter.since_seq, filter.until_seq)
                && meets(block.times, filter.since_ns, filter.until_ns)
            {
                found.push((*first, next));
            }
        }
        Ok(found)
    }

    fn rows<T: serde::de::DeserializeOwned>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<T>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(serde_json::from_slice(row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?)?);
        }
        Ok(found)
    }
}

#[derive(Clone)]
struct Membership {
    agent: AgentId,
    from_seq: u64,
    until_seq: Option<u64>,
    by: Attribution,
}

/// One pass over the ledger.
struct Scan<'a> {
    reader: &'a StoreReader,
    filter: &'a EventFilter,
    /// Memberships by process, oldest first.
    keys: RefCell<HashMap<ProcessKey, Rc<[Membership]>>>,
    warnings: RefCell<Warnings>,
}

impl Scan<'_> {
    /// Visits what one block has. `visit` ends it with `false`.
    fn block(
        &self,
        (first, end): (u64, u64),
        visit: &mut dyn FnMut(AttributedEvent) -> Result<bool>,
    ) -> Result<()> {
        let filter = self.filter;
        leaf::visit(&self.reader.ledger, first, end, &mut |entry| {
            let (at, bytes) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.warnings.borrow_mut().push(error.to_string());
                    return Ok(true);
                }
            };
            let Some(head) = event_head(bytes) else { return Ok(true) };
            if filter.since_seq.is_some_and(|since| head.seq < since)
                || filter.until_seq.is_some_and(|until| head.seq > until)
                || filter.since_ns.is_some_and(|since| head.time_ns < since)
                || filter.until_ns.is_some_and(|until| head.time_ns > until)
                || filter.pid.is_some_and(|pid| head.process.pid != pid)
                || !(filter.kinds.is_empty() || filter.kinds.iter().any(|kind| *kind == head.kind))
            {
                return Ok(true);
            }
            let agent = self.agent_of(head.process, head.seq)?;
            if filter.agent.is_some() && filter.agent.as_ref() != agent.as_ref().map(|(id, _)| id) {
                return Ok(true);
            }
            match entry::decode_event(bytes) {
                Ok(Decoded::Known(event)) => return visit(AttributedEvent { leaf: at, event, agent }),
                Ok(Decoded::Unknown { what }) => self.warnings.borrow_mut().unknown(at, what),
                Err(error) => self
                    .warnings
                    .borrow_mut()
                    .push(format!("entry {at} of the ledger cannot be decoded: {error}")),
            }
            Ok(true)
        })?;
        Ok(())
    }

    /// The last events, from the newest block back until there are enough.
    fn last(
        &self,
        blocks: &[(u64, u64)],
        limit: usize,
        visit: &mut dyn FnMut(AttributedEvent) -> bool,
    ) -> Result<()> {
        let mut parts = Vec::new();
        let mut missing = limit;
        for block in blocks.iter().rev() {
            let mut part = VecDeque::new();
            self.block(*block, &mut |record| {
                if part.len() >= missing {
                    part.pop_front();
                }
                part.push_back(record);
                Ok(true)
            })?;
            missing -= part.len().min(missing);
            parts.push(part);
            if missing == 0 {
                break;
            }
        }
        for record in parts.into_iter().rev().flatten() {
            if !visit(record) {
                break;
            }
        }
        Ok(())
    }

    fn agent_of(&self, process: ProcessKey, seq: u64) -> Result<Option<(AgentId, Attribution)>> {
        let known = self.keys.borrow().get(&process).cloned();
        let memberships = match known {
            Some(memberships) => memberships,
            None => {
                let memberships = self.memberships(process)?;
                let mut keys = self.keys.borrow_mut();
                if keys.len() >= KEYS_MAX {
                    keys.clear();
                }
                keys.insert(process, memberships.clone());
                memberships
            }
        };
        let holds = |m: &&Membership| m.from_seq <= seq && m.until_seq.is_none_or(|until| seq <= until);
        let held = || memberships.iter().rev().filter(holds);
        // Whose child it is comes before for whom others started it.
        let first = held().find(|m| !index::is_also(m.by)).or_else(|| held().next());
        let asked = self.filter.agent.as_deref();
        let also = held().find(|m| index::is_also(m.by) && Some(m.agent.as_str()) == asked);
        let is_first = first.is_some_and(|m| asked.is_none_or(|asked| asked == m.agent));
        let owner = if is_first { first } else { also.or(first) };
        Ok(owner.map(|m| (m.agent.clone(), m.by)))
    }

    fn memberships(&self, process: ProcessKey) -> Result<Rc<[Membership]>> {
        let mut statement = self.reader.conn.prepare_cached(
            "SELECT agent, from_seq, until_seq, by FROM members WHERE pid = ?1 AND start_ns = ?2 ORDER BY made",
        )?;
        let rows = statement.query_map(params![process.pid, int(process.start_ns)], |row| {
            let until: Option<i64> = row.get(2)?;
            let by: String = row.get(3)?;
            Ok(Membership {
                agent: row.get(0)?,
                from_seq: uint(row.get(1)?),
                until_seq: until.map(uint),
                by: index::attribution(&by),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into())
    }
}

fn severity(rank: u8) -> Severity {
    match rank {
        0 => Severity::Info,
        1 => Severity::Low,
        2 => Severity::Medium,
        3 => Severity::High,
        _ => Severity::Critical,
    }
}

fn limit(limit: Option<usize>) -> i64 {
    limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX)
}

/// `None`: the index is of another schema, so of no use.
fn open_read_only(path: &Path) -> Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let usable = |conn: Connection| {
        let found = index::version(&conn)?;
        // Reads a page: where the file is on a read-only medium, this is what fails.
        conn.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok::<_, rusqlite::Error>((found == index::SCHEMA_VERSION).then_some(conn))
    };
    match Connection::open_with_flags(path, flags).and_then(usable) {
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly)
            ) =>
        {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Ok(Connection::open_with_flags(immutable(path), flags).and_then(usable)?)
        }
        Err(error) if matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::NotADatabase)) => {
            Ok(None)
        }
        other => Ok(other?),
    }
}

/// The file as one that nobody changes.
fn immutable(path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let escaped: String = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(*byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    PathBuf::from(format!("file:{escaped}?immutable=1"))
}
