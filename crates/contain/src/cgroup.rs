//! The control groups (v2) of a lineage, and the one that stragglers are moved to.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::closure::{Guard, is_below};
use crate::process;

/// How long the kernel may take until all that is in a group stands still. What is in a system call that cannot be
/// interrupted comes later.
const FREEZE_MAX: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(1);

/// Where the hierarchy is mounted.
pub(crate) fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

/// A folder below the root, where it is one: a hostile path gives none.
pub(crate) fn folder(root: &Path, group: &str) -> Option<PathBuf> {
    let parts_are_plain = group.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let path = root.join(group);
    (parts_are_plain && path.is_dir()).then_some(path)
}

pub(crate) fn freeze(folder: &Path, freeze: bool) -> io::Result<()> {
    fs::write(folder.join("cgroup.freeze"), if freeze { "1" } else { "0" })
}

pub(crate) fn kill(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("cgroup.kill"), "1")
}

/// Waits until the kernel says so. `false`: it does not yet.
pub(crate) fn is_frozen(folder: &Path) -> bool {
    let began = Instant::now();
    loop {
        let events = fs::read_to_string(folder.join("cgroup.events")).unwrap_or_default();
        if events.lines().any(|line| line == "frozen 1" || line == "populated 0") {
            return true;
        }
        if began.elapsed() > FREEZE_MAX {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// Moves a process and gives where it was.
pub(crate) fn enter(folder: &Path, pid: u32) -> io::Result<Option<String>> {
    let before = process::cgroup_of(pid);
    fs::write(folder.join("cgroup.procs"), pid.to_string())?;
    Ok(before)
}

/// An agent that is root may have moved others into its group, to have them stopped with it: those that are guarded are
/// taken out. `Err`: they are still in it.
pub(crate) fn let_out(root: &Path, group: &str, guard: &Guard) -> Result<BTreeSet<u32>, ()> {
    let inside = |pid: u32| process::cgroup_of(pid).is_some_and(|own| is_below(&own, group));
    let theirs: BTreeSet<u32> = guard.keys.iter().map(|key| key.pid).filter(|pid| inside(*pid)).collect();
    for pid in &theirs {
        // It may have ended.
        drop(fs::write(root.join("cgroup.procs"), pid.to_string()));
    }
    if theirs.iter().any(|pid| inside(*pid)) { Err(()) } else { Ok(theirs) }
}
