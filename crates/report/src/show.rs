//! One agent: mandate, account and record as three lanes on one time axis.

use std::collections::HashMap;

use muster_account::{Actor, Body, Item};
use muster_engine::{AgentState, Claim, Evidence, Finding, Join, Severity, Strength, Verdict};
use muster_event::{Event, Kind, Nanos};

use crate::cell::{Colour, Style, cut, fit, safe, wrap};
use crate::claims::chip;
use crate::{findings, time, words};

const TIME: usize = 12;
const MARGIN: usize = 2;
const MANDATE: usize = 16;
/// Narrower than this, the lanes stand below each other.
const LANES_MIN: usize = 80;
/// So many like acts in a row become one line.
const FOLD_MIN: usize = 3;

pub struct Show<'a> {
    pub agent: &'a AgentState,
    /// The record, in its order.
    pub events: &'a [Event],
    /// The account, each with the time it was read.
    pub said: &'a [(Nanos, Item)],
    pub joins: &'a [Join],
    pub findings: &'a [Finding],
    pub claims: &'a [Claim],
    pub now_ns: Nanos,
}

/// One moment.
#[derive(Default)]
struct Row {
    time_ns: Nanos,
    mandate: String,
    said: String,
    done: String,
    /// How call and act were tied.
    tie: &'static str,
    mark: Option<Severity>,
    /// What like rows share, for folding.
    like: Option<String>,
    quiet: bool,
}

/// The agent's facts, its lanes, its findings with their reasons, and what could not be seen.
pub fn show(show: &Show, style: &Style) -> String {
    let mut out = head(show, style);
    let rows = fold(rows(show));
    out.push('\n');
    if rows.is_empty() {
        out.push_str("nothing said and nothing done on record\n");
    } else if style.width >= LANES_MIN {
        lanes(&rows, style, &mut out);
    } else {
        single(&rows, style, &mut out);
    }
    out.push('\n');
    out.push_str(&findings::findings(show.findings, style));
    out.push('\n');
    for line in not_seen(show.agent) {
        for line in wrap(&line, style.width) {
            out.push_str(&style.paint(&line, Colour::Dim));
            out.push('\n');
        }
    }
    out
}

fn head(show: &Show, style: &Style) -> String {
    let agent = show.agent;
    let product = format!("{} {}", agent.product, agent.version.as_deref().unwrap_or_default());
    let until = agent.ended_ns.unwrap_or(show.now_ns);
    let mandate = match (&agent.mandate, &agent.principal) {
        (None, _) => "none: nobody enrolled it".to_owned(),
        (Some(mandate), Some(principal)) => {
            let left = match agent.mandate_until_ns {
                Some(until) if until > show.now_ns && agent.ended_ns.is_none() => {
                    format!(", {} left", time::span(until - show.now_ns))
                }
                Some(until) => format!(", until {} UTC", time::full(until)),
                None => String::new(),
            };
            // The beginning of an id is enough to name it.
            format!("{}{left} by {principal} {}", mandate.get(..20).unwrap_or(mandate), agent.label)
        }
        (Some(mandate), None) => mandate.clone(),
    };
    let facts = [
        ("agent", agent.agent.clone()),
        (
            "product",
            format!(
                "{} {}",
                product.trim(),
                agent.model.as_deref().map(|m| format!("with {m}")).unwrap_or_default()
            ),
        ),
        ("command", words::shell_line(&agent.command)),
        ("folder", agent.cwd.clone()),
        ("found by", agent.found_by.clone()),
        ("mandate", mandate),
        (
            "state",
            format!(
                "{} for {}, since {} UTC; pid {}, {} processes live",
                agent.standing().name(),
                time::span(until.saturating_sub(agent.started_ns)),
                time::full(agent.started_ns),
                agent.root.pid,
                agent.processes
            ),
        ),
        (
            "account",
            match agent.accounts.first() {
                Some(path) => {
                    format!("{path} ({} calls, {} matched to the record)", agent.calls, agent.calls_joined)
                }
                None => "none is read".to_owned(),
            },
        ),
        ("record", format!("{} events; coverage: {}", agent.events, agent.coverage.word())),
    ];
    let mut out = String::new();
    for (name, value) in facts {
        let name = fit(name, 10);
        let value = cut(safe(&value).trim_end(), style.width.saturating_sub(10));
        let colour = if name.trim() == "agent" { Colour::Bold } else { Colour::Plain };
        out.push_str(&format!("{}{}\n", style.paint(&name, Colour::Dim), style.paint(&value, colour)));
    }
    out
}

