//! Holds what an agent does against the mandate that it runs under: its lines, its time, its limits, its oversight terms.
//!
//! What is refused waits a moment before it counts: only then is it known whether the product did it for itself, and which
//! name an address was reached by. One finding for an agent and a kind of overreach, with a count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use muster_event::{Address, Event, Kind, Nanos, ProcessKey};
use muster_mandate::{
    Action, Binding, Chain, Decision, GateNote, Kind as Scope, MandateNote, MandateState, Operation,
    Protocol, Refused, Register, Signed, Verdict,
};

use crate::engine::{Engine, event_evidence, finding_id, short_hash};
use crate::process::Role;
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage, State};

const SECOND_NS: Nanos = 1_000_000_000;
/// So long it may take until it is known what a process is, and the name behind an address.
const SETTLE_NS: Nanos = 2 * SECOND_NS;
/// Acts that wait to be judged, per agent; beyond it the oldest are judged at once.
const PENDING_MAX: usize = 1_024;
/// Names that a lineage asked for or opened TLS to, per agent; beyond it, no address is held to be unnamed.
const NAMES_MAX: usize = 1_024;
/// Different things beyond the mandate that are counted, per agent and kind.
const DISTINCT_MAX: usize = 4_096;
/// Told by name in a finding.
const EXAMPLES_MAX: usize = 3;
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

