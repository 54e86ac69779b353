//! What the daemon writes: the ledger first, then the index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use muster_engine::{AgentId, AgentState, Before, Finding, Input, Join, Member, Output, Start};
use muster_event::{Kind, Nanos, ProbeState, ProcessKey};
use muster_ledger::note::{Note, Signer, Verifier};
use muster_ledger::{Checkpoint, Hash, Head, Ledger, Options, Reader, tree};
use rusqlite::{OptionalExtension, params};

use crate::StoreError;
use crate::entry::{self, Dropped, EntryRef, Kept, KeptMember, Log, Pruned, StoredOutput};
use crate::error::Result;
use crate::index::{self, Index, int, uint};
use crate::leaf;

pub(crate) const LEDGER: &str = "ledger";

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

/// Who signs the checkpoints of the log.
pub struct LogKeys {
    /// The newest first; all of them sign, and have the log's name.
    pub signers: Vec<Box<dyn Signer>>,
}

impl LogKeys {
    fn key(&self) -> Option<&Verifier> {
        self.signers.first().map(|signer| signer.verifier())
    }
}

/// A checkpoint that was just written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub head: Head,
    pub note: Note,
}

/// What making the index anew came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reindexed {
    /// Leaves of the ledger.
    pub entries: u64,
    pub warnings: Vec<String>,
    /// Rows in which the old index said something else, in words.
    pub different: Vec<String>,
}

/// The newest checkpoint that witnesses have cosigned, in the folder of the ledger.
pub(crate) const WITNESSED: &str = "checkpoint.witnessed";

