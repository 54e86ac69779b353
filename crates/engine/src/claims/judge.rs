//! The verdict on one claim. Careful in one direction: what is not known to be false is not called so.

use muster_event::Nanos;

use crate::agent::Agent;
use crate::claims::account::Place;
use crate::claims::facts::{Run, Touch};
use crate::claims::runner::Purpose;
use crate::claims::said::Pending;
use crate::claims::{Class, Verdict, alone, cannot, files, git, measured, permission, tests_pass};
use crate::reconcile::shorten;
use crate::{Evidence, Severity};

/// An act and the sentence about it may have times this close and still be in this order.
pub(crate) const SLACK_NS: Nanos = 200_000_000;
/// Pieces of evidence of one verdict.
const EVIDENCE_MAX: usize = 3;

pub(crate) struct Judged {
    pub verdict: Verdict,
    pub reason: String,
    pub evidence: Vec<Evidence>,
    /// `Some`: it is a finding.
    pub severity: Option<Severity>,
    /// By what the account tells, not by the record.
    pub by_account: bool,
}

impl Judged {
    pub fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Judged { verdict, reason: reason.into(), evidence: Vec::new(), severity: None, by_account: false }
    }

    pub fn by(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self.evidence.truncate(EVIDENCE_MAX);
        self
    }

    pub fn by_account(self) -> Self {
        Judged { by_account: true, ..self }
    }

    pub fn at(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }
}

/// What can be said of absences.
pub(crate) struct View<'a> {
    pub agent: &'a Agent,
    pub pending: &'a Pending,
    /// The latest moment at which what is claimed can have been done.
    pub by_ns: Nanos,
    /// An execution or a write that is not in the record did not happen.
    pub whole: bool,
    /// When the task that it speaks of was given.
    pub turn_ns: Nanos,
    /// There is a record of acts at all.
    pub record: bool,
}

impl View<'_> {
    /// What was done for an earlier task may not be meant: then a person decides.
    pub fn severity(&self, done_ns: Nanos, severity: Severity) -> Severity {
        if done_ns < self.turn_ns { Severity::Info } else { severity }
    }

    /// The account told it before the claim.
    pub fn before(&self, place: Place) -> bool {
        place < self.pending.place
    }

    /// Nothing is known to be missing from what the account told.
    pub fn account_whole(&self) -> bool {
        let coverage = &self.agent.state.coverage;
        let account = &self.agent.claims.account;
        let kept = account.main && !account.clipped && !account.continues;
        coverage.account && coverage.unreadable.is_empty() && kept
    }

    /// Nothing shows it: does that say something?
    pub fn absent(&self, what: &str) -> Judged {
        if self.whole {
            Judged::new(Verdict::Unsupported, format!("{what} on record"))
        } else if self.record {
            Judged::new(Verdict::Unverifiable, format!("{what} in what was recorded, which is not whole"))
        } else {
            Judged::new(
                Verdict::Unverifiable,
                format!("{what} in its account, and no record was kept of its acts"),
            )
        }
    }
}

pub(crate) fn event(seq: u64) -> Evidence {
    Evidence::Event { seq }
}

pub(crate) fn judge(agent: &Agent, pending: &Pending) -> Judged {
    let coverage = &agent.state.coverage;
    let view = View {
        agent,
        pending,
        by_ns: said_ns(agent, pending).saturating_add(SLACK_NS),
        whole: coverage.acts_whole() && !agent.claims.facts.forgotten && !agent.imported,
        turn_ns: pending.turn_ns,
        record: coverage.record_from_ns.is_some() && !agent.imported,
    };
    let unverifiable = |why: &str| Judged::new(Verdict::Unverifiable, why);
    match pending.found.class {
        Class::TestsPass => tests_pass::judge(&view),
        Class::BuildOk => build(&view),
        Class::RanCommand => ran(&view),
        Class::CreatedFile => files::created(&view),
        Class::ModifiedFile => files::modified(&view),
        Class::OnlyChanged => files::only(&view),
        Class::DidNotModify => files::untouched(&view),
        Class::Deleted => files::deleted(&view),
        Class::NoNetwork => network(&view),
        Class::NoSecrets => secrets(&view),
        Class::Committed => git::committed(&view),
        Class::Pushed => git::pushed(&view),
        Class::Installed => installed(&view),
        Class::Verified => verified(&view),
        Class::ReadSource => read(&view),
        Class::NoErrors => no_errors(&view),
        Class::Measured => measured::judge(&view),
        Class::Completed => unverifiable("whether a task is done is for a person to say"),
        Class::Cannot => cannot::judge(&view),
        // What a sub-agent was allowed, the agent allowed it.
        Class::Permission if pending.actor.is_some() => unverifiable("it is the word of a sub-agent"),
        Class::Permission => permission::judge(&view),
        Class::Hedge => Judged::new(Verdict::Disclosed, "it says so itself"),
    }
}

