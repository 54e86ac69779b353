//! The inbox of findings, made for the keyboard, and one finding with what it rests on.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Router, routing::get};
use maud::{Markup, html};
use muster_engine::{Review, Severity};
use muster_event::sanitize;
use muster_report::words;
use serde::Deserialize;

use super::lanes::short;
use super::roll::encode;
use super::{App, absent, act_buttons, html_page, respond, role, short_time};
use crate::EvidenceCopy;
use crate::http::access::Role;
use crate::http::api::ApiError;
use crate::review::{Inbox, Reviewed};
use crate::views::{self, EvidenceView, FindingView};

/// Findings on one page.
const ROWS_MAX: usize = 100;
/// Bytes of a record of an account that are shown raw.
const RAW_MAX: usize = 4_096;

#[derive(Clone, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    agent: String,
    /// The least severity.
    #[serde(default)]
    severity: String,
    /// `all`: those too that a person has closed.
    #[serde(default)]
    show: String,
    #[serde(default)]
    page: usize,
}

impl Asked {
    fn inbox(&self) -> Inbox {
        Inbox {
            agent: Some(self.agent.clone()).filter(|agent| !agent.is_empty()),
            severity_min: self.severity_min(),
            open_only: self.show != "all",
            offset: self.page.saturating_mul(ROWS_MAX),
            limit: ROWS_MAX,
        }
    }

    fn severity_min(&self) -> Option<Severity> {
        serde_json::from_value(serde_json::Value::String(self.severity.clone())).ok()
    }

    fn link(&self, page: usize) -> String {
        format!(
            "?page={page}&agent={}&severity={}&show={}",
            encode(&self.agent),
            encode(&self.severity),
            encode(&self.show)
        )
    }
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/findings", get(inbox))
        .route("/findings/list", get(fragment))
        .route("/findings/{finding}", get(finding))
}

async fn inbox(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    may: Option<Extension<Role>>,
) -> Result<Response, ApiError> {
    let may = role(may);
    let list = list(&app, &asked).await?;
    let choice =
        |name: &str, word: &str, chosen: bool| html! { option value=(name) selected[chosen] { (word) } };
    let body = html! {
        h1 { "Findings" }
        form.search action="/findings" method="get" {
            label { "at least " select name="severity" {
                @for name in ["info", "low", "medium", "high", "critical"] { (choice(name, name, asked.severity == name)) }
            } }
            label { " agent " input name="agent" value=(sanitize(&asked.agent)) placeholder="any"; }
            label { " show " select name="show" {
                (choice("open", "those that wait", asked.show != "all")) (choice("all", "all", asked.show == "all"))
            } }
            button { "Show" }
        }
        p.keys { kbd { "j" } kbd { "k" } " move " kbd { "Enter" } " open "
            @if may == Role::Operator {
                kbd { "a" } " acknowledge " kbd { "c" } " confirm " kbd { "f" } " false alarm " kbd { "e" } " escalate "
                kbd { "r" } " reopen " kbd { "o" } " muster out"
            } @else { "— to judge and to act, enter with the operator's token" }
        }
        div id="tables" data-src={ "/findings/list" (asked.link(asked.page)) } { (list) }
    };
    Ok(html_page(StatusCode::OK, "Findings", Some(may), true, &body))
}

async fn fragment(State(app): State<App>, Query(asked): Query<Asked>) -> Result<Response, ApiError> {
    Ok(respond(StatusCode::OK, "text/html; charset=utf-8", list(&app, &asked).await?.into_string()))
}

async fn list(app: &App, asked: &Asked) -> Result<Markup, ApiError> {
    let inbox = asked.inbox();
    let (found, waiting, judged) = app
        .ask(move |store| {
            let waiting = store.waiting(inbox.agent.as_deref(), inbox.severity_min)?;
            Ok((store.inbox(&inbox)?, waiting, store.judgements()?))
        })
        .await?;
    let count = |name: &str| judged.get(name).copied().unwrap_or(0);
    let decided = count("confirmed") + count("false_alarm");
    Ok(html! {
        p {
            b { (waiting) } " wait"
            @if decided > 0 { "; of " (decided) " above info that people decided, " b { (count("false_alarm")) } " were false alarms" }
        }
        @if found.is_empty() { p.empty { "Nothing waits." } }
        div.scroll tabindex="0" { table.inbox { tbody {
            @for Reviewed { finding, review } in &found {
                @let view = FindingView::from(finding);
                tr id={ "f" (view.finding) } data-finding=(view.finding) data-agent=(view.agent) tabindex="-1" {
                    td { span class={ "badge " (view.severity) } { (view.severity) } }
                    td { a href={ "/findings/" (view.finding) } { (view.code) } br; small { (view.stage) } }
                    td.words { (short(&view.summary)) }
                    td { a href={ "/agents/" (view.agent) } { (sanitize(&view.agent)) } }
                    td.time { (short_time(&view.time)) }
                    td { (judgement(review.as_ref())) }
                }
            }
        } } }
        p.pager {
            @if asked.page > 0 { a href={ "/findings" (asked.link(asked.page - 1)) } { "← before" } " " }
            @if found.len() == ROWS_MAX { a href={ "/findings" (asked.link(asked.page + 1)) } { "after →" } }
        }
    })
}

