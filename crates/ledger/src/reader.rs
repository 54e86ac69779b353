//! Reading a ledger, in any process, also while it is written: from its bundles, from what was kept of pruned ones, and
//! behind the last full bundle from the journal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::segment::{self, Cursor, HEADER_BYTES, Step};
use crate::tile::{self, BUNDLE_MAX, TileName};
use crate::tree::{self, Hash, Subtrees, TILE_WIDTH};
use crate::{Error, Head, Result, SegmentInfo};

/// How far apart the entries are whose place in the journal is remembered.
const STRIDE: u64 = 256;
/// Segments whose places are remembered: bounds the reader's memory.
const PLACES_MAX: usize = 1024;

/// Folders that the name of a tile can go through: `tile`, a level, and up to six of three digits each.
const FOLDERS_DEEP: usize = 8;

pub struct Reader {
    dir: PathBuf,
    /// For each segment, where its entries `first + n * STRIDE` are, as far as it was read.
    places: Mutex<BTreeMap<u64, Vec<u64>>>,
    /// The bundle that was read last: evidence stands close together.
    bundle: Mutex<Option<(u64, Bundle)>>,
    /// Tiles that nearly every proof goes through.
    upper: Mutex<BTreeMap<TileName, Arc<Nodes>>>,
}

/// Entries of one bundle, or what was kept of it.
#[derive(Clone, Default)]
struct Bundle {
    bytes: Vec<u8>,
    /// Place in the bundle, and where its bytes are.
    entries: Vec<(u8, std::ops::Range<usize>)>,
}

impl Bundle {
    fn get(&self, at: u8) -> Option<&[u8]> {
        let found = self.entries.binary_search_by_key(&at, |(place, _)| *place).ok()?;
        self.bytes.get(self.entries.get(found)?.1.clone())
    }
}

impl Reader {
    pub fn open(dir: &Path) -> Result<Reader> {
        segment::list(&segment::folder(dir))?;
        Ok(Reader::at(dir))
    }

    /// One for a folder that may have no journal.
    pub(crate) fn at(dir: &Path) -> Reader {
        Reader {
            dir: dir.to_owned(),
            places: Mutex::default(),
            bundle: Mutex::default(),
            upper: Mutex::default(),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The segments of the journal, oldest first. The newest is counted, so this reads it.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        let files = segment::list(&segment::folder(&self.dir))?;
        let mut all = Vec::with_capacity(files.len());
        for (at, (first, path)) in files.iter().enumerate() {
            let mut bytes = match std::fs::metadata(path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("look at", path)(error)),
            };
            let last = match files.get(at + 1) {
                Some((next, _)) => next.checked_sub(1),
                None => {
                    let (end, used) = self.count(*first, path)?;
                    // Not the room that it has before it.
                    bytes = bytes.min(used);
                    end.checked_sub(1)
                }
            };
            let last = last.filter(|last| last >= first);
            all.push(SegmentInfo { first: *first, last, path: path.clone(), bytes });
        }
        Ok(all)
    }

    /// Index that the next entry will get, as far as it can be read.
    pub fn next_index(&self) -> Result<u64> {
        Ok(self.segments()?.last().map_or(0, |segment| segment.last.map_or(segment.first, |last| last + 1)))
    }

    /// Bytes of all entries that are there, more or less: the journal frames its own.
    pub fn bytes(&self) -> Result<u64> {
        let bundles: u64 = Reader::bundles(&self.dir)?.into_iter().map(|(_, bytes)| bytes).sum();
        let files = segment::list(&segment::folder(&self.dir))?;
        let Some((_, path)) = files.last() else { return Ok(bundles) };
        let journal = match open_cursor(path)? {
            Some(mut cursor) => cursor.torn().map_err(Error::io("read", path))?,
            None => 0,
        };
        Ok(bundles + journal)
    }

