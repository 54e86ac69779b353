//! What must hold of the ledger's files whatever their bytes: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property fails by panicking"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cosignature;
use crate::note::{Key, KeyKind, Note, Signer, Verifier};
use crate::segment::{self, HEADER_BYTES};
use crate::signing::{self, Memory};
use crate::tree::{self, Hash, PROOF_MAX, Subtrees};
use crate::witness::{self, Outcome, Request, Seen};
use crate::{
    Checkpoint, Error, Head, Ledger, Options, Reader, SegmentInfo, TileName, VerifyError, scan, tile, verify,
};

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

/// A signed note from anywhere, and what stands in one. What is read, written again, is the same bytes; what is a text can
/// be signed, and the signature counts for this text and no other.
pub fn signed_note(bytes: &[u8]) {
    let log = Key::new("fuzz.example/log", KeyKind::Log, &[1; 32]).unwrap();
    let witness = Key::new("fuzz.example/witness", KeyKind::Witness, &[2; 32]).unwrap();
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_bytes(), bytes, "one note has two forms");
        // Chance does not sign.
        assert!(note.verify([log.verifier(), witness.verifier()]).is_err());
        assert!(cosignature::cosigned(&note, [log.verifier(), witness.verifier()]).is_empty());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.text(), text, "one checkpoint has two forms");
    }
    if let Ok(key) = text.parse::<Verifier>() {
        assert_eq!(key.to_string(), text.trim());
    }
    assert!(Key::from_secret(text).is_err(), "chance makes a key whose hash fits");
    let Ok(mut note) = Note::new(text.to_owned()) else { return };
    note.sign(&log).unwrap();
    note.signatures.push(cosignature::cosign(text, 7, &witness).unwrap());
    let again = Note::parse(&note.to_bytes()).unwrap();
    assert_eq!(again, note);
    assert_eq!(again.verify([log.verifier()]).unwrap(), log.verifier());
    assert_eq!(cosignature::cosigned(&again, [witness.verifier()]), [(witness.verifier(), 7)]);
    let other = Note { text: format!("{text}\n"), ..again };
    assert!(other.verify([log.verifier()]).is_err());
    assert!(cosignature::cosigned(&other, [witness.verifier()]).is_empty());
}

/// What a witness is asked, what it remembers, and what it answers: each has one form, chance is never accepted, and who
/// asked makes something of any answer.
pub fn witness_request(bytes: &[u8]) {
    let key = Key::new("fuzz.example/log", KeyKind::Log, &[1; 32]).unwrap();
    let witness = Key::new("fuzz.example/witness", KeyKind::Witness, &[2; 32]).unwrap();
    let known = Checkpoint::new(key.verifier().name(), Head { size: 7, root: [7; 32] });
    let known = Seen::after(None, known.head, known.sign([&key as &dyn Signer]).unwrap(), 1);
    if let Ok(request) = Request::parse(bytes) {
        assert_eq!(request.to_bytes(), bytes, "one request has two forms");
        let log = witness::Log { origin: request.origin().to_owned(), keys: vec![key.verifier().clone()] };
        for seen in [None, Some(&known)] {
            let verdict = witness::decide(&log, seen, &request);
            assert!(verdict.sign.is_none(), "chance speaks for the log");
            assert!((400..500).contains(&verdict.answer.unwrap_err().status()));
        }
        // The same numbers and proof, and this time signed.
        if let Ok(checkpoint) = Checkpoint::parse(&request.note.text) {
            let checkpoint = Checkpoint { origin: key.verifier().name().to_owned(), ..checkpoint };
            let note = checkpoint.sign([&key as &dyn Signer]).unwrap();
            let signed = Request { note, ..request.clone() };
            let log = witness::Log { origin: checkpoint.origin.clone(), keys: log.keys };
            let verdict = witness::decide(&log, Some(&known), &signed);
            if verdict.answer.is_ok() {
                assert!(verdict.sign.is_none(), "what contradicts is cosigned");
                assert!(checkpoint.head.size > 7 || checkpoint.head == known.head);
            }
        }
    }
    if let Ok(seen) = Seen::parse(bytes) {
        assert_eq!(seen.to_bytes(), bytes, "one memory has two forms");
    }
    let asked = Request { old: 3, proof: Vec::new(), note: known.note };
    for status in [200, 400, 409, 422] {
        let outcome =
            witness::outcome(status, Some(witness::SIZE_TYPE), bytes, &asked, 7, witness.verifier());
        assert!(!matches!(outcome, Outcome::Cosigned { .. }), "chance cosigns");
    }
}

