//! Joining a lineage without a fork. What connects a process with it is found elsewhere (`content.rs`, `request.rs`); what
//! follows from it is here: who joins, who is only listed, and what is counted where there is too much.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_event::{Attribution, ProcessKey};

use crate::agent::Agent;
use crate::engine::Engine;
use crate::process::{Membership, Role};
use crate::{AgentId, AgentState, Certainty, Descent, Output, State, Via};

/// Lineages that one process may belong to besides the first: more than two have not been seen.
const ALSO_MAX: usize = 7;
/// Descents told of per agent and certainty: a person reads them. What is certain joins beyond that, and is counted.
const DESCENTS_MAX: usize = 1_024;
/// Agents that ended and are forgotten, but whose files may still be run: each with its row of the roll, and at most 200 KB of
/// what was told.
const DORMANT_MAX: usize = 1_024;

/// Which descents of an agent were told.
#[derive(Default)]
pub(crate) struct Descents {
    certain: BTreeSet<(ProcessKey, String)>,
    likely: BTreeSet<String>,
}

impl Descents {
    /// `None`: it was told before, or in another process likewise. `Some(false)`: there are too many.
    fn note(&mut self, descent: &Descent) -> Option<bool> {
        let via = match &descent.via {
            Via::Artefact { path, mechanism } => format!("{mechanism} {path}"),
            Via::Request { service } => format!("asked {service}"),
            Via::Content { path } => format!("runs {path}"),
        };
        match descent.certainty {
            Certainty::Certain => {
                let edge = (descent.process, via);
                if self.certain.contains(&edge) {
                    return None;
                }
                let room = self.certain.len() < DESCENTS_MAX;
                if room {
                    self.certain.insert(edge);
                }
                Some(room)
            }
            // A file that the user runs each minute is one line.
            Certainty::Likely => {
                let via = match &descent.via {
                    Via::Request { .. } => format!("{via} {}", descent.process.pid),
                    Via::Artefact { .. } | Via::Content { .. } => via,
                };
                if self.likely.contains(&via) {
                    return None;
                }
                let room = self.likely.len() < DESCENTS_MAX;
                if room {
                    self.likely.insert(via);
                }
                Some(room)
            }
        }
    }
}

/// Agents that are forgotten but for their row: what runs a file of theirs brings them back onto the roll.
#[derive(Default)]
pub(crate) struct Dormant {
    rows: BTreeMap<AgentId, (AgentState, Descents)>,
    order: VecDeque<AgentId>,
}

impl Dormant {
    /// Gives the agent that has to go for it.
    fn keep(&mut self, state: AgentState, told: Descents) -> Option<AgentId> {
        let id = state.agent.clone();
        if self.rows.insert(id.clone(), (state, told)).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() <= DORMANT_MAX {
            return None;
        }
        let old = self.order.pop_front()?;
        self.rows.remove(&old);
        Some(old)
    }

    /// The folder that it worked in.
    pub fn cwd(&self, id: &str) -> Option<&str> {
        self.rows.get(id).map(|(state, _)| state.cwd.as_str())
    }

    fn take(&mut self, id: &str) -> Option<(AgentState, Descents)> {
        let row = self.rows.remove(id)?;
        self.order.retain(|of| of != id);
        Some(row)
    }
}

impl Engine {
    /// A process belongs to a lineage though no fork connects it, or may. Only what is certain joins.
    pub(crate) fn descend(&mut self, descent: Descent) {
        let id = descent.agent.clone();
        self.wake(&id);
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let Some(told) = agent.descents.note(&descent) else { return };
        if !told {
            agent.state.coverage.lineage_forgotten += 1;
            agent.dirty = true;
        }
        if descent.certainty == Certainty::Certain {
            let by = match &descent.via {
                Via::Artefact { .. } => Attribution::Artefact,
                Via::Request { .. } => Attribution::Request,
                Via::Content { .. } => Attribution::Content,
            };
            let key = descent.process;
            self.join_also(key, &id, by, descent.from_seq);
            // It belongs to too many already, which was counted.
            if !self.belongs(key, &id) {
                return;
            }
            // What it started before this was known.
            for child in self.processes.descendants(key) {
                if self.processes.get(child).is_some_and(|process| !process.ended) {
                    self.join_also(child, &id, by, descent.from_seq);
                }
            }
        }
        if told {
            self.out.push(Output::Descent(Box::new(descent)));
        }
    }

