//! The members of a ZIP file (Inspect's `.eval`): stored, deflated or zstd (method 93, of one frame or many). Only what its
//! directory lists is read; a file without one is torn.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::ReadError;

/// A directory of more bytes is refused: a million members.
const DIRECTORY_MAX: u64 = 96 << 20;
const MEMBERS_MAX: usize = 1_000_000;
/// Plain bytes for each packed one, above `RATIO_FREE`: no log packs so well, a bomb does.
const RATIO_MAX: u64 = 5_000;
const RATIO_FREE: u64 = 16 << 20;
/// Plain bytes of one member.
const MEMBER_MAX: u64 = 16 << 30;
const NAME_MAX: usize = 4_096;
/// The end record and its longest comment.
const TAIL: u64 = 22 + 65_535;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const ZSTD: u16 = 93;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    method: u16,
    packed: u64,
    pub plain: u64,
    offset: u64,
    encrypted: bool,
}

/// The members, in the order of the directory.
pub fn members(file: &mut (impl Read + Seek)) -> Result<Vec<Member>, ReadError> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_at = length.saturating_sub(TAIL);
    let tail = bytes(file, tail_at, length - tail_at)?;
    let end = (0..tail.len().saturating_sub(21))
        .rev()
        .find(|at| tail.get(*at..at + 4) == Some(b"PK\x05\x06"))
        .ok_or_else(|| {
            ReadError::Torn("it has no directory at its end: its writer was cut off".to_owned())
        })?;
    let word = |at: usize| number(&tail, end + at, 2);
    let long = |at: usize| number(&tail, end + at, 4);
    let (mut count, mut size, mut offset) = (word(10)?, long(12)?, long(16)?);
    if count == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff {
        let locator = end.checked_sub(20).filter(|at| tail.get(*at..at + 4) == Some(b"PK\x06\x07"));
        let locator = locator.ok_or_else(|| torn("its zip64 directory is missing"))?;
        let record = bytes(file, number(&tail, locator + 8, 8)?, 56)?;
        if record.get(..4) != Some(b"PK\x06\x06") {
            return Err(torn("its zip64 directory is missing"));
        }
        count = number(&record, 32, 8)?;
        size = number(&record, 40, 8)?;
        offset = number(&record, 48, 8)?;
    }
    if size > DIRECTORY_MAX || count > MEMBERS_MAX as u64 {
        return Err(ReadError::Refused(format!("its directory is too large ({count} members)")));
    }
    if offset.saturating_add(size) > length {
        return Err(torn("its directory lies outside of it"));
    }
    let directory = bytes(file, offset, size)?;
    let members = entries(&directory, count)?;
    // Members that share bytes multiply them: a bomb.
    let mut spans: Vec<(u64, u64)> = members.iter().map(|m| (m.offset, m.packed)).collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        if let [(first, packed), (second, _)] = pair
            && first.saturating_add(*packed) > *second
        {
            return Err(ReadError::Refused("its members overlap: a zip bomb".to_owned()));
        }
    }
    for member in &members {
        let ratio = member.packed.saturating_mul(RATIO_MAX).saturating_add(RATIO_FREE);
        if member.plain > ratio || member.plain > MEMBER_MAX {
            return Err(bomb(member));
        }
        if member.offset.saturating_add(member.packed) > length {
            return Err(torn("a member lies outside of it"));
        }
    }
    Ok(members)
}

fn torn(why: &str) -> ReadError {
    ReadError::Torn(why.to_owned())
}

fn bomb(member: &Member) -> ReadError {
    ReadError::Refused(format!(
        "member `{}` unpacks {} bytes to {}: a zip bomb",
        member.name, member.packed, member.plain
    ))
}

