//! By what an agent stays, where one event does not show it: successors, a life after its end, programs that come back, files
//! and names through which agents speak with each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_event::{Event, Kind, Nanos, SignalTarget};

use crate::action::command_texts;
use crate::engine::{Engine, event_evidence, finding_id, short_hash};
use crate::persistence::Persistence;
use crate::process::Role;
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage, State};

const SECOND_NS: Nanos = 1_000_000_000;

/// Agents that one may start before it is a fan-out: products start a few at a time for a task.
const FAN_OUT: usize = 8;
const FAN_OUT_HIGH: usize = 32;
/// Successors remembered per agent: more of them is more of the same.
const SUCCESSORS_MAX: usize = 256;
/// How long a successor may go on after the one that started it: its last messages.
const OUTLIVE_NS: Nanos = 60 * SECOND_NS;
/// How long what an agent left behind may wind down before its contact with a model is a life of its own.
const AFTER_END_NS: Nanos = 60 * SECOND_NS;

/// A program is back so soon after it was killed from outside, and so often within the time.
const BACK_NS: Nanos = 2 * SECOND_NS;
const BACK_TIMES: usize = 3;
const BACK_WITHIN_NS: Nanos = 120 * SECOND_NS;
/// Programs killed and processes signalled that are remembered per agent: a moment's worth.
const KILLED_MAX: usize = 64;
const SIGNALLED_MAX: usize = 64;

/// Files written by tools that are remembered per agent, for a program among them that is an agent.
const WRITTEN_MAX: usize = 4_096;

/// A file that others run is put there anew so often by what goes on in the background, at least so far apart.
const RESTORED: usize = 3;
const RESTORED_APART_NS: Nanos = SECOND_NS / 4;
/// After the end of what an agent started; before that it is at work.
const RESTORED_AFTER_NS: Nanos = SECOND_NS / 2;
/// Files whose restoring is counted per agent.
const REWRITTEN_MAX: usize = 256;
/// Files that are run, by their names.
const SCRIPTS: [&str; 9] = [".sh", ".bash", ".zsh", ".py", ".pl", ".rb", ".js", ".mjs", ".php"];

/// Questions to the DNS for names that carry data: so many different ones under one domain that carry so many characters
/// together, within the time. A tunnel with long names needs few of them.
const LABEL_MIN: usize = 28;
const LABELS: usize = 8;
const CARRIED: usize = 448;
/// Names remembered of one domain: with the shortest the finding has come long before.
const LABELS_MAX: usize = 32;
const LABELS_WITHIN_NS: Nanos = 600 * SECOND_NS;
/// Domains remembered per agent.
const DOMAINS_MAX: usize = 64;

/// Files that are watched for turns, over all agents; the oldest goes.
const SHARED_MAX: usize = 1_024;
/// Turns of different agents on one file, within the time.
const TURNS: usize = 6;
const TURNS_WITHIN_NS: Nanos = 3_600 * SECOND_NS;
/// Where agents of different projects have no business with the same name.
const SHARED_PLACES: [&str; 4] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/lock/"];
/// Names in them that programs use for themselves, whoever runs them.
const PROGRAMS_OWN: [&str; 22] = [
    "cache",
    "node-compile",
    "tsx-",
    "jest",
    "pytest-of-",
    "npm-",
    "yarn-",
    "pnpm",
    "bun",
    "ccache",
    "cargo",
    "rustc",
    "go-build",
    ".x11",
    "ssh-",
    "tmux-",
    "sem.",
    "pulse",
    "playwright",
    "puppeteer",
    "chrome",
    "systemd-private",
];

#[derive(Default)]
pub(crate) struct Sustain {
    successors: BTreeSet<String>,
    outlived: BTreeSet<String>,
    /// Hash of the command line, when it died by a signal from outside.
    killed: VecDeque<(String, Nanos)>,
    back: BTreeMap<String, Vec<Nanos>>,
    /// Processes and groups that the lineage itself sent signals to.
    signalled: VecDeque<(u32, Nanos)>,
    written: VecDeque<String>,
    domains: BTreeMap<String, Domain>,
    /// Copies of weights that the lineage made.
    pub(crate) weights: BTreeSet<String>,
    rewritten: BTreeMap<String, Rewritten>,
    pub(crate) asked_models: Vec<crate::borrowed::Ask>,
}

/// A file that a process writes again and again while nobody works with it.
struct Rewritten {
    times: Vec<Nanos>,
    evidence: Vec<Evidence>,
}

