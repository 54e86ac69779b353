//! Holds what an agent does against the mandate that it runs under: its lines, its time, its limits, its oversight terms.
//!
//! What is refused waits a moment before it counts: only then is it known whether the product did it for itself, and which
//! name an address was reached by. One finding for an agent and a kind of overreach, with a count.

mod act;
mod overreach;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use muster_event::{Address, Event, Kind, Nanos, ProcessKey};
use muster_mandate::{
    Action, ApprovalNote, ApprovalState, Binding, Chain, Decision, GateNote, Kind as Scope, MandateNote,
    MandateState, Operation, Pattern, Protocol, Refused, Register, Signed, Subject, Verdict,
};

use crate::engine::{Engine, event_evidence, finding_id};
use crate::process::Role;
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage, State};

use act::changed_paths;
pub use act::{actions_of, credential, install_folders};
use overreach::{DISTINCT_MAX, Overreach, words};

const SECOND_NS: Nanos = 1_000_000_000;
/// So long it may take until it is known what a process is, and the name behind an address.
const SETTLE_NS: Nanos = 2 * SECOND_NS;
/// Acts that wait to be judged, per agent; beyond it the oldest are judged at once.
const PENDING_MAX: usize = 1_024;
/// Names that a lineage asked for or opened TLS to, per agent; beyond it, no address is held to be unnamed.
const NAMES_MAX: usize = 1_024;
/// Folders of one product's programs: a launcher's, a native one's, and those of an update meanwhile.
const INSTALL_MAX: usize = 16;
/// Patterns that people allowed, per agent: each is asked about each question.
const APPROVED_MAX: usize = 256;
/// A finding comes again when so many different things were done.
const STEPS: [usize; 4] = [1, 10, 100, 1_000];
/// A mandate that ended leaves so much time to come to an end too.
const END_NS: Nanos = 30 * SECOND_NS;
/// An account that is required must be there so soon after the first act.
const ACCOUNT_NS: Nanos = 60 * SECOND_NS;
/// What still acts so long after the agent's own end has outlived its task.
const OUTLIVE_NS: Nanos = 60 * SECOND_NS;

/// The mandates that were told of.
#[derive(Default)]
pub(crate) struct Mandates {
    register: Register,
    /// Files of mandates, and the ids of what is in them.
    files: BTreeMap<String, String>,
}

/// Files remembered: as many as mandates.
const FILES_MAX: usize = muster_mandate::KNOWN_MAX;

/// Mandate, product and home.
type MadeFor = (String, String, Option<String>);

/// What one agent runs under.
#[derive(Default)]
pub(crate) struct Held {
    /// The mandate was given to this agent itself: it does not act under its parent's.
    own: bool,
    chain: Option<Arc<Chain>>,
    /// What the chain was made for.
    made_for: Option<MadeFor>,
    pending: VecDeque<Pending>,
    names: BTreeSet<String>,
    /// It asks a service for names: the record does not show which.
    resolver: bool,
    /// Folders of the programs of its product that it was seen to run.
    install: BTreeSet<String>,
    /// It went into a namespace of its own: what it mounts is seen by nobody else.
    apart: bool,
    /// What people allowed when they were asked.
    approved: BTreeSet<String>,
    approved_patterns: Vec<(Scope, Pattern)>,
    beyond: BTreeMap<Beyond, Overreach>,
    agent_decided: bool,
}

struct Pending {
    own_ns: Nanos,
    process: ProcessKey,
    evidence: Evidence,
    action: Action,
    decision: Decision,
}

/// Kinds of overreach: one finding each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Beyond {
    Scope(Scope),
    /// Done after the mandate had ended.
    Late,
}

