//! What is wrong where a hash that is vouched for is not reached.

use super::{Checked, Damage, Log, Tampering, VerifyError};
use crate::tile::{self, BUNDLE_MAX, TileName};
use crate::tree::{self, Edge, Hash, TILE_WIDTH};

/// Hashes the leaves from `first` to `end` again and tells whether they, or their tiles, are what leads away from
/// `expected`. `suspect`: the tile at which it was seen; `None`: the right edge.
pub(super) fn span(
    log: &Log<'_>,
    first: u64,
    end: u64,
    expected: &Hash,
    suspect: Option<TileName>,
) -> VerifyError {
    look(log, first, end, expected, suspect).unwrap_or_else(|error| error)
}

fn look(
    log: &Log<'_>,
    first: u64,
    end: u64,
    expected: &Hash,
    suspect: Option<TileName>,
) -> Checked<VerifyError> {
    let (mut by_leaves, mut by_tiles) = (Edge::default(), Edge::default());
    // The first leaf that is not what its tile has, and the first tile that is not what its leaves lead to.
    let mut leaf: Option<(u64, String, Hash)> = None;
    let mut bad: Option<(TileName, u64)> = None;
    let mut full = Vec::new();
    let mut at = first;
    while at < end {
        let width = (end - at).min(TILE_WIDTH);
        let number = at / TILE_WIDTH;
        let name = TileName::hashes(0, number, width);
        let hashes = match log.read_tile(&name) {
            Ok(hashes) => hashes,
            // The last one may be that of a later head by now.
            Err(_) if width < TILE_WIDTH => log.leaf_hashes(number)?,
            Err(error) => return Err(error),
        };
        let (file, found) = leaves(log, number, width)?;
        for (index, hash) in (at..).zip(&hashes) {
            let own = found.get((index - at) as usize).copied().flatten().unwrap_or(*hash);
            if own != *hash && leaf.is_none() {
                leaf = Some((index, file.clone(), own));
            }
            by_leaves.push(own, &mut full);
            by_tiles.push(*hash, &mut Vec::new());
        }
        at += width;
        for tile in full.drain(..) {
            let offset = first.checked_shr(8 * (tile.level + 1)).unwrap_or(0);
            let name = TileName::hashes(tile.level, offset + tile.index, TILE_WIDTH);
            compare(log, name, &tile.hashes, &mut bad)?;
        }
    }
    for (level, index, hashes) in by_leaves.partial() {
        let name = TileName::hashes(level, index, hashes.len() as u64);
        if first == 0 && end == log.head.size {
            compare(log, name, hashes, &mut bad)?;
        }
    }
    let fault = |leaf: u64, file: String, what: Damage| {
        VerifyError::Tampering(Tampering { leaf: Some(leaf), file, what })
    };
    if by_leaves.root() == *expected {
        let (name, leaf) = bad
            .or(suspect.map(|name| (name, first)))
            .unwrap_or((TileName::hashes(0, first / TILE_WIDTH, TILE_WIDTH), first));
        return Ok(fault(leaf, name.path(), Damage::Tile { really: tile_elsewhere(log, &name) }));
    }
    if by_tiles.root() == *expected
        && let Some((index, file, hash)) = leaf
    {
        return Ok(fault(index, file, Damage::Leaf { really: leaf_elsewhere(log, &hash) }));
    }
    let file = suspect.unwrap_or(TileName::hashes(0, first / TILE_WIDTH, TILE_WIDTH)).path();
    Ok(match leaf {
        Some((index, _, _)) => fault(index, file, Damage::Both { first, end }),
        None => match bad {
            // Leaves and lowest tiles agree, those above do not.
            Some((name, leaf)) => fault(leaf, name.path(), Damage::Both { first, end }),
            None => fault(first, file, Damage::Rewritten { first, end }),
        },
    })
}

/// Hashes of the leaves of a bundle, where their bytes are, and the file that they are in.
fn leaves(log: &Log<'_>, number: u64, width: u64) -> Checked<(String, Vec<Option<Hash>>)> {
    let mut found = vec![None; width as usize];
    let mut put = |at: usize, leaf: &[u8]| {
        if let Some(place) = found.get_mut(at) {
            *place = Some(tree::leaf_hash(leaf));
        }
    };
    let full = TileName::bundle(number, TILE_WIDTH);
    let mut file = full.path();
    let mut bytes = log.read(&full, BUNDLE_MAX, None)?;
    if bytes.is_none() && width < TILE_WIDTH {
        (file, bytes) = log.tail_bundle()?.map_or((file, None), |(file, bytes)| (file, Some(bytes)));
    }
    if let Some(bytes) = bytes {
        tile::entries(&bytes).flatten().enumerate().for_each(|(at, leaf)| put(at, leaf));
    } else {
        let name = tile::kept_name(number);
        let kept = tile::read_file(log.dir, &name, BUNDLE_MAX + TILE_WIDTH)?.unwrap_or_default();
        for (at, leaf) in tile::parse_kept(&kept).unwrap_or_default() {
            put(usize::from(at), leaf);
        }
        file = name;
    }
    Ok((file, found))
}

/// Remembers the first tile that is not what it is to be, lower ones before higher ones at the same place.
fn compare(log: &Log<'_>, name: TileName, hashes: &[Hash], bad: &mut Option<(TileName, u64)>) -> Checked<()> {
    let there = match log.read_tile(&name) {
        Ok(there) => there,
        Err(_) if !name.is_full() => {
            let level = name.level.unwrap_or(0) as usize;
            log.edge.get(level).cloned().unwrap_or_default()
        }
        Err(error) => return Err(error),
    };
    if let Some(at) = there.iter().zip(hashes).position(|(there, hash)| there != hash) {
        let below = 1u64.checked_shl(8 * name.level.unwrap_or(0)).unwrap_or(u64::MAX);
        let leaf = name.leaves().0.saturating_add((at as u64).saturating_mul(below));
        if bad.as_ref().is_none_or(|(_, first)| leaf < *first) {
            *bad = Some((name, leaf));
        }
    }
    Ok(())
}

/// The leaf of this log that has this hash.
pub(super) fn leaf_elsewhere(log: &Log<'_>, hash: &Hash) -> Option<u64> {
    (0..=log.head.size / TILE_WIDTH).find_map(|bundle| {
        let at = log.leaf_hashes(bundle).ok()?.iter().position(|it| it == hash)?;
        Some(bundle * TILE_WIDTH + at as u64)
    })
}

/// The first leaf of the tile of this log that stands in the place of `name`.
fn tile_elsewhere(log: &Log<'_>, name: &TileName) -> Option<u64> {
    if !name.is_full() {
        return None;
    }
    let level = name.level?;
    let root = tree::perfect_root(&log.read_tile(name).ok()?);
    let count = tree::tiles(log.head.size, level);
    let of_level = |index: u64| -> Option<Vec<Hash>> {
        // Both tiles above are believed: the root of one stands in them.
        let above = level + 1;
        match index.cmp(&tree::tiles(log.head.size, above)) {
            std::cmp::Ordering::Less => log.read_tile(&TileName::hashes(above, index, TILE_WIDTH)).ok(),
            _ => log.edge.get(above as usize).cloned(),
        }
    };
    (0..=count / TILE_WIDTH).find_map(|index| {
        let at = of_level(index)?.iter().position(|it| *it == root)?;
        Some(TileName::hashes(level, index * TILE_WIDTH + at as u64, TILE_WIDTH).leaves().0)
    })
}
