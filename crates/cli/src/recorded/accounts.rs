//! Accounts beside a record: a first look for whose they are, then their records in the order of what they say.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Result;
use muster_account::{Body, Format, Framing, Reader, Record};
use muster_engine::{AccountRecord, Input};
use muster_event::Nanos;

use crate::tail::read_database;

const PIECE: usize = 1 << 20;
const DOCUMENT_MAX: u64 = 256 << 20;
/// Sessions of one file that are remembered.
const SESSIONS_MAX: usize = 64;

/// An account as its file has it, record by record.
pub struct Account {
    pub path: PathBuf,
    pub name: String,
    file: Option<File>,
    reader: Reader,
    piece: Vec<u8>,
    waiting: VecDeque<AccountRecord>,
    /// The latest time that it named.
    time_ns: Nanos,
    read: u64,
    pub unknown: u64,
    pub torn: usize,
}

/// What a first reading tells.
#[derive(Default)]
pub struct Said {
    pub first_ns: Option<Nanos>,
    pub last_ns: Option<Nanos>,
    pub sessions: Vec<String>,
    pub cwd: Option<String>,
}

impl Account {
    pub fn open(path: PathBuf, name: String, format: Format) -> Result<Account> {
        let mut account = Account {
            file: None,
            reader: Reader::new(format),
            piece: Vec::new(),
            waiting: VecDeque::new(),
            time_ns: 0,
            read: 0,
            unknown: 0,
            torn: 0,
            path,
            name,
        };
        match format.framing() {
            Framing::Rows => {
                let mut rows = Vec::new();
                // Whose they are is said when they are handed out.
                read_database(&account.name, "", &mut |input| rows.push(input))?;
                for input in rows {
                    if let Input::Account(record) = input {
                        account.push(record);
                    }
                }
            }
            Framing::Document => {
                let mut bytes = Vec::new();
                File::open(&account.path)?.take(DOCUMENT_MAX).read_to_end(&mut bytes)?;
                account.read = bytes.len() as u64;
                let records = account.reader.feed(&bytes);
                account.take(records);
            }
            Framing::Lines => {
                account.file = Some(File::open(&account.path)?);
                account.piece = vec![0; PIECE];
            }
        }
        Ok(account)
    }

    /// What names no time was said at this one.
    pub fn begin(&mut self, time_ns: Nanos) {
        self.time_ns = self.time_ns.max(time_ns);
        for record in &mut self.waiting {
            record.time_ns = record.time_ns.max(time_ns);
        }
    }

    /// Time of the next record, by what it says; of one that says none, by the one before it.
    pub fn next_ns(&mut self) -> Result<Option<Nanos>> {
        self.fill()?;
        Ok(self.waiting.front().map(|record| record.time_ns))
    }

    pub fn next(&mut self) -> Result<Option<AccountRecord>> {
        self.fill()?;
        Ok(self.waiting.pop_front())
    }

    pub fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    fn fill(&mut self) -> Result<()> {
        while self.waiting.is_empty()
            && let Some(file) = &mut self.file
        {
            let read = file.read(&mut self.piece)?;
            self.read += read as u64;
            let records = if read == 0 {
                self.file = None;
                let last = self.reader.finish();
                self.torn = self.reader.waiting();
                self.unknown = self.reader.unknown().values().sum();
                Vec::from_iter(last)
            } else {
                self.reader.feed(self.piece.get(..read).unwrap_or_default())
            };
            self.take(records);
        }
        Ok(())
    }

    fn take(&mut self, records: Vec<Record>) {
        for record in records {
            let record = AccountRecord {
                agent: String::new(),
                path: self.name.clone(),
                offset: record.offset,
                len: record.len,
                sha256: record.sha256,
                time_ns: 0,
                raw: record.raw,
                items: record.items,
            };
            self.push(record);
        }
    }

    /// It was read when it was said: nobody watched it being written.
    fn push(&mut self, mut record: AccountRecord) {
        let said = record.items.iter().filter_map(|item| item.time_ns).max();
        self.time_ns = self.time_ns.max(said.unwrap_or_default());
        record.time_ns = self.time_ns;
        self.waiting.push_back(record);
    }
}

/// Reads an account once.
pub fn look(mut account: Account, progress: &mut dyn FnMut(u64)) -> Result<Said> {
    let mut said = Said::default();
    said.sessions.extend(muster_account::locate(&account.name).and_then(|place| place.session));
    while let Some(record) = account.next()? {
        progress(account.take_read());
        for item in record.items {
            if let Some(time_ns) = item.time_ns {
                said.first_ns = Some(said.first_ns.map_or(time_ns, |first| first.min(time_ns)));
                said.last_ns = Some(said.last_ns.map_or(time_ns, |last| last.max(time_ns)));
            }
            if let Body::Session { id, cwd, .. } = item.body {
                said.cwd = said.cwd.or(cwd);
                if !id.is_empty() && said.sessions.len() < SESSIONS_MAX && !said.sessions.contains(&id) {
                    said.sessions.push(id);
                }
            }
        }
    }
    Ok(said)
}
