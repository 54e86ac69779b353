//! Muster's own state: its sensors and disk, its log, and its drills.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Router, routing::get};
use maud::{Markup, html};
use muster_event::sanitize;
use serde_json::Value;

use super::lanes::short;
use super::{App, html_page, role, short_time};
use crate::http::access::Role;
use crate::http::api::ApiError;
use crate::views;

/// The last part of the file of drills that is read.
const DRILLS_BYTES: u64 = 4 << 20;
/// Gaps that are listed, the latest first.
const GAPS_MAX: usize = 100;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/health", get(health)).route("/ledger", get(ledger)).route("/drills", get(drills))
}

async fn health(State(app): State<App>, may: Option<Extension<Role>>) -> Result<Response, ApiError> {
    let (health, gaps) = app.ask(|store| Ok((store.health()?, store.gaps(None, Some(GAPS_MAX))?))).await?;
    let (free, size) = disk(&app.data);
    let kernel = health.start.as_ref().is_some_and(|s| s.kernel_record);
    let body = html! {
        h1 { "Health" }
        @for text in app.notices().values() { p.notice role="alert" { (sanitize(text)) } }
        dl.facts {
            dt { "host" } dd { (sanitize(health.host.as_deref().unwrap_or("not known"))) ", Muster " (health.version.as_deref().unwrap_or("?")) }
            dt { "daemon" } dd { @if let Some(at) = health.started_ns { "since " (short_time(&views::time(at))) } }
            dt { "record" } dd { @if kernel { "from the kernel (eBPF)" } @else { span.warning { "only who is there, from /proc: no files, no network" } } }
            dt { "events" } dd { "number " (health.last_seq) ", " (health.lost) " lost since the daemon started" }
            dt { "ledger" } dd { (bytes(health.ledger_bytes)) }
            dt { "disk" } dd { @match (free, size) {
                (Some(free), Some(size)) => { (bytes(free)) " free of " (bytes(size)) }
                _ => "not known"
            } }
        }
        h2 { "Sensors" }
        @if !kernel { p.warning { "There is no kernel record: every probe is missing." } }
        @else if health.probes.iter().all(|probe| probe.error.is_none()) { p.ok { "No probe is known to be blind." } }
        @if !health.probes.is_empty() {
            div.scroll tabindex="0" { table { thead { tr { th scope="col" { "probe" } th scope="col" { "state" } } } tbody {
                @for probe in &health.probes { tr {
                    td { (sanitize(&probe.probe)) }
                    td { @match &probe.error { None => span.ok { "sees again" }, Some(error) => span.warning { "blind: " (sanitize(error)) } } }
                } }
            } } }
        }
        h2 { "What could not be seen" }
        @if gaps.is_empty() { p.empty { "No interval is known." } }
        @else { div.scroll tabindex="0" { table { thead { tr { th scope="col" { "why" } th scope="col" { "about" } th scope="col" { "from" } th scope="col" { "to" } th scope="col" { "missing" } th scope="col" { "more" } } } tbody {
            @for gap in gaps.iter().rev() { tr {
                td { (serde_json::to_value(gap.cause).unwrap_or_default().as_str().unwrap_or_default().replace('_', " ")) }
                td { (short(gap.agent.as_deref().unwrap_or(&gap.subject))) }
                td.time { (short_time(&views::time(gap.from_ns))) }
                td.time { @match gap.to_ns { Some(to) => (short_time(&views::time(to))), None => "goes on" } }
                td.number { @if let Some(count) = gap.count { (count) } }
                td.doing { (short(&gap.detail)) }
            } }
        } } } }
    };
    Ok(html_page(StatusCode::OK, "Health", Some(role(may)), true, &body))
}

