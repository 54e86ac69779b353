//! The one writer of a ledger.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::segment::{self, Cursor, ENTRY_MAX, FRAME_BYTES, HEADER_BYTES, Step};
use crate::{Error, Result, SegmentInfo};

/// What is held back before it is written: a system call per entry would cost more than the entry.
const BUFFER_BYTES: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed when the next entry would make it longer than this.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 16 * 1024 * 1024 }
    }
}

/// What opening a ledger repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// An entry that was being written when the writer died.
    pub cut: Option<TornTail>,
}

/// Bytes that were no whole entry, and were cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub file: PathBuf,
    /// Where the file ends now.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

pub struct Ledger {
    dir: PathBuf,
    /// Held for its lock.
    _lock: File,
    options: Options,
    closed: Vec<SegmentInfo>,
    active: Active,
    /// Whole entries that were accepted and are not in the file yet.
    buffer: Vec<u8>,
    next: u64,
    #[cfg(test)]
    pub(crate) room: Option<u64>,
}

struct Active {
    file: File,
    path: PathBuf,
    first: u64,
    /// End of the last whole entry in the file.
    written: u64,
}

impl Ledger {
    /// Opens the ledger in this folder, which is made where it is missing. An entry that the last writer left half
    /// written is cut off and told of.
    pub fn open(dir: &Path, options: Options) -> Result<(Ledger, Recovery)> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(Error::io("make the folder", dir))?;
        std::fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(Error::io("restrict the folder", dir))?;
        let lock = lock(dir)?;
        remove_unfinished(dir)?;
        let mut recovery = Recovery::default();
        let mut files = segment::list(dir)?;
        let (active, next) = loop {
            let Some((first, path)) = files.pop() else {
                break (create(dir, 0)?, 0);
            };
            let Some((active, next)) = recover(first, path.clone(), &mut recovery)? else {
                // Made, but its header never reached the disk: it held nothing.
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                if files.is_empty() {
                    break (create(dir, first)?, first);
                }
                continue;
            };
            break (active, next);
        };
        let mut closed = Vec::with_capacity(files.len());
        let mut following = active.first;
        for (first, path) in files.into_iter().rev() {
            let bytes = std::fs::metadata(&path).map_err(Error::io("look at", &path))?.len();
            closed.push(SegmentInfo {
                first,
                last: following.checked_sub(1).filter(|last| *last >= first),
                path,
                bytes,
            });
            following = first;
        }
        closed.reverse();
        let ledger = Ledger {
            dir: dir.to_owned(),
            _lock: lock,
            options,
            closed,
            active,
            buffer: Vec::new(),
            next,
            #[cfg(test)]
            room: None,
        };
        Ok((ledger, recovery))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Index that the next entry will get.
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// Index of the first entry of the segment that is written to.
    pub fn active_first(&self) -> u64 {
        self.active.first
    }

