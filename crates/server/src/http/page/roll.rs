//! The roll: every agent, who runs above who ran.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Router, routing::get};
use maud::{Markup, html};
use muster_event::sanitize;
use serde::Deserialize;

use super::lanes::short;
use super::{App, act_buttons, counts, findings_table, html_page, respond, role};
use crate::http::access::Role;
use crate::http::api::ApiError;
use crate::review::Inbox;
use crate::views::{FindingView, RollView};

/// Agents on one page: what a person reads, and what a page may weigh.
const ROWS_MAX: usize = 200;
/// Findings below the roll that wait for a person.
const WAITING_MAX: usize = 12;

#[derive(Clone, Default, Deserialize)]
struct Asked {
    /// Words that the row must hold.
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/", get(front)).route("/fragment", get(fragment))
}

async fn front(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    may: Option<Extension<Role>>,
) -> Result<Response, ApiError> {
    let may = role(may);
    let tables = tables(&app, &asked, may).await?;
    let body = html! {
        form.search role="search" action="/" method="get" {
            label { "Find " input id="q" type="search" name="q" value=(sanitize(&asked.q)) placeholder="product, label, principal, state …"; }
        }
        div id="tables" data-src={ "/fragment?page=" (asked.page) "&q=" (encode(&asked.q)) } { (tables) }
    };
    Ok(html_page(StatusCode::OK, "Roll", Some(may), true, &body))
}

async fn fragment(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    may: Option<Extension<Role>>,
) -> Result<Response, ApiError> {
    let tables = tables(&app, &asked, role(may)).await?;
    Ok(respond(StatusCode::OK, "text/html; charset=utf-8", tables.into_string()))
}

async fn tables(app: &App, asked: &Asked, may: Role) -> Result<Markup, ApiError> {
    let (roll, waiting, count, health) = app
        .ask(|store| {
            let inbox = Inbox { open_only: true, limit: WAITING_MAX, ..Inbox::default() };
            Ok((store.roll_views()?, store.inbox(&inbox)?, store.waiting(None, None)?, store.health()?))
        })
        .await?;
    let waiting: Vec<FindingView> = waiting.iter().map(|it| FindingView::from(&it.finding)).collect();
    let running = roll.iter().filter(|a| a.state == "running").count();
    let unmandated = roll.iter().filter(|a| a.state == "running" && a.mandate.is_none()).count();
    let blind: Vec<_> = health.probes.iter().filter(|p| p.error.is_some()).collect();
    let kernel = health.start.as_ref().is_some_and(|s| s.kernel_record);
    Ok(html! {
        @for text in app.notices().values() { p.notice role="alert" { (sanitize(text)) } }
        section.summary aria-label="summary" {
            p { b { (running) } " running" }
            p.warning[unmandated > 0] { b { (unmandated) } " of them without a mandate" }
            p { b { (count) } " findings wait for a person" }
            p.warning[!kernel || health.lost > 0 || !blind.is_empty()] {
                @if !kernel { "no kernel record: only who is there" }
                @else if health.lost > 0 { b { (health.lost) } " events lost" }
                @else if !blind.is_empty() { b { (blind.len()) } " probes blind" }
                @else { "no loss known" }
            }
        }
        h1 { "Roll" }
        @if roll.is_empty() { p.empty { "No agent has been seen. Start one, or enrol it: " code { "muster run -- claude" } } }
        @else { (roll_table(&roll, asked, may)) }
        h2 { a href="/findings" { "Findings" } " that wait" }
        @if waiting.is_empty() { p.empty { "None." } }
        @else {
            (findings_table(&waiting))
            @if count > waiting.len() as u64 { p { a href="/findings" { "all " (count) } } }
        }
    })
}