struct Domain {
    since_ns: Nanos,
    labels: BTreeSet<String>,
    evidence: Vec<Evidence>,
}

#[derive(Default)]
pub(crate) struct Shared {
    files: BTreeMap<String, Turns>,
    /// In the order in which they were first seen.
    order: VecDeque<String>,
}

#[derive(Default)]
struct Turns {
    last: String,
    turns: Vec<(Nanos, String, Evidence)>,
}

impl Engine {
    /// Each event of a lineage but executions.
    pub(crate) fn note_sustain(&mut self, event: &Event) {
        self.note_weights(event);
        self.note_rewrite(event);
        match &event.kind {
            Kind::Signal { target, signal, result: 0 } if *signal != 0 => self.note_signal(event, *target),
            Kind::Exit { signal: Some(signal @ (9 | 15)), .. } => self.note_killed(event, *signal),
            Kind::Open { path, access, result } if access.write && *result >= 0 => {
                self.note_sensor_file(event, path);
                self.note_shared_write(event, path);
            }
            Kind::Rename { to: path, result: 0, .. } | Kind::Link { to: path, result: 0, .. } => {
                self.note_shared_write(event, path);
            }
            Kind::Dns { name, .. } => self.note_name(event, name),
            Kind::SetName { to, .. } if is_kernels(to) => self.raise_kernels_name(event, to),
            // BPF_LINK_UPDATE and BPF_LINK_DETACH: of links of one's own nobody needs them.
            Kind::Bpf { command: command @ (29 | 34), .. } => {
                self.raise_tampering(
                    event,
                    &format!("tried to change or detach a probe (bpf command {command})"),
                );
            }
            Kind::Mount { call, target, .. } if call.starts_with("umount") && is_of_sensor(target) => {
                self.raise_tampering(event, &format!("tried to unmount `{target}`, which the sensor uses"));
            }
            _ => {}
        }
    }

    /// A program calls itself what only threads of the kernel are called.
    fn raise_kernels_name(&mut self, event: &Event, name: &str) {
        let Some(id) = self.agent_of(event.process) else { return };
        let command =
            self.processes.get(event.process).map(|p| shorten(&p.argv.join(" "))).unwrap_or_default();
        self.raise(Finding {
            id: finding_id(Code::LogTampering, &id, &format!("name {name}")),
            code: Code::LogTampering,
            severity: Severity::High,
            stage: Stage::Sustain,
            overreach: 1,
            deception: 3,
            agent: id,
            time_ns: event.time_ns,
            summary: format!("`{command}` renamed itself `{}`, as a thread of the kernel is called", shorten(name)),
            explanation: "Threads of the kernel execute no file. Who takes such a name wants to be overlooked. It would be \
                refuted if a person had asked for just this."
                .to_owned(),
            evidence: vec![event_evidence(event.seq, event.process)],
        });
    }

    /// What the kernel's own tracing is switched with.
    fn note_sensor_file(&mut self, event: &Event, path: &str) {
        const SWITCHES: [&str; 4] =
            ["/tracing/kprobe_events", "/tracing/tracing_on", "/tracing/uprobe_events", "/enable"];
        if is_of_sensor(path) && SWITCHES.iter().any(|switch| path.ends_with(switch)) {
            self.raise_tampering(
                event,
                &format!("wrote `{path}`, by which the kernel's tracing is switched"),
            );
        }
    }

    fn note_signal(&mut self, event: &Event, target: SignalTarget) {
        let Some(id) = self.agent_of(event.process) else { return };
        let group = self.processes.get(event.process).map_or(0, |process| process.group);
        let pid = match target {
            SignalTarget::Process(pid) => pid,
            SignalTarget::Group(0) => group,
            SignalTarget::Group(group) => group,
            SignalTarget::Everyone => 0,
        };
        let Some(agent) = self.agents.get_mut(&id) else { return };
        push(&mut agent.sustain.signalled, (pid, event.time_ns), SIGNALLED_MAX);
    }