/// The parts of a log that others may hand over: names of tiles, tiles, bundles, kept leaves, and what a checkpoint says.
/// What is read, written again, is the same.
pub fn ledger_tile(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(name) = TileName::parse(text) {
            assert_eq!(name.path(), text, "two names of one tile");
            let (first, end) = name.leaves();
            assert!(first <= end && (1..=tree::TILE_WIDTH).contains(&name.width));
        }
        if let Some(head) = Head::parse(text) {
            let again = Head::parse(&format!("origin\n{}", head.lines()));
            assert_eq!(again, Some(head));
            let (_, lines) = text.split_once('\n').unwrap();
            assert!(lines.starts_with(head.lines().trim_end()), "two texts of one head");
        }
    }
    match tile::parse_hashes(bytes) {
        Some(hashes) => assert_eq!(hashes.concat(), bytes),
        None => assert!(!bytes.len().is_multiple_of(32) || bytes.len() > 8192),
    }
    let mut again = Vec::new();
    for entry in tile::entries(bytes) {
        match entry {
            Ok(entry) => tile::push_entry(&mut again, entry),
            Err(at) => {
                assert_eq!(&bytes[..at], again);
                again = bytes.to_vec();
            }
        }
    }
    assert_eq!(again, bytes, "what is read of a bundle is not what stands there");
    if let Some(kept) = tile::parse_kept(bytes) {
        let mut again = Vec::new();
        kept.iter().for_each(|(at, entry)| tile::push_kept(&mut again, *at, entry));
        assert!(kept.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(again, bytes);
    }
}

/// Leaf hashes as a source of proofs.
struct Leaves<'a>(&'a [Hash]);

impl Subtrees for Leaves<'_> {
    type Error = std::convert::Infallible;
    fn subtree(&mut self, height: u32, index: u64) -> std::result::Result<Hash, Self::Error> {
        let from = (index << height) as usize;
        Ok(tree::perfect_root(&self.0[from..from + (1 << height)]))
    }
}

/// A proof that holds is the one that the tree gives. The first bytes choose the tree, the leaf, and how much of the true
/// proof the others are laid over.
pub fn ledger_proof(bytes: &[u8]) {
    let number = |at: usize| {
        let mut number = [0; 8];
        let rest = bytes.get(at..).unwrap_or_default();
        let count = rest.len().min(8);
        number[..count].copy_from_slice(&rest[..count]);
        u64::from_le_bytes(number)
    };
    let (one, two) = (number(0), number(8));
    let rest = bytes.get(16..).unwrap_or_default();
    let noise: Vec<Hash> = rest.as_chunks::<32>().0.iter().take(PROOF_MAX + 3).copied().collect();
    let leaf = tree::leaf_hash(b"leaf");
    // Any numbers, any hashes.
    assert!(tree::verify_inclusion(&leaf, one, two, &leaf, &noise).is_err() || (one, two) == (0, 1));
    let _ = tree::verify_consistency(one, &leaf, two, &tree::empty_root(), &noise);
    let size = 1 + two % 300;
    let (index, old) = (one % size, one % (size + 1));
    let leaves: Vec<Hash> = (0..size).map(|index| tree::leaf_hash(&index.to_le_bytes())).collect();
    let Ok(root) = tree::root(&mut Leaves(&leaves), size);
    let Ok(was) = tree::root(&mut Leaves(&leaves), old);
    let Ok(path) = tree::inclusion(&mut Leaves(&leaves), index, size);
    let Ok(growth) = tree::consistency(&mut Leaves(&leaves), old, size);
    // The true one with some of its bytes changed, hashes left out or put behind.
    let lay = |proof: &[Hash]| {
        let mut bytes = proof.concat();
        for change in rest.as_chunks::<3>().0 {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
            match bytes.get_mut(at) {
                Some(byte) => *byte = change[2],
                None => bytes.resize(32 * usize::from(change[2] % 12), 0),
            }
        }
        bytes.as_chunks().0.to_vec()
    };
    let check = |given: &[Hash]| {
        let holds = tree::verify_inclusion(&leaves[index as usize], index, size, &root, given).is_ok();
        assert_eq!(holds, given == path, "another proof of leaf {index} of {size}");
        let holds = tree::verify_consistency(old, &was, size, &root, given).is_ok();
        assert_eq!(holds, given == growth, "another proof that {size} begins with {old}");
    };
    [&path[..], &growth, &noise, &lay(&path), &lay(&growth)].into_iter().for_each(check);
    let other = (index + 1) % size;
    assert!(
        size == 1 || tree::verify_inclusion(&leaves[index as usize], other, size, &root, &path).is_err(),
        "leaf {index} passes for {other}"
    );
}

