//! The check of a whole log folder: every leaf, every tile and the journal against a head that somebody signed. It needs
//! no lock, no writer and no root, changes nothing, and may run while a writer writes.
//!
//! The hashes are believed from above: the head's root vouches for the hashes at the right edge, those for the tiles
//! below them, and so on down to the leaves. So what is found to be wrong can be told apart: under a hash that is
//! vouched for either the tile does not lead to it, or the leaves, or neither.

mod blame;
mod folder;
mod journal;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::tile::{self, BUNDLE_MAX, TileName};
use crate::tree::{self, Edge, Hash, TILE_WIDTH};
use crate::{Error, Head, Reader};

/// Bundles that one thread takes at a time: what one tile of level 1 spans.
const SPAN: u64 = TILE_WIDTH;
/// A disk feeds no more threads than this.
const THREADS_MAX: usize = 16;
/// How often a file that does not fit is read again, and how long after: a writer may be at it.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// What was found to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Leaves under the head; the bytes of all but `pruned` of them were hashed.
    pub leaves: u64,
    /// Leaves whose bytes are gone, and may be. Their hashes are there.
    pub pruned: u64,
    /// Leaves that outlived their pruned bundle.
    pub kept: u64,
    /// Bytes of all leaves that were hashed.
    pub bytes: u64,
    /// Whole leaves behind the head, which no checkpoint speaks of yet.
    pub uncovered: u64,
    /// Bytes at the end of the journal that are no whole leaf: one is being written, or never was.
    pub torn: u64,
    /// The ranges (first, behind the last) of the pruned leaves, in order.
    pub missing: Vec<(u64, u64)>,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// The first leaf that does not fit, or that the file stands for. `None`: the file stands for none.
    pub leaf: Option<u64>,
    /// Relative to the folder of the log.
    pub file: String,
    pub what: Damage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The tiles lead to the root, the leaf is another one: that of `really`, where it is one of this log.
    Leaf { really: Option<u64> },
    /// The leaves lead to the root, the tile does not; it is that of `really`, where it is one of this log.
    Tile { really: Option<u64> },
    /// Neither the leaves nor the tiles between these (first, behind the last) lead to the root.
    Both { first: u64, end: u64 },
    /// Leaves and tiles between these (first, behind the last) agree with one another, but not with the root.
    Rewritten { first: u64, end: u64 },
    /// The file, or the leaf in it, is not there.
    Missing,
    /// The file ends too early.
    CutShort,
    /// Bytes stand behind what belongs into the file.
    Trailing { bytes: u64 },
    /// A file that the log has no place for.
    Unexpected,
    /// The file cannot be what it is to be.
    Malformed { reason: String },
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leaf {
            Some(leaf) => write!(f, "leaf {leaf} ({}): ", self.file)?,
            None => write!(f, "{}: ", self.file)?,
        }
        match &self.what {
            Damage::Leaf { really: None } => f.write_str("its hash is not the one that the tree has"),
            Damage::Leaf { really: Some(really) } => {
                write!(f, "it was swapped: what stands there is leaf {really}")
            }
            Damage::Tile { really: None } => {
                f.write_str("the tile was changed; the leaves still lead to the root")
            }
            Damage::Tile { really: Some(really) } => {
                write!(f, "the tile was swapped: it is the one that begins with leaf {really}")
            }
            Damage::Both { first, end } => {
                write!(f, "leaves {first} to {} and their tiles: neither lead to the root", end - 1)
            }
            Damage::Rewritten { first, end } => write!(
                f,
                "leaves {first} to {} agree with their tiles, but not with the signed root: they were written anew",
                end - 1
            ),
            Damage::Missing => f.write_str("it is missing"),
            Damage::CutShort => f.write_str("it is cut short"),
            Damage::Trailing { bytes } => write!(f, "{bytes} bytes stand behind its end"),
            Damage::Unexpected => f.write_str("the log has no such file"),
            Damage::Malformed { reason } => f.write_str(reason),
        }
    }
}

