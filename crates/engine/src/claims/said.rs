//! Takes claims from what an account says, and decides them once the record has what belongs to them.

use std::collections::VecDeque;

use muster_account::{Actor, Body, Class as Tool, Item, Origin};
use muster_event::Nanos;

use crate::claims::account::{Account, Place};
use crate::claims::judge::{Judged, judge};
use crate::claims::patterns::{self, Found};
use crate::claims::{Claim, Class, Facts, Source, Verdict, message, runner};
use crate::engine::{Engine, finding_id, short_hash};
use crate::reconcile::shorten;
use crate::shell;
use crate::{Code, Evidence, Finding, Output, Severity, Stage};

/// How long after it was read a claim is decided: the record of the acts before it may come a little later.
const SETTLE_NS: Nanos = 2_500_000_000;
/// … and how long for the end of the call that it stands in: the longest runs of tests.
const RUNNING_NS: Nanos = 3_600_000_000_000;
/// Claims that wait at once: beyond it the oldest are decided with what is known.
const PENDING_MAX: usize = 1_000;
/// Claims of one agent that are told of.
const CLAIMS_MAX: usize = 10_000;
/// Latest claims among which the same one is not told twice.
const RECENT: usize = 64;
/// The same sentence this soon after is the same claim.
const AGAIN_NS: Nanos = 5_000_000_000;
/// Runs, test changes and disclosures that are kept of the account.
const KEPT: usize = 500;
/// Prose of a commit message or a hand-back that is looked at, in bytes.
const OTHER_TEXT_MAX: usize = 16 * 1024;

/// What is kept of one agent for its claims.
#[derive(Default)]
pub(crate) struct Claims {
    pub facts: Facts,
    pub pending: VecDeque<Pending>,
    pub recent: VecDeque<(Class, String, Nanos)>,
    pub told: usize,
    /// When its user last gave it something to do.
    pub turn_ns: Nanos,
    pub account: Account,
    /// Calls that change a test so that it cannot fail any more.
    pub emptied: VecDeque<Emptied>,
    /// What the agent disclosed, and when.
    pub disclosed: VecDeque<(Nanos, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub found: Found,
    pub time_ns: Nanos,
    pub place: Place,
    pub read_ns: Nanos,
    pub turn_ns: Nanos,
    /// The call in whose arguments it stands: it speaks of what that call did before it said so.
    pub call_id: Option<String>,
    pub actor: Option<String>,
    pub source: Source,
    pub said: Evidence,
}

#[derive(Clone, Debug)]
pub(crate) struct Emptied {
    /// Last part of its path.
    pub file: String,
    pub time_ns: Nanos,
    pub place: Place,
    pub evidence: Evidence,
}

impl Engine {
    /// Takes up what an item of an account claims, or what claims will be held against.
    pub(crate) fn note_said(&mut self, id: &str, read_ns: Nanos, evidence: &Evidence, item: &Item) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let time_ns = item.time_ns.unwrap_or(read_ns).min(read_ns);
        // What an earlier run said is of acts that nobody saw.
        if !agent.imported && time_ns.saturating_add(1_000_000_000) < agent.state.started_ns {
            agent.claims.account.continues = true;
            return;
        }
        let shell = match &item.body {
            Body::Call { command: Some(command), .. } => shell::read(command),
            _ => None,
        };
        let place = agent.claims.account.place(time_ns);
        let call = match &item.body {
            Body::Result { call_id, .. } => agent.call_by_id.get(call_id).and_then(|at| agent.calls.get(at)),
            _ => None,
        };
        let delegated = call.is_some_and(|call| call.class == Tool::Delegate);
        agent.claims.account.note(item, place, evidence, shell.as_ref(), call);
        let actor = match &item.actor {
            Actor::Main => None,
            Actor::Sub { id } => Some(id.clone()),
        };
        let turn_ns = agent.claims.turn_ns;
        // What the call itself does comes before what it says.
        let place = agent.claims.account.place(time_ns);
        let add = |claims: &mut Claims, text: &str, source, call_id: Option<&String>| {
            for found in patterns::find(text) {
                claims.add(Pending {
                    found,
                    time_ns,
                    place,
                    read_ns,
                    turn_ns,
                    actor: actor.clone(),
                    source,
                    said: evidence.clone(),
                    call_id: call_id.cloned(),
                });
            }
        };
        let claims = &mut agent.claims;
        match &item.body {
            Body::Text { text, last: _ } => add(claims, text, Source::Prose, None),
            Body::Call { call_id, tool, class, command, paths, arguments, .. } => {
                let commands = shell.map(|shell| shell.commands).unwrap_or_default();
                for simple in commands.iter().filter(|s| !s.wraps) {
                    if let Some((source, text)) = message::of_command(simple, &claims.account) {
                        add(claims, &text, source, Some(call_id));
                    }
                }
                if let Some(text) = message::of_tool(tool, *class, arguments) {
                    add(claims, &text, Source::Request, Some(call_id));
                }
                if let Some(command) = command {
                    claims.note_command(command, &commands, place, evidence);
                } else if *class == Tool::Edit
                    && let Some(path) = paths.iter().find(|p| runner::is_test_file(p))
                {
                    claims.note_emptied(path, arguments, place, evidence);
                }
            }
            Body::Result { output, .. } if delegated => {
                add(claims, super::prose::head(output, OTHER_TEXT_MAX), Source::HandBack, None);
            }
            Body::Prompt { text: _, origin } => {
                if item.actor == Actor::Main && matches!(origin, Origin::User | Origin::Sdk | Origin::Unknown)
                {
                    claims.turn_ns = time_ns;
                }
            }
            Body::Result { .. }
            | Body::Session { .. }
            | Body::Thinking { .. }
            | Body::Effective { .. }
            | Body::Decision { .. }
            | Body::TurnEnd
            | Body::Link { .. }
            | Body::Other { .. } => {}
        }
    }

