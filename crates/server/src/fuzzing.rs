//! What must hold of entries and of what is asked of the API, whatever the bytes: driven by proptest here, by libFuzzer
//! in `fuzz/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property fails by panicking")]

use crate::case::{Case, Trust};
use muster_engine::{Code, Severity};

use crate::entry::{self, Decoded, Entry, EntryRef};
use crate::head::event_head;
use crate::http::api;
use crate::leaf::{self, Joined, Joiner};
use crate::{StoreError, views};

/// An entry of the ledger. What is read, written again and read again, is the same; the head of an event agrees with it.
pub fn ledger_entry(bytes: &[u8]) {
    let whole = entry::decode(bytes);
    if let Ok(Decoded::Known(event)) = entry::decode_event(bytes) {
        let head = event_head(bytes).unwrap();
        assert_eq!((head.seq, head.time_ns, head.process), (event.seq, event.time_ns, event.process));
        assert_eq!(head.kind, event.kind.name(), "a kind is stored under its name");
    }
    match whole {
        Ok(Decoded::Known(read)) => {
            let again = match &read {
                Entry::Input(input) => EntryRef::Input(input),
                Entry::Output(output) => EntryRef::Output(output),
                Entry::Kept(kept) => EntryRef::Kept(kept),
                Entry::Log(log) => EntryRef::Log(log),
            };
            let mut written = Vec::new();
            entry::encode(&again, &mut written).unwrap();
            assert_eq!(entry::decode(&written), Ok(Decoded::Known(read)));
            assert_eq!(joined(&written), [written]);
        }
        Ok(Decoded::Unknown { what }) => assert!(!what.is_empty() && what.len() < 1000),
        Err(reason) => assert!(!reason.is_empty()),
    }
}

fn leaves(entry: &[u8]) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    leaf::split(entry, |leaf| {
        assert!(leaf.len() <= leaf::LEAF_MAX);
        leaves.push(leaf.to_vec());
        Ok(leaves.len() as u64 - 1)
    })
    .unwrap();
    leaves
}

/// What a reader of these leaves is given.
fn joined(entry: &[u8]) -> Vec<Vec<u8>> {
    let mut joiner = Joiner::default();
    let leaves = leaves(entry);
    let each = (0..).zip(&leaves).filter_map(|(at, leaf)| match joiner.push(at, leaf) {
        Joined::Entry(entry) => Some(entry.to_vec()),
        Joined::Part | Joined::Missing | Joined::Malformed => None,
    });
    each.collect()
}

/// Leaves in any order, with any number of bytes between them: the first byte of each two says how long one is, and where
/// it stands. What is put together is what `read_at` gives; and no part is in two entries.
pub fn ledger_leaves(bytes: &[u8]) {
    let mut log: Vec<Option<&[u8]>> = Vec::new();
    let mut rest = bytes;
    while let Some((&[len, hole], after)) = rest.split_first_chunk() {
        let (leaf, after) = after.split_at_checked(usize::from(len)).unwrap_or((after, &[]));
        log.extend((hole > 250).then_some(None));
        log.push(Some(leaf));
        rest = after;
    }
    let mut joiner = Joiner::default();
    let (mut parts, mut given) = (0, 0);
    for (at, leaf) in (0u64..).zip(&log).filter_map(|(at, leaf)| Some((at, (*leaf)?))) {
        let read = leaf::read_at(at, |at| {
            let leaf = log.get(usize::try_from(at).unwrap()).copied().flatten();
            leaf.map(<[u8]>::to_vec).ok_or(StoreError::Leaf { index: at, reason: "missing" })
        });
        match joiner.push(at, leaf) {
            Joined::Entry(entry) => {
                assert_eq!(read.unwrap(), entry);
                given += entry.len();
            }
            Joined::Part => parts += 1,
            Joined::Missing | Joined::Malformed => assert!(read.is_err()),
        }
        assert!(joiner.orphans() <= parts);
    }
    assert!(given <= bytes.len());
}

/// A moment in time: what is understood comes back as it was meant.
pub fn time(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(ns) = views::parse_time(&text) {
        assert_eq!(views::parse_time(&views::time(ns)), Some(ns), "{text}");
    }
    if let Some(ns) = bytes.first_chunk() {
        let ns = u64::from_le_bytes(*ns);
        assert_eq!(views::parse_time(&views::time(ns)), Some(ns));
    }
}

