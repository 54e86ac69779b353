//! Lineage that is carried by files: which ones a lineage wrote, under which names they are now, and who runs one.
//!
//! A file that the lineage writes is its own, however: by a copy, from an archive, through a pipe or an interpreter. That
//! somebody runs it does not say yet that the lineage runs: agents write programs for their users. It is certain only where
//! the file was made by the lineage, outside the folder it works in, and nobody but a scheduler started it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_event::{Event, Kind, Nanos, ProcessKey};

use crate::engine::{Engine, event_evidence};
use crate::process::{Process, Role};
use crate::roll::{is_interpreter, is_shell, name_of};
use crate::{AgentId, Certainty, Descent, Evidence, Via, Written};

/// Files remembered per agent: an installation of packages writes some ten thousands, of some 200 bytes here each.
const FILES_MAX: usize = 16_384;
/// … and of all agents: 40 MB.
const FILES_ALL_MAX: usize = 131_072;
/// Agents that are remembered to have written one file.
const WRITERS_MAX: usize = 8;
/// Files that others were seen to run: what a lineage writes there later was there before.
const RUN_BEFORE_MAX: usize = 16_384;
/// Longest path that is remembered: that of the system (`PATH_MAX`).
const PATH_MAX: usize = 4_096;
/// Files of a folder that are renamed with it.
const MOVED_MAX: usize = FILES_MAX;
/// Generations between a process and the scheduler that started it: cron's own child, a shell, a few wrappers.
const STARTER_MAX: usize = 12;

/// Nothing there is a file that stays.
const NO_FILES: [&str; 3] = ["/dev/", "/proc/", "/sys/"];

/// A lineage wrote this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub agent: AgentId,
    pub seq: u64,
    pub process: ProcessKey,
    pub time_ns: Nanos,
    /// The file was there before, as far as is known: the lineage only changed it.
    pub older: bool,
    /// Nobody else is known to have written it since.
    pub last: bool,
    /// The name under which it was written first, where it is another now.
    pub origin: Option<String>,
    tick: u64,
}

#[derive(Default)]
pub(crate) struct Files {
    by_path: BTreeMap<String, Vec<Mark>>,
    /// Paths of each agent by the time of their last use: the first gives way.
    order: BTreeMap<AgentId, BTreeMap<u64, String>>,
    ticks: u64,
    total: usize,
    run_before: BTreeSet<String>,
    run_order: VecDeque<String>,
    forgotten: Vec<AgentId>,
}

