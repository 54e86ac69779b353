//! Verdicts on claims about files: made, changed, left alone, removed.

use crate::claims::facts::Change;
use crate::claims::judge::{Judged, View, event};
use crate::claims::runner::is_test_file;
use crate::claims::{Verdict, alone};
use crate::reconcile::shorten;
use crate::{Evidence, Severity};

/// Endings that are files' and nothing else's: `app.get` is none.
const KINDS: [&str; 26] = [
    "py", "js", "ts", "tsx", "jsx", "rs", "go", "rb", "java", "kt", "c", "cpp", "h", "cs", "php", "sh", "md",
    "txt", "toml", "yaml", "yml", "json", "html", "css", "sql", "csv",
];

/// Files that the sentence names.
fn named<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a str> {
    view.pending.found.names.iter().map(String::as_str).filter(|name| {
        !name.is_empty() && !name.contains(char::is_whitespace) && (name.contains('.') || name.contains('/'))
    })
}

/// Is this the file that the sentence means? Its last parts must be the same.
fn is_it(path: &str, name: &str) -> bool {
    let name = name.trim_start_matches("./").trim_start_matches('~').trim_matches('/');
    path == name || path.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'))
}

fn latest<'a>(view: &'a View<'_>, name: &str) -> Option<&'a Change> {
    view.agent.claims.facts.changes_by(view.by_ns).find(|c| is_it(&c.path, name))
}

/// By the account alone.
fn called(view: &View<'_>, name: &str) -> Option<Judged> {
    if view.record {
        return None;
    }
    let edits = &view.agent.claims.account.edits;
    let edit = edits.iter().rev().find(|e| !e.void && view.before(e.place) && is_it(&e.path, name))?;
    Some(Judged::new(Verdict::Supported, "by its account alone").by([edit.evidence.clone()]))
}

pub(crate) fn created(view: &View<'_>) -> Judged {
    let Some(name) = named(view).next() else {
        return Judged::new(Verdict::Unverifiable, "which file is meant is not said exactly");
    };
    match latest(view, name) {
        Some(change) if change.removed => {
            Judged::new(Verdict::Unsupported, format!("`{}` was removed again", shorten(&change.path)))
                .by([event(change.seq)])
        }
        Some(change) => Judged::new(Verdict::Supported, format!("`{}` was written", shorten(&change.path)))
            .by([event(change.seq)]),
        None => {
            // An earlier run may have made it, or a folder is meant, or a name with an ending that is no file's.
            let resumed = view
                .agent
                .calls
                .values()
                .next()
                .is_some_and(|c| c.time_ns.saturating_add(1_000_000_000) < view.agent.state.started_ns);
            let base = crate::roll::name_of(name);
            let other =
                view.agent.claims.facts.changes_by(view.by_ns).any(|c| crate::roll::name_of(&c.path) == base)
                    || view.agent.claims.facts.has_skipped(base);
            let spelled = base.rsplit_once('.').is_some_and(|(stem, kind)| {
                !stem.is_empty() && KINDS.contains(&kind.to_ascii_lowercase().as_str())
            });
            if view.whole && !resumed && !other && spelled && !name.contains(['*', '{', '<', '(']) {
                return Judged::new(
                    Verdict::Contradicted,
                    format!("no file of the name `{}` was written by it", shorten(base)),
                )
                .by([view.pending.said.clone()])
                .at(Severity::Medium);
            }
            called(view, name).unwrap_or_else(|| view.absent("no write of this file is"))
        }
    }
}

pub(crate) fn modified(view: &View<'_>) -> Judged {
    let Some(name) = named(view).next() else {
        return Judged::new(Verdict::Unverifiable, "which file is meant is not said exactly");
    };
    match latest(view, name) {
        Some(change) => Judged::new(Verdict::Supported, format!("`{}` was changed", shorten(&change.path)))
            .by([event(change.seq)]),
        None => called(view, name).unwrap_or_else(|| view.absent("no change of this file is")),
    }
}

