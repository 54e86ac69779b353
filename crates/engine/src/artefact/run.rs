//! Who runs what a file of a lineage starts: a process outside it, started by the program that reads such files, with exactly what
//! the file says.

use std::collections::BTreeSet;

use muster_event::{Nanos, ProcessKey};

use super::{Key, Planted, Ran, benign, resolved};
use crate::engine::{Engine, event_evidence};
use crate::persistence::{Reach, is_shell};
use crate::process::Process;
use crate::roll::{is_interpreter, name_of};
use crate::{Certainty, Descent, Via};

/// Generations between the process and who runs it: cron's own child, a shell, a few wrappers.
const GENERATIONS_MAX: usize = 12;
/// A shell reads its start-up files before a person can type anything.
const START_UP_NS: Nanos = 10_000_000_000;
/// Arguments among which a file is looked for (`sh FILE`, `python3 -u FILE`).
const ARGUMENTS_MAX: usize = 4;
/// Files that one command may be started by: more of the same say nothing more.
const MATCHES_MAX: usize = 16;
/// What is only likely is told of so often for one file, and for one agent.
const LIKELY_MAX: u32 = 4;
const LIKELY_ALL_MAX: usize = 256;
/// Beginnings of a text that are looked up: npm and git add arguments to what a file says.
const BEGINNINGS_MAX: usize = 32;

/// How the process and the file meet.
struct Match {
    key: Key,
    /// What the file says, where it is not the file itself that is run.
    command: Option<Vec<String>>,
}

/// Who runs it.
struct Activated {
    name: String,
    /// When that one began.
    time_ns: Nanos,
    /// The process right below it.
    below: ProcessKey,
}

impl Engine {
    /// A process executed something.
    pub(crate) fn note_artefact_run(&mut self, ran: Ran) {
        if self.artefacts.planted.is_empty() {
            return;
        }
        let Some(process) = self.processes.get(ran.process) else { return };
        let mut found = self.files_run(process);
        found.extend(self.texts_run(process));
        found.extend(self.programs_run(process));
        let mut seen = BTreeSet::new();
        found.retain(|m| seen.insert(m.key.clone()));
        found.truncate(MATCHES_MAX);
        for found in found {
            self.judge_run(ran, &found);
        }
    }

    /// The file itself is what is executed, or what an interpreter is given.
    fn files_run(&self, process: &Process) -> Vec<Match> {
        let mut paths = BTreeSet::from([process.path.clone()]);
        if let Some(script) = &process.script {
            paths.insert(resolved(&process.cwd, script));
        }
        if is_interpreter(&process.path) {
            let files = process.argv.iter().skip(1).take(ARGUMENTS_MAX).filter(|word| !word.starts_with('-'));
            paths.extend(files.map(|word| resolved(&process.cwd, word)));
        }
        let mut out = Vec::new();
        for path in &paths {
            let direct = self.artefacts.of_path(path).map(|(key, _)| key.clone());
            let linked = self.artefacts.by_target.get(path).into_iter().flatten().cloned();
            let folder = super::folder_of(path);
            let hooks = self.artefacts.by_folder.get(folder).into_iter().flatten().cloned();
            out.extend(direct.chain(linked).map(|key| Match { key, command: None }));
            out.extend(hooks.map(|key| Match { key, command: Some(vec![path.clone()]) }));
        }
        out
    }

    /// A shell is given a text of the file.
    fn texts_run(&self, process: &Process) -> Vec<Match> {
        let Some(text) = shell_text(process) else { return Vec::new() };
        let mut out = Vec::new();
        let mut add = |beginning: &str, whole: bool| {
            for key in self.artefacts.by_text.get(beginning).into_iter().flatten() {
                let adds = self.artefacts.planted.get(key).is_some_and(|planted| {
                    matches!(
                        planted.mechanism.name.as_str(),
                        "git-config" | "git-config-user" | "npm-scripts"
                    )
                });
                if whole || adds {
                    let command = vec!["sh".to_owned(), "-c".to_owned(), beginning.to_owned()];
                    out.push(Match { key: key.clone(), command: Some(command) });
                }
            }
        };
        add(text, true);
        for (at, _) in text.rmatch_indices(' ').take(BEGINNINGS_MAX) {
            add(text.get(..at).unwrap_or_default().trim(), false);
        }
        out
    }

