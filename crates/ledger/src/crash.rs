//! The power fails, a thousand times: at every `// CRASH:` point, at any act, on a disk that keeps of what was not waited
//! for whatever it likes.
//!
//! `Recorder` passes the writer's acts through to a folder and remembers them. From the acts up to any moment `Fallen`
//! makes a folder as a power cut may leave it: what was synced is there; of each file each page, and the length, is as it
//! was at any moment since; of each folder's names the first few changes are made, or none. There a new writer opens the
//! log, and goes on until the next cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, RealDisk};
use crate::tree::{self, Hash};
use crate::{Head, Ledger, Options, Reader, verify};

/// What happened, in order.
#[derive(Clone, Debug)]
enum Act {
    MakeDir(PathBuf),
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    SetLen(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir(PathBuf),
    SyncAll,
    Point(&'static str),
    /// The writer was told of this.
    Told(Promise),
}

#[derive(Clone, Copy, Debug)]
enum Promise {
    /// So many leaves were handed over.
    Appended(u64),
    /// So many are on the disk.
    Durable(u64),
    Checkpoint(u64),
    /// Leaves below this may go from now on.
    Prune(u64),
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Act>>);

impl Recorder {
    fn acts(&self) -> MutexGuard<'_, Vec<Act>> {
        self.0.lock().unwrap()
    }

    fn tell(&self, promise: Promise) {
        self.acts().push(Act::Told(promise));
    }

    fn done<T>(&self, act: Act, result: io::Result<T>) -> io::Result<T> {
        if result.is_ok() {
            self.acts().push(act);
        }
        result
    }
}

impl Disk for Recorder {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.done(Act::MakeDir(path.to_owned()), RealDisk.make_dir(path))
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        self.done(Act::Create(path.to_owned()), RealDisk.create(path))
    }
    fn write_at(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let act = Act::Write(path.to_owned(), offset, bytes.to_vec());
        self.done(act, RealDisk.write_at(path, file, bytes, offset))
    }
    fn set_len(&self, path: &Path, file: &File, len: u64) -> io::Result<()> {
        self.done(Act::SetLen(path.to_owned(), len), RealDisk.set_len(path, file, len))
    }
    fn sync(&self, path: &Path, _: &File) -> io::Result<()> {
        self.done(Act::Sync(path.to_owned()), Ok(()))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.done(Act::Rename(from.to_owned(), to.to_owned()), RealDisk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.done(Act::Remove(path.to_owned()), RealDisk.remove(path))
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.done(Act::Remove(path.to_owned()), RealDisk.remove_dir(path))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.done(Act::SyncDir(path.to_owned()), Ok(()))
    }
    fn sync_all(&self, _: &Path) -> io::Result<()> {
        self.done(Act::SyncAll, Ok(()))
    }
    fn point(&self, name: &'static str) {
        self.acts().push(Act::Point(name));
    }
}

/// A generator of this test's own: a failure is repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// A file or folder, and what has happened to it since it was last waited for.
#[derive(Clone, Default)]
struct Node {
    is_dir: bool,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// For a folder: its names on the disk, and how they changed since.
    names: BTreeMap<PathBuf, usize>,
    changes: Vec<Rename>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Clone)]
enum Rename {
    Put(PathBuf, usize),
    Gone(PathBuf),
    Move(PathBuf, PathBuf),
}

/// How willful the disk is.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    KeepsNothing,
    KeepsAll,
    Any,
}

/// The file system as the acts left it, with all that a power cut may still take back.
struct Model {
    base: PathBuf,
    nodes: Vec<Node>,
    /// As running programs see it.
    now: BTreeMap<PathBuf, usize>,
}

impl Model {
    fn new(base: &Path) -> Model {
        let mut model = Model { base: base.to_owned(), nodes: Vec::new(), now: BTreeMap::new() };
        model.load(base);
        model
    }

