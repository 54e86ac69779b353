//! The API and a plain page, on loopback behind a token, and on a unix socket for the command line.

mod access;
pub(crate) mod api;
pub(crate) mod connections;
mod page;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use muster_engine::{AgentId, AgentState, Finding};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use crate::StoreReader;
use crate::approval::Approve;
use crate::error::Result as StoreResult;
use crate::review::{ReviewRequest, ReviewView};
use crate::views::MandateView;
use access::{Access, Role};
use connections::Bounded;
pub use connections::process_of;

/// Updates that a slow client may be behind before it loses some.
const UPDATES_MAX: usize = 4096;
/// Readers of the store that are kept for the next request.
const READERS_MAX: usize = 4;
/// How long open connections may go on when the daemon ends.
const STOP_MAX: Duration = Duration::from_millis(300);

/// What `muster run` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Who answers for it. Only root may name somebody.
    #[serde(default)]
    pub principal: Option<String>,
    /// What it is to do, in words; may be empty.
    #[serde(default)]
    pub label: String,
    pub command: Vec<String>,
    /// The mandate that it is to run under, each followed by the one that it is a part of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mandate: Vec<muster_mandate::Signed>,
    /// The file that it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate_file: Option<String>,
    /// Why the file was not read: a word and a reason, as findings have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate_refused: Option<String>,
    /// Process that enforces for it from outside its reach: an ancestor of who asks.
    #[serde(default)]
    pub supervisor: Option<u32>,
}

/// Who asks, as the kernel knows it: the process that will become the agent, or that of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// In the daemon's own pid namespace.
    pub pid: u32,
    pub uid: u32,
    /// It showed the operator's token, which only root can read or give away.
    pub operator: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    pub agent: String,
}

/// What an agent's Stop hook asks about: the message that it is about to end with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    pub text: String,
}

/// The sentences of it that the record contradicts, or shows to be hollow. Nothing of how that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub claims: Vec<ToldClaim>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldClaim {
    pub sentence: String,
    pub verdict: String,
}

/// What an operator asks of mustering out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum ContainRequest {
    Out {
        agent: String,
        /// Name of the last step.
        #[serde(default)]
        until: Option<String>,
        #[serde(default)]
        include_likely: bool,
        /// Only say what would be touched.
        #[serde(default)]
        dry_run: bool,
    },
    /// Let a lineage go on that was only frozen.
    Thaw { agent: String },
    /// Put files back: all of a mustering out, or one.
    Restore {
        id: String,
        #[serde(default)]
        path: Option<String>,
    },
}

/// What changed, for those who listen.
#[derive(Clone, Debug)]
pub enum Update {
    Agent(Box<AgentState>),
    Finding(Box<Finding>),
    /// Something keeps Muster itself from its work, or (`None`) does so no longer. It may be that it cannot be written
    /// to the record, so it is told from here.
    Notice {
        about: String,
        text: Option<String>,
    },
    /// All mandates that are known: for who asks, not for who listens.
    Mandates(Vec<MandateView>),
}

/// Longest time for an answer from the index; where the daemon's loop is known to stand still, there will be none.
const ANSWER: Duration = Duration::from_secs(60);
const ANSWER_STILL: Duration = Duration::from_secs(2);

/// What a notice is about that says that the daemon's loop does not go on.
pub const STANDS_STILL: &str = "standstill";

/// What keeps Muster from its work now, by what it is about.
type Notices = Arc<Mutex<BTreeMap<String, String>>>;

/// The mandates that the daemon holds.
type Mandates = Arc<Mutex<Vec<MandateView>>>;

/// Takes an enrolment, or says why not. It may wait.
pub type Enrol = dyn Fn(Peer, EnrolRequest) -> Result<Enrolled, String> + Send + Sync;

/// Answers a Stop hook about the agent that the asking process belongs to, or says why not. It waits.
pub type AskStop = dyn Fn(Peer, StopRequest) -> Result<Told, String> + Send + Sync;

/// Musters out, or undoes it, or says why not. It waits until it is done.
pub type Contain = dyn Fn(Peer, ContainRequest) -> Result<serde_json::Value, String> + Send + Sync;

/// Keeps what a person says of a finding of this agent, or says why not.
pub type KeepReview = dyn Fn(Peer, ReviewRequest, AgentId) -> Result<ReviewView, String> + Send + Sync;

/// What goes through to the daemon's loop.
#[derive(Clone)]
pub struct Doors {
    pub enrol: Arc<Enrol>,
    pub ask_stop: Arc<AskStop>,
    pub contain: Arc<Contain>,
    pub review: Arc<KeepReview>,
    pub approvals: Arc<dyn Approve>,
}

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
    notices: Notices,
    mandates: Mandates,
    access: Arc<Access>,
}

