//! What can go wrong; each error names the file.

use std::io;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("`{}` is in use by another writer", path.display())]
    Locked { path: PathBuf },
    #[error("`{}` is no segment of a ledger that this version reads: {reason}", path.display())]
    Header { path: PathBuf, reason: String },
    #[error("`{}` is damaged at byte {offset} (entry {index}): {reason}", path.display())]
    Corrupt { path: PathBuf, offset: u64, index: u64, reason: &'static str },
    #[error("an entry of {bytes} bytes is longer than {} bytes", crate::ENTRY_MAX)]
    TooLong { bytes: usize },
    #[error("there is no entry {index} in `{}`", path.display())]
    NotFound { path: PathBuf, index: u64 },
    #[error("`{}` is damaged: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("the journal in `{}` goes from entry {found} on, but is needed from entry {expected}", path.display())]
    Gap { path: PathBuf, expected: u64, found: u64 },
    #[error("the log in `{}` has {found} entries, but its checkpoint speaks of {signed}", path.display())]
    Lost { path: PathBuf, signed: u64, found: u64 },
    #[error("the log in `{}` does not lead to the root that its {what} names", path.display())]
    Root { path: PathBuf, what: &'static str },
    #[error("entries of `{}` below {through} are still in the journal, or no whole bundles", path.display())]
    NotPrunable { path: PathBuf, through: u64 },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, action, source }
    }

    /// The log is not what it was: whoever goes on must begin another.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Error::Header { .. }
                | Error::Corrupt { .. }
                | Error::Malformed { .. }
                | Error::Gap { .. }
                | Error::Lost { .. }
                | Error::Root { .. }
        )
    }

    /// There is no room left on the device (or the quota is used up).
    pub fn is_disk_full(&self) -> bool {
        matches!(
            self,
            Error::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        )
    }
}
