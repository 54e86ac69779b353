//! What must hold of the ledger's files whatever their bytes: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property fails by panicking"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::segment::{self, HEADER_BYTES};
use crate::{Error, Ledger, Options, Reader, SegmentInfo, scan};

/// One segment. What is read of it, written again, gives the same bytes up to the first damage.
pub fn ledger_segment(bytes: &[u8]) {
    let mut first = None;
    let mut expected = None;
    let mut again = Vec::new();
    let result = scan(bytes, |index, entry| {
        first.get_or_insert(index);
        assert!(expected.is_none_or(|expected| expected <= index), "entries go backwards");
        if expected.is_none_or(|expected| expected == index) {
            segment::push_entry(&mut again, index, entry);
        }
        expected = Some(index + 1);
    });
    match result {
        Ok((0, torn)) => {
            let read = &bytes[HEADER_BYTES as usize..];
            assert!(read.starts_with(&again), "what is read is not what stands there");
            let (torn, room) = read[again.len()..].split_at(usize::try_from(torn).unwrap());
            assert!(
                torn.last() != Some(&0) && room.iter().all(|byte| *byte == 0),
                "torn is not what is torn"
            );
        }
        Ok(_) => {}
        Err(reason) => assert!(!reason.is_empty()),
    }
    // The checksum of a header is out of reach of chance: with a good one, the entries' own bytes are met.
    if bytes.first() != Some(&b'M') {
        ledger_segment(&[segment::header(0, &crate::tree::empty_root()).as_slice(), bytes].concat());
    }
}

/// A folder of two segments, the newer one whole, the older one damaged: split in two by the first byte, entries of its
/// own before and behind. A reader names the damage and goes on; a writer opens it, or says why not.
pub fn ledger_folder(bytes: &[u8]) {
    let (control, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let folder = Folder::new();
    let mut old = segment::header(0, &crate::tree::empty_root());
    for index in 0..u64::from(control % 4) {
        segment::push_entry(&mut old, index, &[7; 20]);
    }
    old.extend_from_slice(bytes);
    std::fs::write(segment::folder(&folder.0).join(segment::file_name(0)), &old).unwrap();
    let newer = control & 4 != 0;
    if newer {
        let mut new = segment::header(9, &crate::tree::empty_root());
        segment::push_entry(&mut new, 9, b"newer");
        std::fs::write(segment::folder(&folder.0).join(segment::file_name(9)), new).unwrap();
    }
    let reader = Reader::open(&folder.0).unwrap();
    let mut read = Vec::new();
    for entry in reader.iter_from(0).take(bytes.len() + 64) {
        match entry {
            Ok((index, entry)) => {
                assert_eq!(reader.read(index).unwrap(), entry, "one entry and the scan differ");
                read.push((index, entry));
            }
            Err(error) => clear(&error),
        }
    }
    assert!(read.is_sorted_by_key(|(index, _)| *index));
    let whole = u64::from(control % 4);
    assert!(
        (0..whole).all(|index| read.iter().any(|(found, _)| *found == index)),
        "whole entries are not read"
    );
    if newer {
        assert_eq!(read.last(), Some(&(9, b"newer".to_vec())), "damage hides what is newer");
    }
    let counted: u64 = reader.segments().unwrap().iter().map(|SegmentInfo { bytes, .. }| bytes).sum();
    assert!(reader.bytes().unwrap() <= counted + 64 * 300, "more bytes than there are");
    match Ledger::open(&folder.0, Options::default()) {
        Ok((mut ledger, _)) => {
            let index = ledger.append(b"after").unwrap();
            ledger.commit(false).unwrap();
            assert_eq!(reader.read(index).unwrap(), b"after");
            assert!(
                read.iter().all(|(before, entry)| {
                    *before < index && reader.read(*before).unwrap() == *entry
                        || *before >= index && whole <= index
                }),
                "an entry is written over"
            );
        }
        Err(error) => clear(&error),
    }
}

fn clear(error: &Error) {
    assert!(error.to_string().contains('`'), "an error that names no file: {error}");
}

/// A folder in memory where there is one.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("muster-fuzz-{}-{number}", std::process::id()));
        std::fs::create_dir_all(segment::folder(&path)).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Entries as they are written, with some bytes changed.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let entries = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..6);
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
        (any::<u8>(), entries, changes, any::<prop::sample::Index>()).prop_map(
            |(control, entries, changes, cut)| {
                let mut bytes = vec![control];
                for (index, entry) in (u64::from(control % 4)..).zip(&entries) {
                    segment::push_entry(&mut bytes, index, entry);
                }
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                if control & 8 != 0 {
                    bytes.truncate(1 + cut.index(bytes.len()));
                }
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn any_segment(bytes in damaged(), noise: Vec<u8>) {
            ledger_segment(&bytes[1..]);
            ledger_segment(&noise);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn any_folder(bytes in damaged(), noise: Vec<u8>) {
            ledger_folder(&bytes);
            ledger_folder(&noise);
        }
    }
}
