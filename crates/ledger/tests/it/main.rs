//! The ledger from outside: what was taken is given back, whatever happens to the tail.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod others;
mod witness;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use muster_ledger::{ENTRY_MAX, Error, Head, Ledger, Options, Reader, Recovery, TileName, scan, tree};
use proptest::prelude::*;

const SMALL: Options = Options { segment_bytes: 5000, block: 256 };

fn open(dir: &Path) -> (Ledger, Recovery) {
    Ledger::open(dir, SMALL).unwrap()
}

fn all(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    Reader::open(dir).unwrap().iter_from(0).map(Result::unwrap).collect()
}

fn write(dir: &Path, entries: &[Vec<u8>]) {
    let (mut ledger, _) = open(dir);
    for entry in entries {
        ledger.append(entry).unwrap();
    }
    ledger.commit(true).unwrap();
}

fn last_file(dir: &Path) -> std::path::PathBuf {
    Reader::open(dir).unwrap().segments().unwrap().pop().unwrap().path
}

fn numbered(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|n| n.to_le_bytes().repeat(n as usize % 7)).collect()
}

fn checkpoint(head: &Head) -> Vec<u8> {
    format!("example.com/log\n{}\n\u{2014} example.com/log AAAAAA==\n", head.lines()).into_bytes()
}

/// The root as RFC 6962 has it.
fn root_of(entries: &[Vec<u8>]) -> tree::Hash {
    let mut edge = tree::Edge::default();
    entries.iter().for_each(|entry| edge.push(tree::leaf_hash(entry), &mut Vec::new()));
    edge.root()
}

#[test]
fn entries_come_back_from_bundles_and_journal() {
    let dir = tempfile::tempdir().unwrap();
    let entries = numbered(3000);
    write(dir.path(), &entries);
    let reader = Reader::open(dir.path()).unwrap();
    let first = reader.segments().unwrap()[0].first;
    assert!(first >= 2560 && first.is_multiple_of(256), "sealed up to {first}");
    let read: Vec<_> = reader.iter_from(0).map(|e| e.unwrap().1).collect();
    assert_eq!(read, entries);
    for index in [0, 1, 255, 256, 2559, 2560, 2999, 3] {
        assert_eq!(reader.read(index).unwrap(), entries[index as usize], "{index}");
        let next = reader.iter_from(index).next().unwrap().unwrap();
        assert_eq!(next, (index, entries[index as usize].clone()));
    }
    assert!(matches!(reader.read(3000), Err(Error::NotFound { index: 3000, .. })));
    let (ledger, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery::default());
    assert_eq!((ledger.next_index(), ledger.head().root), (3000, root_of(&entries)));
    assert_eq!(reader.next_index().unwrap(), 3000);
}

#[test]
fn every_proof_of_a_published_head_holds() {
    let dir = tempfile::tempdir().unwrap();
    let entries = numbered(1500);
    let (mut ledger, _) = open(dir.path());
    let mut heads: Vec<Head> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        ledger.append(entry).unwrap();
        if at % 97 == 0 {
            let head = ledger.publish().unwrap();
            ledger.put_checkpoint(&checkpoint(&head)).unwrap();
            assert_eq!(head.root, root_of(&entries[..=at]));
            heads.push(head);
        }
    }
    let reader = Reader::open(dir.path()).unwrap();
    let last = *heads.last().unwrap();
    assert_eq!(reader.published().unwrap(), Some(last));
    let mut tiles = reader.tiles(last.size);
    assert_eq!(tree::root(&mut tiles, last.size).unwrap(), last.root);
    for index in (0..last.size).step_by(13).chain([last.size - 1]) {
        let path = tree::inclusion(&mut tiles, index, last.size).unwrap();
        let leaf = tree::leaf_hash(&entries[index as usize]);
        tree::verify_inclusion(&leaf, index, last.size, &last.root, &path).unwrap();
    }
    for old in &heads {
        let proof = tree::consistency(&mut tiles, old.size, last.size).unwrap();
        tree::verify_consistency(old.size, &old.root, last.size, &last.root, &proof).unwrap();
    }
    // Partial tiles of the last two heads only.
    let name = TileName::hashes(0, last.size / 256, last.size % 256);
    assert!(reader.tile(&name).unwrap().is_some());
    assert_eq!(std::fs::read_dir(dir.path().join(name.path()).parent().unwrap()).unwrap().count(), 2);
    assert!(!dir.path().join("tile/0/000.p").exists());
}

