//! One segment of the journal: its header, its entries, and a cursor over them that survives any bytes. An entry is
//! acknowledged once its segment is on the disk; a segment goes once its bundles and tiles are.
//!
//! ```text
//! header, 64 bytes   magic "MUSTERLG" | u32 version | u32 header length | u64 first index
//!                    | 32 bytes: root of the tree before the first entry | u32 reserved | u32 crc32
//! entry              u32 length | u32 crc32 of (u64 index | u32 length | bytes) | bytes
//! ```
//!
//! Numbers are little-endian. The checksum covers the index, so that an entry cannot stand in for another, and is never
//! zero, so that zeros are no empty entries: a power cut leaves them, and a segment may be made as long as it will become
//! before it is written to (a file that grows has to wait for the file system's own journal at each sync).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::tree::Hash;
use crate::{Error, Result};

/// Longest entry, in bytes: a bundle gives its length in 16 bits.
pub const ENTRY_MAX: usize = 65_535;

pub(crate) const HEADER_BYTES: u64 = 64;
pub(crate) const FRAME_BYTES: usize = 8;
const MAGIC: &[u8; 8] = b"MUSTERLG";
const VERSION: u32 = 2;
/// What a cursor reads at once.
const CHUNK: usize = 256 * 1024;
/// Entries that are looked at behind a damaged one, to tell damage in the middle from a torn tail.
const LOOK_AHEAD: usize = 16;

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Index of its first entry.
    pub first: u64,
    /// Index of its last entry; `None`: it has none yet.
    pub last: Option<u64>,
    pub path: PathBuf,
    pub bytes: u64,
}

/// What will be the next segment: zeros, on the disk. One that a dead writer left is made again.
pub(crate) const SPARE: &str = "spare.tmp";

pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// The first index, from the name of a segment file.
fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The folder of a ledger that its segments are in.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("segments")
}

