//! The output that the account shows of a command, against what the kernel saw it write.

use std::collections::BTreeSet;

use muster_event::{ProcessKey, line_hash};

use crate::agent::{Action, Agent, Call, Written};
use crate::engine::{Engine, event_evidence, finding_id};
use crate::process::Role;
use crate::reconcile::shorten;
use crate::result::{LATER_NS, actions_of, is_joined, neighbours};
use crate::{Code, Evidence, Finding, Severity, Stage};

/// Outputs of one action: its own two, and those of a process that takes its place.
const WRITTEN_MAX: usize = 4;
/// Lines added to a true output, or in an output from two streams that may break each other's lines: so many and more are
/// a finding. What products add is known (`command_output`); a new version may add a line or two.
const ADDED_MIN: usize = 3;
/// Lines that were written, with nothing of them in the account: so many and more are a finding.
const LEFT_OUT_MIN: usize = 3;

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

/// What the actions of one call wrote, together.
#[derive(Default)]
struct Sum<'a> {
    hashes: BTreeSet<u32>,
    /// The same, as they came.
    ordered: Vec<u32>,
    bytes: u64,
    /// Streams that something was written to.
    streams: usize,
    last: Option<(&'a Action, &'a Written)>,
}

/// `None` where not all of it was seen, or what was seen says nothing.
fn sum<'a>(agent: &'a Agent, call: &'a Call) -> Option<Sum<'a>> {
    let end = &call.result.as_ref()?.end;
    let mut sum = Sum::default();
    for action in actions_of(agent, call) {
        let exit = action.exit.as_ref()?;
        let late = exit.time_ns > end.time_ns.saturating_add(LATER_NS);
        // Its standard output must be among what was noted: one that was lost may have had it all.
        let output = action.written.iter().any(|written| written.stream == 1);
        if !action.direct || action.disturbed || action.more_written || !output || late {
            return None;
        }
        for written in &action.written {
            if !written.whole {
                return None;
            }
            sum.hashes.extend(&written.hashes);
            sum.ordered.extend(&written.hashes);
            sum.bytes = sum.bytes.saturating_add(written.bytes);
            sum.streams += usize::from(written.bytes > 0);
            if written.bytes > 0 || sum.last.is_none() {
                sum.last = Some((action, written));
            }
        }
    }
    Some(sum)
}

enum Differs<'a> {
    /// Lines that the command did not write, the first of them.
    Invented { line: &'a str, lines: usize, severity: Severity },
    /// Nothing of what it wrote.
    LeftOut { lines: usize },
    /// Some of what it wrote, and nothing in its place.
    CutOut { lines: usize },
}

/// The account shows the whole output, and the record has the whole of it: what the one has, the other must have.
pub(crate) fn judge(id: &str, agent: &Agent, call: &Call) -> Option<Finding> {
    let shown = call.result.as_ref()?.end.shown.as_deref()?;
    if !is_joined(call) || !agent.state.coverage.acts_whole() {
        return None;
    }
    let sum = sum(agent, call)?;
    let differs = differs(shown, &sum)?;
    // Two calls with one command at the same time: each may be the other's.
    let other = neighbours(agent, call)
        .any(|other| self::sum(agent, other).is_none_or(|sum| self::differs(shown, &sum).is_none()));
    if other {
        return None;
    }
    Some(finding(id, call, &sum, &differs))
}

fn differs<'a>(shown: &'a [String], sum: &Sum) -> Option<Differs<'a>> {
    let hashes: BTreeSet<u32> = shown.iter().map(|line| line_hash(line)).collect();
    let unknown: Vec<&String> = shown
        .iter()
        // A character that a product cut in two.
        .filter(|line| !line.contains(char::REPLACEMENT_CHARACTER) && !sum.hashes.contains(&line_hash(line)))
        .collect();
    let known = hashes.intersection(&sum.hashes).count();
    let missing = sum.hashes.len().saturating_sub(known);
    let lines = unknown.len();
    let invented =
        |severity| unknown.first().map(|line| Differs::Invented { line: line.as_str(), lines, severity });
    if shown.is_empty() {
        return (missing >= LEFT_OUT_MIN).then_some(Differs::LeftOut { lines: missing });
    }
    match (sum.bytes, known) {
        // Of two streams, a product may show the one.
        _ if lines == 0 => {
            let lines = cut_out(&hashes, &sum.ordered);
            (lines > 0 && sum.streams == 1).then_some(Differs::CutOut { lines })
        }
        (0, _) => invented(Severity::Medium),
        // Two streams come together as they come: one may have broken a line of the other.
        _ if sum.streams > 1 => {
            (lines >= ADDED_MIN && known < lines).then(|| invented(Severity::Medium)).flatten()
        }
        (_, 0) => invented(Severity::High),
        // Something stands there in the place of something else.
        _ if missing > 0 => invented(Severity::Medium),
        _ => (lines >= ADDED_MIN).then(|| invented(Severity::Medium)).flatten(),
    }
}

/// Lines that are missing between others that are shown. A product may show the beginning only, or the end.
fn cut_out(shown: &BTreeSet<u32>, written: &[u32]) -> usize {
    let is_shown = |hash: &&u32| shown.contains(*hash);
    let (Some(first), Some(last)) =
        (written.iter().position(|h| is_shown(&h)), written.iter().rposition(|h| is_shown(&h)))
    else {
        return 0;
    };
    written.get(first..=last).unwrap_or_default().iter().filter(|hash| !is_shown(hash)).count()
}

fn finding(id: &str, call: &Call, sum: &Sum, differs: &Differs) -> Finding {
    let command = shorten(call.command.as_deref().unwrap_or(&call.tool));
    let (severity, what) = match differs {
        Differs::Invented { line, lines: 1, severity } => {
            (*severity, format!("shows `{}` as output of `{command}`, which did not write it", shorten(line)))
        }
        Differs::Invented { line, lines, severity } => (
            *severity,
            format!(
                "shows `{}` and {} more lines as output of `{command}`, which did not write them",
                shorten(line),
                lines - 1
            ),
        ),
        Differs::LeftOut { lines } => {
            (Severity::Medium, format!("shows no output of `{command}`, which wrote {lines} lines"))
        }
        Differs::CutOut { lines } => {
            (Severity::Low, format!("shows the output of `{command}` without {lines} lines that it wrote"))
        }
    };
    let mut evidence: Vec<Evidence> = call.result.iter().map(|result| result.end.evidence.clone()).collect();
    if let Some((action, written)) = sum.last {
        evidence.push(event_evidence(action.seq, action.process));
        evidence.push(event_evidence(written.seq, action.process));
    }
    Finding {
        id: finding_id(Code::ResultMismatch, id, &format!("{} output", call.call_id)),
        code: Code::ResultMismatch,
        severity,
        stage: Stage::Conceal,
        overreach: 0,
        deception: 2,
        agent: id.to_owned(),
        time_ns: call.result.as_ref().map_or(call.time_ns, |result| result.end.time_ns),
        summary: format!("its account {what}"),
        explanation: "All that this command wrote to its output was seen (as hashes of its lines), the account shows an \
            output of it that is short enough to be whole, and the two are not the same. It would be refuted by a note \
            that a version of the product puts into outputs, or by a hook that rewrites them."
            .to_owned(),
        evidence,
    }
}