    /// The full bundles that are there and their bytes, in order.
    pub(crate) fn bundles(dir: &Path) -> Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        let mut folders = vec![dir.join("tile/entries")];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("read the folder", &folder)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(Error::io("read the folder", &folder))?;
                let path = entry.path();
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    // Not through links, and no deeper than a name can be.
                    let depth = path.strip_prefix(dir).map_or(usize::MAX, |path| path.components().count());
                    if name.starts_with('x') && name.len() == 4 && depth <= FOLDERS_DEEP {
                        folders.push(path);
                    }
                    continue;
                }
                let relative = path.strip_prefix(dir).ok().and_then(Path::to_str);
                if let Some(tile) = relative.and_then(TileName::parse)
                    && let Ok(metadata) = entry.metadata()
                    && metadata.is_file()
                {
                    found.push((tile.index, metadata.len()));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Index behind the last entry of this (newest) segment, and where it ends.
    fn count(&self, first: u64, path: &Path) -> Result<(u64, u64)> {
        let Some(mut cursor) = open_cursor(path)? else { return Ok((first, 0)) };
        while !matches!(cursor.step(true).map_err(Error::io("read", path))?, Step::End) {}
        Ok((cursor.index, cursor.offset))
    }

    /// One entry.
    pub fn read(&self, index: u64) -> Result<Vec<u8>> {
        let not_found = || Error::NotFound { path: self.dir.clone(), index };
        let mut held = self.bundle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = (index % TILE_WIDTH) as u8;
        if let Some((number, bundle)) = &*held
            && *number == index / TILE_WIDTH
            && let Some(entry) = bundle.get(at)
        {
            return Ok(entry.to_vec());
        }
        if let Some(bundle) = self.bundle(index / TILE_WIDTH)? {
            let entry = bundle.get(at).map(<[u8]>::to_vec);
            *held = Some((index / TILE_WIDTH, bundle));
            return entry.ok_or_else(not_found);
        }
        drop(held);
        match self.read_journal(index)? {
            Some(entry) => Ok(entry),
            // Its segment may have gone meanwhile, because its bundle is there.
            None => {
                let bundle = self.bundle(index / TILE_WIDTH)?.ok_or_else(not_found)?;
                bundle.get(at).map(<[u8]>::to_vec).ok_or_else(not_found)
            }
        }
    }

    /// A full bundle or what was kept of it; `None`: neither is there.
    fn bundle(&self, number: u64) -> Result<Option<Bundle>> {
        let name = TileName::bundle(number, TILE_WIDTH).path();
        if let Some(bytes) = tile::read_file(&self.dir, &name, BUNDLE_MAX)? {
            let malformed =
                |reason: &str| Error::Malformed { path: self.dir.join(&name), reason: reason.to_owned() };
            let mut entries = Vec::with_capacity(TILE_WIDTH as usize);
            let mut from = 0;
            for (entry, at) in tile::entries(&bytes).zip(0u64..) {
                let entry = entry.map_err(|at| malformed(&format!("no entry at byte {at}")))?;
                let at = u8::try_from(at).map_err(|_| malformed("it has more than 256 entries"))?;
                entries.push((at, from + 2..from + 2 + entry.len()));
                from += 2 + entry.len();
            }
            if entries.len() as u64 != TILE_WIDTH {
                return Err(malformed(&format!("it has {} entries", entries.len())));
            }
            return Ok(Some(Bundle { bytes, entries }));
        }
        self.kept(number)
    }

    /// What was kept of a pruned bundle.
    fn kept(&self, number: u64) -> Result<Option<Bundle>> {
        let path = tile::kept_path(&self.dir, number);
        let name = path.strip_prefix(&self.dir).unwrap_or(&path).to_string_lossy().into_owned();
        let Some(bytes) = tile::read_file(&self.dir, &name, BUNDLE_MAX + TILE_WIDTH)? else {
            return Ok(None);
        };
        let kept = tile::parse_kept(&bytes)
            .ok_or_else(|| Error::Malformed { path, reason: "it is no list of kept entries".to_owned() })?;
        let mut bundle = Bundle::default();
        for (at, entry) in kept {
            let from = bundle.bytes.len();
            bundle.bytes.extend_from_slice(entry);
            bundle.entries.push((at, from..bundle.bytes.len()));
        }
        Ok(Some(bundle))
    }

    fn read_journal(&self, index: u64) -> Result<Option<Vec<u8>>> {
        let files = segment::list(&segment::folder(&self.dir))?;
        let at = files.partition_point(|(first, _)| *first <= index).checked_sub(1);
        let Some((first, path)) = at.and_then(|at| files.get(at)) else { return Ok(None) };
        let last = at.is_some_and(|at| at + 1 == files.len());
        let Some(mut cursor) = open_cursor(path)? else { return Ok(None) };
        if !self.seek(*first, &mut cursor, index).map_err(Error::io("read", path))? {
            return Ok(None);
        }
        match cursor.step(last).map_err(Error::io("read", path))? {
            Step::Entry { .. } => Ok(Some(cursor.bytes().to_vec())),
            Step::End => Ok(None),
            Step::Corrupt { offset, index, reason, .. } => {
                Err(Error::Corrupt { path: path.clone(), offset, index, reason })
            }
        }
    }

    /// Moves a cursor to an entry; remembers places on the way. `false`: the segment does not reach so far.
    fn seek(&self, first: u64, cursor: &mut Cursor<File>, index: u64) -> io::Result<bool> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES_MAX && !places.contains_key(&first) {
            places.pop_first();
        }
        let known = places.entry(first).or_insert_with(|| vec![HEADER_BYTES]);
        let stop = usize::try_from(index.saturating_sub(first) / STRIDE).unwrap_or(usize::MAX);
        let nearest = stop.min(known.len().saturating_sub(1));
        if let Some(offset) = known.get(nearest) {
            cursor.jump(first + nearest as u64 * STRIDE, *offset);
        }
        while cursor.index < index {
            if !cursor.skip()? {
                return Ok(false);
            }
            let passed = cursor.index - first;
            if passed.is_multiple_of(STRIDE) && passed / STRIDE == known.len() as u64 {
                known.push(cursor.offset);
            }
        }
        Ok(true)
    }

    /// All entries from this index on that are there, in order; pruned ones are passed by. A damaged entry is one error;
    /// what can be read behind it follows.
    pub fn iter_from(&self, index: u64) -> Entries<'_> {
        Entries { reader: self, wanted: index, place: Place::Nowhere, failed: None, done: false }
    }

    /// The newest checkpoint, as it stands on the disk.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        tile::read_file(&self.dir, crate::writer::CHECKPOINT, crate::writer::CHECKPOINT_MAX)
    }

    /// The head that the newest checkpoint names, its signatures unseen.
    pub fn published(&self) -> Result<Option<Head>> {
        Ok(crate::writer::head_on_disk(&self.dir)?.map(|(size, root)| Head { size, root }))
    }

    /// The hashes of the published tree of this size, for proofs.
    pub fn tiles(&self, size: u64) -> Tiles<'_> {
        Tiles { dir: &self.dir, size, held: BTreeMap::new(), upper: &self.upper }
    }

    /// A tile or bundle as it is served.
    pub fn tile(&self, name: &TileName) -> Result<Option<Vec<u8>>> {
        tile::read_file(&self.dir, &name.path(), BUNDLE_MAX)
    }
}