fn rows(show: &Show) -> Vec<Row> {
    let mut marks: HashMap<u64, Severity> = HashMap::new();
    for finding in show.findings {
        for evidence in &finding.evidence {
            if let Evidence::Event { seq } = evidence {
                let mark = marks.entry(*seq).or_insert(finding.severity);
                *mark = (*mark).max(finding.severity);
            }
        }
    }
    let by_call: HashMap<&str, &Join> = show.joins.iter().map(|j| (j.call_id.as_str(), j)).collect();
    let by_seq: HashMap<u64, &Event> = show.events.iter().map(|e| (e.seq, e)).collect();
    let mut taken: HashMap<u64, ()> = HashMap::new();
    let mut rows = Vec::new();
    rows.push(Row {
        time_ns: show.agent.started_ns,
        mandate: match (&show.agent.mandate, &show.agent.principal) {
            (Some(_), Some(principal)) => format!("enrolled by {}", safe(principal)),
            (Some(mandate), None) => safe(mandate),
            (None, _) => "no mandate".to_owned(),
        },
        ..Row::default()
    });
    for (read_ns, item) in show.said {
        let Some(mut said) = words::of_item(item) else { continue };
        if let Actor::Sub { id } = &item.actor {
            said = format!("[{}] {said}", safe(id));
        }
        let mut row = Row {
            time_ns: item.time_ns.unwrap_or(*read_ns),
            said,
            quiet: matches!(item.body, Body::Thinking { .. } | Body::Session { .. } | Body::TurnEnd),
            ..Row::default()
        };
        if let Body::Call { call_id, .. } = &item.body
            && let Some(join) = by_call.get(call_id.as_str())
            && let Some(event) = by_seq.get(&join.seq)
        {
            row.done = act(event);
            row.tie = tie(join.strength);
            row.mark = marks.get(&join.seq).copied();
            row.time_ns = event.time_ns;
            taken.insert(join.seq, ());
        }
        rows.push(row);
    }
    // A sentence with its verdict and the reason stands on both sides: what it said, and what is held against it.
    for claim in show.claims {
        let by = claim.actor.as_deref().map(|actor| format!("[{actor}] ")).unwrap_or_default();
        let events: Vec<String> = claim
            .evidence
            .iter()
            .filter_map(|e| if let Evidence::Event { seq } = e { Some(format!("#{seq}")) } else { None })
            .collect();
        // The numbers first: a long reason is cut.
        let numbers = if events.is_empty() { String::new() } else { format!("{} ", events.join(" ")) };
        rows.push(Row {
            time_ns: claim.time_ns,
            said: safe(&format!("{by}“{}”", claim.sentence)),
            done: safe(&format!("{} {numbers}{}", chip(claim.verdict), claim.reason)),
            mark: match claim.verdict {
                Verdict::Contradicted => Some(Severity::High),
                Verdict::Hollow => Some(Severity::Medium),
                Verdict::Supported | Verdict::Unsupported | Verdict::Unverifiable | Verdict::Disclosed => {
                    None
                }
            },
            ..Row::default()
        });
    }
    for event in show.events {
        // A fork without an exec of its own says nothing that its children's acts do not.
        if taken.contains_key(&event.seq)
            || matches!(event.kind, Kind::Fork { .. }) && !marks.contains_key(&event.seq)
        {
            continue;
        }
        let mark = marks.get(&event.seq).copied();
        rows.push(Row {
            time_ns: event.time_ns,
            done: act(event),
            mark,
            like: mark.is_none().then(|| likeness(event)),
            quiet: matches!(event.kind, Kind::Exit { .. } | Kind::Output { .. }),
            ..Row::default()
        });
    }
    rows.sort_by_key(|row| row.time_ns);
    rows
}

fn act(event: &Event) -> String {
    format!("{} {} {}", event.process.pid, event.kind.name(), words::of_kind(&event.kind))
}

/// Acts that read alike: of one kind, in one folder or to one host.
fn likeness(event: &Event) -> String {
    let of = match &event.kind {
        Kind::Open { path, .. }
        | Kind::Unlink { path, .. }
        | Kind::Mkdir { path, .. }
        | Kind::Chmod { path, .. } => path.rsplit_once('/').map_or(path.as_str(), |(folder, _)| folder),
        Kind::Rename { to, .. } | Kind::Link { to, .. } => {
            to.rsplit_once('/').map_or(to.as_str(), |(f, _)| f)
        }
        Kind::Exec { path, .. } => path,
        _ => "",
    };
    format!("{} {of}", event.kind.name())
}

fn tie(strength: Strength) -> &'static str {
    match strength {
        Strength::CallId => "≡",
        Strength::SessionText | Strength::ProcessGroup => "=",
        Strength::TimeText | Strength::Path => "≈",
    }
}

/// Runs of like acts become their first, with a count.
fn fold(rows: Vec<Row>) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    let mut run: Vec<Row> = Vec::new();
    let flush = |run: &mut Vec<Row>, out: &mut Vec<Row>| {
        if run.len() >= FOLD_MIN {
            let count = run.len();
            if let Some(mut first) = run.drain(..).next() {
                first.done = format!("{count} × {} …", first.done);
                out.push(first);
            }
        } else {
            out.append(run);
        }
    };
    for row in rows {
        let same = row.like.is_some() && run.first().is_none_or(|first| first.like == row.like);
        if !same {
            flush(&mut run, &mut out);
        }
        if row.like.is_some() {
            run.push(row);
        } else {
            out.push(row);
        }
    }
    flush(&mut run, &mut out);
    out
}

