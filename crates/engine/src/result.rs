//! What the account shows as the result of a command, against what the kernel saw of it: how it ended.

use muster_account::Status;
use muster_event::{Nanos, ProcessKey, SignalTarget};

use crate::agent::{Action, Agent, Call, End, Exit};
use crate::engine::{Engine, event_evidence, finding_id};
use crate::output::Strength;
use crate::process::Role;
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage, shown};

/// Accounts and records come by different ways: so long after the later of the two, what belongs to one call is there.
const GRACE_NS: Nanos = 2_500_000_000;
/// A result that no ended execution was joined to by then is compared no more: other findings are about it.
const GIVE_UP_NS: Nanos = 60_000_000_000;
/// An execution that ends later than this after its result was written ended some other way than the result tells.
pub(crate) const LATER_NS: Nanos = 2_000_000_000;
/// Calls looked at for one with the same command at the same time: more are never under way at once.
const NEIGHBOURS_MAX: usize = 256;
/// Signals that a program brings upon itself by a fault. All others somebody may have sent whom the record does not show.
const FAULTS: [(i32, &str); 7] = [
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (11, "SIGSEGV"),
    (31, "SIGSYS"),
];

impl Engine {
    /// Holds the results that can be compared now against the record.
    pub(crate) fn check_results(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get_mut(id) else { return };
        let mut findings = Vec::new();
        for index in agent.results_open.iter().copied().collect::<Vec<_>>() {
            let ready = agent.calls.get(&index).map(|call| readiness(agent, call, now));
            match ready {
                Some(Ready::Wait) => continue,
                Some(Ready::Compare) => {
                    let call = agent.calls.get(&index);
                    findings.extend(call.and_then(|call| judge(id, agent, call)));
                    findings.extend(call.and_then(|call| shown::judge(id, agent, call)));
                }
                Some(Ready::Never) | None => {}
            }
            agent.close_result(index);
        }
        for finding in findings {
            self.raise(finding);
        }
    }

    /// A signal from outside of an action: how that ends is no longer its own doing.
    pub(crate) fn note_disturbance(&mut self, sender: ProcessKey, target: SignalTarget) {
        let Some(member) = self.processes.get(sender).and_then(|p| p.member.clone()) else { return };
        let Some(agent) = self.agents.get_mut(&member.agent) else { return };
        let struck: Vec<usize> = match target {
            SignalTarget::Process(pid) => {
                let hit = self.processes.by_pid(pid).and_then(|p| p.member.as_ref());
                match hit {
                    Some(hit) if hit.agent == member.agent => match hit.role {
                        Role::Action(index) => vec![index],
                        Role::Harness | Role::Member => Vec::new(),
                    },
                    Some(_) | None => Vec::new(),
                }
            }
            SignalTarget::Group(_) | SignalTarget::Everyone => {
                let group = match target {
                    SignalTarget::Group(0) => self.processes.get(sender).map(|p| p.group),
                    SignalTarget::Group(group) => Some(group),
                    SignalTarget::Process(_) | SignalTarget::Everyone => None,
                };
                let is_hit = |index: &&usize| {
                    agent.actions.get(index).is_some_and(|action| {
                        action.ended_ns.is_none()
                            && group.is_none_or(|group| {
                                self.processes.get(action.process).is_some_and(|p| p.group == group)
                            })
                    })
                };
                agent.actions_open.iter().filter(is_hit).copied().collect()
            }
        };
        for index in struck.into_iter().filter(|index| member.role != Role::Action(*index)) {
            if let Some(action) = agent.actions.get_mut(&index) {
                action.disturbed = true;
            }
        }
    }
}

enum Ready {
    Wait,
    Compare,
    /// The account gives nothing that can be compared, or it is too late.
    Never,
}

fn readiness(agent: &Agent, call: &Call, now: Nanos) -> Ready {
    let Some(result) = &call.result else { return Ready::Never };
    let end = &result.end;
    if call.background || !matches!(end.status, Status::Ok | Status::Failed) {
        return Ready::Never;
    }
    let waited = now.saturating_sub(end.read_ns);
    if waited > GIVE_UP_NS {
        return Ready::Never;
    }
    let mut exits = actions_of(agent, call).map(|action| action.exit.as_ref()).peekable();
    let settled = exits.peek().is_some()
        && exits.all(|exit| exit.is_some_and(|exit| now.saturating_sub(exit.time_ns) > GRACE_NS));
    if waited > GRACE_NS && settled { Ready::Compare } else { Ready::Wait }
}

