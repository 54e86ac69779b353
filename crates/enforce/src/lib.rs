//! The kernel side of the gate: an agent's process confines itself before its first instruction, and a supervisor that it
//! cannot reach decides what the kernel holds for it. What is decided is the mandate's (`muster_mandate`).

#![forbid(unsafe_code)]

mod acts;
mod caller;
pub mod calls;
pub mod confine;
pub mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod hand;
pub mod names;
pub mod notes;
pub mod supervisor;
pub mod wire;
