//! Everything stands still before anything is done to it: who is stopped brings nobody back.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster_event::ProcessKey;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::closure::{Closure, Finder, Guard};
use crate::{Target, cgroup, process};

/// A lineage that still grows after so long is told of, and the next step begins: killing stops more than stopping.
const FREEZE_MAX: Duration = Duration::from_secs(5);
/// In the names of groups for stragglers.
const STRAGGLERS: &str = "/out-";
/// Passes without anybody new, until nobody new is believed: a child may be in between.
const QUIET_PASSES: usize = 2;

/// What stands still, as it must be known to let it go again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Frozen as a whole.
    pub cgroups: Vec<String>,
    pub stopped: Vec<Stopped>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub process: ProcessKey,
    /// The cgroup that it was moved away from.
    pub from: Option<String>,
    /// It had been stopped by somebody else.
    pub before: bool,
}

pub(crate) struct Hold {
    pub root: Option<PathBuf>,
    /// Names of the groups of the lineage, the last one for stragglers.
    pub groups: Vec<String>,
    pub frozen: Frozen,
    held: BTreeSet<ProcessKey>,
    pub trouble: Vec<String>,
}

impl Hold {
    /// `name`: of the group for stragglers.
    pub fn new(target: &Target, name: &str) -> Hold {
        let root = cgroup::root();
        let mut groups = target.cgroups.clone();
        if let Some(root) = &root {
            let group = format!("muster/out-{name}");
            if std::fs::create_dir_all(root.join(&group)).is_ok() {
                groups.push(group);
            }
        }
        Hold { root, groups, frozen: Frozen::default(), held: BTreeSet::new(), trouble: Vec::new() }
    }

    pub fn folders(&self) -> Vec<PathBuf> {
        let Some(root) = &self.root else { return Vec::new() };
        self.frozen.cgroups.iter().filter_map(|group| cgroup::folder(root, group)).collect()
    }

    /// Also of those that could not be frozen as a whole.
    pub fn all_folders(&self) -> Vec<PathBuf> {
        let Some(root) = &self.root else { return Vec::new() };
        self.groups.iter().filter_map(|group| cgroup::folder(root, group)).collect()
    }

    fn freeze_groups(&mut self, guard: &Guard) {
        let Some(root) = self.root.clone() else { return };
        for group in &self.groups {
            let Some(folder) = cgroup::folder(&root, group) else { continue };
            if cgroup::let_out(&root, group, guard).is_err() {
                self.trouble.push(format!(
                    "control group `{group}` holds who must not be stopped: not frozen as a whole"
                ));
                continue;
            }
            match cgroup::freeze(&folder, true) {
                Ok(()) => self.frozen.cgroups.push(group.clone()),
                Err(error) => self.trouble.push(format!("control group `{group}` cannot be frozen: {error}")),
            }
        }
        self.groups.retain(|group| cgroup::folder(&root, group).is_some());
    }

    /// Stops who is outside of the frozen groups, and moves them to the last one: their children are born there.
    fn stop(&mut self, key: ProcessKey) {
        if !self.held.insert(key) {
            return;
        }
        let inside = |own: &str| self.frozen.cgroups.iter().any(|group| crate::closure::is_below(own, group));
        if process::cgroup_of(key.pid).is_some_and(|own| inside(&own)) {
            return;
        }
        let before = process::read(key.pid).is_some_and(|it| it.state == 'T');
        if let Err(error) = signal(key, Signal::STOP) {
            if process::lives(key) {
                self.trouble.push(format!("pid {} cannot be stopped: {error}", key.pid));
            }
            return;
        }
        let mut from = None;
        if let (Some(root), Some(group)) = (&self.root, self.frozen.cgroups.last())
            && group.contains(STRAGGLERS)
            && let Some(folder) = cgroup::folder(root, group)
            && process::lives(key)
        {
            from = cgroup::enter(&folder, key.pid).ok().flatten();
        }
        self.frozen.stopped.push(Stopped { process: key, from, before });
    }

    pub fn freeze(
        &mut self,
        target: &Target,
        finder: &mut Finder,
        known: &dyn Fn() -> BTreeSet<ProcessKey>,
        guard: &Guard,
    ) -> (Closure, bool) {
        let began = Instant::now();
        self.freeze_groups(guard);
        let mut quiet = 0;
        loop {
            let before = finder.found.len();
            let (_, closure) = finder.look(target, &self.groups, &known(), guard);
            for key in &closure.certain {
                self.stop(*key);
            }
            quiet = if finder.found.len() == before { quiet + 1 } else { 0 };
            let all = quiet >= QUIET_PASSES;
            if all || began.elapsed() > FREEZE_MAX {
                for folder in self.folders() {
                    if !cgroup::is_frozen(&folder) {
                        self.trouble.push(format!("`{}` does not stand still yet", folder.display()));
                    }
                }
                return (closure, all);
            }
        }
    }
}

/// Lets go what was frozen; gives what could not be.
pub fn thaw(frozen: &Frozen) -> Vec<String> {
    let mut trouble = Vec::new();
    let root = cgroup::root();
    for stopped in &frozen.stopped {
        if let (Some(root), Some(from)) = (&root, &stopped.from)
            && process::lives(stopped.process)
        {
            let folder = cgroup::folder(root, from).unwrap_or_else(|| root.clone());
            if let Err(error) = cgroup::enter(&folder, stopped.process.pid) {
                trouble.push(format!("pid {} cannot be moved back: {error}", stopped.process.pid));
            }
        }
    }
    for group in &frozen.cgroups {
        let Some((root, folder)) = root.as_ref().and_then(|root| Some((root, cgroup::folder(root, group)?)))
        else {
            continue;
        };
        if group.contains(STRAGGLERS) {
            // Who was stopped when the power failed: nobody wrote down where it had been.
            let inside = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for key in inside.lines().filter_map(|pid| process::key_of(pid.parse().ok()?)) {
                drop(cgroup::enter(root, key.pid));
                drop(signal(key, Signal::CONT));
            }
        }
        if let Err(error) = cgroup::freeze(&folder, false) {
            trouble.push(format!("control group `{group}` stays frozen: {error}"));
        }
        if group.contains(STRAGGLERS) {
            drop(std::fs::remove_dir(folder));
        }
    }
    for stopped in frozen.stopped.iter().filter(|stopped| !stopped.before) {
        if let Err(error) = signal(stopped.process, Signal::CONT)
            && process::lives(stopped.process)
        {
            trouble.push(format!("pid {} stays stopped: {error}", stopped.process.pid));
        }
    }
    trouble
}

/// To this process, not to another that has its pid now.
pub(crate) fn signal(key: ProcessKey, signal: Signal) -> std::io::Result<()> {
    let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let pid = i32::try_from(key.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    // The handle is of whoever had the pid then; it is the one that is meant if it has it still.
    if process::key_of(key.pid) != Some(key) {
        return Err(gone());
    }
    Ok(pidfd_send_signal(&handle, signal)?)
}