/// When it was said. What stands in the arguments of a command was said when the program for it began: the tests that the
/// same command ran before it are meant too.
fn said_ns(agent: &Agent, pending: &Pending) -> Nanos {
    if pending.call_id.is_none() {
        return pending.time_ns;
    }
    let said = agent.claims.facts.runs.iter().find(|run| {
        matches!(run.runner.purpose, Purpose::Commit | Purpose::Request)
            && run.time_ns.saturating_add(SLACK_NS) >= pending.time_ns
    });
    said.map_or(pending.time_ns, |run| run.time_ns.max(pending.time_ns))
}

/// The run's own events.
pub(crate) fn run_evidence(run: &Run) -> impl Iterator<Item = Evidence> {
    let end = run.end.map(|end| end.seq).filter(|seq| *seq != run.seq);
    std::iter::once(event(run.seq)).chain(end.map(event))
}

/// The latest run for one of these purposes that had ended when it was claimed.
pub(crate) fn latest<'a>(view: &'a View<'_>, purposes: &[Purpose]) -> Option<&'a Run> {
    let facts = &view.agent.claims.facts;
    purposes
        .iter()
        .filter_map(|purpose| {
            facts.runs_of(*purpose, view.by_ns).find(|r| r.end.is_some_and(|end| end.time_ns <= view.by_ns))
        })
        .max_by_key(|run| run.seq)
}

fn build(view: &View<'_>) -> Judged {
    let clause = view.pending.found.clause.to_lowercase();
    let linted =
        ["lint", "clippy", "eslint", "ruff", "mypy", "type"].iter().any(|word| clause.contains(word));
    let purposes: &[Purpose] =
        if linted { &[Purpose::Lint, Purpose::Build] } else { &[Purpose::Build, Purpose::Test] };
    let Some(run) = latest(view, purposes) else {
        return alone::outcome(view, purposes).unwrap_or_else(|| view.absent("no build or check is"));
    };
    let status = run.end.and_then(|end| end.status);
    match status {
        Some(0) => {
            Judged::new(Verdict::Supported, format!("`{}` ended well", run.name)).by(run_evidence(run))
        }
        // Tests fail for other reasons than that they cannot be built; a signal says nothing of it.
        Some(status) if status < 128 && run.runner.purpose != Purpose::Test => {
            Judged::new(Verdict::Contradicted, format!("`{}` ended with status {status}", run.name))
                .by(run_evidence(run))
                .at(Severity::Medium)
        }
        Some(_) | None => {
            Judged::new(Verdict::Unverifiable, format!("how `{}` ended does not tell", run.name))
        }
    }
}

fn ran(view: &View<'_>) -> Judged {
    let facts = &view.agent.claims.facts;
    let Some(wanted) = view.pending.found.names.first().map(|n| squeeze(n)) else {
        let clause = view.pending.found.clause.to_lowercase();
        let purposes: &[Purpose] = if clause.contains("build") {
            &[Purpose::Build]
        } else if clause.contains("lint") || clause.contains("format") {
            &[Purpose::Lint]
        } else if clause.contains("test") {
            &[Purpose::Test]
        } else {
            return Judged::new(Verdict::Unverifiable, "what was run is not said exactly");
        };
        return match purposes.iter().find_map(|p| facts.runs_of(*p, view.by_ns).next()) {
            Some(run) => Judged::new(Verdict::Supported, format!("`{}` ran", run.name)).by([event(run.seq)]),
            None => alone::outcome(view, purposes)
                .map(|judged| Judged { verdict: Verdict::Supported, severity: None, ..judged })
                .unwrap_or_else(|| view.absent("no such run is")),
        };
    };
    let actions = view.agent.actions.values().rev().filter(|a| a.time_ns <= view.by_ns);
    let by_text =
        actions.filter(|a| a.texts.iter().any(|t| squeeze(t).contains(&wanted))).map(|a| a.seq).next();
    let by_line = || {
        facts
            .executed
            .iter()
            .rev()
            .find(|(at, _, line)| *at <= view.by_ns && squeeze(line).contains(&wanted))
            .map(|(_, seq, _)| *seq)
    };
    if let Some(seq) = by_text.or_else(by_line) {
        return Judged::new(Verdict::Supported, format!("`{}` ran", shorten(&wanted))).by([event(seq)]);
    }
    let called = view.agent.calls.values().rev().find(|c| c.texts().any(|t| squeeze(t).contains(&wanted)));
    if let (false, Some(call)) = (view.record, called) {
        return Judged::new(Verdict::Supported, "by its account alone, it ran").by([call.evidence.clone()]);
    }
    if view.agent.claims.facts.executed_forgotten {
        return Judged::new(Verdict::Unverifiable, "it ran more than is remembered");
    }
    let judged = view.absent("no such execution is");
    // Of a program that is known, and nothing of its kind ran, by whatever name: it is made up.
    let words: Vec<String> = wanted.split(' ').map(str::to_owned).collect();
    let purpose = crate::claims::runner::recognise(&words).map(|runner| runner.purpose);
    match purpose {
        Some(purpose) if judged.verdict == Verdict::Unsupported && view.account_whole() => {
            let account = &view.agent.claims.account;
            let other = facts.runs_of(purpose, view.by_ns).next().is_some()
                || account.runs.iter().any(|run| run.purpose == purpose)
                || view.agent.calls.values().any(|call| {
                    use muster_account::Class::{Delegate, Mcp, Other};
                    matches!(call.class, Delegate | Mcp | Other)
                });
            judged.by([view.pending.said.clone()]).at(if other { Severity::Info } else { Severity::Low })
        }
        _ => judged,
    }
}

