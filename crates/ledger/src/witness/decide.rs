//! The rules of a witness.

use std::fmt;

use super::{Request, Seen};
use crate::note::{Note, NoteError, Verifier};
use crate::tree::{ProofError, empty_root, verify_consistency};
use crate::{Checkpoint, Hash, Head};

/// A log that is witnessed, and the keys that may speak for it: more than one while a key is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub origin: String,
    pub keys: Vec<Verifier>,
}

/// What may be cosigned, once it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub head: Head,
    /// The checkpoint with the signatures of the log alone.
    pub note: Note,
}

/// Why a checkpoint is not cosigned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Malformed(NoteError),
    #[error("the old size {old} is larger than that of the checkpoint, {size}")]
    Beyond { old: u64, size: u64 },
    #[error("{0}")]
    Unsigned(NoteError),
    #[error("this log is not witnessed here")]
    Unknown,
    #[error("the size of the newest checkpoint that was cosigned is {known}")]
    Moved { known: u64 },
    #[error("a checkpoint of this size with another root is cosigned already")]
    Forked { known: u64 },
    #[error("{0}")]
    Proof(ProofError),
}

impl Refusal {
    /// The status of HTTP that says so.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Malformed(_) | Refusal::Beyond { .. } => 400,
            Refusal::Unsigned(_) => 403,
            Refusal::Unknown => 404,
            Refusal::Moved { .. } | Refusal::Forked { .. } => 409,
            Refusal::Proof(_) => 422,
        }
    }

    /// The size that is known here, where the answer names it.
    pub fn known(&self) -> Option<u64> {
        match self {
            Refusal::Moved { known } | Refusal::Forked { known } => Some(*known),
            Refusal::Malformed(_)
            | Refusal::Beyond { .. }
            | Refusal::Unsigned(_)
            | Refusal::Unknown
            | Refusal::Proof(_) => None,
        }
    }
}

/// What a checkpoint that the log itself signed shows of the log, where it does not follow from what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Two roots for one size: proof by itself.
    Forked { size: u64 },
    /// It is smaller than what it was. `again`: just this one was seen before, so that it may be one that somebody kept
    /// and sends once more; a log that was set back sends one that was never seen, or sends it time and again.
    RolledBack { from: u64, to: u64, again: bool },
    /// It is larger, and does not begin with what it was. Who only passes on a checkpoint can make it look so, by a
    /// wrong proof.
    Rewritten { from: u64, to: u64 },
}

impl Sign {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Sign::Forked { .. } => "fork",
            Sign::RolledBack { .. } => "rollback",
            Sign::Rewritten { .. } => "rewrite",
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sign::Forked { size } => {
                write!(
                    f,
                    "it signed two different histories of {size} entries: its past was changed, or two run under its key"
                )
            }
            Sign::RolledBack { from, to, again: false } => write!(
                f,
                "it had {from} entries and now signs {to}: it was set back or cut short, and what it recorded since is gone from it"
            ),
            Sign::RolledBack { from, to, again: true } => write!(
                f,
                "it had {from} entries and its checkpoint of {to} comes again and again: it was set back, or somebody sends an old one"
            ),
            Sign::Rewritten { from, to } => write!(
                f,
                "its {to} entries do not begin with the {from} that it had: its past was changed, or the proof that came with it is wrong"
            ),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub answer: Result<Accepted, Refusal>,
    /// Only of what the log has signed.
    pub sign: Option<Sign>,
}

impl Verdict {
    fn refused(refusal: Refusal) -> Verdict {
        Verdict { answer: Err(refusal), sign: None }
    }
}

/// What to answer, given what is remembered of the log. Between this and remembering what it accepts, no other request
/// about that log may be decided.
pub fn decide(log: &Log, seen: Option<&Seen>, request: &Request) -> Verdict {
    if request.origin() != log.origin {
        return Verdict::refused(Refusal::Unknown);
    }
    if let Err(error) = request.note.verify(&log.keys) {
        return Verdict::refused(Refusal::Unsigned(error));
    }
    let head = match Checkpoint::parse(&request.note.text) {
        Ok(checkpoint) => checkpoint.head,
        Err(error) => return Verdict::refused(Refusal::Malformed(error)),
    };
    let mut sign = seen.and_then(|seen| contradiction(seen, head));
    let known = seen.map_or(Head { size: 0, root: empty_root() }, |seen| seen.head);
    let checked = follows(known, head, request.old, &request.proof);
    // A proof of the wrong length is no proof of anything: who has another past makes one of the right length.
    let contradicts = matches!(checked, Err(Refusal::Proof(ProofError::Root)));
    if contradicts && 0 < known.size && known.size < head.size {
        sign = sign.or(Some(Sign::Rewritten { from: known.size, to: head.size }));
    }
    let answer = checked.map(|()| {
        let mut note = request.note.clone();
        note.signatures.retain(|line| log.keys.iter().any(|key| line.is_by(key)));
        Accepted { head, note }
    });
    Verdict { answer, sign }
}

fn contradiction(seen: &Seen, head: Head) -> Option<Sign> {
    let of_its_size = seen.heads().find(|known| known.size == head.size);
    match of_its_size {
        Some(known) if known.root != head.root => Some(Sign::Forked { size: head.size }),
        known if head.size < seen.head.size => {
            Some(Sign::RolledBack { from: seen.head.size, to: head.size, again: known.is_some() })
        }
        _ => None,
    }
}

/// Whether a head continues what is known, from `old` on as who asks believes.
pub(crate) fn follows(known: Head, head: Head, old: u64, proof: &[Hash]) -> Result<(), Refusal> {
    if old > head.size {
        return Err(Refusal::Beyond { old, size: head.size });
    }
    if old != known.size {
        return Err(Refusal::Moved { known: known.size });
    }
    if known.size == head.size && known.root != head.root && known.size > 0 {
        return Err(Refusal::Forked { known: known.size });
    }
    verify_consistency(known.size, &known.root, head.size, &head.root, proof).map_err(Refusal::Proof)
}
