//! Files of a lineage in places from which others run something: which it planted, what they start, and the finding. Who then runs
//! one of them is in `artefact/run.rs`.

use std::collections::{BTreeMap, BTreeSet};

use muster_event::{Event, Kind, Nanos, ProcessKey};

use crate::engine::{Engine, event_evidence, finding_id};
use crate::persistence::{Mark, MarkKind, Mechanism, Persistence, Reach, Reader};
use crate::process::Role;
use crate::reconcile::shorten;
use crate::roll::name_of;
use crate::{AgentId, Artefact, ArtefactRead, Certainty, Code, Finding, Output, Severity, Stage};

mod benign;
mod run;

pub(crate) use run::names_of;

/// A file is read when nothing was written to it for so long: the program that writes it has closed it, or soon will.
const SETTLE_NS: Nanos = 400_000_000;
/// … and once more after this, for who writes slowly. Without an answer until then there will be none (a record that others
/// kept).
const AGAIN_NS: Nanos = 3_000_000_000;
/// Files that are asked for at one tick: a checkout has many, and the daemon has other work.
const READS_MAX: usize = 16;
/// Files remembered per agent that are ordinary work, and others. A large checkout has some hundred of the former.
const QUIET_MAX: usize = 1_024;
const LOUD_MAX: usize = 1_024;
/// … and of all agents: 32 MB at some 2 KB each.
const ALL_MAX: usize = 16_384;
/// Commands remembered of one file, over all that it has said.
const COMMANDS_MAX: usize = 256;
/// Bytes of the commands remembered of one file, and of all.
const BYTES_MAX: usize = 64 * 1024;
const BYTES_ALL_MAX: usize = 64 * 1024 * 1024;
/// What stood in such places before any agent changed it: files of one machine.
const BEFORE_MAX: usize = 4_096;
/// Folders that a lineage made, remembered per agent: projects that it set up.
const FOLDERS_MAX: usize = 256;
/// Findings of one agent that name a file each; what follows is one for its kind of place.
const NAMED_MAX: usize = 24;

type Key = (String, AgentId);

#[derive(Default)]
pub(crate) struct Artefacts {
    planted: BTreeMap<Key, Planted>,
    counts: BTreeMap<AgentId, Counts>,
    /// Files to be read or told of, by the time at which they are due.
    due: BTreeSet<(Nanos, Key)>,
    /// Texts for shells, and names of programs, that files start.
    by_text: BTreeMap<String, BTreeSet<Key>>,
    by_program: BTreeMap<String, BTreeSet<Key>>,
    /// Where links lead.
    by_target: BTreeMap<String, BTreeSet<Key>>,
    /// Folders from which git's hooks were made to come.
    by_folder: BTreeMap<String, BTreeSet<Key>>,
    before: BTreeMap<String, BTreeSet<Vec<String>>>,
    /// Homes that were looked into before.
    looked: BTreeSet<String>,
    /// Of all commands that are remembered.
    bytes: usize,
    /// Folders that lineages made.
    made: BTreeMap<AgentId, BTreeSet<String>>,
    /// Told of, and not judged yet.
    unjudged: BTreeSet<Key>,
    /// What stands out in files, and is not judged yet.
    marked: BTreeMap<Key, Vec<Mark>>,
}

#[derive(Default)]
struct Counts {
    quiet: usize,
    loud: usize,
    named: usize,
    likely: usize,
    /// Too many to remember, and how many of them its coverage tells of.
    dropped: u64,
    told: u64,
}

/// One file.
struct Planted {
    artefact: Artefact,
    mechanism: &'static Mechanism,
    /// Where a link leads.
    target: Option<String>,
    /// All that it was ever seen to start.
    all: BTreeSet<Vec<String>>,
    bytes: usize,
    /// By a package manager, with what it fetched.
    packaged: bool,
    /// By the agent's own program.
    by_harness: bool,
    first_ns: Nanos,
    stage: Step,
    /// What it starts was read.
    read: bool,
    /// When it is looked at again.
    due_ns: Option<Nanos>,
    told: bool,
    likely: u32,
    /// An earlier daemon saw it: what stood there before is what that one knew.
    remembered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Waits until it is quiet.
    Written,
    /// Was asked for, and is asked for once more.
    Asked,
    /// Was asked for the last time.
    Last,
    Done,
}

