//! Looks at `/proc`: the processes that were there before the sensor.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use muster_event::{ProcessKey, Snapshot, escape_bytes, redact_argv};

use crate::{decode, markers, probes};

/// Where accounts end: only such files are looked for among what a process holds open.
const ACCOUNTS: [&[u8]; 3] = [b".jsonl", b".json", b".db"];
const O_ACCMODE: u32 = 3;

/// The fields of `/proc/PID/stat` that are used.
pub(crate) struct Stat {
    pub(crate) comm: Vec<u8>,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) start_ns: u64,
}

pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name may hold spaces and parentheses: the last `)` ends it.
pub(crate) fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|b| *b == b'(')?;
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let comm = bytes.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let group = fields.next()?.parse().unwrap_or(0);
    let session = fields.next()?.parse().unwrap_or(0);
    let ticks: u64 = fields.nth(15)?.parse().ok()?;
    Some(Stat { comm, parent, group, session, start_ns: ticks.checked_mul(ProcessKey::TICK_NS)? })
}

/// The key of a live process.
pub fn process_key(pid: u32) -> Option<ProcessKey> {
    stat(pid).map(|stat| ProcessKey::new(pid, stat.start_ns))
}

/// The process and its ancestors, as far as they live.
pub fn ancestry(process: ProcessKey) -> Vec<ProcessKey> {
    /// Deeper than any shell in a shell that a person starts; a cycle cannot keep this busy.
    const DEPTH_MAX: usize = 256;
    let mut out = vec![process];
    while out.len() < DEPTH_MAX
        && let Some(last) = out.last()
        && let Some(parent) = stat(last.pid).and_then(|stat| process_key(stat.parent))
    {
        out.push(parent);
    }
    out
}

/// What is found of the process or the nearest of its ancestors. One file is read for each: for who is in a hurry.
pub fn nearest<T>(pid: u32, mut find: impl FnMut(ProcessKey) -> Option<T>) -> Option<T> {
    /// Deeper than any shell in a shell that a person starts.
    const DEPTH_MAX: usize = 64;
    let mut pid = pid;
    for _ in 0..DEPTH_MAX {
        let stat = stat(pid)?;
        if let Some(found) = find(ProcessKey::new(pid, stat.start_ns)) {
            return Some(found);
        }
        pid = stat.parent;
    }
    None
}

pub(crate) fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Every process (kernel threads excepted), parents before their children.
pub fn scan() -> Vec<Snapshot> {
    let root = probes::cgroup_root();
    let mut found: Vec<Snapshot> =
        pids().into_iter().filter_map(|pid| snapshot(pid, root.as_deref())).collect();
    // A child starts no earlier than its parent; a pid may be lower (they wrap around).
    found.sort_by_key(|s| (s.process.start_ns, s.process.pid));
    found
}

/// One process. `None`: it is gone, a kernel thread, or not to be seen by this user.
pub fn snapshot(pid: u32, cgroup_root: Option<&Path>) -> Option<Snapshot> {
    let proc = |name: &str| format!("/proc/{pid}/{name}");
    let stat = stat(pid)?;
    let path = fs::read_link(proc("exe")).ok()?;
    let argv = fs::read(proc("cmdline")).unwrap_or_default();
    let cwd = fs::read_link(proc("cwd")).map(|p| escape_bytes(p.as_os_str().as_bytes())).unwrap_or_default();
    Some(Snapshot {
        process: ProcessKey::new(pid, stat.start_ns),
        parent: process_key(stat.parent),
        uid: fs::metadata(proc("")).map_or(0, |m| m.uid()),
        comm: escape_bytes(&stat.comm),
        cgroup: cgroup_root.and_then(|root| cgroup_of(pid, root)).unwrap_or(0),
        session: stat.session,
        group: stat.group,
        path: escape_bytes(path.as_os_str().as_bytes()),
        argv: redact_argv(&decode::strings(&argv)),
        cwd,
        env: markers::of_process(pid).unwrap_or_default(),
        open_for_write: open_for_write(pid),
    })
}

/// The id of a process' cgroup v2: the inode of its folder.
fn cgroup_of(pid: u32, root: &Path) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    Some(fs::metadata(root.join(cgroup_path(&text)?)).ok()?.ino())
}

/// The folder of the cgroup v2, relative to its root.
pub(crate) fn cgroup_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(|path| path.trim_start_matches('/'))
}

fn open_for_write(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            let bytes = target.as_os_str().as_bytes();
            if !ACCOUNTS.iter().any(|ending| bytes.ends_with(ending)) {
                return None;
            }
            let info =
                fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_str()?)).ok()?;
            is_for_write(&info)?.then(|| escape_bytes(bytes))
        })
        .collect()
}

/// Whether the `fdinfo` of a descriptor says that it was opened for writing.
pub(crate) fn is_for_write(info: &str) -> Option<bool> {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
    Some(u32::from_str_radix(flags, 8).ok()? & O_ACCMODE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"42 (a) S 1 (b) S 7 40 41 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1234 5 6";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat.comm, b"a) S 1 (b");
        assert_eq!((stat.parent, stat.group, stat.session, stat.start_ns), (7, 40, 41, 12_340_000_000));
    }

    #[test]
    fn this_process_is_found() {
        let own = std::process::id();
        let found = scan().into_iter().find(|s| s.process.pid == own).unwrap();
        assert_eq!(found.path, std::env::current_exe().unwrap().to_string_lossy());
        assert_eq!(found.parent.unwrap().pid, std::os::unix::process::parent_id());
        assert_eq!(found.argv.len(), std::env::args().count());
    }
}