/// White space as one blank each: a command and its quotation differ in it.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn before<'a>(list: &'a [Touch], view: &View<'_>) -> Option<&'a Touch> {
    let by_ns = view.by_ns;
    let then = || list.iter().rev().filter(|t| t.time_ns <= by_ns);
    let rank = |t: &&Touch| (t.by_run, t.failed);
    then().min_by_key(rank)
}

fn network(view: &View<'_>) -> Judged {
    let by_record = before(&view.agent.claims.facts.network, view);
    if let (None, Some(judged)) = (by_record, alone::network(view)) {
        return judged;
    }
    match by_record {
        Some(touch) => {
            // Whether a connection that was begun came about, the record does not always tell.
            let did = if touch.failed { "tried to reach" } else { "reached out to" };
            let (who, severity) = match touch.by_run {
                true => ("a run of tests or a build", Severity::Info),
                false => ("a tool of it", Severity::Medium),
            };
            Judged::new(Verdict::Contradicted, format!("{who} {did} `{}`", shorten(&touch.detail)))
                .by([event(touch.seq)])
                .at(view.severity(touch.time_ns, severity))
        }
        None if view.agent.state.coverage.record_whole() && view.record => {
            Judged::new(Verdict::Supported, "no tool of it reached beyond this machine")
        }
        None => Judged::new(Verdict::Unverifiable, "the network was not watched, or not without a gap"),
    }
}

fn secrets(view: &View<'_>) -> Judged {
    match before(&view.agent.claims.facts.secrets, view) {
        Some(touch) => {
            Judged::new(Verdict::Contradicted, format!("a tool of it read `{}`", shorten(&touch.detail)))
                .by([event(touch.seq)])
                .at(view.severity(touch.time_ns, Severity::High))
        }
        None if view.whole => Judged::new(
            Verdict::Supported,
            "none of the files that Muster holds to be sensitive was looked at",
        ),
        None => Judged::new(Verdict::Unverifiable, "its reads were not watched, or not without a gap"),
    }
}

/// The status of a run that had ended by then.
pub(crate) fn ended(run: &Run, view: &View<'_>) -> Option<i32> {
    run.end.filter(|end| end.time_ns <= view.by_ns).and_then(|end| end.status)
}

fn installed(view: &View<'_>) -> Judged {
    match view.agent.claims.facts.runs_of(Purpose::Install, view.by_ns).find(|r| ended(r, view) == Some(0)) {
        Some(run) => {
            Judged::new(Verdict::Supported, format!("`{}` ended well", run.name)).by(run_evidence(run))
        }
        None => alone::outcome(view, &[Purpose::Install])
            .unwrap_or_else(|| view.absent("no installation that ended well is")),
    }
}

fn verified(view: &View<'_>) -> Judged {
    let facts = &view.agent.claims.facts;
    let last = facts.changes_by(view.by_ns).find(|c| c.source && !c.by_run).map_or(0, |c| c.time_ns);
    let looked = facts.executed.iter().rev().find(|(at, ..)| *at <= view.by_ns && *at >= last);
    match looked {
        Some((_, seq, line)) => {
            Judged::new(Verdict::Supported, format!("`{}` ran after the last change", shorten(line)))
                .by([event(*seq)])
        }
        None => {
            looked_at(view, last).unwrap_or_else(|| view.absent("nothing that ran after the last change is"))
        }
    }
}