/// Tiles that one proof may hold: it touches a few at each level.
const TILES_HELD: usize = 64;
/// Tiles above the lowest that a reader holds for all proofs, 16 KB each: those of some sixteen million leaves.
const UPPER_HELD: usize = 256;

/// The hashes of a tile, and above them those of the perfect trees in it, by height.
struct Nodes(Vec<Vec<Hash>>);

impl Nodes {
    fn new(hashes: Vec<Hash>) -> Nodes {
        let mut levels = vec![hashes];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let pairs = below.as_chunks::<2>().0;
            levels.push(pairs.iter().map(|[left, right]| tree::node_hash(left, right)).collect());
        }
        Nodes(levels)
    }
}

/// The hash tiles of a tree as published.
pub struct Tiles<'a> {
    dir: &'a Path,
    size: u64,
    held: BTreeMap<(u32, u64), Arc<Nodes>>,
    upper: &'a Mutex<BTreeMap<TileName, Arc<Nodes>>>,
}

impl Tiles<'_> {
    /// A tile, as much of it as the tree has.
    fn tile(&mut self, level: u32, index: u64) -> Result<Arc<Nodes>> {
        let key = (level, index);
        if let Some(nodes) = self.held.get(&key) {
            return Ok(Arc::clone(nodes));
        }
        let full = tree::tiles(self.size, level);
        let width = if index < full { TILE_WIDTH } else { tree::width(self.size, level) };
        let name = TileName::hashes(level, index, width);
        let shared = |upper: &'_ Mutex<BTreeMap<TileName, Arc<Nodes>>>| {
            upper.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
        };
        let nodes = match shared(self.upper) {
            Some(nodes) => nodes,
            None => {
                let nodes = Arc::new(Nodes::new(self.read(&name, index > full)?));
                // The lowest ones are too many, but for the one at the right edge.
                if level > 0 || !name.is_full() {
                    let mut upper = self.upper.lock().unwrap_or_else(PoisonError::into_inner);
                    if upper.len() >= UPPER_HELD {
                        upper.pop_first();
                    }
                    upper.insert(name, Arc::clone(&nodes));
                }
                nodes
            }
        };
        if self.held.len() >= TILES_HELD {
            self.held.clear();
        }
        self.held.insert(key, Arc::clone(&nodes));
        Ok(nodes)
    }

    /// The hashes of this tile, from it or the wider one that took its place.
    fn read(&self, name: &TileName, is_beyond: bool) -> Result<Vec<Hash>> {
        let path = self.dir.join(TileName { width: name.width.max(1), ..*name }.path());
        let malformed = |reason: &str| Error::Malformed { path: path.clone(), reason: reason.to_owned() };
        if is_beyond || name.width == 0 {
            return Err(malformed("the tree has no such tile"));
        }
        let mut bytes = tile::read_file(self.dir, &name.path(), 32 * TILE_WIDTH)?;
        if bytes.is_none()
            && !name.is_full()
            && let Some(wider) = self.wider(name.level.unwrap_or(0), name.index, name.width)
        {
            bytes = tile::read_file(self.dir, &wider.path(), 32 * TILE_WIDTH)?;
        }
        let bytes = bytes.ok_or_else(|| malformed("it is missing"))?;
        let mut hashes = tile::parse_hashes(&bytes).ok_or_else(|| malformed("it is no tile"))?;
        if (hashes.len() as u64) < name.width {
            return Err(malformed("it is cut short"));
        }
        hashes.truncate(name.width as usize);
        Ok(hashes)
    }
}

