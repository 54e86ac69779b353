//! Reads accounts as they grow: one thread, woken by inotify and by the clock, that hands over whole records.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use inotify::{Inotify, WatchDescriptor, WatchMask};
use muster_account::{Format, Framing, Reader};
use muster_engine::{AccountFile, AccountRecord, AgentId, Input};
use sha2::{Digest, Sha256};

mod open;
mod rows;
mod settled;

use muster_sensor::now_ns;
use rows::Database;
pub use rows::read_database;

/// How often files are looked at even if nothing was heard (inotify can overflow, and is absent on some file systems).
const SWEEP: Duration = Duration::from_millis(500);
/// Longest wait for a sign of change.
const WAIT: Duration = Duration::from_millis(25);
/// How often what was read before is read again, where the file changed without growing.
const VERIFY: Duration = Duration::from_secs(3);
/// Bytes per block of the memory of what was read: its hash tells where a rewrite began.
const BLOCK: usize = 64 * 1024;
/// Bytes read from one file before the next has its turn.
const TURN: usize = 4 * 1024 * 1024;

/// Files that are read at a time, all agents together. More are left out, and each says so.
const FILES_MAX: usize = 50_000;

pub enum Request {
    /// `cwd` and `since_ns` (the agent's start) tell whose a session is, where several agents share one file.
    Follow { agent: AgentId, path: String, format: Format, cwd: String, since_ns: u64 },
    /// This agent ended: another one may go on with its sessions.
    Ended { agent: AgentId },
    /// Nothing of this agent any more.
    Forget { agent: AgentId },
}

struct Followed {
    agent: AgentId,
    format: Format,
    reader: Reader,
    offset: u64,
    inode: u64,
    /// When its inode changed last: unlike the time of its last change, nobody sets that.
    changed: (i64, i64),
    /// Hashes of whole blocks that were read.
    blocks: Vec<[u8; 32]>,
    /// What was read after the last whole block.
    rest: Vec<u8>,
    verified: Instant,
    gone: bool,
    /// It was told that it cannot be read.
    unreadable: bool,
}

