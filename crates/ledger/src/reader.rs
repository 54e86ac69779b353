//! Reading a ledger, in any process, also while it is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::segment::{self, Cursor, HEADER_BYTES, Step};
use crate::{Error, Result, SegmentInfo};

/// How far apart the entries are whose place is remembered.
const STRIDE: u64 = 256;
/// Segments whose places are remembered: bounds the reader's memory.
const PLACES_MAX: usize = 1024;

pub struct Reader {
    dir: PathBuf,
    /// For each segment, where its entries `first + n * STRIDE` are, as far as it was read.
    places: Mutex<BTreeMap<u64, Vec<u64>>>,
}

impl Reader {
    pub fn open(dir: &Path) -> Result<Reader> {
        segment::list(dir)?;
        Ok(Reader { dir: dir.to_owned(), places: Mutex::default() })
    }

    /// All segments that are there now, oldest first. The newest is counted, so this reads it.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        let files = segment::list(&self.dir)?;
        let mut all = Vec::with_capacity(files.len());
        for (at, (first, path)) in files.iter().enumerate() {
            let bytes = match std::fs::metadata(path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("look at", path)(error)),
            };
            let last = match files.get(at + 1) {
                Some((next, _)) => next.checked_sub(1),
                None => self.count(path)?.checked_sub(1),
            };
            let last = last.filter(|last| last >= first);
            all.push(SegmentInfo { first: *first, last, path: path.clone(), bytes });
        }
        Ok(all)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> Result<u64> {
        let files = segment::list(&self.dir)?;
        Ok(files.iter().filter_map(|(_, path)| std::fs::metadata(path).ok()).map(|m| m.len()).sum())
    }

    /// Index behind the last entry of this (newest) segment.
    fn count(&self, path: &Path) -> Result<u64> {
        let Some(mut cursor) = open_cursor(path)? else { return Ok(0) };
        while !matches!(cursor.step(true).map_err(Error::io("read", path))?, Step::End { .. }) {}
        Ok(cursor.index)
    }

    /// One entry.
    pub fn read(&self, index: u64) -> Result<Vec<u8>> {
        let files = segment::list(&self.dir)?;
        let not_found = || Error::NotFound { path: self.dir.clone(), index };
        let at = files.partition_point(|(first, _)| *first <= index).checked_sub(1).ok_or_else(not_found)?;
        let (first, path) = files.get(at).ok_or_else(not_found)?;
        let last = at + 1 == files.len();
        let mut cursor = open_cursor(path)?.ok_or_else(not_found)?;
        if !self.seek(*first, &mut cursor, index).map_err(Error::io("read", path))? {
            return Err(not_found());
        }
        match cursor.step(last).map_err(Error::io("read", path))? {
            Step::Entry { .. } => Ok(cursor.bytes().to_vec()),
            Step::End { .. } => Err(not_found()),
            Step::Corrupt { offset, index, reason, .. } => {
                Err(Error::Corrupt { path: path.clone(), offset, index, reason })
            }
        }
    }

    /// Moves a cursor to an entry; remembers places on the way. `false`: the segment does not reach so far.
    fn seek(&self, first: u64, cursor: &mut Cursor<File>, index: u64) -> io::Result<bool> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES_MAX && !places.contains_key(&first) {
            places.pop_first();
        }
        let known = places.entry(first).or_insert_with(|| vec![HEADER_BYTES]);
        let stop = usize::try_from(index.saturating_sub(first) / STRIDE).unwrap_or(usize::MAX);
        let nearest = stop.min(known.len().saturating_sub(1));
        if let Some(offset) = known.get(nearest) {
            cursor.jump(first + nearest as u64 * STRIDE, *offset);
        }
        while cursor.index < index {
            if !cursor.skip()? {
                return Ok(false);
            }
            let passed = cursor.index - first;
            if passed.is_multiple_of(STRIDE) && passed / STRIDE == known.len() as u64 {
                known.push(cursor.offset);
            }
        }
        Ok(true)
    }

    /// All entries from this index on that are there, in order. Where older ones were removed, it begins with the
    /// first that is there. A damaged entry is one error; what can be read behind it follows.
    pub fn iter_from(&self, index: u64) -> Entries<'_> {
        Entries { reader: self, wanted: index, open: None, failed: None, done: false }
    }
}