impl Engine {
    /// Something came to be of a mandate.
    pub(crate) fn on_mandate(&mut self, note: MandateNote) {
        self.time_ns = self.time_ns.max(note.time_ns);
        match note.state {
            MandateState::Accepted | MandateState::Renewed => {
                if let Some(body) = &note.body {
                    let signed =
                        Signed { body: body.clone(), signature: String::new(), policy: note.policy.clone() };
                    let now = self.timeline.wall(note.time_ns);
                    // What the daemon accepted and the engine does not has no lines here; the agent stays mandated.
                    drop(self.mandates.register.trust(&note.id, &signed, note.signer.clone(), now));
                }
                if let Some(path) = &note.path
                    && self.mandates.files.len() < FILES_MAX
                {
                    self.mandates.files.insert(path.clone(), note.id.clone());
                }
                self.bind(&note);
            }
            MandateState::Revoked => {
                self.mandates.register.revoke(&note.id, &note.text);
            }
            MandateState::Expired => {}
            MandateState::Refused => self.on_refused(&note),
        }
        for agent in self.agents.values_mut() {
            agent.authority.made_for = None;
        }
    }

    /// The agent of a mandate, and those that ran under the one that it renews.
    fn bind(&mut self, note: &MandateNote) {
        let Some(known) = self.mandates.register.get(&note.id) else { return };
        let (principal, task) = (known.mandate.principal.clone(), known.mandate.task.clone());
        let renews = known.mandate.renews.clone();
        let mut changed = Vec::new();
        for (id, agent) in &mut self.agents {
            let given = note.agent.as_ref() == Some(id);
            let renewed = renews.is_some() && agent.state.mandate == renews;
            if !given && !renewed {
                continue;
            }
            agent.state.mandate = Some(note.id.clone());
            agent.state.principal = Some(principal.clone());
            agent.authority.own |= given;
            if given && agent.state.label.is_empty() {
                agent.state.label.clone_from(&task);
            }
            agent.state.mandate_until_ns = note.expires_ns;
            changed.push(id.clone());
        }
        for id in changed {
            self.publish_now(&id);
        }
    }

    fn on_refused(&mut self, note: &MandateNote) {
        let Some(id) = &note.agent else { return };
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.state.mandate = None;
        let (word, why) = note.text.split_once(": ").unwrap_or(("refused", note.text.as_str()));
        let (severity, overreach, deception) = match word {
            "forged" | "unknown-signer" | "weakened" | "replayed" | "revoked" => (Severity::High, 2, 2),
            "expired" | "not-yet-valid" | "unreadable" | "no-home" => (Severity::Low, 1, 0),
            _ => (Severity::Medium, 1, 1),
        };
        // The hint is for who brought it.
        let (id, why) = (id.clone(), why.split("\nhint:").next().unwrap_or_default().to_owned());
        let named = if note.id.is_empty() { String::new() } else { format!(" {}", short(&note.id)) };
        let root = agent.state.root;
        self.raise(Finding {
            id: finding_id(Code::MandateRefused, &id, &format!("{} {}", note.id, note.text)),
            code: Code::MandateRefused,
            severity,
            stage: Stage::Initiate,
            overreach,
            deception,
            agent: id,
            time_ns: note.time_ns,
            summary: format!("its mandate{named} was refused: {}", shorten(&why)),
            explanation: "An agent was to be started under a mandate that does not hold, and was not. It would be refuted by a \
                mistake in a file that a person was about to sign: `muster mandate check FILE` says what is wrong with it."
                .to_owned(),
            evidence: vec![event_evidence(0, root)],
        });
        self.publish(true);
    }

    /// The chain that this agent acts under now, or why it acts under none any more. `None`: it has no signed mandate. For
    /// whoever decides beside the engine: it changes nothing here.
    pub fn chain_for(&self, id: &str) -> Option<Result<Chain, Refused>> {
        let (wanted, binding) = self.bound(id)?;
        Some(self.mandates.register.chain(&wanted.0, &binding))
    }

