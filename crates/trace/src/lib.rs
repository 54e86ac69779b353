//! Records that others kept: the log of `strace`, or the events of another Muster, read as `Event`s. No I/O: bytes come in.

#![forbid(unsafe_code)]

mod address;
mod calls;
mod errno;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod line;
mod muster;
mod parts;
mod path;
mod record;
mod strace;
mod table;
mod value;
mod warning;

pub use parts::{Part, Parts};
pub use record::{Form, Options, Record, Unreadable, detect};
pub use warning::{Warning, Warnings};
