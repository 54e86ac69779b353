//! What people said of findings, the list of those that wait for it, and a finding's place in the log.

use std::collections::BTreeMap;

use muster_engine::{Finding, Judgement, Review, Severity};
use muster_ledger::{Hash, Head, tree};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::reader::StoreReader;
use crate::views::{Field, hex, time};

/// Which findings a person wants to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    pub agent: Option<String>,
    pub severity_min: Option<Severity>,
    /// `None`: whatever was said of it. Else only those of which nothing that closes them was said.
    pub open_only: bool,
    pub offset: usize,
    pub limit: usize,
}

/// A finding and what was said of it last.
#[derive(Clone, Debug, PartialEq)]
pub struct Reviewed {
    pub finding: Finding,
    pub review: Option<Review>,
}

/// That a leaf is in the tree which the newest checkpoint names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub leaf: u64,
    pub hash: Hash,
    pub size: u64,
    pub root: Hash,
    pub path: Vec<Hash>,
    /// The signed note itself.
    pub checkpoint: Vec<u8>,
}

/// `GET /api/v1/findings/{finding}/proof`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    pub leaf: u64,
    pub hash: String,
    pub size: u64,
    pub root: String,
    pub path: Vec<String>,
    pub checkpoint: String,
}

pub const PROOF_FIELDS: &[Field] = &[
    ("leaf", "integer", "number of the leaf"),
    ("hash", "string", "SHA-256 of 0x00 and the leaf's bytes, in hex (RFC 6962)"),
    ("size", "integer", "leaves of the tree that the checkpoint names"),
    ("root", "string", "its root, in hex"),
    ("path", "array of string", "hashes that lead from the leaf to the root, in hex, the lowest first"),
    ("checkpoint", "string", "the signed note that says size and root"),
];

impl From<&Proof> for ProofView {
    fn from(proof: &Proof) -> Self {
        ProofView {
            leaf: proof.leaf,
            hash: hex(&proof.hash),
            size: proof.size,
            root: hex(&proof.root),
            path: proof.path.iter().map(|hash| hex(hash)).collect(),
            checkpoint: String::from_utf8_lossy(&proof.checkpoint).into_owned(),
        }
    }
}

/// What a person said of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewView {
    pub finding: String,
    pub agent: String,
    pub time: String,
    pub judgement: String,
    pub note: String,
    pub by: String,
}

pub const REVIEW_FIELDS: &[Field] = &[
    ("finding", "string", "id of the finding"),
    ("agent", "string", "whom it is about"),
    ("time", "time", "when it was said"),
    ("judgement", "string", "`acknowledged`, `confirmed`, `false_alarm`, `escalated` or `reopened`"),
    ("note", "string", "in the reviewer's words; may be empty"),
    ("by", "string", "who said so"),
];

impl From<&Review> for ReviewView {
    fn from(review: &Review) -> Self {
        ReviewView {
            finding: review.finding.clone(),
            agent: review.agent.clone(),
            time: time(review.time_ns),
            judgement: review.judgement.name().to_owned(),
            note: review.note.clone(),
            by: review.by.clone(),
        }
    }
}

const OPEN: &str = "(reviews.judgement IS NULL OR reviews.judgement IN ('escalated', 'reopened'))";

