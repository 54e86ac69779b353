//! Entries as leaves of the ledger, which hold at most 65,535 bytes. A longer entry is cut into parts and a last leaf; its
//! index is that of the last leaf. Nothing here knows what an entry says.

use muster_ledger::Reader;

use crate::StoreError;
use crate::error::Result;

/// Bytes of a leaf: the length before it in an entry bundle (C2SP tlog-tiles) has 16 bits.
pub const LEAF_MAX: usize = u16::MAX as usize;
/// First byte of a part.
const PART: u8 = 1;
/// First byte of the last leaf of an entry in parts; the number of its parts follows.
const LAST: u8 = 2;
/// First byte of an entry that is one leaf: JSON.
const WHOLE: u8 = b'{';
/// The tag and the number of parts.
const LAST_HEAD: usize = 5;
/// Parts of one entry. The longest record of an account that is read has 64 MiB, which JSON may lengthen.
const PARTS_MAX: usize = 4096;

/// Gives `append` the leaves of an entry, in order. The result is what it gave for the last one: the entry's index.
pub fn split(entry: &[u8], mut append: impl FnMut(&[u8]) -> Result<u64>) -> Result<u64> {
    if entry.len() <= LEAF_MAX {
        return append(entry);
    }
    let mut leaf = Vec::with_capacity(LEAF_MAX);
    let mut rest = entry;
    let mut parts: u32 = 0;
    // What is left must fit beside the head of the last leaf.
    while rest.len() > LEAF_MAX - LAST_HEAD {
        let (part, after) = rest.split_at_checked(LEAF_MAX - 1).unwrap_or((rest, &[]));
        parts += 1;
        if parts as usize > PARTS_MAX {
            return Err(StoreError::TooLong { bytes: entry.len() });
        }
        leaf.clear();
        leaf.push(PART);
        leaf.extend_from_slice(part);
        append(&leaf)?;
        rest = after;
    }
    leaf.clear();
    leaf.push(LAST);
    leaf.extend_from_slice(&parts.to_be_bytes());
    leaf.extend_from_slice(rest);
    append(&leaf)
}

/// What a leaf is.
enum Shape<'a> {
    Whole,
    Part(&'a [u8]),
    /// The number of parts before it, and its own bytes.
    Last(usize, &'a [u8]),
    Neither,
}

fn shape(leaf: &[u8]) -> Shape<'_> {
    match leaf.split_first() {
        Some((&WHOLE, _)) => Shape::Whole,
        Some((&PART, part)) => Shape::Part(part),
        Some((&LAST, rest)) => match rest.split_first_chunk() {
            Some((parts, rest)) => match usize::try_from(u32::from_be_bytes(*parts)) {
                Ok(parts) if (1..=PARTS_MAX).contains(&parts) => Shape::Last(parts, rest),
                _ => Shape::Neither,
            },
            None => Shape::Neither,
        },
        _ => Shape::Neither,
    }
}

/// Puts entries together again from leaves that come in order.
#[derive(Debug, Default)]
pub struct Joiner {
    /// Parts without their last leaf, and where each of them begins.
    bytes: Vec<u8>,
    begins: Vec<usize>,
    /// Index of the leaf that would go on.
    next: u64,
    orphans: u64,
}

/// What came of a leaf.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined<'a> {
    /// An entry is whole; its index is that of this leaf.
    Entry(&'a [u8]),
    /// More must come.
    Part,
    /// The parts before this last leaf were not among those that came.
    Missing,
    /// It is no leaf of an entry.
    Malformed,
}

impl Joiner {
    pub fn push<'a>(&'a mut self, index: u64, leaf: &'a [u8]) -> Joined<'a> {
        if index != self.next || self.begins.is_empty() {
            self.give_up();
        }
        self.next = index.saturating_add(1);
        match shape(leaf) {
            Shape::Whole => {
                self.give_up();
                Joined::Entry(leaf)
            }
            Shape::Part(part) => {
                if self.begins.len() >= PARTS_MAX {
                    self.give_up();
                }
                self.begins.push(self.bytes.len());
                self.bytes.extend_from_slice(part);
                Joined::Part
            }
            Shape::Last(parts, rest) => {
                let begin = self.begins.len().checked_sub(parts);
                let Some((before, begin)) = begin.and_then(|at| Some((at, *self.begins.get(at)?))) else {
                    // Those that came are of this entry.
                    self.begins.clear();
                    return Joined::Missing;
                };
                // Those before them were left behind by a crash.
                self.orphans = self.orphans.saturating_add(before as u64);
                self.begins.clear();
                self.bytes.drain(..begin);
                self.bytes.extend_from_slice(rest);
                Joined::Entry(&self.bytes)
            }
            Shape::Neither => {
                self.give_up();
                Joined::Malformed
            }
        }
    }

    /// Parts whose entry never came: their writer died.
    pub fn orphans(&self) -> u64 {
        self.orphans
    }

    fn give_up(&mut self) {
        self.orphans = self.orphans.saturating_add(self.begins.len() as u64);
        self.begins.clear();
        self.bytes.clear();
    }
}

/// First leaf of the entry whose last leaf has this index.
pub fn first_of(ledger: &Reader, index: u64) -> Result<u64> {
    Ok(match shape(&ledger.read(index)?) {
        Shape::Last(parts, _) => index.saturating_sub(parts as u64),
        Shape::Whole | Shape::Part(_) | Shape::Neither => index,
    })
}

