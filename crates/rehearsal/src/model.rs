//! The scripted model: a server on loopback. One model may serve several agents and conversations at once.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::api::{self, Answer, Api, Message, Question};
use crate::http::{self, Request, Response};
use crate::play;
use crate::script::Script;

/// A rough tokenizer: agents only add these numbers up.
const BYTES_PER_TOKEN: usize = 4;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// `Null` where it is not JSON.
    pub body: Value,
    /// Which API it speaks, if it asks a model.
    pub api: Option<Api>,
    /// The names of the tools offered.
    pub tools: Vec<String>,
    /// What the model said to it.
    pub text: String,
    /// The calls that the model made: name and arguments.
    pub calls: Vec<(String, Value)>,
    /// Since the model's start.
    pub after: Duration,
}

pub struct Model {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

type Outsider = dyn Fn(&str) + Send + Sync;

struct Shared {
    script: Script,
    /// Does what `Step::Act` names.
    outsider: Box<Outsider>,
    acted: Mutex<Vec<String>>,
    stopped: AtomicBool,
    started: Instant,
    /// Makes the ids of two models differ, and of two answers.
    nonce: u64,
    answers: AtomicU64,
    asked: Mutex<Vec<Asked>>,
    problems: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
}

impl Model {
    /// Listens on a free port of 127.0.0.1, until dropped.
    pub fn start(script: Script) -> io::Result<Self> {
        Self::start_at(script, 0)
    }

