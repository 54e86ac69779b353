//! `/api/v1`. The shapes are those of `views`, as on the command line; `openapi.json` describes them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use muster_engine::{Code, Severity, Verdict};
use muster_ledger::TileName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};

use super::{App, Caller, ContainRequest, EnrolRequest, StopRequest, Update};
use crate::approval::{ApprovalView, ApproveRequest};
use crate::review::{ProofView, ReviewRequest, ReviewView};
use crate::views::{
    self, ClaimView, EventView, FindingCounts, FindingView, LineageView, MandateView, OpinionsView, RollView,
};
use crate::{AccountItem, EventFilter, ExplanationView, FindingFilter, StoreError, TimeRange};

/// Lines of a list that come without a `limit`, and at most.
const LIMIT: usize = 1000;
pub(crate) const LIMIT_MAX: usize = 10_000;
const BODY_MAX: usize = 64 * 1024;
/// An enrolment may bring a whole chain of mandates, each of which is far shorter than it may be.
const ENROL_MAX: usize = 2 * 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/roll", get(roll))
        .route("/api/v1/agents/{agent}", get(agent))
        .route("/api/v1/agents/{agent}/account", get(account))
        .route("/api/v1/agents/{agent}/claims", get(claims))
        .route("/api/v1/agents/{agent}/lineage", get(lineage))
        .route("/api/v1/agents/{agent}/opinions", get(opinions))
        .route("/api/v1/events", get(events))
        .route("/api/v1/findings", get(findings))
        .route("/api/v1/findings/{finding}", get(finding))
        .route("/api/v1/findings/{finding}/explanation", get(explanation))
        .route("/api/v1/findings/{finding}/proof", get(proof))
        .route("/api/v1/reviews", get(reviews))
        .route("/api/v1/approvals", get(approvals))
        .route("/api/v1/approvals/answer", post(answer))
        .route("/api/v1/health", get(health))
        .route("/api/v1/mandates", get(mandates))
        .route("/api/v1/stream", get(stream))
        .route("/openapi.json", get(openapi))
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/tile/{*name}", get(tile))
}

/// The log as C2SP tlog-tiles serves it: its newest checkpoint.
async fn checkpoint(State(app): State<App>) -> Result<Response, ApiError> {
    let found = app.ask(|store| Ok(store.log().checkpoint()?)).await?;
    let note = found.ok_or_else(|| {
        ApiError::not_found("checkpoint", "checkpoint", "the log has none yet: try again in a second")
    })?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

/// … and its tiles and entry bundles.
async fn tile(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let absent = || ApiError::not_found("tile", &name, "the checkpoint says which there are");
    let wanted = TileName::parse(&format!("tile/{name}")).ok_or_else(absent)?;
    let found = app.ask(move |store| Ok(store.log().tile(&wanted)?)).await?;
    let bytes = found.ok_or_else(absent)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// Only for those who may open the unix socket.
pub(super) fn socket_routes() -> Router<App> {
    Router::new()
        .route("/api/v1/runs", post(run))
        .route("/api/v1/stop", post(stop))
        .layer(DefaultBodyLimit::max(ENROL_MAX))
}

/// Only for those who may open the daemon's own unix socket (root), or show the operator's token.
pub(super) fn operator_routes() -> Router<App> {
    Router::new()
        .route("/api/v1/out", post(contain))
        .route("/api/v1/reviews", post(review))
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    error: String,
    hint: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: &str, hint: &str) -> Self {
        Self { status, error: error.to_owned(), hint: hint.to_owned() }
    }

    pub(super) fn internal(error: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error, "see what the daemon prints")
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
    pub(super) fn store(error: StoreError) -> Self {
        Self::internal(&error.to_string())
    }

    /// The index does not answer: with what keeps Muster from its work, as far as that is known.
    pub(super) fn waiting(notices: &BTreeMap<String, String>) -> Self {
        let known: Vec<&str> = notices.values().map(String::as_str).collect();
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("the index does not answer. {}", known.join(" ")),
            "the stream of updates goes on; ask again once the disk answers",
        )
    }

    fn not_found(what: &str, name: &str, hint: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, &format!("no {what} `{name}`"), hint)
    }

    fn bad(error: &str, hint: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error, "hint": self.hint}))).into_response()
    }
}

