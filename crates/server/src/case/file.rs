//! The bundle as bytes.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_event::redact::{Opening, find_marks};
use muster_ledger::Hash;
use serde::{Deserialize, Serialize};

use super::{About, Case, FORMAT, Keys, LEAVES_MAX, Leaf, Redaction};

/// Longest bundle that is read, in bytes.
const BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Longest of its small files.
const SMALL_MAX: u64 = 64 * 1024 * 1024;
/// Files in a bundle: eight, and room for those of a later version.
const FILES_MAX: usize = 64;
/// What reading and checking a bundle by hand takes.
const README: &str = include_str!("README.txt");

#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("it is no evidence bundle: {0}")]
    NoCase(String),
    #[error("`{file}` of the bundle: {reason}")]
    Malformed { file: String, reason: String },
    #[error(
        "the bundle has format {0}, which this version does not know\nhint: check it with a newer Muster"
    )]
    Version(u32),
}

fn malformed(file: &str, reason: impl ToString) -> CaseError {
    CaseError::Malformed { file: file.to_owned(), reason: reason.to_string() }
}

/// A line of `leaves.jsonl`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    index: u64,
    /// Its bytes, where they are text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf: Option<String>,
    /// Its bytes in base64, where they are not (a part of a long entry).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf_base64: Option<String>,
    proof: Vec<String>,
}

impl CaseError {
    /// The file could not be read at all: that says nothing of what it holds.
    pub fn is_io(&self) -> bool {
        matches!(self, CaseError::Read { .. } | CaseError::Version(_))
    }
}

impl Case {
    /// Reads a bundle from a file. Nothing in it is believed by that.
    pub fn read(path: &Path) -> Result<Case, CaseError> {
        let unread = |source| CaseError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(unread)?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
        Case::from_bytes(&bytes)
    }

    /// The bundle as a `tar` file: the same bytes for the same case.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CaseError> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut lines = String::new();
        for leaf in &self.leaves {
            let text = std::str::from_utf8(&leaf.bytes).ok().map(str::to_owned);
            let line = Line {
                index: leaf.index,
                leaf_base64: text.is_none().then(|| STANDARD.encode(&leaf.bytes)),
                leaf: text,
                proof: leaf.proof.iter().map(|hash| STANDARD.encode(hash)).collect(),
            };
            lines.push_str(&json("leaves.jsonl", &line, false)?);
            lines.push('\n');
        }
        let files = [
            ("README.txt", README.as_bytes().to_vec()),
            ("about.json", json("about.json", &self.about, true)?.into_bytes()),
            ("checkpoint", self.checkpoint.clone()),
            ("keys.json", json("keys.json", &self.keys, true)?.into_bytes()),
            ("leaves.jsonl", lines.into_bytes()),
            ("redactions.json", json("redactions.json", &self.redactions(), true)?.into_bytes()),
            ("openings.json", json("openings.json", &self.openings, true)?.into_bytes()),
            ("report.html", self.report.clone().into_bytes()),
        ];
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(self.about.made_ns / 1_000_000_000);
            header.set_entry_type(tar::EntryType::Regular);
            tar.append_data(&mut header, name, bytes.as_slice()).map_err(|error| malformed(name, error))?;
        }
        tar.into_inner().map_err(|error| malformed("bundle", error))
    }

    /// Reads a bundle. Nothing in it is believed by that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Case, CaseError> {
        let mut files = read_files(bytes)?;
        let mut take = |name: &str| files.remove(name).ok_or_else(|| malformed(name, "it is missing"));
        if take("README.txt")? != README.as_bytes() {
            return Err(malformed("README.txt", "it is not the one that Muster writes"));
        }
        let about = take("about.json")?;
        let version: Version = parse("about.json", &about)?;
        if version.muster_case != FORMAT {
            return Err(CaseError::Version(version.muster_case));
        }
        let about: About = parse("about.json", &about)?;
        let checkpoint = take("checkpoint")?;
        let keys: Keys = parse("keys.json", &take("keys.json")?)?;
        let leaves = leaves(&take("leaves.jsonl")?)?;
        let redactions: Vec<Redaction> = parse("redactions.json", &take("redactions.json")?)?;
        let openings: Vec<Opening> = parse("openings.json", &take("openings.json")?)?;
        let report =
            String::from_utf8(take("report.html")?).map_err(|_| malformed("report.html", "no UTF-8"))?;
        if let Some(name) = files.keys().next() {
            return Err(malformed(&name.escape_debug().to_string(), "the bundle should not hold it"));
        }
        let case = Case { about, checkpoint, keys, leaves, openings, report };
        if case.redactions() != redactions {
            return Err(malformed("redactions.json", "it does not list what the leaves hold"));
        }
        // One bundle, one form: nothing can be said between the lines.
        if case.to_bytes()? != bytes {
            return Err(CaseError::NoCase("it has bytes that Muster does not write".to_owned()));
        }
        Ok(case)
    }

    /// Reveals a value, where a commitment to it stands in the leaves. `false`: none does.
    pub fn reveal(&mut self, opening: Opening) -> bool {
        let commitment = opening.commitment();
        if !self.redactions().iter().any(|redaction| redaction.commitment == commitment) {
            return false;
        }
        if !self.openings.contains(&opening) {
            self.openings.push(opening);
        }
        self.report = super::report::html(self);
        true
    }

    /// The commitments that stand in the leaves.
    pub fn redactions(&self) -> Vec<Redaction> {
        let mut all = Vec::new();
        for leaf in &self.leaves {
            let text = String::from_utf8_lossy(&leaf.bytes);
            let mut found: BTreeMap<String, u64> = BTreeMap::new();
            for commitment in find_marks(&text).into_iter().filter_map(|mark| mark.commitment) {
                *found.entry(commitment.to_owned()).or_default() += 1;
            }
            all.extend(found.into_iter().map(|(commitment, times)| Redaction {
                leaf: leaf.index,
                commitment,
                times,
            }));
        }
        all
    }
}

