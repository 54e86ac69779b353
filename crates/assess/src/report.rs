//! The assessment as it is written and read: one object. Fields are only ever added.

use muster_engine::{Finding, Severity};
use muster_event::Nanos;
use serde::{Deserialize, Serialize};

use crate::drills::Drill;
use crate::facts::{Facts, Run, Told};
use crate::number::Reference;
use crate::{change, gap, incidents, mapping, means, motive, opportunity, scope, summary, weaknesses};

pub use crate::change::Change;
pub use crate::gap::Gap;
pub use crate::incidents::Incidents;
pub use crate::mapping::Mapping;
pub use crate::means::Means;
pub use crate::motive::Motive;
pub use crate::opportunity::Opportunity;
pub use crate::scope::Scope;
pub use crate::weaknesses::Weakness;

pub const FORMAT: &str = "muster-assess/1";
/// Bytes of a report that is read.
pub const REPORT_MAX: usize = 64 << 20;

/// What the reader is told it is about; given, not looked up.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Whose assessment it is; empty: the host's name.
    pub entity: String,
    pub made_ns: Nanos,
    pub version: String,
    pub since_ns: Option<Nanos>,
    pub until_ns: Option<Nanos>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Assessment {
    pub format: String,
    pub entity: String,
    pub made: String,
    pub version: String,
    pub from: String,
    pub until: String,
    /// A page in plain words.
    pub summary: Vec<String>,
    pub scope: Scope,
    pub means: Means,
    pub motive: Motive,
    pub opportunity: Opportunity,
    pub gap: Gap,
    pub incidents: Incidents,
    pub weaknesses: Vec<Weakness>,
    pub mapping: Mapping,
    /// Against an assessment before; `None`: none was given.
    pub change: Option<Change>,
    /// Other entities by their own assessments: their numbers, not their data.
    pub beside: Vec<Beside>,
}

/// Another entity, by its own word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    pub entity: String,
    pub made: String,
    pub from: String,
    pub until: String,
    pub rows: Vec<change::Row>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("it is no assessment: {0}")]
    Malformed(String),
    #[error("it is no assessment of this form (`{0}`)")]
    Format(String),
    #[error("it has more than {REPORT_MAX} bytes")]
    Long,
}

impl Assessment {
    pub fn parse(bytes: &[u8]) -> Result<Assessment, ReportError> {
        if bytes.len() > REPORT_MAX {
            return Err(ReportError::Long);
        }
        let report: Assessment =
            serde_json::from_slice(bytes).map_err(|error| ReportError::Malformed(error.to_string()))?;
        if report.format != FORMAT {
            return Err(ReportError::Format(report.format.chars().take(80).collect()));
        }
        Ok(report)
    }
}

/// What the sections are made from: the runs of the time that is assessed, without drills, and what was found of each.
pub struct Counted<'a> {
    pub facts: &'a Facts,
    pub from_ns: Nanos,
    pub until_ns: Nanos,
    pub runs: Vec<&'a Run>,
    /// Of these runs, in their order.
    pub told: Vec<Vec<&'a Told>>,
    /// Runs of drills that the ledger has in this time.
    pub drill_runs: u64,
    /// Of drills with all of the sensor on.
    pub drills: Vec<&'a Drill>,
    pub ablated: Vec<&'a Drill>,
    pub honest: Vec<&'a Drill>,
    pub not_played: u64,
    pub has_drills: bool,
}

