//! Who waits in a held call: its memory, and the files that it names. What is read here may have changed since the call and
//! may change again: an act that is *allowed* by it is carried out from this copy, or rests on something else.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2, readlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// `PATH_MAX`.
const PATH_MAX: usize = 4096;
/// Arguments of a program that are looked at, and bytes of all of them: for the decision, and for people.
const ARGUMENTS_MAX: usize = 256;
const ARGUMENT_MAX: usize = 4096;
const ARGUMENT_BYTES_MAX: usize = 64 * 1024;
/// No read of another's memory goes over the edge of a page that may not be there.
const PAGE: u64 = 4096;
const AT_FDCWD: i32 = -100;

pub struct Caller {
    pub thread: u32,
    process: OnceCell<u32>,
    memory: File,
}

/// A file, held by a handle, and where the kernel says that it is.
#[derive(Debug)]
pub struct Place {
    pub file: OwnedFd,
    pub path: String,
}

impl Caller {
    pub fn of(thread: u32) -> io::Result<Self> {
        let memory = File::open(format!("/proc/{thread}/mem"))?;
        Ok(Self { thread, process: OnceCell::new(), memory })
    }

    /// The thread's process.
    pub fn process(&self) -> u32 {
        *self.process.get_or_init(|| {
            self.status("Tgid:").and_then(|words| words.trim().parse().ok()).unwrap_or(self.thread)
        })
    }

