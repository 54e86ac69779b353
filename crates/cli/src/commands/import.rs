//! `muster import`: finished runs, from files: their accounts, and with `--record` what they did.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_account::{Format, Framing, Reader, detect, locate};
use muster_engine::{AccountRecord, AgentId, Engine, Imported, Input, Output, Products, Rules};
use muster_sensor::now_ns;
use muster_server::{Retention, Store, StoreReader};
use muster_trace::Form;

use crate::Global;
use crate::exit::{Exit, usage};
use crate::judge::{Counts, Judge, JudgeOptions, Outcome};
use crate::recorded::{self, Source};
use crate::tail::read_database;
use crate::{data_files, log_key, redaction};

/// Bytes read at a time: what an import holds in memory does not grow with its files.
const PIECE: usize = 1 << 20;
/// Bytes of a file that are looked at to know its format.
const HEAD: usize = 64 * 1024;
const DOCUMENT_MAX: u64 = 256 << 20;
/// The record is made durable after so many bytes.
const COMMIT: u64 = 64 << 20;

#[derive(Args)]
pub struct Import {
    /// Files, or folders that are searched for accounts of all known products.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A record of the same run, to hold the accounts against: the log of `strace -f -ttt` or the output of
    /// `muster events --json`. May be given several times.
    #[arg(long, value_name = "FILE")]
    record: Vec<PathBuf>,
    /// The format of files that cannot be told by name or content.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Print what was read as one JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    judge: JudgeOptions,
}

/// A file, and whose it is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Account {
    agent: AgentId,
    path: PathBuf,
    /// As the record names it.
    name: String,
    session: Option<String>,
    format: Format,
}

impl Account {
    fn new(engine: &Engine, path: PathBuf, format: Format) -> Self {
        // A file that is gone by now is told of when it is read.
        let name = fs::canonicalize(&path).unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned();
        let session = locate(&name).and_then(|l| l.session);
        let agent = engine.imported_agent(format.name(), &name, session.as_deref());
        Self { agent, path, name, session, format }
    }
}

/// An import under way.
pub struct Work {
    products: Products,
    pub rules: Arc<Rules>,
    pub engine: Engine,
    pub store: Store,
    pub agents: BTreeSet<AgentId>,
    records: u64,
    items: u64,
    bytes: u64,
    uncommitted: u64,
    unknown: u64,
    bar: ProgressBar,
    begun: Instant,
    data: PathBuf,
    judge: Option<Judge>,
    /// The agent whose files are read now.
    current: Option<AgentId>,
}