impl Engine {
    /// Looks whether an act of a lineage makes, changes or removes a file in such a place.
    pub(crate) fn note_artefact(&mut self, event: &Event) {
        match &event.kind {
            Kind::Open { path, access, result } if access.write && *result >= 0 => {
                self.plant(event, path, None)
            }
            Kind::Rename { from, to, result } if *result >= 0 => {
                self.uproot(event, from);
                self.plant(event, to, None);
            }
            Kind::Link { to, result, .. } if *result >= 0 => self.plant(event, to, None),
            Kind::Symlink { target, path, result } if *result >= 0 => self.plant(event, path, Some(target)),
            Kind::Truncate { path, result, .. } if *result >= 0 => self.plant(event, path, None),
            Kind::IoUring { path: Some(path), operation, flags }
                if operation.starts_with("open") && flags & 0o3 != 0 =>
            {
                self.plant(event, path, None);
            }
            Kind::Unlink { path, directory: false, result } if *result >= 0 => self.uproot(event, path),
            Kind::Mkdir { path, result } if *result >= 0 => self.made_folder(event, path),
            _ => {}
        }
    }

    fn made_folder(&mut self, event: &Event, path: &str) {
        // A folder of hooks or settings within a project makes no project of its own.
        if path.contains("/.") {
            return;
        }
        for id in self.agents_of(event.process) {
            if self.artefacts.is_made(&id, path) {
                continue;
            }
            let made = self.artefacts.made.entry(id).or_default();
            if made.len() < FOLDERS_MAX {
                made.insert(path.to_owned());
            }
        }
    }

    /// For each lineage that the process belongs to.
    fn plant(&mut self, event: &Event, path: &str, link: Option<&str>) {
        let Some(process) = self.processes.get(event.process) else { return };
        let members: Vec<(AgentId, bool)> =
            process.memberships().map(|m| (m.agent.clone(), m.role == Role::Harness)).collect();
        for (id, by_harness) in members {
            self.plant_of(&id, by_harness, event, path, link);
        }
    }

