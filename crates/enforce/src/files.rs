//! What of a mandate's files the kernel's Landlock can be told: folders and files that are there. Lines that refuse or ask cut
//! pieces out of what others allow; what is left over is decided call by call, and opened by the supervisor.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_event::Nanos;
use muster_mandate::glob::{PathGlob, escape};
use muster_mandate::{Action, Chain, Kind, Line, Pattern, Verdict};
use serde::{Deserialize, Serialize};

/// Entries of folders that are looked at to cut pieces out: what a start may cost. Beyond it, folders are not granted, and
/// each opening in them is decided by itself.
const ENTRIES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 24;
/// The runtime's lines that are for all products.
const BASE: [&str; 3] = ["runtime.read", "runtime.write", "runtime.execute"];
/// Rules for the kernel: it looks them up by folder, so this bounds the start, not each act.
const GRANTS_MAX: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Right {
    Read,
    /// Also by making, removing and renaming.
    Write,
    Execute,
    /// Only to list a folder and those in it: their files may be denied.
    List,
}

/// A folder with all below, or a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    pub path: PathBuf,
    pub right: Right,
}

#[derive(Debug, Default)]
pub struct Plan {
    /// Sorted.
    pub grants: Vec<Grant>,
    /// Something may be read that no grant covers: openings for reading must be looked at one by one.
    pub partial: bool,
}

impl Plan {
    /// What loads programs must be executed to load any; by itself it is decided like another.
    pub fn add_loaders(&mut self, own: Option<&str>) {
        let mut loaders = crate::supervisor::interpreters();
        // The agent's hooks are Muster's own program.
        loaders.extend(own.map(PathBuf::from));
        self.grants.extend(loaders.into_iter().map(|path| Grant { path, right: Right::Execute }));
        self.grants.sort();
        self.grants.dedup();
    }

    /// Does the kernel let this through by itself?
    pub fn covers(&self, path: &str, right: Right) -> bool {
        Path::new(path).ancestors().any(|at| {
            let is = |grant: &Grant| (grant.path.as_path(), grant.right).cmp(&(at, right));
            self.grants.binary_search_by(is).is_ok()
        })
    }
}

/// For acts of one kind: which lines allow, which take away.
struct Cutter<'a> {
    chain: &'a Chain,
    now_ns: Nanos,
    kind: Kind,
    right: Right,
    taken: Vec<&'a PathGlob>,
    entries: usize,
    /// What no grant covers makes the plan a partial one.
    counts: bool,
    plan: &'a mut Plan,
}

/// `now_ns` is a time at which the mandate holds.
pub fn plan(chain: &Chain, now_ns: Nanos) -> Plan {
    let mut plan = Plan::default();
    for (kind, right, sources) in [
        (Kind::Read, Right::Read, &[Kind::Read, Kind::Write, Kind::Execute][..]),
        (Kind::Write, Right::Write, &[Kind::Write]),
        (Kind::Execute, Right::Execute, &[Kind::Execute]),
    ] {
        // Each link is a part of the next: what the first allows, all do.
        let own = sources.iter().filter_map(|kind| chain.allows(*kind).first().copied()).flatten();
        let allowed: Vec<&Line> = own.chain(chain.runtime(kind)).collect();
        // Of commands with arguments, the program: the rest is decided when it is executed.
        let taken = chain.denies(kind).chain(chain.asks(kind)).filter(|line| !has_arguments(line));
        let taken: Vec<&PathGlob> = taken.filter_map(glob_of).collect();
        let mut cutter =
            Cutter { chain, now_ns, kind, right, taken, entries: 0, counts: false, plan: &mut plan };
        for line in allowed {
            let Some(glob) = glob_of(line) else { continue };
            let (folder, whole) = glob.folder();
            // What every program reads is there from the start, or nobody misses it.
            cutter.counts = right == Right::Read && !BASE.iter().any(|base| line.rule.starts_with(base));
            cutter.grant(glob, Path::new(&folder), whole);
        }
    }
    plan.grants.sort();
    plan.grants.dedup();
    plan
}

fn glob_of(line: &Line) -> Option<&PathGlob> {
    match &line.pattern {
        Pattern::Path(glob) => Some(glob),
        Pattern::Command(command) => Some(&command.program),
        Pattern::Host(_) | Pattern::Credential { .. } | Pattern::Word(_) => None,
    }
}