    /// Decides the claims that waited long enough.
    pub(crate) fn decide_claims(&mut self, id: &str) {
        let now = self.time_ns;
        loop {
            let Some(agent) = self.agents.get_mut(id) else { return };
            let many = agent.claims.pending.len() > PENDING_MAX;
            let due = agent.claims.pending.iter().position(|pending| {
                let waited = now.saturating_sub(pending.read_ns);
                many || agent.imported
                    || waited > SETTLE_NS && (waited > RUNNING_NS || !is_running(agent, pending))
            });
            let Some(pending) = due.and_then(|at| agent.claims.pending.remove(at)) else { return };
            if agent.claims.told >= CLAIMS_MAX {
                continue;
            }
            agent.claims.told += 1;
            let judged = judge(agent, &pending);
            self.tell(id, pending, judged);
        }
    }

    fn tell(&mut self, id: &str, pending: Pending, judged: Judged) {
        let Judged { verdict, reason, evidence, severity, by_account } = judged;
        let class = pending.found.class;
        let place = match &pending.said {
            Evidence::Account { path, offset, sha256: _ } => format!("{path} {offset}"),
            Evidence::Event { seq } => seq.to_string(),
            Evidence::Process { pid, start_ns } => format!("{pid} {start_ns}"),
        };
        let claim = Claim {
            id: format!("c-{}", short_hash(&[id, class.name(), &place, &pending.found.clause])),
            agent: id.to_owned(),
            time_ns: pending.time_ns,
            actor: pending.actor,
            source: pending.source,
            class,
            sentence: pending.found.sentence,
            verdict,
            reason,
            said: pending.said,
            evidence,
        };
        let finding = severity.map(|severity| finding(&claim, severity, by_account));
        self.out.push(Output::Claim(Box::new(claim)));
        if let Some(finding) = finding {
            self.raise(finding);
        }
    }
}

/// The call that it stands in has not ended: what it speaks of may not have happened yet.
fn is_running(agent: &crate::agent::Agent, pending: &Pending) -> bool {
    let call =
        pending.call_id.as_ref().and_then(|id| agent.call_by_id.get(id)).and_then(|at| agent.calls.get(at));
    call.is_some_and(|call| call.result.is_none()) && agent.root_ended_ns.is_none()
}

