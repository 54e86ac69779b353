//! The state machine: one `Input` in, `Output`s out. What each input does is in the module named for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use muster_event::{Nanos, ProbeState, ProcessKey};
use muster_rules::Rules;
use sha2::{Digest, Sha256};

use crate::agent::Agent;
use crate::gap::Gaps;
use crate::process::Processes;
use crate::products::Products;
use crate::timeline::Timeline;
use crate::{AgentId, Evidence, Finding, Input, Output, Start, State};

/// How long an agent that ended is still compared with what comes late of its account, and how many such there may be: then
/// the oldest go. The roll and the record keep them.
const ENDED_NS: Nanos = 30 * 60 * 1_000_000_000;
const ENDED_MAX: usize = 512;
/// No agent goes before everything that it left behind is decided.
const ENDED_MIN_NS: Nanos = 60 * 1_000_000_000;

/// Between two ticks (a fifth of a second) so much does not pass: the machine slept, or its clock was set. What is waited
/// for (an account that is written a moment later) did not have that time, so nothing is decided until it had.
const JUMP_NS: Nanos = 20 * 1_000_000_000;
const SETTLE_NS: Nanos = 5 * 1_000_000_000;

/// Shortest time between two publications of an agent's row that only count on.
const PUBLISH_NS: Nanos = 200_000_000;

pub struct Engine {
    pub(crate) products: Products,
    pub(crate) rules: Arc<Rules>,
    pub(crate) start: Option<Start>,
    pub(crate) time_ns: Nanos,
    pub(crate) record_from_ns: Option<Nanos>,
    /// Time of the last tick, and until when nothing is decided: time jumped.
    ticked_ns: Nanos,
    settle_ns: Nanos,
    pub(crate) processes: Processes,
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    /// Enrolled cgroups.
    pub(crate) cgroups: HashMap<u64, AgentId>,
    /// Sessions that accounts or markers named.
    pub(crate) sessions: HashMap<String, AgentId>,
    pub(crate) roots: HashMap<ProcessKey, AgentId>,
    pub(crate) blind: BTreeMap<String, String>,
    /// Account files seen opened by a process of an agent.
    pub(crate) account_paths: HashMap<String, AgentId>,
    /// Processes that run an agent's own program now, for the sensor: it must follow them first.
    pub(crate) harnesses: Vec<ProcessKey>,
    /// The record is one that others kept: where it is from.
    pub(crate) recorded: Option<String>,
    pub(crate) gaps: Gaps,
    /// Which files lineages wrote; what they asked of services; agents that only their files may bring back.
    pub(crate) files: crate::content::Files,
    pub(crate) asks: crate::request::Asks,
    pub(crate) dormant: crate::lineage::Dormant,
    pub(crate) artefacts: crate::artefact::Artefacts,
    /// Files that agents of different roots write by turns.
    pub(crate) shared: crate::sustain::Shared,
    pub(crate) mandates: crate::authority::Mandates,
    pub(crate) guards: crate::guard::Guards,
    /// Decoys by path, and what they look like.
    pub(crate) canaries: BTreeMap<String, String>,
    pub(crate) timeline: Timeline,
    pub(crate) out: Vec<Output>,
}

impl Engine {
    /// With the rules that are built in.
    pub fn new(products: Products) -> Self {
        Self::with_rules(products, Rules::built_in())
    }

    pub fn with_rules(products: Products, rules: Arc<Rules>) -> Self {
        Self {
            products,
            rules,
            shared: Default::default(),
            start: None,
            time_ns: 0,
            record_from_ns: None,
            ticked_ns: 0,
            settle_ns: 0,
            processes: Processes::default(),
            agents: BTreeMap::new(),
            cgroups: HashMap::new(),
            sessions: HashMap::new(),
            roots: HashMap::new(),
            blind: BTreeMap::new(),
            account_paths: HashMap::new(),
            harnesses: Vec::new(),
            recorded: None,
            gaps: Gaps::default(),
            files: Default::default(),
            asks: Default::default(),
            dormant: Default::default(),
            artefacts: Default::default(),
            mandates: Default::default(),
            guards: Default::default(),
            canaries: Default::default(),
            timeline: Timeline::default(),
            out: Vec::new(),
        }
    }