fn has_arguments(line: &Line) -> bool {
    matches!(&line.pattern, Pattern::Command(command) if command.arguments.is_some())
}

impl Cutter<'_> {
    fn grant(&mut self, glob: &PathGlob, folder: &Path, whole: bool) {
        // The kernel knows files, not names: a link stands for what it leads to.
        let Ok(real) = folder.canonicalize() else {
            // Not there yet: made later, it is decided then.
            self.plan.partial |= self.counts;
            return;
        };
        // A folder by its own name is that folder, and nothing in it: the kernel knows no such rule.
        if !whole && glob.is_literal() && real.is_dir() {
            self.plan.partial |= self.counts;
            return;
        }
        if (whole || glob.is_literal()) && !self.may_be_cut(&real) {
            self.add(real);
            return;
        }
        if real != folder {
            // A glob speaks of the path as it is written; cut only what is written as the kernel has it.
            self.plan.partial |= self.counts;
            return;
        }
        self.plan.partial |= self.counts;
        if self.right == Right::Read {
            self.plan.grants.push(Grant { path: real.clone(), right: Right::List });
        }
        // What each process may write of itself there is another for each process: nobody misses it.
        if real == Path::new("/proc") {
            return;
        }
        // No deeper than it can match.
        let parts = |text: &str| text.split('/').count();
        let text = glob.text().trim_end_matches("/**");
        let depth = if text.contains("**") {
            DEPTH_MAX
        } else {
            parts(text).saturating_sub(parts(glob.folder().0.trim_end_matches('/'))).clamp(1, DEPTH_MAX)
        };
        self.walk(glob, &real, if glob.of_home() { depth.max(1) } else { depth });
    }

    fn add(&mut self, path: PathBuf) {
        if self.plan.grants.len() < GRANTS_MAX {
            self.plan.grants.push(Grant { path, right: self.right });
        } else {
            self.plan.partial |= self.counts;
        }
    }

    /// Something may be taken away at or below this path.
    fn may_be_cut(&self, path: &Path) -> bool {
        self.taken.iter().any(|glob| {
            let (folder, _) = glob.folder();
            let folder = Path::new(&folder);
            folder.starts_with(path) || (path.starts_with(folder) && !glob.is_literal()) || (path == folder)
        })
    }

    fn is_allowed(&self, path: &str) -> bool {
        let action = match self.kind {
            Kind::Write => Action::Write { path: path.to_owned() },
            Kind::Execute => Action::Execute { path: path.to_owned(), argv: Vec::new() },
            _ => Action::Read { path: path.to_owned() },
        };
        self.chain.decide(&action, self.now_ns).verdict == Verdict::Allow
    }

    /// Grants what in this folder is wholly allowed. `true`: all that is in it is, and nothing was granted.
    fn walk(&mut self, glob: &PathGlob, folder: &Path, depth: usize) -> bool {
        let Ok(entries) = fs::read_dir(folder) else { return true };
        let mut clean = Vec::new();
        let mut is_clean = true;
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries > ENTRIES_MAX || depth == 0 {
                return false;
            }
            let path = entry.path();
            let Some(text) = path.to_str() else {
                is_clean = false;
                continue;
            };
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                continue;
            }
            let here = if kind.is_dir() {
                // Below it, too: by this glob, and by none that takes away.
                let below = PathGlob::new(&format!("{}/**", escape(text)));
                let inside = below.is_ok_and(|below| glob.includes(&below));
                if inside && !self.may_be_cut(&path) {
                    true
                } else {
                    // What of it may be given is, in any case.
                    let is_whole = self.walk(glob, &path, depth - 1);
                    is_whole && inside
                }
            } else {
                // A second name of a file that may be elsewhere: decided by itself.
                let alone =
                    entry.metadata().is_ok_and(|data| data.nlink() == 1) || self.right == Right::Execute;
                alone && glob.matches(text) && self.is_allowed(text)
            };
            if here {
                clean.push(path);
            } else {
                is_clean = false;
            }
        }
        // New files of a folder may be ones that a line takes away: of these, only reading is harmless.
        if is_clean && self.right != Right::Write {
            return true;
        }
        for path in clean {
            self.add(path);
        }
        false
    }
}
