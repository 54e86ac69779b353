//! An agent on one time axis, as a picture: mandate, account and record above each other, with lines between a tool call
//! and what it did. Drawn here, so that it can be read without a script and tests can look at it; a script only asks for
//! another stretch of time.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};
use muster_account::{Body, Status};
use muster_engine::{AgentState, Evidence, Finding, Gap, Join};
use muster_event::{Event, Kind, Nanos, sanitize};
use muster_report::words;

use crate::AccountItem;
use crate::views::time;

/// Sizes of the picture, in its own units.
const WIDTH: f64 = 1200.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 1192.0;
const HEIGHT: f64 = 250.0;
/// More marks of a lane than this are drawn as a density: nobody could tell them apart, and a page has a size.
pub(super) const MARKS_MAX: usize = 600;
/// Width of a column of a density.
const COLUMN: f64 = 3.0;
/// Lines between calls and what they did.
const LINES_MAX: usize = 400;
/// Bytes of a mark's words: the whole stands in the list below.
const WORDS_MAX: usize = 160;

/// What is drawn, all of one agent and one stretch of time.
pub(super) struct Lanes<'a> {
    pub agent: &'a AgentState,
    pub from_ns: Nanos,
    pub to_ns: Nanos,
    pub said: &'a [AccountItem],
    pub done: &'a [Event],
    pub joins: &'a [Join],
    pub gaps: &'a [Gap],
    pub findings: &'a [Finding],
    /// Acts of this stretch that are not drawn: there are more than can be read at once.
    pub cut_at: Option<Nanos>,
}

/// Rows of the record, by what an act touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Programs,
    Files,
    Network,
    Power,
}

impl Row {
    const ALL: [Row; 4] = [Row::Programs, Row::Files, Row::Network, Row::Power];

    fn name(self) -> &'static str {
        match self {
            Row::Programs => "programs",
            Row::Files => "files",
            Row::Network => "network",
            Row::Power => "privileges",
        }
    }

    fn top(self) -> f64 {
        let at = match self {
            Row::Programs => 0.0,
            Row::Files => 1.0,
            Row::Network => 2.0,
            Row::Power => 3.0,
        };
        158.0 + at * 22.0
    }

    /// `None`: it is part of another act.
    pub(super) fn of(kind: &Kind) -> Option<Row> {
        Some(match kind {
            Kind::Exec { .. } => Row::Programs,
            Kind::Fork { .. } | Kind::Exit { .. } | Kind::Output { .. } => return None,
            Kind::Open { .. }
            | Kind::Rename { .. }
            | Kind::Link { .. }
            | Kind::Symlink { .. }
            | Kind::Unlink { .. }
            | Kind::Mkdir { .. }
            | Kind::Chmod { .. }
            | Kind::Chown { .. }
            | Kind::Truncate { .. }
            | Kind::IoUring { .. } => Row::Files,
            Kind::Connect { .. }
            | Kind::Bind { .. }
            | Kind::Listen { .. }
            | Kind::Accept { .. }
            | Kind::Send { .. }
            | Kind::Dns { .. }
            | Kind::Tls { .. }
            | Kind::Http { .. } => Row::Network,
            _ => Row::Power,
        })
    }
}

const TALK: f64 = 84.0;
const CALLS: f64 = 108.0;
const ROW: f64 = 16.0;

