//! The reader of `gemini` accounts.
