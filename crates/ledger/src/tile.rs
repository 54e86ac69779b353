//! Tiles and bundles as C2SP tlog-tiles lays them out: where they are, and what stands in them.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::tree::{Hash, TILE_WIDTH};
use crate::{ENTRY_MAX, Error, Result};

/// Longest bundle: 256 leaves of the greatest length.
pub(crate) const BUNDLE_MAX: u64 = TILE_WIDTH * (ENTRY_MAX as u64 + 2);

/// A hash tile (`Some(level)`) or an entry bundle (`None`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileName {
    pub level: Option<u32>,
    pub index: u64,
    /// Number of hashes or entries, 1 to 256; 256: it is full.
    pub width: u64,
}

impl TileName {
    pub fn hashes(level: u32, index: u64, width: u64) -> TileName {
        TileName { level: Some(level), index, width }
    }

    pub fn bundle(index: u64, width: u64) -> TileName {
        TileName { level: None, index, width }
    }

    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Relative to the log's prefix: `tile/0/x001/234.p/17`.
    pub fn path(&self) -> String {
        let mut path = match self.level {
            Some(level) => format!("tile/{level}/"),
            None => "tile/entries/".to_owned(),
        };
        path.push_str(&index_path(self.index));
        if !self.is_full() {
            path.push_str(&format!(".p/{}", self.width));
        }
        path
    }

    /// The name that a path gives, as strictly as it is written.
    pub fn parse(path: &str) -> Option<TileName> {
        let rest = path.strip_prefix("tile/")?;
        let (level, rest) = rest.split_once('/')?;
        let level = match level {
            "entries" => None,
            level => Some(number(level).filter(|level| *level < 64)? as u32),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, number(width).filter(|w| (1..TILE_WIDTH).contains(w))?),
            None => (rest, TILE_WIDTH),
        };
        let mut value: u64 = 0;
        let mut parts = index.split('/').peekable();
        while let Some(part) = parts.next() {
            let digits = if parts.peek().is_some() { part.strip_prefix('x')? } else { part };
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            value = value.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        // Leading `x000` would name the same tile twice.
        (index_path(value) == index).then_some(TileName { level, index: value, width })
    }

    /// First leaf that it stands for, and the one behind its last.
    pub fn leaves(&self) -> (u64, u64) {
        let shift = 8 * self.level.unwrap_or(0);
        let first = self.index.saturating_mul(TILE_WIDTH);
        let scale = |n: u64| n.saturating_mul(1u64.checked_shl(shift).unwrap_or(u64::MAX));
        (scale(first), scale(first.saturating_add(self.width)))
    }
}

fn number(text: &str) -> Option<u64> {
    let canonical = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// `x001/x234/067`.
fn index_path(index: u64) -> String {
    let mut parts = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        parts.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    parts.reverse();
    parts.join("/")
}

/// The hashes of a tile. `None`: its length is no multiple of a hash's.
pub fn parse_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    if bytes.len() > 32 * TILE_WIDTH as usize {
        return None;
    }
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.to_vec())
}

/// Adds an entry to a bundle. The entry is no longer than `ENTRY_MAX`.
pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    bundle.reserve(2 + entry.len());
    bundle.extend_from_slice(&(entry.len() as u16).to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle, in order; `Err`: the place from which the bytes are none.
pub fn entries(bundle: &[u8]) -> impl Iterator<Item = std::result::Result<&[u8], usize>> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = bundle.len() - rest.len();
        let cut = rest
            .split_first_chunk::<2>()
            .and_then(|(len, behind)| behind.split_at_checked(usize::from(u16::from_be_bytes(*len))));
        match cut {
            Some((entry, behind)) => {
                rest = behind;
                Some(Ok(entry))
            }
            None => {
                rest = &[];
                Some(Err(at))
            }
        }
    })
}

/// Opens a file of the log for reading. `None`: it is not there. What is no regular file (a link, a pipe, a device) is
/// damage: nothing that a stranger puts into a folder may hold up who reads it.
pub(crate) fn open_file(path: &Path) -> Result<Option<(File, u64)>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let no_file = |reason: &str| Error::Malformed { path: path.to_owned(), reason: reason.to_owned() };
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(no_file("it is a symbolic link"));
        }
        Err(error)
            if [Errno::NXIO, Errno::NODEV, Errno::NOTDIR]
                .iter()
                .any(|it| error.raw_os_error() == Some(it.raw_os_error())) =>
        {
            return Err(no_file("it is no regular file"));
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let metadata = file.metadata().map_err(Error::io("look at", path))?;
    if !metadata.is_file() {
        return Err(no_file("it is no regular file"));
    }
    Ok(Some((file, metadata.len())))
}

/// Reads a file of the log whole, in place of what is in `bytes`. `false`: it is not there.
pub(crate) fn read_into(dir: &Path, name: &str, bytes_max: u64, bytes: &mut Vec<u8>) -> Result<bool> {
    let path = dir.join(name);
    bytes.clear();
    let Some((file, len)) = open_file(&path)? else { return Ok(false) };
    let too_long =
        || Error::Malformed { path: path.clone(), reason: "it is longer than it can be".to_owned() };
    if len > bytes_max {
        return Err(too_long());
    }
    bytes.reserve(len as usize + 1);
    file.take(bytes_max + 1).read_to_end(bytes).map_err(Error::io("read", &path))?;
    if bytes.len() as u64 > bytes_max { Err(too_long()) } else { Ok(true) }
}

/// Reads a file of the log whole. `None`: it is not there.
pub(crate) fn read_file(dir: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    Ok(read_into(dir, name, bytes_max, &mut bytes)?.then_some(bytes))
}

/// Where leaves are that outlive their bundle: offset in the bundle, length, bytes.
pub(crate) fn kept_path(dir: &Path, bundle: u64) -> PathBuf {
    dir.join(kept_name(bundle))
}

pub(crate) fn kept_name(bundle: u64) -> String {
    format!("kept/{}", index_path(bundle))
}

pub(crate) fn push_kept(bytes: &mut Vec<u8>, at: u8, entry: &[u8]) {
    bytes.push(at);
    push_entry(bytes, entry);
}

/// The kept leaves of a bundle: their place in it, and their bytes; `None`: the bytes are no such file.
pub(crate) fn parse_kept(bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found: Vec<(u8, &[u8])> = Vec::new();
    let mut rest = bytes;
    while let Some((&at, behind)) = rest.split_first() {
        let (len, behind) = behind.split_first_chunk::<2>()?;
        let (entry, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        if found.last().is_some_and(|(last, _)| *last >= at) {
            return None;
        }
        found.push((at, entry));
        rest = behind;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let name = |text: &str| TileName::parse(text);
        assert_eq!(TileName::hashes(0, 1_234_067, 256).path(), "tile/0/x001/x234/067");
        assert_eq!(TileName::bundle(5, 17).path(), "tile/entries/005.p/17");
        for good in ["tile/0/000", "tile/63/x001/000.p/1", "tile/entries/x999/999.p/255"] {
            assert_eq!(name(good).unwrap().path(), good);
        }
        for bad in [
            "tile/64/000",
            "tile/00/000",
            "tile/0/00",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/000.p/256",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/../000",
            "tile/0/",
            "tile/-1/000",
            "tile/0/x001",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(name(bad), None, "{bad}");
        }
        assert_eq!(TileName::hashes(1, 1, 17).leaves(), (65_536, 65_536 + 17 * 256));
    }
}