impl StoreReader {
    /// The worst first where they wait, else the latest.
    pub fn inbox(&self, asked: &Inbox) -> Result<Vec<Reviewed>> {
        let (only, order) = match asked.open_only {
            true => (OPEN, "findings.severity DESC, findings.time_ns DESC, id"),
            false => ("TRUE", "findings.time_ns DESC, id"),
        };
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT findings.json, reviews.json FROM findings LEFT JOIN reviews ON reviews.finding = findings.id
             WHERE (?1 IS NULL OR agent = ?1) AND severity >= ?2 AND {only} ORDER BY {order} LIMIT ?3 OFFSET ?4"
        ))?;
        let mut rows = statement.query(params![
            asked.agent,
            asked.severity_min.map_or(0, |severity| severity as u8),
            i64::try_from(asked.limit).unwrap_or(i64::MAX),
            i64::try_from(asked.offset).unwrap_or(i64::MAX),
        ])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (finding, review): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            found.push(Reviewed {
                finding: serde_json::from_str(&finding)?,
                review: review.map(|json| serde_json::from_str(&json)).transpose()?,
            });
        }
        Ok(found)
    }

    /// How many findings wait for a person, by severity: the gravest first in name only.
    pub fn waiting(&self, agent: Option<&str>, severity_min: Option<Severity>) -> Result<u64> {
        let count: i64 = self
            .conn
            .prepare_cached(&format!(
                "SELECT COUNT(*) FROM findings LEFT JOIN reviews ON reviews.finding = findings.id
                 WHERE (?1 IS NULL OR agent = ?1) AND severity >= ?2 AND {OPEN}"
            ))?
            .query_row(params![agent, severity_min.map_or(0, |severity| severity as u8)], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub fn review(&self, finding: &str) -> Result<Option<Review>> {
        let json: Option<String> = self
            .conn
            .prepare_cached("SELECT json FROM reviews WHERE finding = ?1")?
            .query_row([finding], |row| row.get(0))
            .optional()?;
        Ok(json.map(|json| serde_json::from_str(&json)).transpose()?)
    }

    /// How many findings above `info` were judged how.
    pub fn judgements(&self) -> Result<BTreeMap<String, u64>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT judgement, COUNT(*) FROM reviews JOIN findings ON findings.id = reviews.finding
             WHERE severity > 0 GROUP BY judgement",
        )?;
        let rows = statement.query_map([], |row| {
            let count: i64 = row.get(1)?;
            Ok((row.get(0)?, u64::try_from(count).unwrap_or(0)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// All reviews that stand, the latest first.
    pub fn reviews(&self, limit: usize) -> Result<Vec<Review>> {
        let mut statement =
            self.conn.prepare_cached("SELECT json FROM reviews ORDER BY time_ns DESC, finding LIMIT ?1")?;
        let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            found.push(serde_json::from_str(&json)?);
        }
        Ok(found)
    }

    /// Findings whose leaf comes after this one, in the order of the log.
    pub fn findings_after(&self, leaf: u64, limit: usize) -> Result<Vec<(u64, Finding)>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT leaf, json FROM findings WHERE leaf > ?1 ORDER BY leaf LIMIT ?2")?;
        let after = i64::try_from(leaf).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (leaf, json): (i64, String) = (row.get(0)?, row.get(1)?);
            found.push((u64::try_from(leaf).unwrap_or(0), serde_json::from_str(&json)?));
        }
        Ok(found)
    }

    /// The leaf of the last finding; 0: there is none.
    pub fn last_finding_leaf(&self) -> Result<u64> {
        let leaf: Option<i64> =
            self.conn.query_row("SELECT MAX(leaf) FROM findings", [], |row| row.get(0))?;
        Ok(leaf.and_then(|leaf| u64::try_from(leaf).ok()).unwrap_or(0))
    }

    /// SHA-256 of a leaf as the tree has it, in hex. `None`: its bytes are not there any more.
    pub fn leaf_hash(&self, leaf: u64) -> Result<Option<String>> {
        match self.log().read(leaf) {
            Ok(bytes) => Ok(Some(hex(&tree::leaf_hash(&bytes)))),
            Err(muster_ledger::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Name of the log, once it is signed.
    pub fn origin(&self) -> Result<Option<String>> {
        let note = self.log().checkpoint()?;
        Ok(note.and_then(|note| Some(std::str::from_utf8(&note).ok()?.lines().next()?.to_owned())))
    }

    /// Where a finding stands in the log, and that it does. `None`: there is no such finding, or no checkpoint over it yet.
    pub fn proof(&self, finding: &str) -> Result<Option<Proof>> {
        let leaf: Option<i64> = self
            .conn
            .prepare_cached("SELECT leaf FROM findings WHERE id = ?1")?
            .query_row([finding], |row| row.get(0))
            .optional()?;
        let Some(leaf) = leaf.and_then(|leaf| u64::try_from(leaf).ok()) else { return Ok(None) };
        let log = self.log();
        let Some(checkpoint) = log.checkpoint()? else { return Ok(None) };
        let Some(head) = std::str::from_utf8(&checkpoint).ok().and_then(Head::parse) else { return Ok(None) };
        if leaf >= head.size {
            return Ok(None);
        }
        let mut tiles = log.tiles(head.size);
        let hash = tree::Subtrees::subtree(&mut tiles, 0, leaf)?;
        let path = tree::inclusion(&mut tiles, leaf, head.size)?;
        Ok(Some(Proof { leaf, hash, size: head.size, root: head.root, path, checkpoint }))
    }
}

/// What a person asks to have kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRequest {
    pub finding: String,
    pub judgement: Judgement,
    #[serde(default)]
    pub note: String,
}
