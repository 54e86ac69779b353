//! Where the runs of a comparison come from: files and folders of logs, and Muster's own agents. What they mean is
//! `muster_compare`'s.

mod agents;
mod files;
mod in_ledger;
mod registered;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use indicatif::ProgressBar;
use muster_compare::read::Ask;
use muster_compare::set::{File, Set};

use crate::exit::usage;

pub use files::{measure, scores, table_outcomes};
pub use in_ledger::take as take_plans;
pub use registered::{Registered, Registering, consult, register};

/// One side, as a person names it: `PATH[@ARM]` or `label:NAME[@ARM]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As it was given.
    pub name: String,
    pub place: Place,
    pub arm: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Path(std::path::PathBuf),
    Label(String),
}

impl Source {
    pub fn parse(text: &str) -> Source {
        let cut = |text: &str| match text.rsplit_once('@') {
            Some((place, arm)) if !place.is_empty() && !arm.is_empty() => {
                (place.to_owned(), Some(arm.to_owned()))
            }
            _ => (text.to_owned(), None),
        };
        if let Some(label) = text.strip_prefix("label:") {
            let (label, arm) = cut(label);
            return Source { name: text.to_owned(), place: Place::Label(label), arm };
        }
        // A file may have the sign in its name.
        let (place, arm) = if Path::new(text).exists() { (text.to_owned(), None) } else { cut(text) };
        Source { name: text.to_owned(), place: Place::Path(place.into()), arm }
    }

    pub fn bytes(&self) -> u64 {
        match &self.place {
            Place::Path(path) => files::bytes(path),
            Place::Label(_) => 0,
        }
    }
}

/// What reading needs beside the source.
pub struct Reading<'a> {
    pub data: &'a Path,
    pub ask: Ask,
    /// Outcomes that stand elsewhere, by task or agent.
    pub outcomes: BTreeMap<String, f64>,
    pub bar: &'a ProgressBar,
}

/// Reads a side. `notes`: what there is to say of it.
pub fn read(source: &Source, reading: &Reading, notes: &mut Vec<String>) -> Result<Set> {
    let mut set = Set::new(&source.name);
    match &source.place {
        Place::Path(path) => files::read(path, reading, notes, &mut set)?,
        Place::Label(label) => agents::read(label, reading, notes, &mut set)?,
    }
    match &source.arm {
        Some(arm) => {
            let arms = set.arms();
            set.keep_arm(arm);
            if set.runs.is_empty() {
                let there: Vec<String> = arms.into_iter().take(8).collect();
                let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                return Err(usage(format!(
                    "`{}` has no arm `{arm}`\nhint: its arms are: {there}",
                    source.name
                )));
            }
        }
        None => {
            let arms: Vec<String> = set.arms().into_iter().take(8).collect();
            if arms.len() > 1 {
                return Err(usage(format!(
                    "`{}` holds several arms: {}\nhint: name one, as `{}@{}`",
                    source.name,
                    arms.join(", "),
                    source.name,
                    arms.first().map(String::as_str).unwrap_or_default()
                )));
            }
        }
    }
    if set.runs.is_empty() {
        return Err(usage(format!("`{}` has no runs", source.name)));
    }
    Ok(set)
}

/// Adds a run, with the outcome that stands elsewhere where there is one for any of `names`.
fn push(
    set: &mut Set,
    file: &mut File,
    mut run: muster_compare::Run,
    names: &[&str],
    reading: &Reading,
) -> Result<(), muster_compare::set::SetError> {
    let elsewhere = names.iter().find_map(|name| reading.outcomes.get(*name));
    if let Some(outcome) = elsewhere {
        run.measures.insert(muster_compare::run::SUCCESS.to_owned(), *outcome);
    }
    set.push(file, run)
}

/// The arms that a source names.
pub fn arms(source: &Source, reading: &Reading) -> Result<Vec<String>> {
    let mut set = Set::new(&source.name);
    match &source.place {
        // Epochs of one number are not told apart by arm here: nothing but the names is kept.
        Place::Path(path) => files::read(path, reading, &mut Vec::new(), &mut set)?,
        Place::Label(label) => agents::read(label, reading, &mut Vec::new(), &mut set)?,
    }
    Ok(set.arms().into_iter().collect())
}