    /// What is there is there for good. Gives the number of the node.
    fn load(&mut self, path: &Path) -> usize {
        let number = self.nodes.len();
        self.nodes.push(Node::default());
        self.now.insert(path.to_owned(), number);
        if path.is_dir() {
            self.nodes[number].is_dir = true;
            for entry in std::fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                let child = self.load(&path);
                self.nodes[number].names.insert(path, child);
            }
        } else {
            self.nodes[number].durable = std::fs::read(path).unwrap();
        }
        number
    }

    fn folder(&mut self, path: &Path) -> &mut Node {
        let number = self.now[path.parent().unwrap()];
        &mut self.nodes[number]
    }

    fn put(&mut self, path: &Path, is_dir: bool) {
        let number = self.nodes.len();
        self.nodes.push(Node { is_dir, ..Node::default() });
        self.now.insert(path.to_owned(), number);
        self.folder(path).changes.push(Rename::Put(path.to_owned(), number));
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::MakeDir(path) => {
                let missing: Vec<&Path> =
                    path.ancestors().take_while(|it| !self.now.contains_key(*it)).collect();
                missing.into_iter().rev().for_each(|path| self.put(path, true));
            }
            Act::Create(path) => match self.now.get(path) {
                Some(number) => self.nodes[*number].pending.push(Change::SetLen(0)),
                None => self.put(path, false),
            },
            Act::Write(path, offset, bytes) => {
                let number = self.now[path];
                self.nodes[number].pending.push(Change::Write(*offset, bytes.clone()));
            }
            Act::SetLen(path, len) => {
                let number = self.now[path];
                self.nodes[number].pending.push(Change::SetLen(*len));
            }
            Act::Sync(path) => {
                let number = self.now[path];
                self.nodes[number].settle();
            }
            Act::Rename(from, to) => {
                assert_eq!(from.parent(), to.parent());
                let number = self.now.remove(from).unwrap();
                self.now.insert(to.clone(), number);
                self.folder(from).changes.push(Rename::Move(from.clone(), to.clone()));
            }
            Act::Remove(path) => {
                self.folder(path).changes.push(Rename::Gone(path.clone()));
                self.now.remove(path);
            }
            Act::SyncDir(path) => {
                if let Some(number) = self.now.get(path) {
                    self.nodes[*number].settle_names(usize::MAX);
                }
            }
            Act::SyncAll => self.nodes.iter_mut().for_each(|node| {
                node.settle();
                node.settle_names(usize::MAX);
            }),
            Act::Point(_) | Act::Told(_) => {}
        }
    }

    /// Writes what the cut left.
    fn fall(mut self, random: &mut Random, to: &Path) {
        let mood = match random.below(6) {
            0 => Mood::KeepsNothing,
            1 => Mood::KeepsAll,
            _ => Mood::Any,
        };
        let page = if random.below(2) == 0 { 512 } else { 4096 };
        for node in &mut self.nodes {
            let count = node.changes.len();
            node.settle_names(match mood {
                Mood::KeepsNothing => 0,
                Mood::KeepsAll => count,
                Mood::Any => random.below(count as u64 + 1) as usize,
            });
            node.fall(random, mood, page);
        }
        let base = self.base.clone();
        self.write(&base, 0, to);
    }

    fn write(&self, path: &Path, number: usize, to: &Path) {
        let place = to.join(path.strip_prefix(&self.base).unwrap());
        let node = &self.nodes[number];
        if node.is_dir {
            std::fs::create_dir_all(&place).unwrap();
            node.names.iter().for_each(|(path, number)| self.write(path, *number, to));
        } else {
            std::fs::write(place, &node.durable).unwrap();
        }
    }
}

impl Node {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::SetLen(len) => bytes.resize(*len as usize, 0),
            Change::Write(offset, new) => {
                let end = *offset as usize + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset as usize..end].copy_from_slice(new);
            }
        }
    }

    fn settle(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            Node::apply(&mut self.durable, &change);
        }
    }

    fn settle_names(&mut self, count: usize) {
        let count = count.min(self.changes.len());
        for change in self.changes.drain(..count) {
            match change {
                Rename::Put(path, number) => drop(self.names.insert(path, number)),
                Rename::Gone(path) => drop(self.names.remove(&path)),
                Rename::Move(from, to) => {
                    if let Some(number) = self.names.remove(&from) {
                        self.names.insert(to, number);
                    }
                }
            }
        }
    }

    /// Each page, and the length, is as it was at some moment since the last sync.
    fn fall(&mut self, random: &mut Random, mood: Mood, page: usize) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() || mood == Mood::KeepsNothing {
            return;
        }
        let mut states = vec![self.durable.clone()];
        for change in &pending {
            let mut next = states.last().unwrap().clone();
            Node::apply(&mut next, change);
            states.push(next);
            // Enough to choose from: what lies between is like it.
            if states.len() > 40 {
                states.remove(1 + random.below(38) as usize);
            }
        }
        let count = states.len() as u64;
        let pick = |random: &mut Random| match mood {
            Mood::KeepsAll => count as usize - 1,
            _ if random.below(2) == 0 => count as usize - 1,
            _ => random.below(count) as usize,
        };
        let len = states[pick(random)].len();
        let mut bytes = vec![0; len];
        for from in (0..len).step_by(page) {
            let state = &states[pick(random)];
            let end = (from + page).min(len).min(state.len());
            if from < end {
                bytes[from..end].copy_from_slice(&state[from..end]);
            }
        }
        self.durable = bytes;
    }
}

