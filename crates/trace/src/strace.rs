//! A log of strace: puts torn calls together, finds out who is whose child, and makes events of what was done.

use std::collections::{HashMap, HashSet, VecDeque};

use muster_event::{Event, Kind, Nanos, ProcessKey};

use crate::line::{self, Line, NoLine, What};
use crate::parts::Parts;
use crate::record::Options;
use crate::table::{NO_UID, Table};
use crate::value;
use crate::warning::{Warning, Warnings};

/// Lines that wait for the call that says whose child a new process is: it comes some lines later.
const HELD_MAX: usize = 20_000;
/// The same, in bytes.
const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Calls that have begun and not ended, of all tasks.
const UNFINISHED_MAX: usize = 65_536;
/// Bytes of them.
const UNFINISHED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The process of lines without a number: strace prints none while it follows one only.
const NAMELESS: u32 = 1;

struct Unfinished {
    name: String,
    rest: String,
}

pub(crate) struct Strace {
    pub options: Options,
    pub table: Table,
    pub parts: Parts,
    pub warnings: Warnings,
    /// Lines that have no date, as far as nothing else was seen.
    pub dateless: u64,
    pub lines: u64,
    unfinished: HashMap<u32, Unfinished>,
    unfinished_bytes: usize,
    /// Births among them.
    births: usize,
    held: VecDeque<String>,
    held_bytes: usize,
    /// The task that the lines wait for.
    waiting: Option<u32>,
    /// Births of which the end was seen among the held lines: child and parent.
    foretold: HashMap<u32, u32>,
    /// Parents of births that had begun before the lines were held, and whose end is among them.
    told: HashSet<u32>,
    /// Parents whose birth was taken before its end came.
    settled: HashSet<u32>,
    nameless: bool,
}