/// What may be searched of a row.
fn is_found(agent: &RollView, words: &[String]) -> bool {
    let all = [
        agent.agent.as_str(),
        &agent.product,
        agent.version.as_deref().unwrap_or_default(),
        agent.principal.as_deref().unwrap_or_default(),
        &agent.label,
        &agent.state,
        agent.stage.as_deref().unwrap_or_default(),
        if agent.mandate.is_some() { "mandated" } else { "unmandated" },
        &agent.doing,
    ]
    .join("\n")
    .to_lowercase();
    words.iter().all(|word| all.contains(word))
}

fn roll_table(roll: &[RollView], asked: &Asked, may: Role) -> Markup {
    let words: Vec<String> = asked.q.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let mut rows: Vec<&RollView> = roll.iter().filter(|agent| is_found(agent, &words)).collect();
    rows.sort_by(|a, b| (b.state == "running").cmp(&(a.state == "running")).then(b.started.cmp(&a.started)));
    let all = rows.len();
    let from = asked.page.saturating_mul(ROWS_MAX).min(all);
    let shown = rows.get(from..(from + ROWS_MAX).min(all)).unwrap_or_default();
    html! {
        div.scroll tabindex="0" { table.roll {
            thead { tr {
                th scope="col" { "agent" } th scope="col" { "product" } th scope="col" { "mandate" } th scope="col" { "state" }
                th scope="col" { "stage" } th scope="col" { "coverage" } th scope="col" { "calls" } th scope="col" { "events" }
                th scope="col" { "findings" } th scope="col" { "doing" } @if may == Role::Operator { th scope="col" { "" } }
            } }
            tbody { @for agent in shown {
                tr class=(agent.state) {
                    td { a href={ "/agents/" (agent.agent) } { (sanitize(&agent.agent)) } }
                    td { (sanitize(&agent.product)) " " small { (sanitize(agent.version.as_deref().unwrap_or_default())) " pid " (agent.root_pid) } }
                    td { @match &agent.mandate {
                        Some(mandate) => {
                            (short_id(mandate)) " " small { (sanitize(agent.principal.as_deref().unwrap_or_default()))
                                @if let Some(until) = &agent.mandate_until { " until " (super::short_time(until)) } }
                        }
                        None => span.unmandated { "unmandated" }
                    } }
                    td { span class={ "state " (agent.state) } { (agent.state) } }
                    td { (stage(agent.stage.as_deref())) }
                    td { (agent.coverage) }
                    td.number { (agent.calls_joined) "/" (agent.calls) }
                    td.number { (agent.events) }
                    td { (counts(agent)) }
                    td.doing { (short(&agent.doing)) }
                    @if may == Role::Operator { td { (act_buttons(&agent.agent, &agent.state, may)) } }
                }
            } }
        } }
        @if all > shown.len() {
            p.pager {
                (from + 1) "–" (from + shown.len()) " of " (all) " "
                @if asked.page > 0 { a href={ "/?page=" (asked.page - 1) "&q=" (encode(&asked.q)) } { "← before" } " " }
                @if from + shown.len() < all { a href={ "/?page=" (asked.page + 1) "&q=" (encode(&asked.q)) } { "after →" } }
            }
        }
        @if all == 0 { p.empty { "No agent has these words." } }
    }
}

/// A mandate's id is a hash: its beginning is enough for people.
fn short_id(id: &str) -> String {
    const SHOWN: usize = 16;
    sanitize(id).chars().take(SHOWN).collect()
}

/// How far its findings go, as three steps.
fn stage(reached: Option<&str>) -> Markup {
    const STAGES: [&str; 3] = ["initiate", "conceal", "sustain"];
    let at = reached.and_then(|name| STAGES.iter().position(|stage| *stage == name));
    html! { @if let Some(at) = at {
        span class={ "stage s" (at + 1) } title=(reached.unwrap_or_default()) {
            @for step in 0..STAGES.len() { span.on[step <= at] {} }
            " " (reached.unwrap_or_default())
        }
    } }
}

/// Text as a value of a query.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
