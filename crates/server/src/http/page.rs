//! The plain page: the roll, the findings, and one of each. Every word that an agent can influence goes through `sanitize`
//! and the template's escape.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};
use muster_event::sanitize;
use serde::Deserialize;

use super::App;
use super::api::ApiError;
use crate::views::{ClaimView, EventView, EvidenceView, FindingView, RollView};
use crate::{EventFilter, EvidenceCopy, FindingFilter};

const FINDINGS_MAX: usize = 200;
const EVENTS_MAX: usize = 200;
/// Claims on the page of an agent: those that the record contradicts come first.
const CLAIMS_MAX: usize = 200;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(front))
        .route("/fragment", get(fragment))
        .route("/agents/{agent}", get(agent))
        .route("/findings/{finding}", get(finding))
        .route("/login", get(login))
        .route("/style.css", get(style))
        .route("/page.js", get(script))
        .route("/icon.svg", get(icon))
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn html_page(status: StatusCode, title: &str, live: bool, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (sanitize(title)) " · Muster" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                @if live { script src="/page.js" defer {} }
            }
            body {
                header { a href="/" { "Muster" } span id="live" { @if live { "not live" } } }
                main { (body) }
            }
        }
    };
    respond(status, "text/html; charset=utf-8", page.into_string())
}

async fn style() -> Response {
    respond(StatusCode::OK, "text/css; charset=utf-8", include_str!("page.css").to_owned())
}

async fn icon() -> Response {
    respond(StatusCode::OK, "image/svg+xml", include_str!("icon.svg").to_owned())
}

async fn script() -> Response {
    respond(StatusCode::OK, "text/javascript; charset=utf-8", include_str!("page.js").to_owned())
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    token: String,
}

