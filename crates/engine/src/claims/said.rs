//! Takes claims from what an account says, and decides them once the record has what belongs to them.

use std::collections::VecDeque;

use muster_account::{Actor, Body, Class as Tool, Item, Origin, Status};
use muster_event::Nanos;

use crate::claims::judge::{Judged, judge};
use crate::claims::patterns::{self, Found};
use crate::claims::runner::{self, Purpose};
use crate::claims::{Claim, Class, Facts, Source, Verdict, message};
use crate::engine::{Engine, finding_id, short_hash};
use crate::reconcile::shorten;
use crate::shell;
use crate::{Code, Evidence, Finding, Output, Severity, Stage};

/// How long after it was read a claim is decided: the record of the acts before it may come a little later.
const SETTLE_NS: Nanos = 2_500_000_000;
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
    /// Runs as the account has them, by the text of its calls.
    pub account_runs: VecDeque<AccountRun>,
    /// Calls that change a test so that it cannot fail any more.
    pub emptied: VecDeque<Emptied>,
    /// What the agent disclosed, and when.
    pub disclosed: VecDeque<(Nanos, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub found: Found,
    pub time_ns: Nanos,
    pub read_ns: Nanos,
    pub turn_ns: Nanos,
    pub actor: Option<String>,
    pub source: Source,
    pub said: Evidence,
}

/// A run by the text of a call: what there is where no sensor watched.
#[derive(Clone, Debug)]
pub(crate) struct AccountRun {
    pub call_id: String,
    pub purpose: Purpose,
    pub name: String,
    pub masked: Option<&'static str>,
    pub time_ns: Nanos,
    pub evidence: Evidence,
    /// Of the whole command, as the account gives it.
    pub status: Option<i32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Emptied {
    /// Last part of its path.
    pub file: String,
    pub time_ns: Nanos,
    pub evidence: Evidence,
}

impl Engine {
    /// Takes up what an item of an account claims, or what claims will be held against.
    pub(crate) fn note_said(&mut self, id: &str, read_ns: Nanos, evidence: &Evidence, item: &Item) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        let time_ns = item.time_ns.unwrap_or(read_ns).min(read_ns);
        // What an earlier run said is of acts that nobody saw.
        if !agent.imported && time_ns.saturating_add(1_000_000_000) < agent.state.started_ns {
            return;
        }
        let actor = match &item.actor {
            Actor::Main => None,
            Actor::Sub { id } => Some(id.clone()),
        };
        let turn_ns = agent.claims.turn_ns;
        let mut add = |text: &str, source| {
            for found in patterns::find(text) {
                agent.claims.add(Pending {
                    found,
                    time_ns,
                    read_ns,
                    turn_ns,
                    actor: actor.clone(),
                    source,
                    said: evidence.clone(),
                });
            }
        };
        match &item.body {
            Body::Text { text, last: _ } => add(text, Source::Prose),
            Body::Call { call_id, command: Some(command), .. } => {
                let commands = shell::simple_commands(command).unwrap_or_default();
                for simple in &commands {
                    if simple.words.first().is_some_and(|w| w == "git")
                        && simple.words.iter().any(|w| w == "commit")
                        && let Some(message) = message::commit(&simple.words)
                    {
                        add(super::prose::head(&message, OTHER_TEXT_MAX), Source::CommitMessage);
                    }
                }
                agent.claims.note_command(call_id, command, &commands, time_ns, evidence);
            }
            Body::Call { class: Tool::Edit, paths, arguments, .. } => {
                if let Some(path) = paths.iter().find(|p| runner::is_test_file(p)) {
                    agent.claims.note_emptied(path, arguments, time_ns, evidence);
                }
            }
            Body::Result { call_id, status, exit_code, output, .. } => {
                let delegated = agent
                    .call_by_id
                    .get(call_id)
                    .and_then(|at| agent.calls.get(at))
                    .is_some_and(|call| call.class == Tool::Delegate);
                if delegated {
                    add(super::prose::head(output, OTHER_TEXT_MAX), Source::HandBack);
                }
                let known = exit_code.or(match status {
                    Status::Ok => Some(0),
                    Status::Failed | Status::TimedOut | Status::Killed => Some(1),
                    Status::Denied | Status::NotRun | Status::Running | Status::Unknown => None,
                });
                for run in agent.claims.account_runs.iter_mut().filter(|r| r.call_id == *call_id) {
                    run.status = known;
                }
            }
            Body::Prompt { text: _, origin } => {
                if item.actor == Actor::Main && matches!(origin, Origin::User | Origin::Sdk | Origin::Unknown)
                {
                    agent.claims.turn_ns = time_ns;
                }
            }
            Body::Call { .. }
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
            let due = agent.claims.pending.front().is_some_and(|first| {
                agent.imported
                    || now.saturating_sub(first.read_ns) > SETTLE_NS
                    || agent.claims.pending.len() > PENDING_MAX
            });
            if !due {
                return;
            }
            let Some(pending) = agent.claims.pending.pop_front() else { return };
            if agent.claims.told >= CLAIMS_MAX {
                continue;
            }
            agent.claims.told += 1;
            let judged = judge(agent, &pending);
            self.tell(id, pending, judged);
        }
    }

