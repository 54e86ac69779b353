//! What was decided, for people: told to the daemon as it happens, and summed up at the run's end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use muster_event::ProcessKey;
use muster_mandate::{Action, Decision, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Different acts that are remembered by themselves; what is more is counted under one.
const KINDS_MAX: usize = 4_096;
/// Acts that wait to be told.
const WAITING_MAX: usize = 1_024;
/// The same act again is told with its number after so long.
const AGAIN: Duration = Duration::from_secs(10);
const ANSWER_MAX: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// One line of the summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub action: Action,
    pub decision: Decision,
    pub blocked: bool,
    pub count: u64,
}

struct Kept {
    told: Told,
    first: u64,
    untold: u64,
    last_told: Instant,
}

/// What the daemon is told.
struct Message {
    action: Action,
    decision: Decision,
    process: Option<ProcessKey>,
    blocked: bool,
    approval: Option<String>,
    count: u64,
}

pub struct Notes {
    enforce: bool,
    kept: Mutex<BTreeMap<String, Kept>>,
    sender: Option<SyncSender<Message>>,
}

impl Notes {
    pub fn new(enforce: bool, service: Option<PathBuf>) -> Self {
        let sender = service.map(|path| {
            let (sender, receiver) = sync_channel::<Message>(WAITING_MAX);
            drop(thread::Builder::new().name("notes".to_owned()).spawn(move || {
                let mut service = Service::new(path);
                for message in receiver {
                    let note = json!({"note": {
                        "process": message.process,
                        "by": "kernel",
                        "action": message.action,
                        "decision": message.decision,
                        "enforced": enforce,
                        "blocked": message.blocked,
                        "approval": message.approval,
                        "call": null,
                        "count": message.count,
                    }});
                    // A daemon that is gone learns of it no more; the summary has it.
                    drop(service.request(&note, PATIENCE));
                }
            }));
            sender
        });
        Self { enforce, kept: Mutex::default(), sender }
    }

    pub fn add(
        &self,
        action: &Action,
        decision: &Decision,
        process: Option<ProcessKey>,
        blocked: bool,
        approval: Option<String>,
    ) {
        let key = format!("{blocked} {} {}", decision.rule, summary(action));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u64::try_from(kept.len()).unwrap_or(u64::MAX);
        let full = kept.len() >= KINDS_MAX && !kept.contains_key(&key);
        let key = if full { "more".to_owned() } else { key };
        let now = Instant::now();
        let entry = kept.entry(key).or_insert_with(|| Kept {
            told: Told { action: action.clone(), decision: decision.clone(), blocked, count: 0 },
            first: next,
            untold: 0,
            last_told: now.checked_sub(AGAIN).unwrap_or(now),
        });
        entry.told.count += 1;
        entry.untold += 1;
        if entry.told.count > 1 && now.duration_since(entry.last_told) < AGAIN {
            return;
        }
        entry.last_told = now;
        let count = std::mem::take(&mut entry.untold);
        let message =
            Message { action: action.clone(), decision: decision.clone(), process, blocked, approval, count };
        if let Some(sender) = &self.sender {
            // Full: the next of its kind brings the number.
            if let Err(error) = sender.try_send(message) {
                drop(error);
                entry.untold = count;
            }
        }
    }

    /// What was refused or asked about, in the order of its first time.
    pub fn summary(&self) -> Vec<Told> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told: Vec<&Kept> =
            kept.values().filter(|kept| kept.told.decision.verdict != Verdict::Allow).collect();
        told.sort_by_key(|kept| kept.first);
        told.into_iter().map(|kept| kept.told.clone()).collect()
    }

    pub fn enforces(&self) -> bool {
        self.enforce
    }
}

/// An act in a few words. What an agent wrote is in it: to be escaped by who shows it.
pub fn summary(action: &Action) -> String {
    match action {
        Action::Read { path } => format!("read {path}"),
        Action::Write { path } => format!("write {path}"),
        Action::Execute { path, argv } => {
            let arguments: Vec<&str> = argv.iter().skip(1).take(8).map(String::as_str).collect();
            format!("execute {path} {}", arguments.join(" ")).trim_end().to_owned()
        }
        Action::Connect { host, address, port, .. } => {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            match (host, address) {
                (Some(host), Some(address)) => format!("connect {host}{port} ({address})"),
                (Some(host), None) => format!("connect {host}{port}"),
                (None, Some(address)) => format!("connect {address}{port}"),
                (None, None) => "connect".to_owned(),
            }
        }
        Action::Credential { what, path } => {
            format!("credential {what} {}", path.as_deref().unwrap_or_default())
        }
        Action::Tool { name, .. } => format!("tool {name}"),
        Action::Agent { product } => format!("start {product}"),
        Action::Privileged { detail, .. } => detail.clone(),
    }
}

/// The daemon's decision service: lines of JSON.
pub struct Service {
    path: PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

/// Its answer to a question.
#[derive(Clone, Debug, Deserialize)]
pub struct Answered {
    pub decision: Decision,
    #[serde(default)]
    pub approval: Option<String>,
}

impl Service {
    pub fn new(path: PathBuf) -> Self {
        Self { path, stream: None }
    }

    fn request(&mut self, request: &serde_json::Value, wait: Duration) -> std::io::Result<String> {
        let result = self.try_request(request, wait);
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    fn try_request(&mut self, request: &serde_json::Value, wait: Duration) -> std::io::Result<String> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(BufReader::new(UnixStream::connect(&self.path)?)),
        };
        stream.get_ref().set_read_timeout(Some(wait))?;
        stream.get_ref().set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.get_mut().write_all(&line)?;
        let mut answer = String::new();
        stream.by_ref().take(ANSWER_MAX).read_line(&mut answer)?;
        Ok(answer)
    }

    /// Waits until a person answers or the time is up. `None`: nobody can be asked.
    pub fn ask(&mut self, action: &Action, wait: Duration) -> Option<Answered> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let request = json!({"ask": {
            "action": action, "call": null, "said": null, "by": "kernel", "wait_ms": wait_ms,
        }});
        let answer = self.request(&request, wait + PATIENCE).ok()?;
        serde_json::from_str(&answer).ok()
    }
}
