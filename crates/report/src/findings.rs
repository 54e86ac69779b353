//! Findings and events, as lines.

use muster_engine::{Evidence, Finding};
use muster_event::Event;

use crate::cell::{Colour, Style, cut, fit, right, safe, width, wrap};
use crate::{time, words};

/// A list: one line each, then the reason, indented.
pub fn findings(list: &[Finding], style: &Style) -> String {
    if list.is_empty() {
        return "no findings\n".to_owned();
    }
    list.iter().map(|finding| lines(finding, style)).collect()
}

fn lines(finding: &Finding, style: &Style) -> String {
    let severity = fit(finding.severity.name(), 8);
    let head = format!(
        "{}  {}  {}  {}",
        time::full(finding.time_ns),
        finding.code.name(),
        finding.stage.name(),
        safe(&finding.agent)
    );
    let mut out = style.paint(&severity, Colour::of(finding.severity));
    out.push_str(&cut(&format!("  {head}"), style.width.saturating_sub(8)));
    out.push('\n');
    for line in wrap(&safe(&finding.summary), style.width.saturating_sub(10)) {
        out.push_str(&format!("          {line}\n"));
    }
    let id = format!("          {}", safe(&finding.id));
    out.push_str(&style.paint(&cut(&id, style.width), Colour::Dim));
    out.push('\n');
    out
}

/// One finding whole: the reason, and the events that decide it.
pub fn finding(finding: &Finding, evidence: &[Event], style: &Style) -> String {
    let mut out = lines(finding, style);
    out.push('\n');
    for line in wrap(&safe(&finding.explanation), style.width) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push_str("\nevidence:\n");
    for pointer in &finding.evidence {
        let line = match pointer {
            Evidence::Event { seq } => match evidence.iter().find(|e| e.seq == *seq) {
                Some(event) => {
                    format!("#{seq} {}", event_line(event, None, &Style { colour: false, width: usize::MAX }))
                }
                None => format!("#{seq} (not in the record when the finding was made)"),
            },
            Evidence::Account { path, offset, .. } => format!("account {} at byte {offset}", safe(path)),
            Evidence::Process { pid, .. } => format!("process {pid}, which was there before Muster"),
        };
        out.push_str(&cut(&format!("  {line}"), style.width));
        out.push('\n');
    }
    out
}

/// One event: time, process, name, kind, and what was done.
pub fn event_line(event: &Event, agent: Option<&str>, style: &Style) -> String {
    let head = format!(
        "{}  {} {}",
        time::of_day(event.time_ns),
        right(&event.process.pid.to_string(), 7),
        fit(&safe(&event.comm), 15),
    );
    let kind = fit(event.kind.name(), 11);
    let agent = agent.map(|a| format!("  [{}]", safe(a))).unwrap_or_default();
    let room = style.width.saturating_sub(width(&head) + width(&kind) + 4);
    let text = words::of_kind(&event.kind);
    // The act comes first; whose it is, where there is room.
    let text = match room.checked_sub(width(&agent)) {
        Some(room) => cut(&text, room) + &style.paint(&agent, Colour::Dim),
        None => cut(&text, room),
    };
    let line = format!("{}  {}  {text}", style.paint(&head, Colour::Dim), kind);
    if style.colour { line } else { cut(&line, style.width).trim_end().to_owned() }
}
