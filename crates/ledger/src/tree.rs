//! The Merkle tree of RFC 6962 over SHA-256: hashes, the growing right edge, proofs and their checks.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// Hashes in a full tile, and leaves in a full bundle (C2SP tlog-tiles).
pub const TILE_WIDTH: u64 = 256;
/// Binary levels of the tree in one level of tiles.
pub(crate) const TILE_HEIGHT: u32 = 8;
/// Levels of tiles that a tree of 2^64 leaves can have.
pub(crate) const LEVELS_MAX: u32 = 8;
/// Longest proof of a tree of 2^64 leaves: one hash for each level, and one more for consistency.
pub const PROOF_MAX: usize = 65;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("the proof speaks of leaf {index} of a tree of {size} leaves")]
    Beyond { index: u64, size: u64 },
    #[error("a tree of {old} leaves does not come before one of {new}")]
    Backwards { old: u64, new: u64 },
    #[error("the proof has {found} hashes, not {expected}")]
    Length { expected: usize, found: usize },
    #[error("the proof leads to another root")]
    Root,
}

/// Hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// Hash of an interior node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // In one piece: an update for each part would cost more than the hash.
    let mut bytes = [0; 65];
    let (head, rest) = bytes.split_at_mut(1);
    head.fill(1);
    let (l, r) = rest.split_at_mut(32);
    l.copy_from_slice(left);
    r.copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// Root of the empty tree.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Root of the perfect tree over these hashes, whose number is a power of two (else: of as many as are one).
pub(crate) fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    let mut count = level.len();
    while count > 1 {
        count /= 2;
        // Each pair gives way to its parent, in place.
        for at in 0..count {
            let parent = match level.get(2 * at..2 * at + 2) {
                Some([left, right]) => node_hash(left, right),
                _ => empty_root(),
            };
            if let Some(place) = level.get_mut(at) {
                *place = parent;
            }
        }
    }
    level.first().copied().unwrap_or_else(empty_root)
}

/// Splits a number of hashes into the perfect trees that they make, from the left: sizes that are falling powers of two.
fn perfect_parts(hashes: &[Hash]) -> impl Iterator<Item = &[Hash]> {
    let mut rest = hashes;
    std::iter::from_fn(move || {
        let size = 1usize << rest.len().checked_ilog2()?;
        let (part, behind) = rest.split_at_checked(size)?;
        rest = behind;
        Some(part)
    })
}

/// A tile that is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullTile {
    pub level: u32,
    pub index: u64,
    pub hashes: Vec<Hash>,
}

/// The right edge of a tree: the hashes of its partial tiles. It grows by leaf hashes and gives the tiles that it fills.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// For each level of tiles, the hashes of its last, partial tile.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of a tree of this size, given the hashes of its partial tiles. `None`: their numbers do not fit the size.
    pub fn new(size: u64, levels: Vec<Vec<Hash>>) -> Option<Edge> {
        let fits = levels.iter().zip(0u32..).all(|(hashes, level)| hashes.len() as u64 == width(size, level))
            && (levels.len() as u32..LEVELS_MAX).all(|level| width(size, level) == 0);
        fits.then_some(Edge { size, levels })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the hash of the next leaf, and gives the tiles that became full by it, lowest first.
    pub fn push(&mut self, leaf: Hash, full: &mut Vec<FullTile>) {
        let mut hash = leaf;
        let mut index = self.size / TILE_WIDTH;
        self.size += 1;
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.resize_with(level + 1, Vec::new);
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.push(hash);
            if (hashes.len() as u64) < TILE_WIDTH {
                return;
            }
            hash = perfect_root(hashes);
            full.push(FullTile { level: level as u32, index, hashes: std::mem::take(hashes) });
            index /= TILE_WIDTH;
        }
    }

    /// The partial tiles, lowest first; empty ones are not among them.
    pub fn partial(&self) -> impl Iterator<Item = (u32, u64, &[Hash])> {
        self.levels
            .iter()
            .zip(0u32..)
            .filter(|(hashes, _)| !hashes.is_empty())
            .map(|(hashes, level)| (level, tiles(self.size, level), hashes.as_slice()))
    }

    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for hashes in &self.levels {
            let parts: Vec<Hash> = perfect_parts(hashes).map(perfect_root).collect();
            for part in parts.iter().rev() {
                root = Some(root.map_or(*part, |right| node_hash(part, &right)));
            }
        }
        root.unwrap_or_else(empty_root)
    }
}