    /// The chain that this agent acts under, if it has one.
    pub(crate) fn chain_of(&mut self, id: &str) -> Option<Arc<Chain>> {
        let (wanted, binding) = self.bound(id)?;
        let agent = self.agents.get(id)?;
        if agent.authority.made_for.as_ref() == Some(&wanted) {
            return agent.authority.chain.clone();
        }
        let (own, root) = (agent.authority.own, agent.state.root);
        let made = self.mandates.register.chain(&wanted.0, &binding);
        let (chain, refused) = match made {
            Ok(chain) => (Some(Arc::new(chain)), None),
            Err(refused) => (None, Some(refused)),
        };
        if let Some(agent) = self.agents.get_mut(id) {
            agent.authority.chain.clone_from(&chain);
            agent.authority.made_for = Some(wanted);
        }
        match refused {
            Some(refused @ Refused::WrongAgent(_)) if own => self.wrong_agent(id, root, &refused),
            Some(Refused::Revoked(why)) => self.ended_mandate(id, &format!("was revoked ({why})"), false),
            _ => {}
        }
        chain
    }

    /// Its mandate, product and home, and what binds the mandate to it.
    fn bound(&self, id: &str) -> Option<(MadeFor, Binding)> {
        let agent = self.agents.get(id)?;
        let mandate = agent.state.mandate.clone()?;
        self.mandates.register.get(&mandate)?;
        let root = self.processes.get(agent.state.root);
        let home = agent
            .home
            .clone()
            .or_else(|| root.and_then(|root| root.env.get("HOME").cloned()))
            .or_else(|| (agent.state.uid == 0).then(|| "/root".to_owned()));
        let product = if agent.state.product == "unknown" { "" } else { agent.state.product.as_str() };
        let wanted = (mandate, product.to_owned(), home);
        let install = root.map(|root| install_folders(&root.path, root.script.as_deref(), &agent.state.cwd));
        let binding = Binding {
            product: wanted.1.clone(),
            home: wanted.2.clone(),
            install: agent.authority.install.iter().cloned().chain(install.unwrap_or_default()).collect(),
            inherits: !agent.authority.own,
        };
        Some((wanted, binding))
    }

    /// A process of it runs a program of its product: what lies beside that is the product's own.
    pub(crate) fn note_program(&mut self, key: ProcessKey) {
        let Some(process) = self.processes.get(key) else { return };
        let Some(id) = process.member.as_ref().map(|member| member.agent.clone()) else { return };
        let (path, script) = (process.path.clone(), process.script.clone());
        let Some(agent) = self.agents.get_mut(&id) else { return };
        for folder in install_folders(&path, script.as_deref(), &agent.state.cwd) {
            let held = &mut agent.authority;
            if held.install.len() < INSTALL_MAX && held.install.insert(folder) {
                held.made_for = None;
            }
        }
    }

    fn wrong_agent(&mut self, id: &str, root: ProcessKey, refused: &Refused) {
        self.raise(Finding {
            id: finding_id(Code::MandateRefused, id, refused.word()),
            code: Code::MandateRefused,
            severity: Severity::Medium,
            stage: Stage::Initiate,
            overreach: 1,
            deception: 1,
            agent: id.to_owned(),
            time_ns: self.time_ns,
            summary: format!("runs under a mandate that {}", shorten(&refused.to_string().replacen("it ", "", 1))),
            explanation: "The mandate names the products that may run under it, and this agent is another. It would be \
                refuted if Muster took the program for what it is not."
                .to_owned(),
            evidence: vec![event_evidence(0, root)],
        });
    }

    /// Each event of a lineage.
    pub(crate) fn note_authority(&mut self, event: &Event) {
        let Some(id) = self.agent_of(event.process) else { return };
        self.note_mandate_files(event, &id);
        if let Kind::Dns { name, .. } | Kind::Tls { name, .. } = &event.kind
            && let Some(agent) = self.agents.get_mut(&id)
            && agent.authority.names.len() < NAMES_MAX
        {
            agent.authority.names.insert(name.to_ascii_lowercase());
        }
        if let Kind::Connect { address: Address::Unix { path }, .. } = &event.kind
            && (path.contains("/nscd/") || path.contains("systemd/resolve"))
            && let Some(agent) = self.agents.get_mut(&id)
        {
            agent.authority.resolver = true;
        }
        if let Kind::Namespace { result, .. } = &event.kind
            && *result >= 0
            && let Some(agent) = self.agents.get_mut(&id)
        {
            agent.authority.apart = true;
        }
        let actions = actions_of(event);
        if actions.is_empty() {
            return;
        }
        let Some(chain) = self.chain_of(&id) else { return };
        for action in actions {
            self.judge(
                &id,
                &chain,
                action,
                event.process,
                event_evidence(event.seq, event.process),
                event.time_ns,
            );
        }
    }

