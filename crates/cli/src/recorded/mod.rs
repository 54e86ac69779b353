//! A finished run from files: its record by others, its account, and the same engine that watches live runs.

mod accounts;
mod drive;
mod source;

use std::collections::BTreeMap;

use anyhow::Result;
use muster_engine::{Engine, Products};
use muster_event::Nanos;

pub use accounts::Account;
use accounts::Said;
use drive::Drive;
pub use source::Source;
use source::{Survey, Wanted, survey};

use crate::commands::import::Work;

/// An account and a record are of one run if their times meet, within this.
const MEET_NS: Nanos = 60_000_000_000;

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub events: u64,
    pub accounts: usize,
    pub agents: usize,
    pub findings: usize,
    /// What was odd in the records, by its words.
    pub warnings: BTreeMap<&'static str, u64>,
    /// Accounts that belong to none of the records, and why: by their place among those given.
    pub alone: Vec<(usize, String)>,
}

/// An account with what is known of it.
struct Given {
    at: usize,
    said: Said,
    /// Which record, and which agent in it.
    root: Option<(usize, usize)>,
}

/// Reads the records and the accounts (path, name, format), and lets the engine judge.
pub fn reconcile(
    work: &mut Work,
    products: &Products,
    sources: &[Source],
    files: &[(std::path::PathBuf, String, muster_account::Format)],
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut given = Vec::new();
    for (at, (path, name, format)) in files.iter().enumerate() {
        let looked = Account::open(path.clone(), name.clone(), *format)
            .and_then(|account| accounts::look(account, &mut |bytes| work.progress(bytes)));
        match looked {
            Ok(said) => given.push(Given { at, said, root: None }),
            Err(error) => outcome.alone.push((at, error.to_string())),
        }
    }
    let format_of = |given: &Given| files.get(given.at).map_or("", |(_, _, format)| format.name());
    let wanted: Wanted = given.iter().map(|given| format_of(given).to_owned()).collect();
    // Where the agents work, if they all work in one folder.
    let mut folders = given.iter().filter_map(|given| given.said.cwd.clone());
    let cwd = folders.next().filter(|first| folders.all(|other| other == *first));
    let mut surveys = Vec::new();
    for source in sources {
        surveys.push(survey(source, products, &wanted, cwd.as_deref(), &mut |bytes| work.progress(bytes))?);
    }
    for survey in &surveys {
        for (warning, count) in survey.warnings.iter() {
            *outcome.warnings.entry(warning.words()).or_default() += count;
        }
    }
    for given in &mut given {
        let name = files.get(given.at).map_or("", |(_, name, _)| name.as_str());
        let format = files.get(given.at).map_or("", |(_, _, format)| format.name());
        match whose(&surveys, &given.said, name, format) {
            Ok(root) => given.root = Some(root),
            Err(why) => outcome.alone.push((given.at, why)),
        }
    }
    // Nothing to hold together: the record alone is no agent's.
    if given.iter().all(|given| given.root.is_none()) {
        return Ok(outcome);
    }
    outcome.accounts = given.iter().filter(|given| given.root.is_some()).count();
    // Each record is a run of its own: what one does not show says nothing of another.
    for (record, (source, survey)) in sources.iter().zip(&surveys).enumerate() {
        let own = || given.iter().filter(move |given| given.root.is_some_and(|(of, _)| of == record));
        if own().next().is_none() {
            continue;
        }
        let own_cwd = own().find_map(|given| given.said.cwd.clone());
        let again;
        let survey = if own_cwd == cwd {
            survey
        } else {
            again = self::survey(source, products, &wanted, own_cwd.as_deref(), &mut |bytes| {
                work.progress(bytes)
            })?;
            &again
        };
        work.engine = Engine::with_rules(products.clone(), std::sync::Arc::clone(&work.rules));
        let mut drive = Drive::new(work, products, source, survey, &wanted, own_cwd.as_deref())?;
        let is_given = |path: &str| {
            own().any(|given| {
                let name = files.get(given.at).map_or("", |(_, name, _)| name.as_str());
                is_of(path, name, &given.said.sessions)
            })
        };
        drive.know_writers(&is_given);
        for given in own() {
            let root = given.root.and_then(|(_, root)| survey.roots.get(root));
            let (Some(root), Some((path, name, format))) = (root, files.get(given.at)) else { continue };
            let account = Account::open(path.clone(), name.clone(), *format)?;
            drive.add(account, &given.said, root.process);
        }
        drive.run(own().filter_map(|given| given.said.last_ns).max())?;
        outcome.events += drive.events;
        outcome.agents += drive.agents();
        outcome.findings += drive.findings.len();
    }
    Ok(outcome)
}

/// The agent that an account is of: by the file that its processes wrote, else by product and time.
fn whose(surveys: &[Survey], said: &Said, name: &str, format: &str) -> Result<(usize, usize), String> {
    let meets = |survey: &Survey| {
        let after = said.first_ns.is_none_or(|first| first <= survey.last_ns.saturating_add(MEET_NS));
        let before = said.last_ns.is_none_or(|last| last.saturating_add(MEET_NS) >= survey.first_ns);
        after && before
    };
    let all = || {
        surveys.iter().enumerate().flat_map(|(record, survey)| {
            survey.roots.iter().enumerate().map(move |(root, r)| ((record, root), survey, r))
        })
    };
    let wrote = all().find(|(_, survey, root)| {
        meets(survey) && root.accounts.keys().any(|path| is_of(path, name, &said.sessions))
    });
    if let Some((place, ..)) = wrote {
        return Ok(place);
    }
    let mut fits: Vec<_> =
        all().filter(|(_, survey, root)| meets(survey) && root.identified.product == format).collect();
    // Of several, the latest that had begun when the account did.
    fits.sort_by_key(|(_, _, root)| root.from_ns);
    let begun = fits
        .iter()
        .rev()
        .find(|(_, _, root)| said.first_ns.is_none_or(|first| root.from_ns <= first.saturating_add(MEET_NS)));
    match (begun.or(fits.first()), surveys.iter().any(meets)) {
        (Some((place, ..)), _) => Ok(*place),
        (None, true) => Err(format!("no record shows a run of {format}")),
        (None, false) => {
            Err("its times and those of the record do not meet: it is of another run".to_owned())
        }
    }
}

/// Is the file that was written in the record the one that is given, under whatever folder?
fn is_of(written: &str, given: &str, sessions: &[String]) -> bool {
    let file = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    file(written) == file(given) || sessions.iter().any(|id| written.contains(id.as_str()))
}