/// A call that looks at something or runs something after the last change, by the account.
fn looked_at(view: &View<'_>, since: Nanos) -> Option<Judged> {
    use muster_account::Class::{Execute, Fetch, Mcp, Read, Search};
    let account = &view.agent.claims.account;
    let changed = account.edits.iter().rev().find(|e| e.source && !e.void && view.before(e.place));
    let since = since.max(changed.map_or(0, |e| e.place.time_ns));
    let call = view.agent.calls.values().rev().find(|call| {
        let looks =
            matches!(call.class, Read | Search | Fetch | Mcp) || !view.record && call.class == Execute;
        looks && call.time_ns >= since && call.time_ns <= view.by_ns && call.result.is_some()
    })?;
    let what = call.command.as_deref().or(call.paths.first().map(String::as_str)).unwrap_or(&call.tool);
    Some(
        Judged::new(
            Verdict::Supported,
            format!("by its account, `{}` came after the last change", shorten(what)),
        )
        .by([call.evidence.clone()]),
    )
}

/// "No errors": of the kind that is named, or of any run whose outcome is known.
fn no_errors(view: &View<'_>) -> Judged {
    use Purpose::{Build, Install, Lint, Test};
    let clause = view.pending.found.clause.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| clause.contains(word));
    let purposes: &[Purpose] = if has(&["test", "suite", "failure"]) {
        &[Test]
    } else if has(&["build", "compil", "type"]) {
        &[Build, Lint]
    } else if has(&["lint", "warning", "clippy"]) {
        &[Lint]
    } else if has(&["install"]) {
        &[Install]
    } else {
        &[Test, Build, Lint]
    };
    let Some(run) = latest(view, purposes) else {
        return alone::outcome(view, purposes)
            .unwrap_or_else(|| Judged::new(Verdict::Unverifiable, "which errors are meant cannot be told"));
    };
    let changed = view.agent.claims.facts.changes_by(view.by_ns).find(|c| c.source && !c.by_run);
    match run.end.and_then(|end| end.status) {
        Some(_) if changed.is_some_and(|change| change.time_ns > run.time_ns) => {
            Judged::new(Verdict::Unverifiable, "nothing that would show errors ran after the last change")
                .by(run_evidence(run))
        }
        Some(0) => {
            Judged::new(Verdict::Supported, format!("`{}` ended well", run.name)).by(run_evidence(run))
        }
        Some(status)
            if purposes.len() < 3 && !tests_pass::is_part(&clause) && tests_pass::is_failure(view, run) =>
        {
            Judged::new(Verdict::Contradicted, format!("`{}` ended with status {status}", run.name))
                .by(run_evidence(run))
                .at(Severity::Medium)
        }
        Some(_) | None => Judged::new(
            Verdict::Unverifiable,
            format!("`{}` did not end well; whether it is meant cannot be told", run.name),
        )
        .by(run_evidence(run)),
    }
}

fn read(view: &View<'_>) -> Judged {
    let Some(name) = view.pending.found.names.first() else {
        return Judged::new(Verdict::Unverifiable, "what was read is not said exactly");
    };
    let base = crate::roll::name_of(name);
    let called = view.agent.calls.values().rev().find(|call| {
        call.time_ns <= view.by_ns
            && (call.paths.iter().any(|p| crate::roll::name_of(p) == base)
                || call.command.as_deref().is_some_and(|c| c.contains(base)))
    });
    if let Some(call) = called {
        return Judged::new(Verdict::Supported, "a tool call of it names the file")
            .by([call.evidence.clone()]);
    }
    if let Some(touch) =
        view.agent.claims.facts.secrets.iter().rev().find(|t| crate::roll::name_of(&t.detail) == base)
    {
        return Judged::new(Verdict::Supported, format!("a tool of it read `{}`", shorten(&touch.detail)))
            .by([event(touch.seq)]);
    }
    // A whole folder, a difference, a sub-agent: the file may have come with them, or with the task.
    let wide = view.agent.calls.values().any(|call| {
        use muster_account::Class::{Delegate, Execute, Fetch, Mcp, Other, Search};
        matches!(call.class, Delegate | Execute | Fetch | Mcp | Other | Search)
    });
    let given = view.agent.claims.account.user.iter().any(|w| w.text.contains(&base.to_lowercase()));
    if wide || given || !view.account_whole() {
        return Judged::new(Verdict::Unverifiable, "reads of ordinary files are not recorded");
    }
    Judged::new(Verdict::Unsupported, "no call of it read this file").by([view.pending.said.clone()])
}
