//! The file of a record, as a stream of events, and what a first look at it tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use muster_engine::{Identified, Products};
use muster_event::{Event, Kind, Nanos, ProcessKey};
use muster_trace::{Form, Options, Part, Parts, Record, Unreadable, Warning, Warnings, detect};

use crate::exit::usage;

/// Bytes read at a time.
const PIECE: usize = 1 << 20;
/// Bytes of a file that are looked at to know its form.
const HEAD: usize = 64 * 1024;
/// Agents of one record, and account files that each opened: a run has one of each.
const ROOTS_MAX: usize = 256;
const ACCOUNTS_MAX: usize = 256;

pub struct Source {
    pub path: PathBuf,
    /// As it is named to people.
    pub name: String,
    pub form: Form,
    pub bytes: u64,
}

impl Source {
    pub fn open(path: &Path) -> Result<Source> {
        let shown = muster_event::sanitize(&path.to_string_lossy());
        let unreadable = |error: std::io::Error| usage(format!("cannot read the record `{shown}`: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        // It is read twice.
        if !meta.is_file() {
            return Err(usage(format!(
                "the record `{shown}` is no file\nhint: keep it in one, then import that"
            )));
        }
        let mut head = Vec::new();
        file.take(HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
        let form = detect(&head).map_err(|error| match error {
            Unreadable::NoDates => usage(format!(
                "the record `{shown}` has no dates\nhint: record with `strace -f -ttt -s 65536 -y -o FILE …`"
            )),
            Unreadable::Unknown => usage(format!(
                "`{shown}` is no record of a known form\nhint: it can be the log of `strace -f -ttt`, or the output of `muster events --json`"
            )),
        })?;
        let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Ok(Source {
            path: path.to_owned(),
            name: full.to_string_lossy().into_owned(),
            form,
            bytes: meta.len(),
        })
    }

    /// In words: ``strace `/tmp/log` ``.
    pub fn words(&self) -> String {
        format!("{} `{}`", self.form.name(), self.name)
    }

    pub fn events(&self, cwd: Option<&str>) -> std::io::Result<Events> {
        let options = Options {
            is_sensitive: muster_sensor::is_sensitive,
            is_marker: muster_sensor::is_marker,
            cwd: cwd.map(str::to_owned),
        };
        Ok(Events {
            file: Some(File::open(&self.path)?),
            record: Record::new(self.form, options),
            waiting: Vec::new().into_iter(),
            piece: vec![0; PIECE],
            read: 0,
        })
    }
}

pub struct Events {
    file: Option<File>,
    pub record: Record,
    waiting: std::vec::IntoIter<Event>,
    piece: Vec<u8>,
    /// Bytes read since this was last asked.
    read: u64,
}

impl Events {
    pub fn next(&mut self) -> std::io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.waiting.next() {
                return Ok(Some(event));
            }
            let Some(file) = &mut self.file else { return Ok(None) };
            let read = file.read(&mut self.piece)?;
            self.read += read as u64;
            self.waiting = if read == 0 {
                self.file = None;
                self.record.finish()
            } else {
                self.record.feed(self.piece.get(..read).unwrap_or_default())
            }
            .into_iter();
        }
    }

    pub fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }
}

/// An agent that a record shows.
pub struct Root {
    pub process: ProcessKey,
    pub identified: Identified,
    pub from_ns: Nanos,
    /// Accounts that its own processes wrote, and which process did, where only one did.
    pub accounts: BTreeMap<String, Option<ProcessKey>>,
}

/// What a first reading tells.
pub struct Survey {
    pub first_ns: Nanos,
    pub last_ns: Nanos,
    pub parts: Parts,
    pub warnings: Warnings,
    /// Processes whose end the record would not show, and when they were last seen.
    pub unended: BTreeSet<(Nanos, ProcessKey)>,
    pub roots: Vec<Root>,
}

/// The products whose accounts are given.
pub type Wanted = std::collections::BTreeSet<String>;

/// The product that an execution is, by its names alone.
pub fn identify(
    products: &Products,
    wanted: &Wanted,
    path: &str,
    script: Option<&str>,
    argv: &[String],
) -> Option<Identified> {
    let script = crate::identify::script_of(path, script, argv, "/");
    let script = script.as_deref().and_then(std::path::Path::to_str);
    let shown = |name: &String| {
        let product = products.get(name)?;
        let by = product.shown_by_name(path, script, argv)?;
        let launcher = product.identity.package.iter().any(|p| p.launcher && by.contains(&p.name));
        Some(Identified { product: name.clone(), version: None, by, launcher })
    };
    wanted.iter().find_map(shown)
}

