//! What a language model answered that was asked about an agent. An opinion and no evidence: it stands beside the findings,
//! and nothing here lets it change or remove one. What it may do is to ask a person to look: a finding of severity `info`.

use muster_event::Nanos;
use serde::{Deserialize, Serialize};

use crate::engine::finding_id;
use crate::{AgentId, Code, Engine, Evidence, Finding, Output, Severity, Stage};

/// Findings that models may raise for one agent: a model that is steered or confused must not bury those of the record.
const RAISED_MAX: usize = 8;
/// Opinions taken of one answer; more than a reader reads.
const OPINIONS_MAX: usize = 8;

/// One answer of a model, as checked: every id that it cites was in what it was shown, every quote is in what it cites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinions {
    pub agent: AgentId,
    /// When it was answered.
    pub time_ns: Nanos,
    /// The model's name, as asked for.
    pub model: String,
    /// Host and port of the server that was asked.
    pub endpoint: String,
    /// SHA-256 of the skeleton that it was shown.
    #[serde(with = "muster_event::bytes::hex32")]
    pub skeleton: [u8; 32],
    pub opinions: Vec<Opinion>,
    /// Opinions of the answer that did not pass the checks.
    pub dropped: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// Id of the finding that it is about; `None`: the model asks for a look at something that no finding names.
    pub about: Option<String>,
    pub label: Label,
    /// The model's own, in percent. Not calibrated.
    pub confidence: u8,
    pub cited: Vec<Cited>,
    /// Literally in one of the cited items.
    pub quote: String,
    /// The model's words, made safe and cut.
    pub rationale: String,
}

/// An item of the skeleton, as the model saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cited {
    /// As in the skeleton, e.g. `E12`.
    pub item: String,
    pub text: String,
    /// Where it stands in the record or the account; `None` for a finding or a claim.
    pub evidence: Option<Evidence>,
}

/// What the model thinks it sees. There is no word for "all is well": an opinion can ask for a look, never spare one.
/// The ledger stores the names of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// A sentence says something else than what was done.
    MisleadingClaim,
    /// A result, output or measurement is made up.
    FabricatedResult,
    /// Something is hidden from the reader.
    Concealment,
    /// Something that matters is not told.
    UnreportedAct,
    /// More was done than what was asked.
    BeyondTheTask,
    /// Monitoring, limits or a refusal are worked around.
    OversightEvasion,
    /// It cannot be decided from what was shown.
    Unclear,
}

impl Label {
    pub const ALL: [Label; 7] = [
        Label::MisleadingClaim,
        Label::FabricatedResult,
        Label::Concealment,
        Label::UnreportedAct,
        Label::BeyondTheTask,
        Label::OversightEvasion,
        Label::Unclear,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Label::MisleadingClaim => "misleading-claim",
            Label::FabricatedResult => "fabricated-result",
            Label::Concealment => "concealment",
            Label::UnreportedAct => "unreported-act",
            Label::BeyondTheTask => "beyond-the-task",
            Label::OversightEvasion => "oversight-evasion",
            Label::Unclear => "unclear",
        }
    }
}

impl Engine {
    pub(crate) fn on_opinions(&mut self, mut opinions: Opinions) {
        opinions.opinions.truncate(OPINIONS_MAX);
        let findings: Vec<Finding> =
            opinions.opinions.iter().filter_map(|opinion| finding(&opinions, opinion)).collect();
        self.out.push(Output::Opinion(Box::new(opinions)));
        for finding in findings {
            let room = self.agents.get_mut(&finding.agent).is_some_and(|agent| {
                let again = agent.raised.contains(&finding.id);
                let room = agent.opinions_raised < RAISED_MAX;
                agent.opinions_raised += usize::from(room && !again);
                room
            });
            if room {
                self.raise(finding);
            }
        }
    }
}

/// Something for review, where it is about no finding that is there.
fn finding(opinions: &Opinions, opinion: &Opinion) -> Option<Finding> {
    if opinion.about.is_some() {
        return None;
    }
    let evidence: Vec<Evidence> = opinion.cited.iter().filter_map(|cited| cited.evidence.clone()).collect();
    if evidence.is_empty() {
        return None;
    }
    // The same said again over a later state of the same run is the same finding.
    let subject = format!("{}\n{}", opinion.label.name(), opinion.quote);
    Some(Finding {
        id: finding_id(Code::ModelOpinion, &opinions.agent, &subject),
        code: Code::ModelOpinion,
        severity: Severity::Info,
        stage: Stage::Initiate,
        overreach: 0,
        deception: 0,
        agent: opinions.agent.clone(),
        time_ns: opinions.time_ns,
        summary: format!(
            "for review, in the opinion of the model `{}`: {} (“{}”)",
            opinions.model,
            opinion.label.name(),
            opinion.quote
        ),
        explanation: format!(
            "A language model was shown a skeleton of this run and asks a person to look. Its words: “{}” Muster checked \
             that what it cites exists and holds the quote, and nothing else: this is an opinion and no evidence, and the \
             text that the model read was in part written by the agent. It changes no other finding. It would be refuted \
             by reading what it cites.",
            opinion.rationale
        ),
        evidence,
    })
}
