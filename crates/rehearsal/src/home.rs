//! A home folder of its own for an agent, gone afterwards with all that the agent left running.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::install::agents_dir;

const GIT: &str =
    "[user]\n\tname = Rehearsal\n\temail = rehearsal@example.invalid\n[init]\n\tdefaultBranch = main\n";

pub struct Home {
    folder: TempDir,
}

impl Home {
    /// Beside the agents and not under `/tmp`, where Codex will not keep its programs.
    pub fn new() -> io::Result<Self> {
        let homes = agents_dir().join("homes");
        fs::create_dir_all(&homes)?;
        let folder = tempfile::Builder::new().prefix("home-").tempdir_in(fs::canonicalize(homes)?)?;
        fs::write(folder.path().join(".gitconfig"), GIT)?;
        Ok(Self { folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The processes that were started with this home: the agent, its tools, and what they left behind.
    pub fn processes(&self) -> Vec<u32> {
        let marker = [b"HOME=", self.path().as_os_str().as_encoded_bytes()].concat();
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        all.flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == marker)
            })
            .collect()
    }

    /// Ends them, by their ids.
    pub fn end_processes(&self) {
        for pid in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.end_processes();
    }
}
