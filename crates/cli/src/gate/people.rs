//! Who may answer a question, and under which name the answer is kept. Never a process of an agent's lineage: an agent that has
//! become root, or has found the operator's token, still approves nothing.

use std::fs;

use muster_server::{ApprovalView, Approve, ApproveRequest, Peer};

use crate::gate::approvals::Open;
use crate::gate::{Gate, words};

pub struct People {
    pub gate: Gate,
}

impl Approve for People {
    fn open(&self) -> Vec<ApprovalView> {
        self.gate.open().iter().map(view).collect()
    }

    fn answer(&self, who: Peer, request: ApproveRequest) -> Result<ApprovalView, String> {
        let by = self.name(who)?;
        let ApproveRequest { id, allow, pattern } = request;
        self.gate.answer(id.as_deref(), allow, pattern.as_deref(), &by).map(|open| view(&open))
    }
}

impl People {
    fn name(&self, who: Peer) -> Result<String, String> {
        if who.uid != 0 && !who.operator {
            return Err("only root may answer".to_owned());
        }
        self.refuse_agents(who.pid)?;
        let name = person(who.pid, who.uid);
        Ok(if who.operator { format!("{name} with the operator's token") } else { name })
    }

    fn refuse_agents(&self, pid: u32) -> Result<(), String> {
        match self.gate.agent_of(pid) {
            None => Ok(()),
            Some(agent) => {
                eprintln!("watch: pid {pid} of {agent} tried to answer a question: refused");
                Err(format!("it was answered by {agent}, which is on the roll: an agent approves nothing"))
            }
        }
    }
}

/// The user; and who logged in as somebody else first, as the kernel keeps it.
fn person(pid: u32, uid: u32) -> String {
    let login =
        fs::read_to_string(format!("/proc/{pid}/loginuid")).ok().and_then(|text| text.trim().parse().ok());
    match login {
        Some(login) if login != u32::MAX && login != uid => {
            let user = crate::daemon::principal(uid);
            let user = user.split('@').next().unwrap_or(&user);
            format!("{} as {user}", crate::daemon::principal(login))
        }
        Some(_) | None => crate::daemon::principal(uid),
    }
}

fn view(open: &Open) -> ApprovalView {
    let line = muster_mandate::line_for(&open.action)
        .map(|(kind, text)| format!("{} = [{}]", kind.key(), serde_json::Value::from(text)));
    ApprovalView {
        id: open.id.clone(),
        agent: open.agent.clone(),
        action: words::in_words(&open.action),
        detail: serde_json::to_value(&open.action).unwrap_or_default(),
        rule: open.decision.rule.clone(),
        reason: open.decision.reason.clone(),
        mandate: open.decision.mandate.clone(),
        said: open.said.clone(),
        asked: muster_server::views::time(open.asked_ns),
        until: muster_server::views::time(open.until_ns),
        count: open.count,
        pattern: words::suggestion(&open.action),
        line,
    }
}