    /// A program is called as the file says.
    fn programs_run(&self, process: &Process) -> Vec<Match> {
        let argv = called(process);
        let Some(first) = argv.first() else { return Vec::new() };
        let names = BTreeSet::from([name_of(first), name_of(&process.path)]);
        let mut out = Vec::new();
        for key in names.iter().flat_map(|name| self.artefacts.by_program.get(*name).into_iter().flatten()) {
            let Some(planted) = self.artefacts.planted.get(key) else { continue };
            let command = planted.all.iter().find(|command| fits(command, argv, process));
            if let Some(command) = command {
                out.push(Match { key: key.clone(), command: Some(command.clone()) });
            }
        }
        out
    }

    fn judge_run(&mut self, ran: Ran, found: &Match) {
        let (path, agent) = &found.key;
        let Some(planted) = self.artefacts.planted.get(&found.key) else { return };
        let Some(process) = self.processes.get(ran.process) else { return };
        if self.belongs(ran.process, agent) {
            return;
        }
        // What is gone may still be run by who had read it: cron, for a minute.
        let read_by_daemon = planted.mechanism.reach == Reach::Machine;
        if planted.artefact.gone && !read_by_daemon {
            return;
        }
        let Some(by) = self.activated(ran.process, planted, agent) else { return };
        let doubt = self.doubt_of_activation(process, planted, found, &by);
        let certainty = if doubt.is_none() { Certainty::Certain } else { Certainty::Likely };
        let joining = match planted.mechanism.reach {
            // All of the job: the shell that cron or at began, not only the command in it.
            Reach::Machine if certainty == Certainty::Certain => by.below,
            _ => ran.process,
        };
        let place = shorten_path(path);
        let summary = match &doubt {
            None => format!("{} started it, as `{place}` says, which the agent wrote", by.name),
            Some(doubt) => {
                format!("{} started it, as `{place}` says, which the agent wrote: {doubt}", by.name)
            }
        };
        let evidence = vec![
            event_evidence(planted.artefact.seq, planted.artefact.process),
            event_evidence(ran.seq, ran.process),
        ];
        let descent = Descent {
            agent: agent.clone(),
            process: joining,
            from_seq: ran.seq,
            via: Via::Artefact { path: path.clone(), mechanism: planted.mechanism.name.clone() },
            certainty,
            time_ns: self.time_ns,
            summary,
            evidence,
        };
        if certainty == Certainty::Likely && !self.may_tell_likely(&found.key) {
            return;
        }
        self.descend(descent);
    }

    fn may_tell_likely(&mut self, key: &Key) -> bool {
        let Some(planted) = self.artefacts.planted.get_mut(key) else { return false };
        let counts = self.artefacts.counts.entry(key.1.clone()).or_default();
        if planted.likely >= LIKELY_MAX || counts.likely >= LIKELY_ALL_MAX {
            return false;
        }
        planted.likely += 1;
        counts.likely += 1;
        true
    }

