//! Files that would bring the lineage back are put away: moved into the evidence, with all that it takes to put them back.
//! The paths were chosen by an agent: no link is followed, and a file that is not the one that was looked at stays.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps, openat2, renameat_with,
    statat,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::journal::{Journal, Note};
use crate::units::{self, Unit};
use crate::{Artefact, Target};

/// Largest file that is read for its hash or copied to another disk; larger ones are moved on their own disk or stay.
const BYTES_MAX: u64 = 256 << 20;
/// Largest file of which lines are taken out.
const LINES_MAX: u64 = 4 << 20;
/// Attributes kept of one file.
const XATTRS_MAX: usize = 64;

/// One file, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub number: u32,
    pub path: PathBuf,
    pub mechanism: String,
    pub unit: Option<String>,
    pub action: Action,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub size: u64,
    pub inode: u64,
    pub device: u64,
    pub modified: (i64, i64),
    pub accessed: (i64, i64),
    /// Of its bytes, or of a link's target; empty: it was too large, or no file.
    pub sha256: String,
    /// Where it is a link: to what.
    pub target: Option<PathBuf>,
    pub xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The whole file goes.
    Move,
    /// Only the lineage's lines; the whole file, as it was, is kept.
    Lines,
}

/// A folder reached without a link, and the name in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub folder: OwnedFd,
    pub name: OsString,
}

pub(crate) fn place(path: &Path) -> io::Result<Place> {
    place_in(&File::open("/")?, path)
}

/// The same below another root folder.
pub(crate) fn place_in(root: &File, path: &Path) -> io::Result<Place> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, "it is no plain absolute path");
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute() && plain)
    else {
        return Err(bad());
    };
    let below = parent.strip_prefix("/").map_err(|_| bad())?;
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder =
        openat2(root, below, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)?;
    Ok(Place { folder, name: name.to_owned() })
}

impl Place {
    pub fn stat(&self) -> io::Result<rustix::fs::Stat> {
        Ok(statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// A regular file, for reading; never a link, a pipe or a device.
    pub fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
    }
}

/// What is to become of an artefact, or why nothing.
pub(crate) fn look(artefact: &Artefact, number: u32) -> Result<Quarantined, String> {
    if artefact.is_elsewhere() {
        return Err("it lies in mounts of the lineage's own only, and ends with them".to_owned());
    }
    let place = place(&artefact.path).map_err(|error| error.to_string())?;
    let stat = place.stat().map_err(|error| error.to_string())?;
    if artefact.file.is_some_and(|file| file != (stat.st_dev, stat.st_ino)) {
        return Err("another file stands there than the lineage's".to_owned());
    }
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::Symlink) {
        return Err("it is neither a file nor a link".to_owned());
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut kept = Quarantined {
        number,
        path: artefact.path.clone(),
        mechanism: artefact.mechanism.clone(),
        unit: Unit::of(artefact).first().map(|unit| unit.name.clone()).or(artefact.unit().map(str::to_owned)),
        action: Action::Move,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        size,
        inode: stat.st_ino,
        device: stat.st_dev,
        modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        accessed: (stat.st_atime, i64::try_from(stat.st_atime_nsec).unwrap_or(0)),
        sha256: String::new(),
        target: None,
        xattrs: Vec::new(),
    };
    if kind == FileType::Symlink {
        let target =
            rustix::fs::readlinkat(&place.folder, &place.name, Vec::new()).map_err(|e| e.to_string())?;
        kept.sha256 = hex(&Sha256::digest(target.as_bytes()));
        kept.target = Some(PathBuf::from(OsString::from_vec(target.into_bytes())));
        return if artefact.whole {
            Ok(kept)
        } else {
            Err("it is a link that the lineage did not make".to_owned())
        };
    }
    let file = place.open().map_err(|error| error.to_string())?;
    kept.xattrs = xattrs(&file);
    if size <= BYTES_MAX {
        kept.sha256 = hash(&file).map_err(|error| error.to_string())?;
    }
    if !artefact.whole {
        let text = text(&place).map_err(|error| error.to_string())?;
        let (left, taken) = without(&text, &artefact.lines);
        if taken == 0 {
            return Err("it is not wholly the lineage's, and which lines are its is not known".to_owned());
        }
        // What nobody else wrote anything into need not stay.
        kept.action = if is_blank(&left) { Action::Move } else { Action::Lines };
    }
    Ok(kept)
}

fn text(place: &Place) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    place.open()?.take(LINES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LINES_MAX {
        Err(io::Error::other("it is too large to be taken apart"))
    } else {
        Ok(bytes)
    }
}

/// The text without the lines that hold one of these, and how many those are.
pub(crate) fn without(text: &[u8], lines: &[String]) -> (Vec<u8>, usize) {
    let is_theirs = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        lines.iter().map(|wanted| wanted.trim()).any(|wanted| !wanted.is_empty() && ends_in(&line, wanted))
    };
    let mut left = Vec::new();
    let mut taken = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        if is_theirs(line) {
            taken += 1;
        } else {
            left.extend_from_slice(line);
        }
    }
    (left, taken)
}

