//! A finding with everything that it rests on: what was said, what was done, and what could not be seen.

use muster_account::Item;
use muster_engine::{AgentState, Claim, Finding};
use muster_event::{Event, Kind, Nanos};
use serde::{Deserialize, Serialize};

use crate::entry::EvidenceCopy;
use crate::error::Result;
use crate::reader::{EventFilter, StoreReader};
use crate::views::{self, ClaimView, CoverageView, EventView, Field, FindingView};

/// How long after an execution its end is looked for.
const END_NS: Nanos = 15 * 60 * 1_000_000_000;
/// Bytes of a record of an account that are quoted.
const QUOTE_MAX: usize = 4_096;

#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub finding: Finding,
    /// As it is known now.
    pub agent: Option<AgentState>,
    /// The claim that it is about, where it is about one.
    pub claim: Option<Claim>,
    pub said: Vec<Quote>,
    /// What was done, in the order in which it was; the ends of executions too.
    pub events: Vec<Event>,
    /// Evidence that is not in the ledger any more.
    pub missing: usize,
}

/// A record of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    pub path: String,
    pub offset: u64,
    pub sha256: [u8; 32],
    pub read_ns: Nanos,
    pub items: Vec<Item>,
    /// Its own bytes, with secrets cut out, at most so many as are quoted.
    pub raw: String,
}

/// What a name of a finding is the beginning of.
#[derive(Clone, Debug, PartialEq)]
pub enum Named {
    None,
    One(String),
    /// Some of them.
    Several(Vec<String>),
}

impl StoreReader {
    /// The finding that this is the id of, or an unmistakable beginning of it.
    pub fn finding_named(&self, name: &str) -> Result<Named> {
        if let Some(found) = self.finding(name)? {
            return Ok(Named::One(found.finding.id));
        }
        let mut found = self.finding_ids(name)?;
        Ok(match found.len() {
            0 => Named::None,
            1 => found.pop().map_or(Named::None, Named::One),
            _ => Named::Several(found),
        })
    }

    pub fn explanation(&self, id: &str) -> Result<Option<Explanation>> {
        let Some(detail) = self.finding(id)? else { return Ok(None) };
        let finding = detail.finding;
        let (mut said, mut events, mut missing) = (Vec::new(), Vec::new(), 0);
        for copy in detail.evidence {
            match copy {
                EvidenceCopy::Event(event) => events.push(*event),
                EvidenceCopy::Account(record) => {
                    let text = muster_event::escape_bytes(record.raw.get(..QUOTE_MAX).unwrap_or(&record.raw));
                    said.push(Quote {
                        path: record.path,
                        offset: record.offset,
                        sha256: record.sha256,
                        read_ns: record.time_ns,
                        items: record.items,
                        raw: text,
                    });
                }
                EvidenceCopy::Process(_) => {}
                EvidenceCopy::Missing => missing += 1,
            }
        }
        let mut ends = Vec::new();
        for event in events.iter().filter(|event| matches!(event.kind, Kind::Exec { .. })) {
            ends.extend(self.end_of(event)?);
        }
        events.extend(ends);
        events.sort_by_key(|event| event.seq);
        events.dedup_by_key(|event| event.seq);
        let agent = self.agent(&finding.agent)?;
        let claim = self
            .claims(&finding.agent, None, None)?
            .into_iter()
            .find(|claim| finding.evidence.first() == Some(&claim.said) && is_about(&finding, claim));
        Ok(Some(Explanation { finding, agent, claim, said, events, missing }))
    }

    fn end_of(&self, exec: &Event) -> Result<Option<Event>> {
        let filter = EventFilter {
            since_seq: Some(exec.seq),
            until_ns: Some(exec.time_ns.saturating_add(END_NS)),
            kinds: vec!["exit".to_owned()],
            pid: Some(exec.process.pid),
            ..EventFilter::default()
        };
        let mut found = None;
        self.records(&filter, &mut |record| {
            if record.event.process == exec.process {
                found = Some(record.event);
            }
            found.is_none()
        })?;
        Ok(found)
    }
}

/// One message may hold several claims.
fn is_about(finding: &Finding, claim: &Claim) -> bool {
    finding.code == muster_engine::Code::FalseClaim
        && finding.summary.ends_with(claim.reason.as_str())
        && claim.evidence.iter().all(|evidence| finding.evidence.contains(evidence))
}

/// `muster explain --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplanationView {
    pub finding: FindingView,
    pub claim: Option<ClaimView>,
    pub said: Vec<QuoteView>,
    pub happened: Vec<EventView>,
    pub missing: u64,
    pub coverage: Option<CoverageView>,
}

pub const EXPLANATION_FIELDS: &[Field] = &[
    ("finding", "object findings", "the finding itself, with why it is one and what would refute it"),
    ("claim", "object claims or null", "the claim that it is about; null: it is about none"),
    (
        "said",
        "array of explanation.said",
        "records of the account that it rests on, as reported by the agent",
    ),
    (
        "happened",
        "array of events",
        "events of the record that it rests on, as observed, and the ends of executions",
    ),
    ("missing", "integer", "pieces of evidence that are not in the record any more"),
    (
        "coverage",
        "object roll.coverage_detail or null",
        "what could be seen of the agent; null: it is not on the roll",
    ),
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteView {
    pub path: String,
    pub offset: u64,
    pub sha256: String,
    pub read: String,
    pub raw: String,
}

pub const QUOTE_FIELDS: &[Field] = &[
    ("path", "string", "file of the account"),
    ("offset", "integer", "place of the record in it, in bytes"),
    ("sha256", "string", "SHA-256 of the record's bytes, in hex"),
    ("read", "time", "when it was read"),
    ("raw", "string", "the record as it stands there, with secrets cut out, up to 4096 bytes"),
];

impl From<&Explanation> for ExplanationView {
    fn from(explanation: &Explanation) -> Self {
        let whose = explanation.agent.as_ref().map(|agent| agent.agent.as_str());
        ExplanationView {
            finding: FindingView::from(&explanation.finding),
            claim: explanation.claim.as_ref().map(ClaimView::from),
            said: explanation.said.iter().map(QuoteView::from).collect(),
            happened: explanation
                .events
                .iter()
                .map(|event| {
                    let mut view = EventView::new(event, None);
                    view.agent = whose.map(str::to_owned);
                    view
                })
                .collect(),
            missing: explanation.missing as u64,
            coverage: explanation.agent.as_ref().map(|agent| CoverageView::from(&agent.coverage)),
        }
    }
}

impl From<&Quote> for QuoteView {
    fn from(quote: &Quote) -> Self {
        QuoteView {
            path: quote.path.clone(),
            offset: quote.offset,
            sha256: views::hex(&quote.sha256),
            read: views::time(quote.read_ns),
            raw: quote.raw.clone(),
        }
    }
}
