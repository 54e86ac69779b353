//! Paths: the kernel's components to text, and what a program gave to what the kernel made of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use muster_event::escape_bytes;

use crate::wire::{Raw, flag, tag, until_nul};

/// Folders whose real place is remembered within one batch.
const CACHE_MAX: usize = 8192;

/// Components from the probes (last first, each ended by a NUL) as an absolute path.
pub(crate) fn from_components(components: &[u8], cut: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(components.len() + 1);
    if cut {
        out.extend_from_slice("…".as_bytes());
    }
    let components = components.strip_suffix(b"\0").unwrap_or(components);
    if components.is_empty() {
        out.push(b'/');
        return out;
    }
    for part in components.rsplit(|b| *b == 0) {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    out
}

/// Finds where folders really are, behind their symbolic links. Asks the file system once per folder and batch.
#[derive(Default)]
pub(crate) struct Resolver {
    folders: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Resolver {
    /// A new batch: links may have changed.
    pub(crate) fn forget(&mut self) {
        self.folders.clear();
    }

    /// The path that a system call was given, as the kernel took it: `first` or second path of the call.
    pub(crate) fn argument(&mut self, raw: &Raw, first: bool) -> String {
        let (text, base, fd) =
            if first { (tag::TEXT1, tag::BASE1, tag::FD1) } else { (tag::TEXT2, tag::BASE2, tag::FD2) };
        let text = raw.blob(text).map(until_nul).unwrap_or_default();
        let cut = raw.has(flag::CUT_PATH);
        let base = raw.blob(base).map(|b| from_components(b, cut));
        if text.is_empty() && raw.has(flag::CUT) {
            // The kernel could not read it when the call was over: not to be taken for the folder itself.
            return format!("{}/…", base.as_deref().map(escape_bytes).unwrap_or_default());
        }
        let behind = raw.blob(fd).map(|b| from_components(b, cut));
        self.resolve(text, base.as_deref(), behind.as_deref())
    }

    /// `text` relative to `base`; `behind` is the file behind its leading `/proc/self/fd/N`.
    pub(crate) fn resolve(&mut self, text: &[u8], base: Option<&[u8]>, behind: Option<&[u8]>) -> String {
        let mut path = PathBuf::new();
        match (behind, base) {
            (Some(file), _) => {
                path.push(OsStr::from_bytes(file));
                if let Some(rest) = after_fd(text) {
                    path.push(OsStr::from_bytes(rest));
                }
            }
            (None, Some(base)) if !text.starts_with(b"/") => {
                path.push(OsStr::from_bytes(base));
                if !text.is_empty() {
                    path.push(OsStr::from_bytes(text));
                }
            }
            (None, _) => path.push(OsStr::from_bytes(text)),
        }
        if !path.is_absolute() {
            return escape_bytes(path.as_os_str().as_bytes());
        }
        let real = match (path.parent(), path.components().next_back()) {
            // The last part is the thing that is acted on: if it is a link, then the link.
            (Some(folder), Some(Component::Normal(name))) => match self.real_folder(folder) {
                Some(mut folder) => {
                    if !folder.ends_with(b"/") {
                        folder.push(b'/');
                    }
                    folder.extend_from_slice(name.as_bytes());
                    folder
                }
                None => lexical(&path),
            },
            _ => self.real_folder(&path).unwrap_or_else(|| lexical(&path)),
        };
        escape_bytes(&real)
    }

    fn real_folder(&mut self, folder: &Path) -> Option<Vec<u8>> {
        let key = folder.as_os_str().as_bytes();
        if let Some(known) = self.folders.get(key) {
            return known.clone();
        }
        let real = fs::canonicalize(folder).ok().map(|p| p.into_os_string().as_bytes().to_vec());
        if self.folders.len() >= CACHE_MAX {
            self.folders.clear();
        }
        self.folders.insert(key.to_vec(), real.clone());
        real
    }
}

/// What follows `/proc/self/fd/N/`.
pub(crate) fn after_fd(text: &[u8]) -> Option<&[u8]> {
    let rest = ["/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix.as_bytes()))?;
    let end = rest.iter().position(|b| *b == b'/')?;
    rest.get(end + 1..).filter(|rest| !rest.is_empty())
}

/// Without `.` and `..`, as far as can be said without asking the file system (the folder may be gone by now).
pub(crate) fn lexical(path: &Path) -> Vec<u8> {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out.into_os_string().as_bytes().to_vec()
}

/// The path of the file that a record names by its components.
pub(crate) fn of_file(raw: &Raw) -> Option<String> {
    let file = raw.file();
    let components = raw.blob(tag::PATH)?;
    let path = from_components(components, raw.has(flag::CUT_PATH));
    if file.is_some_and(|f| f.internal) {
        // No mount has it: `/memfd:name` would look like a file in the root folder.
        return Some(escape_bytes(path.strip_prefix(b"/").unwrap_or(&path)));
    }
    Some(escape_bytes(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_come_last_first() {
        assert_eq!(from_components(b"c\0b\0a\0", false), b"/a/b/c");
        assert_eq!(from_components(b"", false), b"/");
        assert_eq!(from_components(b"c\0b\0", true), "…/b/c".as_bytes());
    }

    #[test]
    fn what_was_given_becomes_what_the_kernel_took() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(real.join("real")).unwrap();
        std::os::unix::fs::symlink("real", real.join("link")).unwrap();
        let base = real.as_os_str().as_bytes();
        let mut resolver = Resolver::default();
        let mut check = |text: &str, base: Option<&[u8]>, behind: Option<&[u8]>, end: &str| {
            let expected = format!("{}{end}", real.display());
            assert_eq!(resolver.resolve(text.as_bytes(), base, behind), expected, "{text}");
        };
        check("x", Some(base), None, "/x");
        check("link/x", Some(base), None, "/real/x");
        check("./real/../link/x", Some(base), None, "/real/x");
        check("gone/../x", Some(base), None, "/x");
        check("link", Some(base), None, "/link");
        check("", Some(base), None, "");
        check("link/..", Some(base), None, "");
        check("/proc/self/fd/5/x.tmp", None, Some(base), "/x.tmp");
        check("/proc/self/fd/5", None, Some(base), "");
        assert_eq!(resolver.resolve(b"/etc/passwd", Some(base), None), "/etc/passwd");
        assert_eq!(resolver.resolve(b"a\xffb", Some(b"/nowhere"), None), "/nowhere/a\\xffb");
    }
}