impl Files {
    pub fn of(&self, path: &str) -> &[Mark] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }

    pub fn any_of(&self, agent: &str) -> bool {
        self.order.get(agent).is_some_and(|paths| !paths.is_empty())
    }

    /// Whose files gave way, once for each.
    pub fn take_forgotten(&mut self) -> Vec<AgentId> {
        std::mem::take(&mut self.forgotten)
    }

    /// `changed`: it was not emptied before, or must have been there.
    pub fn written(&mut self, agent: &str, path: &str, by: (u64, ProcessKey, Nanos), changed: bool) {
        for other in self.by_path.get_mut(path).into_iter().flatten().filter(|mark| mark.agent != agent) {
            other.last = false;
        }
        let known = self.of(path).iter().find(|mark| mark.agent == agent);
        let older = known.map_or_else(|| changed || self.run_before.contains(path), |mark| mark.older);
        let origin = known.and_then(|mark| mark.origin.clone());
        let (seq, process, time_ns) = by;
        self.put(
            path,
            Mark { agent: agent.to_owned(), seq, process, time_ns, older, last: true, origin, tick: 0 },
        );
    }

    /// Renamed: a file, or a folder with all that is in it.
    pub fn moved(&mut self, from: &str, to: &str) {
        let replaced: Vec<Mark> = self.take(to);
        for mut mark in self.take(from) {
            mark.older |= self.run_before.contains(to)
                || replaced.iter().any(|old| old.agent == mark.agent && old.older);
            mark.origin.get_or_insert_with(|| from.to_owned());
            self.put(to, mark);
        }
        let folder = format!("{from}/");
        let inside: Vec<String> = self
            .by_path
            .range(folder.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&folder))
            .take(MOVED_MAX)
            .cloned()
            .collect();
        for path in inside {
            let Some(rest) = path.strip_prefix(&folder) else { continue };
            let target = format!("{to}/{rest}");
            for mut mark in self.take(&path) {
                mark.origin.get_or_insert_with(|| path.clone());
                self.put(&target, mark);
            }
        }
    }

    /// Another name for the same file.
    pub fn linked(&mut self, from: &str, to: &str) {
        let marks = self.of(from).to_vec();
        self.take(to);
        for mut mark in marks {
            mark.origin.get_or_insert_with(|| from.to_owned());
            self.put(to, mark);
        }
    }

    pub fn removed(&mut self, path: &str) {
        self.take(path);
    }

    /// A file or folder got another name, one more, or none.
    pub fn renamed(&mut self, kind: &Kind) {
        match kind {
            Kind::Rename { from, to, result } if *result >= 0 => self.moved(from, to),
            Kind::Link { from, to, result } if *result >= 0 => self.linked(from, to),
            Kind::Symlink { target, path, result } if *result >= 0 => {
                let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
                if let Some(target) = resolve(folder, target) {
                    self.linked(&target, path);
                }
            }
            Kind::Unlink { path, result, .. } if *result >= 0 => self.removed(path),
            _ => {}
        }
    }

    /// All of an agent, the latest first.
    pub fn all_of<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = (&'a str, &'a Mark)> {
        let paths = self.order.get(agent).into_iter().flat_map(|paths| paths.values().rev());
        paths.filter_map(move |path| {
            let mark = self.of(path).iter().find(|mark| mark.agent == agent)?;
            Some((path.as_str(), mark))
        })
    }

    /// One that an earlier daemon saw it make; what the lineage has done since is newer.
    pub fn remember(&mut self, agent: &str, file: Written) {
        let Written { path, seq, process, time_ns, origin } = file;
        if self.of(&path).iter().all(|mark| mark.agent != agent) {
            let agent = agent.to_owned();
            let mark = Mark { agent, seq, process, time_ns, older: false, last: true, origin, tick: 0 };
            self.put(&path, mark);
        }
    }

    /// All of this agent, without a count: nobody could be told.
    pub fn forget(&mut self, agent: &str) {
        for (_, path) in self.order.remove(agent).unwrap_or_default() {
            self.drop_mark(agent, &path);
        }
    }

    /// Somebody else ran it.
    fn ran(&mut self, path: &str) {
        if path.len() > PATH_MAX
            || self.by_path.contains_key(path)
            || !self.run_before.insert(path.to_owned())
        {
            return;
        }
        self.run_order.push_back(path.to_owned());
        while self.run_order.len() > RUN_BEFORE_MAX {
            if let Some(old) = self.run_order.pop_front() {
                self.run_before.remove(&old);
            }
        }
    }

    fn put(&mut self, path: &str, mut mark: Mark) {
        if path.len() > PATH_MAX {
            self.forgotten.push(mark.agent);
            return;
        }
        self.ticks += 1;
        mark.tick = self.ticks;
        let agent = mark.agent.clone();
        let marks = self.by_path.entry(path.to_owned()).or_default();
        if let Some(at) = marks.iter().position(|old| old.agent == agent) {
            let old = marks.remove(at);
            self.total -= 1;
            if let Some(paths) = self.order.get_mut(&agent) {
                paths.remove(&old.tick);
            }
        } else if marks.len() >= WRITERS_MAX {
            let old = marks.remove(0);
            self.total -= 1;
            if let Some(paths) = self.order.get_mut(&old.agent) {
                paths.remove(&old.tick);
            }
            self.forgotten.push(old.agent);
        }
        marks.push(mark);
        self.total += 1;
        let paths = self.order.entry(agent.clone()).or_default();
        paths.insert(self.ticks, path.to_owned());
        if paths.len() > FILES_MAX
            && let Some((_, old)) = paths.pop_first()
        {
            self.drop_mark(&agent, &old);
            self.forgotten.push(agent);
        }
        while self.total > FILES_ALL_MAX {
            let oldest = self
                .order
                .iter()
                .filter_map(|(agent, paths)| Some((*paths.first_key_value()?.0, agent.clone())))
                .min();
            let Some((tick, agent)) = oldest else { break };
            if let Some(path) = self.order.get_mut(&agent).and_then(|paths| paths.remove(&tick)) {
                self.drop_mark(&agent, &path);
            }
            self.forgotten.push(agent);
        }
    }

    /// Takes the marks of a path out.
    fn take(&mut self, path: &str) -> Vec<Mark> {
        let marks = self.by_path.remove(path).unwrap_or_default();
        self.total -= marks.len();
        for mark in &marks {
            if let Some(paths) = self.order.get_mut(&mark.agent) {
                paths.remove(&mark.tick);
                if paths.is_empty() {
                    self.order.remove(&mark.agent);
                }
            }
        }
        marks
    }

    fn drop_mark(&mut self, agent: &str, path: &str) {
        let Some(marks) = self.by_path.get_mut(path) else { return };
        let before = marks.len();
        marks.retain(|mark| mark.agent != agent);
        self.total -= before - marks.len();
        if marks.is_empty() {
            self.by_path.remove(path);
        }
    }
}

