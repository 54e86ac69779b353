//! Where a path of another mount namespace (a container's, a sandbox's) is on this machine. Both tables of mounts say from which
//! file system, and which part of it, a folder comes; who has the same part of the same file system reaches the same file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Mounts of one namespace that are looked at: the kernel allows 100,000, a machine full of containers has some thousands.
const MOUNTS_MAX: usize = 20_000;

/// One line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Of the file system, as it is written there.
    pub device: String,
    /// The part of it that is mounted.
    pub root: PathBuf,
    pub at: PathBuf,
}

/// The mounts that a table names, in its order: a later one lies over an earlier one.
pub fn parse(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let (device, root, at) = (fields.next()?, fields.next()?, fields.next()?);
        let plain = root.starts_with('/') && at.starts_with('/');
        plain.then(|| Mount { device: device.to_owned(), root: unescape(root), at: unescape(at) })
    };
    text.lines().take(MOUNTS_MAX).filter_map(line).collect()
}

/// Blanks and their like stand there as `\040`.
fn unescape(field: &str) -> PathBuf {
    let mut out = String::new();
    let mut rest = field;
    while let Some((before, from)) = rest.split_once('\\') {
        out.push_str(before);
        let code = from.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(byte) => {
                out.push(char::from(byte));
                rest = from.get(3..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = from;
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

/// The path under which `ours` reaches what `theirs` call so, as far as the tables tell.
pub fn translate(path: &Path, theirs: &[Mount], ours: &[Mount]) -> Option<PathBuf> {
    let over = theirs.iter().rev().filter(|mount| path.starts_with(&mount.at));
    let mount = over.max_by_key(|mount| mount.at.components().count())?;
    let inside = mount.root.join(path.strip_prefix(&mount.at).ok()?);
    let same = ours.iter().filter(|own| own.device == mount.device && inside.starts_with(&own.root));
    let own = same.max_by_key(|own| own.root.components().count())?;
    Some(own.at.join(inside.strip_prefix(&own.root).ok()?))
}

/// The path on this machine of what a process calls so. `None`: it has no place here, or it is not the same file.
pub fn on_machine(pid: u32, path: &Path) -> Option<PathBuf> {
    let read = |of: &str| fs::read_to_string(format!("/proc/{of}/mountinfo")).ok();
    let (theirs, ours) = (parse(&read(&pid.to_string())?), parse(&read("self")?));
    let found = translate(path, &theirs, &ours)?;
    // The tables may have changed since, and lie over each other: the file itself decides. No link is followed at its end.
    let there = Path::new("/proc").join(pid.to_string()).join("root").join(path.strip_prefix("/").ok()?);
    let (there, here) = (fs::symlink_metadata(there).ok()?, fs::symlink_metadata(&found).ok()?);
    (there.dev() == here.dev() && there.ino() == here.ino()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        22 21 0:21 / /proc rw - proc proc rw\n\
        40 21 0:55 / /var/lib/docker/overlay2/ab/merged rw - overlay overlay rw\n";
    const THEIRS: &str = "31 30 254:0 / / ro,relatime - ext4 /dev/vda rw\n\
        33 31 254:0 /srv/run/etc /etc rw - ext4 /dev/vda rw\n\
        34 31 254:0 /srv/a\\040b /mnt/x rw - ext4 /dev/vda rw\n\
        35 31 0:99 / /secret rw - tmpfs tmpfs rw\n";

    #[track_caller]
    fn check(path: &str, theirs: &str, expected: Option<&str>) {
        let found = translate(Path::new(path), &parse(theirs), &parse(OURS));
        assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
    }

    #[test]
    fn a_path_of_a_sandbox_is_found_on_the_machine() {
        check("/etc/cron.d/x", THEIRS, Some("/srv/run/etc/cron.d/x"));
        check("/home/ann/a", THEIRS, Some("/home/ann/a"));
        check("/mnt/x/y", THEIRS, Some("/srv/a b/y"));
        check("/etcetera", THEIRS, Some("/etcetera"));
        check("/secret/a", THEIRS, None);
        let container = "50 49 0:55 / / rw - overlay overlay rw\n";
        check("/etc/cron.d/x", container, Some("/var/lib/docker/overlay2/ab/merged/etc/cron.d/x"));
        check("relative", THEIRS, None);
        check("/etc/x", "nonsense\n", None);
    }

    #[test]
    fn ones_own_files_are_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("a");
        fs::write(&file, "x").unwrap();
        assert_eq!(on_machine(std::process::id(), &file).as_deref(), Some(file.as_path()));
        assert_eq!(on_machine(std::process::id(), &dir.path().join("none")), None);
    }
}
