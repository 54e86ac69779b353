//! What is done to a log's files behind its back is found, and named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use muster_ledger::{
    Damage, Head, Ledger, Options, Reader, Report, Tampering, TileName, VerifyError, tree, verify,
    verify_leaf,
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

fn append(ledger: &mut Ledger, indices: std::ops::Range<u64>) {
    for index in indices {
        ledger.append(&leaf(index)).unwrap();
    }
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
        // So small that of 10,000 leaves, too, some are in closed segments only for a moment.
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
        let report = check_at(dir, head, self.pruned, &self.keep).map_err(|error| error.to_string())?;
        // Bytes in the room behind the journal are told of.
        if report.torn > 0 { Err("torn".to_owned()) } else { Ok(report) }
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

/// Takes one variant of a file.
type Found<'a> = &'a mut dyn FnMut(&[u8]);

/// Puts each variant of each file in its place, one at a time, on all cores: each is to be found. Gives how many.
fn find_each(log: &Log, change: impl Fn(&[u8], Found<'_>) + Sync) -> u64 {
    let files: Vec<(&PathBuf, &Vec<u8>)> = log.files.iter().collect();
    let next = AtomicUsize::new(0);
    let count = AtomicU64::new(0);
    let work = || {
        let copy = log.copy();
        while let Some((name, bytes)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = copy.path().join(name);
            let mut variant = 0;
            change(bytes, &mut |changed| {
                std::fs::write(&path, changed).unwrap();
                let Err(error) = log.check_in(copy.path()) else {
                    panic!("change {variant} of {} is not seen", name.display());
                };
                assert!(!error.contains("os error"), "{error}");
                variant += 1;
                count.fetch_add(1, Ordering::Relaxed);
            });
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

/// Single bytes, at least so many in each file.
fn bytes(at_least: usize) -> impl Fn(&[u8], Found<'_>) + Sync {
    move |bytes, found| {
        let mut changed = bytes.to_vec();
        for at in (0..bytes.len()).step_by((bytes.len() / at_least).max(1)) {
            changed[at] ^= 1 << (at % 8);
            found(&changed);
            changed[at] = bytes[at];
        }
    }
}

/// Where records of a file end, whatever it is: every record of bundles, journal and kept leaves.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    // A segment may have room behind its last record.
    let is_segment = bytes.starts_with(b"MUSTERLG");
    let zeros = if is_segment { bytes.iter().rev().take_while(|byte| **byte == 0).count() } else { 0 };
    let used = bytes.len() - zeros;
    let framed = |start: usize, head: usize, len: &dyn Fn(usize) -> Option<usize>| {
        let mut ends = vec![start];
        let mut at = start;
        while at < used {
            at += head + len(at)?;
            ends.push(at);
        }
        (at >= used).then_some(ends)
    };
    let u16_at = |at: usize| Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    if is_segment {
        ends.extend(
            framed(64, 8, &|at| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize))
                .unwrap(),
        );
    } else if bytes.starts_with(b"example.com") {
        ends.extend((0..bytes.len()).filter(|at| bytes[*at] == b'\n'));
    } else if let Some(bundle) = framed(0, 2, &u16_at) {
        ends.extend(bundle);
    } else if let Some(kept) = framed(0, 3, &|at| u16_at(at + 1)) {
        ends.extend(kept);
    } else {
        // A tile: every eighth hash, and its last.
        ends.extend((0..bytes.len()).step_by(8 * 32).chain([bytes.len().saturating_sub(32)]));
    }
    ends.retain(|end| *end < used);
    ends.sort_unstable();
    ends.dedup();
    ends
}

#[test]
fn every_byte_of_a_small_log() {
    let log = Log::new(600, 256, &[3, 77, 255]);
    let changed = find_each(&log, bytes(usize::MAX));
    assert_eq!(changed, log.files.values().map(|bytes| bytes.len() as u64).sum::<u64>());
}

#[test]
fn bytes_of_a_log_of_ten_thousand() {
    let log = Log::new(10_000, 1024, &[0, 5, 300, 767]);
    assert!(find_each(&log, bytes(50)) > 3000);
}

/// Takes minutes: only with `MUSTER_LONG=1`.
#[test]
fn every_byte_of_a_log_of_ten_thousand() {
    if std::env::var_os("MUSTER_LONG").is_none() {
        eprintln!("skipped: it takes minutes; MUSTER_LONG=1 runs it");
        return;
    }
    let log = Log::new(10_000, 1024, &[0, 5, 300, 767]);
    let started = std::time::Instant::now();
    let changed = find_each(&log, bytes(usize::MAX));
    println!("{changed} single bytes changed, all found, in {:?}", started.elapsed());
}

#[test]
fn a_cut_at_every_record_of_ten_thousand() {
    let log = Log::new(10_000, 1024, &[0, 5, 300, 767]);
    let cuts = find_each(&log, |bytes, found| {
        records(bytes).into_iter().for_each(|end| found(&bytes[..end]));
    });
    // Each leaf that is not pruned has a record.
    assert!(cuts > 9000, "{cuts}");
}

#[test]
fn bytes_behind_the_end_of_a_file() {
    let log = Log::new(10_000, 1024, &[0, 5, 300, 767]);
    for (name, bytes) in &log.files {
        let file = name.to_str().unwrap();
        if name.starts_with("segments") || file == "lock" {
            continue;
        }
        for more in [&[0u8][..], &[0, 0], &[7; 32], &[0xff; 300]] {
            log.put(file, &[bytes, more].concat());
            log.check().expect_err(file);
        }
        log.restore(file);
    }
    // Behind the journal a leaf may be being written: told of, no more.
    let newest = log.files.keys().rfind(|name| name.starts_with("segments")).unwrap();
    log.put(newest.to_str().unwrap(), &[&log.files[newest], &[1, 2, 3][..]].concat());
    assert_eq!(log.check(), Err("torn".to_owned()));
}

#[test]
fn every_file_that_goes() {
    let log = Log::new(10_000, 1024, &[0, 5, 300, 767]);
    let mut spare = 0;
    for name in log.files.keys() {
        std::fs::remove_file(log.dir().join(name)).unwrap();
        match log.check() {
            Ok(_) => {
                assert!(log.is_spare(name), "{} went unseen", name.display());
                spare += 1;
            }
            Err(error) => assert!(
                error.contains(name.to_str().unwrap())
                    || error.contains("no checkpoint")
                    || error == "segments: it is missing"
                    || name.starts_with("kept"),
                "{error}"
            ),
        }
        log.restore(name.to_str().unwrap());
    }
    // The lock, and the tiles of the head before the last one.
    assert_eq!(spare, 3);
    log.holds();
    let head = signed(log.dir()).unwrap();
    std::fs::remove_dir_all(log.dir().join("segments")).unwrap();
    let error = check_at(log.dir(), head, log.pruned, &log.keep).unwrap_err();
    assert_eq!(error.to_string(), "segments: it is missing");
}

/// Changes some files, looks, puts them back.
#[track_caller]
fn check(log: &Log, changes: &[(&str, Vec<u8>)], leaf: u64, file: &str, what: Damage) {
    changes.iter().for_each(|(name, bytes)| log.put(name, bytes));
    let found = log.tampering();
    assert_eq!(found, Tampering { leaf: Some(leaf), file: file.to_owned(), what });
    assert!(found.to_string().contains(file), "{found}");
    changes.iter().for_each(|(name, _)| log.restore(name));
}

fn entries(bundle: &[u8]) -> Vec<&[u8]> {
    records(bundle)
        .windows(2)
        .map(|ends| &bundle[ends[0]..ends[1]])
        .chain([&bundle[*records(bundle).last().unwrap()..]])
        .collect()
}

#[test]
fn what_was_changed_is_told_apart() {
    let log = Log::new(70_000, 0, &[]);
    let name = "tile/entries/004";
    let bundle = log.get(name);
    let leaves = entries(&bundle);
    // Two leaves of one bundle; two of two bundles; two bundles.
    let mut swapped = leaves.clone();
    swapped.swap(10, 17);
    check(&log, &[(name, swapped.concat())], 1034, name, Damage::Leaf { really: Some(1041) });
    let other = log.get("tile/entries/100");
    let others = entries(&other);
    let (mut one, mut two) = (leaves.clone(), others.clone());
    std::mem::swap(&mut one[3], &mut two[9]);
    let changes = [(name, one.concat()), ("tile/entries/100", two.concat())];
    check(&log, &changes, 1027, name, Damage::Leaf { really: Some(25_609) });
    let changes = [(name, other.clone()), ("tile/entries/100", bundle.clone())];
    check(&log, &changes, 1024, name, Damage::Leaf { really: Some(25_600) });
    // Two tiles.
    let (low, high) = (log.get("tile/0/004"), log.get("tile/0/100"));
    let changes = [("tile/0/004", high.clone()), ("tile/0/100", low.clone())];
    check(&log, &changes, 1024, "tile/0/004", Damage::Tile { really: Some(25_600) });
    // A leaf left out, one put in, one made longer.
    let mut less = leaves.clone();
    less.remove(200);
    check(&log, &[(name, less.concat())], 1224, name, Damage::Leaf { really: Some(1225) });
    let mut more = leaves.clone();
    more.insert(200, b"\0\x03new");
    check(&log, &[(name, more.concat())], 1224, name, Damage::Leaf { really: None });
    more = leaves.clone();
    more.push(b"\0\x03new");
    log.put(name, &more.concat());
    assert_eq!(log.tampering().what, Damage::Trailing { bytes: 5 });
    log.restore(name);
    // A hash of each kind of tile.
    for (name, at, leaf) in [
        ("tile/0/004", 40, 1025),
        ("tile/1/000", 64, 512),
        ("tile/0/273.p/112", 96, 69_891),
        ("tile/1/001.p/17", 32, 65_792),
        ("tile/2/000.p/1", 0, 0),
    ] {
        let mut tile = log.get(name);
        tile[at] ^= 1;
        check(&log, &[(name, tile)], leaf, name, Damage::Tile { really: None });
    }
    // A leaf and its hash: nothing vouches for either.
    let mut leaves = leaves.clone();
    leaves[17] = b"\0\x05other";
    let mut tile = low.clone();
    tile[17 * 32..18 * 32].copy_from_slice(&tree::leaf_hash(b"other"));
    let changes = [(name, leaves.concat()), ("tile/0/004", tile.clone())];
    check(&log, &changes, 1024, "tile/0/004", Damage::Rewritten { first: 1024, end: 1280 });
    leaves[16] = b"\0\x05again";
    let changes = [(name, leaves.concat()), ("tile/0/004", tile.clone())];
    check(&log, &changes, 1040, "tile/0/004", Damage::Both { first: 1024, end: 1280 });
    // A leaf, and all above it up to the edge.
    leaves[16] = entries(&bundle)[16];
    let hashes: Vec<tree::Hash> = tile.as_chunks().0.to_vec();
    let mut above = log.get("tile/1/000");
    above[4 * 32..5 * 32].copy_from_slice(&perfect(&hashes));
    let mut top = log.get("tile/2/000.p/1");
    let changes = [(name, leaves.concat()), ("tile/0/004", tile.clone()), ("tile/1/000", above.clone())];
    check(&log, &changes, 0, "tile/1/000", Damage::Rewritten { first: 0, end: 65_536 });
    top.copy_from_slice(&perfect(above.as_chunks().0));
    let changes = [changes.to_vec(), vec![("tile/2/000.p/1", top)]].concat();
    check(&log, &changes, 0, "tile/0/000", Damage::Rewritten { first: 0, end: 70_000 });
    log.holds();
}

fn perfect(hashes: &[tree::Hash]) -> tree::Hash {
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            tree::node_hash(&perfect(left), &perfect(right))
        }
    }
}

#[test]
fn a_leaf_of_the_journal_with_a_good_checksum() {
    let log = Log::new(600, 0, &[]);
    let name = log.files.keys().rfind(|name| name.starts_with("segments")).unwrap().to_str().unwrap();
    let bytes = log.get(name);
    let first: u64 = name.get(9..29).unwrap().parse().unwrap();
    // A log that got another leaf there writes the checksum.
    let other = folder();
    let (mut ledger, _) = Ledger::open(other.path(), SMALL).unwrap();
    for index in 0..600 {
        ledger.append(&if index == first + 9 { b"new".to_vec() } else { leaf(index) }).unwrap();
    }
    ledger.commit(true).unwrap();
    drop(ledger);
    let forged = std::fs::read(other.path().join(name)).unwrap();
    assert_ne!(forged, bytes);
    check(&log, &[(name, forged)], first + 9, name, Damage::Leaf { really: None });
}

#[test]
fn an_old_state() {
    let log = Log::new(10_000, 0, &[]);
    // The same log, 1000 leaves ago.
    let old = Log::new(9000, 0, &[]);
    let (then, now) = (signed(old.dir()).unwrap(), signed(log.dir()).unwrap());
    for (name, bytes) in &old.files {
        let file = name.to_str().unwrap();
        if log.files.get(name).is_none_or(|new| new == bytes) || file == "checkpoint" {
            continue;
        }
        log.put(file, bytes);
        log.check().expect_err(file);
        log.restore(file);
    }
    // What one machine alone cannot know: that there was ever more. With its checkpoint the log is whole, and those who
    // saw the later head (a witness) find that this one is older: a size that falls.
    let holds = log.copy();
    std::fs::write(holds.path().join("checkpoint"), old.get("checkpoint")).unwrap();
    assert_eq!(log.check_in(holds.path()).unwrap().uncovered, 1000);
    assert_eq!(old.holds(), Report { leaves: 9000, bytes: old.holds().bytes, ..Report::default() });
    assert!(then.size < now.size);
    let reader = Reader::open(log.dir()).unwrap();
    let proof = tree::consistency(&mut reader.tiles(now.size), then.size, now.size).unwrap();
    tree::verify_consistency(then.size, &then.root, now.size, &now.root, &proof).unwrap();
    // Against the head that was seen it is caught.
    assert!(check_at(old.dir(), now, 0, &BTreeSet::new()).is_err());
}

#[test]
fn leaves_without_a_checkpoint_are_counted() {
    let dir = folder();
    let (mut ledger, _) = Ledger::open(dir.path(), SMALL).unwrap();
    append(&mut ledger, 0..1000);
    let head = ledger.publish().unwrap();
    append(&mut ledger, 1000..3000);
    ledger.publish().unwrap();
    append(&mut ledger, 3000..3100);
    ledger.commit(true).unwrap();
    let look = || check_at(dir.path(), head, 0, &BTreeSet::new());
    let report = look().unwrap();
    assert_eq!((report.leaves, report.uncovered, report.torn), (1000, 2100, 0));
    for (name, at) in [("tile/entries/008", 100), ("tile/0/009", 40), ("tile/0/011.p/184", 3)] {
        let path = dir.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        let error = look().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        std::fs::write(&path, bytes).unwrap();
    }
    look().unwrap();
    // A tile of leaves that are nowhere.
    std::fs::write(dir.path().join("tile/0/012"), [0; 8192]).unwrap();
    assert!(look().unwrap_err().to_string().contains("tile/0/012"));
}

#[test]
fn pruned_leaves_and_kept_ones() {
    let log = Log::new(3000, 1024, &[3, 300, 301]);
    let report = log.holds();
    assert_eq!((report.pruned, report.kept), (1021, 3));
    assert_eq!(report.missing, [(0, 3), (4, 300), (302, 1024)]);
    let seen = std::sync::Mutex::new(BTreeMap::new());
    let head = signed(log.dir()).unwrap();
    verify(
        log.dir(),
        head,
        &|_| true,
        &|index, leaf| drop(seen.lock().unwrap().insert(index, leaf.to_vec())),
        &|_| {},
    )
    .unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 3000 - 1021);
    assert!(seen.iter().all(|(index, bytes)| *bytes == leaf(*index)));
    // One leaf alone, as a bundle of evidence has it.
    for index in [3, 301, 1024, 2999] {
        assert_eq!(verify_leaf(log.dir(), head, index).unwrap(), leaf(index));
    }
    let error = verify_leaf(log.dir(), head, 4).unwrap_err().to_string();
    assert_eq!(error, "leaf 4 (tile/entries/000): it is missing");
    verify_leaf(log.dir(), head, 3000).unwrap_err();
    let mut kept = log.get("kept/000");
    *kept.last_mut().unwrap() ^= 1;
    log.put("kept/000", &kept);
    let error = verify_leaf(log.dir(), head, 3).unwrap_err().to_string();
    assert!(error.starts_with("leaf 3 (") && error.contains("hash"), "{error}");
    check(&log, &[("kept/000", kept)], 3, "kept/000", Damage::Leaf { really: None });
    // More may not be missing than is said.
    let error = check_at(log.dir(), head, 512, &log.keep).unwrap_err().to_string();
    assert_eq!(error, "leaf 512 (tile/entries/002): it is missing");
    // Kept, and its bundle still there.
    let whole = Log::new(3000, 0, &[]);
    whole.put("../x", b"");
    std::fs::create_dir(whole.dir().join("kept")).unwrap();
    whole.put("kept/001", &log.get("kept/001"));
    whole.holds();
    whole.put("kept/002", &log.get("kept/001"));
    assert_eq!(whole.tampering().leaf, Some(512 + 44));
}

