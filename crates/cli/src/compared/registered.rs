//! Plans and their registration, before any data are read: a signed copy beside the plan, or an entry of the ledger
//! (`in_ledger.rs`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use muster_compare::plan::{PLAN_MAX, Plan, REGISTERED, registered, registration};
use muster_event::Nanos;
use muster_ledger::note::{Note, Signer, Verifier};
use muster_sensor::now_ns;
use muster_server::views;

use super::in_ledger;
use crate::exit::usage;
use crate::log_key;

/// Bytes of a registration: a plan, its head and some signatures.
const REGISTRATION_MAX: u64 = PLAN_MAX as u64 + 8 * 1024;

/// A plan as it was registered.
#[derive(Debug)]
pub struct Registered {
    pub plan: Plan,
    pub time: String,
    pub time_ns: Option<Nanos>,
    /// Where, and by which key.
    pub place: String,
    /// What is to be shown of it.
    pub deviations: Vec<String>,
}

/// How a plan is to be registered.
pub struct Registering<'a> {
    /// The key that signs the file; `None`: this user's own.
    pub key: Option<&'a Path>,
    /// Whose signature counts; `None`: this user's own.
    pub signer: Option<&'a str>,
    pub data: &'a Path,
    /// In the ledger, not in a file.
    pub ledger: bool,
}

/// The file beside the plan.
fn beside(plan: &Path) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(".registered");
    PathBuf::from(name)
}

/// The key of this user: a file of their own, made when it is first needed.
fn key(given: Option<&Path>) -> Result<muster_ledger::note::Key> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            let home = std::env::var_os("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
                .ok_or_else(|| usage("there is no home folder for the key\nhint: --plan-key FILE"))?;
            home.join("muster").join("plan.key")
        }
    };
    if let Some(key) = log_key::load(&path)? {
        return Ok(key);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    log_key::make(&path, &log_key::new_name()?.replace("/muster-", "/plan-"))
}

fn bounded(path: &Path, most: u64) -> Result<String> {
    let wrong = |error: std::io::Error| usage(format!("cannot read `{}`: {error}", path.display()));
    let meta = fs::metadata(path).map_err(wrong)?;
    if meta.len() > most {
        return Err(usage(format!("`{}` has more than {most} bytes", path.display())));
    }
    fs::read_to_string(path).map_err(wrong)
}

pub fn parse(path: &Path, text: &str) -> Result<Plan> {
    Plan::parse(text).map_err(|error| usage(format!("`{}`: {error}", path.display())))
}

/// Registers a plan now.
pub fn register(path: &Path, how: &Registering) -> Result<Registered> {
    let text = bounded(path, PLAN_MAX as u64)?;
    let plan = parse(path, &text)?;
    if how.ledger {
        in_ledger::register(path, &text, plan, how.data)
    } else {
        in_file(path, &text, plan, how.key)
    }
}

fn in_file(path: &Path, text: &str, plan: Plan, key_file: Option<&Path>) -> Result<Registered> {
    let target = beside(path);
    if target.exists() {
        return Err(usage(format!(
            "`{}` is registered already, in `{}`\nhint: a further study needs a plan file of its own",
            path.display(),
            target.display()
        )));
    }
    let key = key(key_file)?;
    let now = now_ns();
    let time = views::time(now);
    let mut note = Note::new(registration(&time, &plain(text)))
        .map_err(|error| usage(format!("`{}`: {error}", path.display())))?;
    note.sign(&key).map_err(usage)?;
    // Never over one that another process has just made.
    let mut file =
        fs::File::create_new(&target).with_context(|| format!("cannot make `{}`", target.display()))?;
    std::io::Write::write_all(&mut file, &note.to_bytes())?;
    file.sync_all()?;
    let place = format!("signed in `{}` by {}", target.display(), key.verifier());
    eprintln!(
        "hint: keep a copy of `{}` where you cannot change it; its time is this machine's word",
        target.display()
    );
    Ok(Registered { plan, time, time_ns: Some(now), place, deviations: Vec::new() })
}

/// As it is signed: notes have no tabs.
fn plain(text: &str) -> String {
    text.replace('\t', "    ").replace('\r', "")
}

/// Whether what is now in the plan's file is what was registered.
pub fn unchanged(now: &str, registered: &str) -> bool {
    plain(now).trim_end() == plain(registered).trim_end()
}

pub fn changed(file: &Path) -> String {
    format!("`{}` was changed after it was registered; what was registered counts", file.display())
}

/// The plan that a comparison goes by: registered before, or now, before the data are read.
pub fn consult(path: &Path, how: &Registering) -> Result<Registered> {
    let text = bounded(path, REGISTRATION_MAX)?;
    if text.starts_with(REGISTERED) {
        return read(path, &text, None, how);
    }
    let plan = parse(path, &text)?;
    let target = beside(path);
    if target.exists() && !how.ledger {
        return read(&target, &bounded(&target, REGISTRATION_MAX)?, Some((path, &text)), how);
    }
    match in_ledger::find(path, &text, how)? {
        Some(registered) => Ok(registered),
        None if how.ledger => in_ledger::register(path, &text, plan, how.data),
        None => in_file(path, &text, plan, how.key),
    }
}

fn read(path: &Path, text: &str, now: Option<(&Path, &str)>, how: &Registering) -> Result<Registered> {
    let wrong = |why: String| usage(format!("`{}`: {why}", path.display()));
    let note = Note::parse(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let verifier: Verifier = match how.signer {
        Some(text) => text.parse().map_err(|error| usage(format!("`{text}`: {error}")))?,
        None => key(how.key)?.verifier().clone(),
    };
    note.verify([&verifier]).map_err(|error| {
        wrong(format!("{error}\nhint: whose it is, `--plan-signer VKEY` says; a plan that was changed must be registered anew"))
    })?;
    let (time, registered_text) = registered(&note.text).map_err(|error| wrong(error.to_string()))?;
    let plan = parse(path, registered_text)?;
    let mut deviations = Vec::new();
    if let Some((file, text)) = now
        && !unchanged(text, registered_text)
    {
        deviations.push(changed(file));
    }
    Ok(Registered {
        plan,
        time: time.to_owned(),
        time_ns: views::parse_time(time),
        place: format!("signed in `{}` by {verifier}", path.display()),
        deviations,
    })
}
