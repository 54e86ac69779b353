//! The record again, from the ledger alone: what drove the engine, and what it found.

use muster_engine::{Finding, Input};
use muster_ledger::Reader;

use crate::entry::{self, Decoded, Entry, Kept, StoredOutput};
use crate::error::Result;
use crate::leaf;
use crate::reader::StoreReader;

/// One step of the record.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Input(Box<Input>),
    Finding(Box<Finding>),
    /// Retention removed what was before.
    Dropped,
    /// Another version wrote it, and it is not understood: what it is.
    Unknown(String),
    /// A place that cannot be read, and why.
    Damaged(String),
}

impl StoreReader {
    /// Everything that the ledger holds, in order, until `visit` returns `false`.
    pub fn replay(&self, visit: &mut dyn FnMut(Step) -> bool) -> Result<()> {
        steps(self.log(), visit)
    }
}

fn steps(ledger: &Reader, visit: &mut dyn FnMut(Step) -> bool) -> Result<()> {
    leaf::visit(ledger, 0, u64::MAX, &mut |next| {
        let step = match next {
            Err(error) => Step::Damaged(error.to_string()),
            Ok((index, bytes)) => match entry::decode(bytes) {
                Err(error) => Step::Damaged(format!("entry {index}: {error}")),
                Ok(Decoded::Unknown { what }) => Step::Unknown(what),
                Ok(Decoded::Known(entry)) => match entry {
                    Entry::Input(input) => Step::Input(input),
                    Entry::Output(StoredOutput::Finding { finding, .. }) => Step::Finding(finding),
                    Entry::Kept(kept) if matches!(*kept, Kept::Dropped(_)) => Step::Dropped,
                    Entry::Output(_) | Entry::Kept(_) | Entry::Log(_) => return Ok(true),
                },
            },
        };
        Ok(visit(step))
    })?;
    Ok(())
}