    /// Takes one input. Outputs come in the order in which they are to be carried out.
    pub fn step(&mut self, input: Input) -> Vec<Output> {
        // Gaps are told in wall-clock time; all else goes by the engine's own.
        self.gaps_of(&input);
        match self.timeline.inward(input) {
            Input::Start(start) => self.on_start(start),
            Input::Snapshot(snapshot) => self.on_snapshot(snapshot),
            Input::Event(event) => self.on_event(event),
            Input::Lost(lost) => self.on_lost(&lost),
            Input::Probe { time_ns, state, seen_ns: _ } => self.on_probe(time_ns, state),
            Input::Identified { process, product } => self.on_identified(process, product),
            Input::Enrol(enrol) => self.on_enrol(enrol),
            Input::Account(record) => self.on_account(record),
            Input::AccountState { agent, path, time_ns, state } => {
                self.on_account_state(&agent, &path, time_ns, state)
            }
            Input::Configured { agent, source: _, commands } => {
                if let Some(agent) = self.agents.get_mut(&agent) {
                    let room = crate::agent::CONFIGURED_MAX.saturating_sub(agent.configured.len());
                    agent.configured.extend(commands.into_iter().take(room));
                }
            }
            Input::Imported(imported) => self.on_imported(imported),
            Input::Recorded { time_ns, source } => {
                self.time_ns = self.time_ns.max(time_ns);
                self.recorded = Some(source);
            }
            Input::Opinion(opinions) => self.on_opinions(opinions),
            Input::ArtefactRead(read) => self.on_artefact_read(read),
            Input::Containment(step) => self.on_containment(&step),
            Input::Mandate(note) => self.on_mandate(*note),
            Input::Gate(note) => {
                self.on_gate(&note);
                self.guard_asked(&note);
            }
            Input::Approval(note) => self.on_approval(&note),
            Input::Hooks(read) => self.on_hooks_read(*read),
            Input::Canaries(canaries) => self.on_canaries(canaries),
            Input::Remembered(it) => self.on_remembered(*it),
            Input::Review(_) => {}
            Input::Tick { time_ns, .. } => self.on_tick(time_ns),
            Input::ClockStep { time_ns, by_ns } => {
                let own_ns = self.timeline.step(time_ns, by_ns);
                self.time_ns = self.time_ns.max(own_ns);
                self.ticked_ns = self.ticked_ns.max(own_ns);
                self.settle_ns = own_ns.saturating_add(SETTLE_NS);
            }
            Input::Stop { time_ns } => {
                self.on_tick(time_ns);
                self.publish(true);
            }
        }
        let harnesses = std::mem::take(&mut self.harnesses);
        self.out.extend(harnesses.into_iter().map(|process| Output::Harness { process }));
        let mut out = std::mem::take(&mut self.out);
        self.timeline.outward(&mut out);
        out
    }

    /// The agent that an imported account is of.
    pub fn imported_agent(&self, product: &str, path: &str, session: Option<&str>) -> AgentId {
        format!("{product}-{}", short_hash(&["imported", product, session.unwrap_or(path)]))
    }

    /// The agent whose first process this is.
    pub fn agent_of_root(&self, process: ProcessKey) -> Option<&str> {
        self.roots.get(&process).map(String::as_str)
    }

    /// The agent that this process belongs to, and whether that one is mandated.
    pub fn agent_of_process(&self, process: ProcessKey) -> Option<(&str, bool)> {
        let member = self.processes.get(process)?.member.as_ref()?;
        let agent = self.agents.get(&member.agent)?;
        Some((agent.state.agent.as_str(), agent.state.mandate.is_some()))
    }

    /// The agent, and those that were started from within it.
    pub fn agents_within(&self, agent: &str) -> Vec<AgentId> {
        self.agents.keys().filter(|id| self.is_within(id, agent)).cloned().collect()
    }