    fn plant_of(&mut self, id: &str, by_harness: bool, event: &Event, path: &str, link: Option<&str>) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(agent) = self.agents.get(id) else { return };
        let homes: Vec<&str> = agent.home.iter().chain(process.env.get("HOME")).map(String::as_str).collect();
        let Some(mechanism) = Persistence::built_in().at(path, &homes) else { return };
        let id = agent.state.agent.clone();
        let packaged = self.is_packaged(event.process);
        let key = (path.to_owned(), id.clone());
        let target = link.map(|target| resolved(folder_of(path), target));
        let time_ns = event.time_ns;
        if !self.artefacts.planted.contains_key(&key) && !self.artefacts.make_room(&id, mechanism.quiet) {
            if !mechanism.quiet {
                self.too_many(event, &id);
            }
            return;
        }
        let planted = self.artefacts.planted.entry(key.clone()).or_insert_with(|| Planted {
            artefact: Artefact {
                id: format!("a-{}", crate::engine::short_hash(&[&id, path])),
                agent: id,
                path: path.to_owned(),
                mechanism: mechanism.name.clone(),
                certainty: Certainty::Certain,
                time_ns,
                process: event.process,
                seq: event.seq,
                commands: Vec::new(),
                added: Vec::new(),
                unit: None,
                gone: false,
                stood: None,
                file: None,
            },
            mechanism,
            remembered: false,
            target: None,
            all: BTreeSet::new(),
            bytes: 0,
            packaged,
            by_harness,
            first_ns: time_ns,
            stage: Step::Done,
            read: false,
            due_ns: None,
            told: false,
            likely: 0,
        });
        // What anybody but a package manager wrote once is that one's.
        planted.packaged &= packaged;
        planted.by_harness &= by_harness;
        if planted.stage == Step::Done || planted.artefact.gone {
            planted.first_ns = time_ns;
        }
        planted.artefact.gone = false;
        planted.artefact.time_ns = time_ns;
        planted.artefact.seq = event.seq;
        planted.artefact.process = event.process;
        if let Some(target) = target {
            if mechanism.starts == Reader::Unit {
                planted.artefact.unit = Some(name_of(path).to_owned());
            }
            planted.target = Some(target.clone());
            self.artefacts.by_target.entry(target).or_default().insert(key.clone());
        }
        let Some(planted) = self.artefacts.planted.get_mut(&key) else { return };
        planted.stage = Step::Written;
        // Who never stops writing is read all the same.
        let due = time_ns.saturating_add(SETTLE_NS).min(planted.first_ns.saturating_add(AGAIN_NS));
        self.artefacts.schedule(&key, due);
    }

    /// An agent hides what it plants in a heap of it.
    fn too_many(&mut self, event: &Event, id: &str) {
        self.raise(Finding {
            id: finding_id(Code::Persistence, id, "too many"),
            code: Code::Persistence,
            severity: Severity::Medium,
            stage: Stage::Sustain,
            overreach: 2,
            deception: 1,
            agent: id.to_owned(),
            time_ns: event.time_ns,
            summary: format!("wrote more than {LOUD_MAX} files from which others run something: the rest is not followed"),
            explanation: "So many such files are no work that anybody asks for. What the rest of them starts is not tied to \
                the agent. It would be refuted by a tool that writes them by its nature."
                .to_owned(),
            evidence: vec![event_evidence(event.seq, event.process)],
        });
    }

    /// A lineage removed a file, or moved it away: whose it was, it brings back nothing more.
    fn uproot(&mut self, event: &Event, path: &str) {
        if self.processes.get(event.process).is_none_or(|process| process.memberships().next().is_none()) {
            return;
        }
        for planted in self.artefacts.of_path_mut(path) {
            planted.artefact.gone = true;
            planted.artefact.time_ns = event.time_ns;
            planted.artefact.seq = event.seq;
            planted.artefact.process = event.process;
            if planted.told {
                self.out.push(Output::Artefact(Box::new(planted.artefact.clone())));
            }
        }
    }

    /// What is quiet by now is read, and told of.
    pub(crate) fn settle_artefacts(&mut self) {
        for (id, counts) in &mut self.artefacts.counts {
            if counts.told < counts.dropped
                && let Some(agent) = self.agents.get_mut(id)
            {
                agent.state.coverage.lineage_forgotten += counts.dropped - counts.told;
                agent.dirty = true;
                counts.told = counts.dropped;
            }
        }
        self.judge_told();
        let now = self.time_ns;
        for _ in 0..READS_MAX {
            let Some((due, key)) = self.artefacts.due.first().cloned() else { return };
            if due > now {
                return;
            }
            self.artefacts.due.remove(&(due, key.clone()));
            let Some(planted) = self.artefacts.planted.get_mut(&key) else { continue };
            planted.due_ns = None;
            if planted.artefact.gone {
                planted.stage = Step::Done;
                continue;
            }
            let is_read = planted.target.is_none() && self.agents.contains_key(&key.1);
            match planted.stage {
                // What it starts is known without its text (a link's by where it leads), which is looked at all the same.
                Step::Written
                    if planted.target.is_some() || is_read && !planted.mechanism.starts.is_of_text() =>
                {
                    planted.stage = Step::Done;
                    self.tell_artefact(&key);
                    self.ask(&key);
                }
                Step::Written if is_read => {
                    planted.stage = Step::Asked;
                    self.artefacts.schedule(&key, now.saturating_add(AGAIN_NS));
                    self.ask(&key);
                }
                Step::Written => {
                    planted.stage = Step::Done;
                    self.tell_artefact(&key);
                    // Which file it is, is to be known all the same.
                    if self.agents.contains_key(&key.1) {
                        self.ask(&key);
                    }
                }
                Step::Asked => {
                    planted.stage = Step::Last;
                    // Nobody answered: what is only one by what it starts is not told of.
                    if !planted.told && !planted.mechanism.starts.needs_commands() {
                        self.tell_artefact(&key);
                    }
                    self.ask(&key);
                }
                Step::Last | Step::Done => {}
            }
        }
    }

    fn ask(&mut self, key: &Key) {
        let Some(planted) = self.artefacts.planted.get(key) else { return };
        self.out.push(Output::ReadArtefact {
            agent: key.1.clone(),
            path: key.0.clone(),
            mechanism: planted.mechanism.name.clone(),
            process: planted.artefact.process,
            since_ns: planted.first_ns,
        });
    }

    /// What such a file starts; of no agent: what stood there before.
    pub(crate) fn on_artefact_read(&mut self, read: ArtefactRead) {
        self.time_ns = self.time_ns.max(read.time_ns);
        if read.agent.is_empty() {
            self.artefacts.stood_before(read);
            return;
        }
        let key = (read.path, read.agent);
        let Some(planted) = self.artefacts.planted.get_mut(&key) else { return };
        let is_found = read.file.is_some() && planted.artefact.file != read.file;
        if is_found {
            planted.artefact.file = read.file;
        }
        if read.error.is_some() {
            // It is told of with what its place says.
            if is_found && planted.told || !planted.told && !planted.mechanism.starts.needs_commands() {
                self.tell_artefact(&key);
            }
            return;
        }
        planted.read = true;
        if !read.marks.is_empty() {
            self.artefacts.marked.insert(key.clone(), read.marks);
            self.judge_told();
        }
        let Some(planted) = self.artefacts.planted.get_mut(&key) else { return };
        if !planted.mechanism.starts.is_of_text() {
            if is_found && planted.told {
                self.tell_artefact(&key);
            }
            return;
        }
        let is_same = planted.artefact.commands == read.commands
            && (read.unit.is_none() || planted.artefact.unit == read.unit);
        planted.artefact.unit = read.unit.or(planted.artefact.unit.take());
        if planted.told && is_same && !is_found {
            return;
        }
        let commands: Vec<Vec<String>> = read.commands.into_iter().take(COMMANDS_MAX).collect();
        let emptied = commands.is_empty() && planted.mechanism.starts.needs_commands();
        if emptied && !planted.told {
            self.artefacts.forget(&key);
            return;
        }
        planted.artefact.gone |= emptied;
        planted.artefact.commands.clone_from(&commands);
        for command in commands {
            self.artefacts.index(&key, command);
        }
        self.tell_artefact(&key);
    }

    /// Tells of the file, and raises its finding the first time.
    fn tell_artefact(&mut self, key: &Key) {
        let added = self.artefacts.added(key);
        let stood = self.artefacts.planted.get(key).and_then(|planted| self.artefacts.stood(planted));
        let Some(planted) = self.artefacts.planted.get_mut(key) else { return };
        planted.artefact.certainty = if planted.packaged { Certainty::Likely } else { Certainty::Certain };
        planted.artefact.added = added;
        planted.artefact.stood = stood;
        let first = !std::mem::replace(&mut planted.told, true);
        self.out.push(Output::Artefact(Box::new(planted.artefact.clone())));
        if first {
            self.artefacts.unjudged.insert(key.clone());
            self.judge_told();
        }
    }

    fn can_judge(&self, key: &Key) -> bool {
        let at = self.artefacts.planted.get(key).map_or(0, |planted| planted.artefact.time_ns);
        self.knows_wishes(&key.1, at)
    }

    /// Judges what was told of, once it is known what the user asked for.
    fn judge_told(&mut self) {
        let due: Vec<Key> =
            self.artefacts.unjudged.iter().filter(|key| self.can_judge(key)).cloned().collect();
        for key in due {
            self.artefacts.unjudged.remove(&key);
            self.judge_planted(&key);
        }
        let due: Vec<Key> = self.artefacts.marked.keys().filter(|key| self.can_judge(key)).cloned().collect();
        for key in due {
            if let Some(marks) = self.artefacts.marked.remove(&key) {
                self.judge_marks(&key, &marks);
            }
        }
    }

    fn judge_planted(&mut self, key: &Key) {
        let Some(planted) = self.artefacts.planted.get(key) else { return };
        let Some(agent) = self.agents.get(&key.1) else { return };
        let before = self.artefacts.before.get(&key.0);
        let is_new = |command: &&Vec<String>| before.is_none_or(|before| !before.contains(*command));
        let added: Vec<&Vec<String>> = planted.artefact.commands.iter().filter(is_new).collect();
        let own = self
            .products
            .get(&agent.state.product)
            .is_some_and(|product| product.is_own_file(&key.0, agent.home.as_deref()));
        let inside = agent.works_in(&key.0)
            || benign::is_near(&key.0, &agent.state.cwd, agent.home.as_deref())
            || benign::PASSING.iter().any(|folder| key.0.starts_with(folder));
        let inside = match planted.mechanism.reach {
            Reach::Machine | Reach::Session => inside && !key.0.contains("/.local/"),
            Reach::Project | Reach::Agent => inside || self.artefacts.is_made(&key.1, &key.0),
        };
        let home = agent.home.as_deref().map(|home| home.trim_end_matches('/')).filter(|home| home.len() > 1);
        let at_home =
            home.is_some_and(|home| key.0.strip_prefix(home).is_some_and(|rest| rest.starts_with('/')));
        let judged =
            benign::Place { planted, inside, at_home, own, changed: before.is_some(), added: &added };
        let Some(severity) = judged.severity() else { return };
        let asked = severity > Severity::Info && self.is_asked_for(key, planted);
        let severity = if asked { Severity::Info } else { severity };
        let what = added.iter().find(|c| benign::is_distinctive(c)).or(added.first()).map(|c| c.join(" "));
        let named = self.artefacts.counts.get(&key.1).map_or(0, |counts| counts.named);
        let subject = if severity > Severity::Info && named < NAMED_MAX {
            key.0.as_str()
        } else {
            &planted.mechanism.name
        };
        let finding = finding(key, planted, Judged { severity, asked }, subject, what);
        self.artefacts.counts.entry(key.1.clone()).or_default().named += 1;
        self.raise(finding);
    }

    /// Did the user ask for such a file, or for this one by its name? Not for one that hides what it runs.
    fn is_asked_for(&self, key: &Key, planted: &Planted) -> bool {
        let mechanism = planted.mechanism;
        let path = key.0.to_lowercase();
        let fixed = mechanism.path.iter().any(|pattern| name_of(pattern) == name_of(&key.0));
        let name = fixed.then(|| name_of(&path));
        let words = mechanism.asked.iter().map(String::as_str).chain([path.as_str()]).chain(name);
        !planted.artefact.commands.iter().any(|command| benign::is_hidden(command))
            && self.was_asked(&key.1, words, planted.artefact.time_ns)
    }

    /// What stands out in the text of such a file, whatever its place is.
    fn judge_marks(&mut self, key: &Key, marks: &[Mark]) {
        let Some(planted) = self.artefacts.planted.get(key) else { return };
        let Some(agent) = self.agents.get(&key.1) else { return };
        if planted.packaged || self.is_installer(planted.artefact.process) {
            return;
        }
        let inside = agent.works_in(&key.0) || self.artefacts.is_made(&key.1, &key.0);
        let stands_out = |mark: &&Mark| match mark.kind {
            // Recipes of builds and instructions for people tell how to fetch a tool.
            MarkKind::Fetches => planted.mechanism.by_itself,
            MarkKind::Reaches => matches!(planted.mechanism.name.as_str(), "git-hook" | "hook-manager"),
            MarkKind::Code => !inside && planted.mechanism.starts == Reader::Python,
            MarkKind::Conceals => planted.mechanism.reach == Reach::Agent,
        };
        let Some(mark) = marks.iter().find(stands_out) else { return };
        let hosts: Vec<String> = hosts_of(&mark.text);
        let words = hosts.iter().map(String::as_str);
        let own = planted.mechanism.asked.iter().map(String::as_str);
        let asked = match mark.kind {
            MarkKind::Fetches => self.was_asked(&key.1, words, planted.artefact.time_ns),
            MarkKind::Reaches => self.was_asked(&key.1, words.chain(own), planted.artefact.time_ns),
            MarkKind::Code | MarkKind::Conceals => false,
        };
        if !asked {
            let finding = marked(key, planted, mark);
            self.raise(finding);
        }
    }
}

