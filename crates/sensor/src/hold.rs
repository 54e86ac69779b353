//! Calls that wait for an answer: the raw part of seccomp's user notification, and what else of the kernel side of
//! `muster run` no safe crate offers. What is decided, and by whom, is elsewhere.

#![allow(unsafe_code, reason = "seccomp's listener and fork have no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::filter::Instruction;

/// A call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Names this waiting, never used again while the listener lives.
    pub id: u64,
    /// The thread that called, in the listener's own numbering; 0: it is not visible from here.
    pub thread: u32,
    pub number: i32,
    pub arguments: [u64; 6],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel makes the call as it stands *now*: what a pointer points to may have changed since it was read.
    Continue,
    /// It gives this, and the kernel does nothing.
    Value(i64),
    /// It fails with this number (positive).
    Fail(i32),
}

/// The end at which held calls arrive. While nobody has it open, they fail with `ENOSYS`.
pub struct Listener(OwnedFd);

#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction: u64,
    arguments: [u64; 6],
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

#[repr(C)]
struct Program {
    len: u16,
    filter: *const Instruction,
}

const SET_MODE_FILTER: libc::c_long = 1;
const FLAG_NEW_LISTENER: libc::c_long = 1 << 3;
/// Only a fatal signal interrupts a call that was received: what is done on its behalf is not done twice.
const FLAG_WAIT_KILLABLE: libc::c_long = 1 << 5;
const RESPONSE_CONTINUE: u32 = 1;
const ADDFD_SEND: u32 = 1 << 1;
const O_CLOEXEC: u32 = 0o2_000_000;
// `_IOWR('!', 0, struct seccomp_notif)` and its like.
const IOCTL_RECEIVE: libc::c_ulong = 0xc050_2100;
const IOCTL_SEND: libc::c_ulong = 0xc018_2101;
const IOCTL_IS_VALID: libc::c_ulong = 0x4008_2102;
const IOCTL_ADD_FD: libc::c_ulong = 0x4018_2103;

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// This thread and all that it starts is filtered from now on, for good. It must have given up new privileges, or be root.
pub fn filter_self(program: &[Instruction]) -> io::Result<Listener> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = Program { len, filter: program.as_ptr() };
    let flags = FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE;
    // SAFETY: the kernel copies the program, which outlives the call; its length is the slice's.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program) };
    let number = checked(i32::try_from(result).map_err(io::Error::other)?)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(Listener(unsafe { OwnedFd::from_raw_fd(number) }))
}

impl Listener {
    /// The listener that another process sent.
    pub fn of(fd: OwnedFd) -> Self {
        Self(fd)
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.0
    }

    /// Waits for a call. `Ok(None)`: it was gone again before it could be taken. An error: nobody is filtered any more.
    pub fn receive(&self) -> io::Result<Option<Held>> {
        let mut n = Notification::default();
        // SAFETY: the kernel fills a structure of its own layout, which is zeroed as it demands.
        let result = checked(unsafe { libc::ioctl(self.0.as_raw_fd(), IOCTL_RECEIVE, &raw mut n) });
        match result {
            Ok(_) => Ok(Some(Held { id: n.id, thread: n.pid, number: n.number, arguments: n.arguments })),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR)) => Ok(None),
            // The caller died in between; or all did, which `poll` tells.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `false`: whoever called is gone.
    pub fn answer(&self, id: u64, answer: Answer) -> bool {
        let response = match answer {
            Answer::Continue => Response { id, value: 0, error: 0, flags: RESPONSE_CONTINUE },
            Answer::Value(value) => Response { id, value, error: 0, flags: 0 },
            Answer::Fail(number) => Response { id, value: 0, error: -number.abs(), flags: 0 },
        };
        // SAFETY: the kernel reads a structure of its own layout that outlives the call.
        checked(unsafe { libc::ioctl(self.0.as_raw_fd(), IOCTL_SEND, &raw const response) }).is_ok()
    }

    /// Does the call still wait? What was read of its caller's memory before is the caller's only if it does.
    pub fn waits(&self, id: u64) -> bool {
        // SAFETY: the kernel reads one number.
        checked(unsafe { libc::ioctl(self.0.as_raw_fd(), IOCTL_IS_VALID, &raw const id) }).is_ok()
    }

    /// The call gives a descriptor of this open file to its caller.
    pub fn give(&self, id: u64, file: impl AsFd, close_on_exec: bool) -> io::Result<()> {
        let source = u32::try_from(file.as_fd().as_raw_fd()).map_err(io::Error::other)?;
        let target_flags = if close_on_exec { O_CLOEXEC } else { 0 };
        let add = AddFd { id, flags: ADDFD_SEND, source, target: 0, target_flags };
        // SAFETY: the kernel reads a structure of its own layout that outlives the call.
        checked(unsafe { libc::ioctl(self.0.as_raw_fd(), IOCTL_ADD_FD, &raw const add) }).map(drop)
    }
}

/// Which of the two one is after [`fork`].
pub enum Side {
    Parent(u32),
    Child,
}

/// Splits this process, which must have no threads but this one.
pub fn fork() -> io::Result<Side> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("other threads run in this process"));
    }
    // SAFETY: with one thread, no lock is held by somebody who is not in the child.
    let pid = checked(unsafe { libc::fork() })?;
    Ok(if pid == 0 { Side::Child } else { Side::Parent(pid.unsigned_abs()) })
}
