//! Ends what a run has begun and takes away what it left: by whoever is still there to do it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use muster_event::ProcessKey;
use muster_sensor::process_key;
use rustix::process::{Pid, Signal, kill_process};

use super::{BASE, Spec, UID_MAX, UID_MIN, cell};

/// Rounds of killing: a run has at most 200 processes, and each round takes all that there are.
const ROUNDS_MAX: usize = 200;

/// Users outside this range are somebody's.
pub fn check_uid(uid: u32) -> Result<()> {
    if (UID_MIN..UID_MAX).contains(&uid) {
        return Ok(());
    }
    bail!("uid {uid} is not one of a drill's")
}

/// Live processes of a user; zombies are none.
pub fn processes_of(uid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
            let real: u32 = field("Uid:")?.split_whitespace().next()?.parse().ok()?;
            let dead = field("State:")?.trim_start().starts_with(['Z', 'X']);
            (real == uid && !dead).then_some(pid)
        })
        .collect()
}

/// Ends all processes of the run: the agent's, however they left its tree, and the world's.
pub fn end(spec: &Spec) {
    if check_uid(spec.uid).is_err() {
        return;
    }
    for group in cell::groups(&spec.id) {
        // Where the kernel can do it at one stroke.
        drop(fs::write(group.join("cgroup.kill"), "1"));
    }
    for _ in 0..ROUNDS_MAX {
        let mut left = processes_of(spec.uid);
        left.extend(processes_of(spec.companion_uid()));
        if left.is_empty() {
            break;
        }
        for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid as i32)) {
            // It may be gone already.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Its folder and groups.
pub fn remove(spec: &Spec) -> std::io::Result<()> {
    for group in cell::groups(&spec.id) {
        // What a zombie still keeps goes with the next round.
        drop(fs::remove_dir(group));
    }
    match fs::remove_dir_all(&spec.root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The folder of one drill: named after its process.
pub fn folder_of(base: &Path, drill: ProcessKey) -> PathBuf {
    base.join(format!("{}-{}", drill.pid, drill.start_ns))
}

/// Takes away what drills left that are gone: called by each drill and by each start of the daemon. Gives how many runs.
pub fn sweep() -> usize {
    let base = Path::new(BASE);
    // Somebody else's folder tells root nothing.
    if !is_ours(base) {
        return 0;
    }
    let Ok(drills) = fs::read_dir(base) else { return 0 };
    let mut swept = 0;
    for folder in drills.flatten() {
        let name = folder.file_name();
        let key = name.to_str().and_then(|name| {
            let (pid, start_ns) = name.split_once('-')?;
            Some(ProcessKey { pid: pid.parse().ok()?, start_ns: start_ns.parse().ok()? })
        });
        let Some(key) = key.filter(|_| is_ours(&folder.path())) else { continue };
        if process_key(key.pid) == Some(key) {
            continue;
        }
        swept += end_all(&folder.path());
    }
    swept
}

/// All runs of one drill, its daemon, and its folder.
pub fn end_all(folder: &Path) -> usize {
    let mut count = 0;
    for run in fs::read_dir(folder.join("runs")).into_iter().flatten().flatten() {
        let Ok(text) = fs::read(run.path().join("spec.json")) else { continue };
        let Ok(spec) = serde_json::from_slice::<Spec>(&text) else { continue };
        // The folder is root's alone; still, nothing outside it is touched.
        if spec.root != run.path() {
            continue;
        }
        end(&spec);
        drop(remove(&spec));
        count += 1;
    }
    if let Some(daemon) = fs::read(folder.join("daemon.json"))
        .ok()
        .and_then(|text| serde_json::from_slice::<ProcessKey>(&text).ok())
        .filter(|key| process_key(key.pid) == Some(*key))
        && let Some(pid) = Pid::from_raw(daemon.pid as i32)
    {
        let _ = kill_process(pid, Signal::TERM);
        for _ in 0..200 {
            if process_key(daemon.pid) != Some(daemon) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    drop(fs::remove_dir_all(folder));
    count
}

/// A folder of root's that nobody else can write to.
pub fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == 0 && meta.mode() & 0o022 == 0)
}
