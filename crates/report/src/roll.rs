//! The roll as a table.

use std::collections::BTreeMap;

use muster_engine::{AgentState, State};
use muster_event::Nanos;

use crate::cell::{Colour, Style, cut, fit, right, safe, width};
use crate::time;

const GAP: &str = "  ";
/// Narrowest that the last column may become before another column goes.
const DOING_MIN: usize = 24;
/// Widest that a column before the last may become.
const COLUMN_MAX: usize = 34;

struct Column {
    title: &'static str,
    numeric: bool,
    /// The higher goes first where there is no room.
    dispensable: u8,
    cells: Vec<(String, Colour)>,
}

/// Who runs first, and of these who did worst.
pub fn roll_order<'a>(
    agents: &'a [AgentState],
    findings: &BTreeMap<String, [u64; 5]>,
) -> Vec<&'a AgentState> {
    let none = [0; 5];
    let worst = |agent: &AgentState| {
        findings.get(&agent.agent).unwrap_or(&none).iter().rev().copied().collect::<Vec<u64>>()
    };
    let mut rows: Vec<&AgentState> = agents.iter().collect();
    rows.sort_by(|a, b| {
        (b.state == State::Running)
            .cmp(&(a.state == State::Running))
            .then_with(|| worst(b).cmp(&worst(a)))
            .then(b.started_ns.cmp(&a.started_ns))
            .then_with(|| a.agent.cmp(&b.agent))
    });
    rows
}

