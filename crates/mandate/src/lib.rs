//! Signed authority: what an agent may do, on whose word and until when. Pure: no files, no clock.

#![forbid(unsafe_code)]

mod action;
mod chain;
pub mod draft;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod glob;
mod host;
mod line;
mod mandate;
mod note;
mod part;
mod policy;
mod refused;
mod register;
mod runtime;
pub mod signature;
mod signers;
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
pub use register::{KNOWN_MAX, Known, Register, Signed};
pub use signers::{SIGNERS_MAX, Signers};
pub use ssh_key;
pub use ssh_key::{PrivateKey, PublicKey};
pub use text::{TextError, duration_ns, duration_words, moment_ns, moment_text};
