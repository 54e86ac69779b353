//! The gate's socket: one thread takes connections, each has a thread for as long as it asks. All of them are bounded, so that
//! no agent can take the gate from another by its numbers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::gate::approvals::Answered;
use crate::gate::line::{Answer, LINE_MAX};
use crate::gate::{Gate, Peer};

/// Connections at once, and of one agent (or of all that are on no roll): each that waits for a person holds one.
const CONNECTIONS_MAX: usize = 256;
const OF_ONE_MAX: usize = 64;
/// How long a connection may say nothing, and how long it may take to take an answer.
const IDLE: Duration = Duration::from_secs(10);
const WRITE: Duration = Duration::from_secs(2);
/// How often it is looked whether who waits for a person is still there.
const LOOK: Duration = Duration::from_millis(250);
/// Answers are small, requests hold paths and arguments: no more stack than this is needed.
const STACK: usize = 512 * 1024;

type Places = Arc<Mutex<HashMap<Option<String>, usize>>>;

/// Takes connections until the process ends.
pub fn start(gate: Gate, listener: UnixListener) -> std::io::Result<()> {
    let places: Places = Arc::default();
    thread::Builder::new().name("gate".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Descriptors ran out: those who hold them end.
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let Some(peer) = peer(&stream) else { continue };
            let gate = gate.clone();
            let Some(place) = Place::take(&places, gate.agent_of(peer.pid)) else { continue };
            let spawned =
                thread::Builder::new().name("gate of one".to_owned()).stack_size(STACK).spawn(move || {
                    // The asker is gone: nobody is left to be told.
                    drop(speak(&gate, peer, &stream));
                    drop(place);
                });
            if let Err(error) = spawned {
                eprintln!("watch: the gate has no thread for a connection: {error}");
            }
        }
    })?;
    Ok(())
}

/// One of the places for connections; free again when dropped.
struct Place {
    places: Places,
    of: Option<String>,
}

impl Place {
    fn take(places: &Places, of: Option<String>) -> Option<Place> {
        let mut taken = places.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.entry(of.clone()).or_default();
        if all >= CONNECTIONS_MAX || *own >= OF_ONE_MAX {
            return None;
        }
        *own += 1;
        Some(Place { places: Arc::clone(places), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

fn peer(stream: &UnixStream) -> Option<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(stream).ok()?;
    let pid = u32::try_from(credentials.pid.as_raw_nonzero().get()).ok()?;
    Some(Peer { pid, uid: credentials.uid.as_raw() })
}

fn speak(gate: &Gate, peer: Peer, stream: &UnixStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(WRITE))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than a line may have tells that it is too long.
        let read = (&mut reader).take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        let long = line.len() > LINE_MAX;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let answer = gate.reply(peer, &line, &mut |answer, patience| wait(stream, answer, patience));
        let mut bytes = serde_json::to_vec(&answer).unwrap_or_else(|_| b"{}".to_vec());
        bytes.push(b'\n');
        (&*stream).write_all(&bytes)?;
        if long || matches!(answer, Answer::Refused { .. }) {
            return Ok(());
        }
    }
}

/// A person's answer, as long as the other end is there to hear it.
fn wait(stream: &UnixStream, answer: &Receiver<Answered>, patience: Duration) -> Option<Answered> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match answer.recv_timeout(left.min(LOOK)) {
            Ok(answered) => return Some(answered),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if left.is_zero() || is_gone(stream) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn is_gone(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR;
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
        && fds.iter().any(|fd| fd.revents().intersects(gone))
}
