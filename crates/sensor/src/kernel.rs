//! The kernel's record: drains the probes' queues, puts their records in order, and makes events of them.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use muster_event::{Event, Kind, Lost, Nanos, ProbeState, ProcessKey, Queue, escape_bytes};

use crate::canary::Canaries;
use crate::clock::{Clock, boot_ns};
use crate::decode::{self, Calls};
use crate::paths::Resolver;
use crate::probes::Probes;
use crate::wire::{Raw, flag, kind, tag};
use crate::{Batch, Config, Keep, SensorError, Source, nanos, network, scan};

/// Records of different queues and processors are put in order within this time.
const ORDER: Duration = Duration::from_millis(2);
/// Bytes taken from one queue in one poll, so that nothing else waits long.
const DRAIN_MAX: usize = 8 << 20;
/// How often the loss counters are read.
const COUNT: Duration = Duration::from_millis(50);
/// How often the followed processes are compared with the kernel's table, and how long nobody may be followed before the
/// costly probes go.
const COMPARE: Duration = Duration::from_secs(5);
/// Pieces of a command line that follow an execution's record are looked for this far behind it.
const MORE_MAX: usize = 64;
/// How long the pieces may take, on a processor that others slow down, and how much the probe sends of them.
const PIECES: Duration = Duration::from_millis(200);
const ARGV_MAX: u64 = 17 * 12_288;
/// `setsid`.
const SETSID: u32 = 112;
const QUEUES: [Queue; 4] = [Queue::Process, Queue::Lineage, Queue::Network, Queue::Members];

/// A probe after `KernelSensor::self_test`.
#[derive(Clone, Debug)]
pub struct Tested {
    pub probe: String,
    /// Why it is blind.
    pub error: Option<String>,
    /// A canary was sent through it.
    pub tested: bool,
}

pub struct KernelSensor {
    probes: Probes,
    calls: Calls,
    resolver: Resolver,
    canaries: Canaries,
    clock: Clock,
    keep: Keep,
    seq: u64,
    /// Records that wait for what may still come before them.
    waiting: Arena,
    /// What is known of live processes: to see what changed.
    known: HashMap<u32, Known>,
    /// Members of lineages, as in the kernel's table.
    followed: HashMap<u32, Nanos>,
    compared: Instant,
    counted: Instant,
    counted_ns: Nanos,
    lost: [u64; QUEUES.len()],
    /// A queue still held records after the last poll.
    behind: bool,
    changed: Vec<ProbeState>,
}

struct Known {
    session: u32,
    comm: String,
}

/// Records as they came, in one piece of memory.
#[derive(Default)]
struct Arena {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    boot_ns: Nanos,
    at: usize,
    len: usize,
}

impl Arena {
    fn push(&mut self, record: &[u8]) {
        let Some(boot_ns) = Raw::boot_ns_of(record) else { return };
        self.entries.push(Entry { boot_ns, at: self.bytes.len(), len: record.len() });
        self.bytes.extend_from_slice(record);
    }

    fn get(&self, entry: &Entry) -> Option<Raw<'_>> {
        Raw::parse(self.bytes.get(entry.at..entry.at + entry.len)?)
    }
}

impl KernelSensor {
    pub fn start(config: Config) -> Result<Self, SensorError> {
        let probes = Probes::load()?;
        let now = Instant::now();
        Ok(Self {
            changed: Vec::new(),
            probes,
            calls: Calls::default(),
            resolver: Resolver::default(),
            canaries: Canaries::new(config.canary),
            clock: Clock::new(),
            keep: config.keep,
            seq: config.first_seq,
            waiting: Arena::default(),
            known: HashMap::new(),
            followed: HashMap::new(),
            compared: now,
            counted: now,
            counted_ns: crate::now_ns(),
            lost: [0; QUEUES.len()],
            behind: false,
        })
    }

