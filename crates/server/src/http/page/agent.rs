//! The page of one agent: its lanes, its lineage, and below them the same in words.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Router, routing::get};
use maud::{Markup, html};
use muster_account::Body;
use muster_engine::{AgentState, Claim, Evidence, Finding};
use muster_event::{Event, Nanos, sanitize};
use muster_report::words;
use serde::Deserialize;

use super::lanes::{self, Lanes, Row, said_ns, short};
use super::{App, absent, act_buttons, findings_table, graph, html_page, respond, role, short_time};
use crate::http::access::Role;
use crate::http::api::ApiError;
use crate::reader::{AccountItem, EventFilter, FindingFilter, TimeRange};
use crate::views::{self, ClaimView, EvidenceView, FindingView, RollView};
use crate::{Lineage, StoreReader};

/// Acts and words of one stretch of time that are drawn.
const DRAWN_MAX: usize = 10_000;
/// Lines of a list below the picture.
const LISTED_MAX: usize = 150;
/// Findings and claims on the page: those that matter come first.
const FINDINGS_MAX: usize = 200;
const CLAIMS_MAX: usize = 200;
/// The shortest stretch that can be looked at.
const SPAN_MIN: Nanos = 1_000;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/agents/{agent}", get(page)).route("/agents/{agent}/lanes", get(fragment))
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Stretch {
    /// Wall-clock nanoseconds.
    from: Option<Nanos>,
    to: Option<Nanos>,
}

/// All that one stretch of an agent's time shows.
struct Seen {
    agent: AgentState,
    from_ns: Nanos,
    to_ns: Nanos,
    said: Vec<AccountItem>,
    done: Vec<Event>,
    cut_at: Option<Nanos>,
    claims: Vec<Claim>,
    findings: Vec<Finding>,
    lanes: Markup,
}

fn look(store: &StoreReader, id: &str, stretch: Stretch) -> crate::error::Result<Option<Seen>> {
    let Some(agent) = store.agent(id)? else { return Ok(None) };
    let last = agent.ended_ns.unwrap_or(0).max(agent.last_ns).max(agent.started_ns.saturating_add(SPAN_MIN));
    // A little air at both ends.
    let air = (last.saturating_sub(agent.started_ns) / 50).max(SPAN_MIN);
    let from_ns = stretch.from.unwrap_or(agent.started_ns.saturating_sub(air));
    let to_ns = stretch.to.unwrap_or(last.saturating_add(air)).max(from_ns.saturating_add(SPAN_MIN));
    let range = TimeRange { since_ns: Some(from_ns), until_ns: Some(to_ns) };
    let said = store.account_items(id, range, Some(DRAWN_MAX))?;
    let filter = EventFilter {
        agent: Some(id.to_owned()),
        since_ns: Some(from_ns),
        until_ns: Some(to_ns),
        ..EventFilter::default()
    };
    let (mut done, mut cut_at) = (Vec::new(), None);
    store.records(&filter, &mut |record| {
        if Row::of(&record.event.kind).is_none() {
            return true;
        }
        if done.len() >= DRAWN_MAX {
            cut_at = Some(record.event.time_ns);
            return false;
        }
        done.push(record.event);
        true
    })?;
    let findings = store.findings(&FindingFilter {
        agent: Some(id.to_owned()),
        limit: Some(DRAWN_MAX),
        ..FindingFilter::default()
    })?;
    let joins = store.joins(id)?;
    let gaps = store.gaps(Some(id), Some(lanes::MARKS_MAX))?;
    let claims = store.claims(id, None, Some(DRAWN_MAX))?;
    let drawn = Lanes {
        agent: &agent,
        from_ns,
        to_ns,
        said: &said,
        done: &done,
        joins: &joins,
        gaps: &gaps,
        findings: &findings,
        cut_at,
    }
    .draw();
    Ok(Some(Seen { from_ns, to_ns, lanes: drawn, agent, said, done, cut_at, claims, findings }))
}

async fn fragment(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(stretch): Query<Stretch>,
) -> Result<Response, ApiError> {
    let asked = id.clone();
    let Some(seen) = app.ask(move |store| look(store, &asked, stretch)).await? else {
        return Ok(absent("agent", &id));
    };
    Ok(respond(StatusCode::OK, "text/html; charset=utf-8", stretch_of(&seen).into_string()))
}

async fn page(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(stretch): Query<Stretch>,
    may: Option<Extension<Role>>,
) -> Result<Response, ApiError> {
    let asked = id.clone();
    let found = app
        .ask(move |store| {
            let Some(seen) = look(store, &asked, stretch)? else { return Ok(None) };
            let counts = store.finding_counts()?.get(&asked).copied().unwrap_or_default();
            let view = RollView::new(&seen.agent, counts);
            let lineage = store.lineage(&asked)?;
            let tree = tree(store, &asked)?;
            Ok(Some((seen, view, lineage, tree)))
        })
        .await?;
    let Some((seen, view, lineage, tree)) = found else { return Ok(absent("agent", &id)) };
    let may = role(may);
    let body = html! {
        (head(&seen.agent, &view, may))
        div id="stretch" data-agent=(view.agent) { (stretch_of(&seen)) }
        @if let Some(lineage) = &lineage { (lineage_of(lineage, &tree)) }
        h2 id="findings" { "Findings" }
        @let findings: Vec<FindingView> = gravest(&seen.findings);
        @if findings.is_empty() { p.empty { "None." } } @else { (findings_table(&findings)) }
        h2 id="claims" { "What it claimed" }
        (claims_table(&seen.claims, &seen.done))
    };
    Ok(html_page(StatusCode::OK, &view.agent, Some(may), true, &body))
}