fn judgement(review: Option<&Review>) -> Markup {
    html! { @if let Some(review) = review {
        span class={ "judged " (review.judgement.name()) } title={ "by " (sanitize(&review.by)) ": " (sanitize(&review.note)) } {
            (review.judgement.name().replace('_', " "))
        }
    } }
}

async fn finding(
    State(app): State<App>,
    Path(id): Path<String>,
    may: Option<Extension<Role>>,
) -> Result<Response, ApiError> {
    let asked = id.clone();
    let found = app
        .ask(move |store| {
            let Some(detail) = store.finding(&asked)? else { return Ok(None) };
            let state = store.agent(&detail.finding.agent)?.map(|agent| agent.standing().name());
            Ok(Some((detail, store.review(&asked)?, state)))
        })
        .await?;
    let Some((detail, review, state)) = found else { return Ok(absent("finding", &id)) };
    let may = role(may);
    let view = FindingView::from(&detail.finding);
    let body = html! {
        div.title {
            h1 { span class={ "badge " (view.severity) } { (view.severity) } " " (view.code) }
            (act_buttons(&view.agent, state.unwrap_or("ended"), may))
        }
        p.lead { (sanitize(&view.summary)) }
        p { (sanitize(&view.explanation)) }
        dl.facts {
            dt { "agent" } dd { a href={ "/agents/" (view.agent) "?" (around(detail.finding.time_ns)) } { (sanitize(&view.agent)) } " at that moment" }
            dt { "time" } dd { (short_time(&view.time)) }
            dt { "stage" } dd { (view.stage) }
            dt { "bands" } dd { "overreach " (view.overreach) " of 3, deception " (view.deception) " of 3" }
            dt { "mapped to" } dd { (view.owasp) @if let Some(attack) = &view.attack { ", ATT&CK " (attack) } }
            dt { "judged" } dd { @match &review {
                Some(review) => { (judgement(Some(review))) " by " (sanitize(&review.by)) ", " (short_time(&views::time(review.time_ns))) ": " (sanitize(&review.note)) }
                None => "not yet"
            } }
        }
        @if may == Role::Operator {
            form.judge data-finding=(view.finding) {
                label { "note " input name="note" maxlength="500"; } " "
                @for (name, word) in [("acknowledged", "Acknowledge"), ("confirmed", "Confirm"), ("false_alarm", "False alarm"), ("escalated", "Escalate")] {
                    button type="button" data-judgement=(name) { (word) } " "
                }
            }
        }
        h2 { "What it rests on" }
        ol.evidence { @for (pointer, copy) in view.evidence.iter().zip(&detail.evidence) { li { (evidence(pointer, copy)) } } }
        h2 { "Its place in the log" }
        p id="proof" data-finding=(view.finding) { "Your browser can check that this finding is in the signed log: " button type="button" id="prove" { "Check" } }
    };
    Ok(html_page(StatusCode::OK, &view.code, Some(may), true, &body))
}

/// Ten seconds before and after.
fn around(ns: u64) -> String {
    const AROUND: u64 = 10_000_000_000;
    format!("from={}&to={}", ns.saturating_sub(AROUND), ns.saturating_add(AROUND))
}

fn evidence(pointer: &EvidenceView, copy: &EvidenceCopy) -> Markup {
    html! {
        span.event { @match pointer {
            EvidenceView::Event { event } => { "event " (event) }
            EvidenceView::Account { account, offset, .. } => { "account " code { (sanitize(account)) } " at byte " (offset) }
            EvidenceView::Process { process } => { "process " (process) ", there before Muster" }
        } }
        " "
        @match copy {
            EvidenceCopy::Event(event) => {
                span.observed { (event.kind.name()) " " (words::of_kind(&event.kind)) }
                " " small { (short_time(&views::time(event.time_ns))) " pid " (event.process.pid) }
                (raw(&serde_json::to_string_pretty(event).unwrap_or_default()))
            }
            EvidenceCopy::Account(record) => {
                @for item in record.items.iter().filter_map(words::of_item) { p.reported { (short(&item)) } }
                (raw(&String::from_utf8_lossy(record.raw.get(..RAW_MAX).unwrap_or(&record.raw))))
            }
            EvidenceCopy::Process(process) => code { (short(&words::shell_line(&process.argv))) }
            EvidenceCopy::Missing => "(not in the record when the finding was made)"
        }
    }
}

/// The bytes themselves, one click away.
fn raw(text: &str) -> Markup {
    html! { details { summary { "raw" } pre { (sanitize(text)) } } }
}
