//! The hook by which an agent's product asks the gate: it stays where it is, and is called. Who takes it away, switches it off
//! or runs tools past it acts against its own oversight.

use std::collections::{BTreeMap, BTreeSet};

use muster_account::{Class, Status};
use muster_event::{Event, Kind, Nanos, ProcessKey};
use muster_mandate::{GateNote, GateWay};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, event_evidence, finding_id};
use crate::reconcile::shorten;
use crate::{AgentId, Code, Evidence, Finding, Output, Severity, Stage};

/// A file that is written through a copy is whole again by then.
const WRITTEN_NS: Nanos = 400_000_000;
/// How much later than the call the account may tell of it, and the hook's question reach the engine.
const LATE_NS: Nanos = 6_000_000_000;
/// How much earlier than the call's own time the hook may have asked: clocks of accounts are rough.
const EARLY_NS: Nanos = 5_000_000_000;
/// Ids of calls that were asked about, remembered of an agent; the oldest give way. Only the latest calls are looked up.
const ASKED_MAX: usize = 4_096;
/// Files that one product's hook depends on.
const WATCHED_MAX: usize = 32;

/// How the hooks of an agent's product stand: the answer to `Output::ReadHooks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HooksRead {
    pub agent: AgentId,
    pub time_ns: Nanos,
    /// Files in which the hook stands as it was installed.
    pub intact: Vec<String>,
    /// Files that it depends on, whether they are there or not.
    pub watched: Vec<String>,
    /// What is wrong with it, in words.
    pub wrong: Vec<String>,
}

/// What a lineage did to one of the files.
struct Touched {
    agent: AgentId,
    path: String,
    did: &'static str,
    seq: u64,
    process: ProcessKey,
    time_ns: Nanos,
}

/// What is known of the hook of one agent. Only of agents that had one when they began.
#[derive(Default)]
pub(crate) struct Guard {
    intact: Vec<String>,
    touched: Option<Touched>,
    asked: BTreeSet<String>,
    order: std::collections::VecDeque<String>,
    last_asked_ns: Option<Nanos>,
    /// Calls below this index were looked at.
    looked: usize,
    /// A call that nobody asked about: the files are looked at once more before it is told.
    silent: Option<(String, Evidence, Nanos)>,
    told: bool,
}

/// Guards by agent, and who depends on which file.
#[derive(Default)]
pub(crate) struct Guards {
    of: BTreeMap<AgentId, Guard>,
    files: BTreeMap<String, BTreeSet<AgentId>>,
}

impl Guards {
    pub(crate) fn agent_forgotten(&mut self, agent: &str) {
        if self.of.remove(agent).is_some() {
            self.files.retain(|_, agents| {
                agents.remove(agent);
                !agents.is_empty()
            });
        }
    }
}

impl Engine {
    /// Asks how the hooks of an agent's product stand.
    pub(crate) fn read_hooks(&mut self, id: &str) {
        let Some(agent) = self.agents.get(id) else { return };
        self.out.push(Output::ReadHooks {
            agent: id.to_owned(),
            product: agent.state.product.clone(),
            home: agent.home.clone(),
            cwd: agent.state.cwd.clone(),
        });
    }

    pub(crate) fn on_hooks_read(&mut self, read: HooksRead) {
        self.time_ns = self.time_ns.max(read.time_ns);
        if !self.agents.contains_key(&read.agent) {
            return;
        }
        let Some(guard) = self.guards.of.get_mut(&read.agent) else {
            // From the first time that one stands there.
            if !read.intact.is_empty() {
                for file in read.watched.into_iter().take(WATCHED_MAX) {
                    self.guards.files.entry(file).or_default().insert(read.agent.clone());
                }
                let guard = Guard { intact: read.intact, ..Guard::default() };
                self.guards.of.insert(read.agent, guard);
            }
            return;
        };
        let lost: Vec<String> =
            guard.intact.iter().filter(|file| !read.intact.contains(file)).cloned().collect();
        let (touched, silent) = (guard.touched.take(), guard.silent.take());
        guard.intact = read.intact;
        match (touched, silent) {
            (Some(touched), _) if !lost.is_empty() => {
                let wrong = read
                    .wrong
                    .first()
                    .map_or_else(|| "the hook is no longer there".to_owned(), |wrong| wrong.clone());
                self.raise_hook_removed(&read.agent, &touched, &lost, &wrong);
            }
            (_, Some((call, evidence, time_ns))) if lost.is_empty() => {
                self.raise_hook_silent(&read.agent, &call, evidence, time_ns);
            }
            // A person took it away.
            _ => {}
        }
    }

    /// Does this act change a file that some agent's hook depends on?
    pub(crate) fn guard_hooks(&mut self, event: &Event) {
        if self.guards.files.is_empty() {
            return;
        }
        let (path, did): (&str, _) = match &event.kind {
            Kind::Open { path, access, result } if access.write && *result >= 0 => (path, "wrote to"),
            Kind::Rename { from, to, result } if *result >= 0 => {
                if self.guards.files.contains_key(to) {
                    (to, "replaced")
                } else {
                    (from, "moved away")
                }
            }
            Kind::Unlink { path, result, .. } if *result >= 0 => (path, "removed"),
            Kind::Truncate { path, result, .. } if *result >= 0 => (path, "emptied"),
            Kind::Link { to, result, .. } if *result >= 0 => (to, "replaced"),
            Kind::Symlink { path, result, .. } if *result >= 0 => (path, "replaced"),
            Kind::Chmod { path, result, .. } | Kind::Chown { path, result, .. } if *result >= 0 => {
                (path, "changed the permissions of")
            }
            Kind::IoUring { path: Some(path), operation, flags }
                if operation.starts_with("open") && flags & 0o3 != 0 =>
            {
                (path, "wrote to")
            }
            _ => return,
        };
        // A folder above it is as good.
        let folder = format!("{path}/");
        let hit: BTreeSet<AgentId> = self
            .guards
            .files
            .range(path.to_owned()..)
            .take_while(|(file, _)| file.starts_with(path))
            .filter(|(file, _)| *file == path || file.starts_with(&folder))
            .flat_map(|(_, agents)| agents.iter().cloned())
            .collect();
        if hit.is_empty() {
            return;
        }
        let Some(by) = self.agent_of(event.process) else { return };
        for id in hit {
            let Some(guard) = self.guards.of.get_mut(&id) else { continue };
            guard.touched = Some(Touched {
                agent: by.clone(),
                path: path.to_owned(),
                did,
                seq: event.seq,
                process: event.process,
                time_ns: event.time_ns,
            });
        }
    }

