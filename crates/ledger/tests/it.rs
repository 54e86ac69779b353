//! The ledger from outside: what was taken is given back, whatever happens to the tail.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use muster_ledger::{ENTRY_MAX, Error, Ledger, Options, Reader, Recovery, scan};
use proptest::prelude::*;

const SMALL: Options = Options { segment_bytes: 200 };

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

#[test]
fn entries_come_back_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let entries: Vec<Vec<u8>> = (0..1000u32).map(|n| n.to_le_bytes().repeat(n as usize % 17)).collect();
    write(dir.path(), &entries);
    let reader = Reader::open(dir.path()).unwrap();
    assert!(reader.segments().unwrap().len() > 10);
    let read: Vec<_> = reader.iter_from(0).map(|e| e.unwrap().1).collect();
    assert_eq!(read, entries);
    for index in [0, 1, 499, 998, 999, 3] {
        assert_eq!(reader.read(index).unwrap(), entries[index as usize]);
        assert_eq!(
            reader.iter_from(index).next().unwrap().unwrap(),
            (index, entries[index as usize].clone())
        );
    }
    assert!(matches!(reader.read(1000), Err(Error::NotFound { index: 1000, .. })));
    let (ledger, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery::default());
    assert_eq!(ledger.next_index(), 1000);
    assert_eq!(ledger.segments(), reader.segments().unwrap());
    assert_eq!(ledger.bytes(), reader.bytes().unwrap());
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
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
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
    // The writer does not take it for a torn tail.
    let (mut ledger, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery::default());
    assert_eq!(ledger.append(b"fourth").unwrap(), 3);
}

#[test]
fn damage_in_an_older_segment_does_not_hide_the_newer() {
    let dir = tempfile::tempdir().unwrap();
    let entries: Vec<Vec<u8>> = (0..50u8).map(|n| vec![n; 20]).collect();
    write(dir.path(), &entries);
    let segments = Reader::open(dir.path()).unwrap().segments().unwrap();
    let file = &segments[1].path;
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(&[0xff; 4], 64).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = reader.iter_from(0).partition(Result::is_ok);
    assert_eq!(bad.len(), 1);
    let lost = segments[1].last.unwrap() - segments[1].first + 1;
    assert_eq!(good.len() as u64, 50 - lost);
    // A header that is none, likewise.
    std::fs::write(file, b"nonsense").unwrap();
    let (good, bad): (Vec<_>, Vec<_>) =
        Reader::open(dir.path()).unwrap().iter_from(0).partition(Result::is_ok);
    assert_eq!((good.len() as u64, bad.len()), (50 - lost, 1));
    // A whole segment taken away from the middle, likewise.
    std::fs::remove_file(file).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) =
        Reader::open(dir.path()).unwrap().iter_from(0).partition(Result::is_ok);
    assert_eq!((good.len() as u64, bad.len()), (50 - lost, 1));
}

#[test]
fn segments_can_be_removed_but_for_the_active_one() {
    let dir = tempfile::tempdir().unwrap();
    let entries: Vec<Vec<u8>> = (0..50u8).map(|n| vec![n; 20]).collect();
    write(dir.path(), &entries);
    let (mut ledger, _) = open(dir.path());
    let segments = ledger.segments();
    let active = segments.last().unwrap().first;
    assert!(matches!(ledger.remove_segment(active), Err(Error::NotRemovable { .. })));
    ledger.remove_segment(0).unwrap();
    let read = all(dir.path());
    assert_eq!(read[0].0, segments[1].first);
    assert_eq!(read.last().unwrap().0, 49);
    assert!(matches!(Reader::open(dir.path()).unwrap().read(0), Err(Error::NotFound { .. })));
}

#[test]
fn rotation_of_nothing_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.rotate().unwrap();
    assert_eq!(ledger.segments().len(), 1);
    ledger.append(b"x").unwrap();
    ledger.rotate().unwrap();
    ledger.rotate().unwrap();
    assert_eq!(ledger.segments().len(), 2);
    assert!(matches!(ledger.append(&vec![0; ENTRY_MAX + 1]), Err(Error::TooLong { .. })));
    assert_eq!(ledger.append(b"y").unwrap(), 1);
}

#[test]
fn a_segment_whose_header_never_reached_the_disk_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[b"x".to_vec()]);
    std::fs::write(dir.path().join(format!("{:020}.log", 1)), [0; 10]).unwrap();
    std::fs::write(dir.path().join(format!("{:020}.tmp", 7)), b"").unwrap();
    let (mut ledger, recovery) = open(dir.path());
    assert_eq!(recovery.cut.unwrap().bytes, 10);
    assert_eq!(ledger.append(b"y").unwrap(), 1);
    ledger.commit(false).unwrap();
    assert_eq!(all(dir.path()), [(0, b"x".to_vec()), (1, b"y".to_vec())]);
    assert!(!dir.path().join(format!("{:020}.tmp", 7)).exists());
}

#[test]
fn a_reader_follows_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(dir.path(), Options { segment_bytes: 4000 }).unwrap();
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
            write_empty_segment(dir.path(), 9);
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
    let name = format!("{first:020}.log");
    std::fs::copy(other.path().join(&name), dir.join(&name)).unwrap();
}
