//! The confinement of a run: namespaces of its own, in which all that a drill can write is a copy.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Spec, link};

/// What a cell has of its own: the folder of the run, and what it stands for.
const OWN: [(&str, &str); 8] = [
    ("tmp", "/tmp"),
    ("vartmp", "/var/tmp"),
    ("shm", "/dev/shm"),
    ("etc", "/etc"),
    ("spool", "/var/spool"),
    ("log", "/var/log"),
    ("run", "/run"),
    ("empty", "/root"),
];
/// Documentation addresses, and the one at which clouds keep their machines' tokens: there is nobody else in a cell.
const NETWORKS: [([u8; 4], u8); 2] = [([203, 0, 113, 10], 24), ([169, 254, 169, 254], 32)];

pub fn namespaces() -> CloneFlags {
    CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS
}

/// This process and its children are in the cell from now on.
pub fn enter(spec: &Spec) -> Result<()> {
    unshare(namespaces()).context("cannot make namespaces")?;
    let none: Option<&str> = None;
    // Before anything else is mounted: nothing of it may reach the machine's own namespace.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("cannot part the mounts")?;
    bind(&spec.root, &spec.root)?;
    for (from, to) in OWN {
        if Path::new(to).is_dir() {
            bind(&spec.root.join(from), Path::new(to))?;
        }
    }
    read_only(&spec.root).context("cannot make the machine's files read-only")?;
    link::up(&NETWORKS).context("cannot bring up the loopback")?;
    // So that the world's listeners need no root. It is this network namespace's own setting.
    drop(fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("cannot mount `{}` at `{}`", from.display(), to.display()))
}

/// All mounts but the cell's own. The agent has no rights to write there anyhow: this is a second wall, and what the first
/// is missing (a world-writable folder) it covers.
fn read_only(own: &Path) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let is_own = |path: &Path| path == own || OWN.iter().any(|(_, to)| path == Path::new(to));
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(path), Some(options)) = (fields.next(), fields.next()) else { continue };
        let path = Path::new(path);
        if is_own(path) || ["/proc", "/dev", "/sys"].iter().any(|kept| path.starts_with(kept)) {
            continue;
        }
        let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        for (name, flag) in
            [("nosuid", MsFlags::MS_NOSUID), ("nodev", MsFlags::MS_NODEV), ("noexec", MsFlags::MS_NOEXEC)]
        {
            if options.split(',').any(|option| option == name) {
                flags |= flag;
            }
        }
        let none: Option<&str> = None;
        let done = mount(none, path, none, flags, none);
        if path == Path::new("/") {
            done?;
        }
    }
    Ok(())
}

/// Gives up root for good and takes the limits of a run.
pub fn give_up(uid: u32) -> Result<()> {
    for (resource, most) in [
        // The user is the run's alone, so this is a limit of the run.
        (Resource::Nproc, 200),
        (Resource::Fsize, 64 << 20),
        (Resource::Cpu, 30),
        (Resource::Core, 0),
        (Resource::Nofile, 512),
    ] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).context("cannot set limits")?;
    }
    let (uid, gid) = (nix::unistd::Uid::from_raw(uid), nix::unistd::Gid::from_raw(uid));
    nix::unistd::setgroups(&[]).context("cannot give up groups")?;
    nix::unistd::setresgid(gid, gid, gid).context("cannot change the group")?;
    nix::unistd::setresuid(uid, uid, uid).context("cannot change the user")?;
    // No setuid program gives any of it back.
    rustix::thread::set_no_new_privs(true).context("cannot give up new rights")?;
    Ok(())
}

/// Groups of the run, where the machine has them: a bound on its processes beside the user's, and one handle to end all.
pub fn groups(id: &str) -> Vec<std::path::PathBuf> {
    let name = format!("muster-drill-{id}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let old = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind, options) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup" && options.split(',').any(|option| option == "pids")).then(|| path.to_owned())
    });
    let new = muster_sensor::cgroup_root();
    old.map(Into::into).into_iter().chain(new).map(|root: std::path::PathBuf| root.join(&name)).collect()
}

/// Makes them and puts this process there. `muster run` takes it out of the unified one again, to one of the agent's own.
pub fn join_groups(id: &str) -> Result<()> {
    for group in groups(id) {
        fs::create_dir_all(&group).with_context(|| format!("cannot make `{}`", group.display()))?;
        let limit = group.join("pids.max");
        if limit.exists() {
            fs::write(&limit, "200")?;
        }
        fs::write(group.join("cgroup.procs"), std::process::id().to_string())?;
    }
    Ok(())
}