/// Does the line hold this to its end, but for what quotes it? Another's line may begin alike, and go on.
fn ends_in(line: &str, wanted: &str) -> bool {
    const BEHIND: &[char] = &['"', '\'', ',', ';', ')', ']', '}', '&'];
    let rest = line.rfind(wanted).and_then(|at| line.get(at + wanted.len()..));
    rest.is_some_and(|rest| rest.trim_matches(|c: char| c.is_whitespace() || BEHIND.contains(&c)).is_empty())
}

fn is_blank(text: &[u8]) -> bool {
    text.split(|b| *b == b'\n')
        .all(|line| line.trim_ascii().is_empty() || line.trim_ascii().starts_with(b"#"))
}

/// Folder of the files that a mustering out put away.
pub(crate) fn folder(out: &Path) -> PathBuf {
    out.join("quarantine")
}

/// Puts away what is certain; gives what stayed, and why.
pub(crate) fn quarantine(
    target: &Target,
    out: &Path,
    journal: &mut Journal,
    done: &mut Vec<Quarantined>,
) -> io::Result<Vec<(PathBuf, String)>> {
    let mut stayed = Vec::new();
    let folder = folder(out);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let mut number = done.iter().map(|kept| kept.number).max().unwrap_or(0);
    let mut managers: Vec<Unit> = Vec::new();
    for artefact in target.taken() {
        // A file that came again after it was put away is another one.
        number += 1;
        let mut kept = match look(artefact, number) {
            Ok(kept) => kept,
            Err(why) => {
                let was_done =
                    done.iter().any(|kept| kept.path == artefact.path && kept.action == Action::Lines);
                if artefact.stands() && !was_done {
                    stayed.push((artefact.path.clone(), why));
                }
                continue;
            }
        };
        journal.write(Note::Moving { kept: Box::new(kept.clone()) })?;
        let moved = match kept.action {
            Action::Move => put_away(&kept, &folder),
            Action::Lines => take_out(&kept, &artefact.lines, &folder).map(|sha256| kept.sha256 = sha256),
        };
        match moved {
            Ok(()) => {
                journal.write(Note::Moved { number })?;
                if let Some(unit) = &kept.unit {
                    managers.extend(Unit::at(&kept.path, unit));
                }
                done.push(kept);
            }
            Err(error) => {
                journal.write(Note::Kept { number, why: error.to_string() })?;
                stayed.push((artefact.path.clone(), error.to_string()));
            }
        }
    }
    if units::is_there() {
        managers.dedup_by(|a, b| a.is_of_same_manager(b));
        managers.iter().for_each(|unit| drop(unit.reload()));
    }
    Ok(stayed)
}

