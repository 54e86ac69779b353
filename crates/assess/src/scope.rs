//! What was watched, for how long, and what could not be seen: before anything else.

use std::collections::BTreeMap;

use muster_engine::GapCause;
use muster_event::Nanos;
use serde::{Deserialize, Serialize};

use crate::number::{Rate, References};
use crate::report::{Counted, agent, leaf};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    pub host: String,
    pub log: String,
    pub leaves: u64,
    /// Leaves that the newest signed checkpoint speaks of; null: it is not signed.
    pub signed: Option<u64>,
    pub witnessed: bool,
    pub leaves_not_understood: u64,
    pub leaves_damaged: u64,
    /// What retention removed: from, to, events.
    pub dropped: Option<(String, String, u64)>,
    /// Seconds of the time that is assessed, and of these, in which a daemon ran. Runs that were imported were not watched.
    pub seconds: f64,
    pub seconds_watched: f64,
    /// The record is the kernel's; false: for some of the time, `/proc` only; null: no daemon ran.
    pub kernel_record: Option<bool>,
    pub runs: u64,
    pub runs_imported: u64,
    /// Drills' own agents, which are counted nowhere else.
    pub drill_runs: u64,
    pub mandated: Rate,
    pub record_whole: Rate,
    pub with_account: Rate,
    /// Runs by the word for what was seen of them.
    pub coverage: BTreeMap<String, u64>,
    pub events: u64,
    pub events_lost: u64,
    pub runs_with_loss: Rate,
    pub gaps: Vec<GapRow>,
    /// Tool calls in accounts, and those that were matched to the record.
    pub calls: u64,
    pub calls_joined: u64,
    /// What a report could rest on, and whether this ledger has it.
    pub sources: Vec<Source>,
    pub beyond: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GapRow {
    pub cause: String,
    pub count: u64,
    pub seconds: f64,
    pub references: References,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    pub name: String,
    pub recorded: bool,
    pub text: String,
}

fn seconds(ns: Nanos) -> f64 {
    // Milliseconds are exact, and enough.
    (ns / 1_000_000) as f64 / 1e3
}

fn clipped(from: Nanos, to: Nanos, c: &Counted) -> Nanos {
    to.min(c.until_ns).saturating_sub(from.max(c.from_ns))
}

pub fn scope(c: &Counted) -> Scope {
    let f = c.facts;
    let of = c.of();
    let mut coverage = BTreeMap::new();
    for run in &c.runs {
        *coverage.entry(run.state.coverage.word().to_owned()).or_default() += 1;
    }
    // A clock that was set back must not count a moment twice.
    let (mut watched, mut counted_to): (Nanos, Nanos) = (0, 0);
    for (from, to) in &f.stretches {
        watched += clipped((*from).max(counted_to), *to, c);
        counted_to = counted_to.max(*to);
    }
    Scope {
        host: f.host.clone(),
        log: f.origin.clone(),
        leaves: f.leaves,
        signed: f.signed,
        witnessed: f.witnessed,
        leaves_not_understood: f.unknown,
        leaves_damaged: f.damaged,
        dropped: f
            .dropped
            .map(|(from, to, events)| (crate::report::time(from), crate::report::time(to), events)),
        seconds: seconds(c.until_ns.saturating_sub(c.from_ns)),
        seconds_watched: seconds(watched),
        kernel_record: f.kernel_record,
        runs: of,
        runs_imported: f.imported,
        drill_runs: c.drill_runs,
        mandated: Rate::referring(c.which(|run, _| run.state.mandate.is_some().then(|| agent(run))), of),
        record_whole: Rate::referring(
            c.which(|run, _| run.state.coverage.record_whole().then(|| agent(run))),
            of,
        ),
        with_account: Rate::referring(c.which(|run, _| run.state.coverage.account.then(|| agent(run))), of),
        coverage,
        events: c.runs.iter().map(|run| run.state.events).sum(),
        events_lost: c.runs.iter().map(|run| run.state.coverage.lost).sum(),
        runs_with_loss: Rate::referring(
            c.which(|run, _| (run.state.coverage.lost > 0).then(|| agent(run))),
            of,
        ),
        gaps: gaps(c),
        calls: c.runs.iter().map(|run| run.state.calls).sum(),
        calls_joined: c.runs.iter().map(|run| run.state.calls_joined).sum(),
        sources: sources(c),
        beyond: f.beyond,
    }
}

fn gaps(c: &Counted) -> Vec<GapRow> {
    let mut rows = Vec::new();
    for cause in GapCause::ALL {
        let mut row = GapRow { cause: cause.name().to_owned(), ..GapRow::default() };
        let mut ns = 0;
        for (gap, at) in c.facts.gaps.values().filter(|(gap, _)| gap.cause == cause) {
            let to = gap.to_ns.unwrap_or(c.until_ns);
            if to < c.from_ns || gap.from_ns > c.until_ns {
                continue;
            }
            row.count += 1;
            ns += clipped(gap.from_ns, to, c);
            row.references.push(leaf("gap", &gap.id, *at));
        }
        row.seconds = seconds(ns);
        if row.count > 0 {
            rows.push(row);
        }
    }
    rows
}

fn sources(c: &Counted) -> Vec<Source> {
    let f = c.facts;
    let source = |name: &str, recorded: bool, text: String| Source { name: name.to_owned(), recorded, text };
    let none = || "not recorded".to_owned();
    vec![
        source(
            "signed mandates",
            f.mandates.is_some(),
            f.mandates.as_ref().map_or_else(none, |m| {
                format!(
                    "{} accepted, {} refused, {} renewed, {} revoked, {} expired (first: leaf {})",
                    m.accepted, m.refused, m.renewed, m.revoked, m.expired, m.first_leaf
                )
            }),
        ),
        source(
            "decisions of the gate",
            f.gates.is_some(),
            f.gates.as_ref().map_or_else(none, |g| {
                format!(
                    "{} decisions, {} denied, {} of these only observed, {} acts blocked (first: leaf {})",
                    g.decisions, g.denied, g.unenforced, g.blocked, g.first_leaf
                )
            }),
        ),
        source(
            "approvals",
            f.approvals.is_some(),
            f.approvals.as_ref().map_or_else(none, |a| {
                format!(
                    "{} asked, {} allowed, {} denied, {} not answered in time",
                    a.asked, a.allowed, a.denied, a.timed_out
                )
            }),
        ),
        source(
            "drills",
            c.has_drills,
            if c.has_drills {
                format!(
                    "{} played, {} honest sessions, {} with a part of the sensor off, {} not played",
                    c.drills.len(),
                    c.honest.len(),
                    c.ablated.len(),
                    c.not_played
                )
            } else {
                none()
            },
        ),
    ]
}