    /// Why it is no more than likely that this is of the lineage; `None`: it is certain.
    fn doubt_of_activation(
        &self,
        process: &Process,
        planted: &Planted,
        found: &Match,
        by: &Activated,
    ) -> Option<&'static str> {
        let stood = self.artefacts.stood(planted);
        let before = self.artefacts.before.get(&planted.artefact.path);
        if planted.packaged {
            return Some("a package manager put it there");
        }
        if planted.artefact.file.as_ref().is_some_and(|file| file.path != planted.artefact.path) {
            return Some("the agent has mounts of its own, in which that file is another");
        }
        if planted.mechanism.quiet {
            return Some("it is part of a project that others build too");
        }
        match planted.mechanism.reach {
            Reach::Machine => match (&found.command, stood) {
                (_, Some(false)) => None,
                (None, Some(true)) => Some("the file was there before the agent changed it"),
                (Some(command), Some(true)) if before.is_some_and(|before| !before.contains(command)) => None,
                (Some(_), Some(true)) => Some("the line was there before the agent changed the file"),
                (_, None) => Some("whether it was there before is not known"),
            },
            Reach::Session => {
                let soon = process.time_ns.saturating_sub(by.time_ns) <= START_UP_NS;
                match (&found.command, stood) {
                    (_, None) => Some("whether it was there before is not known"),
                    (None, Some(true)) => Some("the file was there before the agent changed it"),
                    (None, Some(false)) => None,
                    (Some(command), _) if before.is_some_and(|before| before.contains(command)) => {
                        Some("the line was there before the agent changed the file")
                    }
                    (Some(command), _) if !benign::is_distinctive(command) => {
                        Some("a person may have asked for the same")
                    }
                    (Some(_), _) if !soon => {
                        Some("the shell was running for a while: a person may have asked for it")
                    }
                    (Some(_), Some(_)) => None,
                }
            }
            Reach::Project | Reach::Agent => {
                let id = planted.artefact.agent.as_str();
                let agent = self.agents.get(id).map(|agent| agent.state.cwd.as_str());
                let cwd = agent.or_else(|| self.dormant.cwd(id));
                if cwd.is_none_or(|cwd| crate::agent::works_in(cwd, &planted.artefact.path)) {
                    return Some("it is in the project that the agent works in: its user may want it");
                }
                found.command.as_ref().map(|_| "whether the file said so before is not known")
            }
        }
    }

    /// Who above the process does this kind of work, and is not of the lineage.
    fn activated(&self, key: ProcessKey, planted: &Planted, agent: &str) -> Option<Activated> {
        let mut below = key;
        for _ in 0..GENERATIONS_MAX {
            let child = self.processes.get(below)?;
            let parent = child.parent?;
            if self.belongs(parent, agent) {
                return None;
            }
            let process = self.processes.get(parent);
            let now = process.map(names_of).unwrap_or_default();
            let born: Vec<&str> = child.born.iter().map(String::as_str).collect();
            let names = if planted.mechanism.is_activator(parent.pid, &now) { now } else { born };
            if planted.mechanism.is_activator(parent.pid, &names) {
                // A daemon's fork of itself is part of it: the job begins below.
                let name = names.last().copied().unwrap_or("init").to_owned();
                let time_ns = process.map_or(0, |process| process.time_ns);
                return Some(Activated { name, time_ns, below });
            }
            below = parent;
        }
        None
    }
}

/// Names by which a program is known: of its executable, of the script in it.
pub(crate) fn names_of(process: &Process) -> Vec<&str> {
    let mut names = vec![name_of(&process.path)];
    if is_interpreter(&process.path) {
        let script = process.argv.iter().skip(1).find(|word| !word.starts_with('-'));
        names.extend(script.map(|word| name_of(word)));
    }
    names.extend(process.script.as_deref().map(name_of));
    // npm and some daemons call themselves by a title.
    names.extend(process.argv.first().and_then(|first| first.split([' ', ':']).next()).map(name_of));
    names
}

/// The text that a shell was given.
fn shell_text(process: &Process) -> Option<&str> {
    if !is_shell(name_of(&process.path)) {
        return None;
    }
    let at = process.argv.iter().skip(1).take(ARGUMENTS_MAX).position(|word| {
        word.strip_prefix('-').is_some_and(|flags| !flags.starts_with('-') && flags.ends_with('c'))
    })?;
    // `sh -c -- TEXT`.
    let mut rest = process.argv.iter().skip(at + 2);
    let first = rest.next()?;
    Some(if first == "--" { rest.next()? } else { first }.trim())
}

/// The command line as its caller gave it: the kernel puts the interpreter of a script before it.
fn called(process: &Process) -> &[String] {
    let Some(script) = &process.script else { return &process.argv };
    let at =
        process.argv.iter().take(ARGUMENTS_MAX).position(|word| {
            word == script || resolved(&process.cwd, word) == resolved(&process.cwd, script)
        });
    process.argv.get(at.unwrap_or(0)..).unwrap_or_default()
}

/// Is this the command that the file says? Where a word of it stands for something else, only the rest is compared; its program
/// must be named.
fn fits(command: &[String], argv: &[String], process: &Process) -> bool {
    let (Some(program), Some(first)) = (command.first(), argv.first()) else { return false };
    let same = program == first
        || program.starts_with('/')
            && (*program == process.path
                || process.script.as_deref().is_some_and(|script| script == program))
        || program.contains('/') && resolved(&process.cwd, first) == resolved(&process.cwd, program);
    same && !is_open(program)
        && command.len() == argv.len()
        && command.iter().zip(argv).skip(1).all(|(said, word)| said == word || is_open(said))
}

/// A word that stands for another: `$HOME/x`, `%h`, `$(…)`.
fn is_open(word: &str) -> bool {
    word.contains(['$', '`', '*', '?']) || word.starts_with('~') || word.contains('%') && word.len() < 8
}

fn shorten_path(path: &str) -> String {
    crate::reconcile::shorten(path)
}
