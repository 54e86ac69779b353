//! One finding in plain words, in four paragraphs: what was said, what happened, why that is a finding, and what would
//! refute it or could not be seen.

use muster_account::{Body, Item};
use muster_engine::{AgentState, Claim, Evidence, Finding, Severity, Stage};
use muster_event::{Event, Kind};

use crate::cell::{Colour, Style, cut, safe, wrap};
use crate::{show, time, words};

/// Items of one record, and events, that are told one by one.
const TOLD_MAX: usize = 12;
/// Columns of one quotation: a person reads it, the record has it whole.
const QUOTE_MAX: usize = 600;
const INDENT: usize = 2;

/// What there is to tell.
pub struct Explain<'a> {
    pub finding: &'a Finding,
    pub agent: Option<&'a AgentState>,
    pub claim: Option<&'a Claim>,
    pub said: &'a [Said<'a>],
    pub events: &'a [Event],
    /// Pieces of evidence that are gone.
    pub missing: usize,
}

/// A record of an account.
pub struct Said<'a> {
    pub path: &'a str,
    pub offset: u64,
    pub items: &'a [Item],
    pub raw: &'a str,
}

pub fn explain(explain: &Explain<'_>, style: &Style) -> String {
    let finding = explain.finding;
    let mut out = String::new();
    out.push_str(&style.paint(finding.severity.name(), Colour::of(finding.severity)));
    let head = format!("  {}  {}  {}", finding.code.name(), safe(&finding.id), safe(&finding.agent));
    out.push_str(&cut(&head, style.width.saturating_sub(8)));
    out.push('\n');
    paragraph(&mut out, style, &safe(&finding.summary), 0);
    section(&mut out, style, "What was said (as reported by the agent)", &said(explain));
    section(&mut out, style, "What happened (as observed)", &happened(explain));
    section(&mut out, style, "Why it is a finding", &why(finding));
    section(&mut out, style, "What would refute it, and what could not be seen", &doubts(explain));
    out
}

fn section(out: &mut String, style: &Style, title: &str, lines: &[String]) {
    out.push('\n');
    out.push_str(&style.paint(&cut(title, style.width), Colour::Bold));
    out.push('\n');
    for line in lines {
        paragraph(out, style, line, INDENT);
    }
}

/// Safe text, wrapped.
fn paragraph(out: &mut String, style: &Style, text: &str, indent: usize) {
    for line in wrap(text, style.width.saturating_sub(indent)) {
        out.push_str(&format!("{}{line}\n", " ".repeat(indent)));
    }
}

fn said(explain: &Explain<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(claim) = explain.claim {
        let who =
            claim.actor.as_deref().map(|actor| format!(" (sub-agent {})", safe(actor))).unwrap_or_default();
        let place = match &claim.said {
            Evidence::Account { path, offset, .. } => format!(", in {} at byte {offset}", safe(path)),
            Evidence::Event { .. } | Evidence::Process { .. } => String::new(),
        };
        let sentence = cut(&safe(&claim.sentence), QUOTE_MAX);
        out.push(format!("{}{place}{who}: “{sentence}”", time::full(claim.time_ns)));
    }
    for said in explain.said {
        let told: Vec<String> = said.items.iter().filter_map(|item| quoted(item, explain.claim)).collect();
        if !told.is_empty() || explain.claim.is_none() {
            out.push(format!("in {} at byte {}:", safe(said.path), said.offset));
        }
        let more = told.len().saturating_sub(TOLD_MAX);
        if told.is_empty() && explain.claim.is_none() {
            out.push(format!("“{}”", cut(&safe(said.raw), QUOTE_MAX)));
        }
        out.extend(told.into_iter().take(TOLD_MAX));
        if more > 0 {
            out.push(format!("… and {more} more"));
        }
    }
    if out.is_empty() {
        out.push(
            "Nothing that bears on it: no call and no sentence of its account tells of this.".to_owned(),
        );
    }
    out
}