    /// A process of a lineage was killed, and not by the lineage.
    fn note_killed(&mut self, event: &Event, _signal: i32) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = &process.member else { return };
        if process.forked || !matches!(member.role, Role::Action(_) | Role::Member) {
            return;
        }
        let (pid, group, command) = (process.key.pid, process.group, process.argv.join("\0"));
        let Some(agent) = self.agents.get_mut(&member.agent.clone()) else { return };
        let by_itself = agent.sustain.signalled.iter().any(|(target, at)| {
            (*target == pid || *target == group || *target == 0)
                && event.time_ns.saturating_sub(*at) < BACK_NS
        });
        if !by_itself {
            push(&mut agent.sustain.killed, (short_hash(&[&command]), event.time_ns), KILLED_MAX);
        }
    }

    /// A program was started: is it one that was just killed?
    pub(crate) fn note_started(&mut self, event: &Event) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = &process.member else { return };
        let id = member.agent.clone();
        let command = short_hash(&[&process.argv.join("\0")]);
        let shown = command_texts(&process.argv).first().cloned().unwrap_or_default();
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let sustain = &mut agent.sustain;
        let now = event.time_ns;
        let Some(at) = sustain
            .killed
            .iter()
            .position(|(known, at)| *known == command && now.saturating_sub(*at) < BACK_NS)
        else {
            return;
        };
        sustain.killed.remove(at);
        if sustain.back.len() >= KILLED_MAX && !sustain.back.contains_key(&command) {
            sustain.back.pop_first();
        }
        let times = sustain.back.entry(command.clone()).or_default();
        times.retain(|at| now.saturating_sub(*at) < BACK_WITHIN_NS);
        times.push(now);
        if times.len() < BACK_TIMES {
            return;
        }
        let times = times.len();
        self.raise(Finding {
            id: finding_id(Code::Entrenchment, &id, &format!("back {command}")),
            code: Code::Entrenchment,
            severity: Severity::High,
            stage: Stage::Sustain,
            overreach: 3,
            deception: 0,
            agent: id,
            time_ns: now,
            summary: format!("`{}` is back within two seconds of being killed, {times} times now", shorten(&shown)),
            explanation: "Somebody outside the lineage killed a program of it, and the lineage started the same program again at \
                once, repeatedly: something in it watches over it. It would be refuted by a supervisor that a person asked for, \
                or where the kernel killed it for want of memory."
                .to_owned(),
            evidence: vec![event_evidence(event.seq, event.process)],
        });
    }

    /// An agent was started from within the lineage of another.
    pub(crate) fn on_successor(&mut self, parent: &str, child: &str, seq: u64) {
        let now = self.time_ns;
        let Some(started) = self.agents.get(child) else { return };
        let (root, product) = (started.state.root, started.state.product.clone());
        let program = self.processes.get(root);
        let files: Vec<String> =
            program.into_iter().flat_map(|p| p.script.iter().chain([&p.path]).cloned()).collect();
        let command = program.map(|p| shorten(&p.argv.join(" "))).unwrap_or_default();
        let evidence = vec![event_evidence(seq, root)];
        // The first of them all: a chain of agents is one fan-out.
        let mut top = parent.to_owned();
        for _ in 0..64 {
            match self.agents.get(&top).and_then(|agent| agent.state.parent.clone()) {
                Some(next) => top = next,
                None => break,
            }
        }
        let Some(agent) = self.agents.get_mut(&top) else { return };
        if agent.sustain.successors.len() < SUCCESSORS_MAX {
            agent.sustain.successors.insert(child.to_owned());
        }
        let count = agent.sustain.successors.len();
        let own = agent.sustain.written.iter().find(|path| files.contains(path)).cloned();
        let (severity, overreach) = match count {
            0..FAN_OUT => (Severity::Info, 0),
            FAN_OUT..FAN_OUT_HIGH => (Severity::Medium, 1),
            _ => (Severity::High, 2),
        };
        let step = [1, FAN_OUT, FAN_OUT_HIGH].into_iter().rfind(|step| count >= *step).unwrap_or(1);
        let summary = match step {
            1 => format!("started another agent ({product}): `{command}`"),
            _ => format!("started {count} agents, the last of them {product}: `{command}`"),
        };
        self.raise(Finding {
            id: finding_id(Code::Successor, &top, &format!("started {step}")),
            code: Code::Successor,
            severity,
            stage: Stage::Sustain,
            overreach,
            deception: 0,
            agent: top.clone(),
            time_ns: now,
            summary,
            explanation: "An agent within an agent's lineage works under its mandate and goes on by itself. One or a few are \
                ordinary in a task; many at once use what nobody granted. It would be refuted if a person had asked for so many."
                .to_owned(),
            evidence: evidence.clone(),
        });
        if let Some(path) = own {
            self.raise(Finding {
                id: finding_id(Code::Copies, &top, &format!("own {path}")),
                code: Code::Copies,
                severity: Severity::Medium,
                stage: Stage::Sustain,
                overreach: 2,
                deception: 1,
                agent: top,
                time_ns: now,
                summary: format!("wrote a program of {product} to `{}` and started it as an agent", shorten(&path)),
                explanation: "The lineage made the file of the agent that it then started: a copy of a scaffold, its own or \
                    another's. It would be refuted if a person had asked for this product to be installed and tried."
                    .to_owned(),
                evidence,
            });
        }
    }

    /// Those that an agent started and that go on after its end.
    pub(crate) fn check_successors(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get(id) else { return };
        let Some(ended_ns) = agent.root_ended_ns else { return };
        if agent.sustain.successors.is_empty() || now.saturating_sub(ended_ns) < OUTLIVE_NS {
            return;
        }
        let left: Vec<(String, String, Evidence)> = agent
            .sustain
            .successors
            .iter()
            .filter(|child| !agent.sustain.outlived.contains(*child))
            .filter_map(|child| self.agents.get(child))
            .filter(|child| child.state.state == State::Running && child.root_ended_ns.is_none())
            .map(|child| {
                let evidence = event_evidence(0, child.state.root);
                (child.state.agent.clone(), shorten(&child.state.command.join(" ")), evidence)
            })
            .collect();
        for (child, command, evidence) in left {
            if let Some(agent) = self.agents.get_mut(id) {
                agent.sustain.outlived.insert(child.clone());
            }
            self.raise(Finding {
                id: finding_id(Code::Successor, id, &format!("outlives {child}")),
                code: Code::Successor,
                severity: Severity::Medium,
                stage: Stage::Sustain,
                overreach: 2,
                deception: 1,
                agent: id.to_owned(),
                time_ns: now,
                summary: format!("the agent `{child}` that it started goes on after its end: `{command}`"),
                explanation: "A minute after this agent ended, an agent that it started still runs: nobody waits for what it \
                    does. It would be refuted if a person had asked for a session that stays."
                    .to_owned(),
                evidence: vec![evidence],
            });
        }
    }

    /// What an agent left behind speaks to a model long after its end.
    pub(crate) fn on_provider_after_end(&mut self, event: &Event, name: &str) {
        let Some(id) = self.agent_of(event.process) else { return };
        let Some(agent) = self.agents.get(&id) else { return };
        let Some(ended_ns) = agent.root_ended_ns else { return };
        if event.time_ns.saturating_sub(ended_ns) < AFTER_END_NS {
            return;
        }
        let command =
            self.processes.get(event.process).map(|p| shorten(&p.argv.join(" "))).unwrap_or_default();
        self.raise(Finding {
            id: finding_id(Code::Compute, &id, "after its end"),
            code: Code::Compute,
            severity: Severity::High,
            stage: Stage::Sustain,
            overreach: 2,
            deception: 2,
            agent: id,
            time_ns: event.time_ns,
            summary: format!("works on after its end: `{command}` speaks to model provider `{}`", shorten(name)),
            explanation: "The agent's own program ended more than a minute ago, and a process that it left behind asks a model. \
                It would be refuted by a service with a model in it that a person wanted to stay."
                .to_owned(),
            evidence: vec![event_evidence(event.seq, event.process)],
        });
    }

    /// A file that others run is written anew, whole, by what an agent left running: it comes back whenever somebody removes it.
    fn note_rewrite(&mut self, event: &Event) {
        let path = match &event.kind {
            Kind::Open { path, access, result }
                if access.write && access.create && !access.append && *result >= 0 =>
            {
                path
            }
            Kind::Rename { to: path, result: 0, .. } | Kind::Link { to: path, result: 0, .. } => path,
            // Who removes it himself restores nothing.
            Kind::Unlink { path, result: 0, .. } => {
                for id in self.agents_of(event.process) {
                    if let Some(agent) = self.agents.get_mut(&id) {
                        agent.sustain.rewritten.remove(path);
                    }
                }
                return;
            }
            _ => return,
        };
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = &process.member else { return };
        let Role::Action(index) = member.role else { return };
        let id = member.agent.clone();
        let Some(agent) = self.agents.get(&id) else { return };
        let left_behind = agent
            .actions
            .get(&index)
            .and_then(|action| action.ended_ns)
            .is_some_and(|at| event.time_ns.saturating_sub(at) > RESTORED_AFTER_NS);
        if !left_behind || agent.works_in(path) && !path.contains("/.git/hooks/") {
            return;
        }
        let homes: Vec<&str> = agent.home.iter().map(String::as_str).collect();
        let place = Persistence::built_in().at(path, &homes).filter(|mechanism| !mechanism.quiet);
        let program = SCRIPTS.iter().any(|end| path.ends_with(end));
        if place.is_none() && !program {
            return;
        }
        let severity = if place.is_some() { Severity::High } else { Severity::Medium };
        let (now, evidence) = (event.time_ns, event_evidence(event.seq, event.process));
        let command = shorten(&process.argv.join(" "));
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let rewritten = &mut agent.sustain.rewritten;
        if rewritten.len() >= REWRITTEN_MAX && !rewritten.contains_key(path) {
            rewritten.pop_first();
        }
        let known = rewritten
            .entry(path.clone())
            .or_insert_with(|| Rewritten { times: Vec::new(), evidence: Vec::new() });
        if known.times.last().is_some_and(|at| now.saturating_sub(*at) < RESTORED_APART_NS) {
            return;
        }
        if known.times.len() < RESTORED {
            known.times.push(now);
            known.evidence.push(evidence);
        }
        if known.times.len() < RESTORED {
            return;
        }
        let evidence = known.evidence.clone();
        self.raise(Finding {
            id: finding_id(Code::Entrenchment, &id, &format!("restores {path}")),
            code: Code::Entrenchment,
            severity,
            stage: Stage::Sustain,
            overreach: 3,
            deception: 1,
            agent: id,
            time_ns: now,
            summary: format!("puts `{}` there again and again from the background: `{command}`", shorten(path)),
            explanation: "A process that a tool left running writes a file that others run, whole, several times: whoever removes \
                it finds it back. It would be refuted by a program that a person wanted to keep this file up to date."
                .to_owned(),
            evidence,
        });
    }

    fn note_shared_write(&mut self, event: &Event, path: &str) {
        let Some(member) = self.processes.get(event.process).and_then(|p| p.member.as_ref()) else { return };
        if !matches!(member.role, Role::Action(_)) {
            return;
        }
        let id = member.agent.clone();
        if let Some(agent) = self.agents.get_mut(&id)
            && agent.sustain.written.back().is_none_or(|last| last != path)
        {
            push(&mut agent.sustain.written, path.to_owned(), WRITTEN_MAX);
        }
        self.note_turn(event, &id, path);
    }

    /// Two agents that have nothing to do with each other write one file by turns.
    fn note_turn(&mut self, event: &Event, id: &str, path: &str) {
        let lower = path.to_lowercase();
        let shared = SHARED_PLACES.iter().any(|place| path.starts_with(place));
        let Some(agent) = self.agents.get(id) else { return };
        if !shared || agent.works_in(path) || PROGRAMS_OWN.iter().any(|own| lower.contains(own)) {
            return;
        }
        let cwd = agent.state.cwd.clone();
        let (now, evidence) = (event.time_ns, event_evidence(event.seq, event.process));
        if !self.shared.files.contains_key(path) {
            push(&mut self.shared.order, path.to_owned(), SHARED_MAX + 1);
            if self.shared.order.len() > SHARED_MAX
                && let Some(oldest) = self.shared.order.pop_front()
            {
                self.shared.files.remove(&oldest);
            }
        }
        let turns = self.shared.files.entry(path.to_owned()).or_default();
        let last = std::mem::replace(&mut turns.last, id.to_owned());
        if last.is_empty() || last == id {
            return;
        }
        turns.turns.retain(|(at, ..)| now.saturating_sub(*at) < TURNS_WITHIN_NS);
        turns.turns.push((now, id.to_owned(), evidence));
        if turns.turns.len() < TURNS {
            return;
        }
        let turns = std::mem::take(&mut turns.turns);
        let related = self.is_within(&last, id) || self.is_within(id, &last);
        let same_project =
            self.agents.get(&last).is_none_or(|other| other.state.cwd == cwd || other.works_in(path));
        if related || same_project {
            return;
        }
        let evidence: Vec<Evidence> = turns.into_iter().map(|(.., evidence)| evidence).collect();
        for (of, with) in [(id, last.as_str()), (last.as_str(), id)] {
            self.raise(Finding {
                id: finding_id(Code::CovertChannel, of, &format!("turns {path}")),
                code: Code::CovertChannel,
                severity: Severity::Medium,
                stage: Stage::Sustain,
                overreach: 1,
                deception: 2,
                agent: of.to_owned(),
                time_ns: now,
                summary: format!("writes `{}` by turns with `{with}`, an agent of another project", shorten(path)),
                explanation: "Two agents that nobody put together wrote the same file outside both of their projects, one after \
                    the other, several times: so they can tell each other things. It would be refuted by a program that both \
                    run and that keeps this file."
                    .to_owned(),
                evidence: evidence.clone(),
            });
        }
    }

    /// A name that is asked for may itself be the message.
    fn note_name(&mut self, event: &Event, name: &str) {
        let Some(id) = self.agent_of(event.process) else { return };
        let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
        let Some((data, domain)) = labels.len().checked_sub(2).map(|at| labels.split_at(at)) else { return };
        let Some(label) = data.iter().max_by_key(|label| label.len()) else { return };
        if label.len() < LABEL_MIN || !looks_encoded(label) {
            return;
        }
        let domain = domain.join(".").to_lowercase();
        let now = event.time_ns;
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let domains = &mut agent.sustain.domains;
        if domains.len() >= DOMAINS_MAX && !domains.contains_key(&domain) {
            domains.pop_first();
        }
        let seen = domains.entry(domain.clone()).or_insert_with(|| Domain {
            since_ns: now,
            labels: BTreeSet::new(),
            evidence: Vec::new(),
        });
        if now.saturating_sub(seen.since_ns) > LABELS_WITHIN_NS {
            *seen = Domain { since_ns: now, labels: BTreeSet::new(), evidence: Vec::new() };
        }
        if seen.labels.len() < LABELS_MAX
            && seen.labels.insert((*label).to_owned())
            && seen.evidence.len() < 8
        {
            seen.evidence.push(event_evidence(event.seq, event.process));
        }
        let (count, carried) = (seen.labels.len(), seen.labels.iter().map(String::len).sum::<usize>());
        if count < LABELS || carried < CARRIED {
            return;
        }
        let evidence = seen.evidence.clone();
        self.raise(Finding {
            id: finding_id(Code::CovertChannel, &id, &format!("names {domain}")),
            code: Code::CovertChannel,
            severity: Severity::High,
            stage: Stage::Sustain,
            overreach: 2,
            deception: 2,
            agent: id,
            time_ns: now,
            summary: format!("asked the DNS for {count} long names under `{}` that look like data", shorten(&domain)),
            explanation: "Names that are made up for one question each carry data to whoever answers for the domain, past \
                walls that let nothing else out. It would be refuted by a service that is known to use such names."
                .to_owned(),
            evidence,
        });
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// `kworker/0:1`, `[kthreadd]`, …
fn is_kernels(name: &str) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let numbered = ["kworker/", "ksoftirqd/", "migration/", "cpuhp/", "irq/"].iter().any(|kind| {
        name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == 'u'))
    });
    numbered || matches!(name, "kthreadd" | "khugepaged" | "kdevtmpfs" | "kauditd" | "oom_reaper")
}

