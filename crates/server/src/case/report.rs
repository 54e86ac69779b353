//! The bundle in words, for a person with a browser and nothing else: no script, nothing loaded. Made from the leaves
//! alone, so that a checker can make it again.

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use muster_event::sanitize;
use serde_json::Value;

use super::Case;
use crate::leaf::{Joined, Joiner};
use crate::views::time;

const STYLE: &str = include_str!("report.css");
/// What a line of the table shows of a leaf, in characters; the whole of it is behind it.
const LINE_MAX: usize = 400;
/// What is shown of one leaf, in bytes; the rest is in `leaves.jsonl`.
const LEAF_MAX: usize = 16 * 1024;

/// A logical entry: the leaf that ends it, and what it says.
struct Said<'a> {
    index: u64,
    text: Cow<'a, str>,
    /// `None`: it is no JSON, or its first parts are not in the bundle.
    value: Option<Value>,
}

pub(super) fn html(case: &Case) -> String {
    let said = said(case);
    let head = case.head();
    let redacted = case.redactions();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Evidence: " (sanitize(&case.about.asked)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Evidence: " (sanitize(&case.about.asked)) }
                p.soft {
                    "From a Muster log, written " (time(case.about.made_ns)) " by Muster " (sanitize(&case.about.version))
                    ". This page is a reading aid; what counts is in leaves.jsonl, and `muster verify` checks it."
                }
                dl {
                    @if let Some((origin, size, root)) = head {
                        dt { "log" } dd { code { (sanitize(&origin)) } }
                        dt { "its head" } dd { (size) " leaves, root " code { (root) } }
                    }
                    dt { "leaves here" } dd { (case.leaves.len()) }
                    @if case.about.missing > 0 {
                        dt { "missing" } dd.warning { (case.about.missing) " leaves that belong to it are not in the log any more, or were too many" }
                    }
                    dt { "witnesses" } dd {
                        @if case.keys.witnesses.is_empty() { span.warning { "none: nobody outside the machine vouches for this head" } }
                        @for key in &case.keys.witnesses { code { (sanitize(key)) } " " }
                    }
                    dt { "cut out" } dd {
                        (redacted.len()) " places with a secret"
                        @for opening in &case.openings {
                            br; code { (sanitize(&opening.value)) } " was revealed: it is what stood at "
                            code { "[redacted:" (opening.commitment()) "]" }
                        }
                    }
                }
                (findings(&said))
                h2 { "What could not be seen" }
                (gaps(&said))
                h2 { "The leaves" }
                (table(case, &said))
            }
        }
    }
    .into_string()
}

fn said(case: &Case) -> Vec<Said<'_>> {
    let mut joiner = Joiner::default();
    let mut all = Vec::new();
    for leaf in &case.leaves {
        let text: Cow<'_, str> = match joiner.push(leaf.index, &leaf.bytes) {
            Joined::Part => continue,
            Joined::Entry(entry) if entry.len() == leaf.bytes.len() => String::from_utf8_lossy(&leaf.bytes),
            Joined::Entry(entry) => Cow::Owned(String::from_utf8_lossy(entry).into_owned()),
            Joined::Missing | Joined::Malformed => String::from_utf8_lossy(&leaf.bytes),
        };
        let value = serde_json::from_str(&text).ok();
        all.push(Said { index: leaf.index, text, value });
    }
    all
}

/// What kind of entry it is, in its own words (`input event exec`), and the innermost value.
fn kind(value: &Value) -> (String, &Value) {
    let mut names = Vec::new();
    let mut inner = value;
    while let Value::Object(fields) = inner {
        let mut named = fields.iter().filter(|(name, _)| *name != "v");
        let (Some((name, value)), None) = (named.next(), named.next()) else { break };
        if names.len() >= 4 {
            break;
        }
        names.push(name.as_str());
        inner = value;
    }
    if let Some(Value::Object(kind)) = inner.get("kind")
        && let Some(name) = kind.keys().next()
    {
        names.push(name);
    }
    (names.join(" "), inner)
}

fn findings(said: &[Said<'_>]) -> Markup {
    let found: Vec<(u64, &Value)> = said
        .iter()
        .filter_map(|said| Some((said.index, said.value.as_ref()?.pointer("/output/finding/finding")?)))
        .collect();
    let text = |finding: &Value, name: &str| match finding.get(name) {
        Some(Value::String(text)) => sanitize(text),
        Some(value) => sanitize(&value.to_string()),
        None => String::new(),
    };
    html! {
        @if !found.is_empty() { h2 { "What was found" } }
        @for (index, finding) in found {
            article {
                h3 {
                    span class={ "badge " (text(finding, "severity")) } { (text(finding, "severity")) }
                    " " (text(finding, "code"))
                }
                p.lead { (text(finding, "summary")) }
                p { (text(finding, "explanation")) }
                p.soft { "agent " code { (text(finding, "agent")) } ", leaf " a href={ "#leaf" (index) } { (index) } }
            }
        }
    }
}

/// Leaves that say what could not be seen.
fn gaps(said: &[Said<'_>]) -> Markup {
    const GAPS: [&str; 6] = [
        "/input/lost",
        "/input/probe",
        "/output/gap",
        "/input/clock_step",
        "/input/account_state",
        "/kept/dropped",
    ];
    let found: Vec<(u64, String)> = said
        .iter()
        .filter_map(|said| {
            let value = said.value.as_ref()?;
            let gap = GAPS.iter().find_map(|name| value.pointer(name))?;
            Some((said.index, format!("{}: {}", kind(value).0, line(gap))))
        })
        .collect();
    html! {
        @if found.is_empty() {
            p { "No leaf here speaks of a loss. That says nothing of what the log does not hold." }
        } @else {
            ul { @for (index, words) in found { li { a href={ "#leaf" (index) } { (index) } " " (sanitize(&words)) } } }
        }
    }
}

/// The fields of a value in one line.
fn line(value: &Value) -> String {
    let text = match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| {
                !value.is_null() && !matches!(name.as_str(), "v" | "time_ns" | "boot_ns" | "raw")
            })
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                Value::Object(_) => format!("{name}: {}", line(value)),
                value => format!("{name}={value}"),
            })
            .collect::<Vec<_>>()
            .join("  "),
        value => value.to_string(),
    };
    text.chars().take(LINE_MAX).collect()
}

fn when(value: &Value) -> Option<u64> {
    ["/time_ns", "/to_ns", "/finding/time_ns", "/last_ns"]
        .iter()
        .find_map(|name| value.pointer(name)?.as_u64())
}

fn table(case: &Case, said: &[Said<'_>]) -> Markup {
    html! {
        table {
            thead { tr { th { "leaf" } th { "time (UTC)" } th { "why it is here" } th { "what it is" } } }
            tbody {
                @for said in said {
                    @let (kind, inner) = said.value.as_ref().map_or((String::new(), &Value::Null), kind);
                    tr id={ "leaf" (said.index) } {
                        td.number { (said.index) }
                        td.time { @if let Some(at) = when(inner) { (time(at)) } }
                        td { (sanitize(case.about.why.get(&said.index).map_or("", String::as_str))) }
                        td {
                            details {
                                summary { b { (sanitize(&kind)) } " " (sanitize(&line(inner))) }
                                pre { (sanitize(said.text.get(..said.text.floor_char_boundary(LEAF_MAX)).unwrap_or(&said.text))) }
                            }
                        }
                    }
                }
            }
        }
    }
}
