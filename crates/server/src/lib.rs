//! The record on disk (ledger and index), and what is shown of it.

#![forbid(unsafe_code)]

mod approval;
pub mod case;
pub mod entry;
mod error;
mod explanation;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod http;
mod index;
pub mod leaf;
pub mod log;
mod reader;
pub mod reference;
mod replay;
mod store;
pub mod views;
pub mod witness;

pub use approval::{Answerer, ApprovalView, Approve, ApproveRequest};
pub use entry::{Decoded, Dropped, Entry, EvidenceCopy, Kept, KeptMember, Log, Pruned, StoredOutput};
pub use error::StoreError;
pub use explanation::{Explanation, ExplanationView, Named, Quote};
pub use http::{
    AskStop, Contain, ContainRequest, Doors, Enrol, EnrolRequest, Enrolled, Http, HttpError, Peer,
    STANDS_STILL, StopRequest, Told, ToldClaim, Update,
};
pub use reader::{
    AccountItem, AttributedEvent, EventFilter, FindingDetail, FindingFilter, Health, LAST_MAX, Lineage,
    StoreReader, TimeRange,
};
pub use replay::Step;
pub use store::{LOG_KEY, LOG_KEY_BEFORE, LOG_KEY_PUBLIC, LogKeys, Published, Reindexed, Retention, Store};
