//! Joining by descent.

use muster_event::{Attribution, ProcessKey};

use crate::engine::Engine;
use crate::process::Role;
use crate::{Certainty, Descent, Output, State};

impl Engine {
    /// A process belongs to a lineage though no fork connects it, or may. Only what is certain joins.
    pub(crate) fn descend(&mut self, descent: Descent) {
        let (key, id, seq) = (descent.process, descent.agent.clone(), descent.from_seq);
        let certain = descent.certainty == Certainty::Certain;
        self.out.push(Output::Descent(Box::new(descent)));
        let free = self.processes.get(key).is_some_and(|process| process.member.is_none());
        if !certain || !free || !self.agents.contains_key(&id) {
            return;
        }
        let mut joining = vec![key];
        joining.extend(self.processes.descendants(key));
        for key in joining {
            let live =
                self.processes.get(key).is_some_and(|process| !process.ended && process.member.is_none());
            if live {
                self.join_agent(key, &id, Attribution::Artefact, Role::Member, seq);
                self.out.push(Output::Follow { process: key });
            }
        }
        if let Some(agent) = self.agents.get_mut(&id)
            && !agent.live.is_empty()
        {
            agent.state.state = State::Running;
            agent.state.ended_ns = None;
        }
        self.publish_now(&id);
    }

    /// Is the process of this lineage already, or of an agent that was started from within it?
    pub(crate) fn belongs(&self, key: ProcessKey, id: &str) -> bool {
        let member = self.processes.get(key).and_then(|process| process.member.as_ref());
        member.is_some_and(|member| self.is_within(&member.agent, id))
    }
}
