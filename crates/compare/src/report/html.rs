//! As one page that stands alone: no script, nothing from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use muster_event::sanitize;

use super::{evidence, interval, number, planned, plot, role};
use crate::analysis::{Comparison, Role, Test};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
h1{font-size:1.25em}h2{font-size:1.05em;margin-top:2em}.answer{font-size:1.15em;border-left:4px solid #357;padding-left:.8em}\
table{border-collapse:collapse;width:100%}td,th{padding:.2em .6em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%;font:13px system-ui,sans-serif}svg.square{max-width:22em}\
.axis{stroke:#999;stroke-dasharray:3 3}.interval{stroke:#357;stroke-width:2}.dot{fill:#9ab}.primary{fill:#135}\
.task{fill:#357;fill-opacity:.45}.small{font-size:11px;fill:#666}.deviation{color:#a00}";
/// Tasks in the table of the page.
const ROWS_MAX: usize = 500;

pub fn html(comparison: &Comparison) -> String {
    let safe = |text: &str| sanitize(text);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Tested and not tested: a comparison" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Behavioural difference between two sets of runs" }
                p.answer { (safe(&comparison.answer.text)) }
                p { b { "Pre-registered: " } (safe(&planned(comparison))) }
                @for deviation in comparison.plan.iter().flat_map(|plan| &plan.deviations) {
                    p.deviation { "Deviation: " (safe(deviation)) }
                }
                h2 { "What cannot be concluded" }
                ul { @for line in &comparison.cannot_conclude { li { (safe(line)) } } }
                h2 { "The two sides" }
                table {
                    tr { th {} th { "name" } th { "runs" } th { "tasks" } th { "left out" } th { "mean" } th { "interval" } }
                    @for (letter, arm) in ["A", "B"].iter().zip(&comparison.arms) {
                        tr {
                            td { (letter) } td { (safe(&arm.name)) }
                            td.n { (arm.runs) } td.n { (arm.tasks) } td.n { (arm.left_out) }
                            td.n { (number(arm.mean)) } td.n { (interval(arm.interval)) }
                        }
                    }
                }
                (plot::forest(comparison))
                (plot::scatter(comparison))
                h2 { "Tests of the primary measure" }
                (tests(comparison, false))
                h2 { "Conduct" }
                (tests(comparison, true))
                @if let Some(line) = evidence(comparison) {
                    h2 { "At any time" }
                    p { (line) }
                }
                @if !comparison.patterns.is_empty() {
                    h2 { "Patterns" }
                    p { "An honest weak agent can show each of them." }
                    ul { @for p in &comparison.patterns { li { b { (p.name) } " in " (safe(&p.arm)) ": " (safe(&p.text)) } } }
                }
                @if !comparison.notes.is_empty() {
                    h2 { "Notes" }
                    ul { @for note in &comparison.notes { li { (safe(note)) } } }
                }
                h2 { "Tasks" }
                (tasks(comparison))
            }
        }
    }
    .into_string()
}

fn tests(comparison: &Comparison, conduct: bool) -> Markup {
    let rows: Vec<&Test> = comparison.tests.iter().filter(|t| (t.role == Role::Conduct) == conduct).collect();
    html! {
        @if rows.is_empty() {
            p { "None: one of the sides has no values." }
        } @else {
            table {
                tr {
                    @if conduct { th { "measure" } }
                    th { "test" } th { "statistic" } th { "p" }
                    @if conduct { th { "Holm" } th { "BH" } }
                    th { "estimate" } th { "interval" } th {}
                }
                @for test in rows {
                    tr {
                        @if conduct { td { (sanitize(&test.metric)) } }
                        td { (test.name) } td.n { (number(test.statistic)) } td.n { (number(test.p)) }
                        @if conduct { td.n { (number(test.p_holm)) } td.n { (number(test.p_bh)) } }
                        td.n { (number(test.estimate)) } td.n { (interval(test.interval)) }
                        td {
                            @if !conduct { (role(test.role)) " " }
                            span.small { (test.of) @if let Some(note) = &test.note { "; " (sanitize(note)) } }
                        }
                    }
                }
            }
        }
    }
}

fn tasks(comparison: &Comparison) -> Markup {
    html! {
        table {
            tr { th { "task" } th { "A" } th { "runs" } th { "B" } th { "runs" } }
            @for row in comparison.tasks.iter().take(ROWS_MAX) {
                tr {
                    td { (sanitize(&row.task)) }
                    td.n { (number(Some(row.a))) } td.n { (row.a_runs) }
                    td.n { (number(Some(row.b))) } td.n { (row.b_runs) }
                }
            }
        }
        @if comparison.tasks.len() > ROWS_MAX { p { (comparison.tasks.len() - ROWS_MAX) " more." } }
    }
}