#[derive(Deserialize)]
struct Version {
    muster_case: u32,
}

fn json(file: &str, value: &impl Serialize, pretty: bool) -> Result<String, CaseError> {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map_err(|error| malformed(file, error))
}

fn parse<'a, T: Deserialize<'a>>(file: &str, bytes: &'a [u8]) -> Result<T, CaseError> {
    serde_json::from_slice(bytes).map_err(|error| malformed(file, error))
}

fn read_files(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, CaseError> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err(CaseError::NoCase("it is too long".to_owned()));
    }
    let mut archive = tar::Archive::new(bytes);
    let mut files = BTreeMap::new();
    let mut end = 0;
    let entries = archive.entries().map_err(|error| CaseError::NoCase(error.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|error| CaseError::NoCase(error.to_string()))?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(CaseError::NoCase("it holds something that is no file".to_owned()));
        }
        let name = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned));
        let name = name.ok_or_else(|| CaseError::NoCase("a file name in it is no text".to_owned()))?;
        let bound = if name == "leaves.jsonl" { BYTES_MAX } else { SMALL_MAX };
        let size = entry.size();
        if size > bound {
            return Err(malformed(&name.escape_debug().to_string(), "it is too long"));
        }
        end = entry.raw_file_position() + size.next_multiple_of(512);
        let mut content = Vec::new();
        entry.take(bound).read_to_end(&mut content).map_err(|error| malformed(&name, error))?;
        if content.len() as u64 != size {
            return Err(malformed(&name, "it is cut short"));
        }
        if files.len() >= FILES_MAX || files.insert(name.clone(), content).is_some() {
            return Err(malformed(&name.escape_debug().to_string(), "it is there twice, or one too many"));
        }
    }
    let rest = usize::try_from(end).ok().and_then(|end| bytes.get(end..)).unwrap_or_default();
    if rest.len() != 1024 || rest.iter().any(|byte| *byte != 0) {
        return Err(CaseError::NoCase("it does not end as it should".to_owned()));
    }
    Ok(files)
}

fn leaves(bytes: &[u8]) -> Result<Vec<Leaf>, CaseError> {
    const FILE: &str = "leaves.jsonl";
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(FILE, "no UTF-8"))?;
    let mut leaves: Vec<Leaf> = Vec::new();
    for (line, number) in text.lines().zip(1u64..) {
        if leaves.len() >= LEAVES_MAX {
            return Err(malformed(FILE, "it has too many leaves"));
        }
        let wrong = |reason: String| malformed(FILE, format!("line {number}: {reason}"));
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let bytes = match (line.leaf, line.leaf_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).map_err(|error| wrong(error.to_string()))?,
            _ => return Err(wrong("it needs one of `leaf` and `leaf_base64`".to_owned())),
        };
        let proof: Option<Vec<Hash>> =
            line.proof.iter().map(|hash| STANDARD.decode(hash).ok()?.try_into().ok()).collect();
        let proof = proof.ok_or_else(|| wrong("a hash of the proof is none".to_owned()))?;
        if leaves.last().is_some_and(|before| before.index >= line.index) {
            return Err(wrong("the leaves are not in order".to_owned()));
        }
        leaves.push(Leaf { index: line.index, bytes, proof });
    }
    Ok(leaves)
}
