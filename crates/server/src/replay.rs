//! The record again, from the ledger alone: what drove the engine, and what it found.

use muster_engine::{Finding, Input};
use muster_ledger::Reader;

use crate::entry::{self, Entry, Kept, StoredOutput};
use crate::error::Result;
use crate::reader::StoreReader;

/// One step of the record.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Input(Box<Input>),
    Finding(Box<Finding>),
    /// Retention removed what was before.
    Dropped,
    /// A place that cannot be read, and why.
    Damaged(String),
}

impl StoreReader {
    /// Everything that the ledger holds, in order, until `visit` returns `false`.
    pub fn replay(&self, visit: &mut dyn FnMut(Step) -> bool) -> Result<()> {
        steps(self.ledger(), visit)
    }
}

fn steps(ledger: &Reader, visit: &mut dyn FnMut(Step) -> bool) -> Result<()> {
    let mut entries = ledger.iter_from(0);
    while let Some(next) = entries.next_entry() {
        let step = match next {
            Err(error) => Step::Damaged(error.to_string()),
            Ok((index, bytes)) => match entry::decode(bytes) {
                Err(error) => Step::Damaged(format!("entry {index}: {error}")),
                Ok(Entry::Input(input)) => Step::Input(input),
                Ok(Entry::Output(StoredOutput::Finding { finding, .. })) => Step::Finding(finding),
                Ok(Entry::Kept(kept)) if matches!(*kept, Kept::Dropped(_)) => Step::Dropped,
                Ok(Entry::Output(_) | Entry::Kept(_)) => continue,
            },
        };
        if !visit(step) {
            break;
        }
    }
    Ok(())
}