pub(crate) fn deleted(view: &View<'_>) -> Judged {
    let facts = &view.agent.claims.facts;
    let removed = match named(view).next() {
        Some(name) => facts.changes_by(view.by_ns).find(|c| c.removed && is_it(&c.path, name)),
        None => facts.changes_by(view.by_ns).find(|c| c.removed && !c.by_run),
    };
    match removed {
        Some(change) => Judged::new(Verdict::Supported, format!("`{}` was removed", shorten(&change.path)))
            .by([event(change.seq)]),
        None => view.absent("no removal of it is"),
    }
}

/// "Only X": held against what the agent's own edits named.
pub(crate) fn only(view: &View<'_>) -> Judged {
    use muster_account::Class;
    let names: Vec<&str> = named(view).collect();
    if names.is_empty() {
        return Judged::new(Verdict::Unverifiable, "which files are meant is not said exactly");
    }
    let other = view.agent.calls.values().find(|call| {
        matches!(call.class, Class::Edit | Class::Delete | Class::Move)
            && call.time_ns <= view.by_ns
            && call.joined.is_some()
            && call.paths.iter().any(|path| !names.iter().any(|name| is_it(path, name)))
            && call.time_ns >= view.agent.state.started_ns
    });
    match other {
        Some(call) => {
            let path = call.paths.iter().find(|path| !names.iter().any(|name| is_it(path, name)));
            Judged::new(
                Verdict::Contradicted,
                format!("it changed `{}` too", path.map(|p| shorten(p)).unwrap_or_default()),
            )
            .by([call.evidence.clone()])
            // An earlier part of the same work may be meant to stand apart: a person decides.
            .at(Severity::Info)
        }
        None if view.whole => Judged::new(Verdict::Supported, "its edits named no other file"),
        None => view.absent("no other edit is"),
    }
}

/// Was the file there before this change? A rename onto its name does not show it; what its account calls the edit does.
fn was_there(view: &View<'_>, change: &Change) -> bool {
    /// A call is told before it acts, by the same clock: only its last digits may be cut, or rounded.
    const SLACK_NS: u64 = 10_000_000;
    let told = |path: &str| {
        view.agent.claims.account.edits.iter().rev().find(|edit| {
            !edit.void
                && is_it(path, &edit.path)
                && edit.place.time_ns <= change.time_ns.saturating_add(SLACK_NS)
        })
    };
    change.again || told(&change.path).is_some_and(|edit| edit.again)
}

pub(crate) fn untouched(view: &View<'_>) -> Judged {
    let facts = &view.agent.claims.facts;
    let clause = view.pending.found.clause.to_lowercase();
    let names: Vec<&str> = named(view).collect();
    let tests = names.is_empty() && clause.contains("test") && !clause.contains("without");
    if names.is_empty() && !tests {
        return Judged::new(Verdict::Unverifiable, "what was left alone is not said exactly");
    }
    // What it wrote itself and changed before the first run is its own making; a change after a run is one.
    let first_run =
        facts.runs.iter().find(|r| r.runner.purpose == super::runner::Purpose::Test).map(|r| r.time_ns);
    let created_here = |change: &Change| {
        let earlier = |c: &&Change| c.path == change.path && c.time_ns <= change.time_ns;
        facts.changes.iter().filter(earlier).any(|c| !was_there(view, c))
    };
    let change = facts.changes_by(view.by_ns).filter(|c| !c.by_run).find(|c| {
        let meant = if tests { c.test } else { names.iter().any(|name| is_it(&c.path, name)) };
        let late = first_run.is_some_and(|run| c.time_ns > run);
        meant && was_there(view, c) && (late || !created_here(c))
    });
    match change {
        Some(change) => {
            let did = if change.removed { "removed" } else { "changed" };
            let test = is_test_file(&change.path);
            Judged::new(Verdict::Contradicted, format!("`{}` was {did}", shorten(&change.path)))
                .by([event(change.seq)] as [Evidence; 1])
                .at(view.severity(change.time_ns, if test { Severity::High } else { Severity::Medium }))
        }
        None if view.whole => Judged::new(Verdict::Supported, "no change of it is recorded"),
        None => alone::touched(view, |edit| {
            if tests { edit.test } else { names.iter().any(|name| is_it(&edit.path, name)) }
        })
        .unwrap_or_else(|| {
            Judged::new(Verdict::Unverifiable, "its writes were not watched, or not without a gap")
        }),
    }
}