/// The segment files of a folder, by first index.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("read the folder", dir))? {
        let entry = entry.map_err(Error::io("read the folder", dir))?;
        if let Some(first) = entry.file_name().to_str().and_then(parse_name) {
            found.push((first, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn header(first: u64, root: &Hash) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(root);
    bytes.extend_from_slice(&[0; 4]);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Index of the first entry and the root of the tree before it, or why the bytes are no header.
pub(crate) fn parse_header(bytes: &[u8]) -> std::result::Result<(u64, Hash), String> {
    let head = bytes.get(..HEADER_BYTES as usize).ok_or("the header is cut short")?;
    if head.get(..8) != Some(MAGIC.as_slice()) {
        return Err("the file does not begin with `MUSTERLG`".to_owned());
    }
    if head.get(..60).map(crc32fast::hash) != u32_at(head, 60) {
        return Err("the checksum of the header is wrong".to_owned());
    }
    match u32_at(head, 8) {
        Some(VERSION) => {}
        version => return Err(format!("version {} instead of {VERSION}", version.unwrap_or(0))),
    }
    let first = head.get(16..24).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let root = head.get(24..56).and_then(|b| b.try_into().ok());
    first.zip(root).ok_or_else(|| "the header is cut short".to_owned())
}

pub(crate) fn push_entry(buffer: &mut Vec<u8>, index: u64, bytes: &[u8]) {
    let len = bytes.len() as u32;
    buffer.reserve(FRAME_BYTES + bytes.len());
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&checksum(index, bytes).to_le_bytes());
    buffer.extend_from_slice(bytes);
}

fn checksum(index: u64, bytes: &[u8]) -> u32 {
    let mut salt = [0u8; 12];
    let (at, len) = salt.split_at_mut(8);
    at.copy_from_slice(&index.to_le_bytes());
    len.copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt);
    hasher.update(bytes);
    match hasher.finalize() {
        0 => u32::MAX,
        crc => crc,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

/// Bytes that can be read from any place.
pub(crate) trait Source {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn len(&self) -> io::Result<u64>;
}

impl Source for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Source for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }
}

/// What stands at a cursor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A whole entry; its bytes are `Cursor::bytes`.
    Entry { index: u64 },
    /// Nothing more, but for what `Cursor::torn` counts.
    End,
    /// Damage. `resumes`: the entry behind it can be read.
    Corrupt { offset: u64, index: u64, reason: &'static str, resumes: bool },
}

/// Reads the entries of one segment, in order.
pub(crate) struct Cursor<S> {
    source: S,
    /// Index and place of the next entry.
    pub index: u64,
    pub offset: u64,
    /// Of the tree before the segment's first entry.
    pub root: Hash,
    buffer: Vec<u8>,
    /// Place of the buffer's first byte in the file.
    start: u64,
    entry: std::ops::Range<usize>,
}

impl<S: Source> Cursor<S> {
    /// A cursor at the start, once the header is found good.
    pub fn open(source: S) -> io::Result<std::result::Result<Self, String>> {
        let mut cursor = Cursor::at(source, 0, 0);
        let parsed = parse_header(cursor.window(0, HEADER_BYTES as usize)?);
        Ok(parsed.map(|(first, root)| {
            cursor.index = first;
            cursor.root = root;
            cursor.offset = HEADER_BYTES;
            cursor
        }))
    }

    fn at(source: S, index: u64, offset: u64) -> Self {
        Cursor { source, index, offset, root: [0; 32], buffer: Vec::new(), start: 0, entry: 0..0 }
    }

    /// Goes to a place that is known to begin this entry.
    pub fn jump(&mut self, index: u64, offset: u64) {
        self.index = index;
        self.offset = offset;
    }

    /// The bytes of the entry that `step` stood on.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.entry.clone()).unwrap_or_default()
    }

    /// Takes one step. `last`: this is the newest segment, so what is no whole entry at its end is not yet one.
    pub fn step(&mut self, last: bool) -> io::Result<Step> {
        let (offset, index) = (self.offset, self.index);
        match self.frame(offset, index)? {
            Frame::Nothing => Ok(Step::End),
            // Room that is not used yet, or what a power cut left of a page.
            Frame::Zeros if last || self.torn()? == 0 => Ok(Step::End),
            Frame::Zeros => self.broken(last, "zeros in place of an entry"),
            Frame::Whole { len } => {
                let from =
                    usize::try_from(offset - self.start).unwrap_or(usize::MAX).saturating_add(FRAME_BYTES);
                self.entry = from..from.saturating_add(len);
                self.offset = offset + (FRAME_BYTES + len) as u64;
                self.index = index + 1;
                Ok(Step::Entry { index })
            }
            Frame::Wrong { len } => {
                let behind = offset + (FRAME_BYTES + len) as u64;
                let at_end = behind >= self.source.len()?;
                if self.whole_behind(behind, index + 1)? || (at_end && !last) {
                    self.offset = behind;
                    self.index = index + 1;
                    return Ok(Step::Corrupt { offset, index, reason: "wrong checksum", resumes: true });
                }
                self.broken(last, "wrong checksum")
            }
            Frame::Broken => self.broken(last, "the length reaches beyond the end"),
        }
    }

    /// Bytes behind the last whole entry that are no whole one: up to the last that is not zero.
    pub fn torn(&mut self) -> io::Result<u64> {
        let mut end = self.source.len()?;
        let mut buffer = vec![0; CHUNK];
        while end > self.offset {
            let from = self.offset.max(end.saturating_sub(CHUNK as u64));
            let room = usize::try_from(end - from).unwrap_or(usize::MAX);
            let mut filled = 0;
            while let Some(part) = buffer.get_mut(filled..room).filter(|part| !part.is_empty()) {
                match self.source.read_at(part, from + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let read = buffer.get(..filled).unwrap_or_default();
            if let Some(at) = read.iter().rposition(|byte| *byte != 0) {
                return Ok(from + at as u64 + 1 - self.offset);
            }
            end = from;
        }
        Ok(0)
    }

    fn broken(&mut self, last: bool, reason: &'static str) -> io::Result<Step> {
        if last {
            return Ok(Step::End);
        }
        Ok(Step::Corrupt { offset: self.offset, index: self.index, reason, resumes: false })
    }

    /// Whether a whole entry stands a little further on, if the lengths are believed.
    fn whole_behind(&mut self, mut offset: u64, mut index: u64) -> io::Result<bool> {
        for _ in 0..LOOK_AHEAD {
            match self.frame(offset, index)? {
                Frame::Whole { .. } => return Ok(true),
                Frame::Wrong { len } => {
                    offset += (FRAME_BYTES + len) as u64;
                    index += 1;
                }
                Frame::Nothing | Frame::Zeros | Frame::Broken => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Passes one entry by, without a look at its bytes. `false`: there is none.
    pub fn skip(&mut self) -> io::Result<bool> {
        let head = self.window(self.offset, FRAME_BYTES)?;
        let Some(len) = u32_at(head, 0).filter(|_| head.len() == FRAME_BYTES) else { return Ok(false) };
        if head == [0; FRAME_BYTES] {
            return Ok(false);
        }
        let next = self.offset + FRAME_BYTES as u64 + u64::from(len);
        if len as usize > ENTRY_MAX || next > self.known_end(self.offset, len as usize)? {
            return Ok(false);
        }
        self.offset = next;
        self.index += 1;
        Ok(true)
    }

    fn frame(&mut self, offset: u64, index: u64) -> io::Result<Frame> {
        let head = self.window(offset, FRAME_BYTES)?;
        if head.is_empty() {
            return Ok(Frame::Nothing);
        }
        let (Some(len), Some(crc)) = (u32_at(head, 0), u32_at(head, 4)) else { return Ok(Frame::Broken) };
        if len == 0 && crc == 0 {
            return Ok(Frame::Zeros);
        }
        let len = len as usize;
        if len > ENTRY_MAX || offset + (FRAME_BYTES + len) as u64 > self.known_end(offset, len)? {
            return Ok(Frame::Broken);
        }
        let bytes = self.window(offset, FRAME_BYTES + len)?.get(FRAME_BYTES..FRAME_BYTES + len);
        Ok(match bytes {
            Some(bytes) if checksum(index, bytes) == crc => Frame::Whole { len },
            Some(_) => Frame::Wrong { len },
            None => Frame::Broken,
        })
    }

    /// A place that the source is known to reach: asks the file only where the buffer does not tell.
    fn known_end(&self, offset: u64, len: usize) -> io::Result<u64> {
        let buffered = self.start + self.buffer.len() as u64;
        if offset + (FRAME_BYTES + len) as u64 <= buffered { Ok(buffered) } else { self.source.len() }
    }

    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    fn window(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let held = self.start..self.start + self.buffer.len() as u64;
        if !(held.start <= offset && offset + len as u64 <= held.end) {
            self.fill(offset, len.max(CHUNK))?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let there = self.source.len()?.saturating_sub(offset);
        let want = len.min(usize::try_from(there).unwrap_or(usize::MAX));
        self.start = offset;
        self.buffer.resize(want, 0);
        let mut filled = 0;
        while let Some(room) = self.buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.source.read_at(room, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

enum Frame {
    Nothing,
    Zeros,
    Whole {
        len: usize,
    },
    /// Framed, but the checksum is not that of the bytes.
    Wrong {
        len: usize,
    },
    Broken,
}

/// Reads arbitrary bytes as one segment (the newest one) and calls `visit` with each whole entry. Gives the number of
/// damaged entries and of torn bytes, or says why the bytes are no segment. For fuzzing and for tools.
pub fn scan(bytes: &[u8], mut visit: impl FnMut(u64, &[u8])) -> std::result::Result<(u64, u64), String> {
    let mut cursor = Cursor::open(bytes).map_err(|error| error.to_string())??;
    let mut damaged = 0;
    loop {
        match cursor.step(true).map_err(|error| error.to_string())? {
            Step::Entry { index } => visit(index, cursor.bytes()),
            Step::Corrupt { .. } => damaged += 1,
            Step::End => {
                let torn = cursor.torn().map_err(|error| error.to_string())?;
                return Ok((damaged, torn));
            }
        }
    }
}