impl Tiles<'_> {
    /// A tile of which the partial one is the beginning: the tree has grown since.
    fn wider(&self, level: u32, index: u64, width: u64) -> Option<TileName> {
        let full = TileName::hashes(level, index, TILE_WIDTH);
        if self.dir.join(full.path()).is_file() {
            return Some(full);
        }
        let entries = std::fs::read_dir(self.dir.join(format!("{}.p", full.path()))).ok()?;
        let widths = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        let width = widths.filter(|other| (width..TILE_WIDTH).contains(other)).min()?;
        Some(TileName::hashes(level, index, width))
    }
}

impl Subtrees for Tiles<'_> {
    type Error = Error;

    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash> {
        let level = height / tree::TILE_HEIGHT;
        let within = height % tree::TILE_HEIGHT;
        // First hash of the tile level that it spans.
        let first = index << within;
        let at = (first % TILE_WIDTH) >> within;
        let nodes = self.tile(level, first / TILE_WIDTH)?;
        let root = nodes.0.get(within as usize).and_then(|hashes| hashes.get(at as usize));
        root.copied().ok_or_else(|| Error::Malformed {
            path: self.dir.join(TileName::hashes(level, first / TILE_WIDTH, TILE_WIDTH).path()),
            reason: "it is cut short".to_owned(),
        })
    }
}

/// An iterator over entries. Ends at the last whole entry; calling it again later finds what was written since.
pub struct Entries<'a> {
    reader: &'a Reader,
    /// Index of the next entry to give.
    wanted: u64,
    place: Place,
    /// A segment that is read to its end, or cannot be read on: the next one follows.
    failed: Option<u64>,
    /// The folder itself cannot be read.
    done: bool,
}

enum Place {
    Nowhere,
    Bundle { number: u64, bundle: Bundle, at: usize },
    Journal(Open),
}

struct Open {
    first: u64,
    path: PathBuf,
    cursor: Cursor<File>,
    last: bool,
}