impl Import {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let judge = self.judge.open()?;
        let mut files = Vec::new();
        let mut skipped = Vec::new();
        for path in &self.paths {
            let meta = fs::metadata(path)
                .map_err(|error| usage(format!("cannot read `{}`: {error}", path.display())))?;
            if meta.is_dir() {
                search(path, &mut files);
                continue;
            }
            match self.format.or_else(|| format_of(path)) {
                Some(format) => files.push((path.clone(), format, meta.len())),
                None => skipped.push(path.clone()),
            }
        }
        for path in &skipped {
            let shown = muster_event::sanitize(&path.to_string_lossy());
            eprintln!("import: `{shown}` is no account of a known format; name it with --format");
        }
        if files.is_empty() {
            return Err(usage("no account was found\nhint: give the transcript files, or --format"));
        }
        // What cannot be read is told of before anything is written.
        let sources: Vec<Source> =
            self.record.iter().map(|path| Source::open(path)).collect::<Result<_>>()?;
        let (mut store, repaired) = Store::open(&global.data, Retention::UNLIMITED).map_err(|error| {
            usage(format!(
                "{error}\nhint: a daemon may be using this folder; import into another: --data DIR"
            ))
        })?;
        // Another Muster's events were redacted with that one's key: they can only be compared without commitments.
        if sources.iter().all(|source| source.form != Form::Events) {
            redaction::begin(&global.data)?;
        }
        for line in repaired {
            eprintln!("import: {line}");
        }
        // Its key is told of by `muster key`.
        log_key::begin(&global.data, &mut store, now_ns())?;
        let bytes: u64 = files.iter().map(|(_, _, len)| len).sum();
        // With a record, all is read twice.
        let recorded: u64 = sources.iter().map(|source| source.bytes).sum();
        let total = if sources.is_empty() { bytes } else { 2 * (bytes + recorded) };
        let products = Products::built_in()?;
        let rules = data_files::rules(&global.data)?;
        let engine = Engine::with_rules(products.clone(), Arc::clone(&rules));
        let mut files: Vec<Account> =
            files.into_iter().map(|(path, format, _)| Account::new(&engine, path, format)).collect();
        // All files of an agent one after the other: then the engine need not remember those before it.
        files.sort();
        let mut work = Work {
            products: products.clone(),
            rules,
            engine,
            store,
            agents: BTreeSet::new(),
            records: 0,
            items: 0,
            bytes: 0,
            uncommitted: 0,
            unknown: 0,
            bar: bar(total),
            begun: Instant::now(),
            data: global.data.clone(),
            judge,
            current: None,
        };
        let begun = Instant::now();
        let mut unreadable = 0;
        let count = files.len();
        let mut outcome = None;
        if !sources.is_empty() {
            let given: Vec<_> = files.iter().map(|a| (a.path.clone(), a.name.clone(), a.format)).collect();
            let found = recorded::reconcile(&mut work, &products, &sources, &given)?;
            let mut alone = Vec::new();
            for (at, why) in &found.alone {
                let Some(account) = files.get(*at) else { continue };
                let shown = muster_event::sanitize(&account.path.to_string_lossy());
                let why = muster_event::sanitize(why);
                work.bar.suspend(|| eprintln!("import: `{shown}` is taken without a record: {why}"));
                unreadable += 1;
                alone.push(*at);
            }
            let mut at = 0;
            files.retain(|_| {
                at += 1;
                alone.contains(&(at - 1))
            });
            outcome = Some(found);
        }
        for account in &files {
            if let Err(error) = work.file(account) {
                unreadable += 1;
                let shown = muster_event::sanitize(&account.path.to_string_lossy());
                work.bar.suspend(|| eprintln!("import: `{shown}`: {error}"));
            }
        }
        if !files.is_empty() {
            work.take(Input::Tick { time_ns: now_ns(), boot_ns: 0, asleep_ns: 0 })?;
            work.take(Input::Stop { time_ns: now_ns() })?;
        }
        work.ask_model()?;
        work.store.commit(true)?;
        work.store.checkpoint()?;
        work.bar.finish_and_clear();
        work.tell(
            self.json,
            count,
            unreadable,
            begun.elapsed().as_secs_f64(),
            outcome.as_ref(),
            files.len(),
        )?;
        Ok(if unreadable + skipped.len() > 0 { Exit::Usage } else { Exit::Nothing })
    }
}

