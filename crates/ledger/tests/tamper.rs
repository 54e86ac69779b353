//! What is done to a log's files behind its back is found, and named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use muster_ledger::{
    Damage, Head, Ledger, Options, Reader, Report, Tampering, TileName, VerifyError, tree, verify, verify_leaf,
};

const SMALL: Options = Options { segment_bytes: 5000, block: 256 };

/// A folder in memory where there is one: these tests write a lot.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(Some("/dev/shm").filter(|it| Path::new(it).is_dir()).unwrap_or("/tmp")).unwrap()
}

fn leaf(index: u64) -> Vec<u8> {
    let salt = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    salt.to_le_bytes()[..1 + (index % 7) as usize].to_vec()
}

/// Stands in for a signature: nobody who changes the text has the key.
fn signature(body: &str) -> String {
    tree::leaf_hash(format!("key {body}").as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn note(head: &Head) -> Vec<u8> {
    let body = format!("example.com/log\n{}", head.lines());
    format!("{body}\n\u{2014} example.com/log {}\n", signature(&body)).into_bytes()
}

/// The head of the checkpoint that stands in the folder, once its signature is found good.
fn signed(dir: &Path) -> Result<Head, String> {
    let bytes = Reader::open(dir)
        .and_then(|reader| reader.checkpoint())
        .map_err(|error| error.to_string())?
        .ok_or("no checkpoint")?;
    let text = String::from_utf8(bytes.clone()).map_err(|_| "no text")?;
    let (body, _) = text.split_once("\n\n").ok_or("no note")?;
    let head = Head::parse(body).ok_or("no checkpoint")?;
    if note(&head) == bytes { Ok(head) } else { Err("checkpoint: the signature is wrong".to_owned()) }
}

fn check_at(dir: &Path, head: Head, pruned: u64, keep: &BTreeSet<u64>) -> Result<Report, VerifyError> {
    verify(dir, head, &|leaf| leaf < pruned && !keep.contains(&leaf), &|_, _| {}, &|_| {})
}

/// A log, and all that its folder held.
struct Log {
    dir: tempfile::TempDir,
    files: BTreeMap<PathBuf, Vec<u8>>,
    pruned: u64,
    keep: BTreeSet<u64>,
}

impl Log {
    fn new(count: u64, pruned: u64, keep: &[u64]) -> Log {
        let dir = folder();
        let keep: BTreeSet<u64> = keep.iter().copied().collect();
        let (mut ledger, _) = Ledger::open(dir.path(), SMALL).unwrap();
        for index in 0..count {
            ledger.append(&leaf(index)).unwrap();
            if index == count - 5 {
                let head = ledger.publish().unwrap();
                ledger.put_checkpoint(&note(&head)).unwrap();
            }
        }
        let head = ledger.publish().unwrap();
        ledger.put_checkpoint(&note(&head)).unwrap();
        ledger.prune(pruned, &keep).unwrap();
        drop(ledger);
        let files = files(dir.path());
        let log = Log { dir, files, pruned, keep };
        log.holds();
        log
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn check(&self) -> Result<Report, String> {
        self.check_in(self.dir())
    }

    fn check_in(&self, dir: &Path) -> Result<Report, String> {
        let head = signed(dir)?;
        check_at(dir, head, self.pruned, &self.keep).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn tampering(&self) -> Tampering {
        match check_at(self.dir(), signed(self.dir()).unwrap(), self.pruned, &self.keep) {
            Err(VerifyError::Tampering(tampering)) => tampering,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn holds(&self) -> Report {
        self.check().unwrap()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir().join(name), bytes).unwrap();
    }

    fn get(&self, name: &str) -> Vec<u8> {
        self.files[Path::new(name)].clone()
    }

    fn restore(&self, name: &str) {
        self.put(name, &self.get(name));
    }

    fn copy(&self) -> tempfile::TempDir {
        let dir = folder();
        write_all(dir.path(), &self.files);
        dir
    }

    /// Files of which nothing is lost if they go: what a reader of the head before this one may still ask for, and the
    /// journal where its leaves are in bundles.
    fn is_spare(&self, name: &Path) -> bool {
        let head = signed(self.dir()).unwrap();
        let name = name.to_str().unwrap();
        if let Some(tile) = TileName::parse(name) {
            let hashes = head.size >> (8 * tile.level.unwrap_or(0));
            return !tile.is_full() && (tile.index, tile.width) != (hashes / 256, hashes % 256);
        }
        name == "lock"
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn write_all(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (name, bytes) in files {
        std::fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Changes every `step`th byte of every file (each at `at_least` places), one at a time, on all cores; gives how many.
fn change_bytes(log: &Log, at_least: usize, most: usize) -> u64 {
    let files: Vec<(&PathBuf, &Vec<u8>)> = log.files.iter().collect();
    let next = AtomicUsize::new(0);
    let count = AtomicU64::new(0);
    let work = || {
        let copy = log.copy();
        while let Some((name, bytes)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = copy.path().join(name);
            let step = (bytes.len() / most.max(at_least)).max(1);
            let mut changed = (*bytes).clone();
            for at in (0..bytes.len()).step_by(step) {
                changed[at] ^= 1 << (at % 8);
                std::fs::write(&path, &changed).unwrap();
                let Err(error) = log.check_in(copy.path()) else {
                    panic!("a change of byte {at} of {} is not seen", name.display());
                };
                assert!(!error.contains("No such file"), "{error}");
                changed[at] = bytes[at];
                count.fetch_add(1, Ordering::Relaxed);
            }
            std::fs::write(&path, bytes).unwrap();
        }
        log.check_in(copy.path()).unwrap();
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().unwrap().get()).for_each(|_| {
            scope.spawn(work);
        });
    });
    count.into_inner()
}

#[test]
fn every_byte_of_a_small_log() {
    let log = Log::new(600, 256, &[3, 77, 255]);
    let changed = change_bytes(&log, usize::MAX, usize::MAX);
    let bytes: usize = log.files.values().map(Vec::len).sum();
    assert_eq!(changed, bytes as u64);
}

#[test]
fn bytes_of_a_log_of_ten_thousand() {
    let log = Log::new(10_000, 1024, &[0, 5, 300, 767]);
    assert!(change_bytes(&log, 50, 50) > 3000);
}

#[test]
#[ignore = "half an hour: every byte of 10,000 leaves"]
fn every_byte_of_a_log_of_ten_thousand() {
    let log = Log::new(10_000, 1024, &[0, 5, 300, 767]);
    let started = std::time::Instant::now();
    let changed = change_bytes(&log, usize::MAX, usize::MAX);
    println!("{changed} single bytes changed, all found, in {:?}", started.elapsed());
}
