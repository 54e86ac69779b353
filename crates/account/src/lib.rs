//! Readers of agents' own transcripts. What an agent said, as plain items; no I/O, no panics on any input.

#![forbid(unsafe_code)]

mod item;

pub use item::{Actor, Body, Class, Decision, Item, Origin, Status};