/// Who started a process.
enum Starter {
    /// A service that starts what files say, with nobody present.
    Scheduler(String),
    Person,
    Agent,
    /// This program did, for reasons of its own.
    Program(String),
    Unknown,
}

impl Engine {
    /// Keeps what a lineage does to files.
    pub(crate) fn note_files(&mut self, event: &Event) {
        if let Some((path, changed)) = written(&event.kind) {
            self.note_written(event, path, changed);
        } else if !matches!(
            event.kind,
            Kind::Rename { .. } | Kind::Link { .. } | Kind::Symlink { .. } | Kind::Unlink { .. }
        ) {
            return;
        } else if self.is_of_lineage(event) {
            self.files.renamed(&event.kind);
        }
        let forgotten = self.files.take_forgotten();
        self.forgot_of(forgotten);
    }

    fn is_of_lineage(&self, event: &Event) -> bool {
        self.processes.get(event.process).is_some_and(|process| process.member.is_some())
    }

    fn note_written(&mut self, event: &Event, path: &str, changed: bool) {
        let Some(process) = self.processes.get(event.process) else { return };
        let mut agents: Vec<AgentId> = Vec::new();
        for member in process.memberships() {
            // What a product keeps for itself (sessions, caches, its next version) is no act of the lineage.
            let own = member.role == Role::Harness
                && self.agents.get(&member.agent).is_some_and(|agent| {
                    self.products
                        .get(&agent.state.product)
                        .is_some_and(|product| product.is_own_file(path, agent.home.as_deref()))
                });
            if !own {
                agents.push(member.agent.clone());
            }
        }
        for agent in agents {
            self.files.written(&agent, path, (event.seq, event.process, event.time_ns), changed);
        }
    }

    /// A process executed a file: is it one that another lineage wrote?
    pub(crate) fn check_content(&mut self, event: &Event) {
        let key = event.process;
        let Some(process) = self.processes.get(key) else { return };
        let stranger = process.member.is_none();
        let files = run_files(process);
        for file in files {
            let marks: Vec<Mark> = self.files.of(&file).to_vec();
            if marks.is_empty() && stranger && !is_of_system(&file) {
                self.files.ran(&file);
            }
            for mark in marks {
                // An agent that runs what its own sub-agent wrote is no news.
                let above = self.agents_of(key).iter().any(|outer| self.is_within(&mark.agent, outer));
                if !above && !self.belongs(key, &mark.agent) {
                    self.run_by_other(event, &file, &mark);
                }
            }
        }
    }