#[test]
fn a_hostile_folder_holds_nobody_up() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let started = std::time::Instant::now();
    let log = Log::new(3000, 0, &[]);
    let head = signed(log.dir()).unwrap();
    let pipe = |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for name in log.files.keys().filter(|name| name.to_str() != Some("lock")) {
        let path = log.dir().join(name);
        let remake: [(&str, &dyn Fn()); 5] = [
            ("pipe", &|| pipe(&path)),
            ("link", &|| std::os::unix::fs::symlink("/dev/zero", &path).unwrap()),
            ("loop", &|| std::os::unix::fs::symlink(&path, &path).unwrap()),
            ("folder", &|| std::fs::create_dir(&path).unwrap()),
            ("hole", &|| std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap()),
        ];
        for (kind, make) in remake {
            std::fs::remove_file(&path).unwrap();
            make();
            let found = check_at(log.dir(), head, 0, &BTreeSet::new());
            if name.to_str() != Some("checkpoint") {
                assert!(
                    matches!(found, Err(VerifyError::Tampering(_))),
                    "{kind} {}: {found:?}",
                    name.display()
                );
            }
            assert!(signed(log.dir()).is_err() || name.to_str() != Some("checkpoint"));
            let reader = Reader::open(log.dir()).unwrap();
            let _ = (reader.read(2999), reader.read(0), reader.bytes(), reader.segments());
            assert!(reader.iter_from(0).take(10_000).count() <= 3100);
            let _ = Ledger::open(log.dir(), SMALL);
            for entry in std::fs::read_dir(log.dir()).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
                    .unwrap();
            }
            write_all(log.dir(), &log.files);
        }
    }
    // Folders that have no end.
    let deep = log.dir().join("tile/entries/x001");
    std::os::unix::fs::symlink(".", &deep).unwrap();
    assert!(log.check().unwrap_err().contains("tile/entries/x001"));
    let _ = Reader::open(log.dir()).unwrap().bytes();
    std::fs::remove_file(&deep).unwrap();
    std::fs::create_dir_all(log.dir().join("tile/0/").join("x001/".repeat(700))).unwrap();
    assert!(log.check().is_err());
    let _ = Reader::open(log.dir()).unwrap().bytes();
    std::fs::remove_dir_all(log.dir().join("tile/0/x001")).unwrap();
    for stray in [
        "tile/0/stray",
        "tile/stray",
        "tile/9/000",
        "tile/0/x000/000",
        "kept/012",
        "segments/stray",
        "kept/000.p/3",
    ] {
        std::fs::create_dir_all(log.dir().join(stray).parent().unwrap()).unwrap();
        log.put(stray, b"");
        assert!(log.check().unwrap_err().contains(stray.rsplit_once('/').unwrap().0), "{stray}");
        std::fs::remove_file(log.dir().join(stray)).unwrap();
        let _ = std::fs::remove_dir(log.dir().join(stray).parent().unwrap());
    }
    // A head that its own log's key made up.
    for size in [3001, 1 << 40, u64::MAX] {
        assert!(check_at(log.dir(), Head { size, ..head }, 0, &BTreeSet::new()).is_err());
    }
    log.holds();
    assert!(started.elapsed() < std::time::Duration::from_secs(100));
}

#[test]
fn while_a_writer_writes() {
    let dir = folder();
    let (mut ledger, _) = Ledger::open(dir.path(), SMALL).unwrap();
    append(&mut ledger, 0..1000);
    let head = ledger.publish().unwrap();
    ledger.put_checkpoint(&note(&head)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) || looks < 20 {
                let head = signed(dir.path()).unwrap();
                let report = check_at(dir.path(), head, 0, &BTreeSet::new()).unwrap();
                assert_eq!(report.leaves, head.size);
                looks += 1;
            }
        });
        // Slower than two heads in the time that it takes to read the edge.
        for index in 1000..20_000 {
            ledger.append(&leaf(index)).unwrap();
            if index % 53 == 0 {
                ledger.commit(false).unwrap();
            }
            if index % 997 == 0 {
                let head = ledger.publish().unwrap();
                ledger.put_checkpoint(&note(&head)).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
