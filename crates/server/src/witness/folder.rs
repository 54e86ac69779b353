//! The witness's files: for each log one, which is replaced as a whole and durably before anything is said; and evidence.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use muster_ledger::note::Note;
use muster_ledger::witness::{REQUEST_MAX, Request, Seen, file_name};

use super::WitnessError;

/// Largest file about one log: a note as long as a request may be, and the heads before it.
const FILE_MAX: u64 = 2 * REQUEST_MAX as u64;
/// Cases of evidence about one log. Each is told of once anyway; with more than these, something is sent on purpose.
const EVIDENCE_MAX: usize = 256;

/// A case of evidence that is being written.
const UNFINISHED: &str = "unfinished";

/// A checkpoint that was refused, and the one that it contradicts.
pub(super) struct Case<'a> {
    pub origin: &'a str,
    /// One word.
    pub what: &'a str,
    /// Unix, seconds.
    pub time: u64,
    pub cosigned: &'a Note,
    pub request: &'a Request,
    /// In plain words.
    pub about: &'a str,
}

pub(super) enum Kept {
    New(PathBuf),
    /// This very checkpoint was refused before.
    Before,
    /// There is too much of it already.
    TooMany,
}

pub(super) struct Folder {
    dir: PathBuf,
    /// Holds the lock: two witnesses with one memory could vouch for two histories.
    _lock: File,
}

fn wrap(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WitnessError {
    let path = path.to_owned();
    move |source| WitnessError::Io { path, action, source }
}

impl Folder {
    pub(super) fn open(dir: &Path) -> Result<Folder, WitnessError> {
        for dir in [dir.to_owned(), dir.join("logs"), dir.join("refused")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(wrap("make", &dir))?;
        }
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(wrap("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { dir: dir.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(WitnessError::Locked { path: dir.to_owned() }),
            Err(fs::TryLockError::Error(source)) => Err(wrap("lock", &path)(source)),
        }
    }

    fn path(&self, origin: &str) -> PathBuf {
        self.dir.join("logs").join(file_name(origin))
    }

    pub(super) fn read(&self, origin: &str) -> Result<Option<Seen>, WitnessError> {
        let path = self.path(origin);
        let bytes = match fs::metadata(&path).and_then(|meta| {
            if meta.len() > FILE_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { fs::read(&path) }
        }) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(wrap("read", &path)(source)),
        };
        let seen = Seen::parse(&bytes).map_err(|source| WitnessError::Damaged { path, source })?;
        Ok(Some(seen))
    }

    /// When this returns, what was seen outlives a crash of the machine.
    pub(super) fn write(&self, origin: &str, seen: &Seen) -> Result<(), WitnessError> {
        let path = self.path(origin);
        let unfinished = self.dir.join("logs").join(format!("{}.new", file_name(origin)));
        write_synced(&unfinished, &seen.to_bytes()).map_err(wrap("write", &unfinished))?;
        // CRASH: the file is still what it was; the unfinished one is written over.
        fs::rename(&unfinished, &path).map_err(wrap("replace", &path))?;
        sync_folder(&self.dir.join("logs"))
    }

    /// Names of the cases of evidence about a log, the oldest first.
    pub(super) fn evidence(&self, origin: &str) -> Vec<String> {
        let entries = fs::read_dir(self.evidence_path(origin)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name != UNFINISHED)
            .take(EVIDENCE_MAX)
            .collect();
        names.sort();
        names
    }

    pub(super) fn evidence_path(&self, origin: &str) -> PathBuf {
        self.dir.join("refused").join(file_name(origin))
    }

    /// Puts both checkpoints into a folder of their own.
    pub(super) fn keep(&self, case: &Case<'_>) -> Result<Kept, WitnessError> {
        let of_log = self.evidence_path(case.origin);
        DirBuilder::new().recursive(true).mode(0o700).create(&of_log).map_err(wrap("make", &of_log))?;
        let refused = case.request.note.to_string();
        let hash = file_name(&refused);
        let hash = hash.rsplit_once('-').map_or("", |(_, hash)| hash);
        let there = self.evidence(case.origin);
        if there.iter().any(|name| name.ends_with(hash)) {
            return Ok(Kept::Before);
        }
        if there.len() >= EVIDENCE_MAX {
            return Ok(Kept::TooMany);
        }
        let path = of_log.join(format!("{}-{}-{hash}", case.time, case.what));
        let unfinished = of_log.join(UNFINISHED);
        drop(fs::remove_dir_all(&unfinished));
        DirBuilder::new().mode(0o700).create(&unfinished).map_err(wrap("make", &unfinished))?;
        let files = [
            ("cosigned", case.cosigned.to_bytes()),
            ("refused", refused.into_bytes()),
            ("request", case.request.to_bytes()),
            ("about", case.about.as_bytes().to_vec()),
        ];
        for (name, bytes) in files {
            let file = unfinished.join(name);
            write_synced(&file, &bytes).map_err(wrap("write", &file))?;
        }
        sync_folder(&unfinished)?;
        fs::rename(&unfinished, &path).map_err(wrap("name", &path))?;
        sync_folder(&of_log)?;
        Ok(Kept::New(path))
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> Result<(), WitnessError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(wrap("keep", path))
}
