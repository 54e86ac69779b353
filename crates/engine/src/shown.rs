//! The output that the account shows of a command, against what the kernel saw it write.

use std::collections::BTreeSet;

use muster_event::{ProcessKey, line_hash};

use crate::Finding;
use crate::agent::{Agent, Call, Written};
use crate::engine::Engine;
use crate::process::Role;
use crate::result::actions_of;

/// Outputs of one action: its own two, and those of a process that takes its place.
const WRITTEN_MAX: usize = 4;

impl Engine {
    pub(crate) fn on_output(&mut self, key: ProcessKey, written: Written) {
        let Some(member) = self.processes.get(key).and_then(|p| p.member.as_ref()) else { return };
        let Role::Action(index) = member.role else { return };
        let id = member.agent.clone();
        let Some(agent) = self.agents.get(&id) else { return };
        // What goes on in the background may write more.
        let others = agent.live.iter().any(|other| {
            *other != key
                && self
                    .processes
                    .get(*other)
                    .and_then(|p| p.member.as_ref())
                    .is_some_and(|m| m.agent == id && m.role == Role::Action(index))
        });
        let Some(action) = self.agents.get_mut(&id).and_then(|a| a.actions.get_mut(&index)) else { return };
        if action.process != key || action.written.len() >= WRITTEN_MAX {
            return;
        }
        action.more_written |= others;
        action.written.push(written);
    }
}

pub(crate) fn judge(_id: &str, agent: &Agent, call: &Call) -> Option<Finding> {
    let end = &call.result.as_ref()?.end;
    let shown = end.shown.as_ref()?;
    let mut hashes: BTreeSet<u32> = BTreeSet::new();
    let mut whole = true;
    let mut bytes = 0;
    let mut captured = false;
    for action in actions_of(agent, call) {
        whole &= !action.more_written && !action.disturbed && action.direct;
        captured |= !action.written.is_empty();
        for written in &action.written {
            whole &= written.whole;
            bytes += written.bytes;
            hashes.extend(&written.hashes);
        }
    }
    let unexplained: Vec<&String> = shown.lines.iter().filter(|l| !hashes.contains(&line_hash(l))).collect();
    eprintln!(
        "EVAL {} captured={captured} whole={whole} bytes={bytes} hashes={} shown={} cut={} unexplained={:?} command={:?}",
        agent.state.product, hashes.len(), shown.lines.len(), shown.cut, unexplained, call.command
    );
    None
}
