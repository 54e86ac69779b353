//! Which file a path means, where a lineage has mounts of its own: a container's `/etc/cron.d/x` is not the machine's. The file
//! is found through a process that lives there, and then by the machine's own mounts, so that it can be put away and back when
//! nobody of the lineage is left.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use muster_event::{Nanos, ProcessKey};
use rustix::fs::{FileType, OFlags, Stat};

use crate::process;
use crate::quarantine::{Place, place, place_in};

/// Longest table of mounts that is read: 100,000 mounts of 80 bytes.
const TABLE_MAX: u64 = 8 << 20;
/// Sets of mounts that one path is looked for in: an agent that makes more hides nothing by that, its files are then `likely`.
const SETS_MAX: usize = 16;
/// Clocks of files go in steps (4 ms, a tick), and are read before the event is.
const SLACK_NS: Nanos = 1_000_000_000;

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major:minor` of the file system.
    pub device: String,
    /// What of the file system is mounted.
    pub root: PathBuf,
    pub point: PathBuf,
}

/// The mounts, in their order: later ones cover earlier ones.
pub(crate) fn parse(text: &[u8]) -> Vec<Mount> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b' ').skip(2);
        let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
        let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
        (root.is_absolute() && point.is_absolute()).then_some(Mount { device, root, point })
    };
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// The kernel writes spaces and backslashes as `\040`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = (*byte == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(octal) => {
                bytes.push(octal);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Names of the same file by other mounts, the likeliest first. Whether it is the same is to be looked at.
pub(crate) fn translate(from: &[Mount], to: &[Mount], path: &Path) -> Vec<PathBuf> {
    let holding = from
        .iter()
        .enumerate()
        .filter(|(_, mount)| path.starts_with(&mount.point))
        .max_by_key(|(at, mount)| (mount.point.components().count(), *at));
    let Some((_, mount)) = holding else { return Vec::new() };
    let Ok(below) = path.strip_prefix(&mount.point) else { return Vec::new() };
    let inside = mount.root.join(below);
    to.iter()
        .rev()
        .filter(|other| other.device == mount.device)
        .filter_map(|other| Some(other.point.join(inside.strip_prefix(&other.root).ok()?)))
        .collect()
}

fn table(pid: u32) -> io::Result<Vec<Mount>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/mountinfo"))?.take(TABLE_MAX).read_to_end(&mut text)?;
    Ok(parse(&text))
}

/// The set of mounts that a process lives in.
fn set_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// Sets of mounts that are the machine's: of its first process, and our own. A daemon that systemd confines has its own, in
/// which it sees the same files.
fn of_machine() -> BTreeSet<PathBuf> {
    [1, std::process::id()].into_iter().filter_map(set_of).collect()
}

/// Does one of these have mounts of its own?
pub fn is_elsewhere<'a>(processes: impl IntoIterator<Item = &'a ProcessKey>) -> bool {
    let machine = of_machine();
    let mut processes = processes.into_iter().filter(|key| process::lives(**key));
    processes.any(|key| set_of(key.pid).is_some_and(|set| !machine.contains(&set)))
}

/// Where the file is that a path means.
#[derive(Debug)]
pub enum Found {
    /// Under this path, for the machine too; device and inode, where it is certain that the writer meant this one.
    Here(Option<(u64, u64)>),
    /// In mounts of the lineage's own.
    There(There),
    /// Several files could be meant, or none is left.
    Unknown,
}

/// A file in other mounts.
#[derive(Debug)]
pub struct There {
    /// Its path for the machine, where that has a mount of it.
    pub path: Option<PathBuf>,
    pub device: u64,
    pub inode: u64,
    place: Place,
}

impl There {
    /// To read what it says.
    pub fn open(&self) -> io::Result<File> {
        self.place.open()
    }
}

/// Finds the file that `writer` wrote at this path after `since_ns`; `others` are of its lineage, and may live where it did.
pub fn find(path: &Path, writer: ProcessKey, others: &[ProcessKey], since_ns: Nanos) -> Found {
    let machine = of_machine();
    if process::lives(writer)
        && let Some(set) = set_of(writer.pid)
    {
        return match machine.contains(&set) {
            true => {
                Found::Here(place(path).and_then(|place| place.stat()).ok().map(|it| (it.st_dev, it.st_ino)))
            }
            false => look(writer.pid, path).map_or(Found::Unknown, Found::There),
        };
    }
    let mut sets = BTreeSet::new();
    let mut there = Vec::new();
    for key in others.iter().filter(|key| process::lives(**key)) {
        if let Some(set) = set_of(key.pid).filter(|set| !machine.contains(set))
            && sets.len() < SETS_MAX
            && sets.insert(set)
        {
            there.push(key.pid);
        }
    }
    // The writer is gone: the file is the one that changed since.
    let is_new = |stat: &Stat| changed_ns(stat) >= since_ns.saturating_sub(SLACK_NS);
    let here = place(path).and_then(|place| place.stat()).ok().filter(is_new);
    let here = here.map(|stat| (stat.st_dev, stat.st_ino));
    if there.is_empty() {
        return Found::Here(here);
    }
    let mut found: Vec<There> = Vec::new();
    for pid in there {
        let Ok(it) = look(pid, path) else { continue };
        let is_known = found.iter().any(|other| (other.device, other.inode) == (it.device, it.inode))
            || here == Some((it.device, it.inode));
        if !is_known && it.place.stat().is_ok_and(|stat| is_new(&stat)) {
            found.push(it);
        }
    }
    match (here, found.pop()) {
        (Some(_), None) => Found::Here(here),
        (None, Some(it)) if found.is_empty() => Found::There(it),
        (None, None) | (Some(_) | None, Some(_)) => Found::Unknown,
    }
}

/// By the root folder of a process.
fn root_of(pid: u32) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(format!("/proc/{pid}/root"))
}

fn changed_ns(stat: &Stat) -> Nanos {
    let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(stat.st_ctime_nsec)
}

fn look(pid: u32, path: &Path) -> io::Result<There> {
    let there = place_in(&root_of(pid)?, path)?;
    let stat = there.stat()?;
    if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Symlink) {
        return Err(io::Error::other("it is neither a file nor a link"));
    }
    let is_it = |path: &PathBuf| {
        let seen = place(path).and_then(|place| place.stat());
        seen.is_ok_and(|seen| (seen.st_dev, seen.st_ino) == (stat.st_dev, stat.st_ino))
    };
    let names = translate(&table(pid)?, &table(std::process::id())?, path);
    let path = names.into_iter().find(is_it);
    Ok(There { path, device: stat.st_dev, inode: stat.st_ino, place: there })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, to: &str, path: &str, expected: &[&str]) {
        let found = translate(&parse(from.as_bytes()), &parse(to.as_bytes()), Path::new(path));
        assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
    }

    #[test]
    fn names_by_other_mounts() {
        let machine = "21 1 8:1 / / rw - ext4 /dev/a rw\n30 21 8:2 / /data\\040x rw - ext4 /dev/b rw\n";
        // A container whose /etc is a folder of the machine's.
        let own = "40 39 0:50 / / rw - overlay o rw\n41 40 8:1 /srv/c/etc /etc rw - ext4 /dev/a rw\n";
        check(own, machine, "/etc/cron.d/x", &["/srv/c/etc/cron.d/x"]);
        check(own, machine, "/opt/x", &[]);
        check("40 39 8:2 /in /w rw - ext4 b rw\n", machine, "/w/a b", &["/data x/in/a b"]);
        // The deepest mount holds it, and of two in one place the later.
        check("1 0 8:1 / / rw\n2 1 8:2 /a /w rw\n3 1 8:2 /b /w rw\n", machine, "/w/x", &["/data x/b/x"]);
        check("", machine, "/x", &[]);
        check("broken\n\\ \\ \\ \\ \\\n1 2 8:1 x y\n", machine, "/x", &[]);
    }

    #[test]
    fn a_process_of_the_machine_is_not_elsewhere() {
        let own = process::key_of(std::process::id()).unwrap();
        assert!(!is_elsewhere([&own]));
        assert!(matches!(find(Path::new("/etc/passwd"), own, &[own], 0), Found::Here(Some(_))));
    }
}
