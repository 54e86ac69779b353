//! The files that a log's folder holds: which are to be there, which may be, and which may not.

use std::collections::BTreeMap;
use std::fs::FileType;
use std::path::Path;

use super::{ATTEMPTS, Checked, Damage, Log, PAUSE, Tampering, VerifyError, blamed, tampering};
use crate::Error;
use crate::tile::{self, BUNDLE_MAX, TileName};
use crate::tree::{self, Hash, TILE_WIDTH};

/// Files behind the head that are remembered. A writer that is this far ahead of its checkpoint has other troubles.
const EXTRA_MAX: usize = 1 << 20;

/// The names that need more than a look at the leaves.
#[derive(Default)]
pub(super) struct Names {
    /// Bundles of which something was kept, in order.
    pub kept: Vec<u64>,
    /// Tiles and bundles that the head does not ask for, with their widths: of an earlier or a later one.
    pub extra: BTreeMap<(Option<u32>, u64), Vec<u64>>,
}

/// Goes through the folders of tiles and kept leaves.
pub(super) fn walk(dir: &Path, size: u64) -> Checked<Names> {
    let mut names = Names::default();
    let mut count = 0;
    for top in ["tile", "kept"] {
        let mut folders = vec![top.to_owned()];
        while let Some(folder) = folders.pop() {
            for (name, kind) in list(dir, &folder)? {
                let unexpected = || tampering(None, folder.clone() + "/" + &name, Damage::Unexpected);
                let path = format!("{folder}/{name}");
                if kind.is_dir() {
                    if !is_folder(&path) {
                        return unexpected();
                    }
                    folders.push(path);
                } else if !kind.is_file() {
                    let reason = "it is no regular file".to_owned();
                    return tampering(None, path, Damage::Malformed { reason });
                } else if top == "kept" {
                    let tile = path.strip_prefix("kept/").map(|rest| format!("tile/entries/{rest}"));
                    match tile.as_deref().and_then(TileName::parse) {
                        Some(tile) if tile.is_full() && tile.index < size / TILE_WIDTH => {
                            names.kept.push(tile.index);
                        }
                        // One that a writer was at when it died.
                        _ if path.ends_with(".tmp") => {}
                        _ => return unexpected(),
                    }
                } else {
                    match TileName::parse(&path) {
                        Some(tile) if tile.level.is_none_or(|level| level < tree::LEVELS_MAX) => {
                            if !is_asked_for(&tile, size) {
                                count += 1;
                                names.extra.entry((tile.level, tile.index)).or_default().push(tile.width);
                            }
                        }
                        _ => return unexpected(),
                    }
                    if count > EXTRA_MAX {
                        return unexpected();
                    }
                }
            }
        }
    }
    names.kept.sort_unstable();
    Ok(names)
}

/// Whether the tree of this size is made of this tile or bundle.
fn is_asked_for(tile: &TileName, size: u64) -> bool {
    let level = tile.level.unwrap_or(0);
    let full = tree::tiles(size, level);
    if tile.is_full() {
        tile.index < full
    } else {
        tile.index == full && tile.width == tree::width(size, level)
    }
}

fn list(dir: &Path, folder: &str) -> Checked<Vec<(String, FileType)>> {
    let path = dir.join(folder);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        // Also one that a writer has emptied meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read the folder", &path)(error).into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read the folder", &path))?;
        match entry.file_type() {
            Ok(kind) => found.push((entry.file_name().to_string_lossy().into_owned(), kind)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("look at", &entry.path())(error).into()),
        }
        if found.len() > FOLDER_MAX {
            let reason = "it has more files than it can have".to_owned();
            return tampering(None, folder.to_owned(), Damage::Malformed { reason });
        }
    }
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Names that a folder can have: a thousand files, as many folders below it, and as many of partial tiles; and some that
/// a dead writer left.
const FOLDER_MAX: usize = 4096;

/// Whether a file that the log has a place for can be somewhere below this folder.
fn is_folder(path: &str) -> bool {
    let path = match path.strip_prefix("kept/") {
        Some(rest) => format!("tile/entries/{rest}"),
        None => path.to_owned(),
    };
    let file = if path.ends_with(".p") { path + "/1" } else { path + "/000" };
    TileName::parse(&file).is_some()
}

