//! Evidence bundles from outside: what they hold can be checked by anybody, and no byte of them can be changed unseen.

use std::path::Path;

use muster_engine::{Code, Evidence, Finding, Input, Output, Severity, Stage};
use muster_event::redact::Opening;
use muster_ledger::cosignature;
use muster_ledger::note::{Key, KeyKind, Signer};
use muster_server::case::{Asked, Case, Tampering, Trust};
use muster_server::{LogKeys, Retention, Store, StoreReader};

use crate::samples;

const ORIGIN: &str = "example.com/muster-1";
const T0: u64 = 1_700_000_000_000_000_000;

fn key() -> Key {
    Key::new(ORIGIN, KeyKind::Log, &[7; 32]).unwrap()
}

fn witness() -> Key {
    Key::new("witness.example", KeyKind::Witness, &[8; 32]).unwrap()
}

/// A record with one of everything, and a finding that rests on an event, signed and cosigned.
fn record(dir: &Path) -> Finding {
    let (mut store, _) = Store::open(dir, Retention::UNLIMITED).unwrap();
    store.sign_with(LogKeys { signers: vec![Box::new(key())] }, T0).unwrap();
    let inputs = samples::entries().into_iter().filter_map(|entry| match entry {
        muster_server::Entry::Input(input) => Some(*input),
        _ => None,
    });
    let mut seq = 0;
    for input in inputs {
        if let Input::Event(event) = &input {
            seq = event.seq;
        }
        store.append(&input).unwrap();
    }
    let finding = Finding {
        id: "f-1".to_owned(),
        code: Code::Omission,
        severity: Severity::High,
        stage: Stage::Conceal,
        overreach: 1,
        deception: 1,
        agent: "one".to_owned(),
        time_ns: T0,
        summary: "<script>alert(1)</script> & \u{202e}\u{1b}[31m".to_owned(),
        explanation: "why".to_owned(),
        evidence: vec![Evidence::Event { seq }],
    };
    store.apply(&Output::Finding(Box::new(finding.clone()))).unwrap();
    let published = store.checkpoint().unwrap().unwrap();
    let mut note = published.note;
    note.signatures.push(cosignature::cosign(&note.text, 1_700_000_000, &witness()).unwrap());
    store.put_cosigned(&note).unwrap();
    std::fs::write(dir.join("log.vkey"), format!("{}\n", key().verifier())).unwrap();
    std::fs::write(dir.join("witnesses.vkey"), format!("{}\n", witness().verifier())).unwrap();
    finding
}

fn trust() -> Trust {
    Trust {
        log: vec![key().verifier().to_string()],
        witnesses: vec![witness().verifier().to_string()],
        quorum: 1,
    }
}

fn gather(dir: &Path, asked: &Asked) -> Case {
    Case::gather(&StoreReader::open(dir).unwrap(), dir, asked, T0 + 5).unwrap()
}

#[test]
fn a_bundle_holds_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let finding = record(dir.path());
    for asked in [
        Asked::Finding(finding.id),
        Asked::Agent("one".to_owned()),
        Asked::Time { from_ns: 0, to_ns: u64::MAX },
    ] {
        let case = gather(dir.path(), &asked);
        assert!(case.leaves.iter().any(|leaf| leaf.bytes.windows(8).any(|w| w == b"omission")), "{asked}");
        assert_eq!(case.keys.witnesses, [witness().verifier().to_string()]);
        let bytes = case.to_bytes().unwrap();
        let read = Case::from_bytes(&bytes).unwrap();
        assert_eq!(read, case);
        let checked = read.check(&trust()).unwrap();
        assert_eq!((checked.trusted, checked.report_unchecked), (true, false));
        assert_eq!(checked.cosigned, [("witness.example".to_owned(), 1_700_000_000, true)]);
        let alone = read.check(&Trust::default()).unwrap();
        assert!(!alone.trusted && !alone.cosigned[0].2);
        assert!(!case.report.contains("<script>") && !case.report.contains('\u{1b}'));
    }
    // A key that did not sign, a witness that did not see.
    let case = gather(dir.path(), &Asked::Time { from_ns: 0, to_ns: u64::MAX });
    let other = Key::new(ORIGIN, KeyKind::Log, &[9; 32]).unwrap().verifier().to_string();
    assert!(matches!(
        case.check(&Trust { log: vec![other], ..Trust::default() }),
        Err(Tampering::Checkpoint(_))
    ));
    let stranger = Key::new("witness.example", KeyKind::Witness, &[9; 32]).unwrap().verifier().to_string();
    let trust = Trust { witnesses: vec![stranger], quorum: 1, ..Trust::default() };
    assert!(matches!(case.check(&trust), Err(Tampering::Quorum { wanted: 1, found: 0 })));
}

