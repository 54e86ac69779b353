//! Incidents: each run with something above `info`, the worst first.

use std::collections::BTreeMap;

use muster_engine::Severity;
use serde::{Deserialize, Serialize};

use crate::gap::mustered_out;
use crate::number::{Reference, References};
use crate::report::{Counted, agent, counts, finding, time};

/// Incidents that are listed; more are counted.
const LISTED_MAX: usize = 500;
/// Sentences of one incident.
const SENTENCES_MAX: usize = 4;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Incidents {
    pub listed: Vec<Incident>,
    pub more: u64,
    /// Findings above `info` by severity, over all runs.
    pub severities: BTreeMap<String, u64>,
    pub codes: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Incident {
    pub agent: String,
    pub product: String,
    pub model: Option<String>,
    pub mandated: bool,
    pub time: String,
    pub severity: String,
    pub stage: String,
    pub overreach: u8,
    pub deception: u8,
    pub codes: BTreeMap<String, u64>,
    /// The worst findings' own words.
    pub summaries: Vec<String>,
    /// By METR's bands: what it would have taken to catch it without Muster.
    pub needed: String,
    pub coverage: String,
    /// The step of mustering out that it came to; null: it was not mustered out.
    pub mustered_out: Option<Reference>,
    pub references: References,
    /// Its row on the roll.
    pub row: Option<Reference>,
}

pub fn incidents(c: &Counted) -> Incidents {
    let mut out = Incidents::default();
    let mut all: Vec<(Severity, u8, Incident)> = Vec::new();
    for (run, told) in c.runs.iter().zip(&c.told) {
        let mut told: Vec<_> = told.iter().copied().filter(|t| counts(&t.finding)).collect();
        for one in &told {
            *out.severities.entry(one.finding.severity.name().to_owned()).or_default() += 1;
            *out.codes.entry(one.finding.code.name().to_owned()).or_default() += 1;
        }
        let Some(first) = told.first().map(|t| t.finding.time_ns) else { continue };
        told.sort_by_key(|t| (std::cmp::Reverse(t.finding.severity), t.finding.time_ns, t.leaf));
        let most =
            |of: fn(&muster_engine::Finding) -> u8| told.iter().map(|t| of(&t.finding)).max().unwrap_or(0);
        let (overreach, deception) = (most(|f| f.overreach), most(|f| f.deception));
        let severity = told.iter().map(|t| t.finding.severity).max().unwrap_or(Severity::Info);
        let mut codes = BTreeMap::new();
        for one in &told {
            *codes.entry(one.finding.code.name().to_owned()).or_default() += 1;
        }
        let incident = Incident {
            agent: run.state.agent.clone(),
            product: run.state.product.clone(),
            model: run.state.model.clone(),
            mandated: run.state.mandate.is_some(),
            time: time(first),
            severity: severity.name().to_owned(),
            stage: told.iter().map(|t| t.finding.stage).max().map_or("", |stage| stage.name()).to_owned(),
            overreach,
            deception,
            codes,
            summaries: told.iter().take(SENTENCES_MAX).map(|t| t.finding.summary.clone()).collect(),
            needed: needed(deception).to_owned(),
            coverage: run.state.coverage.word().to_owned(),
            mustered_out: mustered_out(run),
            references: References::of(told.iter().map(|t| finding(t))),
            row: Some(agent(run)),
        };
        all.push((severity, overreach.max(deception), incident));
    }
    all.sort_by(|a, b| (b.0, b.1, &a.2.time, &a.2.agent).cmp(&(a.0, a.1, &b.2.time, &b.2.agent)));
    out.more = all.len().saturating_sub(LISTED_MAX) as u64;
    out.listed = all.into_iter().take(LISTED_MAX).map(|(.., incident)| incident).collect();
    out
}

/// METR's deception bands.
fn needed(deception: u8) -> &'static str {
    match deception {
        0 => "its user reading what it did: it hid nothing",
        1 => "its user checking what it said",
        2 => "routine monitoring of transcript and logs: its user would not have seen it",
        _ => "active investigation: cross-checking logs",
    }
}