/// Hashes that the tile level `level` has, in all tiles.
fn hashes_at(size: u64, level: u32) -> u64 {
    size.checked_shr(TILE_HEIGHT * level).unwrap_or(0)
}

/// Full tiles at this level, and so the index of its partial one.
pub(crate) fn tiles(size: u64, level: u32) -> u64 {
    hashes_at(size, level) / TILE_WIDTH
}

/// Width of the partial tile at this level; 0: there is none.
pub(crate) fn width(size: u64, level: u32) -> u64 {
    hashes_at(size, level) % TILE_WIDTH
}

/// What proofs are made from: hashes of perfect subtrees. `height` 0: of leaves.
pub trait Subtrees {
    type Error;
    /// The root over leaves `index << height ..` to `(index + 1) << height`.
    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Root over the leaves `from..to`; `from` is a multiple of the largest power of two below `to - from`, as in every split
/// of RFC 6962.
fn range_root<S: Subtrees>(source: &mut S, from: u64, to: u64) -> Result<Hash, S::Error> {
    let count = to.saturating_sub(from);
    if count == 0 {
        return Ok(empty_root());
    }
    let height = count.ilog2();
    if count.is_power_of_two() {
        return source.subtree(height, from >> height);
    }
    let middle = from + (1u64 << height);
    let left = source.subtree(height, from >> height)?;
    let right = range_root(source, middle, to)?;
    Ok(node_hash(&left, &right))
}

/// The root of the first `size` leaves.
pub fn root<S: Subtrees>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    range_root(source, 0, size)
}

/// Largest power of two that is smaller than the count, which is at least two.
fn split(count: u64) -> u64 {
    1 << count.saturating_sub(1).checked_ilog2().unwrap_or(0)
}

