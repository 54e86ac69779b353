//! Readers of agents' own transcripts. What an agent said, as plain items; no I/O, no panics on any input.

#![forbid(unsafe_code)]

mod claude;
mod codex;
mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gemini;
mod item;
mod json;
mod opencode;
mod openhands;
mod reader;
pub mod shell;
mod shown;
mod tool;

pub use format::{Format, Framing, Location, UnknownFormat, detect, locate};
pub use item::{Actor, Body, Class, Decision, Item, Origin, Status};
pub use opencode::{QUERIES as OPENCODE_QUERIES, RowsQuery};
pub use reader::{Reader, Record};
pub use shown::command_output;
pub use tool::tool_call;