/// A log of some hundred leaves, some of them pruned, whose files are changed as the bytes say. What verifies has the
/// leaves that were signed, and no others.
pub fn ledger_verify(bytes: &[u8]) {
    let (files, head) = &*LOG;
    let folder = Folder::new();
    let names: Vec<&PathBuf> = files.keys().collect();
    let mut changed = files.clone();
    for change in bytes.as_chunks::<6>().0.iter().take(8) {
        let [which, act, low, high, value, other] = *change;
        let name = names[usize::from(which) % names.len()];
        let another = files[names[usize::from(other) % names.len()]].clone();
        let at = usize::from(u16::from_le_bytes([low, high]));
        let Some(file) = changed.get_mut(name) else { continue };
        let at = at % file.len().max(1);
        match act % 6 {
            0 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte = value),
            1 => file.truncate(at),
            2 => file.extend_from_slice(&vec![value; usize::from(other)]),
            3 => *file = another,
            4 => drop(changed.remove(name)),
            _ => {
                let stray = name.with_file_name(format!("{:03}", u16::from(value)));
                changed.insert(stray, another);
            }
        }
    }
    for (name, bytes) in &changed {
        let path = folder.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let seen = std::sync::Mutex::new(0);
    let result = verify(
        &folder.0,
        *head,
        &|leaf| leaf < 256 && leaf != 9,
        &|index, bytes| {
            assert_eq!(bytes, own_leaf(index), "another leaf {index} verifies");
            *seen.lock().unwrap() += 1;
        },
        &|_| {},
    );
    match result {
        Ok(report) => {
            let missing: u64 = report.missing.iter().map(|(first, end)| end - first).sum();
            assert_eq!((report.leaves, report.pruned), (head.size, missing));
            assert_eq!(seen.into_inner().unwrap() + report.pruned, head.size);
        }
        Err(VerifyError::Tampering(tampering)) => {
            assert!(changed != *files, "{tampering} in a log that is whole");
            assert!(!tampering.to_string().is_empty());
        }
        Err(VerifyError::Unread(error)) => panic!("{error}"),
    }
}

fn own_leaf(index: u64) -> Vec<u8> {
    index.to_be_bytes()[8 - (index % 7) as usize..].to_vec()
}

type Files = std::collections::BTreeMap<PathBuf, Vec<u8>>;

static LOG: std::sync::LazyLock<(Files, Head)> = std::sync::LazyLock::new(|| {
    let folder = Folder::new();
    let options = Options { segment_bytes: 3000, block: 256 };
    let (mut ledger, _) = Ledger::open(&folder.0, options).unwrap();
    (0..700).for_each(|index| assert_eq!(ledger.append(&own_leaf(index)).unwrap(), index));
    let head = ledger.publish().unwrap();
    ledger.prune(256, &[9].into()).unwrap();
    drop(ledger);
    let mut files = Files::new();
    let mut folders = vec![folder.0.clone()];
    while let Some(path) = folders.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(&folder.0).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    (files, head)
});

