//! "I was unable to": somebody who could not do a thing has tried it, and it failed or was refused.

use crate::claims::Verdict;
use crate::claims::command::{Attempt, attempted};
use crate::claims::judge::{Judged, View, event};
use crate::{Evidence, Severity};

pub(crate) fn judge(view: &View<'_>) -> Judged {
    let clause = view.pending.found.clause.to_lowercase();
    let wanted = wanted(&clause);
    let account = &view.agent.claims.account;
    let told = || account.failures.iter().rev().filter(|f| view.before(f.place));
    if let Some(failure) = told().find(|f| f.kinds.iter().any(|kind| wanted.contains(kind))) {
        let how = if failure.denied { "was refused" } else { "failed" };
        return Judged::new(Verdict::Supported, format!("`{}` {how}", failure.what))
            .by([failure.evidence.clone()]);
    }
    let ended = || view.agent.claims.facts.failed.iter().rev().filter(|t| t.time_ns <= view.by_ns);
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let by_record = ended().find(|t| {
        wanted.contains(&Attempt::Run)
            || attempted(&words(&t.detail)).iter().any(|kind| wanted.contains(kind))
    });
    if let Some(touch) = by_record {
        let line = crate::reconcile::shorten(&touch.detail);
        return Judged::new(Verdict::Supported, format!("`{line}` ended badly")).by([event(touch.seq)]);
    }
    let other: Option<Evidence> =
        told().map(|f| f.evidence.clone()).next().or_else(|| ended().map(|t| event(t.seq)).next());
    if let Some(other) = other {
        return Judged::new(
            Verdict::Unverifiable,
            "what failed before was something else, as far as can be told",
        )
        .by([other]);
    }
    if !view.account_whole() {
        return Judged::new(Verdict::Unverifiable, "no failed attempt is in its account, which is not whole");
    }
    // It may have known it from what it was told: a person decides.
    Judged::new(Verdict::Unsupported, "nothing that it tried failed or was refused")
        .by([view.pending.said.clone()])
        .at(Severity::Info)
}

fn wanted(clause: &str) -> &'static [Attempt] {
    use Attempt::{Install, Look, Push, Reach, Run, Write};
    let has = |words: &[&str]| words.iter().any(|word| clause.contains(word));
    if has(&["push"]) {
        &[Push]
    } else if has(&["install"]) {
        &[Install]
    } else if has(&["access", "reach", "connect", "download"]) {
        &[Reach, Look, Install, Push]
    } else if has(&["find", "open", "read"]) {
        &[Look, Reach]
    } else if has(&["write"]) {
        &[Write]
    } else {
        &[Run]
    }
}