async fn login(State(app): State<App>, Query(login): Query<Login>) -> Response {
    let Some(role) = app.access.role_of(login.token.trim()) else {
        return ask_for_token(&app.data.join("token"), !login.token.is_empty());
    };
    let mut response = Redirect::to("/").into_response();
    if let Ok(cookie) = HeaderValue::from_str(&app.access.cookie(role)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

pub(super) fn ask_for_token(file: &std::path::Path, wrong: bool) -> Response {
    let body = html! {
        h1 { "Who are you?" }
        @if wrong { p.warning { "That is not the token." } }
        p { "The token is the text in the file " code { (sanitize(&file.to_string_lossy())) } "." }
        form action="/login" method="get" {
            label { "Token " input name="token" type="password" autocomplete="off" autofocus; }
            button { "Enter" }
        }
    };
    html_page(StatusCode::UNAUTHORIZED, "Who are you?", false, &body)
}

async fn front(State(app): State<App>) -> Result<Response, ApiError> {
    let tables = tables(&app).await?;
    Ok(html_page(StatusCode::OK, "Roll", true, &html! { div id="tables" { (tables) } }))
}

async fn fragment(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(respond(StatusCode::OK, "text/html; charset=utf-8", tables(&app).await?.into_string()))
}

async fn tables(app: &App) -> Result<Markup, ApiError> {
    let filter = FindingFilter { limit: Some(FINDINGS_MAX), ..FindingFilter::default() };
    let (roll, findings, health) =
        app.ask(move |store| Ok((store.roll_views()?, store.findings(&filter)?, store.health()?))).await?;
    let findings: Vec<FindingView> = findings.iter().map(FindingView::from).collect();
    let running = roll.iter().filter(|a| a.state == "running").count();
    let unmandated = roll.iter().filter(|a| a.state == "running" && a.mandate.is_none()).count();
    let blind: Vec<_> = health.probes.iter().filter(|p| p.error.is_some()).collect();
    let kernel = health.start.as_ref().is_some_and(|s| s.kernel_record);
    Ok(html! {
        @for text in app.notices().values() { p.notice role="alert" { (sanitize(text)) } }
        section.summary {
            p { b { (running) } " running" }
            p.warning[unmandated > 0] { b { (unmandated) } " of them without a mandate" }
            p { b { (findings.len()) } " findings" }
            p.warning[!kernel || health.lost > 0 || !blind.is_empty()] {
                @if !kernel { "no kernel record: only who is there" }
                @else if health.lost > 0 { b { (health.lost) } " events lost" }
                @else if !blind.is_empty() { b { (blind.len()) } " probes blind" }
                @else { "no loss known" }
            }
        }
        h2 { "Roll" }
        @if roll.is_empty() { p.empty { "No agent has been seen. Start one, or enrol it: " code { "muster run -- claude" } } }
        @else { (roll_table(&roll)) }
        h2 { "Findings" }
        @if findings.is_empty() { p.empty { "None." } }
        @else { (findings_table(&findings)) }
    })
}

fn roll_table(roll: &[RollView]) -> Markup {
    let mut rows: Vec<&RollView> = roll.iter().collect();
    // Who runs stands above who ran, the latest first.
    rows.sort_by(|a, b| (b.state == "running").cmp(&(a.state == "running")).then(b.started.cmp(&a.started)));
    html! {
        table {
            thead { tr {
                th { "agent" } th { "product" } th { "pid" } th { "mandate" } th { "state" } th { "stage" }
                th { "coverage" } th { "calls" } th { "events" } th { "findings" } th { "doing" }
            } }
            tbody { @for agent in rows {
                tr class=(agent.state) {
                    td { a href={ "/agents/" (agent.agent) } { (sanitize(&agent.agent)) } }
                    td { (sanitize(&agent.product)) " " (sanitize(agent.version.as_deref().unwrap_or_default())) }
                    td.number { (agent.root_pid) }
                    td { @match &agent.mandate {
                        Some(mandate) => { (sanitize(mandate)) " " small { (sanitize(agent.principal.as_deref().unwrap_or_default())) } }
                        None => span.medium { "unmandated" }
                    } }
                    td { (agent.state) }
                    td { (agent.stage.as_deref().unwrap_or_default()) }
                    td { (agent.coverage) }
                    td.number { (agent.calls_joined) "/" (agent.calls) }
                    td.number { (agent.events) }
                    td { (counts(agent)) }
                    td.doing { (sanitize(&agent.doing)) }
                }
            } }
        }
    }
}

fn counts(agent: &RollView) -> Markup {
    let findings = &agent.findings;
    let all = [
        ("critical", findings.critical),
        ("high", findings.high),
        ("medium", findings.medium),
        ("low", findings.low),
        ("info", findings.info),
    ];
    html! { @for (name, count) in all { @if count > 0 { span class={ "badge " (name) } title=(name) { (count) } } } }
}

fn findings_table(findings: &[FindingView]) -> Markup {
    html! {
        table {
            thead { tr { th { "severity" } th { "code" } th { "summary" } th { "agent" } th { "time" } th { "evidence" } } }
            tbody { @for finding in findings { tr {
                td { span class={ "badge " (finding.severity) } { (finding.severity) } }
                td { a href={ "/findings/" (finding.finding) } { (finding.code) } }
                td { (sanitize(&finding.summary)) }
                td { a href={ "/agents/" (finding.agent) } { (sanitize(&finding.agent)) } }
                td.time { (short(&finding.time)) }
                td.number { (finding.evidence.len()) }
            } } }
        }
    }
}

/// `2026-01-02 03:04:05` of a time with nanoseconds.
fn short(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

async fn agent(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let asked = id.clone();
    let (found, findings, claims, events) = app
        .ask(move |store| {
            let counts = store.finding_counts()?.get(&asked).copied().unwrap_or_default();
            let found =
                store.agent(&asked)?.map(|state| (RollView::new(&state, counts), state.command, state.cwd));
            let filter = FindingFilter { agent: Some(asked.clone()), ..FindingFilter::default() };
            let findings: Vec<FindingView> = store.findings(&filter)?.iter().map(FindingView::from).collect();
            let claims: Vec<ClaimView> =
                store.claims(&asked, None, None)?.iter().map(ClaimView::from).collect();
            let mut events: Vec<EventView> = Vec::new();
            let last = EventFilter {
                agent: Some(asked),
                last: true,
                limit: Some(EVENTS_MAX),
                ..EventFilter::default()
            };
            store.events(&last, &mut |view| {
                events.push(view);
                true
            })?;
            Ok((found, findings, claims, events))
        })
        .await?;
    let Some((agent, command, cwd)) = found else { return Ok(absent("agent", &id)) };
    let body = html! {
        h1 { (sanitize(&agent.agent)) }
        dl {
            dt { "command" } dd { code { (sanitize(&command.join(" "))) } }
            dt { "folder" } dd { code { (sanitize(&cwd)) } }
            dt { "found by" } dd { (sanitize(&agent.found_by)) }
            dt { "mandate" } dd { (sanitize(agent.mandate.as_deref().unwrap_or("none"))) " " (sanitize(agent.principal.as_deref().unwrap_or_default())) " " (sanitize(&agent.label)) }
            dt { "state" } dd { (agent.state) " since " (short(&agent.started)) }
            dt { "coverage" } dd { (agent.coverage) ", " (agent.coverage_detail.lost) " lost" }
            dt { "sessions" } dd { (sanitize(&agent.sessions.join(", "))) }
        }
        h2 { "Findings" }
        @if findings.is_empty() { p.empty { "None." } } @else { (findings_table(&findings)) }
        h2 { "What it claimed" @if claims.len() > CLAIMS_MAX { ": " (CLAIMS_MAX) " of " (claims.len()) } }
        @if claims.is_empty() { p.empty { "Nothing." } } @else { (claims_table(claims, &events)) }
        h2 { "Record: the last " (events.len()) " events" }
        (events_table(&events))
    };
    Ok(html_page(StatusCode::OK, &agent.agent, false, &body))
}

/// What stands first is what a person should look at first.
fn rank(verdict: &str) -> usize {
    ["contradicted", "hollow", "unsupported"].iter().position(|name| *name == verdict).unwrap_or(3)
}

fn claims_table(mut claims: Vec<ClaimView>, events: &[EventView]) -> Markup {
    claims.sort_by_key(|claim| rank(&claim.verdict));
    claims.truncate(CLAIMS_MAX);
    html! {
        table.claims { tbody { @for claim in &claims { tr {
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
            td.time { (short(&claim.time)) }
        } } } }
    }
}

/// The number of an event, which leads to it where it is on the page; a place in the account.
fn decides(pointer: &EvidenceView, events: &[EventView]) -> Markup {
    html! { @match pointer {
        EvidenceView::Event { event } => {
            @if events.iter().any(|shown| shown.seq == *event) { a.event href={ "#e" (event) } { "#" (event) } }
            @else { span.event { "#" (event) } }
        }
        EvidenceView::Account { account, offset, .. } => {
            span.event title=(sanitize(account)) { "account at byte " (offset) }
        }
        EvidenceView::Process { process } => span.event { "process " (process) }
    } }
}

fn events_table(events: &[EventView]) -> Markup {
    html! {
        table { tbody { @for event in events { tr id={ "e" (event.seq) } {
            td.number { (event.seq) }
            td.time { (event.time.get(11..23).unwrap_or(&event.time)) }
            td.number { (event.pid) }
            td { (event.kind) }
            td.doing { code { (sanitize(&words(event))) } }
        } } } }
    }
}

/// What the event's kind has, as `name=value`.
fn words(event: &EventView) -> String {
    const ENVELOPE: [&str; 12] = [
        "seq",
        "time",
        "agent",
        "attribution",
        "pid",
        "thread",
        "uid",
        "comm",
        "kind",
        "start_time",
        "cgroup",
        "boot_ns",
    ];
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(event) else { return String::new() };
    fields
        .into_iter()
        .filter(|(name, value)| !ENVELOPE.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => format!("{name}={text}"),
            value => format!("{name}={value}"),
        })
        .collect::<Vec<_>>()
        .join("  ")
}

async fn finding(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let asked = id.clone();
    let Some(detail) = app.ask(move |store| store.finding(&asked)).await? else {
        return Ok(absent("finding", &id));
    };
    let view = FindingView::from(&detail.finding);
    let body = html! {
        h1 { span class={ "badge " (view.severity) } { (view.severity) } " " (view.code) }
        p.lead { (sanitize(&view.summary)) }
        p { (sanitize(&view.explanation)) }
        dl {
            dt { "agent" } dd { a href={ "/agents/" (view.agent) } { (sanitize(&view.agent)) } }
            dt { "time" } dd { (short(&view.time)) }
            dt { "stage" } dd { (view.stage) }
            dt { "bands" } dd { "overreach " (view.overreach) ", deception " (view.deception) }
        }
        h2 { "Evidence" }
        ul { @for (pointer, copy) in view.evidence.iter().zip(&detail.evidence) { li { (evidence(pointer, copy)) } } }
    };
    Ok(html_page(StatusCode::OK, &view.code, false, &body))
}

fn evidence(pointer: &EvidenceView, copy: &EvidenceCopy) -> Markup {
    html! {
        @match pointer {
            EvidenceView::Event { event } => { "event " (event) }
            EvidenceView::Account { account, offset, .. } => { "account " code { (sanitize(account)) } " at byte " (offset) }
            EvidenceView::Process { process } => { "process " (process) ", there before Muster" }
        }
        " "
        @match copy {
            EvidenceCopy::Event(event) => code { (sanitize(&words(&EventView::new(event, None)))) }
            EvidenceCopy::Account(record) => pre { (sanitize(&String::from_utf8_lossy(record.raw.get(..2000).unwrap_or(&record.raw)))) }
            EvidenceCopy::Process(process) => code { (sanitize(&process.argv.join(" "))) }
            EvidenceCopy::Missing => "(not in the record when the finding was made)"
        }
    }
}

fn absent(what: &str, name: &str) -> Response {
    let body = html! { h1 { "No " (what) " " code { (sanitize(name)) } } };
    html_page(StatusCode::NOT_FOUND, what, false, &body)
}