impl Lanes<'_> {
    fn x(&self, at: Nanos) -> f64 {
        let span = self.to_ns.saturating_sub(self.from_ns).max(1) as f64;
        let share = at.clamp(self.from_ns, self.to_ns).saturating_sub(self.from_ns) as f64 / span;
        LEFT + share * (RIGHT - LEFT)
    }

    fn is_in(&self, at: Nanos) -> bool {
        self.from_ns <= at && at <= self.to_ns
    }

    pub(super) fn draw(&self) -> Markup {
        let calls = self.calls();
        html! {
            svg id="lanes" class="lanes" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="group"
                aria-label="Mandate, account and record of the agent on one time axis; the same stands in the lists below"
                data-from=(self.from_ns) data-to=(self.to_ns) data-left=(LEFT) data-right=(RIGHT) data-width=(WIDTH) {
                defs {
                    pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        rect class="hatch" width="2" height="6" {}
                    }
                }
                (self.axis())
                (self.names())
                (self.mandate())
                (self.talk())
                (call_marks(&calls))
                (self.record())
                (self.lines(&calls))
                (self.not_seen())
                (self.flags())
            }
        }
    }

    fn axis(&self) -> Markup {
        let ticks = ticks(self.from_ns, self.to_ns);
        html! {
            @for (at, word) in &ticks {
                @let x = self.x(*at);
                line class="tick" x1=(n(x)) x2=(n(x)) y1="18" y2=(HEIGHT - 4.0) {}
                // At the right edge there is no room for it.
                @if x < RIGHT - 60.0 { text class="axis" x=(n(x + 3.0)) y="13" { (word) } }
            }
        }
    }

    fn names(&self) -> Markup {
        html! {
            text class="lane" x="4" y="62" { "mandate" }
            text class="lane" x="4" y="96" { "account" }
            text class="row" x="12" y="119" { "tool calls" }
            text class="lane" x="4" y="150" { "record" }
            @for row in Row::ALL { text class="row" x="12" y=(row.top() + 12.0) { (row.name()) } }
        }
    }

    fn mandate(&self) -> Markup {
        let agent = self.agent;
        let end = agent.ended_ns.unwrap_or(self.to_ns);
        let (from, to) = (self.x(agent.started_ns), self.x(end));
        let (class, word) = match &agent.mandate {
            Some(mandate) => {
                ("mandated", format!("{} {}", mandate, agent.principal.as_deref().unwrap_or_default()))
            }
            None => ("unmandated", "no mandate".to_owned()),
        };
        html! {
            rect class=(class) x=(n(from)) y="50" width=(n((to - from).max(1.0))) height=(ROW) {}
            text class="on" x=(n(from + 5.0)) y="62" { (short(&word)) }
        }
    }

    /// Prompts, prose and thoughts.
    fn talk(&self) -> Markup {
        let marks: Vec<(f64, &str, usize, String)> = self
            .said
            .iter()
            .enumerate()
            .filter(|(_, said)| self.is_in(said_ns(said)))
            .filter_map(|(at, said)| {
                let class = match &said.item.body {
                    Body::Prompt { .. } => "prompt",
                    Body::Text { .. } => "text",
                    Body::Thinking { .. } => "thinking",
                    _ => return None,
                };
                Some((self.x(said_ns(said)), class, at, words::of_item(&said.item).unwrap_or_default()))
            })
            .collect();
        if marks.len() > MARKS_MAX {
            return density(marks.iter().map(|(x, ..)| *x), TALK, "said");
        }
        html! {
            @for (x, class, at, word) in &marks {
                a href={ "#i" (at) } {
                    circle class={ "said " (class) } cx=(n(*x)) cy=(TALK + 8.0) r="4.5" { title { (short(word)) } }
                }
            }
        }
    }

    /// Each call with the time of its result, where that is told.
    fn calls(&self) -> Vec<CallMark<'_>> {
        let mut ends: HashMap<&str, (Nanos, Status)> = HashMap::new();
        for said in self.said {
            if let Body::Result { call_id, status, .. } = &said.item.body {
                ends.entry(call_id).or_insert((said_ns(said), *status));
            }
        }
        self.said
            .iter()
            .enumerate()
            .filter_map(|(at, said)| {
                let Body::Call { call_id, .. } = &said.item.body else { return None };
                let begun = said_ns(said);
                let end = ends.get(call_id.as_str());
                let until = end.map_or(begun, |(until, _)| (*until).max(begun));
                (begun <= self.to_ns && until >= self.from_ns).then(|| CallMark {
                    id: call_id,
                    at,
                    from: self.x(begun),
                    to: self.x(until),
                    class: match end {
                        Some((_, Status::Ok)) => "ok",
                        Some((_, Status::Denied)) => "denied",
                        Some(_) => "failed",
                        None => "open",
                    },
                    words: words::of_item(&said.item).unwrap_or_default(),
                })
            })
            .collect()
    }

    fn record(&self) -> Markup {
        let mut rows: BTreeMap<Row, Vec<&Event>> = BTreeMap::new();
        for event in self.done.iter().filter(|event| self.is_in(event.time_ns)) {
            if let Some(row) = Row::of(&event.kind) {
                rows.entry(row).or_default().push(event);
            }
        }
        let marked = self.marked();
        html! {
            @for (row, events) in &rows {
                @let dense = events.len() > MARKS_MAX;
                @if dense { (density(events.iter().map(|event| self.x(event.time_ns)), row.top(), "done")) }
                @for event in events.iter().filter(|event| !dense || marked.contains_key(&event.seq)) {
                    @let mark = marked.get(&event.seq);
                    a href={ "#e" (event.seq) } {
                        rect class={ "done " (mark.copied().unwrap_or("plain")) } x=(n(self.x(event.time_ns) - 1.0))
                            y=(row.top()) width=(if mark.is_some() { "3.5" } else { "2" }) height=(ROW) {
                            title { (short(&words::of_kind(&event.kind))) }
                        }
                    }
                }
            }
        }
    }

    /// Events that findings rest on, with the gravest severity of these.
    fn marked(&self) -> HashMap<u64, &'static str> {
        let mut marked = HashMap::new();
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        for finding in findings {
            for evidence in &finding.evidence {
                if let Evidence::Event { seq } = evidence {
                    marked.insert(*seq, finding.severity.name());
                }
            }
        }
        marked
    }

    fn lines(&self, calls: &[CallMark<'_>]) -> Markup {
        let events: HashMap<u64, &Event> = self.done.iter().map(|event| (event.seq, event)).collect();
        let marks: HashMap<&str, &CallMark<'_>> = calls.iter().map(|call| (call.id, call)).collect();
        let lines = self.joins.iter().filter_map(|join| {
            let (call, event) = (marks.get(join.call_id.as_str())?, events.get(&join.seq)?);
            let row = Row::of(&event.kind)?;
            Some((call.from, self.x(event.time_ns), row.top()))
        });
        html! {
            @for (from, to, top) in lines.take(LINES_MAX) {
                line class="join" x1=(n(from + 1.0)) y1=(CALLS + ROW) x2=(n(to)) y2=(n(top)) {}
            }
        }
    }

    /// Hatched: nothing is known of these times, which is not the same as nothing done.
    fn not_seen(&self) -> Markup {
        let began = self.agent.coverage.record_from_ns.filter(|_| self.agent.coverage.began_unseen);
        let mut blind: Vec<(Nanos, Nanos, String)> = self
            .gaps
            .iter()
            .filter(|gap| gap.from_ns <= self.to_ns && gap.to_ns.is_none_or(|to| to >= self.from_ns))
            .map(|gap| {
                let cause = serde_json::to_value(gap.cause).unwrap_or_default();
                let why = format!(
                    "{} {} {}",
                    cause.as_str().unwrap_or_default().replace('_', " "),
                    gap.subject,
                    gap.detail
                );
                (gap.from_ns, gap.to_ns.unwrap_or(self.to_ns), why)
            })
            .collect();
        blind.extend(
            began.map(|from| (self.agent.started_ns, from, "it ran before the record began".to_owned())),
        );
        blind.extend(
            self.cut_at
                .map(|from| (from, self.to_ns, "more acts than are drawn at once: look closer".to_owned())),
        );
        if self.agent.coverage.record_from_ns.is_none() {
            blind.push((self.from_ns, self.to_ns, "there is no kernel record".to_owned()));
        }
        html! {
            @for (from, to, why) in &blind {
                @let x = self.x(*from);
                rect class="blind" fill="url(#hatch)" x=(n(x)) y="132" width=(n((self.x(*to) - x).max(3.0))) height="112" {
                    title { "not seen: " (short(why)) }
                }
            }
        }
    }

    fn flags(&self) -> Markup {
        let mut shown: Vec<&Finding> = self.findings.iter().filter(|it| self.is_in(it.time_ns)).collect();
        // The gravest on top.
        shown.sort_by_key(|finding| finding.severity);
        let from = shown.len().saturating_sub(MARKS_MAX);
        html! {
            @for finding in shown.get(from..).unwrap_or_default() {
                @let x = self.x(finding.time_ns);
                a href={ "/findings/" (finding.id) } {
                    path class={ "flag " (finding.severity.name()) } d={ "M" (n(x)) " 44v-22h11l-3.5 4.5l3.5 4.5h-11" } {
                        title { (finding.severity.name()) " " (finding.code.name()) ": " (short(&finding.summary)) }
                    }
                }
            }
        }
    }
}