/// The roll in that order. `findings`: of each agent, from info to critical.
pub fn roll(
    agents: &[AgentState],
    findings: &BTreeMap<String, [u64; 5]>,
    now_ns: Nanos,
    style: &Style,
) -> String {
    let none = [0; 5];
    let counts = |a: &AgentState| findings.get(&a.agent).unwrap_or(&none);
    let rows = roll_order(agents, findings);
    let mut columns = columns(&rows, counts, now_ns);
    let widths = |columns: &[Column]| -> Vec<usize> {
        columns
            .iter()
            .map(|c| {
                c.cells
                    .iter()
                    .map(|(t, _)| width(t))
                    .chain([width(c.title)])
                    .max()
                    .unwrap_or(0)
                    .min(COLUMN_MAX)
            })
            .collect()
    };
    loop {
        let used: usize = widths(&columns).iter().map(|w| w + GAP.len()).sum();
        if used + DOING_MIN <= style.width || columns.len() <= 2 {
            break;
        }
        let Some(worst) = columns.iter().map(|c| c.dispensable).max().filter(|d| *d > 0) else { break };
        columns.retain(|c| c.dispensable != worst);
    }
    let widths = widths(&columns);
    let used: usize = widths.iter().map(|w| w + GAP.len()).sum();
    let rest = style.width.saturating_sub(used);
    let mut out = String::new();
    let mut head = String::new();
    for (column, to) in columns.iter().zip(&widths) {
        head.push_str(&if column.numeric { right(column.title, *to) } else { fit(column.title, *to) });
        head.push_str(GAP);
    }
    head.push_str("DOING");
    out.push_str(&style.paint(cut(&head, style.width).trim_end(), Colour::Dim));
    out.push('\n');
    for (at, agent) in rows.iter().enumerate() {
        let mut left = style.width;
        for (column, to) in columns.iter().zip(&widths) {
            let Some((text, colour)) = column.cells.get(at) else { continue };
            let cell = if column.numeric { right(text, *to) } else { fit(text, *to) };
            let cell = cut(&cell, left);
            left = left.saturating_sub(width(&cell) + GAP.len());
            out.push_str(&style.paint(&cell, *colour));
            if left > 0 {
                out.push_str(GAP);
            }
        }
        out.push_str(&style.paint(&cut(&safe(&agent.doing), rest.min(left)), Colour::Dim));
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
    out.push_str(&style.paint(&cut(&summary(agents, findings), style.width), Colour::Dim));
    out.push('\n');
    out
}

fn columns<'a>(
    rows: &[&'a AgentState],
    counts: impl Fn(&'a AgentState) -> &'a [u64; 5],
    now_ns: Nanos,
) -> Vec<Column> {
    let column = |title, numeric, dispensable, cell: &dyn Fn(&'a AgentState) -> (String, Colour)| Column {
        title,
        numeric,
        dispensable,
        cells: rows.iter().map(|a| cell(a)).collect(),
    };
    vec![
        column("AGENT", false, 0, &|a| {
            (safe(&a.agent), if a.state == State::Running { Colour::Bold } else { Colour::Dim })
        }),
        column("PRODUCT", false, 3, &|a| {
            (
                safe(format!("{} {}", a.product, a.version.as_deref().unwrap_or_default()).trim()),
                Colour::Plain,
            )
        }),
        column("PID", true, 4, &|a| (a.root.pid.to_string(), Colour::Plain)),
        column("MANDATE", false, 1, &|a| match (&a.mandate, &a.principal) {
            (None, _) => ("unmandated".to_owned(), Colour::Yellow),
            (Some(_), Some(principal)) => match a.mandate_until_ns {
                Some(_) if a.ended_ns.is_some() => (safe(principal), Colour::Green),
                Some(until) if until > now_ns => {
                    (format!("{} {} left", safe(principal), time::span(until - now_ns)), Colour::Green)
                }
                Some(_) => (format!("{} expired", safe(principal)), Colour::Red),
                None => (safe(principal), Colour::Green),
            },
            (Some(mandate), None) => (safe(mandate), Colour::Green),
        }),
        column("STATE", false, 2, &|a| {
            (
                a.standing().name().to_owned(),
                if a.state == State::Running { Colour::Plain } else { Colour::Dim },
            )
        }),
        column("FOR", true, 6, &|a| {
            let until = a.ended_ns.unwrap_or(now_ns);
            (time::span(until.saturating_sub(a.started_ns)), Colour::Dim)
        }),
        column("STAGE", false, 5, &|a| {
            (
                a.stage.map_or("-", |s| s.name()).to_owned(),
                if a.stage.is_some() { Colour::Yellow } else { Colour::Dim },
            )
        }),
        column("COVERAGE", false, 7, &|a| {
            let colour = if a.coverage.record_whole() { Colour::Plain } else { Colour::Yellow };
            (a.coverage.word().to_owned(), colour)
        }),
        column("PROCS", true, 9, &|a| (a.processes.to_string(), Colour::Plain)),
        column("CALLS", true, 8, &|a| (format!("{}/{}", a.calls_joined, a.calls), Colour::Plain)),
        column("FINDINGS", false, 0, &|a| finding_cell(counts(a))),
    ]
}

/// `1 high, 2 medium`, in the colour of the worst.
fn finding_cell(counts: &[u64; 5]) -> (String, Colour) {
    const NAMES: [(&str, Colour); 5] = [
        ("info", Colour::Dim),
        ("low", Colour::Cyan),
        ("medium", Colour::Yellow),
        ("high", Colour::Red),
        ("critical", Colour::BoldRed),
    ];
    let found: Vec<(u64, &str, Colour)> = counts
        .iter()
        .zip(NAMES)
        .rev()
        .filter(|(count, _)| **count > 0)
        .map(|(count, (name, colour))| (*count, name, colour))
        .collect();
    match found.first() {
        None => ("-".to_owned(), Colour::Dim),
        Some((_, _, colour)) => {
            let words: Vec<String> = found.iter().map(|(count, name, _)| format!("{count} {name}")).collect();
            (words.join(", "), *colour)
        }
    }
}

fn summary(agents: &[AgentState], findings: &BTreeMap<String, [u64; 5]>) -> String {
    let running = agents.iter().filter(|a| a.state == State::Running).count();
    let unmandated = agents.iter().filter(|a| a.mandate.is_none()).count();
    let mut all = [0u64; 5];
    for counts in agents.iter().filter_map(|a| findings.get(&a.agent)) {
        for (sum, count) in all.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let (words, _) = finding_cell(&all);
    let plural = if agents.len() == 1 { "" } else { "s" };
    format!(
        "{} agent{plural}: {running} running, {unmandated} unmandated; findings: {}",
        agents.len(),
        if words == "-" { "none" } else { &words }
    )
}

/// What an empty roll means, and what to do next.
pub fn roll_empty(daemon_running: bool) -> String {
    if daemon_running {
        "no agent has been seen\nhint: start one in another terminal, or enrol it: `muster run -- claude`\n"
            .to_owned()
    } else {
        "no agent is on record, and no daemon is watching\nhint: start it: `muster watch`\n".to_owned()
    }
}