/// Why a log was not found to hold.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{0}")]
    Tampering(Tampering),
    /// It could not be read.
    #[error(transparent)]
    Unread(Error),
}

impl From<Error> for VerifyError {
    fn from(error: Error) -> Self {
        VerifyError::Unread(error)
    }
}

type Checked<T> = Result<T, VerifyError>;

fn tampering<T>(leaf: Option<u64>, file: String, what: Damage) -> Checked<T> {
    Err(VerifyError::Tampering(Tampering { leaf, file, what }))
}

/// Checks the log in this folder against a head whose signature the caller has checked.
///
/// * `may_be_missing`: whether the bytes of this leaf may be gone.
/// * `visit` is given each leaf under the head whose bytes are there, once it is found to be that of the tree: in order
///   within 256 leaves, else in any order and from several threads.
/// * `progress` is told from time to time how many leaves are done.
pub fn verify(
    dir: &Path,
    head: Head,
    may_be_missing: &(dyn Fn(u64) -> bool + Sync),
    visit: &(dyn Fn(u64, &[u8]) + Sync),
    progress: &(dyn Fn(u64) + Sync),
) -> Checked<Report> {
    // The edge first: a writer removes it when it has published two newer ones.
    let log = Log::open(dir, head)?;
    let tail = log.tail_bundle()?;
    let names = folder::walk(dir, head.size)?;
    let pass = Pass { log: &log, names: &names, may_be_missing, visit, progress, done: AtomicU64::new(0) };
    let mut found = pass.all()?;
    if let Some(tail) = tail {
        pass.tail(&tail, &mut found)?;
    }
    names.check_below(&log)?;
    journal::check(&log, &names, &mut found)?;
    let mut report = Report { leaves: head.size, ..found };
    report.pruned = report.missing.iter().map(|(first, end)| end - first).sum();
    Ok(report)
}

/// Checks one leaf of the log in this folder (one that was kept, say) against a signed head, and gives its bytes.
pub fn verify_leaf(dir: &Path, head: Head, index: u64) -> Checked<Vec<u8>> {
    let reader = Reader::open(dir)?;
    let file = TileName::bundle(index / TILE_WIDTH, TILE_WIDTH).path();
    if index >= head.size {
        return tampering(Some(index), file, Damage::Missing);
    }
    let leaf = match reader.read(index) {
        Ok(leaf) => leaf,
        Err(Error::NotFound { .. }) => return tampering(Some(index), file, Damage::Missing),
        Err(error) => return Err(blamed(dir, Some(index), error)),
    };
    let path = tree::inclusion(&mut reader.tiles(head.size), index, head.size)
        .map_err(|error| blamed(dir, Some(index), error))?;
    match tree::verify_inclusion(&tree::leaf_hash(&leaf), index, head.size, &head.root, &path) {
        Ok(()) => Ok(leaf),
        Err(_) => tampering(Some(index), file, Damage::Leaf { really: None }),
    }
}

/// Damage that the reader met, as what it says of the log.
fn blamed(dir: &Path, leaf: Option<u64>, error: Error) -> VerifyError {
    match error {
        Error::Malformed { path, reason } => {
            let file = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
            VerifyError::Tampering(Tampering { leaf, file, what: Damage::Malformed { reason } })
        }
        other => VerifyError::Unread(other),
    }
}

/// A log whose upper tiles are found to lead to the root of the head.
struct Log<'a> {
    dir: &'a Path,
    head: Head,
    /// The hashes of the partial tiles, by level; empty where there is none.
    edge: Vec<Vec<Hash>>,
    /// The hashes at level 2, each the root of a full tile of level 1.
    spans: Vec<Hash>,
}