    /// A tool call of its account.
    pub(crate) fn note_tool(
        &mut self,
        id: &str,
        tool: &str,
        arguments: &str,
        evidence: Evidence,
        own_ns: Nanos,
    ) {
        let Some(chain) = self.chain_of(id) else { return };
        let Some(root) = self.agents.get(id).map(|agent| agent.state.root) else { return };
        let action = Action::Tool { name: tool.to_owned(), arguments: arguments.to_owned() };
        self.judge(id, &chain, action, root, evidence, own_ns);
    }

    fn judge(
        &mut self,
        id: &str,
        chain: &Chain,
        action: Action,
        process: ProcessKey,
        evidence: Evidence,
        own_ns: Nanos,
    ) {
        let decision = chain.decide(&action, self.timeline.wall(own_ns));
        if decision.verdict == Verdict::Allow || decision.rule == "path" {
            return;
        }
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.authority.pending.push_back(Pending { own_ns, process, evidence, action, decision });
        if agent.authority.pending.len() > PENDING_MAX
            && let Some(oldest) = agent.authority.pending.pop_front()
        {
            self.count_beyond(id, oldest);
        }
    }

    /// A person was asked, and allowed it.
    pub(crate) fn on_approval(&mut self, note: &ApprovalNote) {
        self.time_ns = self.time_ns.max(note.time_ns);
        let Some(agent) = self.agents.get_mut(&note.agent) else { return };
        let held = &mut agent.authority;
        if note.state != ApprovalState::Answered(Verdict::Allow) || held.approved.len() >= DISTINCT_MAX {
            return;
        }
        held.approved.insert(words(&note.action));
        let scope = Scope::of(&note.action);
        if let Some(pattern) = note.pattern.as_ref().and_then(|text| Pattern::new(scope, text, false).ok())
            && held.approved_patterns.len() < APPROVED_MAX
        {
            held.approved_patterns.push((scope, pattern));
        }
    }