impl Strace {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            table: Table::default(),
            parts: Parts::default(),
            warnings: Warnings::default(),
            dateless: 0,
            lines: 0,
            unfinished: HashMap::new(),
            unfinished_bytes: 0,
            births: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            waiting: None,
            foretold: HashMap::new(),
            told: HashSet::new(),
            settled: HashSet::new(),
            nameless: false,
        }
    }

    pub fn line(&mut self, text: &str, out: &mut Vec<Event>) {
        let line = match line::parse(text) {
            Ok(line) => line,
            Err(NoLine::Form) => return self.warnings.add(Warning::Line, 1),
            Err(NoLine::Time) => {
                self.dateless = self.dateless.saturating_add(1);
                return self.warnings.add(Warning::Line, 1);
            }
        };
        if line.what == What::Nothing && line.pid.is_none() {
            return;
        }
        self.lines = self.lines.saturating_add(1);
        let Some(waiting) = self.waiting else {
            self.take(text, line, out);
            return self.drain(out);
        };
        if let (Some(_), Some(child)) = (line.pid, birth(&line)) {
            let parent = self.task_of(&line);
            if child == waiting && self.unfinished.contains_key(&parent) {
                self.settle(parent, child, line.time_ns, &line.what, out);
                return self.drain(out);
            }
            self.foretold.insert(child, parent);
            if self.unfinished.get(&parent).is_some_and(|call| is_birth(&call.name)) {
                self.told.insert(parent);
            }
        }
        self.held_bytes += text.len();
        self.held.push_back(text.to_owned());
        if self.held.len() > HELD_MAX || self.held_bytes > HELD_BYTES_MAX || !self.may_come() {
            self.guess(waiting, line.time_ns, out);
            self.drain(out);
        }
    }

    /// Nothing follows.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        while let Some(waiting) = self.waiting {
            let time_ns = self.held.front().and_then(|text| line::parse(text).ok()).map_or(0, |l| l.time_ns);
            self.guess(waiting, time_ns, out);
            self.drain(out);
        }
    }

    fn drain(&mut self, out: &mut Vec<Event>) {
        while self.waiting.is_none()
            && let Some(text) = self.held.pop_front()
        {
            self.held_bytes = self.held_bytes.saturating_sub(text.len());
            if let Ok(line) = line::parse(&text) {
                self.take(&text, line, out);
            }
        }
        if self.held.is_empty() {
            self.foretold.clear();
            self.told.clear();
        }
    }

    /// Is there a birth whose child is not known yet?
    fn may_come(&self) -> bool {
        self.births > self.told.len()
    }

    fn take(&mut self, text: &str, line: Line<'_>, out: &mut Vec<Event>) {
        let task = self.task_of(&line);
        let ends = matches!(
            line.what,
            What::Exited(_) | What::Killed(_) | What::Nothing | What::Signal | What::Superseded(_)
        );
        if self.table.of_task(task).is_none() && !ends {
            if let Some(parent) = self.foretold.remove(&task)
                && self.unfinished.contains_key(&parent)
            {
                self.settled.insert(parent);
                self.settle(parent, task, line.time_ns, &What::Nothing, out);
            } else if self.may_come() {
                self.waiting = Some(task);
                self.held_bytes += text.len();
                return self.held.push_front(text.to_owned());
            } else {
                let cwd = self.options.cwd.clone();
                self.table.begin(task, line.time_ns, None, cwd.as_deref());
            }
        }
        match line.what {
            What::Call { name, rest } => self.call(task, line.time_ns, name, rest, out),
            What::Unfinished { name, rest } => self.keep_unfinished(task, name, rest),
            What::Resumed { name, rest } => match self.end_unfinished(task, name) {
                Some(begun) => {
                    let whole = format!("{}{rest}", begun.rest);
                    self.call(task, line.time_ns, name, &whole, out);
                }
                // It was taken when its child came.
                None if self.settled.remove(&task) => {}
                None if crate::calls::is_wanted(name) => self.warnings.add(Warning::EndAlone, 1),
                None => {}
            },
            What::Exited(code) => {
                self.parts.see("exit");
                self.end(task, line.time_ns, Kind::Exit { code: Some(code), signal: None }, out);
            }
            What::Killed(signal) => {
                self.parts.signals = true;
                self.parts.see("exit");
                self.end(task, line.time_ns, Kind::Exit { code: None, signal }, out);
            }
            What::Superseded(by) => {
                if let Some(call) = self.remove_unfinished(by) {
                    self.insert_unfinished(task, call);
                }
            }
            What::Signal => self.parts.signals = true,
            What::Nothing => {}
        }
    }

    fn task_of(&mut self, line: &Line<'_>) -> u32 {
        let Some(pid) = line.pid else {
            return match self.table.only_task() {
                Some(task) => task,
                None => {
                    self.nameless = true;
                    NAMELESS
                }
            };
        };
        // As soon as there are two, strace says who the first is.
        if self.nameless
            && pid != NAMELESS
            && self.table.of_task(pid).is_none()
            && !self.foretold.contains_key(&pid)
        {
            let goes_on = match &line.what {
                What::Resumed { name, .. } => {
                    self.unfinished.get(&NAMELESS).is_some_and(|call| call.name == *name)
                }
                _ => self.births == 0,
            };
            if goes_on {
                self.nameless = false;
                self.table.rename(NAMELESS, pid);
                if let Some(call) = self.remove_unfinished(NAMELESS) {
                    self.insert_unfinished(pid, call);
                }
            }
        }
        pid
    }

    fn keep_unfinished(&mut self, task: u32, name: &str, rest: &str) {
        if self.unfinished.len() >= UNFINISHED_MAX || self.unfinished_bytes > UNFINISHED_BYTES_MAX {
            self.unfinished.clear();
            (self.unfinished_bytes, self.births) = (0, 0);
            self.warnings.add(Warning::TooMany, 1);
        }
        // Of what is not looked for, only the name is kept.
        let rest = if crate::calls::is_wanted(name) { rest } else { "" };
        self.insert_unfinished(task, Unfinished { name: name.to_owned(), rest: rest.to_owned() });
    }

    fn end_unfinished(&mut self, task: u32, name: &str) -> Option<Unfinished> {
        if self.unfinished.get(&task).is_none_or(|call| call.name != name) {
            return None;
        }
        self.remove_unfinished(task)
    }

    fn insert_unfinished(&mut self, task: u32, call: Unfinished) {
        self.remove_unfinished(task);
        self.births += usize::from(is_birth(&call.name));
        self.unfinished_bytes += call.rest.len();
        self.unfinished.insert(task, call);
    }

    fn remove_unfinished(&mut self, task: u32) -> Option<Unfinished> {
        let call = self.unfinished.remove(&task)?;
        self.told.remove(&task);
        self.births = self.births.saturating_sub(usize::from(is_birth(&call.name)));
        self.unfinished_bytes = self.unfinished_bytes.saturating_sub(call.rest.len());
        Some(call)
    }

    /// A birth is known: `parent` made `child`. `end` is the line that said so, where it is there already.
    fn settle(&mut self, parent: u32, child: u32, time_ns: Nanos, end: &What<'_>, out: &mut Vec<Event>) {
        self.waiting = None;
        let Some(begun) = self.remove_unfinished(parent) else { return };
        let after = if let What::Resumed { rest, .. } = end { rest } else { "" };
        let whole = format!("{}{after}", begun.rest);
        // The child's first line is older than this one.
        let first = self.held.front().and_then(|text| line::parse(text).ok()).map(|line| line.time_ns);
        self.parts.see(&begun.name);
        self.born(parent, child, &whole, first.map_or(time_ns, |first| first.min(time_ns)), out);
    }

    fn guess(&mut self, child: u32, time_ns: Nanos, out: &mut Vec<Event>) {
        self.waiting = None;
        self.warnings.add(Warning::GuessedParent, 1);
        let parent = self
            .unfinished
            .iter()
            .filter(|(parent, call)| is_birth(&call.name) && !self.told.contains(parent))
            .map(|(parent, _)| *parent)
            .max();
        match parent {
            Some(parent) => {
                self.settled.insert(parent);
                self.settle(parent, child, time_ns, &What::Nothing, out);
            }
            None => {
                let cwd = self.options.cwd.clone();
                let first =
                    self.held.front().and_then(|text| line::parse(text).ok()).map_or(time_ns, |l| l.time_ns);
                self.table.begin(child, first, None, cwd.as_deref());
            }
        }
    }

    /// `flags`: the text of the call.
    fn born(&mut self, parent: u32, child: u32, flags: &str, time_ns: Nanos, out: &mut Vec<Event>) {
        let Some(key) = self.table.of_task(parent) else { return };
        if flags.contains("CLONE_THREAD") {
            return self.table.add_task(child, key);
        }
        let child = self.table.begin(child, time_ns, Some(key), None);
        out.push(self.event(key, parent, time_ns, Kind::Fork { child }));
    }

    fn call(&mut self, task: u32, time_ns: Nanos, name: &str, rest: &str, out: &mut Vec<Event>) {
        self.parts.see(name);
        if !crate::calls::is_wanted(name) {
            return;
        }
        let Some(key) = self.table.of_task(task) else { return };
        let Some((arguments, after)) = value::arguments(rest) else {
            return self.warnings.add(Warning::Call, 1);
        };
        let Some(outcome) = line::outcome(after) else { return };
        if is_birth(name) {
            if let Some(child) = outcome.result.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
                && self.table.of_task(child).is_none()
            {
                self.born(task, child, rest, time_ns, out);
            }
            return;
        }
        if matches!(name, "wait4" | "waitid") {
            return self.waited(name, &arguments, outcome.result, time_ns, out);
        }
        for kind in self.kinds(key, name, &arguments, &outcome) {
            out.push(self.event(key, task, time_ns, kind));
        }
    }

    /// A parent learns how its child ended. Where the log has no line of its own for that, this is it.
    fn waited(
        &mut self,
        name: &str,
        arguments: &[value::Value<'_>],
        result: Option<i64>,
        time_ns: Nanos,
        out: &mut Vec<Event>,
    ) {
        let text = arguments.iter().map(crate::calls::text_of).collect::<Vec<_>>().join(",");
        let child =
            if name == "wait4" { result } else { value::field(&text, "si_pid").and_then(value::number) };
        let Some(child) = child.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0) else { return };
        let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
        let word = |rest: &str| rest.trim_start().split([' ', ']', '}', ')', ',']).next().map(str::to_owned);
        let (code, signal) = match name {
            "wait4" => (
                after("WEXITSTATUS(s) ==").and_then(word).and_then(|n| n.parse().ok()),
                after("WTERMSIG(s) ==").and_then(word).and_then(|n| crate::errno::signal(&n)),
            ),
            _ => {
                let status = value::field(&text, "si_status").map(str::to_owned);
                match value::field(&text, "si_code") {
                    Some("CLD_EXITED") => (status.and_then(|n| n.parse().ok()), None),
                    Some("CLD_KILLED" | "CLD_DUMPED") => {
                        (None, status.and_then(|n| crate::errno::signal(&n)))
                    }
                    Some(_) | None => (None, None),
                }
            }
        };
        // A child that only stopped lives.
        if (code.is_some() || signal.is_some()) && self.table.of_task(child).is_some() {
            self.end(child, time_ns, Kind::Exit { code, signal }, out);
        }
    }

    fn end(&mut self, task: u32, time_ns: Nanos, kind: Kind, out: &mut Vec<Event>) {
        self.remove_unfinished(task);
        self.settled.remove(&task);
        let Some(key) = self.table.of_task(task) else { return };
        if self.table.leads(task) || self.table.get(key).is_none() {
            out.push(self.event(key, task, time_ns, kind));
        }
        self.table.end(task);
    }

    pub fn event(&self, process: ProcessKey, thread: u32, time_ns: Nanos, kind: Kind) -> Event {
        let known = self.table.get(process);
        Event {
            seq: 0,
            time_ns,
            boot_ns: time_ns,
            process,
            thread,
            uid: known.map_or(NO_UID, |p| p.uid),
            comm: known.map(|p| p.comm.clone()).unwrap_or_default(),
            cgroup: 0,
            kind,
        }
    }
}

fn is_birth(name: &str) -> bool {
    matches!(name, "clone" | "clone3" | "fork" | "vfork")
}

/// The child that the end of a birth names.
fn birth(line: &Line<'_>) -> Option<u32> {
    let What::Resumed { name, rest } = line.what else { return None };
    if !is_birth(name) {
        return None;
    }
    let (_, outcome) = rest.rsplit_once(" = ")?;
    let outcome = line::outcome(&format!("= {outcome}"))?.result?;
    u32::try_from(outcome).ok().filter(|n| *n > 0)
}
