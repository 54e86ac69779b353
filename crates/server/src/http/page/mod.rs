//! The page: the roll, an agent on one time axis, the inbox of findings, drills, the ledger and Muster's own health. Made
//! here, whole; a small script keeps it true, moves through time and sends what an operator does. Every word that an agent
//! can influence goes through `sanitize` and the template's escape.

mod agent;
mod authority;
mod findings;
mod graph;
mod lanes;
mod machine;
mod roll;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use maud::{DOCTYPE, Markup, html};
use muster_event::sanitize;
use serde::Deserialize;

use super::App;
use super::access::Role;
use crate::views::{FindingView, RollView};

/// Where the page leads, and under which name.
const PLACES: [(&str, &str); 7] = [
    ("/", "Roll"),
    ("/findings", "Findings"),
    ("/approvals", "Approvals"),
    ("/mandates", "Mandates"),
    ("/drills", "Drills"),
    ("/ledger", "Ledger"),
    ("/health", "Health"),
];

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/login", get(login))
        .route("/style.css", get(style))
        .route("/page.js", get(script))
        .route("/icon.svg", get(icon))
        .merge(roll::routes())
        .merge(agent::routes())
        .merge(authority::routes())
        .merge(findings::routes())
        .merge(machine::routes())
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// What who asks may do; without a word of it, look.
fn role(may: Option<Extension<Role>>) -> Role {
    may.map_or(Role::Reader, |Extension(role)| role)
}

/// `may`: `None` where nobody is known yet.
fn html_page(status: StatusCode, title: &str, may: Option<Role>, live: bool, body: &Markup) -> Response {
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
                a.skip href="#main" { "to the content" }
                header {
                    a.brand href="/" { "Muster" }
                    @if let Some(may) = may {
                        nav aria-label="places" {
                            @for (path, name) in PLACES { a href=(path) aria-current=[(name == title).then_some("page")] { (name) } }
                        }
                        @match may {
                            Role::Operator => span.role.operator { "operator" },
                            Role::Reader => a.role href="/login" title="enter with the operator's token to act" { "reader" },
                        }
                    }
                    span id="live" role="status" { @if live { "not live" } }
                }
                main id="main" tabindex="-1" { (body) }
                dialog id="ask" aria-labelledby="ask-title" {
                    h2 id="ask-title" {}
                    p id="ask-lead" {}
                    pre id="ask-text" {}
                    p.buttons { button type="button" id="ask-yes" {} " " button type="button" id="ask-no" { "Leave it" } }
                }
                p id="toast" role="status" aria-live="polite" {}
            }
        }
    };
    respond(status, "text/html; charset=utf-8", page.into_string())
}

async fn style() -> Response {
    respond(StatusCode::OK, "text/css; charset=utf-8", include_str!("style.css").to_owned())
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
        return ask_for_token(&app.data, !login.token.is_empty());
    };
    let mut response = Redirect::to("/").into_response();
    if let Ok(cookie) = HeaderValue::from_str(&app.access.cookie(role)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// `data` is the daemon's folder.
pub(super) fn ask_for_token(data: &std::path::Path, wrong: bool) -> Response {
    let file = |role: Role| data.join(role.file()).to_string_lossy().into_owned();
    let body = html! {
        h1 { "Who are you?" }
        @if wrong { p.warning { "That is not the token." } }
        p { "To look, enter the text in the file " code { (sanitize(&file(Role::Reader))) } "." }
        p { "To act as well (muster out, judge findings), enter that in " code { (sanitize(&file(Role::Operator))) } ". Only root can read these." }
        form action="/login" method="get" {
            label { "Token " input name="token" type="password" autocomplete="off" autofocus; }
            " " button { "Enter" }
        }
    };
    html_page(StatusCode::UNAUTHORIZED, "Who are you?", None, false, &body)
}

/// What an operator can do to an agent in this state.
fn act_buttons(agent: &str, state: &str, may: Role) -> Markup {
    html! { @if may == Role::Operator {
        span.acts data-agent=(agent) {
            @match state {
                "running" => {
                    button type="button" data-act="freeze" { "Freeze" } " "
                    button type="button" data-act="cut" { "Cut" } " "
                    button.grave type="button" data-act="out" { "Muster out" }
                }
                "frozen" => {
                    button type="button" data-act="thaw" { "Thaw" } " "
                    button.grave type="button" data-act="out" { "Muster out" }
                }
                // Its lineage may live on, and what it planted may bring it back.
                "ended" => button type="button" data-act="out" { "Muster out" },
                _ => {}
            }
        }
    } }
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
    html! { @for (name, count) in all { @if count > 0 {
        span class={ "badge " (name) } title=(name) { (count) span.sr { " " (name) } }
    } } }
}

fn findings_table(findings: &[FindingView]) -> Markup {
    html! {
        div.scroll tabindex="0" { table {
            thead { tr {
                th scope="col" { "severity" } th scope="col" { "code" } th scope="col" { "summary" } th scope="col" { "agent" }
                th scope="col" { "time" }
            } }
            tbody { @for finding in findings { tr {
                td { span class={ "badge " (finding.severity) } { (finding.severity) } }
                td { a href={ "/findings/" (finding.finding) } { (finding.code) } }
                td.words { (sanitize(&finding.summary)) }
                td { a href={ "/agents/" (finding.agent) } { (sanitize(&finding.agent)) } }
                td.time { (short_time(&finding.time)) }
            } } }
        } }
    }
}

/// `2026-01-02 03:04:05` of a time with nanoseconds.
fn short_time(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

fn absent(what: &str, name: &str) -> Response {
    let body = html! { h1 { "No " (what) " " code { (sanitize(name)) } } };
    html_page(StatusCode::NOT_FOUND, what, None, false, &body)
}
