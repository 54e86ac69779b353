//! Files that say what an agent may do: nobody but their owner may choose or change what is read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Tells a changed file from the one that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(u64, u64, i64, i64, u64, i64);

pub fn stamp(path: &Path) -> Option<Stamp> {
    let meta = path.symlink_metadata().ok()?;
    // With its signature: a mandate may be written first and signed then.
    let mut signature = path.as_os_str().to_owned();
    signature.push(".sig");
    let signed = Path::new(&signature).symlink_metadata().map_or(0, |meta| meta.mtime_nsec() ^ meta.mtime());
    Some(Stamp(meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size(), signed))
}

/// Reads a text that only its owner (root, or who asks) could have written.
pub fn read(path: &Path, bytes_max: usize) -> Result<String, String> {
    let shown = path.display();
    // A link would let others choose the file, a pipe would let them make everybody wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(format!("`{shown}` is a symbolic link: who may change that chooses the mandate"));
        }
        Err(error) => return Err(format!("cannot read `{shown}`: {error}")),
    };
    let meta = file.metadata().map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    if !meta.is_file() {
        return Err(format!("`{shown}` is no file"));
    }
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != 0 && meta.uid() != own {
        return Err(format!("`{shown}` belongs to another user (uid {})", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(format!(
            "others may write `{shown}` (mode {:o})\nhint: `chmod go-w {shown}`, and look at what it says",
            meta.mode() & 0o7777
        ));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && let Ok(meta) = folder.metadata()
        && meta.mode() & 0o002 != 0
        && meta.mode() & 0o1000 == 0
    {
        return Err(format!("others may replace files in `{}`", folder.display()));
    }
    let mut text = String::new();
    let max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    file.take(max.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    if text.len() > bytes_max {
        return Err(format!("`{shown}` is longer than {bytes_max} bytes"));
    }
    Ok(text)
}

pub fn make_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file as a whole, or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut made = tempfile::NamedTempFile::new_in(folder)?;
    made.write_all(bytes)?;
    made.as_file().sync_all()?;
    made.persist(path).map_err(|error| error.error)?;
    Ok(())
}
