//! The key that signs the log's checkpoints: made once, kept in a file or elsewhere (`signer.rs`), changed by rotation. Rotation is asked for by files
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
use crate::signer::{KeySource, Place};

/// A key that is to take the place of the present one.
pub const NEXT: &str = "log.key.next";
/// Where the key is, when it is not in this folder: for `muster key`.
pub const ELSEWHERE: &str = "log.signer";

/// Longest key file, in bytes.
const FILE_MAX: u64 = 1024;
const HARM: &str = "with it, what no witness has seen of the log can be forged";

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
pub fn new_name() -> Result<String> {
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
    match fs::remove_file(data.join(ELSEWHERE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("cannot forget where the key was");
        }
        _ => {}
    }
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

/// The same with keys that are elsewhere.
pub fn begin_elsewhere(
    data: &Path,
    store: &mut Store,
    place: &Place,
    source: &KeySource,
    now_ns: Nanos,
) -> Result<Vec<String>> {
    let path = data.join(ELSEWHERE);
    secret_file::write(&path, format!("{place}\n").as_bytes())
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    let mut told = Vec::new();
    let known = known_key(data);
    let keys = match (source.keys(), &known) {
        (Ok(keys), _) => keys,
        // It may come back, and what happens meanwhile must be seen.
        (Err(why), Some(known)) => {
            told.push(format!("no key yet for the log: {why}"));
            vec![known.clone()]
        }
        (Err(why), None) => {
            return Err(usage(format!("no key for the log: {why}\nhint: start `muster signer` first")));
        }
    };
    let Some(newest) = keys.first().cloned() else { return Err(usage(format!("`{place}` has no key"))) };
    of_this_log(known.as_ref(), &newest)?;
    store.sign_with(LogKeys { signers: signers(data, source, &keys)? }, now_ns)?;
    match known {
        Some(known) if known != newest => {
            told.push(hand_over(data, store, source, &known, &keys, now_ns)?);
            store.sign_with(LogKeys { signers: signers(data, source, &keys)? }, now_ns)?;
        }
        Some(_) => {}
        None => told.push(format!(
            "the log's key is {newest}\nhint: note it elsewhere: `muster verify --key` and witnesses need it"
        )),
    }
    write_public(data, &newest.to_string())?;
    Ok(told)
}

fn of_this_log(known: Option<&Verifier>, key: &Verifier) -> Result<()> {
    match known.map(Verifier::name).filter(|known| *known != key.name()) {
        None => Ok(()),
        Some(known) => Err(usage(format!(
            "the signer's key is of the log `{}`, this one is `{known}`\n\
             hint: let it make a key with `--name {known}`, or name another folder with --data",
            key.name()
        ))),
    }
}

/// Keys that are elsewhere, and the one in this folder that signed before them, until it is retired.
fn signers(data: &Path, source: &KeySource, keys: &[Verifier]) -> Result<Vec<Box<dyn Signer>>> {
    let mut signers: Vec<Box<dyn Signer>> = keys.iter().map(|key| source.signer(key.clone())).collect();
    if let Some(before) = load(&data.join(LOG_KEY_BEFORE))?
        && keys.first().is_some_and(|key| key.name() == before.verifier().name())
        && !keys.contains(before.verifier())
    {
        signers.push(Box::new(before));
    }
    Ok(signers)
}

/// The newest of these keys follows the one that signed up to now. Gives what is to be told.
fn hand_over(
    data: &Path,
    store: &mut Store,
    source: &KeySource,
    old: &Verifier,
    keys: &[Verifier],
    now_ns: Nanos,
) -> Result<String> {
    let Some(new) = keys.first() else { return Err(usage("there is no key")) };
    let (path, message) =
        (data.join(LOG_KEY), muster_server::log::rotation_message(&old.to_string(), &new.to_string()));
    let in_file = load(&path)?.filter(|key| key.verifier() == old);
    let by_old = match &in_file {
        Some(key) => Some(key.sign(&message).map_err(usage)?),
        None if keys.contains(old) => Some(source.rotation(old, old, new).map_err(usage)?),
        None => None,
    };
    let by_new = source.rotation(new, old, new).map_err(usage)?;
    store.put_log(&Log::Rotated {
        time_ns: now_ns,
        old: old.to_string(),
        new: new.to_string(),
        by_new: STANDARD.encode(by_new),
        by_old: by_old.map(|signature| STANDARD.encode(signature)).unwrap_or_default(),
    })?;
    // In the log first: a crash from here on leaves a key that it names.
    store.commit(true)?;
    if in_file.is_some() {
        rename(&path, &data.join(LOG_KEY_BEFORE))?;
    }
    write_public(data, &new.to_string())?;
    Ok(match by_old {
        Some(_) => format!("the log is signed by a new key: {new}"),
        None => format!(
            "the log's key is another one than before ({old}), and the old one did not sign for it: {new}"
        ),
    })
}

/// Takes up what was done to the keys elsewhere.
pub fn look_elsewhere(
    data: &Path,
    store: &mut Store,
    source: &KeySource,
    now_ns: Nanos,
) -> Result<Option<String>> {
    // That it does not answer is told where it is missed: when the log is to be signed.
    let Ok(keys) = source.keys() else { return Ok(None) };
    let Some(newest) = keys.first() else { return Ok(None) };
    let names = |signers: &[Box<dyn Signer>]| -> Vec<String> {
        signers.iter().map(|signer| signer.verifier().to_string()).collect()
    };
    let (before, now) = (store.keys(), signers(data, source, &keys)?);
    let now_names = names(&now);
    if before == now_names {
        return Ok(None);
    }
    let known = known_key(data);
    of_this_log(known.as_ref(), newest)?;
    let mut told = Vec::new();
    if let Some(old) = known.filter(|known| known != newest) {
        told.push(hand_over(data, store, source, &old, &keys, now_ns)?);
    }
    // With the key of this folder, where it made room just now.
    let now = signers(data, source, &keys)?;
    let now_names = names(&now);
    for key in before.into_iter().filter(|key| !now_names.contains(key)) {
        store.put_log(&Log::Retired { time_ns: now_ns, key: key.clone() })?;
        told.push(format!("the log's key before the last rotation signs no more: {key}"));
    }
    store.sign_with(LogKeys { signers: now }, now_ns)?;
    Ok((!told.is_empty()).then(|| told.join("; ")))
}

/// The key that signed when the daemon ran last.
pub fn known_key(data: &Path) -> Option<Verifier> {
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
        let message = muster_server::log::rotation_message(&old_key, &new_key);
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

/// Where the key is, as the daemon that ran last was told.
pub fn elsewhere(data: &Path) -> Result<Option<Place>> {
    match fs::read_to_string(data.join(ELSEWHERE)) {
        Ok(text) => text.trim_end().parse().map(Some).map_err(usage),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", data.join(ELSEWHERE).display())),
    }
}

fn rename(from: &PathBuf, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot move `{}`", from.display()))
}