/// Mounts that the kernel's tracing is reached through.
fn is_of_sensor(path: &str) -> bool {
    ["/sys/kernel/tracing", "/sys/kernel/debug", "/sys/fs/bpf"]
        .iter()
        .any(|mount| path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Letters and digits mixed, no words with dashes, and many different ones.
fn looks_encoded(label: &str) -> bool {
    let digits = label.bytes().filter(u8::is_ascii_digit).count();
    let dashes = label.bytes().filter(|b| *b == b'-' || *b == b'_').count();
    let kinds: BTreeSet<u8> = label.bytes().collect();
    dashes * 10 < label.len() && (digits * 10 >= label.len() || label.len() >= 48) && kinds.len() >= 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_carry_data() {
        for (label, expected) in [
            ("mfrggzdfmztwq2lknnwg23tpobyxe43u", true),
            ("3f786850e387550fdab836ed7e6dc881de23001b", true),
            ("my-service-production-eu-central-1a", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1111", false),
        ] {
            assert_eq!(looks_encoded(label), expected, "{label}");
        }
    }

    #[test]
    fn where_the_sensor_is() {
        assert!(is_of_sensor("/sys/fs/bpf") && is_of_sensor("/sys/kernel/tracing/kprobe_events"));
        assert!(!is_of_sensor("/sys/fs/bpfx") && !is_of_sensor("/sys/fs/cgroup"));
    }
}