/// The entry whose last leaf has this index.
pub fn read_at(index: u64, fetch: impl Fn(u64) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let malformed = |reason| StoreError::Leaf { index, reason };
    let leaf = fetch(index)?;
    let (parts, rest) = match shape(&leaf) {
        Shape::Whole => return Ok(leaf),
        Shape::Part(_) => return Err(malformed("it is a part of a longer entry")),
        Shape::Neither => return Err(malformed("it is no leaf of an entry")),
        Shape::Last(parts, rest) => (parts as u64, rest),
    };
    let first =
        index.checked_sub(parts).ok_or_else(|| malformed("it has more parts than there are leaves"))?;
    let mut entry = Vec::new();
    for at in first..index {
        let leaf = fetch(at)?;
        let Shape::Part(part) = shape(&leaf) else {
            return Err(malformed("a leaf before it is no part of it"));
        };
        entry.extend_from_slice(part);
    }
    entry.extend_from_slice(rest);
    Ok(entry)
}

/// Is given an entry and its index, or a place that cannot be read; goes on while it gives `true`.
pub type Visit<'a> = dyn FnMut(Result<(u64, &[u8])>) -> Result<bool> + 'a;

/// Calls `visit` with each entry from leaf `from` to before leaf `end`, and with each place that cannot be read, until it
/// gives `false`. Tells how many parts of unfinished entries were passed by.
pub fn visit(ledger: &Reader, from: u64, end: u64, visit: &mut Visit<'_>) -> Result<u64> {
    let mut joiner = Joiner::default();
    let mut leaves = ledger.iter_from(from);
    while let Some(next) = leaves.next_entry() {
        let go_on = match next {
            Err(error) => visit(Err(error.into()))?,
            Ok((at, _)) if at >= end => break,
            Ok((at, leaf)) => match joiner.push(at, leaf) {
                Joined::Entry(entry) => visit(Ok((at, entry)))?,
                Joined::Part => true,
                Joined::Missing => match read(ledger, at) {
                    Ok(entry) => visit(Ok((at, &entry)))?,
                    Err(error) => visit(Err(error))?,
                },
                Joined::Malformed => {
                    visit(Err(StoreError::Leaf { index: at, reason: "it is no leaf of an entry" }))?
                }
            },
        };
        if !go_on {
            break;
        }
    }
    Ok(joiner.orphans())
}

/// The entry of the ledger whose last leaf has this index.
pub fn read(ledger: &Reader, index: u64) -> Result<Vec<u8>> {
    read_at(index, |at| Ok(ledger.read(at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(entry: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        split(entry, |leaf| {
            all.push(leaf.to_vec());
            Ok(all.len() as u64 - 1)
        })
        .unwrap();
        all
    }

    fn entry(len: usize) -> Vec<u8> {
        (0..len).map(|at| if at == 0 { b'{' } else { (at % 251) as u8 }).collect()
    }

    #[track_caller]
    fn check(len: usize, count: usize) {
        let entry = entry(len);
        let leaves = leaves(&entry);
        assert_eq!(leaves.len(), count);
        assert!(leaves.iter().all(|leaf| leaf.len() <= LEAF_MAX));
        let mut joiner = Joiner::default();
        for (at, leaf) in leaves.iter().enumerate() {
            let joined = joiner.push(at as u64, leaf);
            assert_eq!(joined, if at + 1 == count { Joined::Entry(&entry) } else { Joined::Part });
        }
        assert_eq!(joiner.orphans(), 0);
        assert_eq!(read_at(count as u64 - 1, |at| Ok(leaves[at as usize].clone())).unwrap(), entry);
    }

    #[test]
    fn entries_are_cut_and_put_together() {
        check(1, 1);
        check(LEAF_MAX, 1);
        check(LEAF_MAX + 1, 2);
        check(2 * LEAF_MAX - 6, 2);
        check(2 * LEAF_MAX - 5, 3);
        check(5 * LEAF_MAX, 6);
        assert!(matches!(split(&vec![b'{'; 300 << 20], |_| Ok(0)), Err(StoreError::TooLong { .. })));
    }

    #[test]
    fn what_a_crash_left_is_passed_by() {
        let whole = entry(7);
        let long = entry(3 * LEAF_MAX);
        let parts = leaves(&long);
        assert_eq!(parts.len(), 4);
        let mut log: Vec<&[u8]> = vec![&parts[0], &parts[1], &whole, &parts[0], &parts[1], &parts[2]];
        log.extend(parts.iter().map(Vec::as_slice));
        let mut joiner = Joiner::default();
        let mut found = Vec::new();
        for (at, leaf) in log.iter().enumerate() {
            if let Joined::Entry(entry) = joiner.push(at as u64, leaf) {
                found.push((at, entry.to_vec()));
            }
        }
        assert_eq!(found, [(2, whole.clone()), (9, long.clone())]);
        assert_eq!(joiner.orphans(), 5);
        assert_eq!(read_at(9, |at| Ok(log[at as usize].to_vec())).unwrap(), long);
    }

    #[test]
    fn a_reading_that_begins_within_an_entry_misses_it() {
        let parts = leaves(&entry(2 * LEAF_MAX));
        let mut joiner = Joiner::default();
        assert_eq!(joiner.push(6, &parts[1]), Joined::Part);
        assert_eq!(joiner.push(7, &parts[2]), Joined::Missing);
        // As does one with a hole.
        assert_eq!(joiner.push(1, &parts[0]), Joined::Part);
        assert_eq!(joiner.push(3, &parts[1]), Joined::Part);
        assert_eq!(joiner.push(4, &parts[2]), Joined::Missing);
        assert_eq!(joiner.push(5, b"\x03"), Joined::Malformed);
        assert_eq!(joiner.push(6, b""), Joined::Malformed);
        assert_eq!(joiner.push(7, b"\x02\0\0\0\0"), Joined::Malformed);
        assert_eq!(joiner.push(8, b"\x02\xff\xff\xff\xff"), Joined::Malformed);
        assert_eq!(joiner.orphans(), 1);
    }
}
