//! Reads files in places from which others run something: what an agent planted there, and what stood there before. In a thread of
//! its own: a file system that an agent made may never answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use muster_contain::mounts;
use muster_engine::{AgentId, ArtefactRead, FileAt, Input, Mark, Persistence, glob};
use muster_event::{Nanos, ProcessKey, redact, redact_argv};
use muster_sensor::now_ns;

/// Longest text that is read of one file: the readers look at no more.
const TEXT_MAX: u64 = 64 * 1024;
/// Files that wait to be read: beyond it they are answered unread.
const WAITING_MAX: usize = 1_024;
/// Files that are read before anybody changes them: a busy server has some hundreds.
const BEFORE_MAX: usize = 2_048;
/// Entries of one folder that are looked at, and homes.
const ENTRIES_MAX: usize = 1_024;
const HOMES_MAX: usize = 256;
/// How often it is looked whether somebody else changed one of them.
const AGAIN: Duration = Duration::from_secs(30);
/// What was changed so short a time ago may be an agent's, of which the engine has not heard yet.
const SETTLED: Duration = Duration::from_secs(5);
/// Folders that are looked into as far as there are such places in them.
const FOLDERS: [&str; 4] = ["/etc", "/var", "/run", "/usr/local"];

pub struct Request {
    pub agent: AgentId,
    pub path: String,
    pub mechanism: String,
    /// Who wrote it, and when.
    pub process: ProcessKey,
    pub since_ns: Nanos,
    /// Some of its lineage, which may have the same mounts.
    pub others: Vec<ProcessKey>,
}

/// The thread's other end.
pub struct Artefacts {
    requests: SyncSender<Request>,
}

impl Artefacts {
    /// `before`: also tell what stands in such places now.
    pub fn start(before: bool, answer: impl Fn(Input) + Send + 'static) -> std::io::Result<Self> {
        let (requests, waiting) = sync_channel(WAITING_MAX);
        thread::Builder::new().name("artefacts".to_owned()).spawn(move || run(&waiting, before, &answer))?;
        Ok(Self { requests })
    }

    /// The answer, where there is none from the thread.
    pub fn ask(&self, request: Request) -> Option<Input> {
        let refused = match self.requests.try_send(request) {
            Ok(()) => return None,
            Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) => request,
        };
        let read = Found::failed("too many files wait to be read".to_owned());
        Some(read.input(refused.agent, refused.path))
    }
}

