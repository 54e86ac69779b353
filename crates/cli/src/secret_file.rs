//! Files that are their owner's only, and never half written: keys, and evidence.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::exit::usage;

/// Reads a key of at most so many bytes, and one more where it is longer. `harm`: what others could do with it. `None`:
/// there is none.
pub fn read(path: &Path, bytes_max: u64, harm: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let shown = path.display();
    // A link would let others choose the file, a pipe would let them make everybody wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
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
            "others may read or write `{shown}` (mode {:o}): {harm}\n\
             hint: `chmod 600 {shown}`; if others may have read it, move it away instead, and a new one is made",
            meta.mode() & 0o7777
        )));
    }
    let own = rustix::process::geteuid();
    if meta.uid() != own.as_raw() && !own.is_root() {
        return Err(usage(format!("`{shown}` belongs to another user (uid {})", meta.uid())));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(bytes_max + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read `{shown}`"))?;
    Ok(Some(bytes))
}

/// 32 bytes of chance, from the kernel.
pub fn random() -> std::io::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let filled = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled == bytes.len() {
        Ok(bytes)
    } else {
        Err(std::io::Error::other("the kernel gave too few random bytes"))
    }
}

/// Whole, or not there: a key that was half written would be taken for a damaged one. Replaces nothing.
pub fn make(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // Unlike a rename, this replaces nothing.
    fs::hard_link(&new, path)?;
    fs::remove_file(&new)?;
    sync_folder(path)
}

/// What was done to the name of this file stays done.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// In place of what is there. Evidence holds what agents said: it is its owner's, until that one hands it on.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)
}
