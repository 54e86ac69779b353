//! Signed authority: what an agent may do, on whose word and until when. Pure: no files, no clock.

#![forbid(unsafe_code)]

mod action;
mod chain;
pub mod glob;
mod host;
mod line;
mod mandate;
mod note;
mod part;
mod policy;
mod refused;
mod runtime;
mod text;

pub use action::*;
pub use chain::{Binding, Chain, LINKS_MAX, Link, line_for};
pub use host::{HostPattern, Target};
pub use line::{Command, Kind, Line, Pattern, Subject, operation_name, operations, program_line};
pub use mandate::{
    Delegation, LINES_MAX, Limits, Lines, MANDATE_MAX, Mandate, Oversight, POLICY_MAX, PolicyFile, id_of,
};
pub use note::*;
pub use refused::Refused;
pub use text::{TextError, duration_ns, duration_words, moment_ns, moment_text};
