//! Cuts control groups and sockets off from the network, open connections included, and lets them back. A filter of packets at
//! the root of the control groups (`bpf/cut/`), which outlives this process where a bpffs is mounted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::HashMap;
use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program};
use aya::{Ebpf, EbpfLoader};

use crate::SensorError;
use crate::probes::{borrow, cgroup_root, chain, map_error};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/cut/cut.bpf.o");
const PROGRAMS: [(&str, CgroupSkbAttachType); 2] =
    [("cut_egress", CgroupSkbAttachType::Egress), ("cut_ingress", CgroupSkbAttachType::Ingress)];
/// Where systemd, and everybody, mounts it.
const BPFFS: &str = "/sys/fs/bpf";
const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// Those that are in force only as long as this process is.
static HELD: Mutex<BTreeMap<String, Ebpf>> = Mutex::new(BTreeMap::new());

fn held() -> MutexGuard<'static, BTreeMap<String, Ebpf>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Silenced<'a> {
    /// Of this mustering out: the same name again replaces what was cut off under it.
    pub name: &'a str,
    /// Folders of control groups, with all below them: who makes a socket in there from now on is cut off too.
    pub groups: &'a [PathBuf],
    /// Cookies of sockets, whichever group made them.
    pub sockets: &'a [u64],
    /// Refuse, rather than that it ends with this process.
    pub must_outlive: bool,
}

/// Nothing leaves these any more, and nothing reaches them, until [`unsilence`]. `true`: also when this process is gone.
pub fn silence(what: Silenced) -> Result<bool, SensorError> {
    let refused = |reason: String| SensorError::Load { reason };
    let pins = pins(what.name);
    if what.must_outlive && pins.is_none() {
        return Err(refused(format!("no bpffs is mounted on {BPFFS}")));
    }
    let root = cgroup_root().ok_or_else(|| refused("no cgroup v2 is mounted".to_owned()))?;
    let root = File::open(&root).map_err(|error| refused(format!("{}: {error}", root.display())))?;
    // It reads none of the kernel's types: their description need not be read, which takes longer than all the rest.
    let mut ebpf = EbpfLoader::new().btf(None).load(OBJECT).map_err(|e| refused(chain(&e)))?;
    let groups = what.groups.iter().filter_map(|folder| Some(fs::metadata(folder).ok()?.ino()));
    fill(&mut ebpf, "cut_groups", groups)?;
    fill(&mut ebpf, "cut_sockets", what.sockets.iter().copied())?;
    let mut links = Vec::new();
    for (name, kind) in PROGRAMS {
        let Some(Program::CgroupSkb(program)) = ebpf.program_mut(name) else {
            return Err(refused(format!("the object file has no program `{name}`")));
        };
        let attached = program.load().and_then(|()| program.attach(&root, kind, CgroupAttachMode::Single));
        let id = attached.map_err(|error| refused(chain(&error)))?;
        if pins.is_some() {
            let link = program.take_link(id).map_err(|error| refused(chain(&error)))?;
            links.push((name, FdLink::try_from(link).map_err(|error| refused(chain(&error)))?));
        }
    }
    // The new filter is in force: the one before may go.
    unsilence(what.name);
    let Some(pins) = pins else {
        held().insert(what.name.to_owned(), ebpf);
        return Ok(false);
    };
    let pinned = fs::create_dir_all(&pins).map_err(|error| error.to_string()).and_then(|()| {
        links
            .into_iter()
            .try_for_each(|(name, link)| link.pin(pins.join(name)).map(drop).map_err(|error| chain(&error)))
    });
    pinned.map(|()| true).map_err(|reason| {
        unsilence(what.name);
        refused(reason)
    })
}

/// Lets them send and be reached again. Fine where nothing was cut off.
pub fn unsilence(name: &str) {
    held().remove(name);
    let Some(folder) = pins(name) else { return };
    for (program, _) in PROGRAMS {
        // With its last name the filter goes.
        drop(fs::remove_file(folder.join(program)));
    }
    match fs::remove_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(_) => return,
    }
    if let Some(above) = folder.parent() {
        drop(fs::remove_dir(above));
    }
}

/// The names under which something is cut off now.
pub fn silenced() -> Vec<String> {
    let pinned = fs::read_dir(Path::new(BPFFS).join("muster")).into_iter().flatten().flatten();
    let mut names: Vec<String> = pinned.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.extend(held().keys().cloned());
    names.sort();
    names.dedup();
    names
}

/// The folder of its links. `None`: there is nowhere to keep them, or nobody may write there.
fn pins(name: &str) -> Option<PathBuf> {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let stat = rustix::fs::statfs(BPFFS).ok()?;
    let is_bpffs = u64::try_from(stat.f_type).ok()? == BPFFS_MAGIC;
    let may = rustix::fs::access(BPFFS, rustix::fs::Access::WRITE_OK).is_ok();
    (is_plain && is_bpffs && may).then(|| Path::new(BPFFS).join("muster").join(name))
}

fn fill(ebpf: &mut Ebpf, name: &str, keys: impl Iterator<Item = u64>) -> Result<(), SensorError> {
    let mut table: HashMap<_, u64, u32> = HashMap::try_from(borrow(ebpf, name)?).map_err(map_error)?;
    keys.into_iter().try_for_each(|key| table.insert(key, 1, 0)).map_err(map_error)
}