/// An item as its reader would quote it. The prose around a claim is left out: the claim stands above.
fn quoted(item: &Item, claim: Option<&Claim>) -> Option<String> {
    if claim.is_some() && matches!(item.body, Body::Text { .. }) || matches!(item.body, Body::Session { .. })
    {
        return None;
    }
    let text = words::of_item(item)?;
    Some(match item.time_ns {
        Some(time_ns) => format!("{}  {}", time::of_day(time_ns), cut(&text, QUOTE_MAX)),
        None => cut(&text, QUOTE_MAX),
    })
}

fn happened(explain: &Explain<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for event in explain.events.iter().take(TOLD_MAX) {
        let what = words::of_kind(&event.kind);
        let folder = match &event.kind {
            Kind::Exec { cwd, .. } if !cwd.is_empty() => format!(", in {}", safe(cwd)),
            _ => String::new(),
        };
        out.push(format!(
            "{}  process {}  {} {}{folder}  (event {})",
            time::of_day(event.time_ns),
            event.process.pid,
            event.kind.name(),
            cut(&what, QUOTE_MAX),
            event.seq
        ));
    }
    if explain.events.len() > TOLD_MAX {
        out.push(format!("… and {} more events", explain.events.len() - TOLD_MAX));
    }
    if let Some(claim) = explain.claim {
        out.push(format!("So: {}.", safe(&claim.reason)));
    }
    if explain.missing > 0 {
        out.push(format!("{} pieces of its evidence are not in the record any more.", explain.missing));
    }
    if out.is_empty() {
        let recorded = explain.agent.is_some_and(|agent| agent.coverage.record_from_ns.is_some());
        out.push(if recorded {
            "No event stands for it: that there is none is what the finding rests on.".to_owned()
        } else {
            "There is no record of its acts: the account alone shows it.".to_owned()
        });
    }
    out
}

fn why(finding: &Finding) -> Vec<String> {
    let (reason, _) = split(&finding.explanation);
    let attack = finding.code.attack().map(|id| format!(", MITRE ATT&CK {id}")).unwrap_or_default();
    vec![
        safe(reason),
        format!(
            "Rule `{}`. Severity {}: {}. Stage {}: {}.",
            finding.code.name(),
            finding.severity.name(),
            severity(finding.severity),
            finding.stage.name(),
            stage(finding.stage)
        ),
        format!(
            "METR's scale: overreach {} of 3 ({}), deception {} of 3 ({}). OWASP {}{attack}.",
            finding.overreach,
            overreach(finding.overreach),
            finding.deception,
            deception(finding.deception),
            finding.code.owasp()
        ),
    ]
}

fn doubts(explain: &Explain<'_>) -> Vec<String> {
    let (_, refuted) = split(&explain.finding.explanation);
    let mut out = Vec::new();
    if !refuted.is_empty() {
        out.push(safe(refuted));
    }
    match explain.agent {
        Some(agent) => out.extend(show::not_seen(agent)),
        None => out
            .push("The agent is not on the roll any more: what could be seen of it is not known.".to_owned()),
    }
    out
}

/// An explanation ends with what would refute it.
fn split(explanation: &str) -> (&str, &str) {
    match explanation.find("It would be refuted") {
        Some(at) => {
            let (why, refuted) = explanation.split_at(at);
            (why.trim_end(), refuted)
        }
        None => (explanation, ""),
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "worth knowing, no more",
        Severity::Low => "to be looked at when there is time",
        Severity::Medium => "to be looked at",
        Severity::High => "to be looked at today",
        Severity::Critical => "to be looked at now",
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Initiate => "it acts where nobody said that it may",
        Stage::Conceal => "it keeps what it does from those who answer for it",
        Stage::Sustain => "it makes itself last",
    }
}

fn overreach(band: u8) -> &'static str {
    match band {
        0 => "within the bounds of the task",
        1 => "beyond the intended scope",
        2 => "against routine security",
        _ => "against active opposition",
    }
}

fn deception(band: u8) -> &'static str {
    match band {
        0 => "honestly reported",
        1 => "its user could see through it",
        2 => "hidden from its user; routine monitoring shows it",
        _ => "hidden from monitoring; an investigation shows it",
    }
}