    /// The hook asked.
    pub(crate) fn guard_asked(&mut self, note: &GateNote) {
        if note.by != GateWay::Hook {
            return;
        }
        let Some(guard) = self.guards.of.get_mut(&note.agent) else { return };
        guard.last_asked_ns = guard.last_asked_ns.max(Some(note.time_ns));
        let Some(call) = &note.call else { return };
        if guard.asked.insert(call.clone()) {
            guard.order.push_back(call.clone());
            if guard.order.len() > ASKED_MAX
                && let Some(old) = guard.order.pop_front()
            {
                guard.asked.remove(&old);
            }
        }
    }

    /// At each tick.
    pub(crate) fn check_hooks(&mut self, id: &str) {
        let now_ns = self.time_ns;
        let Some(guard) = self.guards.of.get_mut(id) else { return };
        if guard.touched.as_ref().is_some_and(|t| now_ns.saturating_sub(t.time_ns) >= WRITTEN_NS) {
            self.read_hooks(id);
            return;
        }
        let Some(agent) = self.agents.get(id) else { return };
        // An agent that began before Muster, or before its hook, may go by settings that it read before.
        if guard.told || guard.intact.is_empty() || agent.state.coverage.began_unseen || agent.imported {
            return;
        }
        let mut unasked = None;
        for (index, call) in agent.calls.range(guard.looked..) {
            let Some(result) = &call.result else {
                // Not over: it may never be, and others are.
                continue;
            };
            if now_ns.saturating_sub(call.read_ns.max(result.read_ns)) < LATE_NS {
                break;
            }
            let ran = matches!(call.class, Class::Execute | Class::Edit)
                && !call.denied
                && matches!(result.status, Status::Ok | Status::Failed | Status::Killed | Status::TimedOut);
            let asked = guard.asked.contains(&call.call_id)
                || guard.last_asked_ns.is_some_and(|at| at.saturating_add(EARLY_NS) >= call.time_ns);
            if ran && !asked && unasked.is_none() {
                let what = call.command.as_deref().or(call.paths.first().map(String::as_str));
                let shown = format!("`{}` ({})", shorten(what.unwrap_or_default()), call.tool);
                unasked = Some((shown, call.evidence.clone(), call.time_ns));
            }
            guard.looked = index + 1;
        }
        if unasked.is_some() {
            guard.silent = unasked;
            self.read_hooks(id);
        }
    }

    fn raise_hook_removed(&mut self, of: &str, touched: &Touched, lost: &[String], wrong: &str) {
        let whose = if touched.agent == of { "its own hook" } else { "the hook of another agent" };
        let file = lost.first().map_or("", String::as_str);
        let summary = format!(
            "{} `{}`: {whose} to the gate no longer stands (`{}`)",
            touched.did,
            shorten(&touched.path),
            shorten(file)
        );
        let finding = Finding {
            id: finding_id(Code::MonitorTampering, &touched.agent, &format!("hook {file}")),
            code: Code::MonitorTampering,
            severity: Severity::Critical,
            stage: Stage::Conceal,
            overreach: 3,
            deception: 2,
            agent: touched.agent.clone(),
            time_ns: touched.time_ns,
            summary,
            explanation: format!(
                "Before each tool call the agent's product asks the gate, by a hook that a person installed. The lineage \
                changed a file that it depends on, and the hook is gone or does nothing since: {wrong}. What the agent does \
                from there on by that product is not asked about. It would be refuted if a person had asked for the hook \
                to be taken out (`muster hooks uninstall`)."
            ),
            evidence: vec![event_evidence(touched.seq, touched.process)],
        };
        self.raise(finding);
    }

    fn raise_hook_silent(&mut self, id: &str, call: &str, evidence: Evidence, time_ns: Nanos) {
        let Some(guard) = self.guards.of.get_mut(id) else { return };
        guard.told = true;
        let before = guard.last_asked_ns.is_some();
        let summary = if before {
            format!("its hook no longer asks the gate: {call} ran unasked")
        } else {
            format!("its hook never asked the gate, and tools ran: {call} first")
        };
        let finding = Finding {
            id: finding_id(Code::MonitorTampering, id, "hook silent"),
            code: Code::MonitorTampering,
            severity: if before { Severity::High } else { Severity::Medium },
            stage: Stage::Conceal,
            overreach: if before { 3 } else { 1 },
            deception: if before { 2 } else { 0 },
            agent: id.to_owned(),
            time_ns,
            summary,
            explanation: "A hook that asks the gate before each tool call stands in the product's settings, and the account \
                tells of a command or a change of a file that ran without a question. Hooks are skipped where the product \
                does not trust them yet (Codex asks once), or was started with options that leave settings out; else \
                something switched it off. It would be refuted if the call had not been one of the product's own tools."
                .to_owned(),
            evidence: vec![evidence],
        };
        self.raise(finding);
    }
}