    /// Sends canaries through every probe and waits for them: what this machine really lets the sensor see.
    /// `progress` is called as time goes by.
    pub fn self_test(&mut self, patience: Duration, progress: &mut dyn FnMut()) -> Vec<Tested> {
        self.probes.attach_lineage();
        let begun = Instant::now();
        let mut over = false;
        while !over && begun.elapsed() < patience {
            progress();
            self.take_in();
            self.fire();
            over = self.canaries.settle().0;
            let mut batch = Batch::default();
            self.release(&mut batch);
            thread::sleep(Duration::from_millis(5));
        }
        self.probes.detach_lineage();
        let tested = if over { self.canaries.tested().clone() } else { Default::default() };
        self.states()
            .into_iter()
            .map(|ProbeState { probe, error }| {
                let tested = tested.contains(probe.as_str());
                let error = error.or_else(|| (!over).then(|| "no canary came to its end".to_owned()));
                Tested { probe, error, tested }
            })
            .collect()
    }

    /// Probes that only some kernels let in: acts of anybody against Muster itself. No coverage rests on them.
    pub fn extras(&self) -> &[ProbeState] {
        &self.probes.extras
    }

    /// Records sent and lost so far, per queue, as the kernel counts them.
    pub fn counts(&self) -> Vec<(Queue, u64, u64)> {
        QUEUES
            .iter()
            .zip(0u32..)
            .map(|(queue, at)| (*queue, self.counter(2 * at), self.counter(2 * at + 1)))
            .collect()
    }

    fn counter(&self, key: u32) -> u64 {
        self.probes.counters.get(&key, 0).map(|values| values.iter().sum()).unwrap_or(0)
    }

    /// Moves what is in the queues to `waiting`.
    fn take_in(&mut self) -> Nanos {
        let mut until = boot_ns().saturating_sub(nanos(ORDER));
        self.behind = false;
        for ring in
            [&mut self.probes.process_ring, &mut self.probes.lineage_ring, &mut self.probes.network_ring]
        {
            if let Some(last) = drain(ring, &mut self.waiting) {
                // More is in this queue: nothing that is later than it may go first.
                until = until.min(last);
                self.behind = true;
            }
        }
        until
    }

    /// Makes events of the records that nothing can come before any more.
    fn release(&mut self, batch: &mut Batch) {
        let until = self.take_in();
        let mut arena = std::mem::take(&mut self.waiting);
        arena.entries.sort_by_key(|e| e.boot_ns);
        let ready = arena.entries.partition_point(|e| e.boot_ns <= until);
        let ready = whole_executions(&arena, ready);
        self.resolver.forget();
        for (at, entry) in arena.entries.iter().enumerate().take(ready) {
            let Some(raw) = arena.get(entry) else { continue };
            if raw.kind == kind::ARGV_MORE {
                continue;
            }
            let more = if raw.kind == kind::EXEC && raw.has(flag::LONG) {
                rest_of_argv(&arena, at, &raw)
            } else {
                Vec::new()
            };
            self.take(&raw, &more, batch);
        }
        for entry in arena.entries.iter().skip(ready) {
            if let Some(record) = arena.bytes.get(entry.at..entry.at + entry.len) {
                self.waiting.push(record);
            }
        }
    }

