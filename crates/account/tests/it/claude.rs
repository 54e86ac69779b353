//! The reader of `claude` accounts.