impl Http {
    /// Serves on listeners that the caller bound: all to those with the token, all to whoever may open `unix`, enrolment
    /// only to whoever may open `public`.
    pub fn start(
        data: &Path,
        tcp: TcpListener,
        unix: UnixListener,
        public: Option<UnixListener>,
        doors: Doors,
    ) -> Result<Http, HttpError> {
        let address = tcp.local_addr().map_err(HttpError::Listen)?;
        tcp.set_nonblocking(true).map_err(HttpError::Listen)?;
        unix.set_nonblocking(true).map_err(HttpError::Listen)?;
        let access = Arc::new(Access::new(data, address)?);
        let (updates, _) = broadcast::channel(UPDATES_MAX);
        let notices = Notices::default();
        let mandates = Mandates::default();
        let app = App {
            data: data.into(),
            readers: Arc::default(),
            updates: updates.clone(),
            notices: Arc::clone(&notices),
            mandates: Arc::clone(&mandates),
            doors,
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
            .merge(api::operator_routes())
            .layer(axum::middleware::from_fn_with_state(app.clone(), access::check))
            // Outermost: what is refused has them too.
            .layer(axum::middleware::map_response(access::secured))
            .with_state(app.clone());
        let enrolment: Router = api::socket_routes().with_state(app.clone());
        let trusted: Router =
            routes.merge(api::socket_routes()).merge(api::operator_routes()).with_state(app);
        {
            let _inside = runtime.enter();
            let tcp = tokio::net::TcpListener::from_std(tcp).map_err(HttpError::Listen)?;
            let unix = tokio::net::UnixListener::from_std(unix).map_err(HttpError::Listen)?;
            // These end with the runtime; an error of one connection is its own.
            let guarded = guarded.into_make_service_with_connect_info::<Caller>();
            runtime.spawn(async move { axum::serve(Bounded::new(tcp), guarded).await });
            let trusted = trusted.into_make_service_with_connect_info::<Caller>();
            runtime.spawn(async move { axum::serve(unix, trusted).await });
            if let Some(public) = public {
                public.set_nonblocking(true).map_err(HttpError::Listen)?;
                let public = tokio::net::UnixListener::from_std(public).map_err(HttpError::Listen)?;
                let enrolment = enrolment.into_make_service_with_connect_info::<Caller>();
                runtime.spawn(async move { axum::serve(Bounded::new(public), enrolment).await });
            }
        }
        Ok(Http { runtime: Some(runtime), updates, notices, mandates, access })
    }

    /// Tells those who listen; never waits.
    pub fn publish(&self, update: Update) {
        if let Update::Mandates(mandates) = update {
            *self.mandates.lock().unwrap_or_else(PoisonError::into_inner) = mandates;
            return;
        }
        if let Update::Notice { about, text } = &update {
            let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            match text {
                Some(text) => notices.insert(about.clone(), text.clone()),
                None => notices.remove(about),
            };
        }
        // Nobody may be listening.
        drop(self.updates.send(update));
    }

    /// What opens the page and the API to who only looks.
    pub fn token(&self) -> &str {
        self.access.token(Role::Reader)
    }

    /// … and to who may act.
    pub fn operator_token(&self) -> &str {
        self.access.token(Role::Operator)
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

/// The other end: of a unix socket, where the kernel says who that is; of a TCP connection, where it can be asked.
#[derive(Clone, Copy)]
pub(crate) enum Caller {
    Unix(Option<Peer>),
    /// From there, to there.
    Tcp(Option<(SocketAddr, SocketAddr)>),
}

impl Caller {
    fn of(stream: &tokio::net::UnixStream) -> Self {
        let peer = stream.peer_cred().ok().and_then(|cred| {
            let pid = u32::try_from(cred.pid()?).ok().filter(|pid| *pid != 0)?;
            Some(Peer { pid, uid: cred.uid(), operator: false })
        });
        Caller::Unix(peer)
    }

    /// Who it is. It may take a while where the whole of `/proc` has to be looked through.
    pub(crate) fn peer(self) -> Option<Peer> {
        match self {
            Caller::Unix(peer) => peer,
            // Only who showed the operator's token comes so far.
            Caller::Tcp(ends) => {
                let (from, to) = ends?;
                let pid = connections::process_of(from, to, None)?;
                let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
                Some(Peer { pid, uid, operator: true })
            }
        }
    }
}

impl Connected<IncomingStream<'_, Bounded<tokio::net::TcpListener>>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Bounded<tokio::net::TcpListener>>) -> Self {
        let stream = stream.io().stream();
        Caller::Tcp(stream.peer_addr().ok().zip(stream.local_addr().ok()))
    }
}

impl Connected<IncomingStream<'_, tokio::net::UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, tokio::net::UnixListener>) -> Self {
        Caller::of(stream.io())
    }
}

impl Connected<IncomingStream<'_, Bounded<tokio::net::UnixListener>>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Bounded<tokio::net::UnixListener>>) -> Self {
        Caller::of(stream.io().stream())
    }
}

/// What every request may use.
#[derive(Clone)]
pub(crate) struct App {
    data: Arc<Path>,
    readers: Arc<Mutex<Vec<StoreReader>>>,
    updates: broadcast::Sender<Update>,
    notices: Notices,
    mandates: Mandates,
    doors: Doors,
    access: Arc<Access>,
}

impl App {
    /// What keeps Muster from its work now.
    fn notices(&self) -> BTreeMap<String, String> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn mandates(&self) -> Vec<MandateView> {
        self.mandates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

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
        // A disk that does not answer holds whoever reads from it, and says nothing: others say that it does.
        let limit = if self.notices().contains_key(STANDS_STILL) { ANSWER_STILL } else { ANSWER };
        match tokio::time::timeout(limit, asked).await {
            Ok(Ok(answer)) => answer.map_err(api::ApiError::store),
            Ok(Err(_)) => Err(api::ApiError::internal("the question to the store was not answered")),
            Err(_) => Err(api::ApiError::waiting(&self.notices())),
        }
    }
}