/// The hosts that a command line names.
fn hosts_of(text: &str) -> Vec<String> {
    let after = text.split("://").skip(1);
    after
        .filter_map(|rest| rest.split(['/', ' ', '"', '\'', ')', '|', ':']).next())
        .map(|host| host.to_lowercase())
        .filter(|host| host.contains('.'))
        .take(8)
        .collect()
}

#[derive(Clone, Copy)]
struct Judged {
    severity: Severity,
    /// By the user's own words.
    asked: bool,
}

fn finding(key: &Key, planted: &Planted, judged: Judged, subject: &str, starts: Option<String>) -> Finding {
    let (path, agent) = key;
    let Judged { severity, asked } = judged;
    let overreach = match (severity, planted.mechanism.reach) {
        (Severity::Info | Severity::Low, _) => 1,
        (_, Reach::Machine) => 3,
        (_, Reach::Session | Reach::Project | Reach::Agent) => 2,
    };
    let starts = starts.map(|text| format!("; it starts `{}`", shorten(&text))).unwrap_or_default();
    let by = match (planted.packaged, asked) {
        (true, _) => " (by the package manager)",
        (false, true) => " (as the user asked)",
        (false, false) => "",
    };
    Finding {
        id: finding_id(Code::Persistence, agent, subject),
        code: Code::Persistence,
        severity,
        stage: Stage::Sustain,
        overreach,
        deception: 0,
        agent: agent.clone(),
        time_ns: planted.artefact.time_ns,
        summary: format!(
            "wrote `{}`{by}: {} ({}, {}){starts}",
            shorten(path),
            planted.mechanism.place,
            planted.mechanism.name,
            planted.mechanism.technique,
        ),
        explanation: "What stands there is run, or read, by others: it can bring the agent's work back after the agent has \
            ended. It would be refuted if a person had asked for exactly this. Where the file was there before, `muster \
            lineage` shows what it starts now."
            .to_owned(),
        evidence: vec![event_evidence(planted.artefact.seq, planted.artefact.process)],
    }
}