/// Finishes what was begun when the power failed: for each file that was about to be put away, is it?
pub(crate) fn recover(
    out: &Path,
    begun: &[Quarantined],
    journal: &mut Journal,
    done: &mut Vec<Quarantined>,
) -> io::Result<()> {
    let folder = folder(out);
    for kept in begun {
        let is_here = folder.join(kept.number.to_string()).symlink_metadata().is_ok();
        let stands = place(&kept.path)
            .and_then(|place| place.stat())
            .is_ok_and(|stat| stat.st_ino == kept.inode && stat.st_dev == kept.device);
        drop(fs::remove_file(folder.join(format!("{}.part", kept.number))));
        if is_here && !stands {
            journal.write(Note::Moved { number: kept.number })?;
            done.push(kept.clone());
        } else {
            // Not yet, or only its copy: the same file is looked at anew.
            if is_here {
                fs::remove_file(folder.join(kept.number.to_string()))?;
            }
            journal.write(Note::Kept {
                number: kept.number,
                why: "interrupted; it is looked at again".to_owned(),
            })?;
        }
    }
    Ok(())
}

fn changed() -> io::Error {
    io::Error::other("it is another file than the one that was looked at")
}

fn is_same(kept: &Quarantined, stat: &rustix::fs::Stat) -> bool {
    stat.st_ino == kept.inode && stat.st_dev == kept.device
}

fn put_away(kept: &Quarantined, folder: &Path) -> io::Result<()> {
    let place = place(&kept.path)?;
    let here = File::open(folder)?;
    let name = kept.number.to_string();
    if !is_same(kept, &place.stat()?) {
        return Err(changed());
    }
    match renameat_with(&place.folder, &place.name, &here, name.as_str(), RenameFlags::NOREPLACE) {
        Ok(()) => {
            let stat = statat(&here, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            if stat.st_ino != kept.inode {
                // Somebody was faster: back with it.
                renameat_with(&here, name.as_str(), &place.folder, &place.name, RenameFlags::NOREPLACE)?;
                return Err(changed());
            }
        }
        Err(rustix::io::Errno::XDEV) => {
            copy(kept, &place, &folder.join(&name))?;
            if !is_same(kept, &place.stat()?) {
                return Err(changed());
            }
            rustix::fs::unlinkat(&place.folder, &place.name, AtFlags::empty())?;
        }
        Err(error) => return Err(error.into()),
    }
    here.sync_all()?;
    sync(&place)
}

fn sync(place: &Place) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    File::from(rustix::fs::openat(&place.folder, ".", flags, Mode::empty())?).sync_all()
}

/// To another disk. The copy is nobody's but root's; what it was is in the journal.
fn copy(kept: &Quarantined, place: &Place, to: &Path) -> io::Result<()> {
    if let Some(target) = &kept.target {
        return std::os::unix::fs::symlink(target, to);
    }
    if kept.size > BYTES_MAX {
        return Err(io::Error::other("it is on another disk and too large to be copied"));
    }
    let from = place.open()?;
    let part = to.with_extension("part");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::copy(&mut from.take(BYTES_MAX), &mut file)?;
    file.sync_all()?;
    if !kept.sha256.is_empty() && hash(&File::open(&part)?)? != kept.sha256 {
        return Err(io::Error::other("it changed while it was copied"));
    }
    fs::rename(part, to)
}

/// Gives the hash of what is left, by which it is known whether somebody changed it since.
fn take_out(kept: &Quarantined, lines: &[String], folder: &Path) -> io::Result<String> {
    let place = place(&kept.path)?;
    copy(kept, &place, &folder.join(kept.number.to_string()))?;
    File::open(folder)?.sync_all()?;
    let (left, _) = without(&text(&place)?, lines);
    replace(kept, &place, &left)?;
    Ok(kept.sha256.clone())
}

