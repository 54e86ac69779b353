//! What can go wrong with the store.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Ledger(#[from] muster_ledger::Error),
    #[error("the index `index.db`: {0}")]
    Index(#[from] rusqlite::Error),
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error(
        "no checkpoint speaks of leaf {leaf} yet\nhint: the daemon writes one each second; where none runs, start it once"
    )]
    NotSigned { leaf: u64 },
    #[error("cannot sign the checkpoint of the log: {0}")]
    Sign(String),
    #[error("cannot write an entry of the ledger: {0}")]
    Encode(serde_json::Error),
    #[error("an entry of {bytes} bytes is too long for the ledger")]
    TooLong { bytes: usize },
    #[error("leaf {index} of the ledger cannot be read: {reason}")]
    Leaf { index: u64, reason: &'static str },
    #[error("the index holds a row that cannot be read: {0}")]
    Row(#[from] serde_json::Error),
    #[error(
        "no record in `{}`\nhint: start `muster watch`, or name its folder with --data",
        dir.display()
    )]
    NoRecord { dir: PathBuf },
    #[error(
        "the record in `{}` cannot be read by this user\nhint: run the same command as root (`sudo`)",
        dir.display()
    )]
    NotAllowed { dir: PathBuf },
}

impl StoreError {
    /// The ledger is well: only what is made from it failed.
    pub fn is_of_index(&self) -> bool {
        matches!(self, StoreError::Index(_) | StoreError::Row(_))
    }

    /// There is no room left on the device.
    pub fn is_disk_full(&self) -> bool {
        match self {
            StoreError::Ledger(error) => error.is_disk_full(),
            StoreError::Index(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            _ => false,
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;