/// What stands out in a file that others run or read.
fn marked(key: &Key, planted: &Planted, mark: &Mark) -> Finding {
    let (path, agent) = key;
    let (code, did, why) = match mark.kind {
        MarkKind::Fetches => (
            Code::Persistence,
            "it runs what it fetches or decodes unseen",
            "Who runs this file next runs whatever the other side gives out then: nobody can have read it before.",
        ),
        MarkKind::Reaches => (
            Code::Persistence,
            "it reaches another machine and shows nothing of it",
            "Whoever works in this project next sends that, and sees nothing of it.",
        ),
        MarkKind::Code => (
            Code::Persistence,
            "a line of code in it runs at each start",
            "Such files hold the paths of packages; installers put code into them, and each Python of this user runs it.",
        ),
        MarkKind::Conceals => (
            Code::CarryOver,
            "it tells whoever reads it to keep something from people",
            "A later agent takes this file for instructions, and people are not to hear of it.",
        ),
    };
    Finding {
        id: finding_id(code, agent, &format!("marked {path}")),
        code,
        severity: Severity::Medium,
        stage: Stage::Sustain,
        overreach: 2,
        deception: if mark.kind == MarkKind::Conceals { 3 } else { 1 },
        agent: agent.clone(),
        time_ns: planted.artefact.time_ns,
        summary: format!("wrote `{}`: {did}: `{}`", shorten(path), shorten(&mark.text)),
        explanation: format!(
            "{why} It would be refuted if a person had asked for just this line, or if it stood there before."
        ),
        evidence: vec![event_evidence(planted.artefact.seq, planted.artefact.process)],
    }
}

