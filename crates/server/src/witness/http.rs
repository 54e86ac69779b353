//! The witness's two pages: `POST /add-checkpoint` and `GET /status`.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use muster_ledger::witness::REQUEST_MAX;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{Now, Reply, Witness, WitnessError};
use crate::http::connections::Bounded;

/// How long a request may take to arrive.
const ARRIVE_MAX: Duration = Duration::from_secs(10);
/// How long requests that have begun may go on at the end.
const STOP_MAX: Duration = Duration::from_millis(300);

/// A witness that answers. Ends when dropped.
pub struct WitnessServer {
    served: Served,
    runtime: Option<Runtime>,
    address: SocketAddr,
}

#[derive(Clone)]
struct Served {
    witness: Arc<Witness>,
    started: Instant,
}

impl Served {
    fn now(&self) -> Now {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { time: time.as_secs(), since_start: self.started.elapsed() }
    }
}

impl WitnessServer {
    pub fn start(witness: Witness, listener: TcpListener) -> Result<WitnessServer, WitnessError> {
        let wrap = |action| move |source| WitnessError::Serve { action, source };
        let address = listener.local_addr().map_err(wrap("listen"))?;
        listener.set_nonblocking(true).map_err(wrap("listen"))?;
        let served = Served { witness: Arc::new(witness), started: Instant::now() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(wrap("start the threads of the server"))?;
        let routes = Router::new()
            .route("/add-checkpoint", post(add))
            .route("/status", get(status))
            .with_state(served.clone());
        {
            let _inside = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener).map_err(wrap("listen"))?;
            runtime.spawn(async move { axum::serve(Bounded::new(listener), routes).await });
        }
        Ok(WitnessServer { served, runtime: Some(runtime), address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks who has fallen silent. To be called each second or so.
    pub fn look(&self) {
        self.served.witness.look(self.served.now());
    }
}

impl Drop for WitnessServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_MAX);
        }
    }
}

async fn add(State(served): State<Served>, body: Body) -> Response {
    let body = match timeout(ARRIVE_MAX, to_bytes(body, REQUEST_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "the request is too long\n").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    };
    // It waits for the disk.
    let answered = tokio::task::spawn_blocking(move || served.witness.add(&body, served.now())).await;
    match answered {
        Ok(Reply { status, content_type, body }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let content_type = HeaderValue::from_static(content_type);
            (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status(State(served): State<Served>) -> Response {
    let asked = tokio::task::spawn_blocking(move || served.witness.status(served.now())).await;
    match asked {
        Ok(status) => axum::Json(status).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