    /// With somebody who does what the script's `Step::Act` name, while the model is silent.
    pub fn start_with(script: Script, outsider: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Self> {
        Self::listen(script, 0, Box::new(outsider))
    }

    pub fn start_at(script: Script, port: u16) -> io::Result<Self> {
        Self::listen(script, port, Box::new(|_| {}))
    }

    fn listen(script: Script, port: u16, outsider: Box<Outsider>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shared = Arc::new(Shared {
            script,
            outsider,
            acted: Mutex::default(),
            stopped: AtomicBool::new(false),
            started: Instant::now(),
            nonce: (now.as_micros() as u64) << 16 | u64::from(address.port()),
            answers: AtomicU64::new(0),
            asked: Mutex::default(),
            problems: Mutex::default(),
            open: Mutex::default(),
        });
        let for_thread = Arc::clone(&shared);
        let accepting = thread::Builder::new()
            .name("scripted-model".to_owned())
            .spawn(move || accept(&listener, &for_thread))?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// `http://127.0.0.1:PORT`, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far, in the order of its arrival.
    pub fn requests(&self) -> Vec<Asked> {
        locked(&self.shared.asked).clone()
    }

    /// Steps that could not be played because the product offers no tool for them.
    pub fn problems(&self) -> Vec<String> {
        locked(&self.shared.problems).clone()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes `accept`.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        for stream in locked(&self.shared.open).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(other) = stream.try_clone() {
            locked(&shared.open).push(other);
        }
        let shared = Arc::clone(shared);
        drop(thread::Builder::new().name("scripted-model".to_owned()).spawn(move || {
            // An agent that goes away in the middle is its own business.
            drop(serve(&stream, &shared));
            // The twin in `open` would keep the connection up.
            drop(stream.shutdown(Shutdown::Both));
        }));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = http::read(&mut reader)? {
        let response = shared.respond(&request);
        http::write(&mut writer, &response, request.method == "HEAD")?;
    }
    Ok(())
}

impl Shared {
    fn respond(&self, request: &Request) -> Response {
        let question = api::question(request);
        let (wait_ms, message) = match &question {
            Some(question) if !question.count_only => self.message(question),
            Some(_) | None => (0, Message::default()),
        };
        self.record(request, question.as_ref(), &message);
        thread::sleep(Duration::from_millis(wait_ms));
        let Some(question) = question else { return other(request) };
        let number = self.answers.fetch_add(1, Ordering::SeqCst);
        let answer = Answer {
            message: &message,
            model: if question.model.is_empty() { "rehearsal" } else { &question.model },
            id: format!("{:x}{number:04x}", self.nonce),
            tokens_in: request.body.len() / BYTES_PER_TOKEN,
            tokens_out: 8,
        };
        api::answer(&question, &answer)
    }

    fn message(&self, question: &Question) -> (u64, Message) {
        if let Some(schema) = &question.schema {
            return (0, Message { text: api::sample(schema).to_string(), calls: Vec::new() });
        }
        if question.tools.is_empty() {
            // A title, a summary, a warm-up.
            return (0, Message { text: "Rehearsal".to_owned(), calls: Vec::new() });
        }
        let steps = self.script.steps_for(&question.first_prompt);
        let mut problems = Vec::new();
        let play = play::next(steps, question, &mut problems);
        let mut all = locked(&self.problems);
        for problem in problems {
            if !all.contains(&problem) {
                all.push(problem);
            }
        }
        drop(all);
        for act in play.acts {
            self.act(act);
        }
        (play.wait_ms, play.message)
    }

    /// Once, however often the agent asks for this message.
    fn act(&self, name: String) {
        {
            let mut acted = locked(&self.acted);
            if acted.contains(&name) {
                return;
            }
            acted.push(name.clone());
        }
        (self.outsider)(&name);
    }

    fn record(&self, request: &Request, question: Option<&Question>, message: &Message) {
        locked(&self.asked).push(Asked {
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.iter().cloned().collect(),
            body: serde_json::from_slice(&request.body).unwrap_or_default(),
            api: question.map(|q| q.api),
            tools: question.map(|q| q.tools.iter().map(|t| t.name.clone()).collect()).unwrap_or_default(),
            text: message.text.clone(),
            calls: message.calls.iter().map(|c| (c.name.clone(), c.arguments.clone())).collect(),
            after: self.started.elapsed(),
        });
    }
}

/// What agents ask beside the model: is anyone there, which models are there.
fn other(request: &Request) -> Response {
    match (request.method.as_str(), request.path()) {
        ("HEAD" | "GET", "/") => Response::json(&json!({})),
        ("GET", path) if path.ends_with("/models") => {
            Response::json(&json!({"object": "list", "data": [], "models": []}))
        }
        (method, path) => Response::error(404, &format!("the scripted model has no {method} {path}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::script::Step;

    fn post(model: &Model, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", model.port())).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut out = String::new();
        stream.read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn plays_over_http() {
        let model = Model::start(Script::new([Step::shell("ls"), Step::last("end")])).unwrap();
        let body =
            r#"{"tools": [{"function": {"name": "bash"}}], "messages": [{"role": "user", "content": "x"}]}"#;
        let out = post(&model, "/v1/chat/completions", &format!("content-length: {}\r\n", body.len()), body);
        assert!(out.starts_with("HTTP/1.1 200") && out.contains(r#"\"command\":\"ls\""#), "{out}");
        let asked = model.requests();
        assert_eq!((asked.len(), asked[0].tools.as_slice()), (1, &["bash".to_owned()][..]));
        assert_eq!(asked[0].calls[0].0, "bash");
    }

    #[test]
    fn reads_chunks() {
        let model = Model::start(Script::default()).unwrap();
        let body = "5\r\n{\"mes\r\n0d\r\nsages\": [1] }\r\n0\r\n\r\n";
        let out = post(&model, "/v1/messages/count_tokens", "transfer-encoding: chunked\r\n", body);
        assert!(out.contains("input_tokens"), "{out}");
    }

    #[test]
    fn what_is_no_question_is_told_so() {
        let model = Model::start(Script::default()).unwrap();
        assert!(post(&model, "/v1/fly", "content-length: 0\r\n", "").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn ends_when_dropped() {
        let model = Model::start(Script::default()).unwrap();
        let port = model.port();
        drop(model);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
