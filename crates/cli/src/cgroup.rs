//! Control groups (v2) for enrolled agents: whatever an agent starts is in its group, however often it forks.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use muster_event::ProcessKey;

/// Folder of all of Muster's groups, under the root of the hierarchy.
const FOLDER: &str = "muster";

pub struct Cgroup {
    path: PathBuf,
    pub id: u64,
}

impl Cgroup {
    /// Makes a group for this process and moves it there.
    pub fn make(process: ProcessKey) -> io::Result<Self> {
        let root = muster_sensor::cgroup_root()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup v2 is mounted"))?;
        let path = root.join(FOLDER).join(format!("{}-{}", process.pid, process.start_ns));
        fs::create_dir_all(&path)?;
        fs::write(path.join("cgroup.procs"), process.pid.to_string())?;
        let id = fs::metadata(&path)?.ino();
        Ok(Self { path, id })
    }

    /// The group that was made for a process by an earlier daemon, if it is still in it.
    pub fn find(process: ProcessKey) -> Option<Self> {
        let path =
            muster_sensor::cgroup_root()?.join(FOLDER).join(format!("{}-{}", process.pid, process.start_ns));
        let id = fs::metadata(&path).ok()?.ino();
        Some(Self { path, id })
    }

    /// Removes it if it is empty: what still lives in it keeps it, and is taken up by the next daemon.
    pub fn remove(self) {
        drop(fs::remove_dir(self.path));
    }
}