fn run(waiting: &Receiver<Request>, before: bool, answer: &dyn Fn(Input)) {
    let mut known = BTreeMap::new();
    if before {
        look_before(&mut known, answer);
    }
    loop {
        match waiting.recv_timeout(AGAIN) {
            Ok(request) => answer(read_of(&request).input(request.agent, request.path)),
            Err(RecvTimeoutError::Timeout) if before => look_before(&mut known, answer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What a file starts, with its secrets cut out; or why it was not read.
#[derive(Default)]
struct Found {
    commands: Vec<Vec<String>>,
    unit: Option<String>,
    marks: Vec<Mark>,
    error: Option<String>,
    file: Option<FileAt>,
}

impl Found {
    fn failed(error: String) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    fn input(self, agent: AgentId, path: String) -> Input {
        let Self { commands, unit, marks, error, file } = self;
        let time_ns = now_ns();
        Input::ArtefactRead(ArtefactRead { agent, path, time_ns, commands, unit, marks, error, file })
    }
}

/// The file that the lineage wrote: where it has mounts of its own, that is not the machine's file of the same path.
fn read_of(request: &Request) -> Found {
    let Request { path, mechanism, process, since_ns, others, .. } = request;
    match mounts::find(Path::new(path), *process, others, *since_ns) {
        mounts::Found::Here(it) => {
            let mut found = read(path, mechanism);
            found.file = it.map(|(device, inode)| FileAt { path: path.clone(), device, inode });
            found
        }
        mounts::Found::There(it) => {
            let mut found = starts(path, mechanism, it.open().and_then(text_in));
            found.file = Some(file_at(&it));
            found
        }
        mounts::Found::Unknown => {
            Found::failed("the lineage has mounts of its own: which file it is is not known".to_owned())
        }
    }
}

/// As it is stored.
pub fn file_at(it: &mounts::There) -> FileAt {
    let path = it.path.as_ref().and_then(|path| path.to_str()).unwrap_or_default().to_owned();
    FileAt { path, device: it.device, inode: it.inode }
}

fn read(path: &str, mechanism: &str) -> Found {
    starts(path, mechanism, text_of(Path::new(path)))
}

fn starts(path: &str, mechanism: &str, text: std::io::Result<String>) -> Found {
    match text {
        Ok(text) => {
            let starts = Persistence::built_in().read(path, mechanism, &text);
            let commands = starts.commands.iter().map(|command| redact_argv(command)).collect();
            let marks =
                starts.marks.into_iter().map(|mark| Mark { text: redact(&mark.text).into_owned(), ..mark });
            Found { commands, unit: starts.unit, marks: marks.collect(), ..Found::default() }
        }
        Err(error) => Found::failed(error.to_string()),
    }
}

/// The text of a regular file; no link is followed, no device or pipe opened for good.
fn text_of(path: &Path) -> std::io::Result<String> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    text_in(fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?)
}

fn text_in(file: File) -> std::io::Result<String> {
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(TEXT_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Inode, size and time of change of a file that was read.
type Stamp = (u64, u64, i64, i64);

/// Tells what such files start that no agent is known to have written: all at first, later what has changed.
fn look_before(known: &mut BTreeMap<PathBuf, Stamp>, answer: &dyn Fn(Input)) {
    let first = known.is_empty();
    let homes = homes();
    let mut files = BTreeSet::new();
    for pattern in Persistence::built_in().read_before() {
        match pattern.strip_prefix("~/") {
            Some(inside) => homes.iter().for_each(|home| expand(home, inside, &mut files)),
            None if FOLDERS.iter().any(|folder| pattern.starts_with(&format!("{folder}/"))) => {
                expand(Path::new("/"), pattern.trim_start_matches('/'), &mut files);
            }
            None => {}
        }
    }
    for path in files.into_iter().take(BEFORE_MAX) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let stamp = (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
        let settled = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if known.get(&path) == Some(&stamp) || !first && settled.is_none_or(|since| since < SETTLED) {
            continue;
        }
        let Some(text) = path.to_str() else { continue };
        let places: Vec<&str> = homes.iter().filter_map(|home| home.to_str()).collect();
        let Some(mechanism) = Persistence::built_in().at(text, &places) else { continue };
        // A link starts nothing by its own text.
        let found = if meta.is_file() { read(text, &mechanism.name) } else { Found::default() };
        answer(found.input(AgentId::new(), text.to_owned()));
        known.insert(path, stamp);
    }
    if first {
        let homes = homes.iter().filter_map(|home| home.to_str().map(str::to_owned));
        let looked = FOLDERS.iter().map(|folder| (*folder).to_owned()).chain(homes).collect();
        let told = Found { commands: vec![looked], ..Found::default() };
        answer(told.input(AgentId::new(), String::new()));
    }
}

/// The homes of people, as far as the system names them.
fn homes() -> BTreeSet<PathBuf> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
    let of_people =
        named.filter(|home| home.starts_with("/home") || home == Path::new("/root") || is_deep(home));
    let entries = fs::read_dir("/home").into_iter().flatten().flatten().map(|entry| entry.path());
    of_people.chain(entries.take(HOMES_MAX)).filter(|home| home.is_dir()).take(HOMES_MAX).collect()
}

/// `/data/ann`, but no folder of the system.
fn is_deep(home: &Path) -> bool {
    const SYSTEM: [&str; 9] = ["/", "/bin", "/sbin", "/usr", "/var", "/dev", "/proc", "/run", "/nonexistent"];
    home.components().count() > 2 && !SYSTEM.iter().skip(1).any(|folder| home.starts_with(folder))
}

/// The files at a pattern within a folder; `**` is not followed.
fn expand(folder: &Path, pattern: &str, out: &mut BTreeSet<PathBuf>) {
    if out.len() >= BEFORE_MAX {
        return;
    }
    let (name, rest) = pattern.split_once('/').map_or((pattern, None), |(name, rest)| (name, Some(rest)));
    if name == "**" {
        return;
    }
    if !name.contains(['*', '?']) {
        return next(&folder.join(name), rest, out);
    }
    let wanted = name.replace('?', "*");
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .take(ENTRIES_MAX)
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| glob(&wanted, name)))
        .map(|entry| entry.path())
        .collect();
    names.sort();
    for path in names {
        next(&path, rest, out);
    }
}

fn next(path: &Path, rest: Option<&str>, out: &mut BTreeSet<PathBuf>) {
    match rest {
        Some(rest) => expand(path, rest, out),
        None => {
            if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_dir()) {
                out.insert(path.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("crontab");
        fs::write(&file, "* * * * * /tmp/b --password=hunter2hunter2\n").unwrap();
        let read_of = |path: &Path| read(path.to_str().unwrap(), "cron");
        assert_eq!(read_of(&file).commands.len(), 1);
        assert!(!format!("{:?}", read_of(&file).commands).contains("hunter2"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(read_of(&link).error.is_some());
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(read_of(&pipe).error.as_deref(), Some("no regular file"));
        assert!(read_of(dir.path()).error.is_some());
        assert!(read_of(Path::new("/dev/zero")).error.is_some());
        let long = dir.path().join("long");
        fs::write(&long, "* * * * * /tmp/b\n".repeat(100_000)).unwrap();
        assert_eq!(text_of(&long).unwrap().len() as u64, TEXT_MAX);
    }

    #[test]
    fn patterns_are_expanded_within_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/x.d/1.conf", "a/y.d/2.conf", "a/y.d/2.txt", "a/z"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut found = BTreeSet::new();
        expand(dir.path(), "a/*.d/*.conf", &mut found);
        expand(dir.path(), "a/z", &mut found);
        expand(dir.path(), "a/none", &mut found);
        let names: Vec<String> = found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a/x.d/1.conf", "a/y.d/2.conf", "a/z"]);
    }
}