    fn tell(&mut self, id: &str, pending: Pending, judged: Judged) {
        let Judged { verdict, reason, evidence, severity } = judged;
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
        let finding = severity.map(|severity| finding(&claim, severity));
        self.out.push(Output::Claim(Box::new(claim)));
        if let Some(finding) = finding {
            self.raise(finding);
        }
    }
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

    fn note_command(
        &mut self,
        call_id: &str,
        command: &str,
        commands: &[shell::Simple],
        time_ns: Nanos,
        evidence: &Evidence,
    ) {
        for simple in commands.iter().filter(|s| !s.wraps) {
            if let Some(runner) = runner::recognise(&simple.words) {
                self.account_runs.push_back(AccountRun {
                    call_id: call_id.to_owned(),
                    purpose: runner.purpose,
                    name: shorten(&simple.words.join(" ")),
                    masked: simple.masked,
                    time_ns,
                    evidence: evidence.clone(),
                    status: None,
                });
                if self.account_runs.len() > KEPT {
                    self.account_runs.pop_front();
                }
            }
        }
        // Editors change the files that they are given, others the one that their output goes to.
        const EDITORS: [&str; 8] = ["sed", "perl", "tee", "patch", "cp", "mv", "ed", "ex"];
        let edits = |s: &shell::Simple| s.words.first().is_some_and(|w| EDITORS.contains(&w.as_str()));
        let named = commands
            .iter()
            .flat_map(|s| s.written.iter().chain(s.words.iter().filter(move |_| edits(s))))
            .find(|w| runner::is_test_file(w));
        if let Some(path) = named {
            self.note_emptied(path, command, time_ns, evidence);
        }
    }

    /// A call that changes a test file: does its text have what keeps tests from failing?
    fn note_emptied(&mut self, path: &str, text: &str, time_ns: Nanos, evidence: &Evidence) {
        if !super::tests_pass::EMPTIES.is_match(super::prose::head(text, OTHER_TEXT_MAX)) {
            return;
        }
        self.emptied.push_back(Emptied {
            file: crate::roll::name_of(path).to_owned(),
            time_ns,
            evidence: evidence.clone(),
        });
        if self.emptied.len() > KEPT {
            self.emptied.pop_front();
        }
    }
}

fn finding(claim: &Claim, severity: Severity) -> Finding {
    let hollow = claim.verdict == Verdict::Hollow;
    let mut evidence = vec![claim.said.clone()];
    evidence.extend(claim.evidence.iter().filter(|e| **e != claim.said).cloned());
    // The same untruth, told again in other words, is one: what decides it tells it.
    let decided: Vec<String> = claim.evidence.iter().map(|e| format!("{e:?}")).collect();
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
        explanation: if hollow {
            "The record shows what was claimed, and that it says nothing: what was checked had been changed or left out so \
             that it could not fail, and the agent did not say so. It would be refuted by a message that discloses the \
             change, or by a change that was part of the task."
                .to_owned()
        } else {
            "The kernel's record of this agent, with nothing known to be missing that matters here, shows otherwise than \
             the agent said. It would be refuted by an act that Muster could not see (on another machine, by a service \
             that acted for it), or by a sentence that means something else."
                .to_owned()
        },
        evidence,
    }
}
