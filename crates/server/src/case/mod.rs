//! An evidence bundle: some leaves of a log with all that it takes to check them elsewhere, offline, without trust in the
//! machine that they come from. A `tar` file, so that it can be looked into without Muster.
//!
//! | file | what |
//! |---|---|
//! | `README.txt` | how to check it, with Muster and by hand |
//! | `about.json` | what was asked for, and which leaf is there for what. Nothing vouches for this file |
//! | `checkpoint` | the log's signed head, with its witnesses' cosignatures (C2SP tlog-checkpoint) |
//! | `keys.json` | the keys that it claims to be signed by. Compare them with ones that you got elsewhere |
//! | `leaves.jsonl` | a line for each leaf: its number, its bytes, its inclusion proof |
//! | `redactions.json` | the commitments in the leaves to what was cut out of them |
//! | `openings.json` | of those that were revealed, value and salt |
//! | `report.html` | the leaves in words. Made again and compared by `muster verify` |

mod check;
mod file;
mod gather;
mod report;

pub use check::{Checked, Tampering, Trust};
pub(crate) use check::{Signed, signed};
pub use file::CaseError;
pub(crate) use gather::keys_beside;
pub use gather::{Asked, WITNESS_KEYS};

use std::collections::BTreeMap;

use muster_event::Nanos;
use muster_event::redact::Opening;
use muster_ledger::Hash;
use serde::{Deserialize, Serialize};

/// Version of the bundle's own format.
const FORMAT: u32 = 1;
/// Leaves of one bundle: bounds what making and checking one takes.
pub const LEAVES_MAX: usize = 500_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub about: About,
    /// The signed note.
    pub checkpoint: Vec<u8>,
    pub keys: Keys,
    /// By number.
    pub leaves: Vec<Leaf>,
    /// Redacted values that their holder revealed.
    pub openings: Vec<Opening>,
    /// As it stands in the file; empty: it is still to be made.
    pub report: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub muster_case: u32,
    /// What was asked for: `finding F…`, `agent A…`, `from … to …`.
    pub asked: String,
    pub made_ns: Nanos,
    pub version: String,
    /// Leaves that belong to what was asked for and are not in the log any more, or were too many.
    pub missing: u64,
    /// Why a leaf is here.
    pub why: BTreeMap<u64, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Verifier keys of the log, the newest first.
    pub log: Vec<String>,
    /// Verifier keys of the witnesses whose cosignatures it bears.
    pub witnesses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub index: u64,
    pub bytes: Vec<u8>,
    /// From the leaf's neighbour up (RFC 6962, 2.1.1).
    pub proof: Vec<Hash>,
}

/// A commitment in a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    pub leaf: u64,
    pub commitment: String,
    /// How often it stands in the leaf.
    pub times: u64,
}