#[test]
fn what_a_finding_cites_outlives_what_is_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let entries = numbered(3000);
    let (mut ledger, _) = open(dir.path());
    for entry in &entries {
        ledger.append(entry).unwrap();
    }
    let head = ledger.publish().unwrap();
    ledger.put_checkpoint(&checkpoint(&head)).unwrap();
    let before = ledger.bytes();
    let keep = BTreeSet::from([3, 255, 700, 2000]);
    assert!(matches!(ledger.prune(3072, &keep), Err(Error::NotPrunable { .. })));
    ledger.prune(1024, &keep).unwrap();
    assert!(ledger.bytes() < before);
    let reader = Reader::open(dir.path()).unwrap();
    let read: Vec<u64> = reader.iter_from(0).map(|e| e.unwrap().0).collect();
    assert_eq!(read, [3, 255, 700].into_iter().chain(1024..3000).collect::<Vec<_>>());
    assert!(matches!(reader.read(4), Err(Error::NotFound { .. })));
    let mut tiles = reader.tiles(head.size);
    for index in [3, 700, 4] {
        let path = tree::inclusion(&mut tiles, index, head.size).unwrap();
        let leaf = tree::leaf_hash(&entries[index as usize]);
        tree::verify_inclusion(&leaf, index, head.size, &head.root, &path).unwrap();
    }
    drop(ledger);
    let (mut ledger, _) = open(dir.path());
    assert_eq!(ledger.head(), head);
    ledger.prune(2048, &keep).unwrap();
    assert_eq!(
        reader.iter_from(0).take(5).map(|e| e.unwrap().0).collect::<Vec<_>>(),
        [3, 255, 700, 2000, 2048]
    );
}

#[test]
fn a_log_that_is_not_what_it_was_is_not_opened() {
    let refuse = |damage: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = open(dir.path());
        for entry in numbered(3000) {
            ledger.append(&entry).unwrap();
        }
        let head = ledger.publish().unwrap();
        ledger.put_checkpoint(&checkpoint(&head)).unwrap();
        drop(ledger);
        damage(dir.path());
        let error = Ledger::open(dir.path(), SMALL).map(|_| ()).unwrap_err();
        assert!(error.is_damage(), "{error}");
        error.to_string()
    };
    let newest = |dir: &Path| Reader::open(dir).unwrap().segments().unwrap().pop().unwrap().path;
    let error = refuse(&|dir| std::fs::remove_dir_all(dir.join("segments")).unwrap());
    assert!(error.contains("3000"), "{error}");
    let error = refuse(&|dir| {
        let path = newest(dir);
        let len = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(path).unwrap().set_len(len - 1).unwrap();
    });
    assert!(error.contains("has 2999 entries") && error.contains("3000"), "{error}");
    // An entry in the middle of the journal, another one with a good checksum, or a tile at the edge.
    refuse(&|dir| {
        let path = newest(dir);
        OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"X", 90).unwrap();
    });
    refuse(&|dir| {
        let name = dir.join("tile/0/003");
        let mut bytes = std::fs::read(&name).unwrap();
        bytes[40] ^= 1;
        std::fs::write(name, bytes).unwrap();
    });
    refuse(&|dir| std::fs::remove_file(dir.join("tile/0/003")).unwrap());
    refuse(&|dir| std::fs::write(dir.join("checkpoint"), "nonsense").unwrap());
    refuse(&|dir| {
        let head = Head { size: 2900, root: [7; 32] };
        std::fs::write(dir.join("checkpoint"), checkpoint(&head)).unwrap();
    });
}

#[test]
fn far_entries_of_one_segment_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(dir.path(), Options::default()).unwrap();
    for n in 0..3000u32 {
        ledger.append(&n.to_le_bytes()).unwrap();
    }
    ledger.commit(false).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    for index in [2999u32, 0, 256, 255, 257, 1024, 2048] {
        assert_eq!(reader.read(u64::from(index)).unwrap(), index.to_le_bytes());
    }
}

#[test]
fn one_writer_only_and_private_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let (ledger, _) = open(&folder);
    assert!(matches!(Ledger::open(&folder, SMALL), Err(Error::Locked { .. })));
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let metadata = entry.unwrap().metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o077, 0);
    }
    drop(ledger);
    open(&folder);
}

#[test]
fn damage_in_the_middle_is_named_and_passed_by() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[b"first".to_vec(), b"second".to_vec(), b"third".to_vec()]);
    let file = last_file(dir.path());
    let place = 64 + 8 + 5;
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(b"X", place + 8).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let error = reader.read(1).unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()) && error.contains(&place.to_string()), "{error}");
    let read: Vec<_> =
        reader.iter_from(0).map(|e| e.map(|(_, bytes)| bytes).map_err(|e| e.to_string())).collect();
    assert_eq!(read, [Ok(b"first".to_vec()), Err(error), Ok(b"third".to_vec())]);
    // Nothing is known to be lost that a checkpoint spoke of: it may be what a power cut left.
    let (mut ledger, recovery) = open(dir.path());
    assert_eq!(recovery.cut.unwrap().offset, place);
    assert_eq!(ledger.append(b"fourth").unwrap(), 1);
}

#[test]
fn rotation_of_nothing_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.rotate().unwrap();
    assert_eq!(ledger.segments().len(), 1);
    // Not between two bundles.
    ledger.append(b"x").unwrap();
    ledger.rotate().unwrap();
    assert_eq!(ledger.segments()[0].first, 0);
    (1..256).for_each(|_| assert!(ledger.append(b"x").is_ok()));
    ledger.rotate().unwrap();
    ledger.rotate().unwrap();
    ledger.settle_all().unwrap();
    assert_eq!((ledger.segments().len(), ledger.segments()[0].first), (1, 256));
    assert!(matches!(ledger.append(&vec![0; ENTRY_MAX + 1]), Err(Error::TooLong { .. })));
    assert_eq!(ledger.append(b"y").unwrap(), 256);
}

