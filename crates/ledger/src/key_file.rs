//! A signing key in a file that nobody but its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::note::{Key, NoteError};

/// Longest file of a key: a name of 255 bytes and 33 bytes of key in base64 are far less.
const FILE_MAX: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("cannot {action} the key `{}`: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error(
        "the key `{path}` can be read by others (mode {mode:03o})\nhint: `chmod 600 {path}`; who may have read it can sign \
         in its place, so better make another",
        path = path.display()
    )]
    Readable { path: PathBuf, mode: u32 },
    #[error(
        "the key `{path}` belongs to user {owner}, not to user {user} who is to sign with it\nhint: `chown {user} {path}`",
        path = path.display()
    )]
    Owner { path: PathBuf, owner: u32, user: u32 },
    #[error("the key `{}` is no file, or is too long for one", path.display())]
    NoFile { path: PathBuf },
    #[error("the key `{}` cannot be used: {source}", path.display())]
    Key { path: PathBuf, source: NoteError },
}

impl KeyFileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
        let path = path.to_owned();
        move |source| KeyFileError::Io { path, action, source }
    }

    /// There is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// There is one already.
    pub fn is_taken(&self) -> bool {
        matches!(self, KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }
}

/// The key in a file, if nobody but this user (and root) can read it.
pub fn read(path: &Path) -> Result<Key, KeyFileError> {
    let mut file = OpenOptions::new()
        .read(true)
        // A pipe in its place must not hold us up.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path)
        .map_err(KeyFileError::io("open", path))?;
    // Of what was opened, not of what the path names by now.
    let meta = file.metadata().map_err(KeyFileError::io("look at", path))?;
    if !meta.is_file() || meta.len() > FILE_MAX {
        return Err(KeyFileError::NoFile { path: path.to_owned() });
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Readable { path: path.to_owned(), mode });
    }
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user {
        return Err(KeyFileError::Owner { path: path.to_owned(), owner: meta.uid(), user });
    }
    // With room for all of it: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(FILE_MAX as usize + 1));
    Read::by_ref(&mut file)
        .take(FILE_MAX)
        .read_to_string(&mut text)
        .map_err(KeyFileError::io("read", path))?;
    Key::from_secret(&text).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

/// Writes a key where no file is yet: whole and durable, or not at all.
pub fn create(path: &Path, key: &Key) -> Result<(), KeyFileError> {
    let mut text = key.to_secret();
    text.push('\n');
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let unfinished = PathBuf::from(name);
    // Of a run that was killed, with a number that is used again.
    drop(fs::remove_file(&unfinished));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Unlike a rename it never takes the place of a key that is there.
        fs::hard_link(&unfinished, path)
    };
    let written = write();
    drop(fs::remove_file(&unfinished));
    written.map_err(KeyFileError::io("write", path))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(KeyFileError::io("keep", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::note::{KeyKind, Signer};

    fn key(seed: u8) -> Key {
        Key::new("example.com/log", KeyKind::Log, &[seed; 32]).unwrap()
    }

    #[test]
    fn a_key_comes_back_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        assert!(read(&path).unwrap_err().is_missing());
        create(&path, &key(1)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path, &key(2)).unwrap_err().is_taken());
        assert_eq!(read(&path).unwrap().verifier(), key(1).verifier());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");
    }

    #[test]
    fn what_others_can_read_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        create(&path, &key(1)).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Readable { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains("\nhint: `chmod 600 "), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        read(&path).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            assert!(matches!(read(&path).unwrap_err(), KeyFileError::Owner { owner: 12_345, user: 0, .. }));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let good = key(1).to_secret();
        let long = format!("{}{}", *good, " ".repeat(5000));
        for bad in ["", "PRIVATE+KEY+", good.replace("PRIVATE", "PUBLIC").as_str(), long.as_str()] {
            fs::write(&path, bad).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("log.key`"), "{error}");
            assert!(!error.contains("PRIVATE+KEY+example"), "{error}");
        }
        assert!(matches!(read(folder.path()).unwrap_err(), KeyFileError::NoFile { .. }));
    }
}
