//! A witness that stands by itself: what it has seen of each log is in a folder, it answers over HTTP, and says when a log
//! goes back on what it signed or falls silent. The rules are `muster_ledger::witness`.

mod folder;
mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use muster_event::Nanos;
use muster_ledger::cosignature::cosign;
use muster_ledger::note::{Note, NoteError, Signer};
use muster_ledger::witness::{Accepted, Log, Refusal, Request, SIZE_TYPE, Seen, Sign, decide};
use muster_ledger::{Checkpoint, Head};
use serde::Serialize;

use crate::views;
use folder::{Case, Folder, Kept};
pub use http::WitnessServer;

/// Times in a row that a checkpoint which was seen before must come instead of a newer one, until that is called a
/// rollback: once it may only be late, or somebody's copy.
const AGAIN_MAX: u32 = 3;
/// `Sign::Rewritten`, by its name.
const REWRITE: &str = "rewrite";
/// The alarm of a log that no longer grows.
const UNCHANGED: &str = "unchanged";
const SECOND_NS: Nanos = 1_000_000_000;

#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("a witness uses `{}` already", path.display())]
    Locked { path: PathBuf },
    #[error(
        "what was seen of a log, `{}`, cannot be read: {source}\nhint: put it back from a copy; without it the log's past \
         before now is no longer vouched for, so it is not begun anew by itself",
        path.display()
    )]
    Damaged { path: PathBuf, source: NoteError },
    #[error("cannot {action}: {source}")]
    Serve { action: &'static str, source: io::Error },
}

/// The time: of the clock, and that has passed since the witness began, which no clock can change.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Unix, seconds.
    pub time: u64,
    pub since_start: Duration,
}

/// Something that a person must hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    pub time: String,
    /// Name of the log.
    pub log: String,
    /// `fork`, `rollback`, `rewrite`, `silent`, `unchanged`, `back` (what was told is over) or `cannot-write`.
    pub alarm: &'static str,
    /// Size of the newest checkpoint that was cosigned.
    pub size: Option<u64>,
    /// In plain words.
    pub text: String,
    /// Folder with the two checkpoints that contradict each other.
    pub evidence: Option<PathBuf>,
}

/// What to answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

impl Reply {
    fn text(status: u16, body: String) -> Reply {
        Reply { status, content_type: "text/plain; charset=utf-8", body }
    }

    fn refused(refusal: &Refusal) -> Reply {
        match refusal.known() {
            Some(known) => Reply { status: 409, content_type: SIZE_TYPE, body: format!("{known}\n") },
            None => Reply::text(refusal.status(), format!("{refusal}\n")),
        }
    }
}

/// How long a log may do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Send nothing.
    pub silent_after: Duration,
    /// Send what does not grow. A checkpoint says nothing of its time: whoever has the last one can go on sending it when
    /// the log itself is stopped. `None`: this log may rest.
    pub unchanged_after: Option<Duration>,
}

pub struct Witness {
    folder: Folder,
    signer: Box<dyn Signer>,
    limits: Limits,
    logs: BTreeMap<String, Mutex<State>>,
    alarm: Box<dyn Fn(Alarm) + Send + Sync>,
}

/// One log. Under its lock from the decision until what was accepted is on the disk.
struct State {
    log: Log,
    seen: Option<Seen>,
    /// When something that could be cosigned came last, since the start. The start, where nothing has yet.
    heard: Duration,
    silent: bool,
    /// When it last grew, likewise.
    grew: Duration,
    /// Signs since it last was in order: each is told once.
    told: BTreeSet<&'static str>,
    /// What it did not prove when that was told: it may have been the proof.
    unproven: Option<Head>,
    /// How often in a row a checkpoint that was seen before came.
    again: u32,
    refused: BTreeMap<&'static str, u64>,
    cosigned: u64,
}

/// What `GET /status` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusView {
    /// The witness's own key.
    pub witness: String,
    pub time: String,
    pub silent_after_s: u64,
    pub logs: Vec<LogView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogView {
    pub log: String,
    pub keys: Vec<String>,
    /// `never-seen`, `ok`, `silent`, `unchanged`, or what it did: `fork`, `rollback`, `rewrite`.
    pub state: &'static str,
    pub size: Option<u64>,
    pub root: Option<String>,
    /// When its newest checkpoint was last cosigned.
    pub seen: Option<String>,
    /// When it last grew.
    pub grown: Option<String>,
    /// Seconds for which it has been silent.
    pub silent_s: Option<u64>,
    /// Cosignatures since the start.
    pub cosigned: u64,
    /// Requests that were refused since the start, by why.
    pub refused: BTreeMap<&'static str, u64>,
    /// Cases of evidence against it that are kept, the oldest first.
    pub evidence: Vec<String>,
    /// Its newest checkpoint, with this witness's cosignature.
    pub checkpoint: Option<String>,
}

