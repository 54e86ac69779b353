//! Whether a log holds, with what its entries mean: what is missing must be what the log itself says that it dropped.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_ledger::note::Verifier;
use muster_ledger::{Reader, VerifyError};

use crate::case::{Signed, Tampering, Trust, keys_beside, signed};
use crate::entry::{self, Decoded, Entry, Kept, Log, Pruned};
use crate::store::WITNESSED;
use crate::{StoreError, leaf};

/// What holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChecked {
    pub origin: String,
    pub size: u64,
    /// In base64.
    pub root: String,
    /// Of all entries that are there.
    pub bytes: u64,
    /// Leaves whose bytes were dropped, as the log says.
    pub pruned: u64,
    /// Leaves that outlived that.
    pub kept: u64,
    /// Leaves that no checkpoint speaks of yet.
    pub behind: u64,
    /// Leaves of a kind that this version does not know.
    pub unknown: u64,
    pub key: String,
    pub trusted: bool,
    /// Witness and time (Unix, seconds) of the newest head that was cosigned, and whether the checker named its key.
    pub cosigned: Vec<(String, u64, bool)>,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{0}")]
    NotThere(String),
    #[error("{what}")]
    Tampered { what: String, leaf: Option<u64> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Tampering> for LogError {
    fn from(wrong: Tampering) -> Self {
        LogError::Tampered { leaf: wrong.leaf(), what: wrong.to_string() }
    }
}

impl From<VerifyError> for LogError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Tampering(wrong) => LogError::Tampered { leaf: wrong.leaf, what: wrong.to_string() },
            VerifyError::Unread(error) => LogError::Store(error.into()),
        }
    }
}

/// What each of two keys signs when one follows the other.
pub fn rotation_message(old: &str, new: &str) -> Vec<u8> {
    format!("muster log key rotation v1\n{old}\n{new}\n").into_bytes()
}

/// Whether a signature that a rotation names is by that key. None at all is no forgery: the log says that nobody signed.
fn signed_by(key: &str, message: &[u8], signature: &str) -> bool {
    let bytes = STANDARD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
    signature.is_empty()
        || key.parse::<Verifier>().is_ok_and(|key| bytes.is_some_and(|bytes| key.verify(message, &bytes)))
}

