//! The record without eBPF: who is there, by looking at `/proc` again and again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use muster_event::{Event, Kind, ProbeState, ProcessKey, escape_bytes};

use crate::clock::{Clock, boot_ns};
use crate::{Batch, Source, probes, scan};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(250);

pub struct PollingSensor {
    seq: u64,
    clock: Clock,
    looked: Option<Instant>,
    /// Who was there at the last look, and under which name.
    known: BTreeMap<ProcessKey, String>,
    cgroup_root: Option<PathBuf>,
}

impl PollingSensor {
    pub fn start(first_seq: u64) -> Self {
        Self {
            seq: first_seq,
            clock: Clock::new(),
            looked: None,
            known: BTreeMap::new(),
            cgroup_root: probes::cgroup_root(),
        }
    }

    fn look(&mut self, batch: &mut Batch) {
        let mut now = BTreeMap::new();
        for pid in scan::pids() {
            let Some(stat) = scan::stat(pid) else { continue };
            let key = ProcessKey::new(pid, stat.start_ns);
            let name = escape_bytes(&stat.comm);
            // A new name: another program runs in the process.
            if self.known.get(&key) != Some(&name)
                && let Some(snapshot) = scan::snapshot(pid, self.cgroup_root.as_deref())
            {
                batch.snapshots.push(snapshot);
            }
            now.insert(key, name);
        }
        let boot_ns = boot_ns();
        for (key, comm) in std::mem::take(&mut self.known) {
            if now.contains_key(&key) {
                continue;
            }
            batch.events.push(Event {
                seq: self.seq,
                time_ns: self.clock.wall(boot_ns),
                boot_ns,
                process: key,
                thread: key.pid,
                uid: 0,
                comm,
                cgroup: 0,
                // How it ended is not to be seen from outside.
                kind: Kind::Exit { code: None, signal: None },
            });
            self.seq += 1;
        }
        self.known = now;
    }
}

impl Source for PollingSensor {
    fn is_kernel(&self) -> bool {
        false
    }

    fn poll(&mut self, timeout: Duration) -> Batch {
        thread::sleep(timeout);
        let mut batch = Batch { clock_step_ns: self.clock.look(), ..Batch::default() };
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.looked = Some(Instant::now());
            self.look(&mut batch);
        }
        batch
    }

    fn follow(&mut self, _process: ProcessKey) {}

    fn harness(&mut self, _process: ProcessKey) {}

    fn follow_cgroup(&mut self, _cgroup: u64) {}

    fn unfollow_cgroup(&mut self, _cgroup: u64) {}

    fn follow_executable(&mut self, _path: &Path) {}

    fn states(&self) -> Vec<ProbeState> {
        probes::PROBES
            .iter()
            .map(|(probe, _)| ProbeState {
                probe: (*probe).to_owned(),
                error: Some("no kernel record: only `/proc` is looked at".to_owned()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_comes_and_goes() {
        let mut sensor = PollingSensor::start(1);
        sensor.poll(Duration::ZERO);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut wait =
            |what: &dyn Fn(&Batch) -> bool| (0..40).any(|_| what(&sensor.poll(Duration::from_millis(50))));
        assert!(wait(&|b| b
            .snapshots
            .iter()
            .any(|s| s.process.pid == child.id() && s.path.ends_with("sleep"))));
        let pid = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(wait(&|b| b
            .events
            .iter()
            .any(|e| e.process.pid == pid && matches!(e.kind, Kind::Exit { .. }))));
    }
}