#[test]
fn a_segment_whose_header_never_reached_the_disk_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[b"x".to_vec()]);
    std::fs::write(dir.path().join(format!("segments/{:020}.log", 256)), [0; 10]).unwrap();
    std::fs::write(dir.path().join(format!("segments/{:020}.tmp", 7)), b"").unwrap();
    let (mut ledger, recovery) = open(dir.path());
    assert_eq!(recovery.cut.unwrap().bytes, 10);
    assert_eq!(ledger.append(b"y").unwrap(), 1);
    ledger.commit(false).unwrap();
    assert_eq!(all(dir.path()), [(0, b"x".to_vec()), (1, b"y".to_vec())]);
    assert!(!dir.path().join(format!("segments/{:020}.tmp", 7)).exists());
}

#[test]
fn a_reader_follows_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(dir.path(), Options { segment_bytes: 4000, block: 256 }).unwrap();
    let folder = dir.path().to_owned();
    const COUNT: u64 = 20_000;
    let reading = std::thread::spawn(move || {
        let reader = Reader::open(&folder).unwrap();
        let mut entries = reader.iter_from(0);
        let mut next = 0u64;
        while next < COUNT {
            match entries.next_entry() {
                Some(Ok((index, bytes))) => {
                    assert_eq!((index, bytes), (next, next.to_le_bytes().as_slice()));
                    next += 1;
                }
                Some(Err(error)) => panic!("{error}"),
                None => std::thread::yield_now(),
            }
        }
    });
    for n in 0..COUNT {
        ledger.append(&n.to_le_bytes()).unwrap();
        if n % 7 == 0 {
            ledger.commit(false).unwrap();
        }
    }
    ledger.commit(false).unwrap();
    reading.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Cut anywhere, and with anything written behind the cut: what was whole before it is read back.
    #[test]
    fn a_crash_at_any_byte_keeps_all_before_it(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..40),
        cut in any::<prop::sample::Index>(),
        rubbish in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(Just(0u8), 0..600),
        ],
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &entries);
        let file = last_file(dir.path());
        let first = Reader::open(dir.path()).unwrap().segments().unwrap().pop().unwrap().first;
        let len = std::fs::metadata(&file).unwrap().len();
        let at = cut.index(len as usize + 1) as u64;
        let handle = OpenOptions::new().write(true).open(&file).unwrap();
        handle.set_len(at).unwrap();
        if at >= 64 {
            handle.write_all_at(&rubbish, at).unwrap();
        }
        // How many entries of this segment end before the cut.
        let mut end = 64;
        let mut whole = first as usize;
        for entry in &entries[whole..] {
            end += 8 + entry.len() as u64;
            if end > at {
                break;
            }
            whole += 1;
        }
        // Rubbish may chance to be what stood there.
        let expected: Vec<_> = entries.iter().take(whole).cloned().enumerate().map(|(n, e)| (n as u64, e)).collect();
        if at >= 64 {
            let read = all(dir.path());
            prop_assert_eq!(&read[..whole], &expected[..]);
        }
        let (mut ledger, _) = open(dir.path());
        let kept = all(dir.path());
        prop_assert_eq!(&kept[..whole], &expected[..]);
        prop_assert_eq!(ledger.next_index(), kept.len() as u64);
        ledger.append(b"after").unwrap();
        ledger.commit(true).unwrap();
        drop(ledger);
        prop_assert_eq!(open(dir.path()).1, Recovery::default());
        prop_assert_eq!(all(dir.path()).pop().unwrap().1, b"after".to_vec());
    }

    /// No bytes make it panic, in memory or from a file.
    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..500), good in any::<bool>(), older: bool) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[b"one".to_vec(), b"two".to_vec()]);
        let file = last_file(dir.path());
        if good {
            let mut whole = std::fs::read(&file).unwrap();
            whole.append(&mut bytes);
            bytes = whole;
        }
        let _ = scan(&bytes, |_, _| {});
        std::fs::write(&file, &bytes).unwrap();
        if older {
            write_empty_segment(dir.path(), 256);
        }
        let reader = Reader::open(dir.path()).unwrap();
        let count = reader.iter_from(0).take(10_000).count();
        prop_assert!(count < 1000);
        for index in 0..12 {
            let _ = reader.read(index);
            prop_assert!(reader.iter_from(index).count() < 1000);
        }
        let _ = reader.segments();
        let _ = Ledger::open(dir.path(), SMALL);
    }
}

fn write_empty_segment(dir: &Path, first: u64) {
    let other = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(other.path());
    for _ in 0..first {
        ledger.append(b"").unwrap();
    }
    ledger.rotate().unwrap();
    drop(ledger);
    let name = format!("segments/{first:020}.log");
    std::fs::copy(other.path().join(&name), dir.join(&name)).unwrap();
}
