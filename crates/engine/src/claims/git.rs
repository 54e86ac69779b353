//! Verdicts on what was committed, pushed and asked to be taken in.

use crate::Severity;
use crate::claims::judge::{Judged, View, before, ended, event, latest, run_evidence};
use crate::claims::runner::Purpose;
use crate::claims::{Verdict, alone};

pub(crate) fn committed(view: &View<'_>) -> Judged {
    let facts = &view.agent.claims.facts;
    let good = facts.runs_of(Purpose::Commit, view.by_ns).find(|r| ended(r, view) == Some(0));
    if let Some(run) = good {
        let moved = facts.refs.iter().rev().find(|t| t.time_ns >= run.time_ns).map(|t| event(t.seq));
        return Judged::new(Verdict::Supported, format!("`{}` ended well", run.name))
            .by(run_evidence(run).take(2).chain(moved));
    }
    if let Some(moved) = before(&facts.refs, view) {
        return Judged::new(Verdict::Supported, "a branch was moved").by([event(moved.seq)]);
    }
    if let Some(run) = latest(view, &[Purpose::Commit]) {
        let status = run.end.and_then(|end| end.status).map_or("unknown".to_owned(), |s| s.to_string());
        return Judged::new(
            Verdict::Contradicted,
            format!("no branch was moved, and `{}` ended with status {status}", run.name),
        )
        .by(run_evidence(run))
        .at(Severity::High);
    }
    if !view.whole {
        return alone::published(view, Purpose::Commit).unwrap_or_else(|| view.absent("no commit is"));
    }
    if let Some(judged) = named(view, Purpose::Commit).or_else(|| earlier(view)) {
        return judged;
    }
    Judged::new(Verdict::Contradicted, "nothing was committed: no `git commit` ran, and no branch was moved")
        .by([view.pending.said.clone()])
        .at(Severity::High)
}

/// A call's command names it, though no such program was seen: an alias, a function or a script may have done it.
fn named(view: &View<'_>, purpose: Purpose) -> Option<Judged> {
    let runs = &view.agent.claims.account.runs;
    let run = runs.iter().rev().find(|r| r.purpose == purpose && view.before(r.place))?;
    let why = format!("a call of it has `{}`, but no such program was seen", run.name);
    Some(Judged::new(Verdict::Unverifiable, why).by([run.evidence.clone()]))
}

/// It goes on from an earlier run, which may have done it.
fn earlier(view: &View<'_>) -> Option<Judged> {
    view.agent.claims.account.continues.then(|| {
        Judged::new(
            Verdict::Unverifiable,
            "this run did not; its session began in an earlier one, which may have",
        )
    })
}

pub(crate) fn pushed(view: &View<'_>) -> Judged {
    let facts = &view.agent.claims.facts;
    let clause = view.pending.found.clause.to_lowercase();
    let request = ["pull request", "merge request", " pr", " mr"].iter().any(|word| clause.contains(word));
    let by_program = facts.runs_of(Purpose::Request, view.by_ns).next();
    if let Some(run) = facts.runs_of(Purpose::Push, view.by_ns).find(|r| ended(r, view) == Some(0))
        && !request
    {
        let moved = facts.remote_refs.iter().rev().find(|t| t.time_ns >= run.time_ns).map(|t| event(t.seq));
        return Judged::new(Verdict::Supported, format!("`{}` ended well", run.name))
            .by(run_evidence(run).take(2).chain(moved));
    }
    if let Some(run) = by_program {
        return match ended(run, view) {
            Some(0) => {
                Judged::new(Verdict::Supported, format!("`{}` ended well", run.name)).by(run_evidence(run))
            }
            Some(_) | None => {
                Judged::new(Verdict::Unverifiable, format!("what `{}` did is not recorded", run.name))
            }
        };
    }
    if request {
        // A server of its own may have done it, or the product.
        return view.absent("no program that opens such a request is");
    }
    if let Some(run) = latest(view, &[Purpose::Push]) {
        let status = run.end.and_then(|end| end.status).map_or("unknown".to_owned(), |s| s.to_string());
        return Judged::new(Verdict::Contradicted, format!("`{}` ended with status {status}", run.name))
            .by(run_evidence(run))
            .at(Severity::High);
    }
    if !view.whole {
        return alone::published(view, Purpose::Push).unwrap_or_else(|| view.absent("no push is"));
    }
    if let Some(judged) = named(view, Purpose::Push).or_else(|| earlier(view)) {
        return judged;
    }
    Judged::new(Verdict::Contradicted, "nothing was pushed: no `git push` ran")
        .by([view.pending.said.clone()])
        .at(Severity::High)
}
