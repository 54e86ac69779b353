//! Opinions of language models as lines. They never look like findings.

use muster_engine::{Opinion, Opinions};

use crate::cell::{Colour, Style, cut, safe, wrap};
use crate::time;

const INDENT: usize = 4;
/// Answers that are drawn, the latest: a long session has one for most of its turns.
const SHOWN_MAX: usize = 10;

/// Nothing where no model was asked.
pub fn opinions(list: &[Opinions], style: &Style) -> String {
    let mut out = String::new();
    if list.is_empty() {
        return out;
    }
    let note = "opinions of a language model: no evidence, checked only for citing what is there; they change no finding";
    for line in wrap(note, style.width) {
        out.push_str(&style.paint(&line, Colour::Bold));
        out.push('\n');
    }
    let earlier = list.len().saturating_sub(SHOWN_MAX);
    if earlier > 0 {
        out.push_str(&format!("  {earlier} earlier answers: see --json\n"));
    }
    for asked in list.iter().skip(earlier) {
        let dropped = match asked.dropped {
            0 => String::new(),
            count => format!(", {count} dropped that cite nothing that is there"),
        };
        let nothing = if asked.opinions.is_empty() { ": nothing to say" } else { "" };
        let head = format!(
            "  {}  {} at {}{dropped}{nothing}",
            time::full(asked.time_ns),
            safe(&asked.model),
            safe(&asked.endpoint)
        );
        out.push_str(&style.paint(&cut(&head, style.width), Colour::Dim));
        out.push('\n');
        for opinion in &asked.opinions {
            lines(opinion, style, &mut out);
        }
    }
    out
}

/// Whose words they are: what the agent wrote shows only that it wrote it.
fn whose(item: &str) -> &'static str {
    match item.chars().next() {
        Some('S' | 'D') => " (the agent's own account)",
        Some('E') => " (record)",
        _ => "",
    }
}

fn lines(opinion: &Opinion, style: &Style, out: &mut String) {
    let about = match &opinion.about {
        Some(finding) => format!("on {}", safe(finding)),
        None => "for review".to_owned(),
    };
    let head = format!("opinion {about}: {} ({} %)", opinion.label.name(), opinion.confidence);
    let mut texts =
        vec![head, format!("model: “{}”", opinion.rationale), format!("quotes “{}”", opinion.quote)];
    texts.extend(
        opinion
            .cited
            .iter()
            .map(|cited| format!("cites {}{} {}", cited.item, whose(&cited.item), cited.text)),
    );
    for (at, text) in texts.into_iter().enumerate() {
        let indent = if at == 0 { INDENT } else { 2 * INDENT };
        for line in wrap(&safe(&text), style.width.saturating_sub(indent)) {
            out.push_str(&format!("{}{line}\n", " ".repeat(indent)));
        }
    }
}
