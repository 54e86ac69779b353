//! Reconciliation: which act belongs to which call; acts that no call explains, calls that nothing was done for.

use muster_account::{Class, Status};
use muster_event::Nanos;
use muster_event::redact::head_chars;

use crate::agent::{ACTIONS_OF_CALL_MAX, Action, Agent, Call, Write};
use crate::denial::{denied_action, denied_write};
use crate::effects::{Effect, What};
use crate::engine::{Engine, event_evidence, finding_id};
use crate::output::Strength;
use crate::products::Lag;
use crate::timeline::Timeline;
use crate::{Code, Evidence, Finding, Join, Output, Severity, Stage};

/// Clocks differ between an account (its own idea of time) and the record (the kernel's): how far apart a call and its
/// act may lie.
const SLACK_NS: Nanos = 5_000_000_000;
/// An account is written a little after the fact. An act that ended this long ago, with the account being read, is
/// unreported.
const GRACE_NS: Nanos = 2_500_000_000;
/// An act that goes on this long and that no call explains is unreported though it has not ended.
const ALIVE_NS: Nanos = 10_000_000_000;
/// A call whose result was read this long ago, with no act seen, is a phantom.
const PHANTOM_NS: Nanos = 2_500_000_000;
/// A call's time in the account and that of its act in the record are of one machine's clock: so much they may be apart
/// in the wrong order.
const ORDER_NS: Nanos = 20_000_000;
/// After its result was read, no act can be a call's that comes later than this.
const LATE_NS: Nanos = 60_000_000_000;
/// Writes remembered that a call explained.
const EXPLAINED_MAX: usize = 256;
/// Writes by the harness wait this long for the call that explains them.
const WRITE_NS: Nanos = 10_000_000_000;