struct CallMark<'a> {
    id: &'a str,
    /// Its place in what was said.
    at: usize,
    from: f64,
    to: f64,
    class: &'static str,
    words: String,
}

fn call_marks(calls: &[CallMark<'_>]) -> Markup {
    if calls.len() > MARKS_MAX {
        return density(calls.iter().map(|call| call.from), CALLS, "said");
    }
    html! {
        @for call in calls {
            a href={ "#i" (call.at) } {
                rect class={ "call " (call.class) } x=(n(call.from)) y=(CALLS) rx="2"
                    width=(n((call.to - call.from).max(3.0))) height=(ROW) { title { (short(&call.words)) } }
            }
        }
    }
}

/// How many at each place, as one path: its height grows with the logarithm.
fn density(places: impl Iterator<Item = f64>, top: f64, class: &str) -> Markup {
    let mut columns: BTreeMap<u32, u32> = BTreeMap::new();
    for x in places {
        *columns.entry(((x - LEFT) / COLUMN) as u32).or_default() += 1;
    }
    let most = columns.values().copied().max().unwrap_or(1);
    let scale = ROW / f64::from(most + 1).log2();
    let mut path = String::new();
    for (column, count) in columns {
        let height = (f64::from(count + 1).log2() * scale).max(2.0);
        let x = LEFT + f64::from(column) * COLUMN;
        path.push_str(&format!("M{} {}h{COLUMN}v{}h-{COLUMN}z", n(x), n(top + ROW), n(-height)));
    }
    html! { path class={ "density " (class) } d=(path) { title { "at most " (most) " in one place: look closer" } } }
}

/// When it was said, or at least read.
pub(super) fn said_ns(said: &AccountItem) -> Nanos {
    crate::entry::item_time(&said.item, said.read_ns)
}

/// A coordinate, as short as a picture needs it.
fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Words of hostile origin, made safe and cut.
pub(super) fn short(text: &str) -> String {
    let mut cut = WORDS_MAX.min(text.len());
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let shown = sanitize(text.get(..cut).unwrap_or_default());
    if cut < text.len() { format!("{shown}…") } else { shown }
}

/// Round moments of a stretch of time, and what to call them.
fn ticks(from: Nanos, to: Nanos) -> Vec<(Nanos, String)> {
    const SECOND: u64 = 1_000_000_000;
    const STEPS: [u64; 27] = [
        1_000,
        10_000,
        100_000,
        1_000_000,
        2_000_000,
        5_000_000,
        10_000_000,
        20_000_000,
        50_000_000,
        100_000_000,
        200_000_000,
        500_000_000,
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
        60 * SECOND,
        120 * SECOND,
        300 * SECOND,
        600 * SECOND,
        1_800 * SECOND,
        3_600 * SECOND,
        10_800 * SECOND,
        21_600 * SECOND,
        86_400 * SECOND,
        604_800 * SECOND,
    ];
    const WANTED: u64 = 8;
    let span = to.saturating_sub(from).max(1);
    let step = STEPS.into_iter().find(|step| span / step <= WANTED).unwrap_or(span / WANTED);
    let mut ticks = Vec::new();
    let mut at = from.div_ceil(step).saturating_mul(step);
    while at <= to && ticks.len() <= 2 * WANTED as usize {
        let full = time(at);
        // Of `2026-01-02T03:04:05.000000006Z` what the step lets differ.
        let word = match step {
            step if step >= 86_400 * SECOND => full.get(..10),
            step if step >= 60 * SECOND => full.get(11..16),
            step if step >= SECOND => full.get(11..19),
            step if step >= 1_000_000 => full.get(14..23),
            _ => full.get(17..26),
        };
        ticks.push((at, word.unwrap_or_default().to_owned()));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        for span in [1u64, 999, 1_000_000, 7_000_000_000, 90_000_000_000, 86_400_000_000_000, u64::MAX / 2] {
            let from = 1_700_000_000_123_456_789;
            let found = ticks(from, from.saturating_add(span));
            assert!(found.len() <= 17, "{span}: {}", found.len());
            assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        let day = ticks(1_700_000_000_000_000_000, 1_700_000_007_000_000_000);
        assert_eq!(day.first().unwrap().1, "22:13:20");
    }

    #[test]
    fn hostile_words_are_cut_at_a_character() {
        let long = "ü".repeat(500);
        assert!(short(&long).chars().count() <= 81);
        assert!(!short("a\u{1b}[2Jb").contains('\u{1b}'));
    }
}
