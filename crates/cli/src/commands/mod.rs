//! One file per verb.

pub mod claims;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod findings;
pub mod gaps;
pub mod hook;
pub mod import;
pub mod products;
pub mod reference;
pub mod replay;
pub mod roll;
pub mod run;
pub mod show;
pub mod watch;
