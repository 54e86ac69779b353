//! Processes as `/proc` shows them now.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use muster_event::{ProcessKey, escape_bytes};

/// Flag of kernel threads in `/proc/PID/stat`.
const PF_KTHREAD: u64 = 0x0020_0000;
/// An ancestry is no deeper; a cycle cannot keep us busy.
const DEPTH_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub key: ProcessKey,
    pub parent: u32,
    pub group: u32,
    pub session: u32,
    /// `R`, `S`, `T`, `Z`, …
    pub state: char,
    pub kernel: bool,
    pub comm: String,
}

impl Process {
    /// It runs no more: only its parent's wait is missing.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The name may hold anything: the last `)` ends it.
pub(crate) fn parse(pid: u32, bytes: &[u8]) -> Option<Process> {
    let open = bytes.iter().position(|b| *b == b'(')?;
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let comm = bytes.get(open + 1..close)?;
    let mut fields = std::str::from_utf8(bytes.get(close + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(2)?.parse().ok()?;
    let ticks: u64 = fields.nth(12)?.parse().ok()?;
    let key = ProcessKey { pid, start_ns: ticks.checked_mul(ProcessKey::TICK_NS)? };
    Some(Process {
        key,
        parent,
        group,
        session,
        state,
        kernel: flags & PF_KTHREAD != 0,
        comm: escape_bytes(comm),
    })
}

pub(crate) fn read(pid: u32) -> Option<Process> {
    parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

pub fn key_of(pid: u32) -> Option<ProcessKey> {
    read(pid).map(|process| process.key)
}

/// Does this very process live?
pub(crate) fn lives(key: ProcessKey) -> bool {
    read(key.pid).is_some_and(|process| process.key == key && !process.is_dead())
}

/// All processes but kernel threads, by pid.
pub fn table() -> BTreeMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| read(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .filter(|process| !process.kernel)
        .map(|process| (process.key.pid, process))
        .collect()
}

/// The process itself and those that it descends from, as far as they live.
pub fn ancestors(pid: u32) -> Vec<ProcessKey> {
    let mut out = Vec::new();
    let mut next = pid;
    while next != 0
        && out.len() < DEPTH_MAX
        && let Some(process) = read(next)
    {
        out.push(process.key);
        next = process.parent;
    }
    out
}

/// The cgroup v2 of a process, below the root of the hierarchy.
pub(crate) fn cgroup_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    cgroup_in(&text).map(str::to_owned)
}

pub(crate) fn cgroup_in(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(|path| path.trim_matches('/'))
}

/// Is one of these variables in an environment (strings that end with NUL)?
pub(crate) fn is_marked(environment: &[u8], markers: &[Vec<u8>]) -> bool {
    environment.split(|b| *b == 0).any(|entry| markers.iter().any(|marker| marker == entry))
}

pub(crate) fn environment(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// Its command line for people, bounded.
pub(crate) fn command(pid: u32) -> String {
    const COMMAND_MAX: usize = 200;
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = bytes.split(|b| *b == 0).filter(|w| !w.is_empty()).map(escape_bytes).collect();
    words.join(" ").chars().take(COMMAND_MAX).collect()
}

/// The sockets it has open: descriptor and inode.
pub(crate) fn sockets(pid: u32) -> Vec<(i32, u64)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            let inode = socket_inode(target.as_os_str().as_bytes())?;
            Some((entry.file_name().to_str()?.parse().ok()?, inode))
        })
        .collect()
}

pub(crate) fn socket_inode(link: &[u8]) -> Option<u64> {
    std::str::from_utf8(link).ok()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"42 (a) S 1 (b) T 7 40 41 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 1234 5 6";
        let process = parse(42, line).unwrap();
        assert_eq!((process.comm.as_str(), process.state, process.parent), ("a) S 1 (b", 'T', 7));
        assert_eq!((process.group, process.session, process.key.start_ns), (40, 41, 12_340_000_000));
        assert!(!process.kernel);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let own = std::process::id();
        assert_eq!(table()[&own].parent, std::os::unix::process::parent_id());
        assert_eq!(ancestors(own).first().map(|key| key.pid), Some(own));
        assert_eq!(ancestors(own).last().map(|key| key.pid), Some(1));
    }
}