impl Work {
    fn tell(
        &self,
        json: bool,
        files: usize,
        unreadable: usize,
        seconds: f64,
        outcome: Option<&recorded::Outcome>,
        alone: usize,
    ) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            let mut summary = serde_json::json!({
                "files": files, "agents": self.agents, "records": self.records, "items": self.items,
                "bytes": self.bytes, "unknown_records": self.unknown, "unreadable_files": unreadable,
                "seconds": seconds, "account_only": alone,
            });
            if let (Some(judge), Some(fields)) = (&self.judge, summary.as_object_mut()) {
                fields.insert("opinions".to_owned(), counted(&judge.counts));
            }
            if let (Some(found), Some(fields)) = (outcome, summary.as_object_mut()) {
                let recorded = serde_json::json!({
                    "events": found.events, "reconciled": found.accounts, "findings": found.findings,
                    "warnings": found.warnings,
                });
                fields.insert("record".to_owned(), recorded);
            }
            return Ok(writeln!(out, "{summary}")?);
        }
        let rate = self.bytes as f64 / 1e6 / seconds.max(1e-9);
        writeln!(
            out,
            "imported {files} files of {} agents: {} records, {} items, {:.1} MB in {seconds:.1} s ({rate:.1} MB/s)",
            self.agents.len(),
            self.records,
            self.items,
            self.bytes as f64 / 1e6,
        )?;
        if let Some(found) = outcome {
            writeln!(
                out,
                "reconciled {} accounts with the record of {} agents, {} events: {} findings",
                found.accounts, found.agents, found.events, found.findings
            )?;
            for (words, count) in &found.warnings {
                writeln!(out, "of the record: {count} {words}")?;
            }
        }
        if alone > 0 {
            let which = if outcome.is_some() { format!("{alone} of them ") } else { String::new() };
            writeln!(
                out,
                "{which}account only: what was done is not known, so only contradictions within are found (--record FILE adds a record)"
            )?;
        }
        if self.unknown > 0 {
            writeln!(
                out,
                "{} records are of kinds that Muster does not interpret; they are kept",
                self.unknown
            )?;
        }
        if let Some(Counts { answers, opinions, dropped, unusable, not_asked }) =
            self.judge.as_ref().map(|judge| judge.counts)
        {
            writeln!(
                out,
                "a model gave {opinions} opinions in {answers} answers; dropped: {dropped} opinions that do not \
                 hold and {unusable} answers; not asked about: {not_asked} agents"
            )?;
        }
        Ok(())
    }

    /// Bytes that were read, for whoever waits.
    pub fn progress(&mut self, bytes: u64) {
        /// What takes less needs no bar.
        const PATIENCE: Duration = Duration::from_secs(2);
        self.bytes += bytes;
        self.uncommitted += bytes;
        if self.bar.is_hidden() && std::io::stderr().is_terminal() && self.begun.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(bytes);
    }

    /// Makes durable what was taken, from time to time.
    pub fn commit_some(&mut self) -> Result<()> {
        if self.uncommitted >= COMMIT {
            self.uncommitted = 0;
            self.store.commit(false)?;
        }
        Ok(())
    }

    fn take(&mut self, input: Input) -> Result<()> {
        self.store.append(&input)?;
        let outputs = self.engine.step(input);
        self.apply(outputs)
    }

    fn apply(&mut self, outputs: Vec<Output>) -> Result<()> {
        for output in outputs {
            // Orders to a daemon mean nothing here.
            if matches!(
                output,
                Output::Agent(_)
                    | Output::Join(_)
                    | Output::Finding(_)
                    | Output::Claim(_)
                    | Output::Opinion(_)
                    | Output::Gap(_)
            ) {
                self.store.apply(&output)?;
            }
        }
        Ok(())
    }

    /// Ends what the engine knows: nothing of one imported agent concerns another, and all together may be too much.
    fn begin_agent(&mut self, agent: &AgentId) -> Result<()> {
        if !self.agents.insert(agent.clone()) {
            return Ok(());
        }
        let rest = self.engine.step(Input::Stop { time_ns: now_ns() });
        self.apply(rest)?;
        self.ask_model()?;
        self.current = Some(agent.clone());
        self.engine = Engine::with_rules(self.products.clone(), Arc::clone(&self.rules));
        Ok(())
    }

    /// With `--judge`: what a model thinks of the agent that was just read. The engine must still know that one.
    fn ask_model(&mut self) -> Result<()> {
        let (Some(judge), Some(agent)) = (&mut self.judge, &self.current) else { return Ok(()) };
        self.store.commit(false)?;
        let reader = StoreReader::open(&self.data)?;
        let bar = &self.bar;
        match judge.consider(&reader, agent, &|line| bar.suspend(|| eprintln!("{line}"))) {
            Outcome::Opinions(opinions) => self.take(Input::Opinion(opinions)),
            Outcome::Nothing => Ok(()),
            // An import does not wait: the same command asks again.
            Outcome::Later(_) => {
                judge.counts.not_asked += 1;
                Ok(())
            }
        }
    }

    fn file(&mut self, account: &Account) -> Result<()> {
        let Account { agent, path, name, session, format } = account;
        let format = *format;
        self.begin_agent(agent)?;
        self.take(Input::Imported(Imported {
            time_ns: now_ns(),
            product: format.name().to_owned(),
            path: name.clone(),
            session: session.clone(),
        }))?;
        match format.framing() {
            Framing::Rows => {
                let mut failed = None;
                let mut records = Vec::new();
                read_database(name, agent, &mut |input| records.push(input))
                    .unwrap_or_else(|e| failed = Some(e));
                for input in records {
                    if let Input::Account(record) = &input {
                        self.count(record);
                    }
                    self.take(input)?;
                }
                if let Some(error) = failed {
                    return Err(error.into());
                }
            }
            Framing::Document => {
                let mut bytes = Vec::new();
                File::open(path)?.take(DOCUMENT_MAX).read_to_end(&mut bytes)?;
                let mut reader = Reader::new(format);
                self.records(reader.feed(&bytes), agent, name)?;
                self.progress(bytes.len() as u64);
                self.commit_some()?;
            }
            Framing::Lines => {
                let mut reader = Reader::new(format);
                let mut file = File::open(path)?;
                let mut piece = vec![0u8; PIECE];
                loop {
                    let read = file.read(&mut piece)?;
                    if read == 0 {
                        break;
                    }
                    let records = reader.feed(piece.get(..read).unwrap_or_default());
                    self.records(records, agent, name)?;
                    self.progress(read as u64);
                    self.commit_some()?;
                }
                self.records(Vec::from_iter(reader.finish()), agent, name)?;
                if reader.waiting() > 0 {
                    let shown = muster_event::sanitize(name);
                    let torn = reader.waiting();
                    self.bar.suspend(|| eprintln!("import: `{shown}` ends in a torn line of {torn} bytes"));
                }
                self.unknown += reader.unknown().values().sum::<u64>();
            }
        }
        Ok(())
    }

    fn records(&mut self, records: Vec<muster_account::Record>, agent: &str, path: &str) -> Result<()> {
        for record in records {
            let record = AccountRecord {
                agent: agent.to_owned(),
                path: path.to_owned(),
                offset: record.offset,
                len: record.len,
                sha256: record.sha256,
                time_ns: now_ns(),
                raw: record.raw,
                items: record.items,
            };
            self.count(&record);
            self.take(Input::Account(record))?;
        }
        Ok(())
    }

    pub fn count(&mut self, record: &AccountRecord) {
        self.records += 1;
        self.items += record.items.len() as u64;
    }
}

fn counted(counts: &Counts) -> serde_json::Value {
    serde_json::json!({
        "answers": counts.answers, "opinions": counts.opinions, "dropped": counts.dropped,
        "unusable_answers": counts.unusable, "agents_not_asked": counts.not_asked,
    })
}

/// Hidden at first: most imports are over before anybody waits.
fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    if let Ok(style) =
        ProgressStyle::with_template("import {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

fn format_of(path: &Path) -> Option<Format> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD as u64).read_to_end(&mut head).ok()?;
    detect(&head, &path.to_string_lossy())
}

/// Accounts in a folder, by their names alone: other files of a home folder are not opened.
fn search(folder: &Path, files: &mut Vec<(PathBuf, Format, u64)>) {
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            // Links are not followed: they may lead in a circle.
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file()
                && let Some(found) = locate(&path.to_string_lossy())
            {
                let len = entry.metadata().map_or(0, |m| m.len());
                files.push((path, found.format, len));
            }
        }
    }
}
