//! The journal against the tree, and the leaves that no head speaks of yet.

use std::fs::File;
use std::path::Path;

use super::{Checked, Damage, Log, Report, blamed, folder::Names, tampering};
use crate::reader::open_cursor;
use crate::segment::{self, Cursor, HEADER_BYTES, Step};
use crate::tile::{self, BUNDLE_MAX, TileName};
use crate::tree::{self, Edge, Hash, TILE_WIDTH};
use crate::{Error, Reader};

/// How often the folder is read again because the writer has gone on.
const LISTS_MAX: usize = 100;
/// A writer that cannot seal its segments any more stops long before.
const SEGMENTS_MAX: usize = 1 << 16;

/// Checks every segment that is there: its header, its frames, and each leaf against the tree. The leaves behind the head
/// are counted, and what stands on the disk of their bundles and tiles is checked against them.
pub(super) fn check(log: &Log<'_>, names: &Names, report: &mut Report) -> Checked<()> {
    let folder = segment::folder(log.dir);
    check_names(log, &folder)?;
    let edge = Edge::new(log.head.size, log.edge.clone()).unwrap_or_default();
    let mut walk = Walk { log, names, edge, bundle: None, hashes: None };
    // Where the last segment ended; `None`: at the first, or where one went meanwhile.
    let mut end = None;
    let mut newest = None;
    for _ in 0..LISTS_MAX {
        let files = segment::list(&folder).map_err(|error| blamed(log.dir, None, error))?;
        let files: Vec<_> =
            files.into_iter().filter(|(first, _)| newest.is_none_or(|newest| *first > newest)).collect();
        let mut is_done = false;
        let count = files.len();
        for (at, (first, path)) in files.into_iter().enumerate() {
            newest = Some(first);
            let last = at + 1 == count;
            let file = format!("segments/{}", segment::file_name(first));
            let cursor = match open_cursor(&path) {
                Ok(Some(cursor)) => cursor,
                // The writer needs it no more: its leaves are in bundles.
                Ok(None) => {
                    end = None;
                    continue;
                }
                // What a power cut leaves of one that was being made.
                Err(Error::Header { .. }) if last && first >= log.head.size && is_unmade(&path) => {
                    is_done = true;
                    continue;
                }
                Err(Error::Header { reason, .. }) => {
                    return tampering(Some(first), file, Damage::Malformed { reason });
                }
                Err(error) => return Err(blamed(log.dir, Some(first), error)),
            };
            if cursor.index != first || end.is_some_and(|end| end != first) {
                let expected = end.unwrap_or(cursor.index);
                let reason = format!("the journal goes from leaf {first} on here, not from leaf {expected}");
                return tampering(Some(first.min(expected)), file, Damage::Malformed { reason });
            }
            end = Some(walk.segment(&file, cursor, last, report)?);
            is_done |= last;
        }
        if is_done || count == 0 {
            break;
        }
    }
    if newest.is_none() {
        return tampering(None, "segments".to_owned(), Damage::Missing);
    }
    walk.finish()?;
    report.uncovered = walk.edge.size() - log.head.size;
    Ok(())
}

fn is_unmade(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() < HEADER_BYTES)
}

