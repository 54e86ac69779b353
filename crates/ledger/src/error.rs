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
    #[error("segment {first} of `{}` is not there, or is still written to", path.display())]
    NotRemovable { path: PathBuf, first: u64 },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, action, source }
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