impl<'a> Log<'a> {
    fn open(dir: &'a Path, head: Head) -> Checked<Log<'a>> {
        let mut log = Log { dir, head, edge: Vec::new(), spans: Vec::new() };
        for level in 0..tree::LEVELS_MAX {
            let width = tree::width(head.size, level);
            let hashes = if width == 0 { Vec::new() } else { log.edge_tile(level, width)? };
            log.edge.push(hashes);
        }
        let root = Edge::new(head.size, log.edge.clone()).map(|edge| edge.root());
        if root != Some(head.root) {
            return Err(blame::span(&log, 0, head.size, &head.root, None));
        }
        // Downwards: what the level above vouches for.
        let mut above: Vec<Hash> = Vec::new();
        for level in (2..tree::LEVELS_MAX).rev() {
            let mut hashes = Vec::new();
            for (index, expected) in (0..).zip(&above) {
                hashes.extend(log.full_tile(level, index, expected)?);
            }
            hashes.extend(log.edge.get(level as usize).into_iter().flatten());
            above = hashes;
        }
        log.spans = above;
        Ok(log)
    }

    /// The hashes of a full tile that leads to this hash.
    fn full_tile(&self, level: u32, index: u64, expected: &Hash) -> Checked<Vec<Hash>> {
        let name = TileName::hashes(level, index, TILE_WIDTH);
        let hashes = self.read_tile(&name)?;
        if tree::perfect_root(&hashes) != *expected {
            let (first, end) = name.leaves();
            return Err(blame::span(self, first, end, expected, Some(name)));
        }
        Ok(hashes)
    }

    /// A tile as it stands there; its length is right.
    fn read_tile(&self, name: &TileName) -> Checked<Vec<Hash>> {
        let leaf = Some(name.leaves().0);
        match self.read(name, 32 * TILE_WIDTH, leaf)? {
            None => tampering(leaf, name.path(), Damage::Missing),
            Some(bytes) => {
                let expected = 32 * name.width;
                match tile::parse_hashes(&bytes) {
                    Some(hashes) if hashes.len() as u64 == name.width => Ok(hashes),
                    _ if (bytes.len() as u64) < expected => tampering(leaf, name.path(), Damage::CutShort),
                    _ => {
                        let bytes = bytes.len() as u64 - expected;
                        tampering(leaf, name.path(), Damage::Trailing { bytes })
                    }
                }
            }
        }
    }

    fn read(&self, name: &TileName, bytes_max: u64, leaf: Option<u64>) -> Checked<Option<Vec<u8>>> {
        tile::read_file(self.dir, &name.path(), bytes_max).map_err(|error| blamed(self.dir, leaf, error))
    }

    /// The hashes of the partial tile of a level. Where a writer has gone on, the tile of a later head has them.
    fn edge_tile(&self, level: u32, width: u64) -> Checked<Vec<Hash>> {
        let name = TileName::hashes(level, tree::tiles(self.head.size, level), width);
        let parse = |bytes: &[u8]| {
            let mut hashes = tile::parse_hashes(bytes)?;
            hashes.truncate(width as usize);
            (hashes.len() as u64 == width).then_some(hashes)
        };
        if self.read(&name, 32 * TILE_WIDTH, Some(name.leaves().0))?.is_some() {
            return self.read_tile(&name);
        }
        self.later(&name, 32 * TILE_WIDTH, &parse)
    }

    /// The entries of the partial bundle; `None`: there is none.
    fn tail_bundle(&self) -> Checked<Option<(String, Vec<u8>)>> {
        let width = self.head.size % TILE_WIDTH;
        if width == 0 {
            return Ok(None);
        }
        let name = TileName::bundle(self.head.size / TILE_WIDTH, width);
        if let Some(bytes) = self.read(&name, BUNDLE_MAX, Some(name.leaves().0))? {
            return Ok(Some((name.path(), bytes)));
        }
        let cut = |bytes: &[u8]| {
            let mut len = 0;
            for entry in tile::entries(bytes).take(width as usize) {
                len += 2 + entry.ok()?.len();
            }
            (tile::entries(bytes).count() as u64 >= width).then(|| bytes.get(..len).map(<[u8]>::to_vec))?
        };
        let bytes = self.later(&name, BUNDLE_MAX, &cut)?;
        Ok(Some((name.path(), bytes)))
    }

    /// What a wider tile or bundle has of one that is not there any more.
    fn later<T>(&self, name: &TileName, bytes_max: u64, parse: &dyn Fn(&[u8]) -> Option<T>) -> Checked<T> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            let full = TileName { width: TILE_WIDTH, ..*name };
            let mut wider = vec![full];
            wider.extend(folder::partial(self.dir, &full).filter(|it| it.width > name.width));
            if wider.len() == 1 && attempt > 0 && !self.dir.join(full.path()).exists() {
                break;
            }
            for name in wider {
                if let Some(bytes) = self.read(&name, bytes_max, Some(name.leaves().0))?
                    && let Some(found) = parse(&bytes)
                {
                    return Ok(found);
                }
            }
        }
        tampering(Some(name.leaves().0), name.path(), Damage::Missing)
    }

    /// The hashes of the leaves of a bundle, as the tree has them.
    fn leaf_hashes(&self, bundle: u64) -> Checked<Vec<Hash>> {
        match bundle.cmp(&(self.head.size / TILE_WIDTH)) {
            std::cmp::Ordering::Less => self.read_tile(&TileName::hashes(0, bundle, TILE_WIDTH)),
            std::cmp::Ordering::Equal => Ok(self.edge.first().cloned().unwrap_or_default()),
            std::cmp::Ordering::Greater => Ok(Vec::new()),
        }
    }
}