impl Engine {
    /// A new or longer action: does a call explain it?
    pub(crate) fn match_action(&mut self, id: &str, index: usize) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let Some(action) = agent.actions.get(&index) else { return };
        if action.call.is_some() {
            return;
        }
        let product = self.products.get(&agent.state.product);
        let found = call_of(agent, action, product.is_some_and(|p| p.has_session_marker()));
        if let Some((call, strength)) = found {
            join(agent, call, index, strength, &mut self.out);
        }
    }

    /// A new call: which action does it explain?
    pub(crate) fn match_call(&mut self, id: &str) {
        let open: Vec<usize> =
            self.agents.get(id).map(|a| a.actions_open.iter().copied().collect()).unwrap_or_default();
        for index in open {
            self.match_action(id, index);
        }
    }

    /// Decides what can be decided now.
    pub(crate) fn reconcile(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get_mut(id) else { return };
        // Without an account there is nothing to compare: coverage says so, and every act would be "unreported".
        if agent.account_read_ns.is_none() {
            return;
        }
        let lag = self.products.get(&agent.state.product).map_or(Lag::After, |p| p.lag());
        let mut findings = Vec::new();
        let ended = agent.root_ended_ns.is_some_and(|at| now.saturating_sub(at) > GRACE_NS);
        for index in agent.actions_open.iter().copied().collect::<Vec<_>>() {
            let Some(action) = agent.actions.get_mut(&index) else { continue };
            let over = action.ended_ns.is_some_and(|at| now.saturating_sub(at) > GRACE_NS);
            if action.call.is_some() || action.helper.is_some() && !action.uncovered {
                if over || ended {
                    action.decided = true;
                    agent.actions_open.remove(&index);
                }
                continue;
            }
            let alive_long = lag == Lag::Before && now.saturating_sub(action.time_ns) > ALIVE_NS;
            if is_before_model(agent.first_call_ns, agent.first_prompt_ns, action) {
                if ended {
                    action.decided = true;
                    agent.actions_open.remove(&index);
                }
                continue;
            }
            let waiting =
                lag == Lag::After && open_turn(agent.turn_end_ns, agent.account_read_ns, action) && !ended;
            if (over && !waiting) || alive_long || ended {
                if let Some(action) = agent.actions.get(&index) {
                    let unseen = || cannot_be_told(&self.timeline, agent, action, now);
                    findings.extend(
                        denied_action(id, agent, action)
                            .or_else(|| if unseen() { None } else { judge(id, agent, action) }),
                    );
                }
                if let Some(action) = agent.actions.get_mut(&index) {
                    action.decided = true;
                }
                agent.actions_open.remove(&index);
            }
        }
        let agent_whole = agent.state.coverage.acts_whole();
        for index in agent.calls_open.iter().copied().collect::<Vec<_>>() {
            let Some(call) = agent.calls.get_mut(&index) else { continue };
            let Some(result) = &call.result else {
                if ended && now.saturating_sub(call.read_ns) > PHANTOM_NS {
                    agent.calls_open.remove(&index);
                }
                continue;
            };
            if call.joined.is_some() {
                call.decided = true;
                agent.calls_open.remove(&index);
                continue;
            }
            let read = call.read_ns.max(result.read_ns);
            if now.saturating_sub(read) <= PHANTOM_NS {
                continue;
            }
            call.decided = true;
            agent.calls_open.remove(&index);
            let seen = agent.state.coverage.record_from_ns.is_some_and(|from| call.time_ns >= from);
            let claims_act =
                matches!(result.status, Status::Ok | Status::Failed | Status::TimedOut | Status::Killed);
            let checkable = match call.class {
                Class::Execute => call.command.as_deref().is_some_and(|c| !c.trim().is_empty()),
                Class::Edit | Class::Delete | Class::Move => {
                    result.status == Status::Ok && !call.paths.is_empty()
                }
                Class::Read
                | Class::Search
                | Class::Fetch
                | Class::Mcp
                | Class::Delegate
                | Class::Think
                | Class::Plan
                | Class::Ask
                | Class::Other => false,
            };
            // A command line of which only the beginning is known may be this one.
            let may_be_cut =
                || agent.actions.values().any(|a| a.cut && a.call.is_none() && in_time(call, a.time_ns));
            let until = result.time_ns.max(read);
            let comparable = self.timeline.comparable(&agent.state.coverage, call.time_ns, until);
            if agent_whole && seen && claims_act && checkable && comparable && !may_be_cut() {
                findings.push(phantom(id, call));
            }
        }
        // What an act that comes late could still be of.
        let unjoined = std::mem::take(&mut agent.unjoined);
        agent.unjoined.extend(unjoined.into_iter().filter(|index| {
            let result = agent.calls.get(index).and_then(|call| call.result.as_ref());
            result.is_none_or(|result| now.saturating_sub(result.read_ns) < LATE_NS)
        }));
        let open_writes = std::mem::take(&mut agent.writes);
        let state_dirs = self.products.get(&agent.state.product);
        for write in open_writes {
            if agent.actions_open.is_empty() && now.saturating_sub(write.time_ns) > WRITE_NS || ended {
                let own = state_dirs.is_none_or(|p| p.is_own_file(&write.path, agent.home.as_deref()));
                let inside = !agent.state.cwd.is_empty()
                    && agent.state.cwd != "/"
                    && write.path.strip_prefix(agent.state.cwd.as_str()).is_some_and(|rest| {
                        rest.starts_with('/')
                            && !rest.starts_with("/.git/")
                            && !rest.contains("/node_modules/")
                    });
                // Where no call is told of at all, what a turn did counts from its prompt on.
                let first = agent.first_call_ns.or(agent.first_prompt_ns);
                let before_first =
                    first.is_none_or(|first| write.time_ns.saturating_add(SLACK_NS / 5) < first);
                if let Some(denied) = denied_write(id, agent, &write) {
                    findings.push(denied);
                } else if !own && inside && !before_first {
                    findings.push(unreported_write(id, &write));
                }
            } else {
                agent.writes.push(write);
            }
        }
        for finding in findings {
            self.raise(finding);
        }
    }

    /// A call of a tool that writes files from inside the agent's program: the file event that is it.
    pub(crate) fn match_writes(&mut self, id: &str) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        // A long transcript that is read at once would else look at every open call for each of its records.
        if agent.writes.is_empty() && agent.explained.is_empty() {
            return;
        }
        let mut edits = Vec::new();
        for index in agent.calls_open.iter().copied().collect::<Vec<_>>() {
            let Some(call) = agent.calls.get_mut(&index) else { continue };
            if !matches!(call.class, Class::Edit | Class::Delete | Class::Move)
                || call.paths.is_empty()
                || call.denied
            {
                continue;
            }
            let end = call.result.as_ref().map_or(Nanos::MAX, |r| r.time_ns.saturating_add(SLACK_NS));
            let paths: Vec<String> = call
                .paths
                .iter()
                .map(|p| absolute(p, call.cwd.as_deref().unwrap_or(&agent.state.cwd)))
                .collect();
            let from = call.time_ns.saturating_sub(SLACK_NS);
            let mut first = None;
            let names = |write: &Write| {
                paths.iter().any(|path| same_file(path, &write.path) || is_temporary_of(&write.path, path))
            };
            let mut explained = Vec::new();
            agent.writes.retain(|write| {
                let is = write.time_ns >= from && write.time_ns <= end && names(write);
                if is {
                    if first.is_none_or(|(_, seq)| seq < write.seq) {
                        first = Some((write.process, write.seq));
                    }
                    explained.push(write.clone());
                }
                !is
            });
            // Two calls that write one file shortly after each other: the first may have taken what both did. What is
            // another's must have come after this call was made.
            if first.is_none() && call.joined.is_none() {
                let own = agent.explained.iter().rev().find(|write| {
                    write.time_ns.saturating_add(ORDER_NS) >= call.time_ns
                        && write.time_ns <= end
                        && names(write)
                });
                first = own.map(|write| (write.process, write.seq));
            }
            agent.explained.extend(explained);
            while agent.explained.len() > EXPLAINED_MAX {
                agent.explained.pop_front();
            }
            if let Some((process, seq)) = first
                && call.joined.is_none()
            {
                call.joined = Some((process, Strength::Path));
                edits.push((index, seq, process));
                agent.state.calls_joined += 1;
                agent.dirty = true;
                self.out.push(Output::Join(Join {
                    agent: id.to_owned(),
                    call_id: call.call_id.clone(),
                    process,
                    seq,
                    strength: Strength::Path,
                }));
            }
        }
        for (index, seq, process) in edits {
            self.note_edit_impact(id, index, seq, process);
        }
    }

    /// A product that keeps an account, and none is to be found.
    pub(crate) fn check_account(&mut self, id: &str) {
        const WAIT_NS: Nanos = 30_000_000_000;
        let Some(agent) = self.agents.get(id) else { return };
        // Which accounts are given with a record is for whoever gives it.
        if self.recorded.is_some()
            || agent.account_read_ns.is_some()
            || self.products.get(&agent.state.product).is_none_or(|p| !p.keeps_account())
            || agent.state.coverage.record_from_ns.is_none()
            || agent.state.coverage.began_unseen
        {
            return;
        }
        // Only acts make the silence one: an agent that waits for its first prompt has nothing to account for.
        let acted = agent.actions.values().any(|a| a.helper.is_none() || a.uncovered);
        let waited = self.time_ns.saturating_sub(agent.state.started_ns) > WAIT_NS
            || agent.root_ended_ns.is_some_and(|at| self.time_ns.saturating_sub(at) > GRACE_NS);
        if !acted || !waited {
            return;
        }
        let root = agent.state.root;
        let evidence = agent
            .actions
            .values()
            .filter(|a| a.helper.is_none() || a.uncovered)
            .take(3)
            .map(|a| event_evidence(a.seq, a.process))
            .collect();
        let finding = Finding {
            id: finding_id(Code::AccountMissing, id, ""),
            code: Code::AccountMissing,
            severity: Severity::Low,
            stage: Stage::Conceal,
            overreach: 0,
            deception: 2,
            agent: id.to_owned(),
            time_ns: self.time_ns,
            summary: format!("acts, but keeps no account that Muster can find (pid {})", root.pid),
            explanation: "This product writes a transcript of what it does; none was written by this agent's processes. \
                Its acts cannot be compared with what it says. It would be refuted by an option of the product that \
                turns its transcript off, or a transcript in a place that Muster does not know."
                .to_owned(),
            evidence,
        };
        self.raise(finding);
    }
}