/// The partial tiles that stand where this full one is or will be.
pub(super) fn partial(dir: &Path, full: &TileName) -> impl Iterator<Item = TileName> {
    let full = *full;
    let path = dir.join(format!("{}.p", full.path()));
    let mut widths: Vec<u64> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|width| (1..TILE_WIDTH).contains(width))
        .take(TILE_WIDTH as usize)
        .collect();
    widths.sort_unstable();
    widths.into_iter().map(move |width| TileName { width, ..full })
}

impl Names {
    /// Partial tiles that an earlier head had where the log has full ones now.
    pub fn check_below(&self, log: &Log<'_>) -> Checked<()> {
        for ((level, index), widths) in &self.extra {
            let height = level.unwrap_or(0);
            if *index < tree::tiles(log.head.size, height) {
                let hashes = log.read_tile(&TileName::hashes(height, *index, TILE_WIDTH))?;
                check_all(log, *level, *index, widths, &hashes)?;
            }
        }
        Ok(())
    }

    /// What stands on the disk of a tile that the head does not speak of, against what its leaves lead to.
    pub fn check(&self, log: &Log<'_>, level: Option<u32>, index: u64, hashes: &[Hash]) -> Checked<()> {
        match self.extra.get(&(level, index)) {
            Some(widths) => check_all(log, level, index, widths, hashes),
            None => Ok(()),
        }
    }
}

fn check_all(log: &Log<'_>, level: Option<u32>, index: u64, widths: &[u64], hashes: &[Hash]) -> Checked<()> {
    widths.iter().try_for_each(|width| check_one(log, &TileName { level, index, width: *width }, hashes))
}

/// A tile or bundle, against the hashes that it is to have, or more of them. A writer may be at it, or may have removed it.
fn check_one(log: &Log<'_>, name: &TileName, hashes: &[Hash]) -> Checked<()> {
    let first = name.leaves().0;
    let mut fault = None;
    // What lies below the head was written before it was signed.
    let attempts = if name.leaves().1 <= log.head.size { 1 } else { ATTEMPTS };
    for attempt in 0..attempts {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        let max = if name.level.is_some() { 32 * TILE_WIDTH } else { BUNDLE_MAX };
        let bytes = match tile::read_file(log.dir, &name.path(), max) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(error) => return Err(blamed(log.dir, Some(first), error)),
        };
        fault = match name.level {
            Some(_) => compare_hashes(name, &bytes, hashes),
            None => compare_entries(name, &bytes, hashes),
        };
        if fault.is_none() {
            return Ok(());
        }
    }
    match fault {
        Some((leaf, what)) => {
            Err(VerifyError::Tampering(Tampering { leaf: Some(leaf), file: name.path(), what }))
        }
        None => Ok(()),
    }
}

fn compare_hashes(name: &TileName, bytes: &[u8], hashes: &[Hash]) -> Option<(u64, Damage)> {
    let (found, rest) = bytes.as_chunks::<32>();
    let below = 1u64.checked_shl(8 * name.level.unwrap_or(0)).unwrap_or(u64::MAX);
    let place = |at: usize| name.leaves().0.saturating_add((at as u64).saturating_mul(below));
    if let Some(at) = found.iter().zip(hashes).position(|(found, hash)| found != hash) {
        return Some((place(at), Damage::Tile { really: None }));
    }
    if (found.len() as u64) < name.width {
        return Some((place(found.len()), Damage::CutShort));
    }
    let behind = (found.len() as u64 - name.width) * 32 + rest.len() as u64;
    if behind > 0 {
        return Some((name.leaves().0, Damage::Trailing { bytes: behind }));
    }
    (found.len() > hashes.len()).then_some((place(hashes.len()), Damage::Unexpected))
}

fn compare_entries(name: &TileName, bytes: &[u8], hashes: &[Hash]) -> Option<(u64, Damage)> {
    let first = name.leaves().0;
    let mut len = 0;
    let mut entries = tile::entries(bytes);
    for index in first..first + name.width {
        let Some(Ok(entry)) = entries.next() else { return Some((index, Damage::CutShort)) };
        match hashes.get((index - first) as usize) {
            None => return Some((index, Damage::Unexpected)),
            Some(hash) if tree::leaf_hash(entry) != *hash => {
                return Some((index, Damage::Leaf { really: None }));
            }
            _ => len += 2 + entry.len(),
        }
    }
    let behind = (bytes.len() - len) as u64;
    (behind > 0).then_some((first, Damage::Trailing { bytes: behind }))
}