/// Another content for the same name, with the same owner, mode and attributes.
pub(crate) fn replace(kept: &Quarantined, place: &Place, bytes: &[u8]) -> io::Result<()> {
    let new = format!(".muster-{}-{}", std::process::id(), kept.number);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file =
        File::from(rustix::fs::openat(&place.folder, new.as_str(), flags, Mode::from_raw_mode(0o600))?);
    let written =
        file.write_all(bytes).and_then(|()| dress(kept, file.as_fd())).and_then(|()| file.sync_all());
    let placed = written
        .and_then(|()| Ok(rustix::fs::renameat(&place.folder, new.as_str(), &place.folder, &place.name)?));
    if let Err(error) = placed {
        let _ = rustix::fs::unlinkat(&place.folder, new.as_str(), AtFlags::empty());
        return Err(error);
    }
    sync(place)
}

/// Owner, mode, attributes and times as they were.
pub(crate) fn dress(kept: &Quarantined, file: std::os::fd::BorrowedFd) -> io::Result<()> {
    let (owner, group) = (rustix::fs::Uid::from_raw(kept.uid), rustix::fs::Gid::from_raw(kept.gid));
    rustix::fs::fchown(file, Some(owner), Some(group))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(kept.mode))?;
    for (name, value) in &kept.xattrs {
        // Some belong to a disk or to a security module.
        let _ = rustix::fs::fsetxattr(file, name.as_str(), value, rustix::fs::XattrFlags::empty());
    }
    let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time(kept.accessed), last_modification: time(kept.modified) };
    Ok(rustix::fs::futimens(file, &times)?)
}

fn xattrs(file: &File) -> Vec<(String, Vec<u8>)> {
    const VALUE_MAX: usize = 64 << 10;
    let mut names = vec![0; VALUE_MAX];
    let Ok(length) = rustix::fs::flistxattr(file, names.as_mut_slice()) else { return Vec::new() };
    let names = names.get(..length).unwrap_or_default();
    let names =
        names.split(|b| *b == 0).filter_map(|name| std::str::from_utf8(name).ok()).filter(|n| !n.is_empty());
    names
        .take(XATTRS_MAX)
        .filter_map(|name| {
            let mut value = vec![0; VALUE_MAX];
            let length = rustix::fs::fgetxattr(file, name, value.as_mut_slice()).ok()?;
            value.truncate(length);
            Some((name.to_owned(), value))
        })
        .collect()
}

pub(crate) fn hash(mut file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buffer.get(..length).unwrap_or_default());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lines: &[&str], left: &str) {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(String::from_utf8(without(text.as_bytes(), &lines).0).unwrap(), left);
    }

    #[test]
    fn only_the_lines_of_the_lineage_go() {
        check("a\n* * * * * /tmp/x\nb", &["/tmp/x"], "a\nb");
        check("a\nb\n", &[], "a\nb\n");
        check("a\nb\n", &["", " "], "a\nb\n");
        // Another's line that begins alike is another's.
        check("1 /tmp/x --of-user\n2 /tmp/x\n", &["/tmp/x"], "1 /tmp/x --of-user\n");
        check("\"command\": \"/tmp/x\",\nExecStart=/tmp/x \n", &["/tmp/x"], "");
    }

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(folder.join("real")).unwrap();
        fs::write(folder.join("real/file"), "x").unwrap();
        std::os::unix::fs::symlink("real", folder.join("link")).unwrap();
        std::os::unix::fs::symlink("real/file", folder.join("to-file")).unwrap();
        let artefact = |name: &str| Artefact {
            path: folder.join(name),
            mechanism: "cron".to_owned(),
            unit: None,
            certain: true,
            whole: true,
            lines: Vec::new(),
            file: None,
            inside: None,
        };
        assert!(look(&artefact("link/file"), 1).is_err());
        assert!(look(&artefact("real/../real/file"), 1).is_err());
        assert!(look(&artefact("real"), 1).is_err(), "a folder");
        assert!(look(&artefact("real/file"), 1).is_ok());
        // The link itself is what is put away, not what it leads to.
        assert_eq!(look(&artefact("to-file"), 1).unwrap().target, Some("real/file".into()));
    }
}