/// RFC 6962, 2.1, word by word.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => tree::empty_root(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
            tree::node_hash(&naive(left), &naive(right))
        }
    }
}

fn checkpoint(head: &Head) -> Vec<u8> {
    format!("example.com/log\n{}\n\u{2014} example.com/log AAAAAA==\n", head.lines()).into_bytes()
}

const OPTIONS: Options = Options { segment_bytes: 6000, block: 512 };
/// At one log the power fails so often at most: then it has seen enough.
const LIVES: u64 = 12;

/// What is known of a log from outside.
#[derive(Default)]
struct Known {
    leaves: Vec<Vec<u8>>,
    hashes: Vec<Hash>,
    durable: u64,
    checkpoint: u64,
    pruned: u64,
    keep: BTreeSet<u64>,
}

impl Known {
    fn root(&self, size: u64) -> Hash {
        naive(&self.hashes[..size as usize])
    }

    fn push(&mut self, leaf: &[u8]) {
        self.hashes.push(tree::leaf_hash(leaf));
        self.leaves.push(leaf.to_vec());
    }

    /// What a new writer and a reader find after a cut.
    fn check(&mut self, ledger: &Ledger, dir: &Path) {
        let size = ledger.next_index();
        assert!(size >= self.durable, "{} leaves were durable, {size} are there", self.durable);
        assert!(size <= self.leaves.len() as u64, "more leaves than there were");
        self.leaves.truncate(size as usize);
        self.hashes.truncate(size as usize);
        assert_eq!(ledger.head(), Head { size, root: self.root(size) });
        let reader = Reader::open(dir).unwrap();
        let mut next = 0;
        for entry in reader.iter_from(0) {
            let (index, bytes) = entry.unwrap();
            for missing in next..index {
                assert!(missing < self.pruned && !self.keep.contains(&missing), "leaf {missing} is gone");
            }
            assert!(bytes == self.leaves[index as usize], "leaf {index} is another one");
            next = index + 1;
        }
        assert!(next == size || (next..size).all(|it| it < self.pruned && !self.keep.contains(&it)));
        let signed = reader.published().unwrap().unwrap_or(Head { size: 0, root: tree::empty_root() });
        assert!(signed.size >= self.checkpoint, "the checkpoint of {} went", self.checkpoint);
        self.checkpoint = signed.size;
        assert!(signed.size <= size, "a checkpoint over missing leaves");
        assert_eq!(signed.root, self.root(signed.size));
        self.verify(dir, signed);
        self.durable = size;
    }

    fn verify(&self, dir: &Path, head: Head) {
        let may_miss = |leaf: u64| leaf < self.pruned && !self.keep.contains(&leaf);
        let report = verify(dir, head, &may_miss, &|_, _| {}, &|_| {}).unwrap();
        assert_eq!(report.leaves, head.size);
    }
}

