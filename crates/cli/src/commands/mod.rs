//! One file per verb.

pub mod claims;
pub mod compare;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod export;
pub mod findings;
pub mod gaps;
pub mod hook;
pub mod import;
pub mod key;
pub mod products;
pub mod reference;
pub mod reindex;
pub mod replay;
pub mod reveal;
pub mod roll;
pub mod run;
pub mod show;
pub mod signer;
pub mod verify;
pub mod watch;
pub mod witness;