fn colour_of(row: &Row) -> Colour {
    match row.mark {
        Some(severity) => Colour::of(severity),
        None if row.quiet => Colour::Dim,
        None => Colour::Plain,
    }
}

fn lanes(rows: &[Row], style: &Style, out: &mut String) {
    let rest = style.width.saturating_sub(TIME + MARGIN + MANDATE + 3 * 3 + 1);
    let (said, done) = (rest / 2, rest - rest / 2);
    let line = |cells: [&str; 5]| {
        let [time, mark, mandate, account, record] = cells;
        format!("{time}{mark}{mandate} │ {account} │ {record}")
    };
    let title = line([
        &fit("UTC", TIME),
        &fit("", MARGIN),
        &fit("MANDATE", MANDATE),
        &fit("ACCOUNT: what it said", said + 2),
        &cut("RECORD: what it did", done),
    ]);
    out.push_str(&style.paint(&title, Colour::Bold));
    out.push('\n');
    let mut before = String::new();
    for row in rows {
        let clock = time::of_day(row.time_ns);
        let shown = if clock == before { String::new() } else { clock.clone() };
        before = clock;
        let mark = if row.mark.is_some() { " ‼" } else { "" };
        let colour = colour_of(row);
        let text = line([
            &style.paint(&fit(&shown, TIME), Colour::Dim),
            &style.paint(&fit(mark, MARGIN), colour),
            &fit(&row.mandate, MANDATE),
            &style.paint(
                &format!("{} {}", fit(&row.said, said), fit(row.tie, 1)),
                if row.quiet { Colour::Dim } else { Colour::Plain },
            ),
            &style.paint(&cut(&row.done, done), colour),
        ]);
        out.push_str(text.trim_end());
        out.push('\n');
    }
}

fn single(rows: &[Row], style: &Style, out: &mut String) {
    for row in rows {
        let clock = time::of_day(row.time_ns);
        for (tag, text) in [("mandate", &row.mandate), ("said", &row.said), ("did", &row.done)] {
            if !text.is_empty() {
                let line = format!("{clock} {} {text}", fit(tag, 7));
                out.push_str(&style.paint(&cut(&line, style.width), colour_of(row)));
                out.push('\n');
            }
        }
    }
}

/// What a record that others kept does not show.
fn not_in_record(part: &str) -> String {
    let what = match part {
        "execve" => "what was executed",
        "clone" => "which process started which",
        "exit" => "how processes ended",
        "open" => "which files were written",
        "rename" => "which files were renamed",
        "unlink" => "which files were removed",
        "connect" => "what was connected to",
        "sendto" => "packets without a connection (questions to the DNS)",
        "signals" => "who died of a signal",
        "arguments" => "the whole of some command lines",
        "torn" => "what stood in parts of the record that are missing or cannot be read",
        "folders" => "the folders of some relative paths",
        "rest" => "what it did after the record's end",
        other => return format!("{} (the record does not have it)", safe(other)),
    };
    format!("{what} (the record does not have it)")
}

/// What could not be seen, in words.
pub(crate) fn not_seen(agent: &AgentState) -> Vec<String> {
    let coverage = &agent.coverage;
    let mut out = Vec::new();
    if coverage.record_from_ns.is_none() {
        out.push(
            "not seen: everything it did (no kernel record); only that it ran, and what it said".to_owned(),
        );
    }
    if coverage.began_unseen {
        out.push("not seen: what it did before Muster watched".to_owned());
    }
    if coverage.lost > 0 {
        out.push(format!("not seen: {} events of its time, which were lost", coverage.lost));
    }
    for probe in &coverage.blind {
        out.push(match probe.strip_prefix("record:") {
            Some(part) => format!("not seen: {}", not_in_record(part)),
            None => format!("not seen: what the probe {} would have told", safe(probe)),
        });
    }
    if !coverage.account {
        out.push("not seen: what it said (no account is read)".to_owned());
    }
    for account in &coverage.unreadable {
        out.push(format!("not read: {}", safe(account)));
    }
    for gap in &coverage.gaps {
        let until = gap.to_ns.map_or("now".to_owned(), time::full);
        let what = crate::gaps::what(gap.cause).trim_end_matches(':');
        out.push(format!("gap: {} – {until}: {what}", time::full(gap.from_ns)));
    }
    if coverage.gaps_more > 0 {
        out.push(format!("gaps: {} more (`muster gaps`)", coverage.gaps_more));
    }
    if out.is_empty() {
        out.push(
            "coverage: no loss is known. What left no trace in the kernel's record was not seen.".to_owned(),
        );
    }
    out
}