    fn run_by_other(&mut self, event: &Event, file: &str, mark: &Mark) {
        let (certainty, why) = match self.doubt(event.process, file, mark) {
            Ok(scheduler) => (Certainty::Certain, format!("started by {scheduler}")),
            Err(doubt) => (Certainty::Likely, doubt),
        };
        let from = match &mark.origin {
            Some(origin) => format!(", written as `{}`", crate::reconcile::shorten(origin)),
            None => String::new(),
        };
        self.descend(Descent {
            agent: mark.agent.clone(),
            process: event.process,
            from_seq: event.seq,
            via: Via::Content { path: file.to_owned() },
            certainty,
            time_ns: event.time_ns,
            summary: format!(
                "runs `{}`, a file that the lineage wrote{from}: {why}",
                crate::reconcile::shorten(file)
            ),
            evidence: vec![Evidence::Event { seq: event.seq }, event_evidence(mark.seq, mark.process)],
        });
    }

    /// Why it is not certain that the lineage runs here; or else which scheduler started it.
    fn doubt(&self, key: ProcessKey, file: &str, mark: &Mark) -> Result<String, String> {
        if !mark.last {
            return Err("another lineage has written it since".to_owned());
        }
        if mark.older {
            return Err("it was there before, and only changed".to_owned());
        }
        let (cwd, home) = match self.agents.get(&mark.agent) {
            Some(agent) => (agent.state.cwd.as_str(), agent.home.as_deref()),
            None => (self.dormant.cwd(&mark.agent).unwrap_or_default(), None),
        };
        if is_in_project(file, cwd, home) {
            return Err("it lies in the folder that the agent works in, where others run it too".to_owned());
        }
        match self.starter(key, &mark.agent) {
            Starter::Scheduler(name) => Ok(name),
            Starter::Person => Err("a person's shell started it".to_owned()),
            Starter::Agent => Err("another agent started it".to_owned()),
            Starter::Program(path) => Err(format!("`{}` started it", crate::reconcile::shorten(&path))),
            Starter::Unknown => Err("who started it was not seen".to_owned()),
        }
    }

    fn starter(&self, key: ProcessKey, writer: &str) -> Starter {
        let Some(process) = self.processes.get(key) else { return Starter::Unknown };
        let uid = process.uid;
        let mut person = false;
        for ancestor in self.processes.ancestors(key).take(STARTER_MAX) {
            if ancestor.memberships().any(|member| !self.is_within(&member.agent, writer)) {
                return Starter::Agent;
            }
            let server = self.products.services().iter().find(|service| {
                service.schedules
                    && service.is_server(ancestor.key.pid, ancestor.uid, uid, &ancestor.path, &ancestor.argv)
            });
            if let Some(service) = server {
                // A child of a scheduler that has not executed anything is the scheduler too, on behalf of a file.
                return if person && !service.batch {
                    Starter::Person
                } else {
                    Starter::Scheduler(service.name.clone())
                };
            }
            // Only its name is known.
            if !ancestor.path.starts_with('/') {
                break;
            }
            // Found by the scan: what lies between it and its parent was not seen.
            if ancestor.exec_seq == 0 && !ancestor.forked {
                return if is_prompt(ancestor) {
                    Starter::Person
                } else {
                    Starter::Program(ancestor.path.clone())
                };
            }
            if is_prompt(ancestor) {
                person = true;
            } else if !only_passes_on(ancestor) {
                return if person { Starter::Person } else { Starter::Program(ancestor.path.clone()) };
            }
        }
        if person { Starter::Person } else { Starter::Unknown }
    }
}

/// A shell that was given nothing to run: somebody types into it.
fn is_prompt(process: &Process) -> bool {
    is_shell(&process.path)
        && process.script.is_none()
        && process
            .argv
            .iter()
            .skip(1)
            .all(|argument| argument.starts_with(['-', '+']) && !takes_command(argument))
}

fn takes_command(argument: &str) -> bool {
    !argument.starts_with("--") && argument.contains('c')
}

/// Between a scheduler and what it starts stand a shell with the command, and programs that only start another.
fn only_passes_on(process: &Process) -> bool {
    const PASSES: [&str; 16] = [
        "env",
        "nice",
        "ionice",
        "timeout",
        "flock",
        "setsid",
        "nohup",
        "sudo",
        "su",
        "runuser",
        "setpriv",
        "chronic",
        "run-parts",
        "systemd-executor",
        "systemd-cat",
        "start-stop-daemon",
    ];
    is_shell(&process.path)
        && process.script.is_none()
        && crate::action::shell_string(&process.argv).is_some()
        || PASSES.contains(&name_of(&process.path))
}