/// Forks, executions and ends: what the picture of the lineage is made of.
fn tree(store: &StoreReader, id: &str) -> crate::error::Result<Vec<Event>> {
    let filter = EventFilter {
        agent: Some(id.to_owned()),
        kinds: ["fork", "exec", "exit"].map(str::to_owned).into(),
        limit: Some(DRAWN_MAX),
        ..EventFilter::default()
    };
    let mut tree = Vec::new();
    store.records(&filter, &mut |record| {
        tree.push(record.event);
        true
    })?;
    Ok(tree)
}

fn gravest(findings: &[Finding]) -> Vec<FindingView> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.time_ns.cmp(&a.time_ns)));
    sorted.into_iter().take(FINDINGS_MAX).map(FindingView::from).collect()
}

fn head(state: &AgentState, agent: &RollView, may: Role) -> Markup {
    html! {
        div.title {
            h1 { (sanitize(&agent.agent)) " " span class={ "state " (agent.state) } { (agent.state) } }
            (act_buttons(&agent.agent, &agent.state, may))
        }
        dl.facts {
            dt { "product" } dd {
                (sanitize(&agent.product)) " " (sanitize(agent.version.as_deref().unwrap_or_default()))
                @if let Some(model) = &state.model { " with " (sanitize(model)) }
                ", found by " (sanitize(&agent.found_by))
            }
            dt { "mandate" } dd {
                @match &agent.mandate {
                    Some(mandate) => { (sanitize(mandate)) " by " (sanitize(agent.principal.as_deref().unwrap_or("nobody"))) " " q { (sanitize(&agent.label)) } }
                    None => span.warning { "none: nobody enrolled it" }
                }
            }
            dt { "command" } dd { code { (short(&words::shell_line(&state.command))) } " in " code { (sanitize(&state.cwd)) } }
            dt { "time" } dd {
                "since " (short_time(&agent.started)) @if let Some(ended) = &agent.ended { " until " (short_time(ended)) }
                ", " (agent.processes) " processes live, " (agent.events) " events, " (agent.calls_joined) " of " (agent.calls)
                " calls matched to the record"
            }
            dt { "coverage" } dd {
                (agent.coverage) @if agent.coverage_detail.lost > 0 { ", " (agent.coverage_detail.lost) " events lost" }
                @for probe in &agent.coverage_detail.blind { ", blind: " (sanitize(probe)) }
                @for account in &agent.coverage_detail.unreadable { ", unreadable: " (sanitize(account)) }
            }
            @if let Some(containment) = &state.containment { dt { "mustered out" } dd { (sanitize(containment)) } }
            @if let Some(parent) = &agent.parent { dt { "started by" } dd { a href={ "/agents/" (parent) } { (sanitize(parent)) } } }
        }
    }
}

/// The picture, the way to other stretches, and what is in this one, in words.
fn stretch_of(seen: &Seen) -> Markup {
    let (from, to) = (seen.from_ns, seen.to_ns);
    let span = to - from;
    let quarter = span / 4;
    let link = |from: Nanos, to: Nanos| format!("/agents/{}?from={from}&to={to}", seen.agent.agent);
    html! {
        nav.zoom aria-label="stretch of time" {
            a href=(link(from.saturating_sub(quarter * 2), to - quarter * 2)) data-zoom="earlier" { "← earlier" }
            a href=(link(from + quarter, (to - quarter).max(from + quarter + SPAN_MIN))) data-zoom="in" { "+ closer" }
            a href=(link(from.saturating_sub(span / 2), to.saturating_add(span / 2))) data-zoom="out" { "− further" }
            a href=(link(from + quarter * 2, to.saturating_add(quarter * 2))) data-zoom="later" { "later →" }
            a href={ "/agents/" (seen.agent.agent) } data-zoom="all" { "all" }
            span { (short_time(&views::time(from))) " to " (short_time(&views::time(to))) ", " (words_of_span(span)) }
        }
        div.scroll tabindex="0" { (seen.lanes) }
        p.legend {
            span.key.mandated {} "mandated " span.key.call {} "tool call " span.key.done {} "act " span.key.join {} "joined "
            span.key.blind {} "not seen "
        }
        div.sides {
            section.reported {
                h2 { "As reported by the agent" }
                (said_list(seen))
            }
            section.observed {
                h2 { "As observed" }
                (done_list(seen))
            }
        }
    }
}

