//! Connections, a bounded number of them: whoever may reach loopback (an agent too) could else take all the descriptors
//! that the daemon has, and with them its eyes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// A browser opens six to a server, and one for the stream; a limit of descriptors is 1024 where it is low.
pub(crate) const CONNECTIONS_MAX: usize = 128;
/// The stream of changes says something each 15 s; who says nothing for so long has gone, or holds a place.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Takes no connection while there are as many as there may be; those that come wait in the kernel's own queue.
pub(crate) struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(crate) fn new(listener: L) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                // INVARIANT: the semaphore is never closed.
                std::future::pending::<()>().await;
                continue;
            };
            let (stream, address) = self.listener.accept().await;
            return (Connection::new(stream, place), address);
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// The process (and its user) that has the other end of a connection from this machine. `None`: it cannot be seen.
pub(crate) fn owner(from: std::net::SocketAddr) -> Option<(u32, u32)> {
    let table = if from.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let (uid, inode) = std::fs::read_to_string(table)
        .ok()
        .and_then(|text| socket_of(&text, from))
        // A browser may reach an IPv4 address by an IPv6 socket.
        .or_else(|| socket_of(&std::fs::read_to_string("/proc/net/tcp6").ok()?, from))?;
    let wanted = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        if links.any(|link| link.as_os_str() == wanted.as_str()) {
            return Some((pid, uid));
        }
    }
    None
}

/// User and inode of the socket whose own address is this.
fn socket_of(table: &str, from: std::net::SocketAddr) -> Option<(u32, u64)> {
    let port = format!("{:04X}", from.port());
    let own = match from.ip() {
        std::net::IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        std::net::IpAddr::V6(ip) => {
            let octets = ip.octets();
            let (words, _) = octets.as_chunks::<4>();
            words.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect()
        }
    };
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, at) = fields.get(1)?.split_once(':')?;
        // An IPv4 address in an IPv6 table stands behind ::ffff:.
        let is = at == port && (address == own || own.len() == 8 && address.ends_with(&own));
        // What is closed already has no inode.
        let inode: u64 = fields.get(9)?.parse().ok().filter(|inode| *inode != 0)?;
        is.then_some((fields.get(7)?.parse().ok()?, inode))
    })
}

/// A connection and its place, which is free again when it ends. It ends when nothing comes and nothing goes for a while:
/// a place is not held by saying nothing.
pub(crate) struct Connection<S> {
    stream: S,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    fn new(stream: S, place: OwnedSemaphorePermit) -> Self {
        Self { stream, idle: Box::pin(sleep(IDLE_MAX)), _place: place }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    fn is_used(&mut self) {
        self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.is_used();
        } else if self.idle.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.is_used();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
