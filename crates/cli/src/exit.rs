//! Exit codes, one meaning each.

use std::process::ExitCode;

use muster_server::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing found, or done.
    Nothing = 0,
    /// Findings: an answer, not a failure.
    Findings = 1,
    /// The command line, the configuration or the environment does not allow it.
    Usage = 2,
    /// Evidence was tampered with.
    Tampered = 3,
    /// An error of Muster's own.
    Internal = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error that the user can mend: exit code 2. All others are Muster's own: 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

pub fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

pub fn of(error: &anyhow::Error) -> Exit {
    let users = |e: &(dyn std::error::Error + 'static)| {
        let not_there = matches!(
            e.downcast_ref::<StoreError>(),
            Some(StoreError::NoRecord { .. } | StoreError::NotAllowed { .. })
        );
        e.downcast_ref::<UsageError>().is_some() || not_there
    };
    if error.chain().any(users) { Exit::Usage } else { Exit::Internal }
}