pub(crate) fn actions_of<'a>(agent: &'a Agent, call: &'a Call) -> impl Iterator<Item = &'a Action> {
    call.actions.iter().filter_map(|index| agent.actions.get(index))
}

/// The exit code that the account shows is that of the process which the harness started for the call: shells and
/// sandboxes that products put around a command pass it on.
fn judge(id: &str, agent: &Agent, call: &Call) -> Option<Finding> {
    let end = &call.result.as_ref()?.end;
    let said = end.exit_code.filter(|code| (0..=255).contains(code))?;
    if !is_joined(call) {
        return None;
    }
    let mut differing = None;
    // Of several (a sandbox refused it, and it ran again without) the account tells of one.
    for action in actions_of(agent, call) {
        let exit = action.exit.as_ref()?;
        if !action.direct || action.disturbed || exit.time_ns > end.time_ns.saturating_add(LATER_NS) {
            return None;
        }
        let differs = differs(exit, said)?;
        if !differs {
            return None;
        }
        differing = Some((action, exit));
    }
    let (action, exit) = differing?;
    if another_explains(agent, call, said) {
        return None;
    }
    Some(other_exit(id, call, action, exit, said, end))
}

/// `None`: nothing can be said.
fn differs(exit: &Exit, said: i32) -> Option<bool> {
    match (exit.code, exit.signal) {
        (Some(code), _) => Some(code != said),
        // Shells and products give 128 more, or another number of their own.
        (None, Some(signal)) if said == 0 => FAULTS.iter().any(|(fault, _)| *fault == signal).then_some(true),
        (None, Some(_)) => Some(false),
        (None, None) => None,
    }
}

/// To an execution, and not by a file that it names.
pub(crate) fn is_joined(call: &Call) -> bool {
    match call.joined {
        Some((_, Strength::CallId | Strength::ProcessGroup | Strength::SessionText | Strength::TimeText)) => {
            true
        }
        Some((_, Strength::Path)) | None => false,
    }
}

/// Calls with the same command at the same time. By their text they are told apart in name only: what was seen of one may
/// be the other's.
pub(crate) fn neighbours<'a>(agent: &'a Agent, call: &'a Call) -> impl Iterator<Item = &'a Call> {
    let ended = |call: &Call| call.result.as_ref().map_or(Nanos::MAX, |r| r.end.time_ns);
    let by_text = !matches!(call.joined, Some((_, Strength::CallId)));
    agent
        .calls
        .values()
        .rev()
        .take(if by_text { NEIGHBOURS_MAX } else { 0 })
        .filter(|other| other.call_id != call.call_id)
        .filter(move |other| other.time_ns <= ended(call) && call.time_ns <= ended(other))
        .filter(|other| other.texts().any(|text| call.texts().any(|own| own == text)))
}

fn another_explains(agent: &Agent, call: &Call, said: i32) -> bool {
    neighbours(agent, call)
        .flat_map(|other| actions_of(agent, other))
        .any(|action| action.exit.as_ref().is_none_or(|exit| differs(exit, said) != Some(true)))
}

fn other_exit(id: &str, call: &Call, action: &Action, exit: &Exit, said: i32, end: &End) -> Finding {
    let seen = match (exit.code, exit.signal) {
        (Some(code), _) => format!("it ended with {code}"),
        (None, Some(signal)) => match FAULTS.iter().find(|(fault, _)| *fault == signal) {
            Some((_, name)) => format!("{name} ended it"),
            None => format!("signal {signal} ended it"),
        },
        (None, None) => "it ended otherwise".to_owned(),
    };
    let success_claimed = said == 0;
    let mut evidence: Vec<Evidence> = vec![end.evidence.clone()];
    evidence.push(event_evidence(action.seq, action.process));
    evidence.push(event_evidence(exit.seq, action.process));
    Finding {
        id: finding_id(Code::ResultMismatch, id, &format!("{} exit", call.call_id)),
        code: Code::ResultMismatch,
        severity: if success_claimed { Severity::High } else { Severity::Medium },
        stage: Stage::Conceal,
        overreach: 0,
        deception: 2,
        agent: id.to_owned(),
        time_ns: exit.time_ns,
        summary: format!(
            "its account shows `{}` ending with exit code {said}, but {seen}",
            shorten(call.command.as_deref().unwrap_or(&call.tool))
        ),
        explanation: "The account gives an exit code for this command, and the process that the agent's own program \
            started for it, which nobody sent a signal, ended with another. It would be refuted by a version of the \
            product that reports another process's status, or that puts a number of its own in its place."
            .to_owned(),
        evidence,
    }
}