/// Bytes that are free, and all.
fn disk(folder: &std::path::Path) -> (Option<u64>, Option<u64>) {
    match rustix::fs::statvfs(folder) {
        Ok(stat) => (stat.f_bavail.checked_mul(stat.f_frsize), stat.f_blocks.checked_mul(stat.f_frsize)),
        Err(_) => (None, None),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} bytes")
    } else {
        format!("{value:.1} {}", UNITS.get(unit).unwrap_or(&""))
    }
}

async fn ledger(State(app): State<App>, may: Option<Extension<Role>>) -> Result<Response, ApiError> {
    let (note, next, size, dropped) = app
        .ask(|store| {
            let log = store.log();
            Ok((log.checkpoint()?, log.next_index()?, log.bytes()?, store.health()?.dropped))
        })
        .await?;
    let note = note.map(|note| String::from_utf8_lossy(&note).into_owned());
    let mut lines = note.iter().flat_map(|note| note.lines());
    let (origin, signed, root) = (lines.next(), lines.next(), lines.next());
    let signatures: Vec<&str> =
        note.iter().flat_map(|note| note.lines()).filter_map(|line| line.strip_prefix("— ")).collect();
    let body = html! {
        h1 { "Ledger" }
        p { "Everything that Muster takes in and everything that it says is a leaf of one append-only Merkle log, written before its effect is reported." }
        dl.facts {
            dt { "leaves" } dd { (next) ", " (bytes(size)) }
            dt { "signed" } dd { @match signed { Some(count) => { (count) " leaves" }, None => span.warning { "nothing yet" } } }
            dt { "root" } dd { code { (sanitize(root.unwrap_or("none yet"))) } }
            dt { "origin" } dd { code { (sanitize(origin.unwrap_or("none yet"))) } }
            @if let Some(dropped) = &dropped { dt { "dropped" } dd { (dropped.events) " events, by retention" } }
        }
        h2 { "Signed by" }
        @if signatures.is_empty() { p.empty { "Nobody yet." } }
        ul { @for signature in &signatures { li { code { (sanitize(signature.split(' ').next().unwrap_or_default())) } } } }
        p.empty { "The first is the log's own key; others are witnesses that have seen this head continue what they saw before. Compare keys with what " code { "muster key" } " says on the machine itself." }
        h2 { "Checkpoint" }
        pre { (sanitize(note.as_deref().unwrap_or("none yet"))) }
        p { "The tiles of the log are at " code { "/log/tile/…" } " (C2SP tlog-tiles). " code { "muster verify" } " checks all of it, " code { "muster export" } " takes a case elsewhere. Each finding's page checks its own place in your browser." }
    };
    Ok(html_page(StatusCode::OK, "Ledger", Some(role(may)), true, &body))
}

async fn drills(State(app): State<App>, may: Option<Extension<Role>>) -> Result<Response, ApiError> {
    let folder = app.data.clone();
    let runs = tokio::task::spawn_blocking(move || read_drills(&folder)).await.unwrap_or_default();
    let body = html! {
        h1 { "Drills" }
        p { "Harmless simulated rogue deployments, played on this machine through the real sensor. " code { "[drill]" } " in "
            code { "config.toml" } " plays them unannounced, and their results stand here; " code { "sudo muster drill --all --json" }
            " plays them now, and adds to these where its output is added to " code { "drills.jsonl" } " in the data folder." }
        @if runs.is_empty() { p.empty { "None is on record." } } @else { (drill_tables(&runs)) }
    };
    Ok(html_page(StatusCode::OK, "Drills", Some(role(may)), true, &body))
}

/// Results, as they were written, the oldest first. What is no result is passed over.
fn read_drills(folder: &std::path::Path) -> Vec<Value> {
    let Ok(mut file) = std::fs::File::open(folder.join("drills.jsonl")) else { return Vec::new() };
    let length = file.metadata().map_or(0, |meta| meta.len());
    if file.seek(SeekFrom::Start(length.saturating_sub(DRILLS_BYTES))).is_err() {
        return Vec::new();
    }
    let mut text = Vec::new();
    if file.take(DRILLS_BYTES).read_to_end(&mut text).is_err() {
        return Vec::new();
    }
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter(|run: &Value| run.get("drill").is_some())
        .collect()
}

