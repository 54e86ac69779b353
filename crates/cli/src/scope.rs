//! A part of the machine only: what runs under one process. So that daemons that are tested beside each other do not see each
//! other's agents.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use muster_event::{Kind, Nanos, ProbeState, ProcessKey};
use muster_sensor::{Batch, Source};

pub struct Scoped {
    inner: Box<dyn Source>,
    /// The process, and whatever came from it and lives.
    inside: HashSet<ProcessKey>,
    /// Numbers have no holes, whatever is passed by.
    next_seq: u64,
}

impl Scoped {
    pub fn new(inner: Box<dyn Source>, top: ProcessKey, first_seq: u64) -> Self {
        let inside = muster_sensor::scan()
            .into_iter()
            .map(|snapshot| snapshot.process)
            .filter(|process| is_under(*process, top))
            .collect();
        Self { inner, inside, next_seq: first_seq }
    }
}

/// Does this process that runs come from `top`, as `/proc` says now?
pub fn is_under(process: ProcessKey, top: ProcessKey) -> bool {
    muster_sensor::ancestry(process).contains(&top)
}

impl Source for Scoped {
    fn is_kernel(&self) -> bool {
        self.inner.is_kernel()
    }

    fn poll(&mut self, timeout: Duration) -> Batch {
        let mut batch = self.inner.poll(timeout);
        batch.events.retain_mut(|event| {
            let parent_inside = match &event.kind {
                Kind::Exec { parent, .. } => self.inside.contains(parent),
                _ => false,
            };
            if parent_inside {
                self.inside.insert(event.process);
            }
            if !self.inside.contains(&event.process) {
                return false;
            }
            match &event.kind {
                Kind::Fork { child } => {
                    self.inside.insert(*child);
                }
                Kind::Exit { .. } => {
                    self.inside.remove(&event.process);
                }
                _ => {}
            }
            event.seq = self.next_seq;
            self.next_seq += 1;
            true
        });
        batch.snapshots.retain(|snapshot| {
            let inside = snapshot.parent.is_some_and(|parent| self.inside.contains(&parent));
            inside && self.inside.insert(snapshot.process) || self.inside.contains(&snapshot.process)
        });
        batch
    }

    fn follow(&mut self, process: ProcessKey) {
        self.inner.follow(process);
    }

    fn harness(&mut self, process: ProcessKey) {
        self.inner.harness(process);
    }

    fn follow_cgroup(&mut self, cgroup: u64) {
        self.inner.follow_cgroup(cgroup);
    }

    fn unfollow_cgroup(&mut self, cgroup: u64) {
        self.inner.unfollow_cgroup(cgroup);
    }

    fn follow_executable(&mut self, path: &Path) {
        self.inner.follow_executable(path);
    }

    fn seen_ns(&self, probe: &str) -> Option<Nanos> {
        self.inner.seen_ns(probe)
    }

    fn states(&self) -> Vec<ProbeState> {
        self.inner.states()
    }
}
