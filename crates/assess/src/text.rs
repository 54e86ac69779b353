//! For a terminal: the page in plain words, and what is open.

use std::fmt::Write;

use muster_event::sanitize;

use crate::report::Assessment;

/// Weaknesses that are named; the report has all.
const WEAKNESSES_MAX: usize = 12;

pub fn text(a: &Assessment, width: usize) -> String {
    let width = width.clamp(40, 120);
    let mut out = format!("{}: {} to {}\n\n", sanitize(&a.entity), sanitize(&a.from), sanitize(&a.until));
    for sentence in &a.summary {
        paragraph(&mut out, "", sentence, width);
    }
    if !a.weaknesses.is_empty() {
        out.push_str("\nopen weaknesses\n");
    }
    for weakness in a.weaknesses.iter().take(WEAKNESSES_MAX) {
        paragraph(&mut out, "  - ", &weakness.text, width);
    }
    let more = a.weaknesses.len().saturating_sub(WEAKNESSES_MAX);
    if more > 0 {
        let _ = writeln!(out, "  … and {more} more (-o report.html)");
    }
    out
}

fn paragraph(out: &mut String, head: &str, text: &str, width: usize) {
    let mut line = head.to_owned();
    let indent = " ".repeat(head.len());
    let mut empty = true;
    for word in sanitize(text).split(' ') {
        if !empty && line.chars().count() + word.chars().count() >= width {
            let _ = writeln!(out, "{}", line.trim_end());
            line.clone_from(&indent);
        }
        line.push_str(word);
        line.push(' ');
        empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}