/// What stands behind `?`: it is taken or refused, with a reason, and never asks for more than the limit.
pub fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for result in [api::fuzzed_events(&text), api::fuzzed_findings(&text), api::fuzzed_account(&text)] {
        match result {
            Ok(limit) => assert!(limit <= api::LIMIT_MAX),
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
    // The words of the API and those of the command line are the same.
    let word = serde_json::Value::String(text.clone().into_owned());
    let severity = serde_json::from_value::<Severity>(word.clone()).ok();
    assert_eq!(severity, text.parse::<Severity>().ok());
    assert_eq!(serde_json::from_value::<Code>(word).ok(), text.parse::<Code>().ok());
}

/// An evidence bundle. Refused with a reason, or read and written again as the same bytes; its check comes to an end.
pub fn case_bundle(bytes: &[u8]) {
    match Case::from_bytes(bytes) {
        Ok(case) => {
            assert_eq!(case.to_bytes().unwrap(), bytes, "a bundle has one form");
            drop(case.check(&Trust::default()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use muster_engine::Input;
    use muster_event::{Event, Kind, ProcessKey};
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::case::{About, Keys, Leaf};

    proptest! {
        #[test]
        fn any_bundle(
            texts in prop::collection::vec(".{0,40}", 0..5),
            asked in ".{0,20}",
            checkpoint: Vec<u8>,
            proof: Vec<[u8; 32]>,
            at: prop::sample::Index,
            byte: u8,
            noise: Vec<u8>,
        ) {
            let leaves = (0..).zip(texts).map(|(index, text)| Leaf { index, bytes: text.into_bytes(), proof: proof.clone() });
            let about = About {
                muster_case: 1, asked, made_ns: 7, version: "x".to_owned(), missing: 0, why: BTreeMap::new(),
            };
            let case = Case {
                about, checkpoint, keys: Keys::default(), leaves: leaves.collect(), openings: Vec::new(), report: String::new(),
            };
            let mut bytes = case.to_bytes().unwrap();
            prop_assert_eq!(Case::from_bytes(&bytes).unwrap(), case);
            case_bundle(&bytes);
            let at = at.index(bytes.len());
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            case_bundle(&bytes);
            case_bundle(&noise);
        }

        #[test]
        fn any_entry(seq: u64, comm: String, code: Option<i32>, at: prop::sample::Index, byte: u8, noise: Vec<u8>) {
            let process = ProcessKey { pid: 7, start_ns: seq };
            let kind = Kind::Exit { code, signal: None };
            let event = Event { seq, time_ns: seq, boot_ns: 1, process, thread: 7, uid: 0, comm, cgroup: 0, kind };
            let mut bytes = Vec::new();
            entry::encode(&EntryRef::Input(&Input::Event(event.clone())), &mut bytes).unwrap();
            prop_assert_eq!(entry::decode_event(&bytes), Ok(Decoded::Known(event)));
            ledger_entry(&bytes);
            let at = at.index(bytes.len());
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            ledger_entry(&bytes);
            ledger_entry(&noise);
        }

        #[test]
        fn any_leaves(
            leaves in proptest::collection::vec((
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..9),
                    "\\{[a-z]{0,4}".prop_map(String::into_bytes),
                    "[a-z]{0,4}".prop_map(|text| [b"\x01", text.as_bytes()].concat()),
                    (0u32..4, "[a-z]{0,4}")
                        .prop_map(|(parts, text)| [b"\x02", &parts.to_be_bytes()[..], text.as_bytes()].concat()),
                ],
                any::<u8>(),
            ), 0..40),
        ) {
            let log: Vec<u8> = leaves
                .into_iter()
                .flat_map(|(leaf, hole)| [vec![leaf.len() as u8, hole], leaf].concat())
                .collect();
            ledger_leaves(&log);
        }

        #[test]
        fn any_time(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{2,12}(Z|[+-][0-9:]{2,5})?", bytes: Vec<u8>) {
            time(text.as_bytes());
            time(&bytes);
        }

        #[test]
        fn any_query(
            text in "((agent|since_seq|until_seq|since|until|kinds|pid|limit|last|severity|code)=(exec|high|true|[0-9]{0,22}|2026-01-02T03:04:05Z|%[0-9a-f]{2}|\\PC{0,4})&?){0,4}",
            bytes: Vec<u8>,
        ) {
            query(text.as_bytes());
            query(&bytes);
        }
    }
}
