//! `muster run` with a mandate: three processes. The *launcher* (what the user started) waits and gives back the agent's
//! status. The *supervisor*, its child in a process group of its own, decides and carries out what the kernel holds. The
//! *agent*, the supervisor's child in the launcher's group, enrols, confines itself and becomes the command.

mod agent;
mod launcher;
mod mandate;
mod supervisor;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use agent::run as agent;
pub use launcher::run as launch;
pub use supervisor::run as supervisor;

/// What the launcher tells the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub enforce: bool,
    pub mandate: PathBuf,
    pub data: PathBuf,
    pub label: String,
    pub principal: Option<String>,
    /// The process group that the agent is to be in: that of the terminal.
    pub group: i32,
    pub ask_wait_ms: u64,
    pub resolver: Option<std::net::SocketAddr>,
    /// Where all that was refused is written to, as JSON lines.
    pub report: Option<PathBuf>,
}

/// What the supervisor tells the agent's process.
#[derive(Debug, Serialize, Deserialize)]
struct Start {
    order: Order,
    supervisor: u32,
}

/// The agent's process, when it is confined.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    agent: Option<String>,
    hand: u32,
    /// The listener, by its number there.
    listener: i32,
    confined: muster_enforce::confine::Confined,
}

/// What the launcher and the supervisor say to each other after that.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// Pass this signal on to the agent.
    Signal(i32),
    /// It could not be started.
    Failed(String),
    /// It is over.
    Ended { code: i32, summary: Vec<muster_enforce::notes::Told>, more: u64, notices: Vec<String> },
}

/// Longest message: a summary of some lines.
const MESSAGE_MAX: usize = 128 * 1024;

/// This process's standard input, which is the socket that it was started with.
fn control() -> Result<OwnedFd> {
    std::io::stdin().as_fd().try_clone_to_owned().context("no socket to the supervisor")
}

fn receive<T: serde::de::DeserializeOwned>(socket: &OwnedFd) -> Result<(T, Vec<OwnedFd>)> {
    let (data, files) = muster_enforce::wire::receive(socket, MESSAGE_MAX)?;
    anyhow::ensure!(!data.is_empty(), "the other side is gone");
    Ok((serde_json::from_slice(&data)?, files))
}

fn send(socket: &OwnedFd, message: &impl Serialize) -> Result<()> {
    Ok(muster_enforce::wire::send(socket, &serde_json::to_vec(message)?, &[])?)
}
