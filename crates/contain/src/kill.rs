//! Everything that stands still ends: group by group, then process by process, until a pass finds nothing alive.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster_event::ProcessKey;
use rustix::process::Signal;

use crate::closure::{Finder, Guard};
use crate::freeze::signal;
use crate::{Target, cgroup};

/// Longer than the kernel needs for thousands; what is left then waits for a device and is named.
const KILL_MAX: Duration = Duration::from_secs(5);
const QUIET_PASSES: usize = 2;
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn kill(
    target: &Target,
    finder: &mut Finder,
    groups: &[String],
    folders: &[PathBuf],
    known: &dyn Fn() -> BTreeSet<ProcessKey>,
    guard: &Guard,
) -> BTreeSet<ProcessKey> {
    let began = Instant::now();
    let mut quiet = 0;
    for folder in folders {
        // Where the kernel has no such file (before 5.14) the passes do it.
        drop(cgroup::kill(folder));
    }
    loop {
        let (_, closure) = finder.look(target, groups, &known(), guard);
        quiet = if closure.certain.is_empty() { quiet + 1 } else { 0 };
        if quiet >= QUIET_PASSES || began.elapsed() > KILL_MAX {
            return closure.certain;
        }
        for key in &closure.certain {
            // It may have ended.
            drop(signal(*key, Signal::KILL));
        }
        std::thread::sleep(PAUSE);
    }
}