/// What a signer is asked, what it answers and what it remembers: each has one form, and what it may sign continues what
/// it signed.
pub fn signer_message(bytes: &[u8]) {
    if let Ok(request) = signing::Request::parse(bytes) {
        assert_eq!(request.to_bytes(), bytes, "one request has two forms");
        if let signing::Request::Head { old, proof, checkpoint, .. } = request {
            let known = Head { size: 7, root: [7; 32] };
            let memory = Memory { origin: checkpoint.origin.clone(), head: known };
            if let Ok(head) = memory.decide(old, &proof, &checkpoint) {
                assert!(old == 7 && head == known, "chance continues a log");
            }
            let other = Memory { origin: format!("{}x", checkpoint.origin), head: known };
            assert!(other.decide(old, &proof, &checkpoint).is_err(), "another log is signed");
        }
    }
    if let Ok(answer) = signing::Answer::parse(bytes) {
        let again = answer.to_bytes();
        match answer {
            // Shortened, and without control characters.
            signing::Answer::Refused(_) => {
                assert_eq!(signing::Answer::parse(&again).unwrap().to_bytes(), again);
            }
            _ => assert_eq!(again, bytes, "one answer has two forms"),
        }
    }
    if let Ok(memory) = Memory::parse(bytes) {
        assert_eq!(memory.to_bytes(), bytes, "one memory has two forms");
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

    /// Text like a checkpoint's, with lines like signatures behind it.
    fn note() -> impl Strategy<Value = Vec<u8>> {
        let root = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=";
        let line = "\u{2014} [a-z+. ]{1,5} [A-Za-z0-9+/]{8,16}=?=?";
        let lines = prop::collection::vec(prop_oneof![4 => line, 1 => "\\PC{0,20}"], 0..3);
        ("[a-z/ ]{0,4}", "0|[0-9]{1,20}", root, "(\n[a-z]{0,3}){0,2}", "\n{0,3}", lines).prop_map(
            |(origin, size, root, more, gap, lines)| {
                let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
                format!("{origin}\n{size}\n{root}{more}{gap}{lines}").into_bytes()
            },
        )
    }

    proptest! {
        #[test]
        fn any_witness_request(bytes in note(), old in "0|[0-9]{1,21}", proof in 0usize..66, noise: Vec<u8>) {
            let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n".repeat(proof % 66);
            let note = "fuzz.example/log\n9\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\n\u{2014} a AAAAAAA=\n";
            for note in [bytes.as_slice(), note.as_bytes()] {
                witness_request(&[format!("old {old}\n{hash}\n").as_bytes(), note].concat());
                let head = format!("muster-witness/1\ntime {old}\ngrown 7\nrecent {old} {hash}\n");
                witness_request(&[head.as_bytes(), note].concat());
            }
            witness_request(&bytes);
            witness_request(&noise);
        }
    }

    proptest! {
        #[test]
        fn any_signer_message(bytes in note(), old in "0|7|[0-9]{1,21}", proof in 0usize..66, size in 0u64..9, noise: Vec<u8>) {
            let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
            let lines = hash.repeat(proof);
            let head = format!("muster-signer/1 head\nby 0123abcd\nold {old}\n{lines}\n");
            let known = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
            for rest in [bytes.as_slice(), format!("log\n{size}\n{hash}").as_bytes(), format!("log\n7\n{known}").as_bytes()] {
                signer_message(&[head.as_bytes(), rest].concat());
                signer_message(&[b"muster-signer/1\n", rest].concat());
            }
            let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n";
            signer_message(format!("muster-signer/1 rotation\nby 0123abcd\nold {key}new {key}").as_bytes());
            signer_message(format!("keys {old}\n{}", format!("key {key}").repeat(proof % 4)).as_bytes());
            signer_message(format!("moved {old}\n").as_bytes());
            signer_message(&[b"refused ".as_slice(), &bytes].concat());
            signer_message(&bytes);
            signer_message(&noise);
        }
    }

    proptest! {
        #[test]
        fn any_note(bytes in note(), noise: Vec<u8>, text: String) {
            signed_note(&bytes);
            signed_note(&noise);
            signed_note(format!("{text}\n").as_bytes());
        }
    }

    /// Names and heads as they are written, with some bytes changed.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let written = prop_oneof![
            (any::<u64>(), 0u32..64, 1u64..256)
                .prop_map(|(index, level, width)| TileName::hashes(level, index, width).path()),
            (any::<u64>(), 1u64..257).prop_map(|(index, width)| TileName::bundle(index, width).path()),
            (any::<u64>(), any::<Hash>())
                .prop_map(|(size, root)| format!("example.com/log\n{}", Head { size, root }.lines())),
        ];
        (written, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2)).prop_map(
            |(written, changes)| {
                let mut bytes = written.into_bytes();
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn any_tile(text in text(), noise: Vec<u8>, entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..9)) {
            ledger_tile(&text);
            ledger_tile(&noise);
            let (mut bundle, mut kept) = (Vec::new(), Vec::new());
            for (at, entry) in entries.iter().enumerate() {
                tile::push_entry(&mut bundle, entry);
                tile::push_kept(&mut kept, 3 * at as u8, entry);
            }
            ledger_tile(&bundle);
            ledger_tile(&kept);
        }

        #[test]
        fn any_proof(numbers in any::<[u64; 2]>(), rest in prop::collection::vec(any::<u8>(), 0..200)) {
            ledger_proof(&[&numbers[0].to_le_bytes()[..], &numbers[1].to_le_bytes(), &rest].concat());
            ledger_proof(&[&numbers[0].to_le_bytes()[..], &numbers[1].to_le_bytes()].concat());
        }

        #[test]
        fn any_change(changes in prop::collection::vec(any::<u8>(), 0..30)) {
            ledger_verify(&changes);
        }

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
