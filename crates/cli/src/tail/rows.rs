//! Accounts that are rows of a database (OpenCode's): reads what changed, and tells whose session each row is of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use muster_account::{Format, OPENCODE_QUERIES, Reader};
use muster_engine::{AccountFile, AccountRecord, AgentId, Input};
use muster_sensor::now_ns;
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::open::{self, Opened, Stamp};
use super::settled::{Change, Settled};

/// Rows this much older than the agent are not its own: clocks of the two differ by less.
const SLACK_MS: i64 = 2_000;
/// Versions of rows that are remembered, so that none is taken twice.
const SEEN_MAX: usize = 65_536;
/// How often rows that were read are looked at again, where the database changed.
const VERIFY: Duration = Duration::from_secs(3);
/// A database that cannot be read for so long is told of: what is locked, or in the midst of a change, is so for less.
const LASTING: Duration = Duration::from_secs(5);

/// One database, and the agents that write it.
pub struct Database {
    path: String,
    /// While others have it open, and the file that it is of.
    connection: Option<(Connection, u64)>,
    /// The state of the file when it was read without.
    alone: Option<Stamp>,
    version: i64,
    since_ms: i64,
    agents: Vec<Writer>,
    /// Root sessions, and whose they are.
    sessions: HashMap<String, Option<AgentId>>,
    readers: BTreeMap<AgentId, Reader>,
    seen: HashSet<[u8; 32]>,
    settled: Settled,
    /// Of those: what is not told yet.
    found: Vec<Change>,
    verified: Instant,
    /// The version at which that was.
    verified_version: i64,
    /// Rows read so far: their place in the account, for the record.
    rows: u64,
    failed: bool,
    /// Since when it could not be read.
    troubled: Option<Instant>,
}

struct Writer {
    agent: AgentId,
    cwd: String,
    since_ms: i64,
    ended: bool,
}

struct Row {
    table: String,
    id: String,
    updated: i64,
    data: Value,
    session: String,
}