#[test]
fn no_byte_of_a_bundle_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let finding = record(dir.path());
    let case = gather(dir.path(), &Asked::Finding(finding.id));
    let bytes = case.to_bytes().unwrap();
    let holds = |bytes: &[u8]| Case::from_bytes(bytes).is_ok_and(|case| case.check(&trust()).is_ok());
    assert!(holds(&bytes));
    // Nothing can vouch for the version that says how the report was written.
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let free = bytes.windows(version.len()).position(|w| w == version.as_bytes()).unwrap();
    let free = free..free + version.len();
    let mut unseen = Vec::new();
    for at in 0..bytes.len() {
        // Every byte of the small parts, and every fifth of the report and the leaves.
        if free.contains(&at) || at % 5 != 0 && at > 12_000 {
            continue;
        }
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if holds(&changed) {
            unseen.push((at, String::from_utf8_lossy(&bytes[at.saturating_sub(20)..at + 20]).into_owned()));
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    for len in (0..bytes.len()).step_by(509) {
        assert!(!holds(&bytes[..len]), "cut at {len}");
    }
    assert!(!holds(&[bytes.as_slice(), b"x"].concat()));
    // Leaves in each other's place, one left out of the proofs, one invented.
    let mut swapped = case.clone();
    let (first, second) = (swapped.leaves[0].bytes.clone(), swapped.leaves[1].bytes.clone());
    swapped.leaves[0].bytes = second;
    swapped.leaves[1].bytes = first;
    assert!(matches!(swapped.check(&trust()), Err(Tampering::Leaf { index: 0, .. })));
}

#[test]
fn only_the_right_value_opens_a_commitment() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let opening: Opening = serde_json::from_value(serde_json::json!({
        "salt": "AAAAAAAAAAAAAAAAAAAAAA", "value": "hunter2hunter2",
    }))
    .unwrap();
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
    store.sign_with(LogKeys { signers: vec![Box::new(key())] }, T0).unwrap();
    let label = format!("password=[redacted:{}]", opening.commitment());
    let enrol = samples::entries().into_iter().find_map(|entry| match entry {
        muster_server::Entry::Input(input) => match *input {
            Input::Enrol(enrol) => Some(enrol),
            _ => None,
        },
        _ => None,
    });
    let enrol = muster_engine::Enrol { label, time_ns: T0 + 9, ..enrol.unwrap() };
    store.append(&Input::Enrol(enrol)).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let mut case = gather(dir.path(), &Asked::Time { from_ns: 0, to_ns: u64::MAX });
    let forged: Opening =
        serde_json::from_value(serde_json::json!({"salt": opening.salt, "value": "hunter2hunter3"})).unwrap();
    assert!(!case.reveal(forged.clone()));
    assert!(case.reveal(opening));
    let read = Case::from_bytes(&case.to_bytes().unwrap()).unwrap();
    let checked = read.check(&Trust::default()).unwrap();
    assert_eq!((checked.redacted, checked.revealed), (1, 1));
    assert!(case.report.contains("hunter2hunter2"));
    case.openings.push(forged);
    assert!(matches!(case.check(&Trust::default()), Err(Tampering::Opening { .. })));
}
