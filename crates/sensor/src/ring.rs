//! A canary's request through an io_uring: the one act that needs unsafe code, because the kernel reads its arguments later.

use std::ffi::CStr;
use std::io;

use io_uring::{IoUring, opcode, types};

/// The kernel's own numbers.
const AT_FDCWD: i32 = -100;
const EIO: i32 = 5;
/// Lies in the program: it outlives every request.
const PATH: &CStr = c"/dev/null";

/// Asks the kernel, through a ring of its own, to open a file that is always there.
#[allow(unsafe_code, reason = "the crate cannot know how long what an entry points to lives")]
pub(crate) fn open() -> io::Result<()> {
    let mut ring = IoUring::new(1)?;
    let entry = opcode::OpenAt::new(types::Fd(AT_FDCWD), PATH.as_ptr()).build();
    // SAFETY: the entry points to `PATH`, which is static, and to nothing else.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    // The descriptor that it gave is closed with the process: a canary lives for milliseconds.
    let answer = ring.completion().next().map_or(-EIO, |entry| entry.result());
    if answer < 0 { Err(io::Error::from_raw_os_error(-answer)) } else { Ok(()) }
}