fn entries(directory: &[u8], count: u64) -> Result<Vec<Member>, ReadError> {
    let mut members = Vec::new();
    let mut at = 0;
    for _ in 0..count {
        if directory.get(at..at + 4) != Some(b"PK\x01\x02") {
            return Err(torn("its directory is cut off"));
        }
        let field = |offset: usize, width: usize| number(directory, at + offset, width);
        let (name, extra, comment) = (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
        if name > NAME_MAX {
            return Err(ReadError::Refused("a member's name is too long".to_owned()));
        }
        let raw = directory.get(at + 46..at + 46 + name).ok_or_else(|| torn("its directory is cut off"))?;
        let extras = directory.get(at + 46 + name..at + 46 + name + extra).unwrap_or_default();
        let mut member = Member {
            name: String::from_utf8_lossy(raw).into_owned(),
            method: field(10, 2)? as u16,
            packed: field(20, 4)?,
            plain: field(24, 4)?,
            offset: field(42, 4)?,
            encrypted: field(8, 2)? & 1 == 1,
        };
        zip64(&mut member, extras)?;
        members.push(member);
        at += 46 + name + extra + comment;
    }
    Ok(members)
}

/// Sizes that do not fit 32 bits stand in an extra field, in this order.
fn zip64(member: &mut Member, extras: &[u8]) -> Result<(), ReadError> {
    let mut at = 0;
    while at + 4 <= extras.len() {
        let (id, size) = (number(extras, at, 2)?, number(extras, at + 2, 2)? as usize);
        if id == 1 {
            let mut place = at + 4;
            for value in [&mut member.plain, &mut member.packed, &mut member.offset] {
                if *value == 0xffff_ffff && place + 8 <= at + 4 + size {
                    *value = number(extras, place, 8)?;
                    place += 8;
                }
            }
        }
        at += 4 + size;
    }
    Ok(())
}

/// Little-endian.
fn number(bytes: &[u8], at: usize, width: usize) -> Result<u64, ReadError> {
    let slice = bytes.get(at..at + width).ok_or_else(|| torn("its directory is cut off"))?;
    Ok(slice.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn bytes(file: &mut (impl Read + Seek), at: u64, length: u64) -> Result<Vec<u8>, ReadError> {
    file.seek(SeekFrom::Start(at))?;
    let mut out = Vec::new();
    file.take(length).read_to_end(&mut out)?;
    if (out.len() as u64) < length {
        return Err(torn("it is cut off"));
    }
    Ok(out)
}

/// Gives `read` the plain bytes of a member.
pub fn with_member<T>(
    file: &mut (impl Read + Seek),
    member: &Member,
    read: impl FnOnce(&mut dyn Read) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    if member.encrypted {
        return Err(ReadError::Refused(format!("member `{}` is encrypted", member.name)));
    }
    let header = bytes(file, member.offset, 30)?;
    if header.get(..4) != Some(b"PK\x03\x04") {
        return Err(torn("a member does not begin where the directory says"));
    }
    let skip = 30 + number(&header, 26, 2)? + number(&header, 28, 2)?;
    file.seek(SeekFrom::Start(member.offset.saturating_add(skip)))?;
    let packed = BufReader::new(file.take(member.packed));
    match member.method {
        STORED => read(&mut Exact::new(packed, member.plain)),
        DEFLATED => read(&mut Exact::new(flate2::bufread::DeflateDecoder::new(packed), member.plain)),
        ZSTD => read(&mut Exact::new(Frames::new(packed), member.plain)),
        other => Err(ReadError::Refused(format!("member `{}` is packed by method {other}", member.name))),
    }
}

/// Not one byte more than the directory says: else small bombs say that they are small.
struct Exact<R> {
    inner: R,
    left: u64,
}

impl<R> Exact<R> {
    fn new(inner: R, left: u64) -> Self {
        Exact { inner, left }
    }
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other("a member is longer than the directory says"))?;
        Ok(n)
    }
}

/// Zstd frames one behind the other.
struct Frames<R: Read> {
    state: Option<FrameState<R>>,
}

enum FrameState<R: Read> {
    Between(R),
    In(Box<ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
}

impl<R: io::BufRead> Frames<R> {
    fn new(inner: R) -> Self {
        Frames { state: Some(FrameState::Between(inner)) }
    }
}

impl<R: io::BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state.take() {
                None => return Ok(0),
                Some(FrameState::Between(mut inner)) => {
                    if inner.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = ruzstd::decoding::StreamingDecoder::new(inner)
                        .map_err(|error| io::Error::other(format!("zstd: {error}")))?;
                    self.state = Some(FrameState::In(Box::new(decoder)));
                }
                Some(FrameState::In(mut decoder)) => {
                    let n = decoder.read(buffer)?;
                    if n > 0 || buffer.is_empty() {
                        self.state = Some(FrameState::In(decoder));
                        return Ok(n);
                    }
                    self.state = Some(FrameState::Between(decoder.into_inner()));
                }
            }
        }
    }
}