type Answer<T> = Result<Json<T>, ApiError>;

/// One word of a query as one of the values of an enum.
fn value<T: DeserializeOwned>(name: &str, text: Option<String>, hint: &str) -> Result<Option<T>, ApiError> {
    text.map(|text| {
        serde_json::from_value(Value::String(text.clone()))
            .map_err(|_| ApiError::bad(&format!("no {name} `{text}`"), hint))
    })
    .transpose()
}

fn moment(name: &str, text: Option<&str>) -> Result<Option<u64>, ApiError> {
    text.map(|text| {
        views::parse_time(text).ok_or_else(|| {
            ApiError::bad(
                &format!("`{name}` is no time: `{text}`"),
                "give RFC 3339, e.g. 2026-01-02T03:04:05Z",
            )
        })
    })
    .transpose()
}

fn query<T>(query: Result<Query<T>, axum::extract::rejection::QueryRejection>) -> Result<T, ApiError> {
    query
        .map(|Query(query)| query)
        .map_err(|error| ApiError::bad(&error.body_text(), "the fields of each query are in /openapi.json"))
}

async fn roll(State(app): State<App>) -> Answer<Vec<RollView>> {
    app.ask(|store| store.roll_views()).await.map(Json)
}

async fn mandates(State(app): State<App>) -> Json<Vec<MandateView>> {
    Json(app.mandates())
}