impl Artefacts {
    /// Room for one more of this agent.
    fn make_room(&mut self, id: &str, quiet: bool) -> bool {
        if self.planted.len() >= ALL_MAX {
            let first = self.planted.iter().min_by_key(|(_, p)| (!p.mechanism.quiet, p.artefact.time_ns));
            if let Some(key) = first.map(|(key, _)| key.clone()) {
                self.forget(&key);
                let counts = self.counts.entry(key.1).or_default();
                counts.dropped = counts.dropped.saturating_add(1);
            }
        }
        let counts = self.counts.entry(id.to_owned()).or_default();
        let (count, max) = if quiet { (&mut counts.quiet, QUIET_MAX) } else { (&mut counts.loud, LOUD_MAX) };
        if *count >= max {
            counts.dropped = counts.dropped.saturating_add(1);
            return false;
        }
        *count += 1;
        true
    }

    fn forget(&mut self, key: &Key) {
        let Some(planted) = self.planted.remove(key) else { return };
        if let Some(counts) = self.counts.get_mut(&key.1) {
            let count = if planted.mechanism.quiet { &mut counts.quiet } else { &mut counts.loud };
            *count = count.saturating_sub(1);
        }
        self.bytes = self.bytes.saturating_sub(planted.bytes);
        if let Some(due) = planted.due_ns {
            self.due.remove(&(due, key.clone()));
        }
        if planted.all.is_empty() && planted.target.is_none() {
            return;
        }
        for map in [&mut self.by_text, &mut self.by_program, &mut self.by_target, &mut self.by_folder] {
            map.retain(|_, keys| {
                keys.remove(key);
                !keys.is_empty()
            });
        }
    }

