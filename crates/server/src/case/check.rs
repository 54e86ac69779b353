//! Whether a bundle holds: signatures, cosignatures, inclusion of each leaf, openings, and the report.

use std::collections::BTreeSet;

use muster_event::redact;
use muster_ledger::note::{Note, Verifier};
use muster_ledger::{Checkpoint, cosignature, tree};

use super::{Case, report};

/// Whom the checker believes. Nobody: the bundle is held against itself alone.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Verifier keys of the log; one of them must have signed.
    pub log: Vec<String>,
    /// Verifier keys of witnesses.
    pub witnesses: Vec<String>,
    /// How many of these must have cosigned.
    pub quorum: usize,
}

/// What holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub origin: String,
    pub size: u64,
    pub leaves: usize,
    /// Key by which the checkpoint is signed, and whether the checker named it.
    pub key: String,
    pub trusted: bool,
    /// Witness and time (Unix, seconds), and whether the checker named its key.
    pub cosigned: Vec<(String, u64, bool)>,
    /// Different values that were cut out, and how many of these were revealed.
    pub redacted: usize,
    pub revealed: usize,
    /// The report was written by another version, so it could not be compared.
    pub report_unchecked: bool,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tampering {
    #[error("the checkpoint: {0}")]
    Checkpoint(String),
    #[error("leaf {index}: {reason}")]
    Leaf { index: u64, reason: String },
    #[error("of {wanted} witnesses that must have cosigned the checkpoint, {found} did")]
    Quorum { wanted: usize, found: usize },
    #[error("the opening of {commitment} does not give that commitment, or no leaf holds it")]
    Opening { commitment: String },
    #[error("`report.html` is not what the leaves say")]
    Report,
}

impl Tampering {
    /// The leaf that does not fit, where it is one.
    pub fn leaf(&self) -> Option<u64> {
        match self {
            Tampering::Leaf { index, .. } => Some(*index),
            _ => None,
        }
    }
}

/// A checkpoint whose signatures were checked.
pub(crate) struct Signed {
    pub checkpoint: Checkpoint,
    /// The key that signed it, as text.
    pub key: String,
    /// Witness and time (Unix, seconds), and whether the checker named its key.
    pub cosigned: Vec<(String, u64, bool)>,
}

/// Checks a signed head: by the keys that are trusted, or where none are, by those that it brings along.
pub(crate) fn signed(
    note: &[u8],
    own_keys: &[String],
    own_witnesses: &[String],
    trust: &Trust,
) -> Result<Signed, Tampering> {
    let wrong = |error: String| Tampering::Checkpoint(error);
    let parse = |keys: &[String]| -> Result<Vec<Verifier>, Tampering> {
        keys.iter().map(|key| key.parse().map_err(|error| wrong(format!("`{key}`: {error}")))).collect()
    };
    let keys = parse(if trust.log.is_empty() { own_keys } else { &trust.log })?;
    let note = Note::parse(note).map_err(|error| wrong(error.to_string()))?;
    let (checkpoint, key) = Checkpoint::open(&note, &keys).map_err(|error| wrong(error.to_string()))?;
    let key = key.to_string();
    let named = parse(&trust.witnesses)?;
    let found = cosignature::cosigned(&note, &named);
    if found.len() < trust.quorum {
        return Err(Tampering::Quorum { wanted: trust.quorum, found: found.len() });
    }
    let mut cosigned: Vec<(String, u64, bool)> =
        found.into_iter().map(|(witness, time)| (witness.name().to_owned(), time, true)).collect();
    let others: Vec<Verifier> =
        parse(own_witnesses)?.into_iter().filter(|witness| !named.contains(witness)).collect();
    for (witness, time) in cosignature::cosigned(&note, &others) {
        cosigned.push((witness.name().to_owned(), time, false));
    }
    Ok(Signed { checkpoint, key, cosigned })
}

impl Case {
    /// Origin, size and root as the checkpoint names them, unchecked.
    pub(super) fn head(&self) -> Option<(String, u64, String)> {
        let note = Note::parse(&self.checkpoint).ok()?;
        let checkpoint = Checkpoint::parse(&note.text).ok()?;
        let root = checkpoint.head.lines().lines().nth(1)?.to_owned();
        Some((checkpoint.origin, checkpoint.head.size, root))
    }

    /// Each key that the bundle brings along must have signed: a list that says more would be taken for more.
    fn check_keys(&self) -> Result<(), Tampering> {
        let wrong = |key: &str| Tampering::Checkpoint(format!("`{key}` in keys.json did not sign it"));
        let note = Note::parse(&self.checkpoint).map_err(|error| Tampering::Checkpoint(error.to_string()))?;
        for text in &self.keys.log {
            let key: Verifier = text.parse().map_err(|_| wrong(text))?;
            note.verify([&key]).map_err(|_| wrong(text))?;
        }
        for text in &self.keys.witnesses {
            let key: Verifier = text.parse().map_err(|_| wrong(text))?;
            if cosignature::cosigned(&note, [&key]).is_empty() {
                return Err(wrong(text));
            }
        }
        Ok(())
    }

    /// Checks the bundle as an outsider does. The first thing that does not fit is named.
    pub fn check(&self, trust: &Trust) -> Result<Checked, Tampering> {
        let Signed { checkpoint, key, cosigned } =
            signed(&self.checkpoint, &self.keys.log, &self.keys.witnesses, trust)?;
        let head = checkpoint.head;
        self.check_keys()?;
        for leaf in &self.leaves {
            tree::verify_inclusion(
                &tree::leaf_hash(&leaf.bytes),
                leaf.index,
                head.size,
                &head.root,
                &leaf.proof,
            )
            .map_err(|error| Tampering::Leaf { index: leaf.index, reason: error.to_string() })?;
        }
        let commitments: BTreeSet<String> =
            self.redactions().into_iter().map(|redaction| redaction.commitment).collect();
        let mut revealed = BTreeSet::new();
        for opening in &self.openings {
            let commitment = opening.commitment();
            if !commitments.contains(&commitment) || !redact::check(&commitment, opening) {
                return Err(Tampering::Opening { commitment });
            }
            revealed.insert(commitment);
        }
        let report_unchecked = self.about.version != env!("CARGO_PKG_VERSION");
        if !report_unchecked && report::html(self) != self.report {
            return Err(Tampering::Report);
        }
        Ok(Checked {
            origin: checkpoint.origin,
            size: head.size,
            leaves: self.leaves.len(),
            key,
            trusted: !trust.log.is_empty(),
            cosigned,
            redacted: commitments.len(),
            revealed: revealed.len(),
            report_unchecked,
        })
    }
}
