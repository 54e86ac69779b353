//! Loads the probes and attaches them. A probe counts as there when the kernel has taken it, never because a list says so.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program};
use aya::{Btf, Ebpf, EbpfLoader};
use muster_event::ProbeState;

use crate::{SensorError, extras, recipes, sensitive};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/muster.bpf.o");

/// What each probe sees, in words.
pub(crate) const PROBES: &[(&str, &str)] = &[
    ("sched_process_fork", "new processes, and the following of lineages"),
    ("sched_process_exec", "programs that are started"),
    ("sched_process_exit", "processes that end"),
    ("sys_exit", "files, sockets, signals and privileges of lineages"),
    ("io_uring_submit_req", "requests through io_uring"),
    ("connect4", "IPv4 connections"),
    ("connect6", "IPv6 connections"),
    ("sendmsg4", "IPv4 datagrams"),
    ("sendmsg6", "IPv6 datagrams"),
    ("egress", "DNS questions, TLS names, HTTP request lines"),
];
/// `io_uring_submit_req` under its name before Linux 6.4.
const OLD_URING: &str = "io_uring_submit_sqe";
const URING: &str = "io_uring_submit_req";
/// Only lineages need these, and they cost every process: attached while a lineage lives.
const FOR_LINEAGES: [&str; 3] = ["sys_exit", URING, OLD_URING];

/// Links stand beside others' of themselves, and allow no flags.
const LINK_MODE: CgroupAttachMode = CgroupAttachMode::Single;

pub(crate) type Members = HashMap<MapData, u32, [u64; 2]>;

pub(crate) struct Probes {
    ebpf: Ebpf,
    states: BTreeMap<&'static str, Option<String>>,
    lineage_links: Vec<(&'static str, BtfTracePointLinkId)>,
    /// Those that no coverage rests on.
    pub(crate) extras: Vec<ProbeState>,
    pub(crate) members: Members,
    pub(crate) cgroups: HashMap<MapData, u64, u32>,
    pub(crate) executables: HashMap<MapData, [u64; 2], u32>,
    pub(crate) counters: PerCpuArray<MapData, u64>,
    pub(crate) process_ring: RingBuf<MapData>,
    pub(crate) lineage_ring: RingBuf<MapData>,
    pub(crate) network_ring: RingBuf<MapData>,
}

impl Probes {
    /// Loads them all, attaches those that watch every process.
    pub(crate) fn load() -> Result<Self, SensorError> {
        if !rustix::process::geteuid().is_root() {
            return Err(SensorError::NotRoot);
        }
        let btf = Btf::from_sys_fs().map_err(|e| SensorError::NoBtf { reason: chain(&e) })?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .load(OBJECT)
            .map_err(|e| SensorError::Load { reason: chain(&e) })?;
        fill_tables(&mut ebpf)?;
        let mut probes = Probes {
            members: HashMap::try_from(take(&mut ebpf, "members")?).map_err(map_error)?,
            cgroups: HashMap::try_from(take(&mut ebpf, "cgroups")?).map_err(map_error)?,
            executables: HashMap::try_from(take(&mut ebpf, "executables")?).map_err(map_error)?,
            counters: PerCpuArray::try_from(take(&mut ebpf, "counters")?).map_err(map_error)?,
            process_ring: RingBuf::try_from(take(&mut ebpf, "process_ring")?).map_err(map_error)?,
            lineage_ring: RingBuf::try_from(take(&mut ebpf, "lineage_ring")?).map_err(map_error)?,
            network_ring: RingBuf::try_from(take(&mut ebpf, "network_ring")?).map_err(map_error)?,
            ebpf,
            states: BTreeMap::new(),
            lineage_links: Vec::new(),
            extras: Vec::new(),
        };
        probes.load_each(&btf);
        probes.attach_all();
        probes.extras = extras::attach(&mut probes.ebpf, &btf)?;
        Ok(probes)
    }

    pub(crate) fn states(&self) -> Vec<ProbeState> {
        self.states
            .iter()
            .map(|(probe, error)| ProbeState { probe: (*probe).to_owned(), error: error.clone() })
            .collect()
    }

    fn load_each(&mut self, btf: &Btf) {
        let names: Vec<&'static str> = PROBES.iter().map(|(name, _)| *name).collect();
        for name in names {
            let mut loaded = self.load_one(name, btf);
            if name == URING && loaded.is_err() {
                loaded = self.load_one(OLD_URING, btf);
            }
            self.states.insert(name, loaded.err());
        }
    }

    fn load_one(&mut self, name: &str, btf: &Btf) -> Result<(), String> {
        match self.ebpf.program_mut(name) {
            Some(Program::BtfTracePoint(program)) => program.load(name, btf).map_err(|e| chain(&e)),
            Some(Program::CgroupSockAddr(program)) => program.load().map_err(|e| chain(&e)),
            Some(Program::CgroupSkb(program)) => program.load().map_err(|e| chain(&e)),
            Some(_) | None => Err("the object file has no such program".to_owned()),
        }
    }