/// The daemon's hold on its record. One at a time per folder.
pub struct Store {
    ledger: Ledger,
    index: Index,
    index_path: PathBuf,
    log: Option<LogKeys>,
    /// Why this log does not go on with the one that was here before.
    after: Option<String>,
    /// Entries under the newest checkpoint.
    published: u64,
    /// Something was written since that is more than the passing of time.
    active: bool,
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
        Store::open_with(data_dir, retention, Options::default())
    }

    /// As `open`, with other sizes: for tests of what happens at their ends.
    pub fn open_with(
        data_dir: &Path,
        retention: Retention,
        options: Options,
    ) -> Result<(Store, Vec<String>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(|source| StoreError::Io {
            path: data_dir.to_owned(),
            action: "make the folder",
            source,
        })?;
        let folder = data_dir.join(LEDGER);
        let mut warnings = Vec::new();
        let mut after = None;
        let opened = match of_earlier_format(&folder) {
            Some(file) => Err(muster_ledger::Error::Malformed {
                path: file,
                reason: "it is of a format from before the Merkle log".to_owned(),
            }),
            None => Ledger::open(&folder, options),
        };
        let (ledger, recovery) = match opened {
            // To watch on matters more than to stand still beside a log that nobody can mend. It is kept as it is.
            Err(error) if error.is_damage() => {
                let aside = set_aside(data_dir)?;
                let why = format!("{error}; it is kept in `{}`", aside.display());
                warnings.push(format!("THE LOG CANNOT BE GONE ON WITH, a new one begins: {why}"));
                after = Some(why);
                Ledger::open(&folder, options)?
            }
            opened => opened?,
        };
        if let Some(cut) = recovery.cut {
            warnings.push(format!(
                "the last entry of `{}` was not written whole: {} bytes were cut off at byte {}",
                cut.file.display(),
                cut.bytes,
                cut.offset
            ));
        }
        let index_path = data_dir.join(index::FILE);
        let index = open_index(&index_path, &folder, &ledger, options.block, &mut warnings)?;
        let published = Reader::open(&folder)?.published()?.map_or(0, |head| head.size);
        let mut store = Store {
            ledger,
            index,
            index_path,
            log: None,
            after,
            published,
            active: false,
            retention,
            buffer: Vec::new(),
            written: BTreeMap::new(),
            behind: false,
        };
        store.catch_up(&mut warnings)?;
        store.finish_pruning()?;
        Ok((store, warnings))
    }

    fn catch_up(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        if self.index.next < self.ledger.next_index() {
            let reader = Reader::open(self.ledger.dir())?;
            let found = self.index.catch_up(&reader, self.ledger.next_index())?;
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
        self.active |= !matches!(input, Input::Tick { .. });
        self.project(at, |index, bytes| match input {
            Input::Event(event) => {
                let exit = matches!(event.kind, Kind::Exit { .. });
                index.event(at, event.seq, event.time_ns, event.process, exit, bytes)
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
            Output::Descent(descent) => self.put(&StoredOutput::Descent(descent.clone())),
            Output::Artefact(artefact) => self.put(&StoredOutput::Artefact(artefact.clone())),
            Output::Finding(finding) => {
                // What it points to may still be held back. Where that fails, the finding goes on without the copy.
                let _ = self.ledger.commit(false);
                let (evidence, cited) = self.index.copies(finding)?;
                self.put(&StoredOutput::Finding { finding: finding.clone(), evidence, cited })
            }
            Output::Identify { .. }
            | Output::Follow { .. }
            | Output::ReadArtefact { .. }
            | Output::ReadHooks { .. }
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
        let done = self.index.enter(at).and_then(|()| act(&mut self.index, &self.buffer));
        self.noticed(done)
    }

    fn noticed(&mut self, done: Result<()>) -> Result<()> {
        self.behind |= done.is_err();
        done
    }

    /// Why this log does not go on with the one that was in its place.
    pub fn begins_after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// From now on checkpoints are signed, by these. A new log begins with its name and key.
    pub fn sign_with(&mut self, keys: LogKeys, time_ns: Nanos) -> Result<()> {
        let begins = self.ledger.next_index() == 0;
        if let Some(key) = keys.key().filter(|_| begins) {
            let after = self.after.clone();
            let (origin, key) = (key.name().to_owned(), key.to_string());
            self.put_log(&Log::Begun { time_ns, origin, key, after })?;
        }
        self.log = Some(keys);
        Ok(())
    }

    /// How many keys sign.
    pub fn signers(&self) -> usize {
        self.log.as_ref().map_or(0, |keys| keys.signers.len())
    }

    /// The keys that sign, the newest first.
    pub fn keys(&self) -> Vec<String> {
        let signers = self.log.iter().flat_map(|keys| &keys.signers);
        signers.map(|signer| signer.verifier().to_string()).collect()
    }

    /// The oldest key that signs.
    pub fn last_signer(&self) -> Option<String> {
        Some(self.log.as_ref()?.signers.last()?.verifier().to_string())
    }

    /// Makes the index of a record anew; `check`: beside the one that is there, to compare. `progress` is told how many
    /// leaves are done, and of how many.
    pub fn reindex(data_dir: &Path, check: bool, progress: &mut dyn FnMut(u64, u64)) -> Result<Reindexed> {
        let folder = data_dir.join(LEDGER);
        if !folder.is_dir() {
            return Err(StoreError::NoRecord { dir: data_dir.to_owned() });
        }
        let options = Options::default();
        let (ledger, _) = Ledger::open(&folder, options)?;
        let there = data_dir.join(index::FILE);
        let fresh = data_dir.join("index.db.new");
        remove_index(&fresh)?;
        let reader = Reader::open(&folder)?;
        let mut index = Index::new(index::open_file(&fresh)?, Reader::open(&folder)?, options.block)?;
        let warnings = index.catch_up_telling(&reader, ledger.next_index(), progress)?;
        let different =
            if check && there.exists() { index::differences(&index.conn, &there)? } else { Vec::new() };
        // The write-ahead log goes into the file.
        index.conn.close().map_err(|(_, error)| error)?;
        if check {
            remove_index(&fresh)?;
        } else {
            remove_index(&there)?;
            std::fs::rename(&fresh, &there).map_err(|source| StoreError::Io {
                path: fresh,
                action: "rename",
                source,
            })?;
        }
        Ok(Reindexed { entries: ledger.next_index(), warnings, different })
    }

    /// Writes what the log says of itself.
    pub fn put_log(&mut self, log: &Log) -> Result<()> {
        self.active = true;
        let at = self.write(&EntryRef::Log(log))?;
        self.project(at, |index, _| index.log(at, log))
    }

    /// Whether something was written since the newest checkpoint, but for the passing of time.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Makes everything that was taken durable and signs it. `None`: nobody signs.
    pub fn checkpoint(&mut self) -> Result<Option<Published>> {
        let Some(keys) = &self.log else { return Ok(None) };
        let Some(origin) = keys.key().map(|key| key.name().to_owned()) else { return Ok(None) };
        let head = self.ledger.publish()?;
        let signers = keys.signers.iter().map(|signer| &**signer);
        let dir = self.ledger.dir();
        // Its tiles are on the disk by now.
        let proof = |old: u64| {
            let reader = Reader::open(dir).map_err(|error| error.to_string())?;
            tree::consistency(&mut reader.tiles(head.size), old, head.size).map_err(|error| error.to_string())
        };
        let note = Checkpoint::new(&origin, head).sign_proven(signers, &proof).map_err(StoreError::Sign)?;
        self.ledger.put_checkpoint(&note.to_bytes())?;
        self.published = head.size;
        self.active = false;
        Ok(Some(Published { head, note }))
    }

    /// Takes a checkpoint of this log that witnesses have cosigned.
    pub fn put_cosigned(&mut self, note: &Note) -> Result<()> {
        let text = Checkpoint::parse(&note.text).map_err(|error| StoreError::Sign(error.to_string()))?;
        let path = self.ledger.dir().join(WITNESSED);
        write_whole(&path, &note.to_bytes())?;
        if text.head.size == self.published && text.head.size == self.ledger.next_index() {
            self.ledger.put_checkpoint(&note.to_bytes())?;
        }
        Ok(())
    }

    /// The proof that the published tree of `new` leaves begins with that of `old`.
    pub fn consistency(data_dir: &Path, old: u64, new: u64) -> Result<Vec<Hash>> {
        let reader = Reader::open(&data_dir.join(LEDGER))?;
        Ok(tree::consistency(&mut reader.tiles(new), old, new)?)
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

    /// Drops the oldest entries over the limit. Tells what was dropped by this call.
    pub fn enforce(&mut self, now_ns: Nanos) -> Result<Option<Dropped>> {
        self.commit(false)?;
        let Retention { bytes_max, age_max_ns } = self.retention;
        let mut over = if bytes_max == 0 { 0 } else { self.ledger.bytes().saturating_sub(bytes_max) };
        let oldest = if age_max_ns == 0 { 0 } else { now_ns.saturating_sub(age_max_ns) };
        let sealed = self.ledger.sealed();
        let blocks = self.ledger.blocks();
        let mut removed = Vec::new();
        let mut too_old = false;
        for (block, next) in blocks.iter().zip(blocks.iter().skip(1)) {
            let old = self.index.block_of(block.first).times.is_some_and(|(_, last)| last < oldest);
            if over == 0 && !old || next.first > sealed {
                break;
            }
            too_old |= old;
            over = over.saturating_sub(block.bytes);
            removed.push((*block, next.first));
        }
        let Some((_, end)) = removed.last().copied() else { return Ok(None) };
        let through = end.saturating_sub(1);

        let mut gone = Dropped { from_ns: 0, to_ns: 0, events: 0, bytes: 0, through };
        let before = index::dropped(&self.index.conn)?;
        let mut all = before.unwrap_or(gone);
        for (block, _) in &removed {
            let held = self.index.block_of(block.first);
            gone.add(held.times, held.events, block.bytes);
            all.add(held.times, held.events, block.bytes);
        }
        all.through = through;

        let min_seq = blocks
            .iter()
            .skip(removed.len())
            .filter_map(|block| self.index.block_of(block.first).seqs)
            .map(|(min, _)| min)
            .min()
            .unwrap_or(u64::MAX);
        let keep = self.gather(through, min_seq)?;
        let freed: u64 = removed.iter().map(|(block, _)| block.bytes).sum();
        if !too_old && keep.bytes.saturating_mul(2) > freed {
            // Most of it is findings and what they rest on: to write it again would gain nothing.
            return Ok(None);
        }
        let done = self.rewrite(keep, all);
        // Half of it must not stand: the next commit goes back to what was.
        self.noticed(done)?;
        // What is said to be dropped is so only once this is under a checkpoint, or as durable as can be.
        self.commit(true)?;
        if self.log.is_some() {
            self.checkpoint()?;
        }
        self.finish_pruning()?;
        Ok(Some(gone))
    }

    /// Drops what the log says is dropped: a daemon may have died between saying and doing.
    fn finish_pruning(&mut self) -> Result<()> {
        let Some(dropped) = index::dropped(&self.index.conn)? else { return Ok(()) };
        // Blocks may have had another size.
        let end = self.ledger.block_of(dropped.through.saturating_add(1));
        if self.ledger.blocks().first().is_some_and(|block| block.first < end) {
            let keep = index::kept_leaves(&self.index.conn)?;
            let keep: BTreeSet<u64> = keep.into_iter().flat_map(|(first, last)| first..=last).collect();
            self.ledger.prune(end, &keep)?;
        }
        Ok(())
    }

    /// Leaves up to this one that findings are, or rest on.
    fn cited(&self, through: u64) -> Result<BTreeSet<u64>> {
        let mut keep: BTreeSet<u64> = index::kept_leaves(&self.index.conn)?
            .into_iter()
            .flat_map(|(first, last)| first..=last)
            .collect();
        let reader = Reader::open(self.ledger.dir())?;
        let mut wanted = self.index.conn.prepare(
            "SELECT leaf FROM findings WHERE leaf <= ?1 UNION SELECT leaf FROM evidence WHERE leaf <= ?1
             UNION SELECT at FROM log WHERE at <= ?1",
        )?;
        let mut rows = wanted.query([int(through)])?;
        while let Some(row) = rows.next()? {
            let at = uint(row.get(0)?);
            if keep.contains(&at) {
                continue;
            }
            match leaf::first_of(&reader, at) {
                Ok(first) => keep.extend(first..=at),
                // It is not there, for whatever reason: that is no reason to keep everything.
                Err(StoreError::Ledger(muster_ledger::Error::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(keep)
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
            let cited = index::cited(conn, &id)?;
            keep.outputs.push(StoredOutput::Finding { finding: Box::new(finding), evidence, cited });
        }
        // Agents that still have something: findings, life, or events that stay.
        let mut agents = conn.prepare(
            "SELECT json FROM agents WHERE at <= ?1 AND (
                ended_ns IS NULL
                OR EXISTS (SELECT 1 FROM findings WHERE agent = agents.id)
                OR EXISTS (SELECT 1 FROM ranges WHERE agent = agents.id AND max_seq >= ?2)
                OR EXISTS (SELECT 1 FROM artefacts WHERE agent = agents.id AND gone = 0)
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
        // What may bring it back stays known as long as it is there; what joined it, as long as the agent.
        let mut artefacts = conn.prepare(
            "SELECT json FROM artefacts WHERE at <= ?1 AND (gone = 0
                OR EXISTS (SELECT 1 FROM agents WHERE id = artefacts.agent AND (at > ?1
                    OR ended_ns IS NULL
                    OR EXISTS (SELECT 1 FROM findings WHERE agent = artefacts.agent)
                    OR EXISTS (SELECT 1 FROM ranges WHERE agent = artefacts.agent AND max_seq >= ?2))))
             ORDER BY at, id",
        )?;
        let mut rows = artefacts.query(params![cut, int(min_seq)])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            keep.outputs.push(StoredOutput::Artefact(serde_json::from_str(&json)?));
        }
        let mut descents = conn.prepare(
            "SELECT json FROM descents WHERE at <= ?1
                AND EXISTS (SELECT 1 FROM agents WHERE id = descents.agent AND (at > ?1
                    OR ended_ns IS NULL
                    OR EXISTS (SELECT 1 FROM findings WHERE agent = descents.agent)
                    OR EXISTS (SELECT 1 FROM artefacts WHERE agent = descents.agent AND gone = 0)
                    OR EXISTS (SELECT 1 FROM ranges WHERE agent = descents.agent AND max_seq >= ?2)))
             ORDER BY at, pid, start_ns, via",
        )?;
        let mut rows = descents.query(params![cut, int(min_seq)])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            keep.outputs.push(StoredOutput::Descent(serde_json::from_str(&json)?));
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
            if let Some((_, snapshot)) = self.index.snapshot_of(process)? {
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
        let mut reviews = conn.prepare(
            "SELECT json FROM reviews WHERE at <= ?1 AND EXISTS (SELECT 1 FROM findings WHERE id = reviews.finding)
             ORDER BY at",
        )?;
        let mut rows = reviews.query([cut])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            keep.kept.push(Kept::Review(serde_json::from_str(&json)?));
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

    /// Writes again what must stay, and says what goes: with that the index forgets it.
    fn rewrite(&mut self, keep: Keep, dropped: Dropped) -> Result<()> {
        self.index.begin()?;
        let leaves = runs(&self.cited(dropped.through)?);
        keep.outputs.iter().try_for_each(|output| self.put(output))?;
        keep.kept.iter().try_for_each(|kept| self.keep(kept))?;
        let (last_seq, boot_seq) = (self.index.last_seq, self.index.boot_seq());
        self.keep(&Kept::Dropped(Pruned { dropped, keep: leaves, last_seq, boot_seq }))
    }
}

/// Numbers as runs: first and last of each.
fn runs(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    runs
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

/// A segment of before the Merkle log.
fn of_earlier_format(folder: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.find(|entry| entry.path().extension().is_some_and(|it| it == "log")).map(|entry| entry.path())
}

/// Moves a log away, with what belongs to it. Gives where it is now.
fn set_aside(data_dir: &Path) -> Result<PathBuf> {
    let aside = (1..)
        .map(|number: u32| data_dir.join(format!("{LEDGER}.set-aside-{number}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| data_dir.join("ledger.set-aside"));
    let rename = |from: &Path, to: &Path| match std::fs::rename(from, to) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io { path: from.to_owned(), action: "move away", source })
        }
        _ => Ok(()),
    };
    rename(&data_dir.join(LEDGER), &aside)?;
    // Its key goes with it: a new log has a new name, so that nobody takes one for the other.
    for name in [LOG_KEY, LOG_KEY_BEFORE, LOG_KEY_PUBLIC] {
        rename(&data_dir.join(name), &aside.join(name))?;
    }
    Ok(aside)
}

/// Files in the data folder: the key that signs the log, the one before it while it still signs, and the public half.
pub const LOG_KEY: &str = "log.key";
pub const LOG_KEY_BEFORE: &str = "log.key.before";
pub const LOG_KEY_PUBLIC: &str = "log.vkey";

/// In place of what is there, and whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let unfinished = path.with_extension("witnessed.tmp");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(&unfinished, path)
    };
    write().map_err(|source| StoreError::Io { path: path.to_owned(), action: "write", source })
}

/// The index that is there, or an empty one where it cannot be used.
fn open_index(
    path: &Path,
    folder: &Path,
    ledger: &Ledger,
    block: u64,
    warnings: &mut Vec<String>,
) -> Result<Index> {
    let why = match usable_index(path, folder, block) {
        Ok(Some(index)) if index.next <= ledger.next_index() => return Ok(index),
        Ok(Some(_)) => "it knows more than the ledger has".to_owned(),
        Ok(None) => "it was missing or of another version".to_owned(),
        Err(StoreError::Index(error)) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DiskFull) => {
            error.to_string()
        }
        Err(error) => return Err(error),
    };
    remove_index(path)?;
    if ledger.next_index() > 0 {
        warnings.push(format!("the index `{}` is made anew from the ledger: {why}", path.display()));
    }
    Index::new(index::open_file(path)?, Reader::open(folder)?, block)
}

fn remove_index(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io { path: file, action: "remove", source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// `None`: there is none of this schema.
fn usable_index(path: &Path, folder: &Path, block: u64) -> Result<Option<Index>> {
    if !path.exists() {
        return Ok(None);
    }
    let conn = index::open_file(path)?;
    if index::version(&conn)? != index::SCHEMA_VERSION {
        return Ok(None);
    }
    Ok(Some(Index::new(conn, Reader::open(folder)?, block)?))
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