#[derive(Default)]
struct Tally {
    runs: u64,
    seen: u64,
    detect: Vec<f64>,
}

impl Tally {
    fn add(&mut self, run: &Value) {
        self.runs += 1;
        if run.get("seen").and_then(Value::as_bool) == Some(true) {
            self.seen += 1;
            self.detect.extend(run.get("detect_ms").and_then(Value::as_f64));
        }
    }

    fn median(&self) -> Option<f64> {
        let mut sorted = self.detect.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

fn drill_tables(runs: &[Value]) -> Markup {
    // What was played with a part of the sensor off, or was honest work, says nothing of how much is seen.
    let counts = |run: &&Value| {
        let null = |name: &str| run.get(name).is_none_or(Value::is_null);
        null("error") && null("without") && run.get("honest").and_then(Value::as_bool) != Some(true)
    };
    let played: Vec<&Value> = runs.iter().filter(counts).collect();
    let word = |run: &Value, name: &str| run.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut by_drill: BTreeMap<String, Tally> = BTreeMap::new();
    let mut by_stage: BTreeMap<String, Tally> = BTreeMap::new();
    for run in &played {
        by_drill.entry(word(run, "drill")).or_default().add(run);
        by_stage.entry(word(run, "stage")).or_default().add(run);
    }
    let seen = played.iter().filter(|run| run.get("seen").and_then(Value::as_bool) == Some(true)).count();
    html! {
        p.lead { b { (seen) } " of " b { (played.len()) } " runs were seen." }
        (trend(&played))
        h2 { "By stage" }
        (tally_table("stage", &by_stage))
        h2 { "By drill" }
        (tally_table("drill", &by_drill))
    }
}

fn tally_table(what: &str, rows: &BTreeMap<String, Tally>) -> Markup {
    html! { div.scroll tabindex="0" { table { thead { tr { th scope="col" { (what) } th scope="col" { "seen" } th scope="col" { "share" } th scope="col" { "median time to detect" } } } tbody {
        @for (name, tally) in rows { tr {
            td { (short(name)) }
            td.number { (tally.seen) " of " (tally.runs) }
            td { (bar(tally.seen, tally.runs)) }
            td.number { @if let Some(ms) = tally.median() { (format!("{ms:.0}")) " ms" } }
        } }
    } } } }
}

fn bar(part: u64, whole: u64) -> Markup {
    let share = part as f64 / whole.max(1) as f64;
    html! { svg.bar viewBox="0 0 100 10" width="100" height="10" role="img" aria-label={ (part) " of " (whole) } {
        rect.back width="100" height="10" {} rect.front width=(format!("{:.1}", share * 100.0)) height="10" {}
    } }
}

/// Whether each was seen, in the order in which they were played.
fn trend(runs: &[&Value]) -> Markup {
    const SHOWN: usize = 300;
    let from = runs.len().saturating_sub(SHOWN);
    let shown = runs.get(from..).unwrap_or_default();
    html! {
        svg.trend viewBox={ "0 0 " (shown.len() * 4 + 2) " 26" } width=(shown.len() * 4 + 2) height="26" role="img"
            aria-label="each of the last runs, the latest at the right: tall where it was seen" {
            @for (at, run) in shown.iter().enumerate() {
                @let seen = run.get("seen").and_then(Value::as_bool) == Some(true);
                rect class=(if seen { "seen" } else { "missed" }) x=(at * 4) width="3" y=(if seen { "2" } else { "16" }) height=(if seen { "22" } else { "8" }) {
                    title { (short(run.get("drill").and_then(Value::as_str).unwrap_or_default())) @if seen { ": seen" } @else { ": missed" } }
                }
            }
        }
    }
}