/// What one agent runs under.
#[derive(Default)]
pub(crate) struct Held {
    /// The mandate was given to this agent itself: it does not act under its parent's.
    own: bool,
    chain: Option<Arc<Chain>>,
    /// What the chain was made for.
    made_for: Option<(String, String, Option<String>)>,
    pending: VecDeque<Pending>,
    names: BTreeSet<String>,
    /// It asks a service for names: the record does not show which.
    resolver: bool,
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

#[derive(Default)]
struct Overreach {
    distinct: BTreeSet<String>,
    more: usize,
    examples: Vec<String>,
    evidence: Vec<Evidence>,
    /// A line refuses it by name, or a person was to be asked.
    refused: bool,
    asks: bool,
    /// Some of it was done, and some was stopped.
    done: usize,
    stopped: usize,
    rule: String,
    reason: String,
    first_ns: Nanos,
    told: usize,
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
        let (id, why) = (id.clone(), why.to_owned());
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
            summary: format!("its mandate {} was refused: {}", short(&note.id), shorten(&why)),
            explanation: "An agent was to be started under a mandate that does not hold, and was not. It would be refuted by a \
                mistake in a file that a person was about to sign: `muster mandate check FILE` says what is wrong with it."
                .to_owned(),
            evidence: vec![event_evidence(0, root)],
        });
        self.publish(true);
    }

    /// The chain that this agent acts under, if it has one.
    pub fn chain_of(&mut self, id: &str) -> Option<Arc<Chain>> {
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
        if agent.authority.made_for.as_ref() == Some(&wanted) {
            return agent.authority.chain.clone();
        }
        let install = root.map(|root| install_folders(&root.path, root.script.as_deref(), &agent.state.cwd));
        let binding = Binding {
            product: wanted.1.clone(),
            home: wanted.2.clone(),
            install: install.unwrap_or_default(),
            inherits: !agent.authority.own,
        };
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

    /// Is the act the product's own business, or one that a name explains?
    fn is_explained(&self, id: &str, pending: &Pending) -> bool {
        let Some(agent) = self.agents.get(id) else { return true };
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
        let held = &agent.authority;
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

    fn count_beyond(&mut self, id: &str, pending: Pending) {
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
            // What was stopped and then done is told again.
            let key = step * 2 + usize::from(overreach.done > 0);
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

impl Overreach {
    fn add(
        &mut self,
        action: &Action,
        decision: &Decision,
        evidence: Option<Evidence>,
        own_ns: Nanos,
        stopped: bool,
    ) {
        let shown = words(action);
        let key = short_hash(&[&shown, if stopped { "stopped" } else { "" }]);
        if self.distinct.len() >= DISTINCT_MAX {
            self.more += 1;
        } else if !self.distinct.insert(key) {
            return;
        }
        if self.examples.is_empty() {
            self.first_ns = own_ns;
            self.rule.clone_from(&decision.rule);
            self.reason.clone_from(&decision.reason);
        }
        if self.examples.len() < EXAMPLES_MAX && !self.examples.contains(&shown) {
            self.examples.push(shown);
            self.evidence.extend(evidence);
        }
        self.refused |= decision.rule.starts_with("scope.deny") || decision.rule.starts_with("policy");
        self.asks |= decision.verdict == Verdict::Ask;
        if stopped {
            self.stopped += 1;
        } else {
            self.done += 1;
        }
    }

    fn count(&self) -> usize {
        self.distinct.len() + self.more
    }

    fn finding(&self, id: &str, scope: Scope, step: usize) -> Finding {
        let grave = self.refused || matches!(scope, Scope::Credential | Scope::Privileged);
        let (severity, overreach) = match (self.done, grave) {
            (0, _) => (Severity::Low, 1),
            (_, true) => (Severity::High, 2),
            (_, false) => (Severity::Medium, 1),
        };
        let examples: Vec<String> =
            self.examples.iter().map(|example| format!("`{}`", shorten(example))).collect();
        let more = match self.count().saturating_sub(self.examples.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let did = match (self.done, self.stopped) {
            (0, _) => format!("tried to {} outside its mandate, and was stopped", verb(scope)),
            (_, 0) if self.asks && !self.refused => {
                format!("did not wait for a person's word to {}", verb(scope))
            }
            (_, 0) => format!("went outside its mandate to {}", verb(scope)),
            (done, stopped) => {
                format!("went outside its mandate to {} ({done} done, {stopped} stopped)", verb(scope))
            }
        };
        let held = if self.done > 0 { "done" } else { "" };
        Finding {
            id: finding_id(Code::OutsideMandate, id, &format!("{} {step} {held}", scope.name())),
            code: Code::OutsideMandate,
            severity,
            stage: Stage::Initiate,
            overreach,
            deception: 0,
            agent: id.to_owned(),
            time_ns: self.first_ns,
            summary: format!("{did}: {}{more}", examples.join(", ")),
            explanation: format!(
                "`{}` decides it: {}. What the product does for itself is not counted. It would be refuted if a person had \
                 allowed it in words: then a line that says so belongs into the mandate (`muster mandate suggest`).",
                self.rule, self.reason
            ),
            evidence: self.evidence.clone(),
        }
    }
}

fn is_late(decision: &Decision) -> bool {
    matches!(decision.rule.as_str(), "expired" | "not_before")
}

fn verb(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Execute => "run programs",
        Scope::Connect => "connect",
        Scope::Credential => "read credentials",
        Scope::Tool => "use tools",
        Scope::Agent => "start agents",
        Scope::Privileged => "use privileged operations",
    }
}

/// What is shown of an action, and by what two are one.
fn words(action: &Action) -> String {
    match action {
        Action::Read { path } | Action::Write { path } | Action::Execute { path, .. } => path.clone(),
        Action::Connect { host, address, port, .. } => {
            let host = host.clone().or_else(|| address.map(|it| it.to_string())).unwrap_or_default();
            port.map_or(host.clone(), |port| format!("{host}:{port}"))
        }
        Action::Credential { what, path } => {
            path.as_ref().map_or(what.clone(), |path| format!("{what}: {path}"))
        }
        Action::Tool { name, .. } => name.clone(),
        Action::Agent { product } => product.clone(),
        Action::Privileged { operation, detail } => {
            format!("{} {detail}", muster_mandate::operation_name(*operation)).trim_end().to_owned()
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Paths that this act changed.
fn changed_paths(kind: &Kind) -> Vec<&str> {
    match kind {
        Kind::Open { path, access, result } if access.write && *result >= 0 => vec![path],
        Kind::Rename { from, to, result } if *result >= 0 => vec![from, to],
        Kind::Link { to: path, result, .. }
        | Kind::Symlink { path, result, .. }
        | Kind::Unlink { path, result, .. }
        | Kind::Mkdir { path, result }
        | Kind::Truncate { path, result, .. }
        | Kind::Chmod { path, result, .. }
        | Kind::Chown { path, result, .. }
            if *result >= 0 =>
        {
            vec![path]
        }
        Kind::IoUring { path: Some(path), operation, flags }
            if operation.starts_with("open") && flags & 0o3 != 0 =>
        {
            vec![path]
        }
        _ => Vec::new(),
    }
}

/// What the event is in the words of mandates. `muster mandate suggest` goes by the same.
pub fn actions_of(event: &Event) -> Vec<Action> {
    let privileged = |operation, detail: String| vec![Action::Privileged { operation, detail }];
    match &event.kind {
        // Of files that are only read, the sensor tells of those that may hold secrets.
        Kind::Open { path, access, result } if !access.write && *result >= 0 && is_file(path) => {
            let mut actions = vec![Action::Read { path: path.clone() }];
            if let Some(what) = credential(path) {
                actions.push(Action::Credential { what: what.to_owned(), path: Some(path.clone()) });
            }
            actions
        }
        Kind::Exec { path, script, argv, anonymous: false, .. } => {
            let files = std::iter::once(path).chain(script.as_ref());
            files.map(|path| Action::Execute { path: path.clone(), argv: argv.clone() }).collect()
        }
        // -EINPROGRESS: the usual answer to a connection that does not wait. Port 0 only asks which way it would go.
        Kind::Connect { address: Address::Ip { ip, port }, result }
            if (*result >= 0 || *result == -115) && *port != 0 =>
        {
            vec![connect(None, Some(*ip), Some(*port))]
        }
        Kind::Send { address: Address::Ip { ip, port }, result } if *result >= 0 && *port != 0 => {
            vec![connect(None, Some(*ip), Some(*port))]
        }
        Kind::Tls { name, address: Address::Ip { ip, port } } => {
            vec![connect(Some(name.clone()), Some(*ip), Some(*port))]
        }
        Kind::Connect { address: Address::Unix { path }, result: 0 } if is_service(path) => {
            vec![Action::Connect {
                host: Some(path.clone()),
                address: None,
                port: None,
                protocol: Protocol::Unix,
            }]
        }
        Kind::Ptrace { request, target, result } if *request != 0 && *result >= 0 => {
            privileged(Operation::Ptrace, format!("of {target}"))
        }
        Kind::Bpf { result, .. } if *result >= 0 => privileged(Operation::Bpf, String::new()),
        Kind::LoadModule { name, .. } => privileged(Operation::Module, name.clone()),
        Kind::Mount { call, target, result: 0, .. } => {
            privileged(Operation::Mount, format!("{call} {target}"))
        }
        Kind::Namespace { call, result, .. } if *result >= 0 => {
            privileged(Operation::Namespace, call.clone())
        }
        kind => changed_paths(kind)
            .into_iter()
            .filter(|path| is_file(path))
            .map(|path| Action::Write { path: path.to_owned() })
            .collect(),
    }
}

/// Not a pipe, a socket or a file in memory, which have no place.
fn is_file(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("/memfd:") && !path.starts_with("/dev/shm/sem.")
}

fn connect(host: Option<String>, address: Option<std::net::IpAddr>, port: Option<u16>) -> Action {
    Action::Connect { host, address, port, protocol: Protocol::Tcp }
}

/// Sockets through which somebody else acts for the caller; those of programs with each other are nobody's business.
fn is_service(path: &str) -> bool {
    const SERVICES: [&str; 10] = [
        "docker",
        "podman",
        "containerd",
        "crio",
        "/run/systemd/private",
        "system_bus_socket",
        "/run/dbus/",
        "libvirt",
        "ssh-agent",
        "/ssh-",
    ];
    SERVICES.iter().any(|service| path.contains(service))
}

/// What kind of authority elsewhere this file holds.
pub fn credential(path: &str) -> Option<&'static str> {
    const PLACES: [(&str, &str); 17] = [
        ("/.ssh/id_", "ssh"),
        ("/etc/ssh/ssh_host_", "ssh"),
        ("/.aws/credentials", "aws"),
        ("/.azure/", "azure"),
        ("/.config/gcloud/", "gcp"),
        ("/.kube/config", "kubernetes"),
        ("/serviceaccount/token", "kubernetes"),
        ("/.docker/config.json", "docker"),
        ("/.git-credentials", "git"),
        ("/.config/gh/hosts.yml", "git"),
        ("/.netrc", "netrc"),
        ("/.gnupg/", "gnupg"),
        ("/keyrings/", "keyring"),
        ("/Login Data", "browser"),
        ("/logins.json", "browser"),
        ("/wallet.dat", "wallet"),
        ("/keystore/", "wallet"),
    ];
    if path.ends_with(".pub") {
        return None;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == ".env" || name.starts_with(".env.") && !name.ends_with(".example") {
        return Some("env-file");
    }
    PLACES.iter().find(|(place, _)| path.contains(place)).map(|(_, what)| *what)
}

/// The folders of the program of a product: its package, or where its executable lies, unless that is a folder of others.
pub fn install_folders(path: &str, script: Option<&str>, cwd: &str) -> Vec<String> {
    const OF_ALL: [&str; 9] = [
        "/usr/bin",
        "/bin",
        "/usr/local/bin",
        "/usr/sbin",
        "/sbin",
        "/usr/local/sbin",
        "/opt",
        "/tmp",
        "/root",
    ];
    let folder = |path: &str| {
        let (before, inside) = match path.rfind("/node_modules/") {
            Some(at) => path.split_at_checked(at + "/node_modules/".len())?,
            None => {
                let folder = path.rsplit_once('/')?.0;
                let depth = folder.matches('/').count();
                let own =
                    depth >= 2 && !OF_ALL.contains(&folder) && folder != cwd && !folder.ends_with("/bin");
                // `…/x/bin/x` is `x`'s.
                let up = folder
                    .strip_suffix("/bin")
                    .filter(|up| up.matches('/').count() >= 2 && !OF_ALL.contains(up));
                let home = up.is_some_and(|up| up.ends_with("/.local"));
                return if own { Some(folder.to_owned()) } else { up.filter(|_| !home).map(str::to_owned) };
            }
        };
        let words = if inside.starts_with('@') { 2 } else { 1 };
        Some(format!("{before}{}", inside.split('/').take(words).collect::<Vec<_>>().join("/")))
    };
    let mut folders: Vec<String> = [Some(path), script].into_iter().flatten().filter_map(folder).collect();
    folders.sort();
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_product_lies() {
        for (path, script, expected) in [
            (
                "/usr/bin/node",
                Some("/usr/lib/node_modules/@openai/codex/bin/codex.js"),
                vec!["/usr/lib/node_modules/@openai/codex"],
            ),
            (
                "/usr/bin/node",
                Some("/a/node_modules/x/node_modules/y/c.js"),
                vec!["/a/node_modules/x/node_modules/y"],
            ),
            ("/root/.local/share/claude/versions/2.1", None, vec!["/root/.local/share/claude/versions"]),
            ("/usr/local/bin/claude", None, vec![]),
            ("/root/.local/bin/claude", None, vec![]),
            ("/opt/tools/codex/bin/codex", None, vec!["/opt/tools/codex"]),
            ("/work/run", None, vec![]),
        ] {
            assert_eq!(install_folders(path, script, "/w"), expected, "{path}");
        }
    }

    #[test]
    fn what_gives_authority_elsewhere() {
        for (path, expected) in [
            ("/root/.ssh/id_ed25519", Some("ssh")),
            ("/root/.ssh/id_ed25519.pub", None),
            ("/p/.env.production", Some("env-file")),
            ("/p/.env.example", None),
            ("/p/src/main.rs", None),
        ] {
            assert_eq!(credential(path), expected, "{path}");
        }
    }
}
