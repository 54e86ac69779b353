//! One mustering out, from its first step to the one that it is to go to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_event::ProcessKey;
use serde::{Deserialize, Serialize};

use crate::closure::{Finder, Guard};
use crate::freeze::{Frozen, Hold};
use crate::journal::{self, Journal, Note};
use crate::quarantine::{self, Action, Quarantined};
use crate::restore::{self, Standing};
use crate::units::Unit;
use crate::{Artefact, Closure, Step, Target, cut, kill, process, revoke, units, verify};

/// Folder of all of them, in the data folder.
pub const FOLDER: &str = "out";
const TARGET: &str = "target.json";
/// Control groups of which it is asked whether they are a unit of the lineage: each question takes some milliseconds.
const RUN_UNITS_MAX: usize = 16;
/// Names in one line for people.
const NAMED_MAX: usize = 12;

/// What the steps need from elsewhere.
pub trait Outside: Sync {
    /// A step began or ended: for the ledger, and for those who wait.
    fn told(&self, told: &Told);
    /// What the record has come to know since the beginning.
    fn known(&self) -> BTreeSet<ProcessKey>;
    /// Files that it has come to know of, besides those of these names.
    fn planted(&self, _: &BTreeSet<PathBuf>) -> Vec<Artefact> {
        Vec::new()
    }
    /// A webhook that takes a credential's power.
    fn post(&self, url: &str, agent: &str, credential: &str, limit: Duration) -> Result<(), String>;
    /// Puts the evidence into the folder, and says what it is.
    fn seal(&self, folder: &Path) -> Result<String, String>;
    /// Nothing leaves these control groups and sockets (by their cookies) any more, and nothing reaches them.
    fn silence(&self, id: &str, groups: &[PathBuf], sockets: &[u64]) -> Result<(), String>;
    /// Whatever of the agent was cut off, by this or another mustering out, is so no more.
    fn unsilence(&self);
}

/// Nobody listens, and nothing is sealed.
pub struct Bare;

impl Outside for Bare {
    fn told(&self, _: &Told) {}
    fn known(&self) -> BTreeSet<ProcessKey> {
        BTreeSet::new()
    }
    fn post(&self, _: &str, _: &str, _: &str, _: Duration) -> Result<(), String> {
        Err("nothing is sent from here".to_owned())
    }
    fn seal(&self, _: &Path) -> Result<String, String> {
        Err("there is nothing to seal here".to_owned())
    }
    fn silence(&self, _: &str, _: &[PathBuf], _: &[u64]) -> Result<(), String> {
        Err("there is no packet filter here".to_owned())
    }
    fn unsilence(&self) {}
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub step: String,
    pub state: String,
    pub text: String,
}

/// A process as people know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Known {
    pub pid: u32,
    pub start_ns: u64,
    pub command: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    pub path: PathBuf,
    pub mechanism: String,
    /// `move`, `lines`, or `leave`.
    pub action: String,
    /// Why it is left.
    pub why: String,
}

/// What would be touched: found in the same way as by the real run, which reports it in the same words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub processes: Vec<Known>,
    /// Listed and left.
    pub likely: Vec<Known>,
    pub cgroups: Vec<String>,
    pub files: Vec<PlannedFile>,
    pub units: Vec<String>,
    pub revocations: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    pub step: String,
    pub state: String,
    pub micros: u64,
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub id: String,
    pub agent: String,
    pub touched: Plan,
    pub steps: Vec<StepReport>,
    /// From the decision to the pass that found nobody alive.
    pub dead_micros: Option<u64>,
    /// What was not achieved, in words.
    pub left: Vec<String>,
}

pub struct Out {
    pub folder: PathBuf,
    pub id: String,
    pub target: Target,
    pub until: Step,
    pub by: String,
    /// Processes that are guarded with their ancestors: who asked, the daemon.
    pub own: Vec<u32>,
    /// When it was decided.
    pub decided: Instant,
    kept: Vec<Quarantined>,
    begun: Vec<Quarantined>,
    revoked: bool,
}