impl Database {
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            connection: None,
            alone: None,
            version: -1,
            since_ms: i64::MAX,
            agents: Vec::new(),
            sessions: HashMap::new(),
            readers: BTreeMap::new(),
            seen: HashSet::new(),
            settled: Settled::default(),
            found: Vec::new(),
            verified: Instant::now(),
            verified_version: -1,
            rows: 0,
            failed: false,
            troubled: None,
        }
    }

    /// Another agent opened it.
    pub fn add(&mut self, agent: AgentId, cwd: String, since_ns: u64, send: &dyn Fn(Input)) {
        if self.agents.iter().any(|w| w.agent == agent) {
            return;
        }
        send(Input::AccountState {
            agent: agent.clone(),
            path: self.path.clone(),
            time_ns: now_ns(),
            state: AccountFile::Opened { format: Format::OpenCode.name().to_owned() },
        });
        let since_ms = i64::try_from(since_ns / 1_000_000).unwrap_or(0) - SLACK_MS;
        self.since_ms = self.since_ms.min(since_ms);
        self.agents.push(Writer { agent, cwd, since_ms, ended: false });
        // Sessions that nobody could be named for may be this one's.
        self.sessions.retain(|_, of| of.is_some());
        self.version = -1;
        self.alone = None;
    }

    pub fn end(&mut self, agent: &AgentId) {
        for writer in self.agents.iter_mut().filter(|w| w.agent == *agent) {
            writer.ended = true;
        }
    }

    /// This agent is gone. `true`: nobody is left.
    pub fn remove(&mut self, agent: &AgentId) -> bool {
        self.agents.retain(|w| w.agent != *agent);
        self.readers.remove(agent);
        self.settled.forget(agent);
        // Rows of its sessions stay its own: they are nobody else's.
        self.agents.is_empty()
    }

    /// Reads what changed since the last look.
    pub fn look(&mut self, send: &dyn Fn(Input)) {
        match self.changed_rows() {
            Ok(rows) => {
                if std::mem::take(&mut self.failed) {
                    for writer in &self.agents {
                        send(Input::AccountState {
                            agent: writer.agent.clone(),
                            path: self.path.clone(),
                            time_ns: now_ns(),
                            state: AccountFile::Opened { format: Format::OpenCode.name().to_owned() },
                        });
                    }
                }
                self.troubled = None;
                for row in rows {
                    self.take(row, send);
                }
                self.verify(send);
            }
            Err(error) => {
                // One that is being made is there at a later look; other troubles pass, or last.
                let made = error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen)
                    || error.to_string().contains("no such table");
                self.connection = None;
                self.version = -1;
                let since = *self.troubled.get_or_insert_with(Instant::now);
                if made || self.failed || since.elapsed() < LASTING {
                    return;
                }
                self.failed = true;
                for writer in &self.agents {
                    send(Input::AccountState {
                        agent: writer.agent.clone(),
                        path: self.path.clone(),
                        time_ns: now_ns(),
                        state: AccountFile::Unreadable { error: error.to_string() },
                    });
                }
            }
        }
    }

    fn changed_rows(&mut self) -> rusqlite::Result<Vec<Row>> {
        let stamp = Stamp::of(&self.path)?;
        if self.connection.as_ref().is_some_and(|(_, inode)| *inode != stamp.inode) {
            // Another database is at its place.
            self.connection = None;
            self.version = -1;
        }
        if self.connection.is_none() {
            if self.alone == Some(stamp) && !open::is_written(&self.path) {
                return Ok(Vec::new());
            }
            match open::open(&self.path)? {
                Opened::Shared(connection) => self.connection = Some((connection, stamp.inode)),
                Opened::Alone(connection) => return self.rows_alone(&connection, stamp),
            }
        }
        let Some((connection, _)) = &mut self.connection else { return Ok(Vec::new()) };
        let version: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if version == self.version {
            return Ok(Vec::new());
        }
        // One transaction: else the end of a turn may come before its last words.
        let transaction = connection.transaction()?;
        let rows = rows(&transaction, self.since_ms)?;
        drop(transaction);
        self.version = version;
        Ok(rows)
    }

    /// Of one that nobody seems to have open. If it changed while it was read, it is read at the next look.
    fn rows_alone(&mut self, connection: &Connection, stamp: Stamp) -> rusqlite::Result<Vec<Row>> {
        let found = rows(connection, self.since_ms);
        let changes = self.settled.changes(connection);
        if Stamp::of(&self.path)? != stamp || open::is_written(&self.path) {
            return Ok(Vec::new());
        }
        self.alone = Some(stamp);
        self.found.extend(changes?);
        found
    }

    /// Holds the rows of calls that are over against what they said.
    fn verify(&mut self, send: &dyn Fn(Input)) {
        if let Some((connection, _)) = &mut self.connection
            && self.version != self.verified_version
            && self.verified.elapsed() >= VERIFY
        {
            self.verified = Instant::now();
            // A database that cannot be read now is looked at again later.
            if let Ok(transaction) = connection.transaction()
                && let Ok(changes) = self.settled.changes(&transaction)
            {
                self.verified_version = self.version;
                self.found.extend(changes);
            }
        }
        for (agent, state) in self.found.drain(..) {
            send(Input::AccountState { agent, path: self.path.clone(), time_ns: now_ns(), state });
        }
    }

    fn take(&mut self, row: Row, send: &dyn Fn(Input)) {
        let Some(agent) = self.whose(&row) else { return };
        if row.table == "part" {
            self.settled.note(&agent, &row.id, &row.data);
        }
        let text = json!({"table": row.table, "id": row.id, "time_updated": row.updated, "data": row.data})
            .to_string();
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        if !self.seen.insert(Sha256::digest(&text).into()) {
            return;
        }
        // Rows that are older are not asked for again; several share a millisecond.
        let reader = self.readers.entry(agent.clone()).or_insert_with(|| Reader::new(Format::OpenCode));
        for record in reader.feed(text.as_bytes()) {
            send(Input::Account(AccountRecord {
                agent: agent.clone(),
                path: self.path.clone(),
                offset: self.rows,
                len: record.len,
                sha256: record.sha256,
                time_ns: now_ns(),
                raw: record.raw,
                items: record.items,
            }));
            self.rows += 1;
        }
        self.since_ms = self.since_ms.max(row.updated.min(self.newest_start()));
    }

    /// No row older than this is of interest to the youngest agent; those of the others were read before it came.
    fn newest_start(&self) -> i64 {
        self.agents.iter().map(|w| w.since_ms).max().unwrap_or(i64::MAX)
    }

    /// A session of an agent that ended goes on: by the one that began last in the same folder, before the row changed.
    fn successor(&self, owner: &AgentId, updated: i64) -> Option<AgentId> {
        let owner = self.agents.iter().find(|w| w.agent == *owner && w.ended)?;
        self.agents
            .iter()
            .filter(|w| w.agent != owner.agent && !w.ended && w.cwd == owner.cwd)
            .filter(|w| owner.since_ms < w.since_ms && w.since_ms + SLACK_MS <= updated)
            .max_by_key(|w| w.since_ms)
            .map(|w| w.agent.clone())
    }

    /// The agent whose session this row is of: the one in the session's folder that began last before the row changed.
    fn whose(&mut self, row: &Row) -> Option<AgentId> {
        if let Some(known) = self.sessions.get(&row.session).cloned() {
            let next = known.as_ref().and_then(|owner| self.successor(owner, row.updated));
            if let Some(next) = next {
                self.sessions.insert(row.session.clone(), Some(next.clone()));
                return Some(next);
            }
            return known;
        }
        let directory = (row.table == "session" && row.id == row.session)
            .then(|| row.data.get("directory").and_then(Value::as_str))
            .flatten();
        let taken: HashSet<&AgentId> = self.sessions.values().flatten().collect();
        let fits = |w: &&Writer| {
            w.since_ms <= row.updated && directory.is_none_or(|d| d == w.cwd || self.agents.len() == 1)
        };
        let found = self
            .agents
            .iter()
            .filter(fits)
            // One that has no session yet comes first.
            .max_by_key(|w| (!taken.contains(&w.agent), w.since_ms))
            .map(|w| w.agent.clone());
        // Only the session's own row says where it runs: others do not decide, unless there is one agent only.
        if found.is_some() && (directory.is_some() || self.agents.len() == 1) {
            self.sessions.insert(row.session.clone(), found.clone());
            return found;
        }
        None
    }
}

fn rows(connection: &Connection, since_ms: i64) -> rusqlite::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for query in OPENCODE_QUERIES {
        let mut statement = connection.prepare_cached(query.sql)?;
        let mut found = statement.query([since_ms])?;
        while let Some(row) = found.next()? {
            let text: String = row.get(3)?;
            rows.push(Row {
                table: row.get(0)?,
                id: row.get(1)?,
                updated: row.get(2)?,
                data: serde_json::from_str(&text).unwrap_or(Value::Null),
                session: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            });
        }
    }
    Ok(rows)
}

/// Reads a whole database once, as the account of one agent.
pub fn read_database(path: &str, agent: &str, send: &mut dyn FnMut(Input)) -> rusqlite::Result<()> {
    let mut database = Database::new(path);
    database.since_ms = 0;
    database.agents.push(Writer { agent: agent.to_owned(), cwd: String::new(), since_ms: 0, ended: false });
    // A copy may lack what a database in use has beside it.
    let rows = match database.changed_rows() {
        Ok(rows) => rows,
        Err(_) => rows(&open::open_copy(path)?, 0)?,
    };
    let send = std::cell::RefCell::new(send);
    for row in rows {
        database.take(row, &|input| (send.borrow_mut())(input));
    }
    Ok(())
}