    /// A line of its status.
    pub fn status(&self, name: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.thread)).ok()?;
        status.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
    }

    /// The path as it is written, from the root folder: nothing is followed, and the file need not be there.
    pub fn written(&self, directory: u64, path: &[u8]) -> io::Result<String> {
        let path = String::from_utf8_lossy(path).into_owned();
        if path.starts_with('/') {
            return Ok(path);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the kernel's own")]
        let directory = directory as u32 as i32;
        let link = if directory == AT_FDCWD {
            format!("/proc/{}/cwd", self.thread)
        } else {
            format!("/proc/{}/fd/{directory}", self.thread)
        };
        let base = readlinkat(CWD, link, Vec::new())?;
        Ok(format!("{}/{path}", base.to_string_lossy().trim_end_matches('/')))
    }

    pub fn bytes(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; len];
        self.memory.read_exact_at(&mut data, at)?;
        Ok(data)
    }

    pub fn word(&self, at: u64) -> io::Result<u64> {
        let mut data = [0; 8];
        self.memory.read_exact_at(&mut data, at)?;
        Ok(u64::from_le_bytes(data))
    }

    /// A string up to its NUL. `ENAMETOOLONG`, as the kernel has it, where there is none within `most` bytes.
    fn string_within(&self, at: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut out: Vec<u8> = Vec::new();
        while out.len() < most {
            let from = at.saturating_add(u64::try_from(out.len()).unwrap_or(u64::MAX));
            let room = usize::try_from(PAGE - from % PAGE).unwrap_or(1).min(most - out.len());
            let chunk = self.bytes(from, room)?;
            if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                out.extend(chunk.iter().take(end));
                return Ok(out);
            }
            out.extend(chunk);
        }
        Err(Errno::NAMETOOLONG.into())
    }

    pub fn path(&self, at: u64) -> io::Result<Vec<u8>> {
        self.string_within(at, PATH_MAX)
    }

    /// The arguments of a program, cut where they are beyond all bounds.
    pub fn arguments(&self, at: u64) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut room = ARGUMENT_BYTES_MAX;
        for index in 0..ARGUMENTS_MAX {
            let offset = u64::try_from(index).unwrap_or(0) * 8;
            let Ok(pointer) = self.word(at.saturating_add(offset)) else { break };
            if pointer == 0 {
                break;
            }
            let most = ARGUMENT_MAX.min(room);
            let text = match self.string_within(pointer, most) {
                Ok(text) => String::from_utf8_lossy(&text).into_owned(),
                Err(_) => "…".to_owned(),
            };
            room = room.saturating_sub(text.len() + 1);
            out.push(text);
            if room == 0 {
                break;
            }
        }
        out
    }

    /// One of its open files, as this process's own.
    pub fn file(&self, number: u64) -> io::Result<OwnedFd> {
        let pid = i32::try_from(self.process()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let number = i32::try_from(number & 0xffff_ffff).map_err(|_| Errno::BADF)?;
        Ok(pidfd_getfd(handle, number, PidfdGetfdFlags::empty())?)
    }

    /// The folder that a relative path begins in.
    fn base(&self, directory: i32) -> io::Result<OwnedFd> {
        let path = if directory == AT_FDCWD {
            format!("/proc/{}/cwd", self.thread)
        } else if directory < 0 {
            return Err(Errno::BADF.into());
        } else {
            format!("/proc/{}/fd/{directory}", self.thread)
        };
        Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// The file itself that is open under this number.
    pub fn open_place(&self, number: u64) -> io::Result<Place> {
        let directory = i32::try_from(number & 0xffff_ffff).map_err(|_| Errno::BADF)?;
        place_of(self.base(directory)?)
    }

    /// The file that a path names, as the caller means it.
    pub fn place(&self, directory: u64, path: &[u8], follow: bool) -> io::Result<Place> {
        if path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        let path = self.as_own(path);
        let last = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::PATH | OFlags::CLOEXEC | last;
        let inner = ResolveFlags::NO_MAGICLINKS;
        // The low half, as the kernel takes a descriptor.
        #[expect(clippy::cast_possible_truncation, reason = "the kernel's own")]
        let directory = directory as u32 as i32;
        if let Some((magic, rest)) = magic_link(&path) {
            // Of a named process: it says the same to everybody.
            let link = Path::new(std::ffi::OsStr::from_bytes(magic));
            if rest.is_empty() && !follow {
                return place_of(open(link, flags, Mode::empty())?);
            }
            let link = open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            if rest.is_empty() {
                return place_of(link);
            }
            return place_of(openat2(
                link,
                Path::new(std::ffi::OsStr::from_bytes(rest)),
                flags,
                Mode::empty(),
                inner,
            )?);
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(&path));
        if path.is_absolute() {
            return place_of(openat2(CWD, path, flags, Mode::empty(), inner)?);
        }
        place_of(openat2(self.base(directory)?, path, flags, Mode::empty(), inner)?)
    }

    /// The folder in which a path's last name stands or is to stand, and that name.
    pub fn parent(&self, directory: u64, path: &[u8]) -> io::Result<(Place, OsString)> {
        let trimmed = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
        let path = path.get(..trimmed).unwrap_or_default();
        let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let (folder, name) = path.split_at_checked(cut).unwrap_or((path, &[]));
        if name.is_empty() || name == b"." || name == b".." {
            return Err(Errno::INVAL.into());
        }
        let folder = if folder.is_empty() { b"." } else { folder };
        Ok((self.place(directory, folder, true)?, OsString::from_vec(name.to_vec())))
    }

    /// `self` in the process file system is whoever asks: here, that would be the wrong one.
    fn as_own(&self, path: &[u8]) -> Vec<u8> {
        let own = format!("/proc/{}", self.process());
        let thread = format!("/proc/{}/task/{}", self.process(), self.thread);
        let fds = format!("{own}/fd");
        let standard = |number: u8| format!("{own}/fd/{number}");
        let table: [(&[u8], String); 6] = [
            (b"/proc/self", own.clone()),
            (b"/proc/thread-self", thread),
            (b"/dev/fd", fds),
            (b"/dev/stdin", standard(0)),
            (b"/dev/stdout", standard(1)),
            (b"/dev/stderr", standard(2)),
        ];
        for (from, to) in table {
            if let Some(rest) = path.strip_prefix(from)
                && (rest.is_empty() || rest.starts_with(b"/"))
            {
                return [to.as_bytes(), rest].concat();
            }
        }
        path.to_vec()
    }
}

/// A path that goes through a link of the process file system that is no text: the link, and what comes after it.
fn magic_link(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = path.strip_prefix(b"/proc/")?;
    let mut end = path.len() - rest.len();
    let mut parts = rest.split(|byte| *byte == b'/');
    let mut next = || {
        let part = parts.next()?;
        end += part.len() + 1;
        Some((part, end - 1))
    };
    let (pid, _) = next()?;
    if pid.is_empty() || !pid.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (mut what, mut end) = next()?;
    if what == b"task" {
        next()?;
        (what, end) = next()?;
    }
    if matches!(what, b"fd" | b"map_files" | b"ns") {
        (_, end) = next()?;
    } else if !matches!(what, b"exe" | b"cwd" | b"root") {
        return None;
    }
    let (link, rest) = path.split_at_checked(end)?;
    Some((link, rest.strip_prefix(b"/").unwrap_or(rest)))
}

fn place_of(file: OwnedFd) -> io::Result<Place> {
    let path = path_of(&file)?;
    Ok(Place { file, path: path.to_string_lossy().into_owned() })
}

/// Where an open file is, by the kernel.
pub fn path_of(file: impl AsFd) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let path = readlinkat(CWD, link, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_are_no_text() {
        #[track_caller]
        fn check(path: &str, expected: Option<(&str, &str)>) {
            let got = magic_link(path.as_bytes())
                .map(|(link, rest)| (std::str::from_utf8(link).unwrap(), std::str::from_utf8(rest).unwrap()));
            assert_eq!(got, expected, "{path}");
        }
        check("/proc/7/fd/3", Some(("/proc/7/fd/3", "")));
        check("/proc/7/root/etc/x", Some(("/proc/7/root", "etc/x")));
        check("/proc/7/task/8/cwd/a", Some(("/proc/7/task/8/cwd", "a")));
        check("/proc/7/exe", Some(("/proc/7/exe", "")));
        check("/proc/7/maps", None);
        check("/proc/sys/kernel", None);
        check("/etc/proc/7/exe", None);
    }

    #[test]
    fn a_process_reads_itself() {
        let own = Caller::of(std::process::id()).unwrap();
        let text = b"/etc/passwd\0".to_vec();
        assert_eq!(own.path(text.as_ptr() as u64).unwrap(), b"/etc/passwd");
        let at = |path: &str| own.place(-100_i64 as u64, path.as_bytes(), true).map(|place| place.path);
        assert_eq!(at("/proc/self/root/etc/passwd").unwrap(), "/etc/passwd");
        assert_eq!(at("/etc/../etc/passwd").unwrap(), "/etc/passwd");
        assert!(at("").is_err());
        let (folder, name) = own.parent(-100_i64 as u64, b"/etc/new//").unwrap();
        assert_eq!((folder.path.as_str(), name.to_str()), ("/etc", Some("new")));
        assert!(own.parent(-100_i64 as u64, b"/etc/..").is_err());
    }
}