fn words_of_span(ns: Nanos) -> String {
    let seconds = ns as f64 / 1e9;
    match seconds {
        s if s >= 172_800.0 => format!("{:.1} days", s / 86_400.0),
        s if s >= 7_200.0 => format!("{:.1} hours", s / 3_600.0),
        s if s >= 120.0 => format!("{:.1} minutes", s / 60.0),
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}

fn said_list(seen: &Seen) -> Markup {
    let shown =
        seen.said.iter().enumerate().filter_map(|(at, said)| Some((at, said, words::of_item(&said.item)?)));
    html! {
        @if seen.said.is_empty() { p.empty { "Nothing was said in this time." } }
        ol.plain tabindex="0" { @for (at, said, words) in shown.take(LISTED_MAX) {
            li id={ "i" (at) } class=(kind_of(&said.item.body)) {
                time { (clock(said_ns(said))) } " "
                span.words { (words) }
                @for claim in seen.claims.iter().filter(|claim| is_of(claim, said)) {
                    " " span class={ "verdict " (claim.verdict.name()) } title=(sanitize(&claim.reason)) {
                        (claim.verdict.name()) ": " (short(&claim.sentence))
                    }
                }
            }
        } }
        @if seen.said.len() > LISTED_MAX { p.empty { "More: look closer." } }
    }
}

fn is_of(claim: &Claim, said: &AccountItem) -> bool {
    matches!(&claim.said, Evidence::Account { path, offset, .. } if *path == said.path && *offset == said.offset)
        && !matches!(said.item.body, Body::Thinking { .. } | Body::Session { .. } | Body::Result { .. })
}

fn kind_of(body: &Body) -> &'static str {
    match body {
        Body::Prompt { .. } => "prompt",
        Body::Text { .. } => "text",
        Body::Thinking { .. } => "thinking",
        Body::Call { .. } => "call",
        Body::Result { .. } => "result",
        _ => "other",
    }
}

fn done_list(seen: &Seen) -> Markup {
    html! {
        @if seen.done.is_empty() { p.empty { "Nothing is on record in this time." } }
        ol.plain tabindex="0" { @for event in seen.done.iter().take(LISTED_MAX) {
            li id={ "e" (event.seq) } {
                time { (clock(event.time_ns)) } " "
                span.kind { (event.kind.name()) } " "
                span.words { (words::of_kind(&event.kind)) } " "
                small { "pid " (event.process.pid) " #" (event.seq) }
            }
        } }
        @if seen.done.len() > LISTED_MAX || seen.cut_at.is_some() { p.empty { "More: look closer." } }
    }
}

/// `03:04:05.000006` of a moment.
fn clock(ns: Nanos) -> String {
    views::time(ns).get(11..26).unwrap_or_default().to_owned()
}

fn lineage_of(lineage: &Lineage, tree: &[Event]) -> Markup {
    html! {
        h2 id="lineage" { "Lineage" }
        p.legend {
            span.key.live {} "live " span.key.over {} "ended " span.key.file {} "file that makes others run something "
            span.key.descent {} "descent, certain " span.key.likely {} "likely only "
        }
        div.scroll tabindex="0" { (graph::draw(lineage, tree)) }
        @if tree.len() >= DRAWN_MAX { p.empty { "Made of the first " (DRAWN_MAX) " forks, executions and ends." } }
    }
}

/// What stands first is what a person should look at first.
fn rank(verdict: &str) -> usize {
    ["contradicted", "hollow", "unsupported"].iter().position(|name| *name == verdict).unwrap_or(3)
}

fn claims_table(claims: &[Claim], events: &[Event]) -> Markup {
    let mut claims: Vec<ClaimView> = claims.iter().map(ClaimView::from).collect();
    claims.sort_by_key(|claim| rank(&claim.verdict));
    let more = claims.len().saturating_sub(CLAIMS_MAX);
    claims.truncate(CLAIMS_MAX);
    html! {
        @if claims.is_empty() { p.empty { "Nothing." } }
        div.scroll tabindex="0" { table.claims { tbody { @for claim in &claims { tr {
            td { span class={ "verdict " (claim.verdict) } { (claim.verdict) } }
            td {
                q { (sanitize(&claim.sentence)) }
                small {
                    " " (claim.class)
                    @if claim.source != "prose" { ", in a " (claim.source.replace('-', " ")) }
                    @if let Some(actor) = &claim.actor { ", by sub-agent " (sanitize(actor)) }
                }
            }
            td {
                (sanitize(&claim.reason)) " "
                @for pointer in &claim.evidence { (decides(pointer, events)) " " }
            }
            td.time { (short_time(&claim.time)) }
        } } } } }
        @if more > 0 { p.empty { (more) " more." } }
    }
}

/// The number of an event, which leads to it where it is on the page; a place in the account.
fn decides(pointer: &EvidenceView, events: &[Event]) -> Markup {
    html! { @match pointer {
        EvidenceView::Event { event } => {
            @if events.iter().take(LISTED_MAX).any(|shown| shown.seq == *event) { a.event href={ "#e" (event) } { "#" (event) } }
            @else { span.event { "#" (event) } }
        }
        EvidenceView::Account { account, offset, .. } => {
            span.event title=(sanitize(account)) { "account at byte " (offset) }
        }
        EvidenceView::Process { process } => span.event { "process " (process) }
    } }
}
