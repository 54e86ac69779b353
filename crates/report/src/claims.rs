//! Claims as lines: the verdict, the sentence, the reason.

use muster_engine::{Claim, Evidence, Verdict};

use crate::cell::{Colour, Style, cut, fit, safe, wrap};
use crate::time;

/// Width of the longest verdict.
const VERDICT: usize = 12;

/// A list: verdict and class, then the sentence and why, indented.
pub fn claims(list: &[Claim], style: &Style) -> String {
    if list.is_empty() {
        return "no claims\n".to_owned();
    }
    list.iter().map(|claim| lines(claim, style)).collect()
}

fn lines(claim: &Claim, style: &Style) -> String {
    let by = claim.actor.as_deref().map(|actor| format!("  [{}]", safe(actor))).unwrap_or_default();
    let head =
        format!("  {}  {}  {}{by}", time::full(claim.time_ns), claim.class.name(), claim.source.name());
    let mut out = style.paint(&fit(claim.verdict.name(), VERDICT), colour(claim.verdict));
    out.push_str(&cut(&head, style.width.saturating_sub(VERDICT)));
    out.push('\n');
    for text in [format!("“{}”", claim.sentence), claim.reason.clone()] {
        for line in wrap(&safe(&text), style.width.saturating_sub(VERDICT + 2)) {
            out.push_str(&format!("{}{line}\n", " ".repeat(VERDICT + 2)));
        }
    }
    let deciding = format!("{}{}", " ".repeat(VERDICT + 2), deciding(claim));
    if !claim.evidence.is_empty() {
        out.push_str(&style.paint(&cut(&deciding, style.width), Colour::Dim));
        out.push('\n');
    }
    out
}

/// What decides, by number: `muster events` and `muster show` have it.
fn deciding(claim: &Claim) -> String {
    let named = claim.evidence.iter().map(|evidence| match evidence {
        Evidence::Event { seq } => format!("#{seq}"),
        Evidence::Account { path, offset, .. } => {
            format!("{} at byte {offset}", safe(path.rsplit('/').next().unwrap_or_default()))
        }
        Evidence::Process { pid, .. } => format!("process {pid}"),
    });
    named.collect::<Vec<_>>().join(", ")
}

fn colour(verdict: Verdict) -> Colour {
    match verdict {
        Verdict::Contradicted => Colour::of(muster_engine::Severity::High),
        Verdict::Hollow => Colour::of(muster_engine::Severity::Medium),
        Verdict::Supported => Colour::Bold,
        Verdict::Unsupported | Verdict::Unverifiable | Verdict::Disclosed => Colour::Dim,
    }
}

/// One sign per verdict, for where there is no room for words.
pub(crate) fn chip(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Supported => "✓",
        Verdict::Hollow => "○ hollow:",
        Verdict::Contradicted => "✗ contradicted:",
        Verdict::Unsupported => "? unsupported:",
        Verdict::Unverifiable => "·",
        Verdict::Disclosed => "i",
    }
}
