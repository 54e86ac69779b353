//! Why a mandate is refused.

use muster_event::Nanos;
use thiserror::Error;

use crate::TextError;
use crate::text::moment_text;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("it cannot be read: {0}")]
    Text(#[from] TextError),
    #[error("it is not signed")]
    Unsigned,
    #[error(
        "its signature is not for these bytes: they were changed after it was signed, or it belongs to another file"
    )]
    Forged,
    #[error("its signature cannot be read: {0}")]
    Signature(String),
    #[error("its signature is for `{0}`, not for mandates")]
    Namespace(String),
    #[error("no line of the allowed signers names the key {key} for `{principal}`")]
    UnknownSigner { key: String, principal: String },
    #[error("the key {key} may sign for `{principal}`, but not at this time: {why}")]
    SignerNotNow { key: String, principal: String, why: String },
    #[error("it begins only at {}", moment_text(*.0))]
    NotYetValid(Nanos),
    #[error("it expired at {}", moment_text(*.0))]
    Expired(Nanos),
    #[error("it was revoked: {0}")]
    Revoked(String),
    #[error("it is for another machine than `{0}`")]
    WrongHost(String),
    #[error("it is for another product than `{0}`")]
    WrongAgent(String),
    #[error("it is for one run, and `{0}` had it")]
    Replayed(String),
    #[error("the mandate `{0}` that it is a part of is not known")]
    ParentUnknown(String),
    #[error("the mandate `{0}` is none that it is a part of")]
    NotItsParent(String),
    #[error("its chain has more than {0} links")]
    ChainTooLong(usize),
    #[error("it is more than its parent: {0}")]
    Wider(String),
    #[error("it renews another mandate, and changes it: {0}")]
    NoRenewal(String),
    #[error("its policy `{name}` {why}")]
    Policy { name: String, why: String },
    #[error("it speaks of `~`, and the agent's home folder is not known")]
    NoHome,
    #[error("the file is not safe: {0}")]
    File(String),
}

impl Refused {
    /// One word for JSON and findings.
    pub fn word(&self) -> &'static str {
        match self {
            Refused::Text(_) => "unreadable",
            Refused::Unsigned => "unsigned",
            Refused::Forged | Refused::Signature(_) | Refused::Namespace(_) => "forged",
            Refused::UnknownSigner { .. } | Refused::SignerNotNow { .. } => "unknown-signer",
            Refused::NotYetValid(_) => "not-yet-valid",
            Refused::Expired(_) => "expired",
            Refused::Revoked(_) => "revoked",
            Refused::WrongHost(_) => "wrong-host",
            Refused::WrongAgent(_) => "wrong-agent",
            Refused::Replayed(_) => "replayed",
            Refused::ParentUnknown(_) | Refused::NotItsParent(_) | Refused::ChainTooLong(_) => "broken-chain",
            Refused::Wider(_) | Refused::NoRenewal(_) => "weakened",
            Refused::Policy { .. } => "policy",
            Refused::NoHome => "no-home",
            Refused::File(_) => "unsafe-file",
        }
    }
}
