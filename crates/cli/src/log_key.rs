//! The key that signs the log's checkpoints: made once, kept in a file, changed by rotation. Rotation is asked for by files
//! in the data folder, which only its owner can make, so that it works whether the daemon runs or not.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_event::Nanos;
use muster_ledger::note::{Key, KeyKind, Signer, Verifier};
use muster_server::{LOG_KEY, LOG_KEY_BEFORE, LOG_KEY_PUBLIC, Log, LogKeys, Store};

use crate::exit::usage;
use crate::secret_file;

/// A key that is to take the place of the present one.
pub const NEXT: &str = "log.key.next";
/// Longest key file, in bytes.
const FILE_MAX: u64 = 1024;
const HARM: &str = "with it, what no witness has seen of the log can be forged";

/// What each of two keys signs when one follows the other.
pub fn rotation_message(old: &str, new: &str) -> Vec<u8> {
    format!("muster log key rotation v1\n{old}\n{new}\n").into_bytes()
}

/// Reads a key. `None`: there is none.
pub fn load(path: &Path) -> Result<Option<Key>> {
    let Some(bytes) = secret_file::read(path, FILE_MAX, HARM)? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let key = Key::from_secret(text).map_err(|error| {
        usage(format!(
            "`{}`: {error}\nhint: put it back from a copy, or move it away: a new key is made, and the log says so",
            path.display()
        ))
    })?;
    Ok(Some(key))
}

/// A new key of this name.
pub fn make(path: &Path, name: &str) -> Result<Key> {
    let seed = secret_file::random()?;
    let key = Key::new(name, KeyKind::Log, &seed).map_err(|error| usage(error.to_string()))?;
    let mut text = key.to_secret();
    text.push('\n');
    secret_file::make(path, text.as_bytes()).with_context(|| format!("cannot make `{}`", path.display()))?;
    Ok(key)
}

/// A name that no other log has.
fn new_name() -> Result<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .take(64)
        .collect();
    let chance: String = secret_file::random()?.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}/muster-{chance}", if host.is_empty() { "host" } else { &host }))
}

/// The keys in this folder, with a new one where there is none. Hands them to the store; gives what is worth telling.
pub fn begin(data: &Path, store: &mut Store, now_ns: Nanos) -> Result<Vec<String>> {
    let mut told = Vec::new();
    let path = data.join(LOG_KEY);
    let known = known_key(data);
    let key = match load(&path)? {
        Some(key) => key,
        None => {
            // The log keeps its name, whoever signs.
            let name = known.as_ref().map_or_else(new_name, |known| Ok(known.name().to_owned()))?;
            let key = make(&path, &name)?;
            told.push(format!(
                "the log's key is {}\nhint: note it elsewhere: `muster verify --key` and witnesses need it",
                key.verifier()
            ));
            key
        }
    };
    let mut signers: Vec<Box<dyn Signer>> = Vec::new();
    let public = key.verifier().to_string();
    signers.push(Box::new(key));
    if let Some(before) = load(&data.join(LOG_KEY_BEFORE))? {
        signers.push(Box::new(before));
    }
    store.sign_with(LogKeys { signers }, now_ns)?;
    if let Some(known) = known.map(|known| known.to_string()).filter(|known| *known != public) {
        // Nobody signs for it any more: whoever checks must be told by a person that this is right.
        told.push(format!(
            "the log's key is another one than before ({known}), and the old one did not sign for it"
        ));
        store.put_log(&Log::Rotated {
            time_ns: now_ns,
            old: known,
            new: public.clone(),
            by_old: String::new(),
            by_new: String::new(),
        })?;
    }
    write_public(data, &public)?;
    Ok(told)
}

/// The key that signed when the daemon ran last.
fn known_key(data: &Path) -> Option<Verifier> {
    fs::read_to_string(data.join(LOG_KEY_PUBLIC)).ok()?.lines().next()?.parse().ok()
}

fn write_public(data: &Path, key: &str) -> Result<()> {
    let path = data.join(LOG_KEY_PUBLIC);
    // One line for each key that ever signed, the newest first.
    let before = fs::read_to_string(&path).unwrap_or_default();
    let mut lines = vec![key];
    lines.extend(before.lines().filter(|line| *line != key));
    let new = data.join("log.vkey.new");
    fs::write(&new, lines.join("\n") + "\n")
        .and_then(|()| fs::rename(&new, &path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Carries out what was asked for by files: a rotation, or that the key before it signs no more.
pub fn look(data: &Path, store: &mut Store, now_ns: Nanos) -> Result<Option<String>> {
    let (path, next, before) = (data.join(LOG_KEY), data.join(NEXT), data.join(LOG_KEY_BEFORE));
    if next.exists() {
        let (Some(old), Some(new)) = (load(&path)?, load(&next)?) else { return Ok(None) };
        let (old_key, new_key) = (old.verifier().to_string(), new.verifier().to_string());
        if old.verifier().name() != new.verifier().name() {
            return Err(usage(format!("`{}` is the key of another log", next.display())));
        }
        let message = rotation_message(&old_key, &new_key);
        let sign = |key: &Key| key.sign(&message).map(|signature| STANDARD.encode(signature));
        let (by_old, by_new) = (sign(&old).map_err(usage)?, sign(&new).map_err(usage)?);
        // In the log first: a crash from here on leaves a key that it names.
        store.put_log(&Log::Rotated {
            time_ns: now_ns,
            old: old_key.clone(),
            new: new_key.clone(),
            by_old,
            by_new,
        })?;
        store.commit(true)?;
        rename(&path, &before)?;
        rename(&next, &path)?;
        write_public(data, &new_key)?;
        store.sign_with(LogKeys { signers: vec![Box::new(new), Box::new(old)] }, now_ns)?;
        return Ok(Some(format!("the log is signed by a new key: {new_key}")));
    }
    if store.signers() > 1 && !before.exists() {
        let Some(key) = load(&path)? else { return Ok(None) };
        let retired = store.last_signer().unwrap_or_default();
        store.put_log(&Log::Retired { time_ns: now_ns, key: retired.clone() })?;
        store.sign_with(LogKeys { signers: vec![Box::new(key)] }, now_ns)?;
        return Ok(Some(format!("the log's key before the last rotation signs no more: {retired}")));
    }
    Ok(None)
}

fn rename(from: &PathBuf, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot move `{}`", from.display()))
}