/// The path from a leaf to the root of the first `size` leaves (RFC 6962, 2.1.1). The leaf is one of them.
pub fn inclusion<S: Subtrees>(source: &mut S, index: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    let mut path = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 && index < size {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range_root(source, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(source, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `new` leaves begin with the first `old` (RFC 6962, 2.1.2); empty where that is plain.
pub fn consistency<S: Subtrees>(source: &mut S, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut from, mut to) = (0, new);
    // Whether the tree over `from..to` still begins where the old one did: then its root is known to who checks.
    let mut whole = true;
    while old < to {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range_root(source, middle, to)?);
            to = middle;
        } else {
            proof.push(range_root(source, from, middle)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(source, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that a leaf is the one at `index` of the tree with this root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Beyond { index, size });
    }
    // Where the path of the leaf and that of the last leaf part (RFC 9162, 2.1.3.2).
    let inner = 64 - (index ^ (size - 1)).leading_zeros();
    let border = (index.checked_shr(inner).unwrap_or(0)).count_ones();
    let expected = (inner + border) as usize;
    if path.len() != expected {
        return Err(ProofError::Length { expected, found: path.len() });
    }
    let hash = path.iter().zip(0u32..).fold(*leaf, |hash, (other, level)| {
        let right = level >= inner || (index >> level) & 1 == 1;
        if right { node_hash(other, &hash) } else { node_hash(&hash, other) }
    });
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `new` leaves begins with the tree of `old`.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Backwards { old, new });
    }
    if old == new || old == 0 {
        if !proof.is_empty() {
            return Err(ProofError::Length { expected: 0, found: proof.len() });
        }
        let same = if old == 0 { *old_root == empty_root() } else { old_root == new_root };
        let new_empty = new != 0 || *new_root == empty_root();
        return if same && new_empty { Ok(()) } else { Err(ProofError::Root) };
    }
    let shift = old.trailing_zeros();
    let inner = 64 - ((old - 1) ^ (new - 1)).leading_zeros() - shift;
    let border = (old - 1).checked_shr(inner + shift).unwrap_or(0).count_ones();
    // A tree that is perfect is itself where the proof begins.
    let (seed, rest) = if old.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Length { expected: 1, found: 0 })?;
        (*first, rest)
    };
    let expected = (inner + border) as usize;
    if rest.len() != expected {
        let more = proof.len() - rest.len();
        return Err(ProofError::Length { expected: expected + more, found: proof.len() });
    }
    let mask = (old - 1) >> shift;
    let (mut left, mut right) = (seed, seed);
    for (other, level) in rest.iter().zip(0u32..) {
        if level >= inner || (mask >> level) & 1 == 1 {
            left = node_hash(other, &left);
            right = node_hash(other, &right);
        } else {
            right = node_hash(&right, other);
        }
    }
    if left == *old_root && right == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RFC 6962, 2.1, word by word.
    pub fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(split(many.len() as u64) as usize);
                node_hash(&naive(left), &naive(right))
            }
        }
    }

    pub struct Leaves<'a>(pub &'a [Hash]);

    impl Subtrees for Leaves<'_> {
        type Error = std::convert::Infallible;
        fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
            let from = (index << height) as usize;
            Ok(naive(&self.0[from..from + (1 << height)]))
        }
    }

    fn leaves(count: u64, salt: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(format!("{salt} {n}").as_bytes())).collect()
    }

    #[test]
    fn ten_thousand_random_trees_are_the_naive_ones() {
        // A small generator is enough: what counts is that sizes and places differ.
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let all = leaves(1100, 1);
        for _ in 0..10_000 {
            let offset = random(100) as usize;
            let size = if random(20) == 0 { random(1000) } else { random(70) };
            let hashes = &all[offset..offset + size as usize];
            let mut edge = Edge::default();
            let mut full = Vec::new();
            hashes.iter().for_each(|hash| edge.push(*hash, &mut full));
            let expected = naive(hashes);
            assert_eq!((edge.size(), edge.root()), (size, expected));
            assert_eq!(full.iter().filter(|tile| tile.level == 0).count() as u64, size / 256);
            if size == 0 {
                continue;
            }
            let index = random(size);
            let leaf = &hashes[index as usize];
            let path = inclusion(&mut Leaves(hashes), index, size).unwrap();
            verify_inclusion(leaf, index, size, &expected, &path).unwrap();
            verify_inclusion(&all[1099], index, size, &expected, &path).unwrap_err();
            let old = random(size + 1);
            let old_root = naive(&hashes[..old as usize]);
            let proof = consistency(&mut Leaves(hashes), old, size).unwrap();
            verify_consistency(old, &old_root, size, &expected, &proof).unwrap();
            if old > 0 && old < size {
                verify_consistency(old, &all[1099], size, &expected, &proof).unwrap_err();
                verify_consistency(old, &old_root, size, &all[1099], &proof).unwrap_err();
                verify_consistency(old - 1, &naive(&hashes[..old as usize - 1]), size, &expected, &proof)
                    .unwrap_err();
            }
        }
    }

    /// The test vectors of the reference implementation of RFC 6962 (certificate-transparency, `merkle_tree_test`).
    #[test]
    fn published_vectors() {
        let hex = |hash: &Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let inputs: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        assert_eq!(hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let mut edge = Edge::default();
        for (input, root) in inputs.iter().zip(roots) {
            edge.push(leaf_hash(input), &mut Vec::new());
            assert_eq!(hex(&edge.root()), root);
        }
    }

    #[test]
    fn tiles_fill_level_by_level() {
        let all = leaves(70_000, 2);
        let mut edge = Edge::default();
        let mut full = Vec::new();
        all.iter().for_each(|hash| edge.push(*hash, &mut full));
        let count = |level| full.iter().filter(|tile| tile.level == level).count();
        assert_eq!((count(0), count(1), count(2)), (273, 1, 0));
        // The example of the specification.
        let partial: Vec<_> =
            edge.partial().map(|(level, index, hashes)| (level, index, hashes.len())).collect();
        assert_eq!(partial, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        assert_eq!(edge.root(), naive(&all));
        let levels = edge.levels.clone();
        assert_eq!(Edge::new(70_000, levels.clone()), Some(edge));
        assert_eq!(Edge::new(70_001, levels), None);
    }
}
