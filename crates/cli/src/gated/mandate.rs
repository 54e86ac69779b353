//! The mandate of a run, for who enforces it: the chain that decides.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use muster_mandate::{Binding, Chain, Link, MANDATE_MAX, Mandate, POLICY_MAX, id_of};

use crate::exit::usage;
use crate::mandates;

/// Folders upwards in which a program's package is looked for.
const PACKAGE_DEPTH: usize = 8;

/// The chain that decides, by the signed files. Where there is no signature and no daemon that would ask for one, the file
/// as it is: what is enforced is what it says, and less than what its agent could do without it.
pub fn chain(path: &Path, command: &Path, has_daemon: bool) -> Result<Chain> {
    let wrong = |error: &dyn std::fmt::Display| usage(format!("`{}`: {error}", path.display()));
    let bound =
        |product: String| Binding { product, home: home(), install: install(command), ..Binding::default() };
    match mandates::read_chain(path) {
        Ok(brought) => {
            let own = brought.first().map(|own| own.body.clone()).unwrap_or_default();
            let mandate = Mandate::parse(&own).map_err(|error| wrong(&error))?;
            mandates::chain_of(&brought, &bound(product(&mandate))).map_err(|error| wrong(&error))
        }
        Err(refused) if has_daemon => Err(wrong(&refused)),
        Err(_) => {
            let body = read(path, MANDATE_MAX)?;
            let text = String::from_utf8(body.clone()).map_err(|_| wrong(&"it is no text"))?;
            let mandate = Mandate::parse(&text).map_err(|error| wrong(&error))?;
            let policy = match &mandate.policy {
                Some(file) => Some(read(&path.with_file_name(&file.name), POLICY_MAX)?),
                None => None,
            };
            let policy = policy.map(String::from_utf8).transpose().context("the policy is no text")?;
            let binding = bound(product(&mandate));
            let link = Link { id: id_of(&body), stands_for: id_of(&body), mandate, policy };
            Chain::new(vec![link], &binding).map_err(|error| wrong(&error))
        }
    }
}

/// Whether one of these mandates was revoked, as root's supervisor sees it in the daemon's folder; looked at each half second.
pub fn in_force(data: &Path, chain: &Chain) -> Box<dyn Fn() -> Option<String> + Send + Sync> {
    const LOOK: Duration = Duration::from_millis(500);
    let folder = data.join("mandates");
    let files: Vec<PathBuf> = chain.mandates().map(|(id, _)| folder.join(format!("{id}.revoked"))).collect();
    let seen: Mutex<(Option<Instant>, Option<String>)> = Mutex::new((None, None));
    Box::new(move || {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.1.is_none() && seen.0.is_none_or(|at| at.elapsed() >= LOOK) {
            let revoked = files.iter().any(|file| file.exists());
            *seen = (Some(Instant::now()), revoked.then(|| "its mandate was revoked".to_owned()));
        }
        seen.1.clone()
    })
}

fn read(path: &Path, most: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let file =
        fs::File::open(path).map_err(|error| usage(format!("cannot read `{}`: {error}", path.display())))?;
    let mut bytes = Vec::new();
    file.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() <= most, usage(format!("`{}` is longer than {most} bytes", path.display())));
    Ok(bytes)
}

/// The product that it is for, where it names one.
fn product(mandate: &Mandate) -> String {
    match mandate.agents.as_slice() {
        [one] => one.literal().unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

fn home() -> Option<String> {
    std::env::var("HOME").ok().filter(|home| home.starts_with('/'))
}

/// Where the command's own program lies: with its package, if it is one of node's.
pub fn install(command: &Path) -> Vec<String> {
    let Some(program) = find(command) else { return Vec::new() };
    let mut out = Vec::new();
    let mut add = |path: &Path| {
        if let Some(text) = path.to_str() {
            out.push(text.to_owned());
        }
    };
    let real = program.canonicalize().unwrap_or_else(|_| program.clone());
    let modules = |path: &Path| -> Option<PathBuf> {
        path.ancestors()
            .take(PACKAGE_DEPTH)
            .find(|folder| folder.file_name().is_some_and(|name| name == "node_modules"))
            .map(Path::to_owned)
    };
    match modules(&real).or_else(|| modules(&program)) {
        Some(folder) => add(&folder),
        None => add(&real),
    }
    // A script needs what runs it.
    if let Some(line) = first_line(&real) {
        for word in line.trim_start_matches("#!").split_whitespace().take(2) {
            if let Some(interpreter) = find(Path::new(word)).and_then(|path| path.canonicalize().ok()) {
                add(&interpreter);
            }
        }
    }
    out
}

fn first_line(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut start = Vec::new();
    fs::File::open(path).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.split(|byte| *byte == b'\n').next()?;
    line.starts_with(b"#!").then(|| String::from_utf8_lossy(line).into_owned())
}

fn find(command: &Path) -> Option<PathBuf> {
    if command.components().count() > 1 {
        return std::path::absolute(command).ok().filter(|path| path.exists());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(command))
        .find(|path| fs::metadata(path).is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0))
}