    fn attach_all(&mut self) {
        let root = cgroup_root();
        for (name, _) in PROBES.iter().filter(|(name, _)| !FOR_LINEAGES.contains(name)) {
            if self.states.get(name).is_some_and(Option::is_some) {
                continue;
            }
            let attached = self.attach_one(name, root.as_deref());
            self.states.insert(name, attached.err());
        }
    }

    fn attach_one(&mut self, name: &str, root: Option<&Path>) -> Result<(), String> {
        let cgroup = || {
            let path = root.ok_or("no cgroup v2 is mounted")?;
            File::open(path).map_err(|e| format!("{}: {e}", path.display()))
        };
        match self.ebpf.program_mut(name) {
            Some(Program::BtfTracePoint(program)) => program.attach().map(drop).map_err(|e| chain(&e)),
            Some(Program::CgroupSockAddr(program)) => {
                program.attach(cgroup()?, LINK_MODE).map(drop).map_err(|e| chain(&e))
            }
            Some(Program::CgroupSkb(program)) => program
                .attach(cgroup()?, CgroupSkbAttachType::Egress, LINK_MODE)
                .map(drop)
                .map_err(|e| chain(&e)),
            Some(_) | None => Err("the object file has no such program".to_owned()),
        }
    }

    pub(crate) fn watches_lineages(&self) -> bool {
        !self.lineage_links.is_empty()
    }

    /// A lineage lives: watch its system calls. Gives the probes whose state changed.
    pub(crate) fn attach_lineage(&mut self) -> Vec<ProbeState> {
        if self.watches_lineages() {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for name in FOR_LINEAGES {
            let state = if name == OLD_URING { URING } else { name };
            let Some(Program::BtfTracePoint(program)) = self.ebpf.program_mut(name) else { continue };
            // What the kernel did not take is told already.
            if program.fd().is_err() {
                continue;
            }
            let error = match program.attach() {
                Ok(link) => {
                    self.lineage_links.push((name, link));
                    None
                }
                Err(error) => Some(chain(&error)),
            };
            if self.states.get(state) != Some(&error) {
                changed.push(ProbeState { probe: state.to_owned(), error: error.clone() });
                self.states.insert(state, error);
            }
        }
        changed
    }

    /// No lineage lives: nobody pays for what nobody needs.
    pub(crate) fn detach_lineage(&mut self) {
        for (name, link) in self.lineage_links.drain(..) {
            if let Some(Program::BtfTracePoint(program)) = self.ebpf.program_mut(name) {
                // It fails only where the link is gone already.
                drop(program.detach(link));
            }
        }
    }
}

fn fill_tables(ebpf: &mut Ebpf) -> Result<(), SensorError> {
    // These stay with `ebpf`: a map that is dropped is closed, and programs are loaded later.
    let mut table: Array<_, u64> = Array::try_from(borrow(ebpf, "recipes")?).map_err(map_error)?;
    for (number, _, recipe) in recipes::ALL {
        table.set(*number, *recipe, 0).map_err(map_error)?;
    }
    let mut operations: Array<_, u64> =
        Array::try_from(borrow(ebpf, "uring_operations")?).map_err(map_error)?;
    operations.set(0, recipes::uring_mask(), 0).map_err(map_error)?;
    let mut starts: Array<_, u64> = Array::try_from(borrow(ebpf, "sensitive_starts")?).map_err(map_error)?;
    for (first, seconds) in (0..).zip(sensitive::starts()) {
        starts.set(first, seconds, 0).map_err(map_error)?;
    }
    let mut names: HashMap<_, [u8; 16], u32> =
        HashMap::try_from(borrow(ebpf, "sensitive")?).map_err(map_error)?;
    for (name, value) in sensitive::table() {
        names.insert(name, value, 0).map_err(map_error)?;
    }
    Ok(())
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map, SensorError> {
    ebpf.take_map(name)
        .ok_or_else(|| SensorError::Load { reason: format!("the object file has no map `{name}`") })
}

pub(crate) fn borrow<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map, SensorError> {
    ebpf.map_mut(name)
        .ok_or_else(|| SensorError::Load { reason: format!("the object file has no map `{name}`") })
}

pub(crate) fn map_error(error: aya::maps::MapError) -> SensorError {
    SensorError::Map { reason: chain(&error) }
}

/// An error with all its causes, in one line: a verifier's log is cut to its end, where the reason stands.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    const LOG_MAX: usize = 400;
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        out.push_str(": ");
        out.push_str(&error.to_string());
        cause = error.source();
    }
    let text: String = out.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LOG_MAX {
        return text;
    }
    let head: String = text.chars().take(LOG_MAX / 4).collect();
    let tail: Vec<char> = text.chars().rev().take(LOG_MAX * 3 / 4).collect();
    format!("{head} … {}", tail.into_iter().rev().collect::<String>())
}

/// What a probe sees, in words.
pub fn purpose(probe: &str) -> Option<&'static str> {
    let own = PROBES.iter().find(|(name, _)| *name == probe).map(|(_, purpose)| *purpose);
    own.or_else(|| extras::purpose(probe))
}

/// Where the cgroup v2 hierarchy is mounted.
pub fn cgroup_root() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    cgroup_mount(&mounts)
}

/// Where the cgroup v2 file system is mounted, from `/proc/self/mounts`.
pub(crate) fn cgroup_mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}
