//! The one writer of a ledger.
//!
//! The order of its acts is what makes a crash harmless: an entry is on the disk in a segment before a bundle, tile or
//! checkpoint is made from it; a segment goes after its bundles and tiles are on the disk. So what a crash leaves of
//! bundles and tiles is made again from the segments that are there, and no checkpoint speaks of an entry that is lost.
//! `// CRASH:` marks where a test lets the power fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{self, Disk, RealDisk};
use crate::seal::Sealer;
use crate::segment::{self, Cursor, ENTRY_MAX, FRAME_BYTES, HEADER_BYTES, Step};
use crate::tile::{self, BUNDLE_MAX, TileName};
use crate::tree::{self, Edge, FullTile, Hash, TILE_WIDTH};
use crate::{Error, Head, Reader, Result, SegmentInfo};

/// What is held back before it is written: a system call per entry would cost more than the entry.
const BUFFER_BYTES: usize = 1024 * 1024;
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Longest checkpoint file: its text and the signatures of many witnesses.
pub(crate) const CHECKPOINT_MAX: u64 = 64 * 1024;
/// Generations of partial tiles that are kept: who read the checkpoint before the last one still finds its own.
const GENERATIONS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed at the first full bundle at which it is longer than this.
    pub segment_bytes: u64,
    /// Entries are pruned in blocks of so many: a multiple of 256.
    pub block: u64,
}

impl Default for Options {
    fn default() -> Self {
        // 16 MiB: what a recovery reads again stays far below a second. A block is what one tile of level 1 spans.
        Options { segment_bytes: 16 * 1024 * 1024, block: TILE_WIDTH * TILE_WIDTH }
    }
}

/// What opening a ledger repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// An entry that was being written when the writer died.
    pub cut: Option<TornTail>,
}

/// Bytes that were no whole entry, and were cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub file: PathBuf,
    /// Where the file ends now.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

/// Entries that are pruned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub first: u64,
    /// Of its bundles.
    pub bytes: u64,
}

pub struct Ledger {
    dir: PathBuf,
    /// Held for its lock.
    _lock: File,
    options: Options,
    disk: Arc<dyn Disk>,
    /// Closed segments whose bundles are not known to be on the disk.
    closed: Vec<SegmentInfo>,
    active: Active,
    /// Whole entries that were accepted and are not in the file yet.
    buffer: Vec<u8>,
    next: u64,
    /// Of all entries that were accepted.
    edge: Edge,
    /// What became full and is not written yet, oldest first.
    full_tiles: VecDeque<FullTile>,
    full_bundles: VecDeque<(u64, Vec<u8>)>,
    /// The entries behind the last full bundle.
    bundle: Vec<u8>,
    /// Partial tiles on the disk, by the head that they were written for, oldest first.
    partial: VecDeque<Vec<TileName>>,
    /// Folders that are there.
    folders: BTreeSet<PathBuf>,
    /// Bytes of the bundles of each block.
    blocks: BTreeMap<u64, u64>,
    sealer: Sealer,
}

struct Active {
    file: File,
    path: PathBuf,
    first: u64,
    /// End of the last whole entry in the file.
    written: u64,
    /// Something was written that is not known to be on the disk.
    unsynced: bool,
}

impl Ledger {
    /// Opens the ledger in this folder, which is made where it is missing. An entry that the last writer left half
    /// written is cut off and told of. An error that `is_damage` says that the log is not what it was.
    pub fn open(dir: &Path, options: Options) -> Result<(Ledger, Recovery)> {
        Ledger::open_on(Arc::new(RealDisk), dir, options, true)
    }

