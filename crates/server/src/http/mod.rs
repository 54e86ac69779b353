//! The API and a plain page, on loopback behind a token, and on a unix socket for the command line.

mod access;
pub(crate) mod api;
mod connections;
mod page;

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use muster_engine::{AgentState, Finding};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use crate::StoreReader;
use crate::error::Result as StoreResult;
use access::Access;

/// Updates that a slow client may be behind before it loses some.
const UPDATES_MAX: usize = 4096;
/// Readers of the store that are kept for the next request.
const READERS_MAX: usize = 4;
/// How long open connections may go on when the daemon ends.
const STOP_MAX: Duration = Duration::from_millis(300);

/// What `muster run` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The process that will become the agent.
    pub pid: u32,
    /// Who answers for it.
    pub principal: String,
    /// What it is to do, in words; may be empty.
    #[serde(default)]
    pub label: String,
    pub command: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    pub agent: String,
}

/// What changed, for those who listen.
#[derive(Clone, Debug)]
pub enum Update {
    Agent(Box<AgentState>),
    Finding(Box<Finding>),
}

/// Takes an enrolment, or says why not. It may wait.
pub type Enrol = dyn Fn(EnrolRequest) -> Result<Enrolled, String> + Send + Sync;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot start the threads of the server: {0}")]
    Runtime(io::Error),
    #[error("cannot use the listening socket: {0}")]
    Listen(io::Error),
    #[error("cannot {action} `{}`: {source}", path.display())]
    Token { path: PathBuf, action: &'static str, source: io::Error },
}

/// The running server. Ends with `stop` or when dropped.
pub struct Http {
    runtime: Option<Runtime>,
    updates: broadcast::Sender<Update>,
    access: Arc<Access>,
}

impl Http {
    /// Serves on listeners that the caller bound.
    pub fn start(
        data: &Path,
        tcp: TcpListener,
        unix: UnixListener,
        enrol: Arc<Enrol>,
    ) -> Result<Http, HttpError> {
        let address = tcp.local_addr().map_err(HttpError::Listen)?;
        tcp.set_nonblocking(true).map_err(HttpError::Listen)?;
        unix.set_nonblocking(true).map_err(HttpError::Listen)?;
        let access = Arc::new(Access::new(data, address)?);
        let (updates, _) = broadcast::channel(UPDATES_MAX);
        let app = App {
            data: data.into(),
            readers: Arc::default(),
            updates: updates.clone(),
            enrol,
            access: Arc::clone(&access),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(HttpError::Runtime)?;
        let routes = api::routes().merge(page::routes());
        let guarded: Router = routes
            .clone()
            .layer(axum::middleware::from_fn_with_state(app.clone(), access::check))
            // Outermost: what is refused has them too.
            .layer(axum::middleware::map_response(access::secured))
            .with_state(app.clone());
        let trusted: Router = routes.merge(api::socket_routes()).with_state(app);
        {
            let _inside = runtime.enter();
            let tcp = tokio::net::TcpListener::from_std(tcp).map_err(HttpError::Listen)?;
            let unix = tokio::net::UnixListener::from_std(unix).map_err(HttpError::Listen)?;
            // These end with the runtime; an error of one connection is its own.
            runtime.spawn(async move { axum::serve(connections::Bounded::new(tcp), guarded).await });
            runtime.spawn(async move { axum::serve(unix, trusted).await });
        }
        Ok(Http { runtime: Some(runtime), updates, access })
    }

    /// Tells those who listen; never waits.
    pub fn publish(&self, update: Update) {
        // Nobody may be listening.
        drop(self.updates.send(update));
    }

    pub fn token(&self) -> &str {
        self.access.token()
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_MAX);
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.end();
    }
}

/// What every request may use.
#[derive(Clone)]
pub(crate) struct App {
    data: Arc<Path>,
    readers: Arc<Mutex<Vec<StoreReader>>>,
    updates: broadcast::Sender<Update>,
    enrol: Arc<Enrol>,
    access: Arc<Access>,
}

impl App {
    /// Asks the store, on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&StoreReader) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, api::ApiError> {
        let app = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let kept = app.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = match kept {
                Some(reader) => reader,
                None => StoreReader::open(&app.data)?,
            };
            let answer = question(&reader)?;
            let mut readers = app.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS_MAX {
                readers.push(reader);
            }
            Ok(answer)
        });
        match asked.await {
            Ok(answer) => answer.map_err(api::ApiError::store),
            Err(_) => Err(api::ApiError::internal("the question to the store was not answered")),
        }
    }
}
