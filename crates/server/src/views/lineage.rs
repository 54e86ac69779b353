//! The lineage of an agent as scripts see it.

use muster_engine::{Artefact, Certainty, Descent, Via};
use serde::{Deserialize, Serialize};

use super::{EvidenceView, Field, attribution_name, time};

/// All that belongs to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageView {
    pub agent: String,
    pub parent: Option<String>,
    pub agents: Vec<String>,
    pub processes: Vec<LineageProcessView>,
    pub ended: u64,
    pub descents: Vec<DescentView>,
    pub artefacts: Vec<ArtefactView>,
    pub forgotten: u64,
}

pub const LINEAGE_FIELDS: &[Field] = &[
    ("agent", "string", "name of the agent"),
    ("parent", "string or null", "the agent whose lineage it was started from"),
    (
        "agents",
        "array of string",
        "agents that were started from within it: what belongs to these stands with them",
    ),
    ("processes", "array of lineage.process", "its processes that were not seen to end, the oldest first"),
    ("ended", "integer", "… and how many were"),
    (
        "descents",
        "array of lineage.descent",
        "processes that belong to it, or may, though no fork connects them",
    ),
    ("artefacts", "array of lineage.artefact", "files of it that make others run something"),
    (
        "forgotten",
        "integer",
        "files that it wrote, requests and descents that are no longer remembered: what runs them later is not tied to it",
    ),
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageProcessView {
    pub pid: u32,
    pub start_ns: u64,
    pub from_seq: u64,
    pub by: String,
}

pub const LINEAGE_PROCESS_FIELDS: &[Field] = &[
    ("pid", "integer", "process id"),
    ("start_ns", "integer", "its start, nanoseconds of CLOCK_BOOTTIME, floored to 10 ms"),
    ("from_seq", "integer", "number of the event from which on it belongs"),
    ("by", "string", "`cgroup`, `marker`, `ancestry`, `text`, `artefact`, `request` or `content`"),
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescentView {
    pub pid: u32,
    pub start_ns: u64,
    pub from_seq: u64,
    pub via: String,
    pub path: Option<String>,
    pub mechanism: Option<String>,
    pub service: Option<String>,
    pub certainty: String,
    pub time: String,
    pub summary: String,
    pub evidence: Vec<EvidenceView>,
}

pub const DESCENT_FIELDS: &[Field] = &[
    ("pid", "integer", "process id"),
    ("start_ns", "integer", "its start, nanoseconds of CLOCK_BOOTTIME, floored to 10 ms"),
    ("from_seq", "integer", "number of the event from which on it belongs"),
    ("via", "string", "`artefact`, `request` or `content`"),
    ("path", "string or null", "the file of the lineage that connects them; null: it was asked for"),
    ("mechanism", "string or null", "what makes others run the artefact"),
    ("service", "string or null", "the service that was asked"),
    ("certainty", "string", "`certain`: it joined the lineage; `likely`: it is only listed"),
    ("time", "time", "when it began"),
    ("summary", "string", "one line, in plain words: what connects them, and why it is no more than likely"),
    ("evidence", "array of findings.evidence", "pointers into the record"),
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtefactView {
    pub artefact: String,
    pub path: String,
    pub mechanism: String,
    pub certainty: String,
    pub time: String,
    pub pid: u32,
    pub start_ns: u64,
    pub seq: u64,
    pub commands: Vec<Vec<String>>,
    pub unit: Option<String>,
    pub gone: bool,
}

pub const ARTEFACT_FIELDS: &[Field] = &[
    ("artefact", "string", "id of the artefact: the same agent and path give the same"),
    ("path", "string", "the file"),
    ("mechanism", "string", "what makes others run it, e.g. `cron`"),
    ("certainty", "string", "`certain` or `likely`"),
    ("time", "time", "when it was last written"),
    ("pid", "integer", "the process that wrote it"),
    ("start_ns", "integer", "that one's start"),
    ("seq", "integer", "number of the event"),
    ("commands", "array of array of string", "what it starts, as far as it was read"),
    ("unit", "string or null", "the service manager's name for it"),
    ("gone", "boolean", "the lineage removed it again"),
];

pub fn certainty_name(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Certain => "certain",
        Certainty::Likely => "likely",
    }
}

impl From<&crate::Lineage> for LineageView {
    fn from(lineage: &crate::Lineage) -> Self {
        LineageView {
            agent: lineage.state.agent.clone(),
            parent: lineage.state.parent.clone(),
            agents: lineage.agents.clone(),
            processes: lineage
                .processes
                .iter()
                .map(|member| LineageProcessView {
                    pid: member.process.pid,
                    start_ns: member.process.start_ns,
                    from_seq: member.from_seq,
                    by: attribution_name(member.by).to_owned(),
                })
                .collect(),
            ended: lineage.ended,
            descents: lineage.descents.iter().map(DescentView::from).collect(),
            artefacts: lineage.artefacts.iter().map(ArtefactView::from).collect(),
            forgotten: lineage.state.coverage.lineage_forgotten,
        }
    }
}

impl From<&Descent> for DescentView {
    fn from(descent: &Descent) -> Self {
        let (via, path, mechanism, service) = match &descent.via {
            Via::Artefact { path, mechanism } => ("artefact", Some(path), Some(mechanism), None),
            Via::Request { service } => ("request", None, None, Some(service)),
            Via::Content { path } => ("content", Some(path), None, None),
        };
        DescentView {
            pid: descent.process.pid,
            start_ns: descent.process.start_ns,
            from_seq: descent.from_seq,
            via: via.to_owned(),
            path: path.cloned(),
            mechanism: mechanism.cloned(),
            service: service.cloned(),
            certainty: certainty_name(descent.certainty).to_owned(),
            time: time(descent.time_ns),
            summary: descent.summary.clone(),
            evidence: descent.evidence.iter().map(EvidenceView::from).collect(),
        }
    }
}

impl From<&Artefact> for ArtefactView {
    fn from(artefact: &Artefact) -> Self {
        ArtefactView {
            artefact: artefact.id.clone(),
            path: artefact.path.clone(),
            mechanism: artefact.mechanism.clone(),
            certainty: certainty_name(artefact.certainty).to_owned(),
            time: time(artefact.time_ns),
            pid: artefact.process.pid,
            start_ns: artefact.process.start_ns,
            seq: artefact.seq,
            commands: artefact.commands.clone(),
            unit: artefact.unit.clone(),
            gone: artefact.gone,
        }
    }
}
