//! Opens a database that another program writes so that the other never meets a lock of ours: OpenCode sets the way of its
//! journal before it sets how long it waits for others, and a lock at that moment ends it with "database is locked".

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ffi};

/// A log that was begun this long ago has its index by now.
const YOUNG: Duration = Duration::from_secs(2);

pub(super) enum Opened {
    /// Its writers use a log and an index of it: locks for reading, which hinder none of them, are all that can be taken,
    /// for the index is opened for reading only. Nothing is repaired, no file is made.
    Shared(Connection),
    /// Nobody has it open, or it has no log (yet): read without any lock. It counts if the file was the same afterwards.
    Alone(Connection),
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub fn of(path: &str) -> rusqlite::Result<Self> {
        let meta = fs::metadata(path).map_err(|_| failure(ffi::SQLITE_CANTOPEN, "it is not there"))?;
        Ok(Self { inode: meta.ino(), len: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) })
    }
}

pub(super) fn open(path: &str) -> rusqlite::Result<Opened> {
    if !has_log(path)? {
        let being_written = exists(path, "-journal");
        return if being_written { Err(locked()) } else { with(path, "immutable=1").map(Opened::Alone) };
    }
    if exists(path, "-shm") {
        return with(path, "readonly_shm=1").map(Opened::Shared);
    }
    match fs::metadata(format!("{path}-wal")) {
        Ok(log) if log.len() > 0 => {
            let young = log.modified().ok().and_then(|at| at.elapsed().ok()).is_none_or(|age| age < YOUNG);
            if young {
                return Err(locked());
            }
            // To read it would be to repair it, under those who may have it open.
            Err(failure(ffi::SQLITE_READONLY, "the index of its log is gone"))
        }
        _ => with(path, "immutable=1").map(Opened::Alone),
    }
}

/// As SQLite does by itself: for a copy that nobody writes.
pub(super) fn open_copy(path: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(Path::new(path), flags)
}

/// Does somebody write it by now, of whom nothing was seen when it was opened alone?
pub(super) fn is_written(path: &str) -> bool {
    exists(path, "-shm") || exists(path, "-journal")
}

fn with(path: &str, how: &str) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{}?mode=ro&{how}", escaped(path)), flags)?;
    // Other accounts wait for this one.
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// What means something in a URI, as `%XX`.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// By its header: are changes kept in a log beside it?
fn has_log(path: &str) -> rusqlite::Result<bool> {
    let mut header = [0u8; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    // Shorter: it is being made.
    read.map_err(|_| failure(ffi::SQLITE_CANTOPEN, "it has no header yet"))?;
    let [.., write, read] = header;
    Ok(write == 2 && read == 2)
}

fn exists(path: &str, suffix: &str) -> bool {
    fs::metadata(format!("{path}{suffix}")).is_ok()
}

fn locked() -> rusqlite::Error {
    failure(ffi::SQLITE_BUSY, "it is being written")
}

fn failure(code: i32, why: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(opened: &Opened) -> i64 {
        let (Opened::Shared(connection) | Opened::Alone(connection)) = opened;
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    fn folder() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        // What means something in a URI.
        let path = folder.path().join("a?b#c %41.db").to_str().unwrap().to_owned();
        (folder, path)
    }

    #[test]
    fn its_writer_meets_no_lock_while_it_is_read() {
        let (_folder, path) = folder();
        let writer = Connection::open(&path).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1);")
            .unwrap();
        let opened = open(&path).unwrap();
        assert!(matches!(opened, Opened::Shared(_)));
        let Opened::Shared(reader) = &opened else { return };
        reader.execute_batch("BEGIN; SELECT * FROM t;").unwrap();
        assert_eq!(rows(&opened), 1);
        // In the midst of a reading: another program starts, as OpenCode does, and writes.
        let other = Connection::open(&path).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        other.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(PASSIVE);").unwrap();
        other.execute_batch("CREATE TABLE u (y); INSERT INTO t VALUES (2);").unwrap();
        assert_eq!(rows(&opened), 1);
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(rows(&opened), 2);
        // And where both end, and another starts, it goes on.
        drop((writer, other));
        let third = Connection::open(&path).unwrap();
        third.busy_timeout(Duration::ZERO).unwrap();
        third.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO t VALUES (3);").unwrap();
        assert_eq!(rows(&opened), 3);
    }

    #[test]
    fn one_without_a_log_can_be_given_one_while_it_is_read() {
        let (_folder, path) = folder();
        let writer = Connection::open(&path).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        assert!(open(&path).is_err(), "it is empty");
        writer.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
        let opened = open(&path).unwrap();
        assert!(matches!(opened, Opened::Alone(_)));
        let Opened::Alone(reader) = &opened else { return };
        reader.execute_batch("BEGIN; SELECT * FROM t;").unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO t VALUES (2);").unwrap();
        assert!(is_written(&path));
        assert!(matches!(open(&path).unwrap(), Opened::Shared(_)));
    }

    /// All closed: log and index are gone, and reading makes none.
    #[test]
    fn one_that_nobody_has_open_is_read_without_a_trace() {
        let (folder, path) = folder();
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1);")
            .unwrap();
        drop(writer);
        let opened = open(&path).unwrap();
        assert!(matches!(opened, Opened::Alone(_)));
        assert_eq!(rows(&opened), 1);
        drop(opened);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