/// An iterator over entries. Ends at the last whole entry; calling it again later finds what was written since.
pub struct Entries<'a> {
    reader: &'a Reader,
    /// Index of the next entry to give.
    wanted: u64,
    open: Option<Open>,
    /// A segment that is read to its end, or cannot be read on: the next one follows.
    failed: Option<u64>,
    /// The folder itself cannot be read.
    done: bool,
}

struct Open {
    first: u64,
    path: PathBuf,
    cursor: Cursor<File>,
    last: bool,
}

impl Entries<'_> {
    /// The next entry, without a copy of its bytes. `None`: no more for now.
    pub fn next_entry(&mut self) -> Option<Result<(u64, &[u8])>> {
        if self.done {
            return None;
        }
        match self.advance() {
            Ok(Some(index)) => {
                let bytes = self.open.as_ref().map_or(&[][..], |open| open.cursor.bytes());
                Some(Ok((index, bytes)))
            }
            Ok(None) => None,
            Err(error) => {
                // Damage is passed by; what else fails would fail again.
                self.done = !matches!(error, Error::Corrupt { .. } | Error::Header { .. });
                Some(Err(error))
            }
        }
    }

    fn advance(&mut self) -> Result<Option<u64>> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            match open.cursor.step(open.last).map_err(Error::io("read", &open.path))? {
                Step::Entry { index } => {
                    self.wanted = index + 1;
                    return Ok(Some(index));
                }
                Step::Corrupt { offset, index, reason, resumes } => {
                    let error = Error::Corrupt { path: open.path.clone(), offset, index, reason };
                    if resumes {
                        self.wanted = index + 1;
                    } else {
                        self.failed = Some(open.first);
                        self.open = None;
                    }
                    return Err(error);
                }
                Step::End { .. } if open.last => {
                    // There may be a newer one by now; then this one has all that it will ever have.
                    let newest = segment::list(&self.reader.dir)?.last().map(|(first, _)| *first);
                    if newest.is_none_or(|first| first <= open.first) {
                        return Ok(None);
                    }
                    open.last = false;
                }
                Step::End { .. } => {
                    let (first, end, offset) = (open.first, open.cursor.index, open.cursor.offset);
                    let path = std::mem::take(&mut open.path);
                    self.open = None;
                    self.failed = Some(first);
                    self.wanted = self.wanted.max(end);
                    let next = segment::list(&self.reader.dir)?.into_iter().find(|(next, _)| *next > first);
                    // Whole old segments may be removed at any time; entries between two that are there may not.
                    if next.is_some_and(|(next, _)| next > end) && path.exists() {
                        let reason = "entries are missing behind it";
                        return Err(Error::Corrupt { path, offset, index: end, reason });
                    }
                }
            }
        }
    }

    /// Opens the segment of the wanted entry, or the next one that is there.
    fn open_next(&mut self) -> Result<bool> {
        let files = segment::list(&self.reader.dir)?;
        let mut at = files.partition_point(|(first, _)| *first <= self.wanted).saturating_sub(1);
        if let Some(failed) = self.failed {
            at = at.max(files.partition_point(|(first, _)| *first <= failed));
        }
        let Some((first, path)) = files.get(at) else { return Ok(false) };
        let last = at + 1 == files.len();
        let opened = match open_cursor(path) {
            Ok(Some(cursor)) => Ok(cursor),
            // Removed since: the next listing does not have it.
            Ok(None) => return self.open_next(),
            Err(error) => Err(error),
        };
        let mut cursor = match opened {
            Ok(cursor) => cursor,
            Err(error) => {
                self.failed = Some(*first);
                return Err(error);
            }
        };
        if self.wanted > *first
            && !self.reader.seek(*first, &mut cursor, self.wanted).map_err(Error::io("read", path))?
            && !last
        {
            self.failed = Some(*first);
            let reason = "entries are missing behind it";
            return Err(Error::Corrupt {
                path: path.clone(),
                offset: cursor.offset,
                index: cursor.index,
                reason,
            });
        }
        self.open = Some(Open { first: *first, path: path.clone(), cursor, last });
        Ok(true)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(u64, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|entry| entry.map(|(index, bytes)| (index, bytes.to_vec())))
    }
}

/// `None`: the file is gone.
fn open_cursor(path: &Path) -> Result<Option<Cursor<File>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    match Cursor::open(file).map_err(Error::io("read", path))? {
        Ok(cursor) => Ok(Some(cursor)),
        Err(reason) => Err(Error::Header { path: path.to_owned(), reason }),
    }
}