/// One look at all leaves.
struct Pass<'a> {
    log: &'a Log<'a>,
    names: &'a folder::Names,
    may_be_missing: &'a (dyn Fn(u64) -> bool + Sync),
    visit: &'a (dyn Fn(u64, &[u8]) + Sync),
    progress: &'a (dyn Fn(u64) + Sync),
    done: AtomicU64,
}

impl Pass<'_> {
    /// All full bundles, on all cores.
    fn all(&self) -> Checked<Report> {
        let bundles = self.log.head.size / TILE_WIDTH;
        let spans = bundles.div_ceil(SPAN);
        let next = AtomicU64::new(0);
        // Behind a span that does not fit nothing needs to be looked at; before it the first fault may be.
        let limit = AtomicU64::new(spans);
        let found: Mutex<BTreeMap<u64, Checked<Report>>> = Mutex::default();
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get()).min(THREADS_MAX);
        let work = || {
            let mut buffers = Buffers::default();
            loop {
                let span = next.fetch_add(1, Ordering::Relaxed);
                if span >= limit.load(Ordering::Relaxed) {
                    return;
                }
                let result = self.span(span, &mut buffers);
                if result.is_err() {
                    limit.fetch_min(span, Ordering::Relaxed);
                }
                found.lock().unwrap_or_else(PoisonError::into_inner).insert(span, result);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(usize::try_from(spans).unwrap_or(usize::MAX)) {
                scope.spawn(work);
            }
            work();
        });
        let mut all = Report::default();
        for (_, report) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let report = report?;
            all.kept += report.kept;
            all.bytes += report.bytes;
            report.missing.into_iter().for_each(|range| push_range(&mut all.missing, range));
        }
        Ok(all)
    }

    fn span(&self, span: u64, buffers: &mut Buffers) -> Checked<Report> {
        let bundles = self.log.head.size / TILE_WIDTH;
        let roots = match self.log.spans.get(span as usize) {
            Some(expected) => self.log.full_tile(1, span, expected)?,
            None => self.log.edge.get(1).cloned().unwrap_or_default(),
        };
        let mut report = Report::default();
        for (bundle, root) in (span * SPAN..bundles).zip(&roots) {
            self.bundle(bundle, root, buffers, &mut report)?;
        }
        let done = roots.len() as u64 * TILE_WIDTH;
        (self.progress)(self.done.fetch_add(done, Ordering::Relaxed) + done);
        Ok(report)
    }

    /// One full bundle and its tile, which is to lead to `root`.
    fn bundle(&self, bundle: u64, root: &Hash, buffers: &mut Buffers, report: &mut Report) -> Checked<()> {
        let hashes = self.log.full_tile(0, bundle, root)?;
        let name = TileName::bundle(bundle, TILE_WIDTH);
        let first = bundle * TILE_WIDTH;
        let there = tile::read_into(self.log.dir, &name.path(), BUNDLE_MAX, &mut buffers.bundle)
            .map_err(|error| blamed(self.log.dir, Some(first), error))?;
        let kept = self.names.kept.binary_search(&bundle).is_ok();
        if there {
            self.entries(&name.path(), first, &hashes, &buffers.bundle, report)?;
            if !kept {
                return Ok(());
            }
        }
        // What was kept of it; the bundle is still there where a writer died before it removed it.
        let path = tile::kept_name(bundle);
        let bytes = match kept {
            true => tile::read_file(self.log.dir, &path, BUNDLE_MAX + TILE_WIDTH)
                .map_err(|error| blamed(self.log.dir, Some(first), error))?
                .unwrap_or_default(),
            false => Vec::new(),
        };
        let Some(kept) = tile::parse_kept(&bytes) else {
            let reason = "it is no list of kept leaves".to_owned();
            return tampering(Some(first), path, Damage::Malformed { reason });
        };
        let mut kept = kept.into_iter().peekable();
        for (index, hash) in (first..).zip(&hashes) {
            match kept.next_if(|(at, _)| u64::from(*at) == index % TILE_WIDTH) {
                Some((_, leaf)) if tree::leaf_hash(leaf) != *hash => {
                    let really = blame::leaf_elsewhere(self.log, &tree::leaf_hash(leaf));
                    return tampering(Some(index), path, Damage::Leaf { really });
                }
                Some((_, leaf)) if !there => {
                    report.kept += 1;
                    report.bytes += leaf.len() as u64;
                    (self.visit)(index, leaf);
                }
                None if !there && !(self.may_be_missing)(index) => {
                    return tampering(Some(index), name.path(), Damage::Missing);
                }
                None if !there => push_range(&mut report.missing, (index, index + 1)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The leaves behind the last full bundle.
    fn tail(&self, (name, bytes): &(String, Vec<u8>), report: &mut Report) -> Checked<()> {
        let first = self.log.head.size - self.log.head.size % TILE_WIDTH;
        let hashes = self.log.leaf_hashes(first / TILE_WIDTH)?;
        self.entries(name, first, &hashes, bytes, report)?;
        (self.progress)(self.log.head.size);
        Ok(())
    }

    /// The leaves of a bundle, against the hashes that are vouched for.
    fn entries(
        &self,
        name: &str,
        first: u64,
        hashes: &[Hash],
        bytes: &[u8],
        report: &mut Report,
    ) -> Checked<()> {
        let mut entries = tile::entries(bytes);
        let mut len = 0;
        for (index, hash) in (first..).zip(hashes) {
            let Some(Ok(leaf)) = entries.next() else {
                return tampering(Some(index), name.to_owned(), Damage::CutShort);
            };
            let found = tree::leaf_hash(leaf);
            if found != *hash {
                let really = blame::leaf_elsewhere(self.log, &found);
                return tampering(Some(index), name.to_owned(), Damage::Leaf { really });
            }
            len += 2 + leaf.len();
            (self.visit)(index, leaf);
        }
        let behind = bytes.len() as u64 - len as u64;
        if behind > 0 {
            return tampering(None, name.to_owned(), Damage::Trailing { bytes: behind });
        }
        report.bytes += len as u64 - 2 * hashes.len() as u64;
        Ok(())
    }
}

#[derive(Default)]
struct Buffers {
    bundle: Vec<u8>,
}

/// Adds a range behind those that are there.
fn push_range(ranges: &mut Vec<(u64, u64)>, (first, end): (u64, u64)) {
    match ranges.last_mut() {
        Some(last) if last.1 == first => last.1 = end,
        _ => ranges.push((first, end)),
    }
}
