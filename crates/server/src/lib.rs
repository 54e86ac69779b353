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
mod review;
mod store;
pub mod views;
pub mod witness;

pub use approval::{ApprovalView, Approve, ApproveRequest};
pub use entry::{Decoded, Dropped, Entry, EvidenceCopy, Kept, KeptMember, Log, Pruned, StoredOutput};
pub use error::StoreError;
pub use explanation::{Explanation, ExplanationView, Named, Quote};
pub use http::process_of;
pub use http::{
    AskStop, Contain, ContainRequest, Doors, Enrol, EnrolRequest, Enrolled, Http, HttpError, KeepReview,
    Peer, STANDS_STILL, StopRequest, Told, ToldClaim, Update,
};
pub use reader::{
    AccountItem, AttributedEvent, EventFilter, FindingDetail, FindingFilter, Health, LAST_MAX, Lineage,
    StoreReader, TimeRange,
};
pub use replay::Step;
pub use review::{Inbox, Proof, ProofView, ReviewRequest, ReviewView, Reviewed};
pub use store::{LOG_KEY, LOG_KEY_BEFORE, LOG_KEY_PUBLIC, LogKeys, Published, Reindexed, Retention, Store};