/// Only segments, and what a writer has not finished.
fn check_names(log: &Log<'_>, folder: &Path) -> Checked<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return tampering(None, "segments".to_owned(), Damage::Missing);
        }
        entries => entries.map_err(Error::io("read the folder", folder))?,
    };
    for (count, entry) in entries.enumerate() {
        if count > SEGMENTS_MAX {
            let reason = "it has more files than it can have".to_owned();
            return tampering(None, "segments".to_owned(), Damage::Malformed { reason });
        }
        let entry = entry.map_err(Error::io("read the folder", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let digits = name.strip_suffix(".log").or_else(|| name.strip_suffix(".tmp"));
        if name != segment::SPARE
            && !digits.is_some_and(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        {
            let path = folder.join(&name);
            let file = path.strip_prefix(log.dir).unwrap_or(&path).to_string_lossy().into_owned();
            return tampering(None, file, Damage::Unexpected);
        }
    }
    Ok(())
}

struct Walk<'a> {
    log: &'a Log<'a>,
    names: &'a Names,
    /// The tree of the head, which grows by what is behind it.
    edge: Edge,
    /// The bundle behind the head that was read last; `None` in it: it is not there.
    bundle: Option<(u64, Option<Vec<Hash>>)>,
    /// The leaf hashes under the head that were read last.
    hashes: Option<(u64, Vec<Hash>)>,
}

impl Walk<'_> {
    /// Gives the index behind its last leaf.
    fn segment(
        &mut self,
        file: &str,
        mut cursor: Cursor<File>,
        last: bool,
        report: &mut Report,
    ) -> Checked<u64> {
        let first = cursor.index;
        // What the segments before it held is in bundles.
        while self.edge.size() < first {
            let index = self.edge.size();
            match self.bundle_hash(index)? {
                Some(hash) => self.push(hash)?,
                None => {
                    let file = TileName::bundle(index / TILE_WIDTH, TILE_WIDTH).path();
                    return tampering(Some(index), file, Damage::Missing);
                }
            }
        }
        let root = match first {
            first if first == self.edge.size() => self.edge.root(),
            // Tiles that were found to be good.
            first => tree::root(&mut Reader::at(self.log.dir).tiles(self.log.head.size), first)
                .map_err(|error| blamed(self.log.dir, Some(first), error))?,
        };
        if cursor.root != root {
            let reason = "its header names another root than the tree has".to_owned();
            return tampering(Some(first), file.to_owned(), Damage::Malformed { reason });
        }
        loop {
            let step = cursor.step(last).map_err(Error::io("read", &self.log.dir.join(file)))?;
            match step {
                Step::Entry { index } => {
                    let hash = tree::leaf_hash(cursor.bytes());
                    if self.expected(index)?.is_some_and(|expected| expected != hash) {
                        let really = super::blame::leaf_elsewhere(self.log, &hash);
                        return tampering(Some(index), file.to_owned(), Damage::Leaf { really });
                    }
                    if index == self.edge.size() {
                        self.push(hash)?;
                    }
                }
                Step::Corrupt { offset, index, reason, .. } => {
                    let reason = format!("damaged at byte {offset}: {reason}");
                    return tampering(Some(index), file.to_owned(), Damage::Malformed { reason });
                }
                Step::End => {
                    let torn = cursor.torn().map_err(Error::io("read", &self.log.dir.join(file)))?;
                    if last && cursor.index < self.log.head.size {
                        let what = match torn {
                            0 => Damage::CutShort,
                            _ => Damage::Malformed { reason: format!("damaged at byte {}", cursor.offset) },
                        };
                        return tampering(Some(cursor.index), file.to_owned(), what);
                    }
                    report.torn += torn;
                    return Ok(cursor.index);
                }
            }
        }
    }

    /// The hash that the leaf of the journal is to have. `None`: nothing tells.
    fn expected(&mut self, index: u64) -> Checked<Option<Hash>> {
        if index >= self.log.head.size {
            return self.bundle_hash(index);
        }
        let bundle = index / TILE_WIDTH;
        if self.hashes.as_ref().is_none_or(|(number, _)| *number != bundle) {
            self.hashes = Some((bundle, self.log.leaf_hashes(bundle)?));
        }
        let hashes = self.hashes.as_ref().map(|(_, hashes)| hashes.as_slice()).unwrap_or_default();
        Ok(hashes.get((index % TILE_WIDTH) as usize).copied())
    }

    /// The hash of a leaf behind the head, from its full bundle.
    fn bundle_hash(&mut self, index: u64) -> Checked<Option<Hash>> {
        let number = index / TILE_WIDTH;
        if self.bundle.as_ref().is_none_or(|(held, _)| *held != number) {
            let name = TileName::bundle(number, TILE_WIDTH).path();
            let bytes = tile::read_file(self.log.dir, &name, BUNDLE_MAX)
                .map_err(|error| blamed(self.log.dir, Some(index), error))?;
            // One that is being written is none yet; if it stays so it is found when its tile is checked.
            let hashes = bytes.and_then(|bytes| {
                let hashes = tile::entries(&bytes).map(|entry| entry.ok().map(tree::leaf_hash));
                hashes.collect::<Option<Vec<Hash>>>().filter(|all| all.len() as u64 == TILE_WIDTH)
            });
            self.bundle = Some((number, hashes));
        }
        let held = self.bundle.as_ref().and_then(|(_, hashes)| hashes.as_ref());
        Ok(held.and_then(|hashes| hashes.get((index % TILE_WIDTH) as usize)).copied())
    }

    fn push(&mut self, hash: Hash) -> Checked<()> {
        let mut full = Vec::new();
        self.edge.push(hash, &mut full);
        for tile in full {
            self.names.check(self.log, Some(tile.level), tile.index, &tile.hashes)?;
            if tile.level == 0 {
                self.names.check(self.log, None, tile.index, &tile.hashes)?;
            }
        }
        Ok(())
    }

    /// What is left: partial tiles, and those that no leaf speaks for.
    fn finish(&mut self) -> Checked<()> {
        let size = self.edge.size();
        for (level, index, hashes) in self.edge.partial() {
            self.names.check(self.log, Some(level), index, hashes)?;
            if level == 0 {
                self.names.check(self.log, None, index, hashes)?;
            }
        }
        for ((level, index), widths) in &self.names.extra {
            let height = level.unwrap_or(0);
            if *index > tree::tiles(size, height)
                || (*index == tree::tiles(size, height) && tree::width(size, height) == 0)
            {
                let width = widths.first().copied().unwrap_or(TILE_WIDTH);
                let name = TileName { level: *level, index: *index, width };
                if self.log.dir.join(name.path()).exists() {
                    return tampering(Some(name.leaves().0), name.path(), Damage::Unexpected);
                }
            }
        }
        Ok(())
    }
}