    /// Takes an entry and gives its index. It reaches the file with the next `commit`, or before. After an error it
    /// was not taken; what was taken before it is kept and written as soon as there is room.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        if bytes.len() > ENTRY_MAX {
            return Err(Error::TooLong { bytes: bytes.len() });
        }
        let size = FRAME_BYTES + bytes.len();
        let filled = self.active.written + self.buffer.len() as u64;
        if filled > HEADER_BYTES && filled + size as u64 > self.options.segment_bytes {
            self.rotate()?;
        }
        if !self.buffer.is_empty() && self.buffer.len() + size > BUFFER_BYTES {
            self.flush()?;
        }
        let index = self.next;
        segment::push_entry(&mut self.buffer, index, bytes);
        self.next += 1;
        Ok(index)
    }

    /// Writes what was taken, so that readers see it; `durable`: and waits until it is on the disk.
    pub fn commit(&mut self, durable: bool) -> Result<()> {
        self.flush()?;
        if durable {
            self.active.file.sync_data().map_err(Error::io("write to disk", &self.active.path))?;
        }
        Ok(())
    }

    /// Closes the segment, on disk, and begins the next. Does nothing where the segment has no entry.
    pub fn rotate(&mut self) -> Result<()> {
        self.commit(true)?;
        if self.next == self.active.first {
            return Ok(());
        }
        let active = create(&self.dir, self.next)?;
        let old = std::mem::replace(&mut self.active, active);
        self.closed.push(SegmentInfo {
            first: old.first,
            last: self.next.checked_sub(1),
            path: old.path,
            bytes: old.written,
        });
        Ok(())
    }

    /// All segments, oldest first; the last is the one that is written to.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let mut all = self.closed.clone();
        all.push(SegmentInfo {
            first: self.active.first,
            last: self.next.checked_sub(1).filter(|last| *last >= self.active.first),
            path: self.active.path.clone(),
            bytes: self.active.written + self.buffer.len() as u64,
        });
        all
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|s| s.bytes).sum();
        closed + self.active.written + self.buffer.len() as u64
    }

    /// Deletes a closed segment with all its entries.
    pub fn remove_segment(&mut self, first: u64) -> Result<()> {
        let Some(at) = self.closed.iter().position(|s| s.first == first) else {
            return Err(Error::NotRemovable { path: self.dir.clone(), first });
        };
        let segment = self.closed.remove(at);
        match std::fs::remove_file(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let failed = Error::io("remove", &segment.path)(error);
                self.closed.insert(at, segment);
                return Err(failed);
            }
            _ => {}
        }
        sync_dir(&self.dir)
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.write() {
            // Nothing half-written stays; if even this fails, the next write goes over it.
            let _ = self.active.file.set_len(self.active.written);
            return Err(Error::io("write to", &self.active.path)(error));
        }
        self.active.written += self.buffer.len() as u64;
        self.buffer.clear();
        // One huge entry is no reason to hold on to its memory.
        self.buffer.shrink_to(2 * BUFFER_BYTES);
        Ok(())
    }

    #[cfg(not(test))]
    fn write(&self) -> io::Result<()> {
        self.active.file.write_all_at(&self.buffer, self.active.written)
    }

    /// As above, on a disk that has only so much room.
    #[cfg(test)]
    fn write(&self) -> io::Result<()> {
        let room = self.room.map_or(usize::MAX, |room| room as usize).min(self.buffer.len());
        self.active.file.write_all_at(&self.buffer[..room], self.active.written)?;
        if room < self.buffer.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Best effort: whoever needs to know commits.
        let _ = self.flush();
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

/// Removes segments that were never finished being made.
fn remove_unfinished(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(Error::io("read the folder", dir))? {
        let path = entry.map_err(Error::io("read the folder", dir))?.path();
        if path.extension().is_some_and(|it| it == "tmp") {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Makes an empty segment: under another name first, so that a segment with its name has its header.
fn create(dir: &Path, first: u64) -> Result<Active> {
    let unfinished = dir.join(format!("{first:020}.tmp"));
    let path = dir.join(segment::file_name(first));
    let make = || {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all_at(&segment::header(first), 0)?;
        file.sync_data()?;
        std::fs::rename(&unfinished, &path)?;
        Ok(file)
    };
    let file = make().map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        Error::io("make", &path)(error)
    })?;
    sync_dir(dir)?;
    Ok(Active { file, path, first, written: HEADER_BYTES })
}

/// Reads the newest segment to its end and cuts off what is no whole entry. `None`: it has no header and no entries.
fn recover(first: u64, path: PathBuf, recovery: &mut Recovery) -> Result<Option<(Active, u64)>> {
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
    let reading = file.try_clone().map_err(Error::io("open", &path))?;
    let mut cursor = match Cursor::open(reading).map_err(Error::io("read", &path))? {
        Ok(cursor) => cursor,
        Err(reason) => {
            let bytes = file.metadata().map_err(Error::io("look at", &path))?.len();
            if bytes <= HEADER_BYTES {
                recovery.cut = Some(TornTail { file: path, offset: 0, bytes });
                return Ok(None);
            }
            return Err(Error::Header { path, reason });
        }
    };
    if cursor.index != first {
        return Err(Error::Header { path, reason: format!("its header says entry {}", cursor.index) });
    }
    let torn = loop {
        match cursor.step(true).map_err(Error::io("read", &path))? {
            Step::Entry { .. } | Step::Corrupt { .. } => {}
            Step::End { torn } => break torn,
        }
    };
    let written = cursor.offset;
    if torn > 0 {
        file.set_len(written).map_err(Error::io("cut", &path))?;
        file.sync_data().map_err(Error::io("write to disk", &path))?;
        recovery.cut = Some(TornTail { file: path.clone(), offset: written, bytes: torn });
    }
    let next = cursor.index;
    Ok(Some((Active { file, path, first, written }, next)))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(Error::io("write to disk", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;

    fn all(dir: &Path) -> Vec<Vec<u8>> {
        Reader::open(dir).unwrap().iter_from(0).map(|entry| entry.unwrap().1).collect()
    }

    #[test]
    fn a_full_disk_leaves_whole_entries_and_later_appends_work() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::open(dir.path(), Options::default()).unwrap();
        ledger.append(b"before").unwrap();
        ledger.commit(true).unwrap();
        ledger.room = Some(11);
        ledger.append(b"held").unwrap();
        ledger.append(b"back").unwrap();
        let error = ledger.commit(false).unwrap_err();
        assert!(error.is_disk_full());
        assert!(error.to_string().contains("00000000000000000000.log"), "{error}");
        assert_eq!(all(dir.path()), [b"before".to_vec()]);
        let size = std::fs::metadata(&ledger.segments()[0].path).unwrap().len();
        assert_eq!(size, HEADER_BYTES + 8 + 6, "nothing half-written stays");
        // The buffer is bounded: an append that does not fit is refused, what was accepted stays.
        let large = vec![7; BUFFER_BYTES];
        assert!(ledger.append(&large).unwrap_err().is_disk_full());
        assert_eq!(ledger.next_index(), 3);
        ledger.room = None;
        assert_eq!(ledger.append(b"after").unwrap(), 3);
        ledger.commit(false).unwrap();
        drop(ledger);
        let (_, recovery) = Ledger::open(dir.path(), Options::default()).unwrap();
        assert_eq!(recovery, Recovery::default());
        assert_eq!(
            all(dir.path()),
            [b"before".to_vec(), b"held".to_vec(), b"back".to_vec(), b"after".to_vec()]
        );
    }
}
