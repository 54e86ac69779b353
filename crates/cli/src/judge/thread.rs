//! Questions beside the daemon's loop, in a thread that alone waits for the model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_account::Body;
use muster_engine::{AccountRecord, AgentId, Input};
use muster_server::StoreReader;

use super::{Judge, Outcome};

/// Names that may be on their way to the thread, which takes them at once unless it waits for an answer.
const QUEUE_MAX: usize = 256;
/// Agents that may wait for their turn, likewise.
const DUE_MAX: usize = 256;
/// After a turn, the findings and claims about it take some seconds.
const SETTLE: Duration = Duration::from_secs(12);
/// Shortest time between two questions about one agent.
const AGAIN: Duration = Duration::from_secs(60);

/// The loop's end: it never waits here.
pub struct Questions {
    sender: SyncSender<AgentId>,
    full: bool,
}

impl Questions {
    /// Something of an account was read: if a turn ended, the agent is worth a look.
    pub fn read(&mut self, record: &AccountRecord) {
        let ended = |body: &Body| matches!(body, Body::TurnEnd | Body::Text { last: true, .. });
        if record.items.iter().any(|item| ended(&item.body)) {
            self.about(&record.agent);
        }
    }

    pub fn about(&mut self, agent: &str) {
        if self.sender.try_send(agent.to_owned()).is_err() && !std::mem::replace(&mut self.full, true) {
            eprintln!("judge: more agents than it can ask about; some get no opinion");
        }
    }
}

/// `answer` is given what is to enter the ledger.
pub fn start(judge: Judge, data: &Path, answer: impl Fn(Input) + Send + 'static) -> Result<Questions> {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    let data = data.to_owned();
    thread::Builder::new().name("judge".to_owned()).spawn(move || run(judge, &data, &receiver, &answer))?;
    Ok(Questions { sender, full: false })
}

fn run(mut judge: Judge, data: &Path, receiver: &Receiver<AgentId>, answer: &dyn Fn(Input)) {
    let mut due: BTreeMap<AgentId, Instant> = BTreeMap::new();
    // When each was asked about; as few as there are agents of the last minute.
    let mut asked: BTreeMap<AgentId, Instant> = BTreeMap::new();
    let mut full = false;
    loop {
        let now = Instant::now();
        let next = due.values().min().map_or(AGAIN, |at| at.saturating_duration_since(now));
        match receiver.recv_timeout(next) {
            Ok(agent) => {
                // A turn that ends while another waits is asked about with it.
                if due.contains_key(&agent) || due.len() < DUE_MAX {
                    let earliest = asked.get(&agent).map_or(now, |last| *last + AGAIN);
                    due.entry(agent).or_insert(earliest.max(now + SETTLE));
                } else if !std::mem::replace(&mut full, true) {
                    eprintln!("judge: {DUE_MAX} agents wait for an opinion; later ones get none");
                }
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        asked.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        let Some(agent) = due.iter().find(|(_, at)| **at <= now).map(|(agent, _)| agent.clone()) else {
            continue;
        };
        due.remove(&agent);
        full = false;
        let reader = match StoreReader::open(data) {
            Ok(reader) => reader,
            Err(error) => {
                eprintln!("judge: cannot read the record: {error}");
                continue;
            }
        };
        match judge.consider(&reader, &agent, &|line| eprintln!("{line}")) {
            Outcome::Opinions(opinions) => answer(Input::Opinion(opinions)),
            Outcome::Nothing => {}
            Outcome::Later(wait) => {
                due.insert(agent, Instant::now() + wait);
                continue;
            }
        }
        asked.insert(agent, Instant::now());
    }
}