/// What a program does with its log between two cuts.
fn live(ledger: &mut Ledger, disk: &Recorder, known: &mut Known, random: &mut Random) {
    let acts = 1 + random.below(12);
    let mut pruned = known.pruned;
    for _ in 0..acts {
        match random.below(12) {
            0..=4 => {
                let most = [3, 40, 300, 900][random.below(4) as usize];
                for _ in 0..random.below(most) {
                    let len = if random.below(40) == 0 { random.below(3000) } else { random.below(30) };
                    let leaf = [&random.below(u64::MAX).to_le_bytes()[..], &vec![7; len as usize]].concat();
                    known.push(&leaf);
                    disk.tell(Promise::Appended(known.leaves.len() as u64));
                    ledger.append(&leaf).unwrap();
                }
            }
            5 => ledger.commit(false).unwrap(),
            6 => {
                ledger.commit(true).unwrap();
                disk.tell(Promise::Durable(ledger.next_index()));
            }
            7..=9 => {
                let head = ledger.publish().unwrap();
                disk.tell(Promise::Durable(head.size));
                assert_eq!(head.root, known.root(head.size));
                if random.below(4) > 0 {
                    ledger.put_checkpoint(&checkpoint(&head)).unwrap();
                    disk.tell(Promise::Checkpoint(head.size));
                }
            }
            10 => ledger.rotate().unwrap(),
            _ => {
                let signed = Reader::open(ledger.dir()).unwrap().published().unwrap();
                let most = ledger.sealed().min(signed.map_or(0, |head| head.size));
                let through = ledger.block_of(random.below(most + 1));
                if through > pruned {
                    for leaf in pruned..through {
                        if random.below(50) == 0 {
                            known.keep.insert(leaf);
                        }
                    }
                    pruned = through;
                    disk.tell(Promise::Prune(through));
                    ledger.prune(through, &known.keep).unwrap();
                }
            }
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(Some("/dev/shm").filter(|it| Path::new(it).is_dir()).unwrap_or("/tmp")).unwrap()
}

/// Lets one log live and die. Counts the cuts at each point, and all.
fn lives(seed: u64, cuts: &mut BTreeMap<&'static str, u64>) -> u64 {
    let mut random = Random(seed);
    let mut dir = folder();
    let mut known = Known::default();
    let mut count = 0;
    for life in 0..LIVES {
        let disk = Arc::new(Recorder::default());
        let mut model = Model::new(dir.path());
        let log = dir.path().join("log");
        let (mut ledger, _) = Ledger::open_on(disk.clone(), &log, OPTIONS, false)
            .unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        known.check(&ledger, &log);
        // A cut while it recovers, too: then nothing new is known.
        let opened = disk.acts().len();
        live(&mut ledger, &disk, &mut known, &mut random);
        // What it still holds back dies with it.
        let acts = std::mem::take(&mut *disk.acts());
        drop(ledger);
        // Half of the cuts are at the points.
        let points: Vec<usize> = acts
            .iter()
            .enumerate()
            .filter(|(_, act)| matches!(act, Act::Point(_)))
            .map(|(at, _)| at)
            .collect();
        let moment = match random.below(8) {
            0 => random.below(opened as u64 + 1) as usize,
            1..=4 if !points.is_empty() => {
                // The rare ones are as welcome as the many.
                let names: BTreeSet<&str> = acts.iter().filter_map(point).collect();
                let name = names.iter().nth(random.below(names.len() as u64) as usize).unwrap();
                let named: Vec<usize> =
                    points.into_iter().filter(|at| point(&acts[*at]) == Some(*name)).collect();
                named[random.below(named.len() as u64) as usize] + 1
            }
            _ => random.below(acts.len() as u64 + 1) as usize,
        };
        if let Some(name) = moment.checked_sub(1).and_then(|at| point(&acts[at])) {
            *cuts.entry(name).or_default() += 1;
        }
        let mut appended = known.durable.min(known.leaves.len() as u64);
        for act in &acts[..moment] {
            model.act(act);
            match act {
                Act::Told(Promise::Appended(size)) => appended = *size,
                Act::Told(Promise::Durable(size)) => known.durable = *size,
                Act::Told(Promise::Checkpoint(size)) => known.checkpoint = *size,
                Act::Told(Promise::Prune(through)) => known.pruned = *through,
                _ => {}
            }
        }
        known.leaves.truncate(appended as usize);
        known.hashes.truncate(appended as usize);
        let pruned = known.pruned;
        known.keep.retain(|leaf| *leaf < pruned);
        let next = folder();
        model.fall(&mut random, next.path());
        dir = next;
        count += 1;
    }
    count
}

fn point(act: &Act) -> Option<&'static str> {
    match act {
        Act::Point(name) => Some(name),
        _ => None,
    }
}

fn crashes(seeds: std::ops::Range<u64>) -> u64 {
    let mut cuts = BTreeMap::new();
    let mut count = 0;
    for seed in seeds {
        count += lives(seed, &mut cuts);
    }
    // Each point that the sources name was one of the moments.
    let sources = [include_str!("writer.rs"), include_str!("seal.rs")];
    let mut named = BTreeSet::new();
    for source in sources {
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            if line.trim_start().starts_with("// CRASH:") {
                let next = lines.next().unwrap();
                let name = next.split_once(".point(\"").and_then(|(_, rest)| rest.split_once("\")"));
                assert!(named.insert(name.unwrap_or_else(|| panic!("no point behind {line:?}")).0));
            }
        }
    }
    assert!(named.len() > 10);
    for name in named {
        assert!(cuts.get(name).is_some_and(|cuts| *cuts > 0), "no cut at {name}: {cuts:?}");
    }
    println!("{count} cuts; at points: {cuts:?}");
    count
}

#[test]
fn a_thousand_crashes() {
    assert!(crashes(0..90) >= 1000);
}

/// Takes minutes: only with `MUSTER_LONG=1`.
#[test]
fn a_hundred_thousand_crashes() {
    if std::env::var_os("MUSTER_LONG").is_none() {
        eprintln!("skipped: it takes minutes; MUSTER_LONG=1 runs it");
        return;
    }
    assert!(crashes(1000..9400) >= 100_000);
}