    /// Is the process of this lineage already, or of an agent that was started from within it?
    pub(crate) fn belongs(&self, key: ProcessKey, id: &str) -> bool {
        self.processes
            .get(key)
            .is_some_and(|process| process.memberships().any(|member| self.is_within(&member.agent, id)))
    }

    /// All lineages that a process belongs to.
    pub(crate) fn agents_of(&self, key: ProcessKey) -> Vec<AgentId> {
        self.processes
            .get(key)
            .map(|process| process.memberships().map(|member| member.agent.clone()).collect())
            .unwrap_or_default()
    }

    /// Makes a process a member of one more lineage.
    pub(crate) fn join_also(&mut self, key: ProcessKey, id: &str, by: Attribution, from_seq: u64) {
        if self.belongs(key, id) || !self.agents.contains_key(id) {
            return;
        }
        let Some(process) = self.processes.get_mut(key) else { return };
        let ended = process.ended;
        let first = process.member.is_none();
        if first {
            self.join_agent(key, id, by, Role::Member, from_seq);
        } else if process.also.len() < ALSO_MAX {
            process.also.push(Membership { agent: id.to_owned(), by, role: Role::Member });
            self.out.push(Output::Member(crate::Member { agent: id.to_owned(), process: key, from_seq, by }));
        }
        let joined = process_joined(self, key, id);
        let Some(agent) = self.agents.get_mut(id) else { return };
        if !joined {
            agent.state.coverage.lineage_forgotten += 1;
            agent.dirty = true;
            return;
        }
        if !ended {
            agent.live.insert(key);
            if agent.state.state == State::Ended {
                agent.state.state = State::Running;
                agent.state.ended_ns = None;
            }
        }
        agent.state.processes = agent.live.len() as u64;
        agent.dirty = true;
        self.out.push(Output::Follow { process: key });
        self.publish_now(id);
    }

    /// A child belongs wherever its parent does.
    pub(crate) fn inherit_also(&mut self, parent: ProcessKey, child: ProcessKey, seq: u64) {
        let Some(also) = self.processes.get(parent).map(|p| p.also.clone()).filter(|also| !also.is_empty())
        else {
            return;
        };
        for member in also {
            self.join_also(child, &member.agent, member.by, seq);
        }
    }

    /// A process of the agent ended.
    pub(crate) fn leave(&mut self, key: ProcessKey, id: &str, time_ns: muster_event::Nanos) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.live.remove(&key);
        agent.state.processes = agent.live.len() as u64;
        agent.dirty = true;
        if agent.live.is_empty() {
            agent.state.state = State::Ended;
            agent.state.ended_ns = Some(time_ns);
            agent.state.doing.clear();
            self.publish_now(id);
        }
    }

    /// Counts what is no longer remembered of a lineage: what runs it later is not tied to it.
    pub(crate) fn forgot_of(&mut self, forgotten: Vec<AgentId>) {
        for id in forgotten {
            if let Some(agent) = self.agents.get_mut(&id) {
                agent.state.coverage.lineage_forgotten += 1;
                agent.dirty = true;
            }
        }
    }

    /// The agent is forgotten, all but what its files may bring back.
    pub(crate) fn put_to_sleep(&mut self, id: &str) {
        if !self.files.any_of(id) && !self.asks.contains_key(id) && !self.artefacts.any_of(id) {
            return;
        }
        let Some(agent) = self.agents.get_mut(id) else { return };
        let told = std::mem::take(&mut agent.descents);
        let state = agent.state.clone();
        self.sleep(state, told);
    }

    /// Only its row is known, and its files.
    pub(crate) fn sleep(&mut self, state: AgentState, told: Descents) {
        if let Some(old) = self.dormant.keep(state, told) {
            self.files.forget(&old);
            self.asks.remove(&old);
        }
    }

    pub(crate) fn wake(&mut self, id: &str) {
        if self.agents.contains_key(id) {
            return;
        }
        if let Some((state, told)) = self.dormant.take(id) {
            let mut agent = Agent::new(state);
            agent.descents = told;
            agent.woken = true;
            self.agents.insert(id.to_owned(), agent);
        }
    }
}

fn process_joined(engine: &Engine, key: ProcessKey, id: &str) -> bool {
    engine.processes.get(key).is_some_and(|process| process.memberships().any(|member| member.agent == id))
}