    /// Agents that run.
    pub fn running(&self) -> Vec<AgentId> {
        let runs = |agent: &&Agent| agent.state.state == State::Running;
        self.agents.values().filter(runs).map(|agent| agent.state.agent.clone()).collect()
    }

    /// The agent's row, as of now.
    pub fn agent_state(&self, id: &str) -> Option<&crate::AgentState> {
        self.agents.get(id).map(|agent| &agent.state)
    }

    /// The processes of these agents that live.
    pub fn live_processes(&self, agents: &[AgentId]) -> Vec<ProcessKey> {
        let live = agents.iter().filter_map(|id| self.agents.get(id)).flat_map(|agent| &agent.live);
        live.copied().collect()
    }

    /// Is this process part of what the model asked for: no program of the product's, and no hook or helper of it?
    pub fn acts_for_model(&self, process: ProcessKey) -> bool {
        let Some(member) = self.processes.get(process).and_then(|p| p.member.as_ref()) else { return false };
        let crate::process::Role::Action(index) = member.role else { return false };
        let action = self.agents.get(&member.agent).and_then(|agent| agent.actions.get(&index));
        action.is_none_or(|action| action.helper.is_none() || action.uncovered)
    }

    /// The roll says how far an agent was mustered out.
    fn on_containment(&mut self, step: &crate::Containment) {
        self.time_ns = self.time_ns.max(step.time_ns);
        let Some(agent) = self.agents.get_mut(&step.agent) else { return };
        agent.state.containment = match (step.step.as_str(), step.state.as_str()) {
            ("thaw", "done") => None,
            (name, "done") => Some(format!("{name} ({})", step.id)),
            _ => return,
        };
        self.publish_now(&step.agent);
    }

    fn on_start(&mut self, start: Start) {
        self.time_ns = start.time_ns;
        self.recorded = None;
        self.record_from_ns = start.kernel_record.then_some(start.time_ns);
        let started = start.clone();
        self.start = Some(start);
        self.timeline = Timeline::default();
        self.gap_before_start(&started);
    }

    fn on_lost(&mut self, lost: &muster_event::Lost) {
        for agent in self.agents.values_mut() {
            if agent.state.state == State::Running || agent.state.last_ns >= lost.from_ns {
                // The kernel's counters are read after a fork bomb too: they may be anything.
                agent.state.coverage.lost = agent.state.coverage.lost.saturating_add(lost.count);
                agent.dirty = true;
            }
        }
    }

    fn on_probe(&mut self, time_ns: Nanos, state: ProbeState) {
        self.time_ns = self.time_ns.max(time_ns);
        match &state.error {
            Some(error) => self.blind.insert(state.probe.clone(), error.clone()),
            None => self.blind.remove(&state.probe),
        };
        if state.error.is_some() {
            for agent in self.agents.values_mut().filter(|a| a.state.state == State::Running) {
                if !agent.state.coverage.blind.contains(&state.probe) {
                    agent.state.coverage.blind.push(state.probe.clone());
                    agent.state.coverage.blind.sort();
                    agent.dirty = true;
                }
            }
        }
    }

    pub(crate) fn on_tick(&mut self, time_ns: Nanos) {
        self.time_ns = self.time_ns.max(time_ns);
        if self.ticked_ns != 0 && time_ns.saturating_sub(self.ticked_ns) > JUMP_NS {
            self.settle_ns = time_ns.saturating_add(SETTLE_NS);
        }
        self.ticked_ns = time_ns;
        if time_ns >= self.settle_ns {
            let ids: Vec<AgentId> = self.agents.keys().cloned().collect();
            for id in ids {
                // Of an agent that was forgotten only its row came back.
                if self.agents.get(&id).is_some_and(|agent| agent.woken) {
                    continue;
                }
                // A write may be told of later than the account has it.
                self.match_writes(&id);
                self.reconcile(&id);
                self.check_survivors(&id);
                self.check_results(&id);
                self.check_account(&id);
                self.decide_claims(&id);
                self.check_chain(&id);
                self.check_orphans(&id);
                self.check_silence(&id);
                self.check_imitations(&id);
                self.check_denials(&id);
                self.check_omissions(&id);
                self.check_successors(&id);
                self.check_authority(&id);
                self.check_hooks(&id);
                self.check_asked_models(&id);
            }
        }
        self.forget_asks();
        self.settle_artefacts();
        self.publish(false);
        self.forget_ended();
    }

