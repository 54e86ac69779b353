//! Reads what the probes send: the twin of `bpf/wire.h`. Whatever the bytes, nothing here panics: what does not fit is absent.

/// Bytes of `struct head`.
#[cfg(any(test, fuzzing))]
pub(crate) const HEAD_LEN: usize = 136;

pub(crate) mod kind {
    pub(crate) const FORK: u16 = 1;
    pub(crate) const EXEC: u16 = 2;
    pub(crate) const EXIT: u16 = 3;
    pub(crate) const SYSCALL: u16 = 4;
    pub(crate) const ARGV_MORE: u16 = 5;
    pub(crate) const NET: u16 = 6;
    pub(crate) const URING: u16 = 7;
    pub(crate) const OUTPUT: u16 = 8;
}

pub(crate) mod flag {
    pub(crate) const CUT: u16 = 1;
    pub(crate) const COMPAT: u16 = 2;
    pub(crate) const MEMBER: u16 = 4;
    pub(crate) const SCRIPT: u16 = 8;
    pub(crate) const CUT_PATH: u16 = 16;
    /// Arguments or environment are longer than one record.
    pub(crate) const LONG: u16 = 32;
}

pub(crate) mod tag {
    pub(crate) const FILE: u16 = 1;
    pub(crate) const PATH: u16 = 2;
    pub(crate) const CWD: u16 = 3;
    pub(crate) const ARGV: u16 = 4;
    pub(crate) const ENV: u16 = 5;
    pub(crate) const NAME: u16 = 6;
    pub(crate) const TEXT1: u16 = 7;
    pub(crate) const BASE1: u16 = 8;
    pub(crate) const FD1: u16 = 9;
    pub(crate) const TEXT2: u16 = 10;
    pub(crate) const BASE2: u16 = 11;
    pub(crate) const FD2: u16 = 12;
    pub(crate) const ADDRESS: u16 = 13;
    pub(crate) const DATA: u16 = 14;
}

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    /// System call, io_uring operation, or IP protocol.
    pub(crate) nr: u32,
    pub(crate) boot_ns: u64,
    pub(crate) start: u64,
    pub(crate) tgid: u32,
    pub(crate) tid: u32,
    pub(crate) uid: u32,
    pub(crate) session: u32,
    pub(crate) group: u32,
    pub(crate) parent: u32,
    pub(crate) parent_start: u64,
    pub(crate) cgroup: u64,
    pub(crate) comm: &'a [u8],
    pub(crate) ret: i64,
    pub(crate) args: [u64; 6],
    blobs: &'a [u8],
}

/// `struct file_info`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileInfo {
    pub(crate) inode: u64,
    pub(crate) device: u32,
    pub(crate) links: u32,
    /// On no mount that has a path: memfd, pipe, socket.
    pub(crate) internal: bool,
    pub(crate) open_mode: u32,
}

/// Takes numbers off the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

impl<'a> Raw<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut at = Cursor(bytes);
        Some(Raw {
            kind: at.u16()?,
            flags: at.u16()?,
            nr: at.u32()?,
            boot_ns: at.u64()?,
            start: at.u64()?,
            tgid: at.u32()?,
            tid: at.u32()?,
            uid: at.u32()?,
            session: at.u32()?,
            group: at.u32()?,
            parent: at.u32()?,
            parent_start: at.u64()?,
            cgroup: at.u64()?,
            comm: until_nul(at.bytes(16)?),
            ret: at.u64()? as i64,
            args: [at.u64()?, at.u64()?, at.u64()?, at.u64()?, at.u64()?, at.u64()?],
            blobs: at.0,
        })
    }

    /// The time of a record, without the rest.
    pub(crate) fn boot_ns_of(bytes: &[u8]) -> Option<u64> {
        bytes.get(8..)?.first_chunk().map(|b| u64::from_ne_bytes(*b))
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The first blob with this tag.
    pub(crate) fn blob(&self, tag: u16) -> Option<&'a [u8]> {
        let mut at = Cursor(self.blobs);
        loop {
            let (found, len) = (at.u16()?, at.u16()?);
            // A blob that claims more than there is ends where the record does.
            let bytes = at.bytes(usize::from(len).min(at.0.len()))?;
            if found == tag {
                return Some(bytes);
            }
        }
    }

    pub(crate) fn file(&self) -> Option<FileInfo> {
        let mut at = Cursor(self.blob(tag::FILE)?);
        let (inode, device, _magic, links, _mode) = (at.u64()?, at.u32()?, at.u32()?, at.u32()?, at.u32()?);
        Some(FileInfo { inode, device, links, internal: at.u32()? != 0, open_mode: at.u32()? })
    }

    /// An argument of a system call as the C type `int`.
    pub(crate) fn int(&self, index: usize) -> i64 {
        i64::from(self.args.get(index).copied().unwrap_or_default() as i32)
    }

    pub(crate) fn arg(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or_default()
    }
}

pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            if let Some(raw) = Raw::parse(&bytes) {
                for tag in 0..16 {
                    let _ = raw.blob(tag);
                }
                let _ = raw.file();
            }
        }

        #[test]
        fn a_blob_is_found_behind_others(first: Vec<u8>, second: Vec<u8>) {
            let mut bytes = vec![0; HEAD_LEN];
            for (tag, blob) in [(tag::CWD, &first), (tag::ARGV, &second)] {
                bytes.extend(tag.to_ne_bytes());
                bytes.extend((blob.len() as u16).to_ne_bytes());
                bytes.extend(blob);
            }
            let raw = Raw::parse(&bytes).unwrap();
            prop_assert_eq!(raw.blob(tag::CWD), Some(first.as_slice()));
            prop_assert_eq!(raw.blob(tag::ARGV), Some(second.as_slice()));
            prop_assert_eq!(raw.blob(tag::ENV), None);
        }
    }
}
