//! The key that the marks of redacted secrets are made with: a file beside the record. Who loses it can reveal nothing any
//! more, and loses nothing else; who has it can try values.

use std::path::Path;

use anyhow::{Context, Result};

use crate::exit::usage;
use crate::secret_file;

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
    let harm = "with it, redacted values can be guessed";
    let Some(bytes) = secret_file::read(&path, BYTES as u64, harm)? else { return Ok(None) };
    let key = bytes.as_slice().try_into().map_err(|_| {
        usage(format!(
            "`{}` is no key: it has not {BYTES} bytes\nhint: put it back from a copy, or move it away: what was redacted with it can then not be revealed",
            path.display()
        ))
    })?;
    Ok(Some(key))
}

fn make(path: &Path) -> std::io::Result<()> {
    secret_file::make(path, &*secret_file::random()?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

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
