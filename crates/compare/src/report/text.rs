//! For a terminal.

use std::fmt::Write;

use muster_event::sanitize;

use super::{evidence, interval, number, planned, role};
use crate::analysis::{Comparison, Role, Test};

/// Plain text; `width` columns where prose is wrapped.
pub fn text(comparison: &Comparison, width: usize) -> String {
    let mut out = String::new();
    let width = width.clamp(40, 120);
    paragraph(&mut out, "", &comparison.answer.text, width);
    out.push('\n');
    paragraph(&mut out, "pre-registered: ", &planned(comparison), width);
    for deviation in comparison.plan.iter().flat_map(|plan| &plan.deviations) {
        paragraph(&mut out, "  deviation: ", deviation, width);
    }
    out.push_str("\ncannot be concluded:\n");
    for line in &comparison.cannot_conclude {
        paragraph(&mut out, "  - ", line, width);
    }
    out.push('\n');
    for (letter, arm) in ["A", "B"].iter().zip(&comparison.arms) {
        let left_out =
            if arm.left_out > 0 { format!(", {} runs left out", arm.left_out) } else { String::new() };
        let line = format!(
            "{} runs of {} tasks{left_out}; {} with a value, mean {}{}",
            arm.runs,
            arm.tasks,
            arm.with_value,
            number(arm.mean),
            arm.interval.map_or(String::new(), |i| format!(" (Clopper–Pearson {})", interval(Some(i)))),
        );
        paragraph(&mut out, &format!("{letter} {}: ", sanitize(&arm.name)), &line, width);
    }
    let p = &comparison.pairing;
    let how = if p.paired { "task by task" } else { "without pairs" };
    let _ = writeln!(
        out,
        "compared {how}: {} tasks in both, {} in A only, {} in B only; {} to {} epochs",
        p.tasks_both, p.only_a, p.only_b, p.epochs_least, p.epochs_most
    );
    table(&mut out, "\ntests of the primary measure", comparison, width, |t| t.role != Role::Conduct);
    table(&mut out, "\nconduct (p after Holm, and after Benjamini–Hochberg)", comparison, width, |t| {
        t.role == Role::Conduct
    });
    if let Some(line) = evidence(comparison) {
        out.push('\n');
        paragraph(&mut out, "may be looked at any time: ", &line, width);
    }
    if !comparison.patterns.is_empty() {
        out.push_str("\npatterns (an honest weak agent can show each of them)\n");
        for pattern in &comparison.patterns {
            let name = format!("  {} in {}: ", pattern.name, sanitize(&pattern.arm));
            paragraph(&mut out, &name, &pattern.text, width);
        }
    }
    if !comparison.notes.is_empty() {
        out.push_str("\nnotes\n");
        for note in &comparison.notes {
            paragraph(&mut out, "  - ", note, width);
        }
    }
    out
}

fn table(
    out: &mut String,
    title: &str,
    comparison: &Comparison,
    width: usize,
    wanted: impl Fn(&Test) -> bool,
) {
    let rows: Vec<&Test> = comparison.tests.iter().filter(|test| wanted(test)).collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}");
    let conduct = rows.iter().all(|test| test.role == Role::Conduct);
    // What did not differ at all is named, not listed.
    let (alike, rows): (Vec<&Test>, Vec<&Test>) =
        rows.into_iter().partition(|test| conduct && test.estimate == Some(0.0) && test.p == Some(1.0));
    for test in rows {
        let name = if conduct { sanitize(&test.metric) } else { test.name.clone() };
        let tail = if conduct {
            format!(
                "p {:<10} Holm {:<10} BH {:<10} {}",
                number(test.p),
                number(test.p_holm),
                number(test.p_bh),
                test.name
            )
        } else {
            format!("statistic {:<10} p {:<10} {}", number(test.statistic), number(test.p), role(test.role))
        };
        let estimate = match test.of.starts_with("difference") {
            true => number(test.estimate),
            false => format!("{} ({})", number(test.estimate), test.of),
        };
        let line = format!("  {name:<24} {estimate:>10}  [{}]  {tail}", interval(test.interval));
        let _ = writeln!(out, "{}", line.trim_end());
        if let (false, Some(note)) = (conduct, &test.note) {
            let _ = writeln!(out, "  {:<24} {note}", "");
        }
    }
    if !alike.is_empty() {
        let names: Vec<&str> = alike.iter().map(|test| test.metric.as_str()).collect();
        paragraph(out, "  no difference, p 1: ", &names.join(", "), width);
    }
}

fn paragraph(out: &mut String, head: &str, text: &str, width: usize) {
    let text = sanitize(text);
    let mut line = head.to_owned();
    let indent = " ".repeat(head.chars().count().min(4));
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + word.chars().count() >= width {
            let _ = writeln!(out, "{}", line.trim_end());
            line = indent.clone();
        }
        line.push_str(word);
        line.push(' ');
        empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}