async fn agent(State(app): State<App>, Path(id): Path<String>) -> Answer<RollView> {
    let asked = id.clone();
    let found = app
        .ask(move |store| {
            let counts = store.finding_counts()?.get(&asked).copied().unwrap_or_default();
            Ok(store.agent(&asked)?.map(|state| RollView::new(&state, counts)))
        })
        .await?;
    found.map(Json).ok_or_else(|| ApiError::not_found("agent", &id, "GET /api/v1/roll lists them"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountQuery {
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
}

impl AccountQuery {
    fn read(self) -> Result<(TimeRange, usize), ApiError> {
        let range = TimeRange {
            since_ns: moment("since", self.since.as_deref())?,
            until_ns: moment("until", self.until.as_deref())?,
        };
        Ok((range, self.limit.unwrap_or(LIMIT).min(LIMIT_MAX)))
    }
}

async fn account(
    State(app): State<App>,
    Path(id): Path<String>,
    asked: Result<Query<AccountQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Vec<Value>> {
    let (range, limit) = query(asked)?.read()?;
    let items = app.ask(move |store| store.account_items(&id, range, Some(limit))).await?;
    Ok(Json(items.iter().map(account_view).collect()))
}

fn account_view(said: &AccountItem) -> Value {
    json!({
        "path": said.path, "offset": said.offset, "len": said.len, "sha256": views::hex(&said.sha256),
        "read": views::time(said.read_ns), "item": said.item,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimsQuery {
    verdict: Option<String>,
    limit: Option<usize>,
}

async fn claims(
    State(app): State<App>,
    Path(id): Path<String>,
    asked: Result<Query<ClaimsQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Vec<ClaimView>> {
    let asked = query(asked)?;
    let verdict: Option<Verdict> =
        value("verdict", asked.verdict, "see `verdict` of `claims` in /openapi.json")?;
    let limit = asked.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let claims = app.ask(move |store| store.claims(&id, verdict, Some(limit))).await?;
    Ok(Json(claims.iter().map(ClaimView::from).collect()))
}

async fn lineage(State(app): State<App>, Path(id): Path<String>) -> Answer<LineageView> {
    let asked = id.clone();
    let found = app.ask(move |store| store.lineage(&asked)).await?;
    found
        .map(|lineage| Json(LineageView::from(&lineage)))
        .ok_or_else(|| ApiError::not_found("agent", &id, "GET /api/v1/roll lists them"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpinionsQuery {
    limit: Option<usize>,
}

async fn opinions(
    State(app): State<App>,
    Path(id): Path<String>,
    asked: Result<Query<OpinionsQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Vec<OpinionsView>> {
    let limit = query(asked)?.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let found = app.ask(move |store| store.opinions(&id, Some(limit))).await?;
    Ok(Json(found.iter().map(OpinionsView::from).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    agent: Option<String>,
    since_seq: Option<u64>,
    until_seq: Option<u64>,
    since: Option<String>,
    until: Option<String>,
    /// Names with commas between them.
    kinds: Option<String>,
    pid: Option<u32>,
    limit: Option<usize>,
    last: Option<bool>,
}

impl EventsQuery {
    fn read(self) -> Result<EventFilter, ApiError> {
        let kinds: Vec<String> = self
            .kinds
            .iter()
            .flat_map(|k| k.split(','))
            .filter(|k| !k.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(unknown) = kinds.iter().find(|k| !views::kind_names().any(|known| known == *k)) {
            let hint = format!("one of {}", views::kind_names().collect::<Vec<_>>().join(", "));
            return Err(ApiError::bad(&format!("no kind `{unknown}`"), &hint));
        }
        Ok(EventFilter {
            agent: self.agent,
            since_seq: self.since_seq,
            until_seq: self.until_seq,
            since_ns: moment("since", self.since.as_deref())?,
            until_ns: moment("until", self.until.as_deref())?,
            kinds,
            pid: self.pid,
            limit: Some(self.limit.unwrap_or(LIMIT).min(LIMIT_MAX)),
            last: self.last.unwrap_or(false),
        })
    }
}

async fn events(
    State(app): State<App>,
    asked: Result<Query<EventsQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Vec<EventView>> {
    let filter = query(asked)?.read()?;
    let found = app.ask(move |store| {
        let mut found = Vec::new();
        store.events(&filter, &mut |view| {
            found.push(view);
            true
        })?;
        Ok(found)
    });
    found.await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FindingsQuery {
    agent: Option<String>,
    severity: Option<String>,
    code: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
}

impl FindingsQuery {
    fn read(self) -> Result<FindingFilter, ApiError> {
        let codes = Code::ALL.map(Code::name).join(", ");
        let severities = "one of info, low, medium, high, critical";
        Ok(FindingFilter {
            agent: self.agent,
            severity_min: value::<Severity>("severity", self.severity, severities)?,
            code: value("code", self.code, &format!("one of {codes}"))?,
            since_ns: moment("since", self.since.as_deref())?,
            limit: Some(self.limit.unwrap_or(LIMIT).min(LIMIT_MAX)),
        })
    }
}

async fn findings(
    State(app): State<App>,
    asked: Result<Query<FindingsQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Vec<FindingView>> {
    let filter = query(asked)?.read()?;
    let found = app.ask(move |store| store.findings(&filter)).await?;
    Ok(Json(found.iter().map(FindingView::from).collect()))
}

async fn finding(State(app): State<App>, Path(id): Path<String>) -> Answer<FindingView> {
    let asked = id.clone();
    let found = app.ask(move |store| store.finding(&asked)).await?;
    found
        .map(|detail| Json(FindingView::from(&detail.finding)))
        .ok_or_else(|| ApiError::not_found("finding", &id, "GET /api/v1/findings lists them"))
}

async fn explanation(State(app): State<App>, Path(id): Path<String>) -> Answer<ExplanationView> {
    let asked = id.clone();
    let found = app.ask(move |store| store.explanation(&asked)).await?;
    found
        .map(|explanation| Json(ExplanationView::from(&explanation)))
        .ok_or_else(|| ApiError::not_found("finding", &id, "GET /api/v1/findings lists them"))
}

async fn proof(State(app): State<App>, Path(id): Path<String>) -> Answer<ProofView> {
    let asked = id.clone();
    let found = app.ask(move |store| store.proof(&asked)).await?;
    found.map(|proof| Json(ProofView::from(&proof))).ok_or_else(|| {
        ApiError::not_found("signed finding", &id, "one that is new is signed within a second or two")
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewsQuery {
    limit: Option<usize>,
}

async fn reviews(
    State(app): State<App>,
    asked: Result<Query<ReviewsQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Vec<ReviewView>> {
    let limit = query(asked)?.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let found = app.ask(move |store| store.reviews(limit)).await?;
    Ok(Json(found.iter().map(ReviewView::from).collect()))
}

async fn health(State(app): State<App>) -> Answer<Value> {
    let health = app.ask(|store| store.health()).await?;
    Ok(Json(json!({
        "host": health.host, "version": health.version,
        "started": health.started_ns.map(views::time), "stopped": health.stopped_ns.map(views::time),
        "last": views::time(health.last_ns), "last_seq": health.last_seq, "lost": health.lost,
        "ledger_bytes": health.ledger_bytes, "notices": app.notices(),
        "kernel_record": health.start.as_ref().is_some_and(|s| s.kernel_record),
        "probes": health.probes.iter().map(|p| json!({"probe": p.probe, "error": p.error})).collect::<Vec<_>>(),
        "losses": health.losses.iter().map(|l| json!({
            "queue": l.queue, "count": l.count, "from": views::time(l.from_ns), "to": views::time(l.to_ns),
        })).collect::<Vec<_>>(),
    })))
}

async fn stream(State(app): State<App>) -> impl IntoResponse {
    let updates = BroadcastStream::new(app.updates.subscribe());
    let sent = updates.map(|update| Ok::<_, Infallible>(sent(update)));
    let keep: Sse<_> = Sse::new(boxed(sent)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    keep
}

fn boxed(
    stream: impl Stream<Item = Result<Sent, Infallible>> + Send + 'static,
) -> std::pin::Pin<Box<dyn Stream<Item = Result<Sent, Infallible>> + Send>> {
    Box::pin(stream)
}

fn sent(update: Result<Update, tokio_stream::wrappers::errors::BroadcastStreamRecvError>) -> Sent {
    let (name, data) = match update {
        Ok(Update::Agent(state)) => {
            let mut view = serde_json::to_value(RollView::new(&state, FindingCounts::default()));
            // Counts of findings are not at hand here: who wants them asks for the agent.
            if let Ok(Value::Object(fields)) = &mut view {
                fields.remove("findings");
            }
            ("agent", view.map(|v| v.to_string()))
        }
        Ok(Update::Finding(finding)) => ("finding", serde_json::to_string(&FindingView::from(&*finding))),
        Ok(Update::Notice { about, text }) => {
            ("notice", Ok(json!({"about": about, "text": text}).to_string()))
        }
        // Is not sent to who listens.
        Ok(Update::Mandates(mandates)) => ("mandates", serde_json::to_string(&mandates)),
        Err(tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged(count)) => {
            ("lagged", Ok(json!({"missed": count}).to_string()))
        }
    };
    Sent::default().event(name).data(data.unwrap_or_else(|_| "{}".to_owned()))
}

async fn run(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(request): Json<EnrolRequest>,
) -> Response {
    let Some(peer) = peer_of(caller).await else { return nobody() };
    if peer.uid != 0 && request.principal.is_some() {
        let hint = "leave --principal out: your own user answers for it";
        return ApiError::new(StatusCode::FORBIDDEN, "only root may name another principal", hint)
            .into_response();
    }
    let enrol = app.doors.enrol;
    match tokio::task::spawn_blocking(move || enrol(peer, request)).await {
        Ok(Ok(enrolled)) => Json(enrolled).into_response(),
        Ok(Err(reason)) => {
            ApiError::new(StatusCode::CONFLICT, &reason, "see what the daemon prints").into_response()
        }
        Err(_) => ApiError::internal("the enrolment was not answered").into_response(),
    }
}

async fn stop(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(request): Json<StopRequest>,
) -> Response {
    let Some(peer) = peer_of(caller).await else { return nobody() };
    let ask = app.doors.ask_stop;
    match tokio::task::spawn_blocking(move || ask(peer, request)).await {
        Ok(Ok(told)) => Json(told).into_response(),
        Ok(Err(reason)) => {
            ApiError::new(StatusCode::CONFLICT, &reason, "see what the daemon prints").into_response()
        }
        Err(_) => ApiError::internal("the question was not answered").into_response(),
    }
}

/// Questions that wait for a person, oldest first.
async fn approvals(State(app): State<App>) -> Json<Vec<ApprovalView>> {
    Json(app.doors.approvals.open())
}

/// A person's answer. Who an agent's lineage belongs to answers nothing, whatever token it found.
async fn answer(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(request): Json<ApproveRequest>,
) -> Response {
    let Some(peer) = peer_of(caller).await else { return nobody() };
    let approvals = app.doors.approvals;
    match tokio::task::spawn_blocking(move || approvals.answer(peer, request)).await {
        Ok(Ok(answered)) => Json(answered).into_response(),
        Ok(Err(reason)) => {
            let hint = "GET /api/v1/approvals lists what is open";
            ApiError::new(StatusCode::CONFLICT, &reason, hint).into_response()
        }
        Err(_) => ApiError::internal("the answer was not taken").into_response(),
    }
}

async fn contain(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(request): Json<ContainRequest>,
) -> Response {
    let Some(peer) = peer_of(caller).await else { return nobody() };
    if peer.uid != 0 && !peer.operator {
        return ApiError::new(StatusCode::FORBIDDEN, "only root may muster out", "use sudo").into_response();
    }
    let contain = app.doors.contain;
    match tokio::task::spawn_blocking(move || contain(peer, request)).await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(reason)) => {
            ApiError::new(StatusCode::CONFLICT, &reason, "see what the daemon prints").into_response()
        }
        Err(_) => ApiError::internal("the request was not answered").into_response(),
    }
}

async fn review(
    State(app): State<App>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(request): Json<ReviewRequest>,
) -> Response {
    let Some(peer) = peer_of(caller).await else { return nobody() };
    if peer.uid != 0 && !peer.operator {
        return ApiError::new(StatusCode::FORBIDDEN, "only root may review", "use sudo").into_response();
    }
    let id = request.finding.clone();
    let agent = match app.ask(move |store| store.finding(&id)).await {
        Ok(Some(detail)) => detail.finding.agent,
        Ok(None) => {
            return ApiError::not_found("finding", &request.finding, "GET /api/v1/findings lists them")
                .into_response();
        }
        Err(error) => return error.into_response(),
    };
    let keep = app.doors.review;
    match tokio::task::spawn_blocking(move || keep(peer, request, agent)).await {
        Ok(Ok(review)) => Json(review).into_response(),
        Ok(Err(reason)) => {
            ApiError::new(StatusCode::CONFLICT, &reason, "see what the daemon prints").into_response()
        }
        Err(_) => ApiError::internal("the review was not answered").into_response(),
    }
}

/// Who is at the other end, on a thread that may wait.
async fn peer_of(caller: Caller) -> Option<super::Peer> {
    tokio::task::spawn_blocking(move || caller.peer()).await.ok().flatten()
}

fn nobody() -> Response {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "it cannot be seen which process asks",
        "ask from this machine, or from a browser on it",
    )
    .into_response()
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::reference::openapi())
}

/// The limit that a query text comes to, or why it is refused: for `fuzzing`.
#[cfg(any(test, fuzzing))]
mod fuzzed {
    use super::*;

    fn parsed<Q: DeserializeOwned>(text: &str) -> Result<Q, String> {
        let uri = axum::http::Uri::builder()
            .path_and_query(format!("/?{text}"))
            .build()
            .map_err(|e| e.to_string())?;
        query(Query::try_from_uri(&uri)).map_err(|refused| refused.error)
    }

    pub(crate) fn events(text: &str) -> Result<usize, String> {
        let filter = parsed::<EventsQuery>(text)?.read().map_err(|refused| refused.error)?;
        Ok(filter.limit.unwrap_or(usize::MAX))
    }

    pub(crate) fn findings(text: &str) -> Result<usize, String> {
        let filter = parsed::<FindingsQuery>(text)?.read().map_err(|refused| refused.error)?;
        Ok(filter.limit.unwrap_or(usize::MAX))
    }

    pub(crate) fn account(text: &str) -> Result<usize, String> {
        parsed::<AccountQuery>(text)?.read().map(|(_, limit)| limit).map_err(|refused| refused.error)
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) use fuzzed::{account as fuzzed_account, events as fuzzed_events, findings as fuzzed_findings};