/// Only an administrator's packages put files there: no need to remember that they were run.
fn is_of_system(path: &str) -> bool {
    ["/usr/bin/", "/usr/sbin/", "/usr/lib/", "/bin/", "/sbin/", "/lib/"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// The folder that an agent works in, where that is not a whole home or system.
fn project<'a>(cwd: &'a str, home: Option<&str>) -> Option<&'a str> {
    let folder = cwd.trim_end_matches('/');
    let too_wide = folder.is_empty()
        || home.is_some_and(|home| home.trim_end_matches('/') == folder)
        || matches!(
            folder,
            "/root" | "/home" | "/tmp" | "/var/tmp" | "/etc" | "/usr" | "/var" | "/opt" | "/srv"
        )
        || folder.strip_prefix("/home/").is_some_and(|rest| !rest.contains('/'));
    (!too_wide).then_some(folder)
}

/// Does the file lie in the folder that an agent works in?
pub(crate) fn is_in_project(file: &str, cwd: &str, home: Option<&str>) -> bool {
    project(cwd, home).and_then(|folder| file.strip_prefix(folder)).is_some_and(|rest| rest.starts_with('/'))
}

/// The file that an act writes; `true`: it was there before, as far as the act tells.
pub(crate) fn written(kind: &Kind) -> Option<(&str, bool)> {
    let (path, changed) = match kind {
        Kind::Open { path, access, result } if access.write && *result >= 0 => {
            (path, !access.create || access.append || access.read && !access.truncate)
        }
        Kind::IoUring { path: Some(path), operation, flags }
            if operation.starts_with("open") && flags & 0o3 != 0 =>
        {
            (path, flags & 0o100 == 0)
        }
        _ => return None,
    };
    let stays = path.starts_with('/') && NO_FILES.iter().all(|folder| !path.starts_with(folder));
    stays.then_some((path, changed))
}

/// The files that hold what a process runs: the executable, the script, and the script that an interpreter was given.
fn run_files(process: &Process) -> Vec<String> {
    let mut files = vec![process.path.clone()];
    files.extend(process.script.clone());
    if process.script.is_none()
        && is_interpreter(&process.path)
        && let Some(script) = script_argument(&process.path, &process.argv)
        && let Some(script) = resolve(&process.cwd, script)
    {
        files.push(script);
    }
    files.dedup();
    files
}

/// The script among the arguments of an interpreter; `None` where it runs a text, a module, or its input.
pub(crate) fn script_argument<'a>(path: &str, argv: &'a [String]) -> Option<&'a str> {
    let name = name_of(path);
    // Options that take a value of their own, and those after which no file is run.
    let (valued, ends): (&[&str], &[&str]) = match name
        .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
    {
        "python" => (&["-W", "-X", "--check-hash-based-pycs"], &["-c", "-m"]),
        "node" | "nodejs" => (
            &["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"],
            &["-e", "--eval", "-p", "--print", "-pe"],
        ),
        "perl" => (&["-I"], &["-e", "-E"]),
        "ruby" => (&["-I", "-r", "-C", "-E"], &["-e"]),
        "php" => (&["-c", "-d", "-z"], &["-r", "-B", "-R", "-E"]),
        "lua" => (&["-l"], &["-e"]),
        "bun" | "deno" => (&["-r", "--preload", "--config", "-c"], &["-e", "--eval", "-p", "eval", "repl"]),
        "Rscript" => (&[], &["-e"]),
        "pwsh" => (&["-ExecutionPolicy"], &["-Command", "-c", "-EncodedCommand"]),
        _ => (&["-o", "-O", "+O", "+o", "--rcfile", "--init-file"], &["-c"]),
    };
    let mut rest = argv.iter().skip(1).map(String::as_str);
    while let Some(argument) = rest.next() {
        if ends.contains(&argument) {
            return None;
        }
        if argument == "--" {
            return rest.next();
        }
        if valued.contains(&argument) {
            rest.next();
        } else if is_shell(path) && argument.starts_with('-') && takes_command(argument) {
            return None;
        } else if matches!(argument, "-f" | "-File" | "run")
            || argument.starts_with(['-', '+']) && argument.len() > 1
        {
            continue;
        } else {
            return (argument != "-").then_some(argument);
        }
    }
    None
}