impl Witness {
    /// A witness of these logs that keeps what it sees in this folder. `alarm` must not wait.
    pub fn open(
        dir: &Path,
        logs: Vec<Log>,
        signer: Box<dyn Signer>,
        limits: Limits,
        alarm: impl Fn(Alarm) + Send + Sync + 'static,
    ) -> Result<Witness, WitnessError> {
        let folder = Folder::open(dir)?;
        let mut states = BTreeMap::new();
        for log in logs {
            let seen = folder.read(&log.origin)?;
            let state = State {
                seen,
                heard: Duration::ZERO,
                silent: false,
                grew: Duration::ZERO,
                told: BTreeSet::new(),
                unproven: None,
                again: 0,
                refused: BTreeMap::new(),
                cosigned: 0,
                log: log.clone(),
            };
            states.insert(log.origin, Mutex::new(state));
        }
        Ok(Witness { folder, signer, limits, logs: states, alarm: Box::new(alarm) })
    }

    /// Answers an `add-checkpoint` request. Waits for the disk.
    pub fn add(&self, body: &[u8], now: Now) -> Reply {
        let request = match Request::parse(body) {
            Ok(request) => request,
            Err(error) => return Reply::refused(&Refusal::Malformed(error)),
        };
        let Some(state) = self.logs.get(request.origin()) else {
            return Reply::refused(&Refusal::Unknown);
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = decide(&state.log, state.seen.as_ref(), &request);
        if let Some(sign) = verdict.sign {
            self.notice(&mut state, sign, &request, now);
        }
        match verdict.answer {
            Ok(accepted) => self.accept(&mut state, accepted, now),
            Err(refusal) => {
                let why = verdict.sign.map_or_else(|| reason(&refusal), Sign::name);
                *state.refused.entry(why).or_default() += 1;
                Reply::refused(&refusal)
            }
        }
    }

    fn accept(&self, state: &mut State, accepted: Accepted, now: Now) -> Reply {
        let seen = Seen::after(state.seen.as_ref(), accepted.head, accepted.note, now.time);
        let grown = state.seen.as_ref().is_none_or(|before| before.head != seen.head);
        // CRASH: nothing was said yet: the log asks again, whichever of the two the disk has.
        if let Err(error) = self.folder.write(&state.log.origin, &seen) {
            if state.told.insert("cannot-write") {
                let text = format!("its checkpoints are not cosigned: {error}");
                self.tell(state, "cannot-write", text, None, now);
            }
            return Reply::text(500, "what was seen cannot be written down\n".to_owned());
        }
        // CRASH: remembered and not said: the log asks again and is answered the same.
        let line = cosign(&seen.note.text, seen.time, &*self.signer);
        state.seen = Some(seen);
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                if state.told.insert("cannot-sign") {
                    eprintln!("witness: cannot sign: {}", muster_event::sanitize(&error));
                }
                return Reply::text(500, "the witness cannot sign\n".to_owned());
            }
        };
        state.cosigned += 1;
        state.again = 0;
        if std::mem::take(&mut state.silent) {
            let silent = now.since_start.saturating_sub(state.heard).as_secs();
            self.tell(state, "back", format!("it is back, after {silent} s"), None, now);
        }
        if grown {
            state.grew = now.since_start;
        }
        let stands = !grown && state.told.remove(UNCHANGED);
        if !state.told.is_empty() {
            let text = over(state, accepted.head);
            self.tell(state, "back", text, None, now);
        }
        if stands {
            state.told.insert(UNCHANGED);
        }
        state.heard = now.since_start;
        Reply::text(200, line.to_string())
    }

    /// A checkpoint by the log itself that does not follow from what was seen.
    fn notice(&self, state: &mut State, sign: Sign, request: &Request, now: Now) {
        if matches!(sign, Sign::RolledBack { again: true, .. }) {
            state.again = state.again.saturating_add(1);
            if state.again < AGAIN_MAX {
                return;
            }
        }
        if !state.told.insert(sign.name()) {
            return;
        }
        if let Sign::Rewritten { .. } = sign {
            state.unproven = Checkpoint::parse(&request.note.text).ok().map(|checkpoint| checkpoint.head);
        }
        let evidence = match self.keep(state, sign, request, now) {
            Ok(Kept::New(path)) => Some(path),
            // It was told of when it came first: who sends one thing again and again must not drown the rest.
            Ok(Kept::Before) => return,
            Ok(Kept::TooMany) => None,
            Err(error) => {
                eprintln!("witness: cannot keep the evidence: {error}");
                None
            }
        };
        self.tell(state, sign.name(), sign.to_string(), evidence, now);
    }

    /// Both checkpoints, for those who must be convinced.
    fn keep(&self, state: &State, sign: Sign, request: &Request, now: Now) -> Result<Kept, WitnessError> {
        // INVARIANT: nothing contradicts what was never seen.
        let Some(seen) = &state.seen else { return Ok(Kept::TooMany) };
        let cosigned = self.cosigned(seen);
        let about = format!(
            "{sign}\n\nlog: {}\nwhen: {}\ncosigned: the newest checkpoint that this witness had cosigned, last at {}\n\
             refused: what was sent then\n",
            state.log.origin,
            time(now.time),
            time(seen.time),
        );
        self.folder.keep(&Case {
            origin: &state.log.origin,
            what: sign.name(),
            time: now.time,
            cosigned: &cosigned,
            request,
            about: &about,
        })
    }

    /// The newest checkpoint, with this witness's word on it as it was given.
    fn cosigned(&self, seen: &Seen) -> Note {
        let mut note = seen.note.clone();
        note.signatures.extend(cosign(&note.text, seen.time, &*self.signer));
        note
    }

    fn tell(&self, state: &State, alarm: &'static str, text: String, evidence: Option<PathBuf>, now: Now) {
        let size = state.seen.as_ref().map(|seen| seen.head.size);
        let log = state.log.origin.clone();
        (self.alarm)(Alarm { time: time(now.time), log, alarm, size, text, evidence });
    }

    /// Looks who has fallen silent. To be called each second or so.
    pub fn look(&self, now: Now) {
        for state in self.logs.values() {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let since = |then: Duration| now.since_start.saturating_sub(then);
            let Some(seen) = &state.seen else { continue };
            let (silent, rested) = (since(state.heard), since(state.grew));
            let last = time(seen.time);
            if silent >= self.limits.silent_after {
                if !std::mem::replace(&mut state.silent, true) {
                    let text = format!(
                        "nothing that fits has come from it for {} s: it, its machine or the way here is stopped. Its \
                         newest checkpoint was cosigned at {last}",
                        silent.as_secs()
                    );
                    self.tell(&state, "silent", text, None, now);
                }
            } else if self.limits.unchanged_after.is_some_and(|limit| rested >= limit)
                && state.told.insert(UNCHANGED)
            {
                let text = format!(
                    "its checkpoint has been the same for {} s: it stands still, or is stopped and somebody sends its last \
                     one again",
                    rested.as_secs()
                );
                self.tell(&state, UNCHANGED, text, None, now);
            }
        }
    }

    /// Logs against which evidence is kept, with its folder and how many cases there are.
    pub fn accused(&self) -> Vec<(String, PathBuf, usize)> {
        let cases = |origin: &String| {
            (origin.clone(), self.folder.evidence_path(origin), self.folder.evidence(origin).len())
        };
        self.logs.keys().map(cases).filter(|(_, _, cases)| *cases > 0).collect()
    }

    pub fn status(&self, now: Now) -> StatusView {
        let logs = self.logs.values().map(|state| {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            self.view(&state, now)
        });
        StatusView {
            witness: self.signer.verifier().to_string(),
            time: time(now.time),
            silent_after_s: self.limits.silent_after.as_secs(),
            logs: logs.collect(),
        }
    }

    fn view(&self, state: &State, now: Now) -> LogView {
        let seen = state.seen.as_ref();
        let signs = ["fork", REWRITE, "rollback", UNCHANGED];
        let found = signs.into_iter().find(|sign| state.told.contains(sign));
        let rest = if state.silent { "silent" } else { "ok" };
        LogView {
            log: state.log.origin.clone(),
            keys: state.log.keys.iter().map(ToString::to_string).collect(),
            state: if seen.is_none() { "never-seen" } else { found.unwrap_or(rest) },
            size: seen.map(|seen| seen.head.size),
            root: seen.and_then(|seen| seen.head.lines().lines().nth(1).map(str::to_owned)),
            seen: seen.map(|seen| time(seen.time)),
            grown: seen.map(|seen| time(seen.grown)),
            silent_s: state.silent.then(|| now.since_start.saturating_sub(state.heard).as_secs()),
            cosigned: state.cosigned,
            refused: state.refused.clone(),
            evidence: self.folder.evidence(&state.log.origin),
            checkpoint: seen.map(|seen| self.cosigned(seen).to_string()),
        }
    }
}

/// What was told of a log is over: it sends what fits, and this is its head.
fn over(state: &mut State, head: Head) -> String {
    let proven = state.unproven.take() == Some(head) && state.told.remove(REWRITE);
    let grows = state.told.remove(UNCHANGED);
    let was: Vec<&str> = std::mem::take(&mut state.told).into_iter().collect();
    let mut text = if grows { "it grows again" } else { "it sends what fits again" }.to_owned();
    if proven {
        text += "; what was a rewrite was a wrong proof: the same checkpoint came with a right one";
    }
    if !was.is_empty() {
        text += "; that there was this stays true: ";
        text += &was.join(", ");
    }
    text
}

/// A word for what a request was refused for that shows nothing of the log.
fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed(_) | Refusal::Beyond { .. } => "malformed",
        Refusal::Unsigned(_) => "unsigned",
        Refusal::Unknown => "unknown",
        Refusal::Moved { .. } => "other-size",
        Refusal::Forked { .. } => "fork",
        Refusal::Proof(_) => "proof",
    }
}

fn time(seconds: u64) -> String {
    views::time(seconds.saturating_mul(SECOND_NS))
}

#[cfg(test)]
mod tests;