/// Checks the log in this folder. `progress` is told how many leaves are done, and of how many.
pub fn verify(
    dir: &Path,
    trust: &Trust,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<LogChecked, LogError> {
    let reader = Reader::open(dir).map_err(|error| {
        LogError::NotThere(format!(
            "`{}` is no log: {error}\nhint: name its folder, or a bundle",
            dir.display()
        ))
    })?;
    let note = reader.checkpoint().map_err(StoreError::from)?.ok_or_else(|| {
        LogError::NotThere(format!(
            "`{}` has no checkpoint: nothing in it was ever signed\nhint: a daemon signs what it writes within a second",
            dir.display()
        ))
    })?;
    let (own, witnesses) = keys_beside(&reader, dir.parent().unwrap_or(dir), &note);
    let newest = signed(&note, &own, &witnesses, &Trust { quorum: 0, ..trust.clone() })?;
    let cosigned = witnessed(dir, &newest, &reader, &own, &witnesses, trust)?;
    let head = newest.checkpoint.head;

    let dropped: Mutex<Option<(u64, Pruned)>> = Mutex::default();
    let unknown = AtomicU64::new(0);
    let forged = AtomicU64::new(u64::MAX);
    let visit = |index: u64, bytes: &[u8]| {
        // Only whole ones: what was dropped is said in a few thousand bytes at most, or in parts (below).
        if !bytes.starts_with(b"{\"v\":1,\"kept\":{\"dropped\"") && entry::event_head(bytes).is_some() {
            return;
        }
        match entry::decode(bytes) {
            Ok(Decoded::Known(Entry::Kept(kept))) => {
                if let Kept::Dropped(pruned) = *kept {
                    let mut newest = dropped.lock().unwrap_or_else(PoisonError::into_inner);
                    if newest.as_ref().is_none_or(|(at, _)| *at < index) {
                        *newest = Some((index, pruned));
                    }
                }
            }
            Ok(Decoded::Known(Entry::Log(log))) => {
                if let Log::Rotated { old, new, by_old, by_new, .. } = *log {
                    let message = rotation_message(&old, &new);
                    if !signed_by(&old, &message, &by_old) || !signed_by(&new, &message, &by_new) {
                        forged.fetch_min(index, Ordering::Relaxed);
                    }
                }
            }
            Ok(Decoded::Unknown { .. }) => {
                unknown.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Decoded::Known(_)) | Err(_) => {}
        }
    };
    // What may be missing is known when everything was seen: the leaf that says so is among the last.
    let report = muster_ledger::verify(dir, head, &|_| true, &visit, &|done| progress(done, head.size))?;
    let forged = forged.into_inner();
    if forged != u64::MAX {
        let what =
            format!("leaf {forged} says that one key follows another, and their signatures do not fit");
        return Err(LogError::Tampered { what, leaf: Some(forged) });
    }
    let mut newest_drop = dropped.into_inner().unwrap_or_else(PoisonError::into_inner);
    long_drops(&reader, head.size, &mut newest_drop)?;
    if let Some(first) = first_unsaid(&report.missing, newest_drop.as_ref().map(|(_, pruned)| pruned)) {
        return Err(LogError::Tampered {
            what: format!("leaf {first} is missing, and the log does not say that it was dropped"),
            leaf: Some(first),
        });
    }
    Ok(LogChecked {
        origin: newest.checkpoint.origin.clone(),
        size: head.size,
        root: head.lines().lines().nth(1).unwrap_or_default().to_owned(),
        bytes: report.bytes,
        pruned: report.pruned,
        kept: report.kept,
        behind: report.uncovered,
        unknown: unknown.into_inner(),
        key: newest.key,
        trusted: !trust.log.is_empty(),
        cosigned,
    })
}

/// The cosignatures of the newest head that witnesses have seen, once it is found to be one of this log.
fn witnessed(
    dir: &Path,
    newest: &Signed,
    reader: &Reader,
    own: &[String],
    witnesses: &[String],
    trust: &Trust,
) -> Result<Vec<(String, u64, bool)>, LogError> {
    let note = match std::fs::read(dir.join(WITNESSED)) {
        Ok(note) => note,
        Err(_) if trust.quorum == 0 => return Ok(newest.cosigned.clone()),
        Err(_) => return Err(Tampering::Quorum { wanted: trust.quorum, found: 0 }.into()),
    };
    let seen = signed(&note, own, witnesses, trust)?;
    let (old, new) = (seen.checkpoint.head, newest.checkpoint.head);
    let continues = seen.checkpoint.origin == newest.checkpoint.origin && old.size <= new.size && {
        let root = muster_ledger::tree::root(&mut reader.tiles(new.size), old.size);
        root.is_ok_and(|root| root == old.root)
    };
    if !continues {
        return Err(LogError::Tampered {
            what: format!(
                "the log does not continue the head of {} leaves that witnesses have cosigned",
                old.size
            ),
            leaf: None,
        });
    }
    Ok(seen.cosigned)
}

/// Looks for an entry in parts that says what was dropped, behind the newest that was found whole.
fn long_drops(reader: &Reader, size: u64, newest: &mut Option<(u64, Pruned)>) -> Result<(), LogError> {
    let from = newest.as_ref().map_or(0, |(at, _)| at + 1);
    let mut parts = false;
    let mut leaves = reader.iter_from(from);
    // Most logs have none: without parts there is nothing to put together.
    while let Some(next) = leaves.next_entry() {
        if next.is_ok_and(|(_, bytes)| bytes.first() == Some(&1)) {
            parts = true;
            break;
        }
    }
    if !parts {
        return Ok(());
    }
    leaf::visit(reader, from, size, &mut |entry| {
        if let Ok((at, bytes)) = entry
            && bytes.starts_with(b"{\"v\":1,\"kept\":{\"dropped\"")
            && let Ok(Decoded::Known(Entry::Kept(kept))) = entry::decode(bytes)
            && let Kept::Dropped(pruned) = *kept
        {
            *newest = Some((at, pruned));
        }
        Ok(true)
    })?;
    Ok(())
}

/// The first missing leaf that the log does not say to be dropped.
fn first_unsaid(missing: &[(u64, u64)], said: Option<&Pruned>) -> Option<u64> {
    let (end, keep) = said.map_or((0, &[][..]), |said| (said.dropped.through.saturating_add(1), &said.keep));
    for (first, behind) in missing {
        if *behind > end {
            return Some((*first).max(end));
        }
        // Runs are in order, and do not overlap.
        let at = keep.partition_point(|(_, last)| last < first);
        if let Some((kept, _)) = keep.get(at).filter(|(kept, _)| kept < behind) {
            return Some((*kept).max(*first));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dropped;

    #[test]
    fn a_rotation_is_signed_by_both_or_by_none() {
        use muster_ledger::note::{Key, KeyKind, Signer};
        let key = |seed| Key::new("example.com/log", KeyKind::Log, &[seed; 32]).unwrap();
        let (old, new) = (key(1), key(2));
        let names = (old.verifier().to_string(), new.verifier().to_string());
        let message = rotation_message(&names.0, &names.1);
        let signature = STANDARD.encode(old.sign(&message).unwrap());
        assert!(signed_by(&names.0, &message, &signature) && signed_by(&names.0, &message, ""));
        assert!(!signed_by(&names.1, &message, &signature) && !signed_by(&names.0, b"other", &signature));
        assert!(!signed_by(&names.0, &message, "AAAA") && !signed_by("no key", &message, &signature));
    }

    #[test]
    fn what_is_missing_must_be_said() {
        let dropped = Dropped { from_ns: 0, to_ns: 0, events: 0, bytes: 0, through: 99 };
        let said = Pruned { dropped, keep: vec![(5, 7), (20, 20)], last_seq: 0, boot_seq: 0 };
        let check = |missing: &[(u64, u64)]| first_unsaid(missing, Some(&said));
        assert_eq!(check(&[(0, 5), (8, 20), (21, 100)]), None);
        assert_eq!(check(&[(0, 6)]), Some(5));
        assert_eq!(check(&[(6, 9)]), Some(6));
        assert_eq!(check(&[(8, 21)]), Some(20));
        assert_eq!(check(&[(21, 101)]), Some(100));
        assert_eq!(check(&[(200, 201)]), Some(200));
        assert_eq!(first_unsaid(&[(3, 4)], None), Some(3));
        assert_eq!(first_unsaid(&[], None), None);
    }
}