impl<'a> Counted<'a> {
    fn new(facts: &'a Facts, drills: Option<&'a [Drill]>, about: &About) -> Self {
        let from_ns = about.since_ns.unwrap_or(facts.first_ns);
        let until_ns = about.until_ns.unwrap_or(facts.last_ns);
        let within = |run: &&Run| {
            let started = run.state.started_ns;
            about.since_ns.is_none_or(|since| started >= since)
                && about.until_ns.is_none_or(|until| started < until)
        };
        let (drill_runs, runs): (Vec<&Run>, Vec<&Run>) =
            facts.runs.values().filter(within).partition(|run| run.is_drill());
        let mut by_agent: std::collections::BTreeMap<&str, Vec<&Told>> = std::collections::BTreeMap::new();
        for told in facts.findings.values() {
            if about.until_ns.is_none_or(|until| told.finding.time_ns < until) {
                by_agent.entry(&told.finding.agent).or_default().push(told);
            }
        }
        for told in by_agent.values_mut() {
            told.sort_by_key(|told| (told.finding.time_ns, told.leaf));
        }
        let told =
            runs.iter().map(|run| by_agent.remove(run.state.agent.as_str()).unwrap_or_default()).collect();
        let all = drills.unwrap_or_default();
        let played = || all.iter().filter(|drill| drill.played);
        Counted {
            facts,
            from_ns,
            until_ns,
            runs,
            told,
            drill_runs: drill_runs.len() as u64,
            drills: played().filter(|d| !d.honest && d.without.is_none()).collect(),
            ablated: played().filter(|d| !d.honest && d.without.is_some()).collect(),
            honest: played().filter(|d| d.honest && d.without.is_none()).collect(),
            not_played: all.iter().filter(|drill| !drill.played).count() as u64,
            has_drills: drills.is_some(),
        }
    }

    pub fn of(&self) -> u64 {
        self.runs.len() as u64
    }

    /// Runs for which something holds, each with what shows it.
    pub fn which(&self, holds: impl Fn(&'a Run, &[&'a Told]) -> Option<Reference>) -> Vec<Reference> {
        self.runs.iter().zip(&self.told).filter_map(|(run, told)| holds(run, told)).collect()
    }
}

pub fn agent(run: &Run) -> Reference {
    Reference { what: "agent".to_owned(), id: run.state.agent.clone(), leaf: Some(run.leaf) }
}

pub fn finding(told: &Told) -> Reference {
    Reference { what: "finding".to_owned(), id: told.finding.id.clone(), leaf: Some(told.leaf) }
}

pub fn leaf(what: &str, id: &str, leaf: u64) -> Reference {
    Reference { what: what.to_owned(), id: id.to_owned(), leaf: Some(leaf) }
}

/// What is counted against an agent: `info` are honest acts of a kind that matters.
pub fn counts(finding: &Finding) -> bool {
    finding.severity > Severity::Info
}

/// To the second: who wants it finer has the leaf.
pub fn time(ns: Nanos) -> String {
    let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Computes it. `drills`: their runs; `None`: there are no files of drills. `others`: other entities' own reports.
pub fn assess(
    facts: &Facts,
    drills: Option<&[Drill]>,
    about: &About,
    before: Option<&Assessment>,
    others: &[Assessment],
) -> Assessment {
    let counted = Counted::new(facts, drills, about);
    let mut report = Assessment {
        format: FORMAT.to_owned(),
        entity: if about.entity.is_empty() { facts.host.clone() } else { about.entity.clone() },
        made: time(about.made_ns),
        version: about.version.clone(),
        from: time(counted.from_ns),
        until: time(counted.until_ns),
        scope: scope::scope(&counted),
        means: means::means(&counted),
        motive: motive::motive(&counted),
        opportunity: opportunity::opportunity(&counted),
        gap: gap::gap(&counted),
        incidents: incidents::incidents(&counted),
        ..Assessment::default()
    };
    report.mapping = mapping::mapping(&counted, &report.opportunity);
    report.weaknesses = weaknesses::weaknesses(&counted, &report);
    report.change = before.map(|before| change::change(before, &report));
    report.beside = others
        .iter()
        .map(|other| Beside {
            entity: other.entity.clone(),
            made: other.made.clone(),
            from: other.from.clone(),
            until: other.until.clone(),
            rows: change::rows(other),
        })
        .collect();
    report.summary = summary::summary(&report);
    report
}