    /// Is the act the product's own business, or one that a name explains?
    fn is_explained(&self, id: &str, pending: &Pending) -> bool {
        let Some(agent) = self.agents.get(id) else { return true };
        let held = &agent.authority;
        if held.apart && matches!(pending.action, Action::Privileged { operation: Operation::Mount, .. }) {
            return true;
        }
        if pending.decision.verdict == Verdict::Ask && held.is_approved(&pending.action) {
            return true;
        }
        if let Some(process) = self.processes.get(pending.process) {
            match process.member.as_ref().map(|member| member.role) {
                // Its own program's idle writes, once the mandate is over, are no act of the model.
                Some(Role::Harness)
                    if matches!(pending.action, Action::Execute { .. } | Action::Privileged { .. })
                        || is_late(&pending.decision) =>
                {
                    return true;
                }
                Some(Role::Action(index)) => {
                    let action = agent.actions.get(&index);
                    if action.is_some_and(|action| action.helper.is_some() && !action.uncovered) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        let Action::Connect { host: None, address: Some(address), port, protocol } = &pending.action else {
            return false;
        };
        if *protocol == Protocol::Unix {
            return false;
        }
        let Some(chain) = &held.chain else { return true };
        // Which of the names that it asked for this address is the answer to, the record does not say.
        held.names.len() >= NAMES_MAX
            || held.resolver
            || held.names.iter().any(|name| {
                let named = Action::Connect {
                    host: Some(name.clone()),
                    address: Some(*address),
                    port: *port,
                    protocol: *protocol,
                };
                chain.decide(&named, self.timeline.wall(pending.own_ns)).verdict == Verdict::Allow
            })
    }

    fn count_beyond(&mut self, id: &str, mut pending: Pending) {
        // Since then it may be known what product it is, or the mandate was renewed.
        if let Some(chain) = self.chain_of(id) {
            pending.decision = chain.decide(&pending.action, self.timeline.wall(pending.own_ns));
        }
        if pending.decision.verdict == Verdict::Allow {
            return;
        }
        if self.is_explained(id, &pending) {
            return;
        }
        let kind =
            if is_late(&pending.decision) { Beyond::Late } else { Beyond::Scope(Scope::of(&pending.action)) };
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.authority.beyond.entry(kind).or_default().add(
            &pending.action,
            &pending.decision,
            Some(pending.evidence),
            pending.own_ns,
            false,
        );
    }

    /// The gate decided: what it stopped is an attempt, what it only saw is an act.
    pub(crate) fn on_gate(&mut self, note: &GateNote) {
        self.time_ns = self.time_ns.max(note.time_ns);
        if note.decision.verdict == Verdict::Allow
            || note.decision.rule == "no mandate"
            || note.approval.is_some()
        {
            return;
        }
        let evidence = note.process.map(|process| event_evidence(0, process));
        let kind =
            if is_late(&note.decision) { Beyond::Late } else { Beyond::Scope(Scope::of(&note.action)) };
        let Some(agent) = self.agents.get_mut(&note.agent) else { return };
        let entry = agent.authority.beyond.entry(kind).or_default();
        entry.add(&note.action, &note.decision, evidence, note.time_ns, note.blocked);
    }

    pub(crate) fn check_authority(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get_mut(id) else { return };
        let mut due = Vec::new();
        while agent
            .authority
            .pending
            .front()
            .is_some_and(|pending| now.saturating_sub(pending.own_ns) >= SETTLE_NS)
        {
            due.extend(agent.authority.pending.pop_front());
        }
        for pending in due {
            self.count_beyond(id, pending);
        }
        self.tell_beyond(id);
        let Some(chain) = self.chain_of(id) else { return };
        self.check_started(id);
        self.check_time(id, &chain);
        self.check_limits(id, &chain);
        self.check_oversight(id, &chain);
    }

    /// Another agent was started from within this one's lineage: may it?
    fn check_started(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get_mut(id) else { return };
        let Some(parent) = agent.state.parent.clone() else { return };
        let settled = now.saturating_sub(agent.state.started_ns) > SETTLE_NS;
        if agent.authority.agent_decided || agent.state.product == "unknown" || !settled {
            return;
        }
        agent.authority.agent_decided = true;
        let action = Action::Agent { product: agent.state.product.clone() };
        let root = agent.state.root;
        if let Some(chain) = self.chain_of(&parent) {
            self.judge(&parent, &chain, action, root, event_evidence(0, root), now);
        }
    }

    fn check_time(&mut self, id: &str, chain: &Chain) {
        let now = self.time_ns;
        let wall = self.timeline.wall(now);
        let Some(agent) = self.agents.get(id) else { return };
        let running = agent.state.state == State::Running && !agent.live.is_empty();
        let expired = wall >= chain.expires_ns().saturating_add(END_NS);
        if running && expired {
            let acts = agent.authority.beyond.contains_key(&Beyond::Late);
            self.ended_mandate(
                id,
                &format!("expired at {}", muster_mandate::moment_text(chain.expires_ns())),
                acts,
            );
        }
        let Some(agent) = self.agents.get(id) else { return };
        if let Some(ended_ns) = agent.root_ended_ns
            && let Some(act) = agent.actions.values().next_back()
            && act.time_ns > ended_ns.saturating_add(OUTLIVE_NS)
            && !agent.live.is_empty()
        {
            let (shown, evidence) = (shorten(&act.display), event_evidence(act.seq, act.process));
            self.raise(Finding {
                id: finding_id(Code::OutlivedTask, id, ""),
                code: Code::OutlivedTask,
                severity: Severity::Medium,
                stage: Stage::Sustain,
                overreach: 2,
                deception: 1,
                agent: id.to_owned(),
                time_ns: now,
                summary: format!("its own program ended, and what it left behind goes on to act: `{shown}`"),
                explanation: "The mandate is for one run of the agent. More than a minute after its end, processes of its \
                    lineage still started programs. It would be refuted by a service that a person wanted to stay."
                    .to_owned(),
                evidence: vec![evidence],
            });
        }
    }

    fn ended_mandate(&mut self, id: &str, how: &str, acts: bool) {
        let Some(agent) = self.agents.get(id) else { return };
        if agent.state.state != State::Running {
            return;
        }
        let root = agent.state.root;
        let (severity, overreach) = if acts { (Severity::High, 2) } else { (Severity::Medium, 1) };
        self.raise(Finding {
            id: finding_id(Code::ExpiredMandate, id, if acts { "acts" } else { "runs" }),
            code: Code::ExpiredMandate,
            severity,
            stage: Stage::Initiate,
            overreach,
            deception: 0,
            agent: id.to_owned(),
            time_ns: self.time_ns,
            summary: format!("{} though its mandate {how}", if acts { "goes on to act" } else { "still runs" }),
            explanation: "A mandate is a lease: when it ends, nobody answers for what the agent does. Renew it (`muster mandate \
                renew`), or muster the agent out. It would be refuted by a clock that was set."
                .to_owned(),
            evidence: vec![event_evidence(0, root)],
        });
    }

    fn check_limits(&mut self, id: &str, chain: &Chain) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get(id) else { return };
        let within =
            self.agents.keys().filter(|other| *other != id && self.is_within(other, id)).count() as u64;
        let until = agent.state.ended_ns.unwrap_or(now);
        let measured = [
            ("time", until.saturating_sub(agent.state.started_ns)),
            ("processes", agent.state.processes),
            ("calls", agent.state.calls),
            ("sub_agents", within),
        ];
        let root = agent.state.root;
        let mut over = Vec::new();
        for (_, mandate) in chain.mandates() {
            let limits = &mandate.limits;
            for (name, value) in measured {
                let limit = match name {
                    "time" => limits.time_ns,
                    "processes" => limits.processes,
                    "calls" => limits.calls,
                    _ => limits.sub_agents,
                };
                let Some(limit) = limit.filter(|limit| value > *limit) else { continue };
                let shown = |value: u64| match name {
                    "time" => muster_mandate::duration_words(value),
                    _ => value.to_string(),
                };
                over.push((name, shown(value), shown(limit), value >= limit.saturating_mul(2)));
            }
        }
        for (name, value, limit, far) in over {
            let severity = if far { Severity::Medium } else { Severity::Low };
            self.raise(Finding {
                id: finding_id(Code::OutsideMandate, id, &format!("limits.{name} {far}")),
                code: Code::OutsideMandate,
                severity,
                stage: Stage::Initiate,
                overreach: 1,
                deception: 0,
                agent: id.to_owned(),
                time_ns: now,
                summary: format!("uses more than its mandate's `limits.{name}`: {value} of {limit}"),
                explanation: "The mandate sets a limit, and the record shows more. It would be refuted by a renewal that was \
                    meant and not given."
                    .to_owned(),
                evidence: vec![event_evidence(0, root)],
            });
        }
    }

    fn check_oversight(&mut self, id: &str, chain: &Chain) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get(id) else { return };
        // What the model asks for: what a product does by itself is no sign of work.
        let asked = || {
            agent
                .actions
                .values()
                .filter(|action| action.asked && (action.helper.is_none() || action.uncovered))
        };
        let Some(first) = asked().next() else { return };
        let Some(last) = asked().next_back() else { return };
        let (first_ns, last_ns) = (first.time_ns, last.time_ns);
        let evidence = event_evidence(last.seq, last.process);
        let read_ns = agent.account_read_ns;
        let mut broken = Vec::new();
        for (_, mandate) in chain.mandates() {
            let terms = &mandate.oversight;
            if terms.account && read_ns.is_none() && now.saturating_sub(first_ns) > ACCOUNT_NS {
                broken.push((
                    "account",
                    "keeps no account that can be read, as its mandate requires".to_owned(),
                ));
            }
            if let (Some(silence), Some(read_ns)) = (terms.silence_ns, read_ns)
                && last_ns.saturating_sub(read_ns) > silence
            {
                let for_ns = muster_mandate::duration_words(last_ns.saturating_sub(read_ns));
                let text = format!(
                    "worked for {for_ns} without a word in its account: its mandate allows {}",
                    muster_mandate::duration_words(silence)
                );
                broken.push(("silence", text));
            }
        }
        for (what, summary) in broken {
            self.raise(Finding {
                id: finding_id(Code::OversightBroken, id, what),
                code: Code::OversightBroken,
                severity: Severity::High,
                stage: Stage::Conceal,
                overreach: 1,
                deception: 2,
                agent: id.to_owned(),
                time_ns: now,
                summary,
                explanation: "The mandate was given on terms of oversight (`[oversight]`), and these do not hold: what the agent \
                    does cannot be held against what it says. It would be refuted by an account in a place that Muster does \
                    not know."
                    .to_owned(),
                evidence: vec![evidence.clone()],
            });
        }
    }

    /// A mandate's file, its signature, or what is beside it.
    fn note_mandate_files(&mut self, event: &Event, id: &str) {
        if self.mandates.files.is_empty() {
            return;
        }
        for path in changed_paths(&event.kind) {
            let known = self.mandates.files.contains_key(path)
                || path.strip_suffix(".sig").is_some_and(|path| self.mandates.files.contains_key(path));
            if !known {
                continue;
            }
            self.raise(Finding {
                id: finding_id(Code::MandateTouched, id, path),
                code: Code::MandateTouched,
                severity: Severity::High,
                stage: Stage::Conceal,
                overreach: 2,
                deception: 2,
                agent: id.to_owned(),
                time_ns: event.time_ns,
                summary: format!("changed a file of a mandate: `{}`", shorten(path)),
                explanation: "An agent's authority is what a person signed. The lineage wrote, moved or removed the file that it \
                    stands in; what was accepted stays as it was. It would be refuted if a person had asked for a new mandate \
                    to be drafted in this file."
                    .to_owned(),
                evidence: vec![event_evidence(event.seq, event.process)],
            });
        }
    }

    fn tell_beyond(&mut self, id: &str) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let mut told = Vec::new();
        for (kind, overreach) in &mut agent.authority.beyond {
            let count = overreach.count();
            let step = STEPS.into_iter().rfind(|step| count >= *step).unwrap_or(0);
            // What was stopped and then done is told again, and what a line refuses by name.
            let key = step * 4 + usize::from(overreach.refused) * 2 + usize::from(overreach.done > 0);
            if *kind == Beyond::Late || key <= overreach.told || step == 0 {
                continue;
            }
            overreach.told = key;
            if let Beyond::Scope(scope) = kind {
                told.push(overreach.finding(id, *scope, step));
            }
        }
        for finding in told {
            self.raise(finding);
        }
    }
}

impl Held {
    fn is_approved(&self, action: &Action) -> bool {
        let scope = Scope::of(action);
        self.approved.contains(&words(action))
            || Subject::new(action).is_some_and(|subject| {
                let mut patterns = self.approved_patterns.iter().filter(|(of, _)| *of == scope);
                patterns.any(|(_, pattern)| pattern.matches(&subject, false))
            })
    }
}

fn is_late(decision: &Decision) -> bool {
    matches!(decision.rule.as_str(), "expired" | "not_before")
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