/// Reads a record once, for what must be known before anything is decided.
pub fn survey(
    source: &Source,
    products: &Products,
    wanted: &Wanted,
    cwd: Option<&str>,
    progress: &mut dyn FnMut(u64),
) -> Result<Survey> {
    let mut events = source.events(cwd)?;
    let (mut first_ns, mut last_ns) = (Nanos::MAX, 0);
    let mut first = None;
    let mut writer = None;
    let mut roots: Vec<Root> = Vec::new();
    let mut seen: HashMap<ProcessKey, Nanos> = HashMap::new();
    let mut root_of: HashMap<ProcessKey, usize> = HashMap::new();
    while let Some(event) = events.next()? {
        progress(events.take_read());
        first_ns = first_ns.min(event.time_ns);
        last_ns = last_ns.max(event.time_ns);
        seen.insert(event.process, event.time_ns);
        first.get_or_insert(event.process);
        match &event.kind {
            Kind::Fork { child } => {
                seen.insert(*child, event.time_ns);
                if let Some(root) = root_of.get(&event.process).copied() {
                    root_of.insert(*child, root);
                }
            }
            Kind::Exec { path, script, argv, .. } if !root_of.contains_key(&event.process) => {
                if let Some(identified) = identify(products, wanted, path, script.as_deref(), argv)
                    && roots.len() < ROOTS_MAX
                {
                    root_of.insert(event.process, roots.len());
                    roots.push(Root {
                        process: event.process,
                        identified,
                        from_ns: event.time_ns,
                        accounts: BTreeMap::new(),
                    });
                }
            }
            Kind::Exit { .. } => {
                seen.remove(&event.process);
                root_of.remove(&event.process);
            }
            Kind::Open { path, access, result } if access.write && *result >= 0 => {
                let place = muster_account::locate(path);
                match root_of.get(&event.process).and_then(|root| roots.get_mut(*root)) {
                    Some(root) => {
                        if place.is_some()
                            && (root.accounts.len() < ACCOUNTS_MAX || root.accounts.contains_key(path))
                        {
                            let writer = root.accounts.entry(path.clone()).or_insert(Some(event.process));
                            *writer = writer.filter(|known| *known == event.process);
                        }
                    }
                    None => {
                        let product = place.map(|place| place.format.name().to_owned());
                        if let (None, Some(product)) = (&writer, product.filter(|name| wanted.contains(name)))
                        {
                            writer = Some((event.process, event.time_ns, product, path.clone()));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let Some(first) = first else {
        let shown = muster_event::sanitize(&source.name);
        return Err(usage(format!(
            "the record `{shown}` shows no act\nhint: trace at least `execve`, `clone`, `openat`, `rename`, `unlink`, `connect`"
        )));
    };
    // No program of a known name: who keeps an account is the agent, else who was started first.
    if let (true, Some(product)) = (roots.is_empty(), wanted.first()) {
        let (process, from_ns, product, by, accounts) = match writer {
            Some((process, from_ns, product, path)) => {
                (process, from_ns, product, "process that writes the account", vec![(path, Some(process))])
            }
            None => (first, first_ns, product.clone(), "first process of the record", Vec::new()),
        };
        let by = format!("{by}, no program of a known name");
        let identified = Identified { product, version: None, by, launcher: false };
        roots.push(Root { process, identified, from_ns, accounts: accounts.into_iter().collect() });
    }
    let parts = events.record.parts();
    // A process that signals would have shown to die may only have been quiet.
    let unended = if parts.shows(Part::Signals) && parts.shows(Part::Exit) {
        BTreeSet::new()
    } else {
        seen.into_iter().map(|(process, time_ns)| (time_ns, process)).collect()
    };
    Ok(Survey { first_ns, last_ns, parts, unended, warnings: events.record.warnings(), roots })
}

impl Survey {
    /// What the record does not show, by name, and why.
    pub fn blind(&self, account_last_ns: Option<Nanos>) -> BTreeMap<String, String> {
        /// The account's last word may come a little after the last act.
        const AFTER_NS: Nanos = 5_000_000_000;
        let mut out: BTreeMap<String, String> = self
            .parts
            .blind()
            .map(|part| (part.name().to_owned(), "the record does not show it".to_owned()))
            .collect();
        let lost = self.warnings.lost();
        if lost > 0 {
            out.insert("record:torn".to_owned(), format!("{lost} lines or events are missing or unreadable"));
        }
        if self.warnings.get(Warning::UnknownFolder) > 0 {
            out.insert(
                "record:folders".to_owned(),
                "some paths are relative to a folder it never names".to_owned(),
            );
        }
        let after = account_last_ns.map_or(0, |last| last.saturating_sub(self.last_ns));
        if after > AFTER_NS {
            out.insert(
                "record:rest".to_owned(),
                format!("it ends {} s before the account does", after / 1_000_000_000),
            );
        }
        out
    }
}
