//! The hand: a process of the lineage, split from the agent's own before its first instruction, that connects sockets on
//! its behalf. So the address is the copy that was decided upon, the record has the connection under the agent's lineage,
//! and whoever listens on a unix socket sees a process of the agent's, not of its supervisor's. It is outside the agent's
//! Landlock domain: what is inside can neither trace nor signal it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use muster_sensor::hold::{Side, fork};
use rustix::net::{SocketAddrUnix, connect, connect_unspec};
use rustix::process::{DumpableBehavior, set_dumpable_behavior, setpgid};
use serde::{Deserialize, Serialize};

use crate::wire;

/// Connections that are being made at once: more wait in the socket's queue, and their callers with them.
const AT_ONCE_MAX: usize = 64;
const MESSAGE_MAX: usize = 1024;

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    Internet(SocketAddr),
    /// The socket's file comes along.
    Unix,
    /// A name without a file.
    Abstract(Vec<u8>),
    /// Forget where it was connected to.
    Nowhere,
}

#[derive(Serialize, Deserialize)]
struct Request {
    id: u64,
    to: To,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    id: u64,
    /// 0: done.
    error: i32,
}

/// In the agent's process, before anything confines it and while it has one thread: splits off the hand. Gives its end.
pub fn split() -> io::Result<(u32, OwnedFd)> {
    let (own, other) = wire::pair()?;
    match fork()? {
        Side::Parent(pid) => {
            drop(other);
            Ok((pid, own))
        }
        Side::Child => {
            drop(own);
            std::process::exit(i32::from(serve(&other).is_err()));
        }
    }
}

fn serve(socket: &OwnedFd) -> io::Result<()> {
    // Keys that the user types are for the agent.
    setpgid(None, None)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let nothing = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    let running = Arc::new(());
    loop {
        let (data, files) = wire::receive(socket, MESSAGE_MAX)?;
        if data.is_empty() {
            return Ok(());
        }
        let request: Request = serde_json::from_slice(&data)?;
        let socket = socket.try_clone()?;
        let running_here = Arc::clone(&running);
        let work = move || {
            let error = carry_out(&request.to, &files).err().map_or(0, |e| e.raw_os_error());
            drop(files);
            let reply = serde_json::to_vec(&Reply { id: request.id, error }).unwrap_or_default();
            drop(wire::send(&socket, &reply, &[]));
            drop(running_here);
        };
        if Arc::strong_count(&running) > AT_ONCE_MAX {
            work();
        } else {
            thread::Builder::new().spawn(work)?;
        }
    }
}

fn carry_out(to: &To, files: &[OwnedFd]) -> rustix::io::Result<()> {
    let socket = files.first().ok_or(rustix::io::Errno::BADF)?;
    match to {
        To::Internet(address) => connect(socket, address),
        To::Nowhere => connect_unspec(socket),
        To::Abstract(name) => connect(socket, &SocketAddrUnix::new_abstract_name(name)?),
        To::Unix => {
            let file = files.get(1).ok_or(rustix::io::Errno::BADF)?;
            // The file that was decided upon, whatever stands at its path by now.
            connect(socket, &SocketAddrUnix::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
        }
    }
}

type Waiting = BTreeMap<u64, Box<dyn FnOnce(i32) + Send>>;

/// The supervisor's side.
pub struct Hand {
    socket: OwnedFd,
    waiting: Arc<Mutex<Waiting>>,
}

impl Hand {
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let replies = socket.try_clone()?;
        let of_replies = Arc::clone(&waiting);
        thread::Builder::new().name("hand".to_owned()).spawn(move || {
            const ECONNABORTED: i32 = 103;
            while let Ok((data, _)) = wire::receive(&replies, MESSAGE_MAX) {
                let Ok(reply) = serde_json::from_slice::<Reply>(&data) else { break };
                let done = lock(&of_replies).remove(&reply.id);
                if let Some(done) = done {
                    done(reply.error);
                }
            }
            // It is gone: nobody waits for ever.
            for (_, done) in std::mem::take(&mut *lock(&of_replies)) {
                done(ECONNABORTED);
            }
        })?;
        Ok(Self { socket, waiting })
    }

    /// `done` is told the error's number, or 0.
    pub fn connect(
        &self,
        id: u64,
        to: To,
        socket: impl AsFd,
        file: Option<&OwnedFd>,
        done: Box<dyn FnOnce(i32) + Send>,
    ) -> io::Result<()> {
        lock(&self.waiting).insert(id, done);
        let mut files = vec![socket.as_fd()];
        files.extend(file.map(AsFd::as_fd));
        let sent = wire::send(&self.socket, &serde_json::to_vec(&Request { id, to })?, &files);
        if sent.is_err() {
            lock(&self.waiting).remove(&id);
        }
        sent
    }
}

fn lock(waiting: &Mutex<Waiting>) -> std::sync::MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
