//! Threads that carry the newest checkpoint to those who take it. Those of one group carry the same one, as far as they are
//! in order: so all witnesses cosign one text, and not each its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_event::sanitize;
use muster_ledger::note::Note;

use super::{Callbacks, News, What};

/// How long one that fails is left alone: at first, and at most.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// Failures in a row until that is told: one alone is soon forgotten.
const FAILURES_TOLD: u32 = 2;
/// Of what another machine said, in characters.
const WORDS_MAX: usize = 300;

/// One who takes checkpoints.
pub trait Carrier: Send {
    /// As a person knows it.
    fn who(&self) -> String;
    fn carry(&mut self, note: &Note) -> Result<(), Failure>;
}

pub enum Failure {
    /// It did not work, for this reason; it may work later.
    Down(String),
    /// It answered something that is worth telling.
    Said(What, String),
    /// Not now: after this time, with what is then the newest. Nothing is wrong.
    Later(Duration),
}

pub struct Group {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The newest checkpoint, and how many were sent.
    newest: Option<Arc<Note>>,
    sent: u64,
    /// The one that is carried now: its number.
    round: u64,
    note: Option<Arc<Note>>,
    /// For each thread: whether it is in order, and whether the round waits for it.
    healthy: Vec<bool>,
    awaited: Vec<bool>,
    stop: bool,
}

impl State {
    /// Begins the next round once nobody is waited for.
    fn advance(&mut self) -> bool {
        let ready = self.sent > self.round && !self.awaited.contains(&true);
        if ready {
            self.round = self.sent;
            self.note.clone_from(&self.newest);
            self.awaited.clone_from(&self.healthy);
        }
        ready
    }

    fn set(flags: &mut [bool], at: usize, to: bool) {
        if let Some(flag) = flags.get_mut(at) {
            *flag = to;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a round after this one.
    fn next(&self, done: u64) -> Option<(u64, Arc<Note>)> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            if let Some(note) = state.note.clone().filter(|_| state.round > done) {
                return Some((state.round, note));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread is through with its round, well or not.
    fn done(&self, thread: usize, healthy: bool) {
        let mut state = self.lock();
        State::set(&mut state.awaited, thread, false);
        State::set(&mut state.healthy, thread, healthy);
        if state.advance() {
            self.changed.notify_all();
        }
    }

    /// Whether it is to go on after that time.
    fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

impl Group {
    pub fn start(carriers: Vec<Box<dyn Carrier>>, callbacks: &Arc<Callbacks>) -> Result<Group> {
        let count = carriers.len();
        let state = State { healthy: vec![true; count], awaited: vec![false; count], ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        // Ends those that were started, where one cannot be.
        let group = Group { shared };
        for (number, carrier) in carriers.into_iter().enumerate() {
            let (shared, callbacks) = (Arc::clone(&group.shared), Arc::clone(callbacks));
            thread::Builder::new()
                .name("outside".to_owned())
                .spawn(move || run(number, carrier, &shared, &*callbacks.news))?;
        }
        Ok(group)
    }

    pub fn send(&self, note: &Arc<Note>) {
        let mut state = self.shared.lock();
        state.newest = Some(Arc::clone(note));
        state.sent += 1;
        if state.advance() {
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
    }
}

fn run(number: usize, mut carrier: Box<dyn Carrier>, shared: &Shared, news: &dyn Fn(News)) {
    let mut done = 0;
    let mut health = Health::default();
    let who = carrier.who();
    let tell = |what, text: &str| {
        let text = sanitize(&text.chars().take(WORDS_MAX).collect::<String>());
        news(News { who: who.clone(), what, text });
    };
    while let Some((round, note)) = shared.next(done) {
        let rest = match carrier.carry(&note) {
            Ok(()) => {
                if let Some(text) = health.recovered() {
                    tell(What::Back, &text);
                }
                shared.done(number, true);
                done = round;
                continue;
            }
            Err(Failure::Later(time)) => time,
            Err(Failure::Down(why)) => {
                if let Some(text) = health.failed(&why) {
                    tell(What::Unreachable, &text);
                }
                health.rest()
            }
            Err(Failure::Said(what, text)) => {
                health.failures = health.failures.saturating_add(1);
                if health.said.insert(what) {
                    tell(what, &text);
                }
                health.rest()
            }
        };
        shared.done(number, false);
        if !shared.rest(rest) {
            return;
        }
        // Once more, with what is the newest by now.
        done = 0;
    }
}

/// What is known to be wrong with one of them, and what of it was told.
#[derive(Default)]
struct Health {
    failures: u32,
    since: Option<String>,
    told: bool,
    said: BTreeSet<What>,
}

impl Health {
    fn failed(&mut self, why: &str) -> Option<String> {
        self.failures = self.failures.saturating_add(1);
        let now = || muster_server::views::time(muster_sensor::now_ns());
        let since = self.since.get_or_insert_with(now).clone();
        let first = self.failures >= FAILURES_TOLD && !std::mem::replace(&mut self.told, true);
        first.then(|| format!("not reachable since {since}: {why}"))
    }

    fn recovered(&mut self) -> Option<String> {
        let before = std::mem::take(self);
        let was = before.since.map_or_else(String::new, |since| format!(", after it was not since {since}"));
        (before.told || !before.said.is_empty()).then(|| format!("takes checkpoints again{was}"))
    }

    fn rest(&self) -> Duration {
        let doubled = self.failures.saturating_sub(1).min(16);
        REST_MIN.saturating_mul(1 << doubled).min(REST_MAX)
    }
}
