//! Signed authority: what an agent may do, on whose word and until when. Pure: no files, no clock.

mod action;
mod note;

pub use action::*;
pub use note::*;
