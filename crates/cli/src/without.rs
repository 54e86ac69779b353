//! `watch --without SENSOR`: drops a part of what is sensed at its source, to learn what depends on it (`muster drill
//! --ablate`). It says so: each part that is off is a blind probe in every agent's coverage.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use muster_event::{Kind, ProbeState, ProcessKey};
use muster_sensor::{Batch, Source};

/// Parts of what is sensed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// Signals, traces, privileges, names: all that processes do but forking, executing and ending, which lineages rest on.
    Process,
    Files,
    Network,
    /// What agents say: no account is read.
    Account,
    /// What commands wrote to their outputs.
    Output,
}

impl Part {
    pub const ALL: [Part; 5] = [Part::Process, Part::Files, Part::Network, Part::Account, Part::Output];

    pub fn name(self) -> &'static str {
        match self {
            Part::Process => "process",
            Part::Files => "files",
            Part::Network => "network",
            Part::Account => "account",
            Part::Output => "output",
        }
    }

    /// To which part an event belongs; `None`: to the tree of processes, which is never dropped.
    pub fn of(kind: &str) -> Option<Part> {
        match kind {
            "fork" | "exec" | "exit" => None,
            "open" | "rename" | "link" | "symlink" | "unlink" | "mkdir" | "chmod" | "chown" | "truncate"
            | "io_uring" | "mount" | "root" => Some(Part::Files),
            "connect" | "bind" | "listen" | "accept" | "send" | "dns" | "tls" | "http" => Some(Part::Network),
            "output" => Some(Part::Output),
            _ => Some(Part::Process),
        }
    }
}

/// Passes on what is not dropped, numbered anew: numbers of events have no holes.
pub struct Without {
    pub inner: Box<dyn Source>,
    pub parts: Vec<Part>,
    pub next_seq: u64,
}

impl Without {
    fn keeps(&self, kind: &Kind) -> bool {
        Part::of(kind.name()).is_none_or(|part| !self.parts.contains(&part))
    }
}

impl Source for Without {
    fn is_kernel(&self) -> bool {
        self.inner.is_kernel()
    }

    fn poll(&mut self, timeout: Duration) -> Batch {
        let mut batch = self.inner.poll(timeout);
        batch.events.retain(|event| self.keeps(&event.kind));
        for event in &mut batch.events {
            event.seq = self.next_seq;
            self.next_seq += 1;
        }
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

    fn seen_ns(&self, probe: &str) -> Option<u64> {
        self.inner.seen_ns(probe)
    }

    fn states(&self) -> Vec<ProbeState> {
        let off = self.parts.iter().map(|part| ProbeState {
            probe: format!("without:{}", part.name()),
            error: Some("switched off by --without".to_owned()),
        });
        self.inner.states().into_iter().chain(off).collect()
    }
}