impl Entries<'_> {
    /// The next entry, without a copy of its bytes. `None`: no more for now.
    pub fn next_entry(&mut self) -> Option<Result<(u64, &[u8])>> {
        if self.done {
            return None;
        }
        match self.advance() {
            Ok(Some(index)) => {
                let bytes = match &self.place {
                    Place::Journal(open) => open.cursor.bytes(),
                    Place::Bundle { bundle, .. } => {
                        bundle.get((index % TILE_WIDTH) as u8).unwrap_or_default()
                    }
                    Place::Nowhere => &[],
                };
                Some(Ok((index, bytes)))
            }
            Ok(None) => None,
            Err(error) => {
                // Damage is passed by; what else fails would fail again.
                self.done = !error.is_damage();
                Some(Err(error))
            }
        }
    }

    fn advance(&mut self) -> Result<Option<u64>> {
        loop {
            match &mut self.place {
                Place::Nowhere => {
                    if !self.open_next()? {
                        return Ok(None);
                    }
                }
                Place::Bundle { number, bundle, at } => match bundle.entries.get(*at) {
                    Some((place, _)) => {
                        let index = *number * TILE_WIDTH + u64::from(*place);
                        *at += 1;
                        if index < self.wanted {
                            continue;
                        }
                        self.wanted = index + 1;
                        return Ok(Some(index));
                    }
                    None => {
                        self.wanted = self.wanted.max((*number + 1) * TILE_WIDTH);
                        self.place = Place::Nowhere;
                    }
                },
                Place::Journal(open) => {
                    match open.cursor.step(open.last).map_err(Error::io("read", &open.path))? {
                        Step::Entry { index } => {
                            if index < self.wanted {
                                continue;
                            }
                            self.wanted = index + 1;
                            return Ok(Some(index));
                        }
                        Step::Corrupt { offset, index, reason, resumes } => {
                            let error = Error::Corrupt { path: open.path.clone(), offset, index, reason };
                            if resumes {
                                self.wanted = index + 1;
                            } else {
                                self.failed = Some(open.first);
                                self.place = Place::Nowhere;
                            }
                            return Err(error);
                        }
                        Step::End => {
                            let (first, last) = (open.first, open.last);
                            self.place = Place::Nowhere;
                            if last && !self.is_superseded(first)? {
                                return Ok(None);
                            }
                            if !last {
                                self.failed = Some(first);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether a newer segment is there than the one that was the newest.
    fn is_superseded(&self, first: u64) -> Result<bool> {
        let files = segment::list(&segment::folder(&self.reader.dir))?;
        Ok(files.last().is_some_and(|(newest, _)| *newest > first))
    }

    /// Opens what holds the wanted entry, or the next one that is there. `false`: there is none now.
    fn open_next(&mut self) -> Result<bool> {
        loop {
            let files = segment::list(&segment::folder(&self.reader.dir))?;
            let oldest = files.first().map_or(u64::MAX, |(first, _)| *first);
            if self.wanted < oldest {
                let number = self.wanted / TILE_WIDTH;
                match self.reader.bundle(number) {
                    Ok(Some(bundle)) => {
                        self.place = Place::Bundle { number, bundle, at: 0 };
                        return Ok(true);
                    }
                    Ok(None) if files.is_empty() => return Ok(false),
                    Ok(None) => {
                        self.wanted = (number + 1) * TILE_WIDTH;
                        continue;
                    }
                    Err(error) => {
                        self.wanted = (number + 1) * TILE_WIDTH;
                        return Err(error);
                    }
                }
            }
            let mut at = files.partition_point(|(first, _)| *first <= self.wanted).saturating_sub(1);
            if let Some(failed) = self.failed {
                // Behind it; where it was the newest, nothing more comes from it.
                at = at.max(files.partition_point(|(first, _)| *first <= failed));
            }
            let Some((first, path)) = files.get(at) else { return Ok(false) };
            let last = at + 1 == files.len();
            let mut cursor = match open_cursor(path) {
                Ok(Some(cursor)) => cursor,
                // It went since the list was made: its bundles are there.
                Ok(None) => continue,
                Err(error) => {
                    self.failed = Some(*first);
                    return Err(error);
                }
            };
            if self.wanted > *first {
                let there =
                    self.reader.seek(*first, &mut cursor, self.wanted).map_err(Error::io("read", path))?;
                if !there {
                    if last {
                        return Ok(false);
                    }
                    self.failed = Some(*first);
                    continue;
                }
            }
            self.place = Place::Journal(Open { first: *first, path: path.clone(), cursor, last });
            return Ok(true);
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(u64, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|entry| entry.map(|(index, bytes)| (index, bytes.to_vec())))
    }
}

/// A cursor at the start of a segment. `None`: it is not there, or is being made.
pub(crate) fn open_cursor(path: &Path) -> Result<Option<Cursor<File>>> {
    let Some((file, _)) = tile::open_file(path)? else { return Ok(None) };
    match Cursor::open(file).map_err(Error::io("read", path))? {
        Ok(cursor) => Ok(Some(cursor)),
        Err(reason) => Err(Error::Header { path: path.to_owned(), reason }),
    }
}
