//! The "newc" archive that Linux unpacks as its first file system. Only what an initramfs needs.

use std::collections::BTreeSet;

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive being written. Parent folders are made as needed.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Archive {
    pub fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || !self.folders.insert(path.to_owned()) {
            return;
        }
        self.parent(path);
        self.entry(path, FOLDER, &[]);
    }

    /// An executable file: the rights of all others do not matter in there.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.parent(path);
        self.entry(path.trim_matches('/'), FILE, content);
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.parent(path);
        self.entry(path.trim_matches('/'), LINK, target.as_bytes());
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.trim_matches('/').rsplit_once('/') {
            self.folder(parent);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        // inode, mode, uid, gid, links, mtime, size, device ×2, special device ×2, length of the name, checksum
        let fields =
            [self.entries, mode, 0, 0, links, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_once_and_first() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", b"hello");
        archive.link("/a/d", "b/c");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(text.matches("070701").count(), 5);
        let places: Vec<_> =
            ["a\0", "a/b\0", "a/b/c\0", "a/d\0", "TRAILER!!!\0"].map(|it| text.find(it)).into();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    }
}
