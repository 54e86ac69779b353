//! The key that the marks of redacted secrets are made with: a file beside the record. Who loses it can reveal nothing any
//! more, and loses nothing else; who has it can try values.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::OFlags;

use crate::exit::usage;

const FILE: &str = "redaction.key";
const BYTES: usize = 32;

/// From now on, this process commits to what it cuts out. Makes the key where there is none. The folder must be this
/// process's own (the record's lock is held), and nothing may have been read yet.
pub fn begin(data: &Path) -> Result<()> {
    let path = data.join(FILE);
    let key = match load(data)? {
        Some(key) => key,
        None => {
            make(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
            load(data)?.with_context(|| format!("`{}` is gone again", path.display()))?
        }
    };
    // Only a second call in one process could be refused: it would be for the same folder.
    muster_event::redact::set_key(key);
    Ok(())
}

/// To open what was redacted into this folder.
pub fn use_key_of(data: &Path) -> Result<()> {
    let key = load(data)?.ok_or_else(|| {
        usage(format!(
            "there is no `{}`\nhint: it is in the folder of the daemon or import that redacted; name that with --data",
            data.join(FILE).display()
        ))
    })?;
    muster_event::redact::set_key(key);
    Ok(())
}

/// `None`: there is none.
fn load(data: &Path) -> Result<Option<[u8; BYTES]>> {
    let path = data.join(FILE);
    let shown = path.display();
    // A link would let others choose the file, a pipe would let them make everybody wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(usage(format!(
                "cannot read `{shown}`: {error}\nhint: it is its owner's only, as the record is"
            )));
        }
        Err(error) => return Err(usage(format!("cannot read `{shown}`: {error}"))),
    };
    let meta = file.metadata().with_context(|| format!("cannot read `{shown}`"))?;
    if !meta.is_file() {
        return Err(usage(format!("`{shown}` is in the way and is no file")));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(usage(format!(
            "others may read or write `{shown}` (mode {:o}): with it, redacted values can be guessed\n\
             hint: `chmod 600 {shown}`; if others may have read it, move it away instead, and a new one is made",
            meta.mode() & 0o7777
        )));
    }
    let own = rustix::process::geteuid();
    if meta.uid() != own.as_raw() && !own.is_root() {
        return Err(usage(format!("`{shown}` belongs to another user (uid {})", meta.uid())));
    }
    let mut bytes = Vec::new();
    file.take(BYTES as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read `{shown}`"))?;
    let key = bytes.try_into().map_err(|_| {
        usage(format!(
            "`{shown}` is no key: it has not {BYTES} bytes\nhint: put it back from a copy, or move it away: what was redacted with it can then not be revealed"
        ))
    })?;
    Ok(Some(key))
}

/// Whole, or not there: a key that was half written would be taken for a damaged one.
fn make(path: &Path) -> std::io::Result<()> {
    let mut key = [0; BYTES];
    let filled = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
    if filled != BYTES {
        return Err(std::io::Error::other("the kernel gave too few random bytes"));
    }
    let new: PathBuf = path.with_extension("key.new");
    match fs::remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    // Unlike a rename, this replaces nothing.
    fs::hard_link(&new, path)?;
    fs::remove_file(&new)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
        let path = folder.path().join(FILE);
        make(&path).unwrap();
        let key = load(folder.path()).unwrap().unwrap();
        assert_ne!(key, [0; BYTES]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(make(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(load(folder.path()).unwrap(), Some(key));
    }

    #[track_caller]
    fn refused(spoil: impl FnOnce(&Path), because: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        make(&path).unwrap();
        spoil(&path);
        let error = load(folder.path()).unwrap_err();
        assert!(error.to_string().contains(because), "{error}");
        assert_eq!(crate::exit::of(&error), crate::exit::Exit::Usage);
    }

    #[test]
    fn what_is_no_safe_key_is_refused() {
        refused(|path| fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap(), "chmod 600");
        refused(|path| fs::write(path, [1; 31]).unwrap(), "is no key");
        refused(|path| fs::write(path, [1; 33]).unwrap(), "is no key");
        refused(
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "is no file",
        );
        refused(
            |path| {
                fs::rename(path, path.with_extension("x")).unwrap();
                std::os::unix::fs::symlink(path.with_extension("x"), path).unwrap();
            },
            "cannot read",
        );
    }
}
