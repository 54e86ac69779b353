//! Whether a bundle holds: signatures, cosignatures, inclusion of each leaf, openings, and the report.

use std::collections::{BTreeMap, BTreeSet};

use muster_ledger::checkpoint::Checkpoint;
use muster_ledger::{cosignature, note, tree};

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

impl Case {
    /// Checks the bundle as an outsider does. The first thing that does not fit is named.
    pub fn check(&self, trust: &Trust) -> Result<Checked, Tampering> {
        let wrong = |error: String| Tampering::Checkpoint(error);
        let keys = if trust.log.is_empty() { &self.keys.log } else { &trust.log };
        let (checkpoint, key) = opened(&self.checkpoint, keys).map_err(wrong)?;
        let cosigned = self.cosignatures(trust)?;
        for leaf in &self.leaves {
            tree::verify_inclusion(
                &tree::leaf_hash(&leaf.bytes),
                leaf.index,
                checkpoint.size,
                &checkpoint.root,
                &leaf.proof,
            )
            .map_err(|error| Tampering::Leaf { index: leaf.index, reason: error.to_string() })?;
        }
        let commitments: BTreeSet<String> =
            self.redactions().into_iter().map(|redaction| redaction.commitment).collect();
        for opened in &self.openings {
            if !commitments.contains(&opened.commitment) || !opened.holds() {
                return Err(Tampering::Opening { commitment: opened.commitment.clone() });
            }
        }
        let revealed: BTreeSet<&String> = self.openings.iter().map(|opened| &opened.commitment).collect();
        let report_unchecked = self.about.version != env!("CARGO_PKG_VERSION");
        if !report_unchecked && report::html(self) != self.report {
            return Err(Tampering::Report);
        }
        Ok(Checked {
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
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