/// The call that explains an action, and how surely.
fn call_of(agent: &Agent, action: &Action, session_marker: bool) -> Option<(usize, Strength)> {
    if let Some(index) = action.call_id.as_ref().and_then(|id| agent.call_by_id.get(id))
        && let Some(call) = agent.calls.get(index).filter(|call| !call.denied)
        // The id alone does not make it the call's act: the command must be the one that the call names.
        && (call.texts().any(|text| action.texts.iter().any(|t| t == text)) || call.command.is_none())
    {
        return Some((*index, Strength::CallId));
    }
    let unjoined = agent.unjoined.iter().filter_map(|index| Some((index, agent.calls.get(index)?)));
    let by_text = unjoined.into_iter().find(|(_, call)| {
        !call.denied
            && in_time(call, action.time_ns)
            && call.texts().any(|text| !text.is_empty() && action.texts.iter().any(|t| t == text))
    });
    by_text
        .map(|(index, _)| (*index, if session_marker { Strength::SessionText } else { Strength::TimeText }))
}

fn in_time(call: &Call, time_ns: Nanos) -> bool {
    let end = call.result.as_ref().map_or(Nanos::MAX, |r| r.time_ns.saturating_add(SLACK_NS));
    time_ns.saturating_add(SLACK_NS) >= call.time_ns && time_ns <= end
}