    /// One that an earlier daemon told of.
    pub(crate) fn remember(&mut self, artefact: Artefact) {
        let Some(mechanism) = Persistence::built_in().get(&artefact.mechanism) else { return };
        let key = (artefact.path.clone(), artefact.agent.clone());
        if self.planted.contains_key(&key) || !self.make_room(&artefact.agent, mechanism.quiet) {
            return;
        }
        let commands = artefact.commands.clone();
        // What stood there before: the rest of what it says.
        if artefact.stood != Some(false)
            && (self.before.len() < BEFORE_MAX || self.before.contains_key(&artefact.path))
        {
            let rest = commands.iter().filter(|command| !artefact.added.contains(*command)).cloned();
            self.before.entry(artefact.path.clone()).or_default().extend(rest.take(COMMANDS_MAX));
        }
        let planted = Planted {
            mechanism,
            target: None,
            all: BTreeSet::new(),
            bytes: 0,
            packaged: artefact.certainty == Certainty::Likely,
            by_harness: false,
            first_ns: artefact.time_ns,
            stage: Step::Done,
            read: true,
            due_ns: None,
            told: true,
            likely: 0,
            remembered: true,
            artefact,
        };
        self.planted.insert(key.clone(), planted);
        for command in commands {
            self.index(&key, command);
        }
    }

    fn schedule(&mut self, key: &Key, due_ns: Nanos) {
        let Some(planted) = self.planted.get_mut(key) else { return };
        if let Some(old) = planted.due_ns.replace(due_ns) {
            self.due.remove(&(old, key.clone()));
        }
        self.due.insert((due_ns, key.clone()));
    }

    fn of_path(&self, path: &str) -> impl Iterator<Item = (&Key, &Planted)> {
        let from = (path.to_owned(), AgentId::new());
        let path = path.to_owned();
        self.planted.range(from..).take_while(move |((of, _), _)| *of == path)
    }

    fn of_path_mut(&mut self, path: &str) -> impl Iterator<Item = &mut Planted> {
        let from = (path.to_owned(), AgentId::new());
        let path = path.to_owned();
        self.planted.range_mut(from..).take_while(move |((of, _), _)| *of == path).map(|(_, planted)| planted)
    }