/// Runs until the requests' sender is gone. Each message is an `Input` for the engine.
pub fn run(requests: &Receiver<Request>, send: &dyn Fn(Input)) {
    let mut files: BTreeMap<String, Followed> = BTreeMap::new();
    let mut databases: BTreeMap<String, Database> = BTreeMap::new();
    let mut watches: HashMap<WatchDescriptor, String> = HashMap::new();
    let mut inotify = Inotify::init().ok();
    let mut buffer = vec![0u8; 64 * 1024];
    let mut swept = Instant::now();
    loop {
        match requests.recv_timeout(WAIT) {
            Ok(Request::Follow { agent, path, format, cwd, since_ns })
                if format.framing() == Framing::Rows =>
            {
                let database = databases.entry(path.clone()).or_insert_with(|| Database::new(&path));
                database.add(agent, cwd, since_ns, send);
            }
            Ok(Request::Follow { agent, path, format, .. }) => {
                if let Some(inotify) = &mut inotify
                    && let Ok(watch) = inotify.watches().add(
                        &path,
                        WatchMask::MODIFY | WatchMask::MOVE_SELF | WatchMask::DELETE_SELF | WatchMask::ATTRIB,
                    )
                {
                    watches.insert(watch, path.clone());
                }
                follow(&mut files, agent, path, format, send);
            }
            Ok(Request::Ended { agent }) => {
                databases.values_mut().for_each(|database| database.end(&agent));
                for (path, file) in files.iter_mut().filter(|(_, file)| file.agent == agent) {
                    // What was changed since the last look would else wait for the next change.
                    verify(path, file, send);
                    while look(path, file, send) {}
                }
            }
            Ok(Request::Forget { agent }) => {
                files.retain(|_, file| file.agent != agent);
                databases.retain(|_, database| !database.remove(&agent));
                watches.retain(|watch, path| {
                    let keep = files.contains_key(path);
                    if !keep && let Some(inotify) = &inotify {
                        // It fails where the file is gone, and its watch with it.
                        drop(inotify.watches().remove(watch.clone()));
                    }
                    keep
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(inotify) = &mut inotify
            && let Ok(events) = inotify.read_events(&mut buffer)
        {
            let mut changed: Vec<String> = events.filter_map(|e| watches.get(&e.wd).cloned()).collect();
            changed.sort();
            changed.dedup();
            for path in changed {
                if let Some(file) = files.get_mut(&path) {
                    while look(&path, file, send) {}
                }
            }
        }
        databases.values_mut().for_each(|database| database.look(send));
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            look_at_all(&mut files, send);
        }
    }
}

fn look_at_all(files: &mut BTreeMap<String, Followed>, send: &dyn Fn(Input)) {
    for (path, file) in files.iter_mut() {
        while look(path, file, send) {}
    }
}

fn follow(
    files: &mut BTreeMap<String, Followed>,
    agent: AgentId,
    path: String,
    format: Format,
    send: &dyn Fn(Input),
) {
    match files.get_mut(&path) {
        Some(file) if file.agent == agent => return,
        // Another agent goes on with the session: what the first one said is taken first.
        Some(file) => while look(&path, file, send) {},
        None => {}
    }
    files.remove(&path);
    if files.len() >= FILES_MAX {
        let error = format!("{FILES_MAX} accounts are read already");
        send(Input::AccountState {
            agent,
            path,
            time_ns: now_ns(),
            state: AccountFile::Unreadable { error },
        });
        return;
    }
    send(Input::AccountState {
        agent: agent.clone(),
        path: path.clone(),
        time_ns: now_ns(),
        state: AccountFile::Opened { format: format.name().to_owned() },
    });
    let mut file = Followed {
        agent,
        format,
        reader: Reader::new(format),
        offset: 0,
        inode: 0,
        changed: (0, 0),
        blocks: Vec::new(),
        rest: Vec::new(),
        verified: Instant::now(),
        gone: false,
        unreadable: false,
    };
    while look(&path, &mut file, send) {}
    files.insert(path, file);
}

/// Is what was read still there?
fn verify(path: &str, file: &mut Followed, send: &dyn Fn(Input)) {
    let Ok(opened) = File::open(path) else { return };
    let same = opened.metadata().is_ok_and(|meta| meta.ino() == file.inode && meta.size() >= file.offset);
    if !same || file.offset == 0 || file.format.framing() != Framing::Lines {
        return;
    }
    file.verified = Instant::now();
    if let Some(offset) = first_difference(&opened, file) {
        send(Input::AccountState {
            agent: file.agent.clone(),
            path: path.to_owned(),
            time_ns: now_ns(),
            state: AccountFile::Rewritten { offset },
        });
        restart(file);
    }
}

/// Reads what is new. `true`: there is more.
fn look(path: &str, file: &mut Followed, send: &dyn Fn(Input)) -> bool {
    let report = |file: &Followed, state| {
        send(Input::AccountState {
            agent: file.agent.clone(),
            path: path.to_owned(),
            time_ns: now_ns(),
            state,
        });
    };
    // Products that write a file for each event leave thousands: what did not change is not opened.
    if file.inode != 0
        && let Ok(meta) = std::fs::metadata(path)
        && (meta.ino(), meta.size(), (meta.ctime(), meta.ctime_nsec()))
            == (file.inode, file.offset, file.changed)
    {
        file.gone = false;
        if file.unreadable && File::open(path).is_ok() {
            read_again(path, file, send);
        }
        return false;
    }
    let opened = match File::open(path) {
        Ok(opened) => opened,
        Err(error) => {
            if !file.gone {
                file.gone = true;
                let state = if error.kind() == std::io::ErrorKind::NotFound {
                    // Never read: it may be about to be made.
                    if file.inode == 0 {
                        file.gone = false;
                        return false;
                    }
                    AccountFile::Deleted
                } else {
                    file.unreadable = true;
                    AccountFile::Unreadable { error: error.to_string() }
                };
                report(file, state);
            }
            return false;
        }
    };
    let Ok(meta) = opened.metadata() else { return false };
    file.gone = false;
    if !meta.is_file() {
        return false;
    }
    if file.inode != 0 && (meta.ino(), meta.size()) == (file.inode, file.offset) {
        // There is nothing to read, and it could be.
        read_again(path, file, send);
    }
    let append_only = file.format.framing() == Framing::Lines;
    if file.inode != 0 && file.inode != meta.ino() {
        // A writer that replaces its file whole (older Gemini CLI) does so with the same beginning.
        if append_only && !same_beginning(&opened, file) {
            report(file, AccountFile::Replaced);
        }
        restart(file);
    } else if append_only && meta.size() < file.offset {
        report(file, AccountFile::Truncated { from: file.offset, to: meta.size() });
        restart(file);
    }
    let touched = (meta.ctime(), meta.ctime_nsec());
    if file.inode != 0 && touched == file.changed && meta.size() == file.offset {
        return false;
    }
    if append_only && file.offset > 0 && (meta.size() == file.offset || file.verified.elapsed() > VERIFY) {
        if meta.size() == file.offset && file.verified.elapsed() < VERIFY {
            return false;
        }
        file.verified = Instant::now();
        if let Some(offset) = first_difference(&opened, file) {
            report(file, AccountFile::Rewritten { offset });
            restart(file);
        }
    }
    file.inode = meta.ino();
    if append_only {
        read_on(path, opened, file, touched, meta.size(), send)
    } else {
        file.changed = touched;
        file.offset = meta.size();
        read_whole(path, opened, file, send);
        false
    }
}

fn read_on(
    path: &str,
    mut opened: File,
    file: &mut Followed,
    changed: (i64, i64),
    size: u64,
    send: &dyn Fn(Input),
) -> bool {
    if opened.seek(SeekFrom::Start(file.offset)).is_err() {
        return false;
    }
    let mut bytes = Vec::new();
    if let Err(error) = opened.take(TURN as u64).read_to_end(&mut bytes) {
        cannot_be_read(path, file, &error, send);
        return false;
    }
    read_again(path, file, send);
    file.offset += bytes.len() as u64;
    remember(file, &bytes);
    if file.offset >= size {
        file.changed = changed;
    }
    hand_over(path, file, &bytes, send);
    bytes.len() == TURN
}

fn read_whole(path: &str, mut opened: File, file: &mut Followed, send: &dyn Fn(Input)) {
    /// Largest account that is one document; larger ones are reported as unreadable.
    const DOCUMENT_MAX: u64 = 256 * 1024 * 1024;
    let mut bytes = Vec::new();
    match opened.by_ref().take(DOCUMENT_MAX).read_to_end(&mut bytes) {
        Ok(_) => {
            read_again(path, file, send);
            hand_over(path, file, &bytes, send);
        }
        Err(error) => cannot_be_read(path, file, &error, send),
    }
}

/// Told once, until it can be read again.
fn cannot_be_read(path: &str, file: &mut Followed, error: &std::io::Error, send: &dyn Fn(Input)) {
    if !std::mem::replace(&mut file.unreadable, true) {
        send(Input::AccountState {
            agent: file.agent.clone(),
            path: path.to_owned(),
            time_ns: now_ns(),
            state: AccountFile::Unreadable { error: error.to_string() },
        });
    }
}

fn read_again(path: &str, file: &mut Followed, send: &dyn Fn(Input)) {
    if std::mem::take(&mut file.unreadable) {
        send(Input::AccountState {
            agent: file.agent.clone(),
            path: path.to_owned(),
            time_ns: now_ns(),
            state: AccountFile::Opened { format: file.format.name().to_owned() },
        });
    }
}

fn hand_over(path: &str, file: &mut Followed, bytes: &[u8], send: &dyn Fn(Input)) {
    for record in file.reader.feed(bytes) {
        send(Input::Account(AccountRecord {
            agent: file.agent.clone(),
            path: path.to_owned(),
            offset: record.offset,
            len: record.len,
            sha256: record.sha256,
            time_ns: now_ns(),
            raw: record.raw,
            items: record.items,
        }));
    }
}

fn restart(file: &mut Followed) {
    file.reader = Reader::new(file.format);
    file.offset = 0;
    file.blocks.clear();
    file.rest.clear();
    file.changed = (0, 0);
}

fn remember(file: &mut Followed, bytes: &[u8]) {
    file.rest.extend_from_slice(bytes);
    let whole = file.rest.len() / BLOCK * BLOCK;
    for block in file.rest.get(..whole).unwrap_or_default().chunks(BLOCK) {
        file.blocks.push(Sha256::digest(block).into());
    }
    file.rest.drain(..whole);
}

/// Where what was read before differs from what stands there now.
fn first_difference(opened: &File, file: &Followed) -> Option<u64> {
    let mut opened = opened;
    opened.seek(SeekFrom::Start(0)).ok()?;
    let mut block = vec![0u8; BLOCK];
    for (at, hash) in file.blocks.iter().enumerate() {
        let offset = (at * BLOCK) as u64;
        if opened.read_exact(&mut block).is_err() || <[u8; 32]>::from(Sha256::digest(&block)) != *hash {
            return Some(offset);
        }
    }
    let start = (file.blocks.len() * BLOCK) as u64;
    let mut rest = vec![0u8; file.rest.len()];
    if opened.read_exact(&mut rest).is_err() {
        return Some(start);
    }
    rest.iter().zip(&file.rest).position(|(now, then)| now != then).map(|at| start + at as u64)
}

fn same_beginning(opened: &File, file: &Followed) -> bool {
    first_difference(opened, file).is_none()
}
