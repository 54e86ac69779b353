//! What of the log goes outside this machine: each checkpoint to witnesses, which cosign it, and to places where it is only
//! kept. Beside the daemon's loop: who is slow, gone or mad holds up nothing here, and what does not arrive is told.
//!
//! The loop calls `send` with each checkpoint, and every few seconds with the last one again where nothing happens: so a
//! witness notices when the loop no longer turns.

mod group;
mod sink;
mod url;
mod witness;

pub use witness::agent;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use clap::Args;
use muster_ledger::note::{KeyKind, Note, SignatureLine, Verifier};
use muster_ledger::{Checkpoint, Hash};

use crate::exit::usage;
use group::{Carrier, Group};
use sink::Sink;
use url::Url;
use witness::Client;

/// Witnesses, and places, at most: each has a thread.
const CARRIERS_MAX: usize = 16;

#[derive(Args)]
pub struct OutsideOptions {
    /// Have each checkpoint of the log cosigned by this witness (repeatable): where it is, and its key as it prints it.
    #[arg(long, num_args = 2, value_names = ["URL", "VKEY"], action = clap::ArgAction::Append)]
    witness: Vec<String>,
    /// Keep each checkpoint here as well (repeatable): `file:PATH` is appended to, an `http://` URL is sent it by POST, and
    /// in the git repository `git:PATH` the newest is committed once a minute, and pushed where it has a remote.
    #[arg(long, value_name = "WHERE")]
    publish: Vec<String>,
}

impl std::fmt::Display for OutsideOptions {
    /// Who is to have checkpoints, as it was given.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<&str> = self.witness.iter().chain(&self.publish).map(String::as_str).collect();
        f.write_str(&all.join(" "))
    }
}

/// What the thread may ask and tell. None of it may wait long.
pub struct Callbacks {
    /// The proof that the log of the second size begins with that of the first.
    pub proof: Box<dyn Fn(u64, u64) -> Result<Vec<Hash>, String> + Send + Sync>,
    /// A checkpoint with all cosignatures that it has by now. Never older than one that was handed back before.
    pub cosigned: Box<dyn Fn(&Note) + Send + Sync>,
    pub news: Box<dyn Fn(News) + Send + Sync>,
}

/// Something that a person should hear of: once when it begins, and once when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// `witness NAME`, or the place as it was named.
    pub who: String,
    pub what: What,
    /// In plain words, escaped.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It cannot be reached, or fails.
    Unreachable,
    /// It answers, and not as it should.
    Refused,
    /// It takes checkpoints again.
    Back,
    /// A witness has cosigned more than this log has: it was set back.
    RolledBack,
    /// A witness has cosigned another history of this size.
    Forked,
    /// A witness says that this log does not begin with what it has cosigned.
    Rewritten,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Unreachable => "unreachable",
            What::Refused => "refused",
            What::Back => "back",
            What::RolledBack => "rolled-back",
            What::Forked => "forked",
            What::Rewritten => "rewritten",
        }
    }

    /// It speaks against this machine's log, not against who said it. Only as sure as the witness is honest.
    pub fn is_tampering(self) -> bool {
        match self {
            What::RolledBack | What::Forked | What::Rewritten => true,
            What::Unreachable | What::Refused | What::Back => false,
        }
    }
}

/// Everyone to whom checkpoints go. Ends when dropped; what is under way then is given up.
pub struct Outside {
    groups: Vec<Group>,
}

impl OutsideOptions {
    /// Reads the options, before anything is started.
    pub fn open(&self) -> Result<Plan> {
        let mut plan = Plan { witnesses: Vec::new(), sinks: Vec::new() };
        for pair in self.witness.chunks(2) {
            let [url, key] = pair else { return Err(usage("--witness needs a URL and a key")) };
            let url = Url::parse(url, "--witness", "http://127.0.0.1:7374")?;
            let verifier: Verifier = key.parse().map_err(|error| usage(format!("--witness: {error}")))?;
            if verifier.kind() != KeyKind::Witness {
                return Err(usage(format!(
                    "--witness: `{verifier}` is no witness's key\nhint: `muster witness` prints its key when it starts"
                )));
            }
            plan.witnesses.push((url, verifier));
        }
        for place in &self.publish {
            plan.sinks.push(Sink::parse(place)?);
        }
        if plan.witnesses.len() + plan.sinks.len() > CARRIERS_MAX {
            return Err(usage(format!("--witness and --publish: more than {CARRIERS_MAX} together")));
        }
        Ok(plan)
    }
}

/// Who is to be sent checkpoints.
pub struct Plan {
    witnesses: Vec<(Url, Verifier)>,
    sinks: Vec<Sink>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.witnesses.is_empty() && self.sinks.is_empty()
    }

    /// Verifier keys of the witnesses, for those who check.
    pub fn witnesses(&self) -> impl Iterator<Item = &Verifier> {
        self.witnesses.iter().map(|(_, key)| key)
    }

    pub fn start(self, callbacks: Callbacks) -> Result<Outside> {
        let callbacks = Arc::new(callbacks);
        let collected = Arc::new(Collected::default());
        let mut groups = Vec::new();
        let witnesses: Vec<Box<dyn Carrier>> = self
            .witnesses
            .into_iter()
            .map(|(url, key)| -> Box<dyn Carrier> {
                Box::new(Client::new(&url, key, Arc::clone(&callbacks), Arc::clone(&collected)))
            })
            .collect();
        if !witnesses.is_empty() {
            groups.push(Group::start(witnesses, &callbacks)?);
        }
        for sink in self.sinks {
            groups.push(Group::start(vec![sink.carrier()], &callbacks)?);
        }
        Ok(Outside { groups })
    }
}

impl Outside {
    /// Takes a checkpoint; never waits. A newer one takes the place of one that nobody has begun to send.
    pub fn send(&self, note: &Note) {
        let note = Arc::new(note.clone());
        for group in &self.groups {
            group.send(&note);
        }
    }
}

/// The newest checkpoint that anyone has cosigned, with all cosignatures.
#[derive(Default)]
struct Collected(Mutex<Option<(u64, Note)>>);

impl Collected {
    /// Adds a line; `told` is given the note with it, unless a newer one was told before.
    fn add(&self, note: &Note, line: SignatureLine, told: &dyn Fn(&Note)) {
        let Ok(size) = Checkpoint::parse(&note.text).map(|checkpoint| checkpoint.head.size) else { return };
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, mut kept) = match collected.take() {
            Some((known, kept)) if known > size => {
                *collected = Some((known, kept));
                return;
            }
            Some((known, kept)) if kept.text == note.text => (known, kept),
            _ => (size, note.clone()),
        };
        // The last word of each counts.
        kept.signatures.retain(|other| (&other.name, other.id) != (&line.name, line.id));
        kept.signatures.push(line);
        told(&kept);
        *collected = Some((known, kept));
    }
}

#[cfg(test)]
mod tests;