    /// `thread`: segments are sealed in the background.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        thread: bool,
    ) -> Result<(Ledger, Recovery)> {
        let segments = segment::folder(dir);
        for folder in [dir, &segments] {
            disk::make_durable_dir(&*disk, folder).map_err(Error::io("make the folder", folder))?;
        }
        std::fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(Error::io("restrict the folder", dir))?;
        let lock = lock(dir)?;
        remove_unfinished(&*disk, dir)?;
        remove_unfinished(&*disk, &segments)?;
        let mut recovery = Recovery::default();
        let mut files = segment::list(&segments)?;
        drop_unmade(&*disk, &mut files, &mut recovery)?;
        let signed = head_on_disk(dir)?;
        if files.is_empty() {
            if signed.is_some_and(|(size, _)| size > 0) {
                return Err(Error::Lost {
                    path: dir.to_owned(),
                    signed: signed.map_or(0, |(size, _)| size),
                    found: 0,
                });
            }
            create(&*disk, &segments, 0, &tree::empty_root(), None)?;
            files = segment::list(&segments)?;
        }
        let base = files.first().map_or(0, |(first, _)| *first);
        let edge = edge_at(dir, base)?;
        let sealer = Sealer::start(Arc::clone(&disk), dir, thread)?;
        let mut ledger = Ledger {
            dir: dir.to_owned(),
            _lock: lock,
            options,
            closed: Vec::new(),
            // Replaced below by the newest segment.
            active: Active {
                file: open_segment(&files)?,
                path: PathBuf::new(),
                first: base,
                written: 0,
                unsynced: false,
            },
            buffer: Vec::new(),
            next: base,
            edge,
            full_tiles: VecDeque::new(),
            full_bundles: VecDeque::new(),
            bundle: Vec::new(),
            partial: VecDeque::new(),
            folders: BTreeSet::new(),
            blocks: blocks(dir, base, options.block)?,
            disk,
            sealer,
        };
        let count = files.len();
        for (at, (first, path)) in files.into_iter().enumerate() {
            let last = at + 1 == count;
            ledger.replay(first, path, last.then_some(signed.map_or(0, |(size, _)| size)), &mut recovery)?;
        }
        let signed = signed.unwrap_or((0, tree::empty_root()));
        let edge = ledger.compare(signed.0, &signed.1)?;
        ledger.renew_partial(base, &edge);
        let waiting: Vec<PathBuf> = ledger.closed.iter().map(|info| info.path.clone()).collect();
        for path in waiting {
            ledger.sealer.seal(path);
        }
        Ok((ledger, recovery))
    }

    /// Takes what a segment holds, and makes again what of its bundles and tiles is not there. `signed`: this is the
    /// newest segment, and so many entries of the log are under its checkpoint.
    fn replay(
        &mut self,
        first: u64,
        path: PathBuf,
        signed: Option<u64>,
        recovery: &mut Recovery,
    ) -> Result<()> {
        let last = signed.is_some();
        if first != self.next {
            return Err(Error::Gap { path: segment::folder(&self.dir), expected: self.next, found: first });
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        let reading = file.try_clone().map_err(Error::io("open", &path))?;
        let mut cursor = match Cursor::open(reading).map_err(Error::io("read", &path))? {
            Ok(cursor) => cursor,
            Err(reason) => return Err(Error::Header { path, reason }),
        };
        if cursor.index != first {
            return Err(Error::Header { path, reason: format!("its header says entry {}", cursor.index) });
        }
        if cursor.root != self.edge.root() {
            return Err(Error::Root { path, what: "header" });
        }
        let (written, torn) = loop {
            match cursor.step(last).map_err(Error::io("read", &path))? {
                Step::Entry { .. } => {
                    self.take(cursor.bytes());
                    if !self.full_bundles.is_empty() {
                        self.write_full(true)?;
                    }
                }
                // Where the power failed, a later page may have reached the disk and an earlier one not: nobody was
                // told that either did.
                Step::Corrupt { offset, index, .. } if signed.is_some_and(|signed| index >= signed) => {
                    let len = file.metadata().map_err(Error::io("look at", &path))?.len();
                    break (offset, len.saturating_sub(offset));
                }
                Step::Corrupt { offset, index, reason, .. } => {
                    return Err(Error::Corrupt { path, offset, index, reason });
                }
                Step::End => {
                    let torn = cursor.torn().map_err(Error::io("read", &path))?;
                    break (cursor.offset, torn);
                }
            }
        };
        if torn > 0 {
            // CRASH: the tail is still there, and is cut off again.
            self.disk.point("cut");
            self.disk.set_len(&path, &file, written).map_err(Error::io("cut", &path))?;
            recovery.cut = Some(TornTail { file: path.clone(), offset: written, bytes: torn });
        }
        if last {
            // What the last writer wrote and did not wait for.
            self.disk.sync(&path, &file).map_err(Error::io("write to disk", &path))?;
            self.active = Active { file, path, first, written, unsynced: false };
        } else {
            self.closed.push(SegmentInfo { first, last: self.next.checked_sub(1), path, bytes: written });
        }
        Ok(())
    }

    /// Whether the log leads to what its own checkpoint says. Gives the edge of the tree that it speaks of.
    fn compare(&self, size: u64, root: &Hash) -> Result<Edge> {
        if size > self.next {
            return Err(Error::Lost { path: self.dir.clone(), signed: size, found: self.next });
        }
        let edge = if size == self.next { self.edge.clone() } else { self.edge_of(size)? };
        if edge.root() == *root {
            Ok(edge)
        } else {
            Err(Error::Root { path: self.dir.clone(), what: "checkpoint" })
        }
    }

    /// The edge at an earlier size, from what stands on the disk and in memory.
    fn edge_of(&self, size: u64) -> Result<Edge> {
        let whole = size - size % TILE_WIDTH;
        let mut edge = edge_at(&self.dir, whole)?;
        if whole == self.next - self.next % TILE_WIDTH {
            for entry in tile::entries(&self.bundle).take((size - whole) as usize).flatten() {
                edge.push(tree::leaf_hash(entry), &mut Vec::new());
            }
        } else if let Some(bytes) =
            tile::read_file(&self.dir, &TileName::hashes(0, whole / TILE_WIDTH, TILE_WIDTH).path(), 8192)?
        {
            let hashes = tile::parse_hashes(&bytes).unwrap_or_default();
            for hash in hashes.into_iter().take((size - whole) as usize) {
                edge.push(hash, &mut Vec::new());
            }
        }
        Ok(edge)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Index that the next entry will get.
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// First entry of the block that an entry belongs to.
    pub fn block_of(&self, index: u64) -> u64 {
        index - index % self.options.block
    }

    /// Takes an entry and gives its index. It reaches the file with the next `commit`, or before. After an error it
    /// was not taken; what was taken before it is kept and written as soon as there is room.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        if bytes.len() > ENTRY_MAX {
            return Err(Error::TooLong { bytes: bytes.len() });
        }
        let size = FRAME_BYTES + bytes.len();
        let filled = self.active.written + self.buffer.len() as u64;
        if filled >= self.options.segment_bytes && self.next.is_multiple_of(TILE_WIDTH) {
            self.rotate()?;
        }
        if !self.buffer.is_empty() && self.buffer.len() + size > BUFFER_BYTES {
            self.flush()?;
        }
        segment::push_entry(&mut self.buffer, self.next, bytes);
        Ok(self.take(bytes))
    }

    /// Adds an entry to the tree and to its bundle.
    fn take(&mut self, bytes: &[u8]) -> u64 {
        let index = self.next;
        let mut full = Vec::new();
        self.edge.push(tree::leaf_hash(bytes), &mut full);
        tile::push_entry(&mut self.bundle, bytes);
        self.next += 1;
        if self.next.is_multiple_of(TILE_WIDTH) {
            let capacity = self.bundle.len();
            let bundle = std::mem::replace(&mut self.bundle, Vec::with_capacity(capacity));
            self.full_bundles.push_back((index / TILE_WIDTH, bundle));
            self.full_tiles.extend(full);
        }
        index
    }

    /// Writes what was taken, so that readers see it; `durable`: and waits until it is on the disk.
    pub fn commit(&mut self, durable: bool) -> Result<()> {
        self.flush()?;
        if durable && self.active.unsynced {
            // CRASH: entries are in the file, but perhaps not on the disk; nobody was told that they are.
            self.disk.point("written");
            self.disk
                .sync(&self.active.path, &self.active.file)
                .map_err(Error::io("write to disk", &self.active.path))?;
            self.active.unsynced = false;
        }
        Ok(())
    }

    /// Makes everything that was taken durable, writes its tiles and bundles, and gives what a checkpoint says of it.
    pub fn publish(&mut self) -> Result<Head> {
        self.commit(true)?;
        // CRASH: entries are on the disk, their bundles and tiles are not.
        self.disk.point("durable");
        self.write_full(false)?;
        self.write_partial()?;
        Ok(Head { size: self.next, root: self.edge.root() })
    }

    /// What a checkpoint would say now. Nothing is written.
    pub fn head(&self) -> Head {
        Head { size: self.next, root: self.edge.root() }
    }

    /// Puts a checkpoint of what was published in place of the one before. Its signatures are its author's business.
    pub fn put_checkpoint(&mut self, note: &[u8]) -> Result<()> {
        let path = self.dir.join(CHECKPOINT);
        let unfinished = self.dir.join("checkpoint.tmp");
        let write = || {
            let file = self.disk.create(&unfinished)?;
            self.disk.write_at(&unfinished, &file, note, 0)?;
            // CRASH: a checkpoint that is not in place yet.
            self.disk.point("checkpoint");
            self.disk.sync(&unfinished, &file)?;
            self.disk.rename(&unfinished, &path)?;
            // CRASH: either checkpoint may be the one that is found.
            self.disk.point("renamed");
            self.disk.sync_dir(&self.dir)
        };
        write().map_err(Error::io("write", &path))
    }

    fn write_full(&mut self, compare: bool) -> Result<()> {
        while let Some((index, bytes)) = self.full_bundles.pop_front() {
            if let Err(error) = self.write_tile(TileName::bundle(index, TILE_WIDTH), &bytes, compare) {
                // It waits for room.
                self.full_bundles.push_front((index, bytes));
                return Err(error);
            }
            // CRASH: a bundle is there, its tile is not.
            self.disk.point("bundle");
            *self.blocks.entry(self.block_of(index * TILE_WIDTH)).or_default() += bytes.len() as u64;
        }
        while let Some(full) = self.full_tiles.front() {
            let bytes: Vec<u8> = full.hashes.concat();
            let name = TileName::hashes(full.level, full.index, TILE_WIDTH);
            self.write_tile(name, &bytes, compare)?;
            // CRASH: a tile is there, the one above it is not.
            self.disk.point("tile");
            self.full_tiles.pop_front();
        }
        Ok(())
    }

    fn write_partial(&mut self) -> Result<()> {
        let mut names: Vec<TileName> = self
            .edge
            .partial()
            .map(|(level, index, hashes)| TileName::hashes(level, index, hashes.len() as u64))
            .collect();
        let width = self.next % TILE_WIDTH;
        if width > 0 {
            names.push(TileName::bundle(self.next / TILE_WIDTH, width));
        }
        // Somebody may be reading them: what is there is not written again.
        let is_new = |name: &TileName| !self.partial.iter().flatten().any(|there| there == name);
        let mut new: Vec<(TileName, Vec<u8>)> = self
            .edge
            .partial()
            .map(|(level, index, hashes)| {
                (TileName::hashes(level, index, hashes.len() as u64), hashes.concat())
            })
            .filter(|(name, _)| is_new(name))
            .collect();
        if let Some(name) = names.last().filter(|name| name.level.is_none() && is_new(name)) {
            new.push((*name, self.bundle.clone()));
        }
        for (name, bytes) in new {
            self.write_tile(name, &bytes, false)?;
        }
        if self.partial.back() == Some(&names) {
            return Ok(());
        }
        self.partial.push_back(names);
        while self.partial.len() > GENERATIONS {
            let Some(old) = self.partial.pop_front() else { break };
            self.remove_tiles(
                old.iter().filter(|name| !self.partial.iter().flatten().any(|kept| kept == *name)),
            );
        }
        Ok(())
    }

    /// What is left of a file that nobody needs is no reason to stop.
    fn remove_tiles<'a>(&self, names: impl Iterator<Item = &'a TileName>) {
        for name in names {
            let path = self.dir.join(name.path());
            let _ = self.disk.remove(&path);
            if let Some(folder) = path.parent().filter(|_| !name.is_full()) {
                // Only where nothing is in it any more.
                let _ = self.disk.remove_dir(folder);
            }
        }
    }

    /// Nobody waited for partial tiles: a power cut may have left them torn, or not at all. Makes those of the signed
    /// tree anew, and removes what else an earlier writer left behind leaf `base`; before it all was waited for.
    fn renew_partial(&mut self, base: u64, signed: &Edge) {
        let mut wanted: Vec<(TileName, Vec<u8>)> = signed
            .partial()
            .map(|(level, index, hashes)| {
                (TileName::hashes(level, index, hashes.len() as u64), hashes.concat())
            })
            .collect();
        let width = signed.size() % TILE_WIDTH;
        if width > 0 {
            let entries = tile::entries(&self.bundle).take(width as usize);
            let len = entries.map(|entry| entry.map_or(0, |entry| 2 + entry.len())).sum();
            let bytes = self.bundle.get(..len).unwrap_or_default().to_vec();
            wanted.push((TileName::bundle(signed.size() / TILE_WIDTH, width), bytes));
        }
        // Where the log has a full one by now, that stands in for it.
        wanted.retain(|(name, _)| name.index == tree::tiles(self.next, name.level.unwrap_or(0)));
        let mut old = Vec::new();
        for level in std::iter::once(None).chain((0..tree::LEVELS_MAX).map(Some)) {
            let height = level.unwrap_or(0);
            for index in tree::tiles(base, height)..=tree::tiles(self.next, height) {
                let full = TileName { level, index, width: TILE_WIDTH };
                let Ok(entries) = std::fs::read_dir(self.dir.join(format!("{}.p", full.path()))) else {
                    continue;
                };
                for entry in entries.flatten() {
                    let width = entry.file_name().to_str().and_then(|name| name.parse().ok());
                    let name = width.map(|width| TileName { width, ..full });
                    old.extend(name.filter(|name| (1..TILE_WIDTH).contains(&name.width)));
                }
            }
        }
        self.remove_tiles(old.iter().filter(|name| !wanted.iter().any(|(wanted, _)| wanted == *name)));
        for (name, bytes) in &wanted {
            // Where there is no room, the next head has its own.
            let _ = self.write_tile(*name, bytes, true);
        }
        if !wanted.is_empty() {
            // They go when the next head has its own: until then the checkpoint on the disk needs them.
            self.partial.push_back(wanted.into_iter().map(|(name, _)| name).collect());
        }
    }

    fn write_tile(&mut self, name: TileName, bytes: &[u8], compare: bool) -> Result<()> {
        let path = self.dir.join(name.path());
        if compare
            && tile::read_file(&self.dir, &name.path(), BUNDLE_MAX)?.is_some_and(|there| there == bytes)
        {
            return Ok(());
        }
        if let Some(folder) = path.parent()
            && !self.folders.contains(folder)
        {
            self.disk.make_dir(folder).map_err(Error::io("make the folder", folder))?;
            if name.is_full() {
                self.folders.insert(folder.to_owned());
            }
        }
        let write = || {
            let file = self.disk.create(&path)?;
            self.disk.write_at(&path, &file, bytes, 0)
        };
        write().map_err(|error| {
            // Half of a tile is worse than none.
            let _ = self.disk.remove(&path);
            Error::io("write", &path)(error)
        })
    }

    /// Closes the segment and begins the next. Does nothing between bundles, or where the segment has no entry.
    pub fn rotate(&mut self) -> Result<()> {
        self.commit(true)?;
        if self.next == self.active.first || !self.next.is_multiple_of(TILE_WIDTH) {
            return Ok(());
        }
        self.write_full(false)?;
        // CRASH: the bundles of the segment are there, the next segment is not.
        self.disk.point("rotate");
        let room = self.sealer.take_room();
        let active = create(&*self.disk, &segment::folder(&self.dir), self.next, &self.edge.root(), room)?;
        let old = std::mem::replace(&mut self.active, active);
        self.sealer.seal(old.path.clone());
        self.closed.push(SegmentInfo {
            first: old.first,
            last: self.next.checked_sub(1),
            path: old.path,
            bytes: old.written,
        });
        self.settle();
        Ok(())
    }

    /// Learns which segments are gone.
    fn settle(&mut self) {
        let gone = self.sealer.sealed();
        self.closed.retain(|info| !gone.contains(&info.path));
    }

    /// Waits until all closed segments are in bundles on the disk.
    pub fn settle_all(&mut self) -> Result<()> {
        self.sealer.wait().map_err(Error::io("write to disk", &self.dir))?;
        self.settle();
        Ok(())
    }

    /// The segments of the journal, oldest first; the last is the one that is written to.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let mut all = self.closed.clone();
        all.push(SegmentInfo {
            first: self.active.first,
            last: self.next.checked_sub(1).filter(|last| *last >= self.active.first),
            path: self.active.path.clone(),
            bytes: self.active.written + self.buffer.len() as u64,
        });
        all
    }

    /// The blocks of which bundles are there, oldest first. The last one may still grow.
    pub fn blocks(&self) -> Vec<Block> {
        let mut all = self.blocks.clone();
        let waiting: u64 = self.full_bundles.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        *all.entry(self.block_of(self.next)).or_default() += waiting + self.bundle.len() as u64;
        all.into_iter().map(|(first, bytes)| Block { first, bytes }).collect()
    }

    /// Bytes of all entries that are there. The hashes, which stay for ever, are beside them.
    pub fn bytes(&self) -> u64 {
        self.blocks().iter().map(|block| block.bytes).sum()
    }

    /// The entries below this one are in bundles, and in no segment.
    pub fn sealed(&mut self) -> u64 {
        // Another thread writes them, and nobody looked since the last segment began.
        self.settle();
        self.closed.first().map_or(self.active.first, |info| info.first)
    }

    /// Drops the entries below `through`, the first of a block, but for those to keep. Their hashes stay, so
    /// everything that is kept stays provable.
    pub fn prune(&mut self, through: u64, keep: &BTreeSet<u64>) -> Result<()> {
        self.settle_all()?;
        if !through.is_multiple_of(self.options.block) || through > self.sealed() {
            return Err(Error::NotPrunable { path: self.dir.clone(), through });
        }
        let gone: Vec<u64> = self.blocks.range(..through).map(|(first, _)| *first).collect();
        let bundles: Vec<u64> = gone
            .iter()
            .flat_map(|first| first / TILE_WIDTH..(first + self.options.block) / TILE_WIDTH)
            .collect();
        for bundle in &bundles {
            let first = bundle * TILE_WIDTH;
            let wanted: Vec<u64> = keep.range(first..first + TILE_WIDTH).copied().collect();
            if !wanted.is_empty() {
                self.keep(*bundle, &wanted)?;
            }
        }
        // CRASH: what is to be kept is there twice.
        self.disk.point("kept");
        self.disk.sync_all(&self.dir).map_err(Error::io("write to disk", &self.dir))?;
        for bundle in &bundles {
            let path = self.dir.join(TileName::bundle(*bundle, TILE_WIDTH).path());
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {}
            }
            // CRASH: some of the bundles are gone.
            self.disk.point("pruned");
        }
        for first in gone {
            self.blocks.remove(&first);
        }
        Ok(())
    }

    fn keep(&self, bundle: u64, wanted: &[u64]) -> Result<()> {
        let name = TileName::bundle(bundle, TILE_WIDTH).path();
        let Some(bytes) = tile::read_file(&self.dir, &name, BUNDLE_MAX)? else {
            // Pruned by a writer that died on the way.
            return Ok(());
        };
        let mut kept = Vec::new();
        for (entry, index) in tile::entries(&bytes).zip(bundle * TILE_WIDTH..) {
            let entry = entry.map_err(|at| Error::Malformed {
                path: self.dir.join(&name),
                reason: format!("no entry at byte {at}"),
            })?;
            if wanted.contains(&index) {
                tile::push_kept(&mut kept, (index % TILE_WIDTH) as u8, entry);
            }
        }
        let path = tile::kept_path(&self.dir, bundle);
        let unfinished = path.with_extension("tmp");
        let write = || {
            if let Some(folder) = path.parent() {
                self.disk.make_dir(folder)?;
            }
            let file = self.disk.create(&unfinished)?;
            self.disk.write_at(&unfinished, &file, &kept, 0)?;
            self.disk.sync(&unfinished, &file)?;
            self.disk.rename(&unfinished, &path)
        };
        write().map_err(Error::io("write", &path))
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let Active { file, path, written, .. } = &self.active;
        if let Err(error) = self.disk.write_at(path, file, &self.buffer, *written) {
            // Nothing half-written stays; if even this fails, the next write goes over it.
            let _ = self.disk.set_len(path, file, *written);
            return Err(Error::io("write to", path)(error));
        }
        self.active.written += self.buffer.len() as u64;
        self.active.unsynced = true;
        let len = self.options.segment_bytes;
        if self.active.written > len / 2 {
            // A little more than it closes at: the last bundle is to be whole.
            self.sealer.prepare(segment::folder(&self.dir).join(segment::SPARE), len + len / 8);
        }
        self.buffer.clear();
        // One huge entry is no reason to hold on to its memory.
        self.buffer.shrink_to(2 * BUFFER_BYTES);
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Best effort: whoever needs to know commits.
        let _ = self.flush();
        let _ = self.sealer.wait();
        if self.sealer.take_room().is_some() {
            let _ = self.disk.remove(&segment::folder(&self.dir).join(segment::SPARE));
        }
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

/// Removes files that were never finished being made.
fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(Error::io("read the folder", dir))? {
        let path = entry.map_err(Error::io("read the folder", dir))?.path();
        if path.extension().is_some_and(|it| it == "tmp") {
            disk.remove(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Passes by the newest segment where its header never reached the disk: it held nothing.
fn drop_unmade(disk: &dyn Disk, files: &mut Vec<(u64, PathBuf)>, recovery: &mut Recovery) -> Result<()> {
    let Some((_, path)) = files.last() else { return Ok(()) };
    let bytes = std::fs::metadata(path).map_err(Error::io("look at", path))?.len();
    if bytes < HEADER_BYTES {
        recovery.cut = Some(TornTail { file: path.clone(), offset: 0, bytes });
        disk.remove(path).map_err(Error::io("remove", path))?;
        files.pop();
    }
    Ok(())
}

fn open_segment(files: &[(u64, PathBuf)]) -> Result<File> {
    let path = files.last().map(|(_, path)| path.clone()).unwrap_or_default();
    File::open(&path).map_err(Error::io("open", &path))
}

/// Makes an empty segment: under another name first, so that a segment with its name has its header. `room`: in what was
/// made for it.
fn create(disk: &dyn Disk, dir: &Path, first: u64, root: &Hash, room: Option<File>) -> Result<Active> {
    let unfinished = match room {
        Some(_) => dir.join(segment::SPARE),
        None => dir.join(format!("{first:020}.tmp")),
    };
    let path = dir.join(segment::file_name(first));
    let make = || {
        let file = match room {
            Some(file) => file,
            None => disk.create(&unfinished)?,
        };
        disk.write_at(&unfinished, &file, &segment::header(first, root), 0)?;
        disk.sync(&unfinished, &file)?;
        // CRASH: a segment without its name.
        disk.point("segment");
        disk.rename(&unfinished, &path)?;
        Ok(file)
    };
    let file = make().map_err(|error| {
        let _ = disk.remove(&unfinished);
        Error::io("make", &path)(error)
    })?;
    disk.sync_dir(dir).map_err(Error::io("write to disk", dir))?;
    Ok(Active { file, path, first, written: HEADER_BYTES, unsynced: false })
}

/// Size and root that the checkpoint on the disk speaks of, without a look at its signatures.
pub(crate) fn head_on_disk(dir: &Path) -> Result<Option<(u64, Hash)>> {
    let Some(bytes) = tile::read_file(dir, CHECKPOINT, CHECKPOINT_MAX)? else { return Ok(None) };
    let malformed =
        || Error::Malformed { path: dir.join(CHECKPOINT), reason: "it is no checkpoint".to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
    let (body, _) = text.split_once("\n\n").ok_or_else(malformed)?;
    let head = Head::parse(body).ok_or_else(malformed)?;
    Ok(Some((head.size, head.root)))
}

/// The right edge of the tree of so many leaves, a multiple of 256, from its full tiles.
fn edge_at(dir: &Path, size: u64) -> Result<Edge> {
    let mut levels = Vec::new();
    for level in 0..tree::LEVELS_MAX {
        let width = tree::width(size, level);
        let first = tree::tiles(size, level) * TILE_WIDTH;
        let mut hashes = Vec::with_capacity(width as usize);
        for index in first..first + width {
            // At level 0 there are none: the size is a multiple of a tile's.
            let name = TileName::hashes(level.saturating_sub(1), index, TILE_WIDTH).path();
            let path = dir.join(&name);
            let malformed = |reason: &str| Error::Malformed { path: path.clone(), reason: reason.to_owned() };
            let bytes =
                tile::read_file(dir, &name, 32 * TILE_WIDTH)?.ok_or_else(|| malformed("it is missing"))?;
            let tile = tile::parse_hashes(&bytes)
                .filter(|tile| tile.len() as u64 == TILE_WIDTH)
                .ok_or_else(|| malformed("it is no full tile"))?;
            hashes.push(tree::perfect_root(&tile));
        }
        levels.push(hashes);
    }
    Edge::new(size, levels).ok_or_else(|| Error::Gap {
        path: segment::folder(dir),
        expected: size - size % TILE_WIDTH,
        found: size,
    })
}

/// Bytes of the bundles below this entry, by block.
fn blocks(dir: &Path, below: u64, block: u64) -> Result<BTreeMap<u64, u64>> {
    let mut blocks = BTreeMap::new();
    for (index, bytes) in Reader::bundles(dir)? {
        let first = index * TILE_WIDTH;
        if first < below {
            *blocks.entry(first - first % block).or_default() += bytes;
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with only so much room.
    struct Small {
        room: std::sync::Mutex<usize>,
    }

    impl Disk for Small {
        fn make_dir(&self, path: &Path) -> io::Result<()> {
            RealDisk.make_dir(path)
        }
        fn create(&self, path: &Path) -> io::Result<File> {
            RealDisk.create(path)
        }
        fn write_at(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
            let mut room = self.room.lock().unwrap();
            let fits = bytes.len().min(*room);
            RealDisk.write_at(path, file, &bytes[..fits], offset)?;
            *room -= fits;
            if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
        fn set_len(&self, path: &Path, file: &File, len: u64) -> io::Result<()> {
            RealDisk.set_len(path, file, len)
        }
        fn sync(&self, path: &Path, file: &File) -> io::Result<()> {
            RealDisk.sync(path, file)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            RealDisk.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }
        fn remove_dir(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove_dir(path)
        }
        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            RealDisk.sync_dir(path)
        }
        fn sync_all(&self, dir: &Path) -> io::Result<()> {
            RealDisk.sync_all(dir)
        }
    }

    fn all(dir: &Path) -> Vec<Vec<u8>> {
        Reader::open(dir).unwrap().iter_from(0).map(|entry| entry.unwrap().1).collect()
    }

    #[test]
    fn a_full_disk_leaves_whole_entries_and_later_appends_work() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Small { room: std::sync::Mutex::new(usize::MAX) });
        let (mut ledger, _) = Ledger::open_on(disk.clone(), dir.path(), Options::default(), true).unwrap();
        ledger.append(b"before").unwrap();
        ledger.commit(true).unwrap();
        *disk.room.lock().unwrap() = 11;
        ledger.append(b"held").unwrap();
        ledger.append(b"back").unwrap();
        let error = ledger.commit(false).unwrap_err();
        assert!(error.is_disk_full());
        assert!(error.to_string().contains("00000000000000000000.log"), "{error}");
        assert!(ledger.publish().unwrap_err().is_disk_full());
        assert_eq!(all(dir.path()), [b"before".to_vec()]);
        let size = std::fs::metadata(&ledger.segments()[0].path).unwrap().len();
        assert_eq!(size, HEADER_BYTES + 8 + 6, "nothing half-written stays");
        // The buffer is bounded: an append that does not fit is refused, what was accepted stays.
        let large = vec![7; ENTRY_MAX];
        let refused = (0..40).find_map(|_| ledger.append(&large).err()).unwrap();
        assert!(refused.is_disk_full());
        let next = ledger.next_index();
        assert!(next < 20, "{next}");
        *disk.room.lock().unwrap() = usize::MAX;
        assert_eq!(ledger.append(b"after").unwrap(), next);
        let head = ledger.publish().unwrap();
        assert_eq!(head.size, next + 1);
        drop(ledger);
        let (ledger, recovery) = Ledger::open(dir.path(), Options::default()).unwrap();
        assert_eq!((recovery, ledger.head()), (Recovery::default(), head));
        let found = all(dir.path());
        assert_eq!(found[..3], [b"before".to_vec(), b"held".to_vec(), b"back".to_vec()]);
        assert_eq!(found.last().unwrap(), b"after");
    }
}
