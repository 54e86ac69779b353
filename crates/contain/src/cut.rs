//! No more traffic: frozen processes open nothing new, and what is open goes silent, or is ended.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use muster_event::ProcessKey;
use rustix::net::{AddressFamily, connect_unspec, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::closure::Guard;
use crate::process;

/// Sockets of one lineage that the packet filter has room for. Those beyond it are as silent as their control groups.
const COOKIES_MAX: usize = 65_536;

/// Calls `act` with each socket of these processes (its inode, whose it is, a handle of our own), once for each, but for those that
/// somebody guarded shares (the terminal's own connection).
fn each(members: &BTreeSet<ProcessKey>, guard: &Guard, mut act: impl FnMut(u64, ProcessKey, OwnedFd)) {
    let shared: BTreeSet<u64> =
        guard.keys.iter().flat_map(|key| process::sockets(key.pid)).map(|(_, inode)| inode).collect();
    let mut seen = BTreeSet::new();
    for key in members {
        let sockets = process::sockets(key.pid);
        if sockets.is_empty() {
            continue;
        }
        let handle = i32::try_from(key.pid)
            .ok()
            .and_then(Pid::from_raw)
            .map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let Some(Ok(handle)) = handle else { continue };
        if process::key_of(key.pid) != Some(*key) {
            continue;
        }
        for (fd, inode) in sockets {
            if shared.contains(&inode) || seen.contains(&inode) {
                continue;
            }
            let Ok(socket) = pidfd_getfd(&handle, fd, PidfdGetfdFlags::empty()) else { continue };
            let Ok(domain) = sockopt::socket_domain(&socket) else { continue };
            if domain == AddressFamily::INET || domain == AddressFamily::INET6 {
                seen.insert(inode);
                act(inode, *key, socket);
            }
        }
    }
}

/// The cookies by which packet filters know the sockets.
pub(crate) fn cookies(members: &BTreeSet<ProcessKey>, guard: &Guard) -> Vec<u64> {
    let mut cookies = Vec::new();
    each(members, guard, |_, _, socket| {
        if cookies.len() < COOKIES_MAX {
            cookies.extend(sockopt::socket_cookie(&socket));
        }
    });
    cookies
}

/// Ends the sockets, at once and without sending the rest; gives the inodes of those that ended, and what went wrong.
pub(crate) fn reset(members: &BTreeSet<ProcessKey>, guard: &Guard) -> (BTreeSet<u64>, Vec<String>) {
    let (mut ended, mut trouble) = (BTreeSet::new(), Vec::new());
    each(members, guard, |inode, key, socket| {
        // Without an address a connection is reset, a listener listens no more, a datagram goes nowhere.
        match connect_unspec(&socket) {
            Ok(()) => drop(ended.insert(inode)),
            Err(error) => trouble.push(format!("socket {inode} of pid {}: {error}", key.pid)),
        }
    });
    (ended, trouble)
}

/// Those of these sockets that the kernel still has in a state in which they can send or take.
pub(crate) fn left(inodes: &BTreeSet<u64>) -> Vec<String> {
    let mut left = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            if let Some((inode, address)) = socket_line(line)
                && inodes.contains(&inode)
            {
                left.push(format!("{table} {address}"));
            }
        }
    }
    left
}

/// Inode and remote address (as the kernel writes it) of a line of `/proc/net/tcp`.
pub(crate) fn socket_line(line: &str) -> Option<(u64, &str)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    Some((fields.get(9)?.parse().ok().filter(|inode| *inode != 0)?, fields.get(2)?))
}