/// A path as a process in this folder means it, without looking at the disk.
pub(crate) fn resolve(cwd: &str, path: &str) -> Option<String> {
    let whole = match path.strip_prefix('/') {
        Some(_) => path.to_owned(),
        None if cwd.starts_with('/') => format!("{cwd}/{path}"),
        None => return None,
    };
    if whole.len() > PATH_MAX {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, argv: &str, expected: Option<&str>) {
        let argv: Vec<String> = argv.split(' ').map(str::to_owned).collect();
        assert_eq!(script_argument(path, &argv), expected, "{argv:?}");
    }

    #[test]
    fn the_script_of_an_interpreter() {
        check("/usr/bin/python3.11", "python3 -u -W ignore app.py x", Some("app.py"));
        check("/usr/bin/python3", "python3 -m http.server", None);
        check("/usr/bin/python3", "python3 -c print()", None);
        check("/usr/bin/python3", "python3 -", None);
        check("/usr/bin/node", "node --require ./a.js b.js", Some("b.js"));
        check("/usr/bin/node", "node -e 1", None);
        check("/usr/bin/bash", "bash -x ./run.sh", Some("./run.sh"));
        check("/usr/bin/bash", "bash -o pipefail run.sh", Some("run.sh"));
        check("/usr/bin/bash", "bash -lc ls", None);
        check("/usr/bin/bash", "-bash", None);
        check("/usr/bin/deno", "deno run -A x.ts", Some("x.ts"));
        check("/usr/bin/perl", "perl -- x.pl", Some("x.pl"));
    }

    #[test]
    fn paths_are_made_whole() {
        for (cwd, path, expected) in [
            ("/w", "a.sh", Some("/w/a.sh")),
            ("/w/b", "../a.sh", Some("/w/a.sh")),
            ("/w", "/x//./y", Some("/x/y")),
            ("", "a", None),
            ("/", "../../a", Some("/a")),
        ] {
            assert_eq!(resolve(cwd, path).as_deref(), expected);
        }
    }

    const BY: (u64, ProcessKey, Nanos) = (1, ProcessKey { pid: 1, start_ns: 1 }, 1);

    #[test]
    fn names_follow_their_files() {
        let mut files = Files::default();
        files.written("one", "/t/a", BY, false);
        files.moved("/t/a", "/t/b");
        assert!(files.of("/t/a").is_empty());
        assert_eq!(files.of("/t/b")[0].origin.as_deref(), Some("/t/a"));
        files.linked("/t/b", "/u/c");
        files.moved("/t", "/v");
        assert!(files.of("/t/b").is_empty());
        assert_eq!(files.of("/v/b").len(), 1);
        assert_eq!(files.of("/u/c").len(), 1);
        files.removed("/u/c");
        assert!(files.of("/u/c").is_empty());
        files.written("two", "/v/b", BY, false);
        assert_eq!(
            files.of("/v/b").iter().map(|m| (m.agent.as_str(), m.last)).collect::<Vec<_>>(),
            [("one", false), ("two", true)]
        );
        files.forget("one");
        files.removed("/v/b");
        assert_eq!((files.total, files.order.len()), (0, 0));
    }

    #[test]
    fn what_gives_way_is_counted() {
        let mut files = Files::default();
        for at in 0..FILES_MAX + 3 {
            files.written("one", &format!("/t/{at}"), BY, false);
        }
        assert_eq!(files.take_forgotten().len(), 3);
        assert!(files.of("/t/0").is_empty() && !files.of("/t/3").is_empty());
        assert_eq!(files.total, FILES_MAX);
    }
}