    fn take(&mut self, raw: &Raw, more: &[u8], batch: &mut Batch) {
        self.keep_up(raw);
        if self.canaries.takes(raw) {
            return;
        }
        let before = self.known.get(&raw.tgid).map(|k| k.comm.clone()).unwrap_or_default();
        self.session_changed(raw, batch);
        match raw.kind {
            kind::FORK => self.event(raw, decode::fork(raw), batch),
            kind::EXEC => {
                let kind = decode::exec(raw, more, &mut self.resolver);
                self.event(raw, kind, batch);
            }
            kind::EXIT => self.event(raw, decode::exit(raw), batch),
            kind::SYSCALL => {
                if let Some(kind) = decode::syscall(raw, &self.calls, &before, &mut self.resolver) {
                    self.event(raw, kind, batch);
                }
            }
            kind::URING => {
                let kind = decode::uring(raw, &mut self.resolver);
                self.event(raw, kind, batch);
            }
            kind::OUTPUT => self.event(raw, decode::output(raw), batch),
            kind::NET => {
                let member = self.followed.contains_key(&raw.tgid);
                for kind in network::kinds(raw) {
                    if member || (self.keep)(&kind) {
                        self.event(raw, kind, batch);
                    }
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, raw: &Raw, kind: Kind, batch: &mut Batch) {
        batch.events.push(Event {
            seq: self.seq,
            time_ns: self.clock.wall(raw.boot_ns),
            boot_ns: raw.boot_ns,
            process: ProcessKey::new(raw.tgid, raw.start),
            thread: raw.tid,
            uid: raw.uid,
            comm: escape_bytes(raw.comm),
            cgroup: raw.cgroup,
            kind,
        });
        self.seq += 1;
    }

    /// Keeps `followed` equal to the kernel's table, and follows those who were born while their parent was not followed yet.
    fn keep_up(&mut self, raw: &Raw) {
        let member = raw.has(flag::MEMBER);
        match raw.kind {
            kind::FORK => {
                let (child, start) = (raw.arg(0) as u32, raw.arg(1));
                if member {
                    self.followed.insert(child, start);
                } else if self.followed.contains_key(&raw.tgid) {
                    self.insert(child, start);
                }
            }
            // The kernel knew it by its file or its cgroup.
            kind::EXEC if member && self.followed.insert(raw.tgid, raw.start).is_none() => {
                let changed = self.probes.attach_lineage();
                self.changed.extend(changed);
            }
            kind::EXIT => {
                self.followed.remove(&raw.tgid);
            }
            _ => {}
        }
    }

    fn insert(&mut self, pid: u32, start: Nanos) {
        // The table may be full: then the kernel's own counter tells of it too.
        if self.probes.members.insert(pid, [start, 0], 0).is_ok() {
            self.followed.insert(pid, start);
        }
        // It may be gone, and its pid somebody else's.
        if scan::process_key(pid) != Some(ProcessKey::new(pid, start)) {
            drop(self.probes.members.remove(&pid));
            self.followed.remove(&pid);
        }
    }

    /// A session that changed between two records of a process: it called `setsid`.
    fn session_changed(&mut self, raw: &Raw, batch: &mut Batch) {
        if raw.kind == kind::NET {
            return;
        }
        let comm = escape_bytes(raw.comm);
        let changed = match self.known.get_mut(&raw.tgid) {
            Some(known) => {
                let changed = known.session != raw.session;
                known.session = raw.session;
                if known.comm != comm && raw.tid == raw.tgid {
                    known.comm = comm.clone();
                }
                changed
            }
            None => {
                self.known.insert(raw.tgid, Known { session: raw.session, comm: comm.clone() });
                false
            }
        };
        match raw.kind {
            kind::FORK => {
                self.known.insert(raw.arg(0) as u32, Known { session: raw.session, comm });
            }
            kind::EXIT => {
                self.known.remove(&raw.tgid);
            }
            _ => {}
        }
        let own_call = raw.kind == kind::SYSCALL && raw.nr == SETSID;
        if changed && !own_call && raw.session != 0 {
            self.event(raw, Kind::SetSid { session: raw.session }, batch);
        }
    }

    fn fire(&mut self) {
        let watches = self.probes.watches_lineages();
        if let Some(pid) = self.canaries.start(watches) {
            let start = scan::process_key(pid).map_or(0, |k| k.start_ns);
            drop(self.probes.members.insert(pid, [start, 0], 0));
            self.canaries.go();
        }
    }

    fn count_losses(&mut self, batch: &mut Batch) {
        if self.counted.elapsed() < COUNT {
            return;
        }
        let now_ns = crate::now_ns();
        let counts: Vec<u64> = (0..QUEUES.len() as u32).map(|at| self.counter(2 * at + 1)).collect();
        for ((queue, before), now) in QUEUES.iter().zip(&mut self.lost).zip(counts) {
            if now > *before {
                batch.lost.push(Lost {
                    queue: *queue,
                    count: now - *before,
                    from_ns: self.counted_ns,
                    to_ns: now_ns,
                });
                *before = now;
            }
        }
        self.counted = Instant::now();
        self.counted_ns = now_ns;
    }

    fn compare(&mut self) {
        if self.compared.elapsed() < COMPARE {
            return;
        }
        self.compared = Instant::now();
        let members: HashMap<u32, Nanos> = self
            .probes
            .members
            .iter()
            .filter_map(|row| row.ok().map(|(pid, [start, _])| (pid, start)))
            .collect();
        // An exit whose record was lost.
        for (pid, start) in &members {
            if scan::process_key(*pid) != Some(ProcessKey::new(*pid, *start)) {
                drop(self.probes.members.remove(pid));
            }
        }
        self.followed = members;
        self.followed.retain(|pid, start| scan::process_key(*pid) == Some(ProcessKey::new(*pid, *start)));
        if self.known.len() > 4 * crate::scan::pids().len() + 1024 {
            self.known.retain(|pid, _| scan::process_key(*pid).is_some());
        }
        if self.followed.is_empty() {
            self.probes.detach_lineage();
        }
    }
}

/// `Some(time of the last record taken)`: more is in the queue.
fn drain(ring: &mut RingBuf<MapData>, into: &mut Arena) -> Option<Nanos> {
    let begin = into.bytes.len();
    while into.bytes.len() - begin < DRAIN_MAX {
        let record = ring.next()?;
        into.push(&record);
    }
    into.entries.last().map(|e| e.boot_ns)
}

/// How many of these records can go: an execution's whose pieces are not all here yet waits, and what follows with it.
fn whole_executions(arena: &Arena, ready: usize) -> usize {
    let now = boot_ns();
    let waits = |(at, entry): (usize, &Entry)| {
        // What is older than this lost its pieces; most are not long.
        let raw = arena.get(entry).filter(|raw| raw.kind == kind::EXEC && raw.has(flag::LONG))?;
        let here = raw.blob(tag::ARGV).unwrap_or_default().len() + rest_of_argv(arena, at, &raw).len();
        let wanted = raw.arg(1).min(ARGV_MAX);
        (now.saturating_sub(entry.boot_ns) < nanos(PIECES) && (here as u64) < wanted).then_some(at)
    };
    arena.entries.iter().enumerate().take(ready).find_map(waits).unwrap_or(ready)
}

/// The pieces of a long command line that follow the execution's record.
fn rest_of_argv(arena: &Arena, at: usize, exec: &Raw) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in arena.entries.iter().skip(at + 1).take(MORE_MAX) {
        if entry.boot_ns != exec.boot_ns {
            break;
        }
        let Some(raw) = arena.get(entry) else { continue };
        if raw.kind == kind::ARGV_MORE && raw.tid == exec.tid {
            out.extend_from_slice(raw.blob(tag::ARGV).unwrap_or_default());
        }
    }
    out
}

impl Source for KernelSensor {
    fn is_kernel(&self) -> bool {
        true
    }

    fn poll(&mut self, timeout: Duration) -> Batch {
        if !self.behind {
            // The probes wake nobody: a wake-up would cost the agents, and this looks often enough.
            thread::sleep(timeout);
        }
        let mut batch = Batch { clock_step_ns: self.clock.look(), ..Batch::default() };
        self.fire();
        self.release(&mut batch);
        self.count_losses(&mut batch);
        self.compare();
        batch.probes = self.canaries.settle().1;
        batch.probes.append(&mut self.changed);
        batch
    }

    fn follow(&mut self, process: ProcessKey) {
        if self.followed.contains_key(&process.pid) {
            return;
        }
        let changed = self.probes.attach_lineage();
        self.changed.extend(changed);
        self.insert(process.pid, process.start_ns);
    }

    fn harness(&mut self, process: ProcessKey) {
        const HARNESS: u64 = 4;
        const ONLY_IF_THERE: u64 = 2;
        if let Ok([start, flags]) = self.probes.members.get(&process.pid, 0)
            && ProcessKey::new(process.pid, start) == process
        {
            drop(self.probes.members.insert(process.pid, [start, flags | HARNESS], ONLY_IF_THERE));
        }
    }

    fn follow_cgroup(&mut self, cgroup: u64) {
        let changed = self.probes.attach_lineage();
        self.changed.extend(changed);
        drop(self.probes.cgroups.insert(cgroup, 1, 0));
    }

    fn unfollow_cgroup(&mut self, cgroup: u64) {
        drop(self.probes.cgroups.remove(&cgroup));
    }

    fn follow_executable(&mut self, path: &Path) {
        if let Ok(meta) = std::fs::metadata(path) {
            let key = [meta.ino(), decode::kernel_device(meta.dev())];
            drop(self.probes.executables.insert(key, 1, 0));
        }
    }

    fn seen_ns(&self, probe: &str) -> Option<Nanos> {
        self.canaries.seen_ns(probe)
    }

    fn states(&self) -> Vec<ProbeState> {
        let mut states = self.probes.states();
        for state in &mut states {
            if state.error.is_none() && self.canaries.deaf().contains(state.probe.as_str()) {
                state.error = Some("a canary went through it and did not come back".to_owned());
            }
        }
        states
    }
}