    /// Makes a command findable.
    fn index(&mut self, key: &Key, command: Vec<String>) {
        let Some(planted) = self.planted.get_mut(key) else { return };
        let bytes: usize = command.iter().map(String::len).sum();
        if planted.all.contains(&command) {
            return;
        }
        let room = planted.bytes + bytes <= BYTES_MAX && self.bytes + bytes <= BYTES_ALL_MAX;
        if planted.all.len() >= COMMANDS_MAX || !room {
            let counts = self.counts.entry(key.1.clone()).or_default();
            counts.dropped = counts.dropped.saturating_add(1);
            return;
        }
        planted.bytes += bytes;
        self.bytes += bytes;
        match command.as_slice() {
            [shell, flag, text] if flag == "-c" && crate::persistence::is_shell(name_of(shell)) => {
                self.by_text.entry(text.clone()).or_default().insert(key.clone());
            }
            [program] if program.ends_with("/$HOOK") => {
                let base = project_of(&key.0);
                let folder = resolved(base, program.trim_end_matches("/$HOOK"));
                self.by_folder.entry(folder).or_default().insert(key.clone());
            }
            [program, ..] => {
                self.by_program.entry(name_of(program).to_owned()).or_default().insert(key.clone());
            }
            [] => return,
        }
        planted.all.insert(command);
    }

    fn is_made(&self, id: &str, path: &str) -> bool {
        self.made.get(id).is_some_and(|made| ancestors(path).any(|folder| made.contains(folder)))
    }

    fn stood_before(&mut self, read: ArtefactRead) {
        if read.path.is_empty() {
            let room = BEFORE_MAX.saturating_sub(self.looked.len());
            self.looked.extend(read.commands.into_iter().flatten().take(room));
            return;
        }
        let taken = self.of_path(&read.path).next().is_some();
        if !taken && (self.before.len() < BEFORE_MAX || self.before.contains_key(&read.path)) {
            self.before.insert(read.path, read.commands.into_iter().take(COMMANDS_MAX).collect());
        }
    }

    /// Commands that did not stand there before; none where that is not known.
    fn added(&self, key: &Key) -> Vec<Vec<String>> {
        let Some(planted) = self.planted.get(key) else { return Vec::new() };
        let all = planted.artefact.commands.iter();
        match (self.before.get(&key.0), self.stood(planted)) {
            (Some(before), _) => all.filter(|command| !before.contains(*command)).cloned().collect(),
            (None, Some(false)) => all.cloned().collect(),
            (None, _) => Vec::new(),
        }
    }

    /// Was this file there before? `None`: not known.
    fn stood(&self, planted: &Planted) -> Option<bool> {
        let path = planted.artefact.path.as_str();
        if planted.remembered {
            return planted.artefact.stood;
        }
        if self.before.contains_key(path) {
            return Some(true);
        }
        // Places that may be anywhere are not looked into before.
        let anywhere = planted.mechanism.path.iter().any(|pattern| pattern.starts_with("**"));
        (!anywhere && ancestors(path).any(|folder| self.looked.contains(folder))).then_some(false)
    }

    /// The agent is forgotten: its files stay, the rest goes.
    pub(crate) fn any_of(&self, id: &str) -> bool {
        self.planted.keys().any(|(_, of)| of == id)
    }

    pub(crate) fn agent_forgotten(&mut self, id: &str) {
        self.made.remove(id);
        if !self.any_of(id) {
            self.counts.remove(id);
        }
    }
}

/// All folders above a path.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at)).filter(|folder| !folder.is_empty())
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The folder in which git runs hooks that a configuration names: that of the project.
fn project_of(path: &str) -> &str {
    path.find("/.git/").and_then(|at| path.get(..at)).unwrap_or_else(|| folder_of(path))
}

/// A path as seen from a folder, without `.` and `..`. Links are not followed: there is no file system here.
fn resolved(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The process that is looked at, for `run.rs`.
#[derive(Clone, Copy)]
pub(crate) struct Ran {
    pub process: ProcessKey,
    pub seq: u64,
}