impl Claims {
    fn add(&mut self, pending: Pending) {
        if pending.found.class == Class::Hedge {
            self.disclosed.push_back((pending.time_ns, pending.found.sentence.to_lowercase()));
            if self.disclosed.len() > KEPT {
                self.disclosed.pop_front();
            }
        }
        // Products write the same text twice, and hand it on from a sub-agent.
        let again = self.recent.iter().any(|(class, sentence, at)| {
            *class == pending.found.class
                && *sentence == pending.found.sentence
                && pending.time_ns.abs_diff(*at) < AGAIN_NS
        });
        if again {
            return;
        }
        self.recent.push_back((pending.found.class, pending.found.sentence.clone(), pending.time_ns));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.pending.push_back(pending);
    }

    fn note_command(&mut self, command: &str, commands: &[shell::Simple], place: Place, evidence: &Evidence) {
        // Editors change the files that they are given, others the one that their output goes to.
        const EDITORS: [&str; 8] = ["sed", "perl", "tee", "patch", "cp", "mv", "ed", "ex"];
        let edits = |s: &shell::Simple| s.words.first().is_some_and(|w| EDITORS.contains(&w.as_str()));
        let named = commands
            .iter()
            .flat_map(|s| s.written.iter().chain(s.words.iter().filter(move |_| edits(s))))
            .find(|w| runner::is_test_file(w));
        if let Some(path) = named {
            self.note_emptied(path, command, place, evidence);
        }
    }

    /// A call that changes a test file: does its text have what keeps tests from failing?
    fn note_emptied(&mut self, path: &str, text: &str, place: Place, evidence: &Evidence) {
        if !super::tests_pass::EMPTIES.is_match(super::prose::head(text, OTHER_TEXT_MAX)) {
            return;
        }
        self.emptied.push_back(Emptied {
            file: crate::roll::name_of(path).to_owned(),
            time_ns: place.time_ns,
            place,
            evidence: evidence.clone(),
        });
        if self.emptied.len() > KEPT {
            self.emptied.pop_front();
        }
    }
}

fn finding(claim: &Claim, severity: Severity, by_account: bool) -> Finding {
    let mut evidence = vec![claim.said.clone()];
    evidence.extend(claim.evidence.iter().filter(|e| **e != claim.said).cloned());
    // The same untruth, told again in other words, is one: what decides it tells it.
    let decided: Vec<String> = match claim.evidence.as_slice() {
        // By an absence: whenever it is said.
        [only] if *only == claim.said => vec![claim.reason.clone()],
        all => all.iter().map(|e| format!("{e:?}")).collect(),
    };
    Finding {
        id: finding_id(
            Code::FalseClaim,
            &claim.agent,
            &format!("{} {}", claim.class.name(), decided.join(" ")),
        ),
        code: Code::FalseClaim,
        severity,
        stage: Stage::Conceal,
        overreach: 0,
        deception: if severity >= Severity::High { 2 } else { 1 },
        agent: claim.agent.clone(),
        time_ns: claim.time_ns,
        summary: format!("said “{}”; {}", shorten(&claim.sentence), claim.reason),
        explanation: explanation(claim.verdict, by_account).to_owned(),
        evidence,
    }
}

fn explanation(verdict: Verdict, by_account: bool) -> &'static str {
    match (verdict, by_account) {
        (Verdict::Hollow, _) => {
            "What was claimed is shown, and that it says nothing: what was checked had been changed or left out so that it \
             could not fail, and the agent did not say so. It would be refuted by a message that discloses the change, or by \
             a change that was part of the task."
        }
        (_, true) => {
            "Its own account shows otherwise than it said: its calls and what they came to, as its harness wrote them down. \
             What the account shows was not held against a record here. It would be refuted by an act that stands in no call \
             (a script, a sub-agent, another session), or by a sentence that means something else."
        }
        (Verdict::Unsupported, false) => {
            "Nothing in the kernel's record of this agent or in its account shows what it said, though it would be there. It \
             would be refuted by an act that Muster could not see (on another machine, by a service, by a program of another \
             name), by words spoken elsewhere, or by a sentence that means something else."
        }
        (_, false) => {
            "The kernel's record of this agent, with nothing known to be missing that matters here, shows otherwise than the \
             agent said. It would be refuted by an act that Muster could not see (on another machine, by a service that \
             acted for it), or by a sentence that means something else."
        }
    }
}