    fn forget_ended(&mut self) {
        let mut ended: Vec<(Nanos, &AgentId)> = self
            .agents
            .values()
            .filter(|agent| !agent.imported)
            .filter_map(|agent| Some((agent.state.ended_ns?.max(agent.state.last_ns), &agent.state.agent)))
            .collect();
        ended.sort_unstable();
        let too_many = ended.len().saturating_sub(ENDED_MAX);
        let age = |at: Nanos| self.time_ns.saturating_sub(at);
        let old: Vec<AgentId> = ended
            .iter()
            .enumerate()
            .filter(|(at, (ns, _))| age(*ns) > ENDED_NS || *at < too_many && age(*ns) > ENDED_MIN_NS)
            .map(|(_, (_, id))| (*id).clone())
            .collect();
        for id in old {
            self.publish_now(&id);
            self.put_to_sleep(&id);
            self.forget_gaps_of(&id);
            self.artefacts.agent_forgotten(&id);
            self.guards.agent_forgotten(&id);
            self.agents.remove(&id);
            self.cgroups.retain(|_, of| *of != id);
            self.sessions.retain(|_, of| *of != id);
            self.roots.retain(|_, of| *of != id);
            self.account_paths.retain(|_, of| *of != id);
            self.out.push(Output::Forget { agent: id });
        }
    }

    /// Sends the rows that changed.
    pub(crate) fn publish(&mut self, all: bool) {
        for agent in self.agents.values_mut() {
            if agent.dirty && (all || self.time_ns.saturating_sub(agent.published_ns) >= PUBLISH_NS) {
                agent.dirty = false;
                agent.published_ns = self.time_ns;
                self.out.push(Output::Agent(Box::new(agent.state.clone())));
            }
        }
    }

    /// Sends one agent's row now.
    pub(crate) fn publish_now(&mut self, id: &str) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.dirty = false;
            agent.published_ns = self.time_ns;
            self.out.push(Output::Agent(Box::new(agent.state.clone())));
        }
    }

    pub(crate) fn raise(&mut self, finding: Finding) {
        let Some(agent) = self.agents.get_mut(&finding.agent) else { return };
        let id = finding.agent.clone();
        if let Some(finding) = agent.raise(finding) {
            self.out.push(Output::Finding(Box::new(finding)));
            self.publish_now(&id);
        }
    }

    pub(crate) fn agent_id(&self, product: &str, root: ProcessKey) -> AgentId {
        let boot = self.start.as_ref().map_or("", |s| s.boot_id.as_str());
        let host = self.start.as_ref().map_or("", |s| s.host.as_str());
        format!("{product}-{}", short_hash(&[host, boot, &root.pid.to_string(), &root.start_ns.to_string()]))
    }
}

/// Id of a finding: the same agent, code and subject give the same id, on every replay.
pub(crate) fn finding_id(code: crate::Code, agent: &str, subject: &str) -> String {
    format!("f-{}", short_hash(&[code.name(), agent, subject]))
}

/// Ten characters of Crockford's base 32 (50 bits) over SHA-256 of the parts.
pub(crate) fn short_hash(parts: &[&str]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let bytes = hash.finalize();
    let mut bits = bytes.iter().take(8).fold(0u64, |acc, b| (acc << 8) | u64::from(*b));
    (0..10)
        .map(|_| {
            let digit = (bits & 31) as usize;
            bits >>= 5;
            char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
        })
        .collect()
}

pub(crate) fn event_evidence(seq: u64, process: ProcessKey) -> Evidence {
    if seq == 0 {
        Evidence::Process { pid: process.pid, start_ns: process.start_ns }
    } else {
        Evidence::Event { seq }
    }
}
