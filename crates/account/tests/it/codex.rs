//! The reader of `codex` accounts.
