//! On whose word agents act: the mandates that the daemon holds, and the questions that wait for a person.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Router, routing::get};
use maud::{Markup, html};
use muster_event::sanitize;

use super::lanes::short;
use super::{App, html_page, respond, role, short_time};
use crate::ApprovalView;
use crate::http::access::Role;
use crate::http::api::ApiError;

/// Lines of each list: a person reads them.
const ROWS_MAX: usize = 500;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/approvals", get(approvals))
        .route("/approvals/list", get(questions))
        .route("/mandates", get(mandates))
}

async fn approvals(State(app): State<App>, may: Option<Extension<Role>>) -> Result<Response, ApiError> {
    let may = role(may);
    let open = asked(&app).await;
    let body = html! {
        h1 { "Approvals" }
        p { "What agents are about to do and a mandate wants a person asked about. Nobody answers: it is refused when its time is over. "
            @if may == Role::Reader { "To answer, enter with the operator's token." } }
        div id="tables" data-src="/approvals/list" { (list(&open, may)) }
    };
    Ok(html_page(StatusCode::OK, "Approvals", Some(may), true, &body))
}

async fn questions(State(app): State<App>, may: Option<Extension<Role>>) -> Response {
    let list = list(&asked(&app).await, role(may));
    respond(StatusCode::OK, "text/html; charset=utf-8", list.into_string())
}

async fn asked(app: &App) -> Vec<ApprovalView> {
    let approvals = std::sync::Arc::clone(&app.doors.approvals);
    tokio::task::spawn_blocking(move || approvals.open()).await.unwrap_or_default()
}

fn list(open: &[ApprovalView], may: Role) -> Markup {
    html! {
        @if open.is_empty() { p.empty { "Nothing waits." } }
        @for question in open.iter().take(ROWS_MAX) {
            section.question data-question=(question.id) data-pattern=[question.pattern.as_deref()] {
                p.lead { a href={ "/agents/" (question.agent) } { (sanitize(&question.agent)) } " is about to: " code { (short(&question.action)) } }
                dl.facts {
                    dt { "because" } dd { code { (sanitize(&question.rule)) } " " (sanitize(&question.reason)) }
                    @if let Some(said) = &question.said { dt { "it says" } dd.reported { q { (short(said)) } } }
                    dt { "asked" } dd { (short_time(&question.asked)) ", refused at " (short_time(&question.until))
                        @if question.count > 1 { ", " (question.count) " wait for the same answer" } }
                    @if let Some(line) = &question.line { dt { "this line would make it unnecessary" } dd { code { (short(line)) } } }
                }
                @if may == Role::Operator { p {
                    button type="button" data-answer="allow" { "Allow" } " "
                    @if let Some(pattern) = &question.pattern { button type="button" data-answer="pattern" { "Allow " (short(pattern)) " until the mandate ends" } " " }
                    button.grave type="button" data-answer="deny" { "Refuse" }
                } }
            }
        }
    }
}

async fn mandates(State(app): State<App>, may: Option<Extension<Role>>) -> Result<Response, ApiError> {
    let all = app.mandates();
    let body = html! {
        h1 { "Mandates" }
        p { "What agents may do, on whose word and until when: " code { "muster mandate new" } ", then " code { "sign" } ", then "
            code { "muster run --mandate FILE -- …" } ". " code { "muster mandate suggest AGENT" } " writes the smallest that covers what a run did." }
        @if all.is_empty() { p.empty { "The daemon holds none." } }
        @else { div.scroll tabindex="0" { table {
            thead { tr { th scope="col" { "mandate" } th scope="col" { "state" } th scope="col" { "principal" } th scope="col" { "task" }
                th scope="col" { "until" } th scope="col" { "signed by" } th scope="col" { "agents" } } }
            tbody { @for mandate in all.iter().take(ROWS_MAX) { tr {
                td { code title=(mandate.id) { (mandate.id.get(..12).unwrap_or(&mandate.id)) }
                    @if let Some(parent) = &mandate.parent { br; small { "part of " (parent.get(..12).unwrap_or(parent)) } } }
                td { span class={ "state " (if mandate.state == "in force" { "running" } else { "ended" }) } { (mandate.state) }
                    @if let Some(why) = &mandate.revoked { br; small { (short(why)) } } }
                td { (sanitize(&mandate.principal)) }
                td.words { (short(&mandate.task)) }
                td.time { (short_time(&mandate.expires)) }
                td { small { (sanitize(mandate.signer.as_deref().unwrap_or("nobody"))) } }
                td { @for agent in &mandate.agents { a href={ "/agents/" (agent) } { (sanitize(agent)) } " " } }
            } } }
        } } }
    };
    Ok(html_page(StatusCode::OK, "Mandates", Some(role(may)), true, &body))
}
