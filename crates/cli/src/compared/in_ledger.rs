//! Plans in the ledger: an entry that is signed with all before it, so that nobody can put one back in time. A daemon takes
//! them from files in its folder, which only its owner can make; without one, they are written here.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use muster_compare::plan::{PLAN_MAX, Plan};
use muster_event::Nanos;
use muster_sensor::now_ns;
use muster_server::{Log, Retention, Store, StoreError, StoreReader, views};
use serde::{Deserialize, Serialize};

use super::registered::{Registered, Registering, changed, parse, unchanged};
use crate::exit::usage;
use crate::{client, log_key};

/// Where a daemon looks for plans.
const FOLDER: &str = "plans";
/// Plans that one look takes: they are made by hand.
const TAKEN_MAX: usize = 16;
/// JSON may lengthen a plan.
const ASKED_MAX: u64 = 4 * PLAN_MAX as u64;
/// A daemon looks each few seconds, and signs each second.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

#[derive(Serialize, Deserialize)]
struct Asked {
    by: String,
    file: String,
    plan: String,
}

fn name(path: &Path) -> String {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// The plan that was registered for this file: the same text, else the first under its name.
pub fn find(path: &Path, text: &str, how: &Registering) -> Result<Option<Registered>> {
    let reader = match StoreReader::open(how.data) {
        Ok(reader) => reader,
        // Nobody said that it is in a ledger.
        Err(_) if !how.ledger => return Ok(None),
        Err(StoreError::NoRecord { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    found(&reader, path, text, how.data)
}

fn found(reader: &StoreReader, path: &Path, text: &str, data: &Path) -> Result<Option<Registered>> {
    let plans = reader.plans()?;
    let name = name(path);
    let same = plans.iter().find(|(_, log)| matches!(log, Log::Plan { plan, .. } if unchanged(text, plan)));
    let named = plans.iter().find(|(_, log)| matches!(log, Log::Plan { file, .. } if *file == name));
    let Some((leaf, Log::Plan { time_ns, by, plan: registered, .. })) = same.or(named) else {
        return Ok(None);
    };
    let signed = match reader.signed()? {
        Some((size, origin)) if *leaf < size => format!("under a signed checkpoint of `{origin}`"),
        _ => "not signed yet".to_owned(),
    };
    let others = match plans.len() {
        0 | 1 => String::new(),
        n => format!("; {} other plans are registered there", n - 1),
    };
    let deviations = if same.is_none() { vec![changed(path)] } else { Vec::new() };
    Ok(Some(Registered {
        plan: parse(path, registered)?,
        time: views::time(*time_ns),
        time_ns: Some(*time_ns),
        place: format!("leaf {leaf} of the ledger in `{}`, by {by}, {signed}{others}", data.display()),
        deviations,
    }))
}

/// Registers a plan now, and waits until it is signed.
pub fn register(path: &Path, text: &str, plan: Plan, data: &Path) -> Result<Registered> {
    let asked = Asked { by: user(), file: name(path), plan: text.to_owned() };
    if let Ok(reader) = StoreReader::open(data)
        && let Some(there) = found(&reader, path, text, data)?
    {
        return Err(usage(format!(
            "`{}` is registered already: {}\nhint: a further study needs a plan file of its own",
            path.display(),
            there.place
        )));
    }
    if client::answers(data) {
        ask(data, &asked)?;
    } else {
        write_alone(data, &asked)?;
    }
    let begun = Instant::now();
    loop {
        let reader = StoreReader::open(data)?;
        let signed = reader.signed()?.map_or(0, |(size, _)| size);
        let at = reader.plans()?.iter().rev().find_map(|(leaf, log)| match log {
            Log::Plan { plan, .. } if plan == text => Some(*leaf),
            _ => None,
        });
        if at.is_some_and(|leaf| leaf < signed)
            && let Some(registered) = found(&reader, path, text, data)?
        {
            return Ok(Registered { plan, ..registered });
        }
        if begun.elapsed() > PATIENCE {
            return Err(usage(format!(
                "the daemon has not taken and signed the plan in {} s\nhint: see what it prints; a signed file does without it",
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(LOOK);
    }
}

fn user() -> String {
    let uid = rustix::process::getuid();
    let user = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = user.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == uid.as_raw().to_string()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {}", uid.as_raw()))
}

/// Leaves it where the daemon looks.
fn ask(data: &Path, asked: &Asked) -> Result<()> {
    let folder = data.join(FOLDER);
    let denied = || format!("cannot write into `{}`", folder.display());
    fs::create_dir_all(&folder).with_context(denied)?;
    let new = folder.join(format!("{}.new", std::process::id()));
    fs::write(&new, serde_json::to_vec(asked)?).with_context(denied)?;
    fs::rename(&new, folder.join(format!("{}.json", std::process::id()))).with_context(denied)
}

fn write_alone(data: &Path, asked: &Asked) -> Result<()> {
    if let Some(place) = log_key::elsewhere(data)? {
        return Err(usage(format!(
            "the log's key is elsewhere ({place})\nhint: start the daemon: it registers the plan"
        )));
    }
    let (mut store, repaired) = Store::open(data, Retention::UNLIMITED)?;
    for line in repaired {
        eprintln!("compare: {line}");
    }
    log_key::begin(data, &mut store, now_ns())?;
    put(&mut store, asked, now_ns())?;
    store.checkpoint()?;
    Ok(())
}

fn put(store: &mut Store, asked: &Asked, now_ns: Nanos) -> Result<()> {
    let Asked { by, file, plan } = asked;
    let log = Log::Plan { time_ns: now_ns, by: by.clone(), file: file.clone(), plan: plan.clone() };
    store.put_log(&log)?;
    store.commit(true)?;
    Ok(())
}

/// For the daemon: takes what was left for it. Gives what is worth telling.
pub fn take(data: &Path, store: &mut Store) -> Result<Vec<String>> {
    let folder = data.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read `{}`", folder.display()))?,
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut told = Vec::new();
    for path in files.iter().take(TAKEN_MAX) {
        let read = fs::symlink_metadata(path)
            .ok()
            .filter(|meta| meta.is_file() && meta.len() <= ASKED_MAX)
            .and_then(|_| fs::read(path).ok())
            .and_then(|bytes| serde_json::from_slice::<Asked>(&bytes).ok())
            .filter(|asked| Plan::parse(&asked.plan).is_ok());
        match read {
            Some(asked) => {
                put(store, &asked, now_ns())?;
                told.push(format!("a plan of {} was registered: {}", asked.by, asked.file));
            }
            None => told.push(format!("`{}` is no plan, and was removed", path.display())),
        }
        fs::remove_file(path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    }
    Ok(told)
}
