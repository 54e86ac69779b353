//! Which process belongs to which agent, and which mandates an agent has: told by the daemon's loop, read by the gate, so that
//! neither waits for the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use muster_engine::{AgentState, State};
use muster_event::{Nanos, ProcessKey};
use muster_mandate::{Action, Chain, Decision, Verdict};

/// Agents above one another that are gone through: a sub-agent of a sub-agent is rare.
const DEPTH_MAX: usize = 32;
/// Processes that are remembered: the engine's own bound is lower. Beyond it the nearest ancestor that is known counts.
const MEMBERS_MAX: usize = 500_000;

#[derive(Default)]
struct Known {
    parent: Option<String>,
    mandate: Option<Arc<Chain>>,
    /// Its mandate holds no more (revoked, or refused): why.
    refused: Option<String>,
    ended: bool,
}

#[derive(Default)]
pub struct Snapshot {
    members: HashMap<ProcessKey, String>,
    agents: HashMap<String, Known>,
    /// Who enforces for an agent from outside its reach: only these may tell what they decided.
    supervisors: HashMap<ProcessKey, String>,
}

/// What was decided of an agent's action, and when the mandate that decided ends.
pub struct Decided {
    pub decision: Decision,
    pub until_ns: Option<Nanos>,
}

impl Snapshot {
    pub fn member(&mut self, process: ProcessKey, agent: &str) {
        if self.members.len() < MEMBERS_MAX {
            self.members.insert(process, agent.to_owned());
        }
    }

    pub fn exited(&mut self, process: ProcessKey) {
        self.members.remove(&process);
        self.supervisors.remove(&process);
    }

    pub fn agent(&mut self, state: &AgentState) {
        let ended = matches!(state.state, State::Ended | State::Out);
        let known = self.agents.entry(state.agent.clone()).or_default();
        known.parent.clone_from(&state.parent);
        known.ended = ended;
        if ended {
            self.forget_ended();
        } else {
            self.members.insert(state.root, state.agent.clone());
        }
    }

    /// An ended agent is kept while one of its processes or sub-agents may ask.
    fn forget_ended(&mut self) {
        if self.agents.values().filter(|known| known.ended).count() < 256 {
            return;
        }
        let used: HashSet<&String> = self.members.values().chain(self.supervisors.values()).collect();
        let parents: HashSet<String> =
            self.agents.values().filter_map(|known| known.parent.clone()).collect();
        let gone: Vec<String> = self
            .agents
            .iter()
            .filter(|(id, known)| known.ended && !used.contains(id) && !parents.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.agents.remove(&id);
        }
    }

    /// From now on these mandates hold for the agent; `None`: it has none.
    pub fn mandate(&mut self, agent: &str, mandate: Option<Arc<Chain>>) {
        let known = self.agents.entry(agent.to_owned()).or_default();
        known.mandate = mandate;
        known.refused = None;
    }

    /// It had one, which holds no more: nothing is let through, unlike for an agent that never had any.
    pub fn refuse(&mut self, agent: &str, why: &str) {
        self.agents.entry(agent.to_owned()).or_default().refused = Some(why.to_owned());
    }

    #[cfg(test)]
    pub fn set_parent(&mut self, agent: &str, parent: &str) {
        self.agents.entry(agent.to_owned()).or_default().parent = Some(parent.to_owned());
    }

    pub fn supervisor(&mut self, process: ProcessKey, agent: &str) {
        self.supervisors.insert(process, agent.to_owned());
    }

    pub fn agent_of(&self, process: ProcessKey) -> Option<&str> {
        self.members.get(&process).map(String::as_str)
    }

    pub fn supervised_by(&self, process: ProcessKey) -> Option<&str> {
        self.supervisors.get(&process).map(String::as_str)
    }

    /// A sub-agent without a mandate acts under its parent's.
    pub fn decide(&self, agent: &str, action: &Action, now_ns: Nanos) -> Decided {
        let mut id = Some(agent);
        for _ in 0..DEPTH_MAX {
            let Some(known) = id.and_then(|id| self.agents.get(id)) else { break };
            if let Some(why) = &known.refused {
                return Decided { decision: denied("mandate refused", why), until_ns: None };
            }
            if let Some(mandate) = &known.mandate {
                return Decided {
                    decision: mandate.decide(action, now_ns),
                    until_ns: Some(mandate.expires_ns()),
                };
            }
            id = known.parent.as_deref();
        }
        Decided { decision: allowed("no mandate", "the agent runs under no mandate"), until_ns: None }
    }
}

pub fn allowed(rule: &str, reason: &str) -> Decision {
    Decision { verdict: Verdict::Allow, rule: rule.to_owned(), reason: reason.to_owned(), mandate: None }
}

pub fn denied(rule: &str, reason: &str) -> Decision {
    Decision { verdict: Verdict::Deny, rule: rule.to_owned(), reason: reason.to_owned(), mandate: None }
}