/// Only such a name is looked for in the folder.
pub fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 64
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn new_id(folder: &Path) -> String {
    let base = journal::now_ns() / 1_000_000;
    // Two in one millisecond.
    (base..).map(|it| format!("o-{it:x}")).find(|id| !folder.join(id).exists()).unwrap_or_default()
}

impl Out {
    /// Writes down what is to be done. It is on the disk when everything stands still: that comes first.
    pub fn begin(data: &Path, target: Target, until: Step, by: &str, own: Vec<u32>) -> io::Result<Out> {
        let decided = Instant::now();
        let all = data.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&all)?;
        let id = new_id(&all);
        let folder = all.join(&id);
        DirBuilder::new().mode(0o700).create(&folder)?;
        fs::write(folder.join(TARGET), serde_json::to_vec_pretty(&target)?)?;
        let mut journal = Journal::open(&folder)?;
        journal.note(Note::Asked {
            id: id.clone(),
            agent: target.agent.clone(),
            until: until.name().to_owned(),
            by: by.to_owned(),
        })?;
        let by = by.to_owned();
        Ok(Out {
            folder,
            id,
            target,
            until,
            by,
            own,
            decided,
            kept: Vec::new(),
            begun: Vec::new(),
            revoked: false,
        })
    }

    /// One that was begun, as its folder tells it.
    pub fn resume(data: &Path, id: &str, own: Vec<u32>) -> io::Result<(Out, Standing)> {
        let bad = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        if !is_id(id) {
            return Err(bad("it is no name of a mustering out".to_owned()));
        }
        let folder = data.join(FOLDER).join(id);
        let mut target: Target = serde_json::from_slice(&fs::read(folder.join(TARGET))?)?;
        let standing = restore::standing(&journal::read(&folder)?);
        let until = Step::named(&standing.until)
            .ok_or_else(|| bad("its journal does not say how far it goes".to_owned()))?;
        if target.boot_id != process::boot_id() {
            // Other processes have these numbers now.
            target.roots.clear();
            target.members.clear();
            target.likely.clear();
            target.cgroups.clear();
        }
        let out = Out {
            folder,
            id: id.to_owned(),
            target,
            until,
            by: standing.by.clone(),
            own,
            decided: Instant::now(),
            kept: standing.kept.clone(),
            begun: standing.begun.clone(),
            revoked: standing.revoked,
        };
        Ok((out, standing))
    }

    fn guard(&self) -> Guard {
        Guard::new(&self.own, &self.target.roots)
    }

    /// All steps up to the last one. Every one is safe to be done again.
    pub fn carry_out(&mut self, outside: &dyn Outside) -> io::Result<Report> {
        let mut work = Work {
            journal: Journal::open(&self.folder)?,
            report: Report { id: self.id.clone(), agent: self.target.agent.clone(), ..Report::default() },
            outside,
        };
        let guard = self.guard();
        let mut finder = Finder::new(&self.target);
        let known = || outside.known();
        // Freeze. What stands still is known to whoever finishes the job before it is on the disk.
        let began = work.begin(Step::Freeze, false)?;
        let mut hold = Hold::new(&self.target, &self.id);
        let (closure, all) = hold.freeze(&self.target, &mut finder, &known, &guard);
        work.journal.note(Note::Frozen { frozen: hold.frozen.clone() })?;
        work.report.touched = plan(&self.target, &closure, &hold.groups);
        let mut trouble = std::mem::take(&mut hold.trouble);
        if !all {
            trouble.push("it still grew: what follows goes on with those that are known".to_owned());
        }
        let text =
            format!("{} processes, {} control groups", closure.certain.len(), hold.frozen.cgroups.len());
        work.end(Step::Freeze, began, &text, &trouble)?;
        let frozen = closure.certain;

        let mut sockets = BTreeSet::new();
        if self.until >= Step::Cut {
            let began = work.begin(Step::Cut, false)?;
            let cut = self.cut(outside, &frozen, &guard, &hold.folders());
            work.end(Step::Cut, began, &cut.text, &cut.trouble)?;
            sockets = cut.ended;
        }
        if self.until >= Step::Revoke {
            self.revoke(&mut work)?;
        }
        if self.until >= Step::Kill {
            self.kill(&mut work, &mut finder, &hold, &guard)?;
        }
        if self.until >= Step::Quarantine {
            self.quarantine(&mut work)?;
            // What an artefact started while the others were put away.
            kill::kill(&self.target, &mut finder, &hold.groups, &[], &known, &guard);
        }
        if self.until >= Step::Seal {
            let began = work.begin(Step::Seal, true)?;
            match outside.seal(&self.folder) {
                Ok(text) => work.end(Step::Seal, began, &text, &[])?,
                Err(error) => work.end(Step::Seal, began, "", &[error])?,
            }
        }
        if self.until >= Step::Verify {
            let began = work.begin(Step::Verify, true)?;
            let left = verify::verify(&self.target, &hold.groups, &known(), &guard, &sockets);
            let text = if left.is_empty() { "nothing of it was found" } else { "" };
            work.end(Step::Verify, began, text, &left)?;
        }
        if self.until >= Step::Kill {
            self.remove_groups(&hold);
        }
        work.journal.write(Note::Finished { left: work.report.left.clone() })?;
        Ok(work.report)
    }

    /// Silent at once; who is to be killed has its connections reset as well, so that nothing of them is sent later.
    fn cut(
        &self,
        outside: &dyn Outside,
        members: &BTreeSet<ProcessKey>,
        guard: &Guard,
        groups: &[PathBuf],
    ) -> Cut {
        let cookies = cut::cookies(members, guard);
        // Who stands still, is killed at once, and has no socket, sends nothing in between.
        let silenced = match self.until >= Step::Kill && cookies.is_empty() {
            true => Ok(()),
            false => outside.silence(&self.id, groups, &cookies),
        };
        let mut cut = Cut::default();
        let mut parts = match &silenced {
            Ok(()) => vec![format!("{} sockets silent", cookies.len())],
            Err(why) => vec![format!("no packet filter: {why}")],
        };
        if silenced.is_err() || self.until >= Step::Kill {
            (cut.ended, cut.trouble) = cut::reset(members, guard);
            parts.push(format!("{} sockets reset", cut.ended.len()));
        }
        cut.text = parts.join(", ");
        cut
    }

    /// After a start anew: a packet filter that nothing keeps ended with who had made it.
    pub fn cut_again(&self, outside: &dyn Outside, frozen: &[Frozen]) {
        if self.until < Step::Cut || self.until >= Step::Kill || self.target.boot_id != process::boot_id() {
            return;
        }
        let guard = self.guard();
        let hold = Hold::new(&self.target, &self.id);
        let mut finder = Finder::new(&self.target);
        let (_, closure) = finder.look(&self.target, &hold.groups, &outside.known(), &guard);
        let held = closure.certain.into_iter().filter(|key| is_held(*key, frozen)).collect();
        let groups = hold.all_folders();
        self.cut(outside, &held, &guard, &groups);
    }

    fn revoke(&mut self, work: &mut Work) -> io::Result<()> {
        if self.revoked {
            return Ok(());
        }
        let began = work.begin(Step::Revoke, true)?;
        let done = revoke::revoke(&self.target, work.outside);
        let failed: Vec<String> =
            done.iter().filter_map(|(name, it)| Some(format!("`{name}`: {}", it.as_ref().err()?))).collect();
        let names: Vec<&str> =
            done.iter().filter(|(_, it)| it.is_ok()).map(|(name, _)| name.as_str()).collect();
        let text = if done.is_empty() { "nothing is configured for it".to_owned() } else { names.join(", ") };
        work.end(Step::Revoke, began, &text, &failed)
    }

    fn kill(&self, work: &mut Work, finder: &mut Finder, hold: &Hold, guard: &Guard) -> io::Result<()> {
        let began = work.begin(Step::Kill, false)?;
        let mut trouble = Vec::new();
        let own: Vec<Unit> = self.target.taken().flat_map(Unit::of).collect();
        let mut units = Vec::new();
        if units::is_there() {
            units.clone_from(&own);
            let stopped = hold.frozen.stopped.iter();
            let run = run_by(stopped.filter_map(|it| Some((it.process.pid, it.from.clone()?))));
            units.extend(run.into_iter().filter(|unit| !own.contains(unit)));
            add_units(&mut work.report.touched.units, &units);
        }
        // What restarts it ends before it does.
        units::stop_soon(&units);
        let before = finder.found.len();
        let known = || work.outside.known();
        let alive = kill::kill(&self.target, finder, &hold.groups, &hold.folders(), &known, guard);
        trouble.extend(
            alive.iter().map(|key| format!("process {} lives: {}", key.pid, process::command(key.pid))),
        );
        if alive.is_empty() {
            work.report.dead_micros = Some(micros(self.decided));
            // Nobody is left to send anything, and what was open is reset.
            work.outside.unsilence();
        }
        if !units.is_empty() {
            trouble.extend(units::stop(&units, &own));
        }
        let more = finder.found.len().saturating_sub(before);
        let text =
            format!("{} processes ended, {more} of them found on the way", finder.found.len() - alive.len());
        work.end(Step::Kill, began, &text, &trouble)
    }

    fn quarantine(&mut self, work: &mut Work) -> io::Result<()> {
        let began = work.begin(Step::Quarantine, true)?;
        let late = self.take_late(work.outside)?;
        if !late.is_empty() {
            let only = Target { artefacts: late, ..Target::default() };
            let more = plan(&only, &Closure::default(), &[]);
            work.report.touched.files.extend(more.files);
        }
        let begun = std::mem::take(&mut self.begun);
        quarantine::recover(&self.folder, &begun, &mut work.journal, &mut self.kept)?;
        let stayed = quarantine::quarantine(&self.target, &self.folder, &mut work.journal, &mut self.kept)?;
        let stayed: Vec<String> =
            stayed.iter().map(|(path, why)| format!("file {}: {why}", path.display())).collect();
        work.end(Step::Quarantine, began, &format!("{} files put away", self.kept.len()), &stayed)
    }

    /// What was written a moment before the lineage was stopped is known a moment later.
    fn take_late(&mut self, outside: &dyn Outside) -> io::Result<Vec<Artefact>> {
        let names = self.target.artefacts.iter().map(|it| it.inside.as_ref().unwrap_or(&it.path).clone());
        let late = outside.planted(&names.collect());
        if !late.is_empty() {
            self.target.artefacts.extend(late.iter().cloned());
            journal::write_file(&self.folder.join(TARGET), &serde_json::to_vec_pretty(&self.target)?)?;
        }
        Ok(late)
    }

    /// The empty ones: a frozen group that stays would stop whoever is put into it.
    fn remove_groups(&self, hold: &Hold) {
        const TRIES: usize = 20;
        for folder in hold.folders() {
            // The kernel takes the last of the dead out a moment later.
            for _ in 0..TRIES {
                if fs::remove_dir(&folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Did it come back? What did is stopped again, as far as the rest was. Gives what was done, in words.
    pub fn sweep(&mut self, outside: &dyn Outside) -> io::Result<Option<String>> {
        let guard = self.guard();
        let mut finder = Finder::new(&self.target);
        let (_, closure) = finder.look(&self.target, &self.target.cgroups, &outside.known(), &guard);
        let mut again: Vec<_> =
            self.kept.iter().filter(|kept| is_back(kept)).map(|kept| kept.path.clone()).collect();
        if self.until >= Step::Quarantine {
            let late = self.take_late(outside)?.into_iter();
            again.extend(late.filter(|it| it.certain && it.stands()).map(|it| it.path));
        }
        let alive: BTreeSet<ProcessKey> = if self.until >= Step::Kill {
            closure.certain
        } else {
            let standing = restore::standing(&journal::read(&self.folder)?);
            closure.certain.into_iter().filter(|key| !is_held(*key, &standing.frozen)).collect()
        };
        if alive.is_empty() && again.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> =
            alive.iter().map(|key| format!("{} {}", key.pid, process::command(key.pid))).collect();
        let mut work = Work { journal: Journal::open(&self.folder)?, report: Report::default(), outside };
        if !alive.is_empty() {
            let mut hold = Hold::new(&self.target, &self.id);
            let known = || outside.known();
            hold.freeze(&self.target, &mut finder, &known, &guard);
            work.journal.note(Note::Frozen { frozen: hold.frozen.clone() })?;
            if self.until >= Step::Kill {
                kill::kill(&self.target, &mut finder, &hold.groups, &hold.folders(), &known, &guard);
                self.remove_groups(&hold);
            } else if self.until >= Step::Cut {
                // Those that were silent stay so.
                let found = finder.found.iter().copied().filter(|key| process::lives(*key)).collect();
                self.cut(outside, &found, &guard, &hold.all_folders());
            }
        }
        if !again.is_empty() && self.until >= Step::Quarantine {
            let mut only = self.target.clone();
            only.artefacts.retain(|artefact| again.contains(&artefact.path));
            quarantine::quarantine(&only, &self.folder, &mut work.journal, &mut self.kept)?;
        }
        let files = again.iter().map(|path| format!("file {}", path.display()));
        let text = format!("it came back and was stopped again: {}", named(names.into_iter().chain(files)));
        work.tell("watch", "done", &text)?;
        Ok(Some(text))
    }
}

/// Units whose first processes are among these, by the control groups in which they ran.
fn run_by(processes: impl Iterator<Item = (u32, String)>) -> Vec<Unit> {
    let mut groups: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for (pid, group) in processes.filter(|(_, group)| group.ends_with(".service")) {
        groups.entry(group).or_default().insert(pid);
    }
    groups.iter().take(RUN_UNITS_MAX).filter_map(|(group, pids)| Unit::run_by(group, pids)).collect()
}

/// Without a name twice.
fn add_units(names: &mut Vec<String>, units: &[Unit]) {
    for name in units.iter().map(Unit::shown) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

fn is_held(key: ProcessKey, frozen: &[Frozen]) -> bool {
    let own = process::cgroup_of(key.pid).unwrap_or_default();
    frozen.iter().any(|it| {
        it.stopped.iter().any(|stopped| stopped.process == key)
            || it.cgroups.iter().any(|group| crate::closure::is_below(&own, group))
    })
}

/// The same bytes stand at its path again.
fn is_back(kept: &Quarantined) -> bool {
    if kept.action != Action::Move || kept.sha256.is_empty() {
        return false;
    }
    let Ok(place) = quarantine::place(&kept.path) else { return false };
    match &kept.target {
        Some(target) => rustix::fs::readlinkat(&place.folder, &place.name, Vec::new())
            .is_ok_and(|it| it.as_bytes() == target.as_os_str().as_encoded_bytes()),
        None => place.open().and_then(|file| quarantine::hash(&file)).is_ok_and(|hash| hash == kept.sha256),
    }
}

/// What cutting came to.
#[derive(Default)]
struct Cut {
    text: String,
    /// Inodes of the sockets that were reset, for the look afterwards.
    ended: BTreeSet<u64>,
    trouble: Vec<String>,
}

struct Work<'a> {
    journal: Journal,
    report: Report,
    outside: &'a dyn Outside,
}

impl Work<'_> {
    /// `durable`: it is on the disk before anything is done. What only stops processes need not wait for the disk: they do
    /// not outlive a power cut either.
    fn begin(&mut self, step: Step, durable: bool) -> io::Result<Instant> {
        let began = Instant::now();
        let note =
            Note::Step { step: step.name().to_owned(), state: "begun".to_owned(), text: String::new() };
        if durable {
            self.journal.write(note)?
        } else {
            self.journal.note(note)?
        }
        self.outside.told(&Told {
            step: step.name().to_owned(),
            state: "begun".to_owned(),
            text: String::new(),
        });
        Ok(began)
    }

    fn end(&mut self, step: Step, began: Instant, text: &str, trouble: &[String]) -> io::Result<()> {
        let micros = micros(began);
        self.report.left.extend(trouble.iter().map(|it| format!("{}: {it}", step.name())));
        let mut parts: Vec<String> =
            Some(text.to_owned()).filter(|text| !text.is_empty()).into_iter().collect();
        if !trouble.is_empty() {
            parts.push(format!("left: {}", named(trouble.iter().cloned())));
        }
        let text = parts.join("; ");
        // It was done; what it left is told in its text, and in the report.
        self.tell(step.name(), "done", &text)?;
        self.report.steps.push(StepReport {
            step: step.name().to_owned(),
            state: "done".to_owned(),
            micros,
            text,
        });
        Ok(())
    }

    fn tell(&mut self, step: &str, state: &str, text: &str) -> io::Result<()> {
        let (step, state, text) = (step.to_owned(), state.to_owned(), text.to_owned());
        let note = Note::Step { step: step.clone(), state: state.clone(), text: text.clone() };
        // The kill must not wait for a disk.
        if matches!(step.as_str(), "freeze" | "cut") {
            self.journal.note(note)?
        } else {
            self.journal.write(note)?
        }
        self.outside.told(&Told { step, state, text });
        Ok(())
    }
}

/// The first few, and how many more there are.
fn named(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    let mut text = all.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What a real run would touch now.
pub fn dry_run(target: &Target, own: &[u32], known: &BTreeSet<ProcessKey>) -> Plan {
    let guard = Guard::new(own, &target.roots);
    let (_, closure) = Finder::new(target).look(target, &target.cgroups, known, &guard);
    let mut plan = plan(target, &closure, &target.cgroups);
    if units::is_there() {
        let groups = closure.certain.iter().filter_map(|key| Some((key.pid, process::cgroup_of(key.pid)?)));
        add_units(&mut plan.units, &run_by(groups));
    }
    plan
}

fn plan(target: &Target, closure: &Closure, groups: &[String]) -> Plan {
    let processes = |keys: &BTreeSet<ProcessKey>| {
        keys.iter()
            .map(|key| Known { pid: key.pid, start_ns: key.start_ns, command: process::command(key.pid) })
            .collect()
    };
    let mut plan = Plan {
        processes: processes(&closure.certain),
        likely: processes(&closure.likely),
        cgroups: groups.iter().filter(|group| target.cgroups.contains(group)).cloned().collect(),
        revocations: target.revocations.iter().map(|it| it.name.clone()).collect(),
        ..Plan::default()
    };
    for artefact in &target.artefacts {
        let named = artefact.inside.clone().filter(|_| artefact.is_elsewhere());
        let named = named.unwrap_or_else(|| artefact.path.clone());
        if !(artefact.certain || target.include_likely) {
            plan.files.push(PlannedFile {
                path: named.clone(),
                mechanism: artefact.mechanism.clone(),
                action: "leave".to_owned(),
                why: "it is only likely that it is the lineage's".to_owned(),
            });
            continue;
        }
        if !artefact.is_elsewhere() && artefact.path.symlink_metadata().is_err() {
            // Somebody was faster.
            continue;
        }
        let (action, why) = match quarantine::look(artefact, 0) {
            Ok(kept) if kept.action == Action::Move => ("move", String::new()),
            Ok(_) => ("lines", String::new()),
            Err(why) => ("leave", why),
        };
        plan.files.push(PlannedFile {
            path: named,
            mechanism: artefact.mechanism.clone(),
            action: action.to_owned(),
            why,
        });
        add_units(&mut plan.units, &Unit::of(artefact));
    }
    plan
}
