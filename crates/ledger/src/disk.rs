//! What the writer asks of a file system, so that a test can let the power fail between any two of its acts.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// The acts that change a folder.
pub(crate) trait Disk: Send + Sync {
    /// Makes a folder and those above it.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// A new, empty file in place of what is there.
    fn create(&self, path: &Path) -> io::Result<File>;
    fn write_at(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_len(&self, path: &Path, file: &File, len: u64) -> io::Result<()>;
    /// Waits until what was written to the file is on the disk.
    fn sync(&self, path: &Path, file: &File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Only where nothing is in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Waits until the names in a folder are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Waits until everything that was written below this folder is on the disk.
    fn sync_all(&self, dir: &Path) -> io::Result<()>;
    /// A moment (a `// CRASH:` comment says which) at which a test lets the power fail.
    fn point(&self, _name: &'static str) {}
}

/// Makes a folder and those above it, and waits until their names are on the disk.
pub(crate) fn make_durable_dir(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let made: Vec<&Path> =
        path.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists()).collect();
    disk.make_dir(path)?;
    for folder in made {
        match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => disk.sync_dir(above)?,
            _ => disk.sync_dir(Path::new("."))?,
        }
    }
    Ok(())
}

/// The file system itself.
#[derive(Clone, Copy)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    fn write_at(&self, _: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn set_len(&self, _: &Path, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync(&self, _: &Path, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(dir)?)?)
    }
}