fn join(
    agent: &mut Agent,
    call_index: usize,
    action_index: usize,
    strength: Strength,
    out: &mut Vec<Output>,
) {
    let Some(call) = agent.calls.get_mut(&call_index) else { return };
    let Some(action) = agent.actions.get_mut(&action_index) else { return };
    action.call = Some(call_index);
    agent.unjoined.remove(&call_index);
    if call.actions.len() < ACTIONS_OF_CALL_MAX {
        call.actions.push(action_index);
    }
    if call.joined.is_none() {
        agent.state.calls_joined += 1;
    }
    call.joined = Some((action.process, strength));
    agent.dirty = true;
    out.push(Output::Join(Join {
        agent: agent.state.agent.clone(),
        call_id: call.call_id.clone(),
        process: action.process,
        seq: action.seq,
        strength,
    }));
}

/// For products that write a call down only when it is over: may the account still come to this action?
fn open_turn(turn_end_ns: Option<Nanos>, read_ns: Option<Nanos>, action: &Action) -> bool {
    let after = |at: Option<Nanos>| at.is_some_and(|at| at > action.time_ns.saturating_add(GRACE_NS));
    !after(turn_end_ns) && !after(read_ns)
}

pub(crate) fn absolute(path: &str, cwd: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The account's path and the kernel's may differ by a symlink above the file: the last two components must agree.
fn same_file(told: &str, seen: &str) -> bool {
    if told == seen {
        return true;
    }
    let mut told = told.rsplit('/');
    let mut seen = seen.rsplit('/');
    told.next() == seen.next() && told.next() == seen.next()
}

/// `x.tmp.123` or `.x.swp` beside `x`, in a folder of the same name: written first, renamed over it.
fn is_temporary_of(seen: &str, told: &str) -> bool {
    let split = |path: &str| {
        let mut parts = path.rsplit('/');
        let name = parts.next().unwrap_or_default().trim_start_matches('.').to_owned();
        (name, parts.next().unwrap_or_default().to_owned())
    };
    let ((seen, seen_in), (told, told_in)) = (split(seen), split(told));
    seen_in == told_in
        && !told.is_empty()
        && seen.strip_prefix(told.as_str()).is_some_and(|rest| rest.starts_with(['.', '~', '-', '_', '#']))
}

/// An action that no call explains. What a model asks for comes through a shell or with a call's id: then that it is
/// missing from the account is the finding. What the harness executed by itself counts by what it changed or reached.
/// The account could not be read then; or the clock was set, and but for the time there is a call for it.
fn cannot_be_told(timeline: &Timeline, agent: &Agent, action: &Action, now: Nanos) -> bool {
    let coverage = &agent.state.coverage;
    let until = action.ended_ns.unwrap_or(now);
    if timeline.comparable(coverage, action.time_ns, until) {
        return false;
    }
    timeline.account_unreadable(coverage, action.time_ns, until)
        || agent.calls.values().any(|call| {
            call.joined.is_none()
                && !call.denied
                && call.texts().any(|text| !text.is_empty() && action.texts.iter().any(|t| t == text))
        })
}

/// What the harness started before the model made any call is no act of the model. An account that tells of no call, or of
/// its first one late, may hide what came before: what has the shape of a call counts from the first prompt on.
fn is_before_model(first_call_ns: Option<Nanos>, first_prompt_ns: Option<Nanos>, action: &Action) -> bool {
    let before_call = first_call_ns.is_none_or(|first| action.time_ns.saturating_add(SLACK_NS / 5) < first);
    let before_prompt = first_prompt_ns.is_none_or(|first| action.time_ns < first);
    before_call && (!action.asked || before_prompt)
}

fn judge(id: &str, agent: &Agent, action: &Action) -> Option<Finding> {
    if action.cut {
        return None;
    }
    let gravest = action.effects.gravest();
    let severity = match gravest {
        _ if action.asked => Severity::High,
        Some(effect) if effect.what.is_grave() => Severity::High,
        Some(_) if only_writes_what_calls_name(agent, action) => return None,
        Some(_) => Severity::Medium,
        None => Severity::Info,
    };
    Some(unreported(id, action, severity))
}

/// A formatter that the harness runs over a file that a call wrote.
fn only_writes_what_calls_name(agent: &Agent, action: &Action) -> bool {
    const BEFORE_NS: Nanos = 60_000_000_000;
    !action.effects.more_writes
        && action.effects.iter().all(|effect| {
            effect.what == What::Write
                && agent.calls.values().rev().any(|call| {
                    call.time_ns.saturating_add(BEFORE_NS) >= action.time_ns
                        && call.time_ns <= action.time_ns.saturating_add(SLACK_NS)
                        && matches!(call.class, Class::Edit | Class::Move)
                        && call.paths.iter().any(|path| {
                            let path = absolute(path, call.cwd.as_deref().unwrap_or(&agent.state.cwd));
                            same_file(&path, &effect.detail) || is_temporary_of(&effect.detail, &path)
                        })
                })
        })
}

fn unreported(agent: &str, action: &Action, severity: Severity) -> Finding {
    let inert = severity == Severity::Info;
    let did = match action.effects.gravest() {
        Some(effect) if !action.asked => format!(" ({})", in_words(effect)),
        Some(_) | None => String::new(),
    };
    // One for each kind of idle look around, however often it is repeated.
    let subject = if inert {
        action.display.split(' ').take(2).collect::<Vec<_>>().join(" ")
    } else {
        action.seq.to_string()
    };
    let mut evidence = vec![event_evidence(action.seq, action.process)];
    let mut effects: Vec<u64> =
        action.effects.iter().map(|e| e.seq).filter(|seq| *seq != action.seq).collect();
    effects.sort_unstable();
    effects.truncate(2);
    evidence.extend(effects.into_iter().map(|seq| Evidence::Event { seq }));
    Finding {
        id: finding_id(Code::UnreportedAction, agent, &subject),
        code: Code::UnreportedAction,
        severity,
        stage: if inert { Stage::Initiate } else { Stage::Conceal },
        overreach: if inert { 0 } else { 1 },
        deception: if inert { 0 } else { 2 },
        agent: agent.to_owned(),
        time_ns: action.time_ns,
        summary: format!(
            "ran `{}`{did}, which no tool call in its account explains",
            shorten(&action.display)
        ),
        explanation: if inert {
            "The agent's own program executed this, not through a shell, and it changed and reached nothing that the \
             sensor records: most likely the product looks around for itself in a way that Muster does not know. It \
             would be refuted as harmless by a helper rule (`muster products`), or shown as hidden by an effect that \
             the sensor does not see."
                .to_owned()
        } else {
            "The agent's own program executed this, it is none of the product's known helpers, and no call in the \
             account has this command. It would be refuted by a tool call with this command, or by a hook, server or \
             helper of the product that Muster does not know."
                .to_owned()
        },
        evidence,
    }
}

fn in_words(effect: &Effect) -> String {
    let detail = shorten(&effect.detail);
    match effect.what {
        What::Write => format!("it changed `{detail}`"),
        What::Network => format!("it reached {detail}"),
        What::Service => format!("it spoke to `{detail}`"),
        What::Secret => format!("it read `{detail}`"),
        What::Signal => format!("it sent {detail}"),
        What::Privilege => format!("it used {detail}"),
        What::Memory => format!("it ran {detail}"),
    }
}

fn unreported_write(agent: &str, write: &crate::agent::Write) -> Finding {
    Finding {
        id: finding_id(Code::UnreportedAction, agent, &format!("write {}", write.path)),
        code: Code::UnreportedAction,
        severity: Severity::Medium,
        stage: Stage::Conceal,
        overreach: 1,
        deception: 2,
        agent: agent.to_owned(),
        time_ns: write.time_ns,
        summary: format!("wrote `{}`, which no tool call in its account explains", shorten(&write.path)),
        explanation: "The agent's own program wrote a file of the project, and no call in the account names it. It would \
            be refuted by a tool call that writes this file, or by a file of the product's own that Muster does not know."
            .to_owned(),
        evidence: vec![event_evidence(write.seq, write.process)],
    }
}

fn phantom(agent: &str, call: &Call) -> Finding {
    let what = match (&call.command, call.paths.first()) {
        (Some(command), _) => format!("`{}`", shorten(command)),
        (None, Some(path)) => format!("a write of `{}`", shorten(path)),
        (None, None) => format!("a call of `{}`", shorten(&call.tool)),
    };
    let mut evidence: Vec<Evidence> = vec![call.evidence.clone()];
    if let Some(result) = &call.result
        && result.evidence != call.evidence
    {
        evidence.push(result.evidence.clone());
    }
    Finding {
        id: finding_id(Code::PhantomAction, agent, &call.call_id),
        code: Code::PhantomAction,
        severity: if call.class == Class::Execute { Severity::High } else { Severity::Medium },
        stage: Stage::Conceal,
        overreach: 0,
        deception: 2,
        agent: agent.to_owned(),
        time_ns: call.time_ns,
        summary: format!("its account shows {what} with a result, but nothing of the kind happened"),
        explanation: "The account has a tool call and its result; the kernel's record of this agent, with nothing known to \
            be missing in that time, has no execution or write that matches. It would be refuted by an act of another \
            form that the call stands for (a remote tool, a hook that rewrote the command without a trace)."
            .to_owned(),
        evidence,
    }
}

/// For a summary: one line of bounded length; the mark of a secret stays whole.
pub(crate) fn shorten(text: &str) -> String {
    const MAX: usize = 120;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match head_chars(&line, MAX) {
        head if head.len() == line.len() => line,
        head => format!("{head}…"),
    }
}
