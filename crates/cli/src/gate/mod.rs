//! The gate: one decision service for hooks, MCP proxies and whoever enforces in the kernel. It has threads of its own and a
//! snapshot of who is whose, so that no decision waits for the daemon's loop; what it decided reaches the ledger through that
//! loop. Without an answer of it, whoever enforces denies.

pub mod approvals;
pub mod book;
pub mod client;
pub mod config;
pub mod line;
pub mod notice;
pub mod people;
pub mod rehearsed;
pub mod serve;
pub mod snapshot;
pub mod words;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use muster_engine::AgentState;
use muster_event::{Nanos, ProcessKey, redact};
use muster_mandate::{Action, ApprovalNote, Chain, Decision, GateNote, Verdict};

use approvals::{Answered, Approvals, Asked, Open, Question_};
use book::Book;
use config::Config;
use line::{Answer, AskAll, Note, Request};
use snapshot::{Decided, Snapshot, denied};

/// Where whoever acts asks: outside the daemon's folder, which only root can enter.
pub fn socket(data: &Path) -> PathBuf {
    let enrol = crate::client::enrolment_socket(data);
    let name = enrol
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().replacen("enrol", "gate", 1));
    enrol.with_file_name(name)
}

/// Who asks, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub pid: u32,
    pub uid: u32,
}

/// Whose action is decided upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// `None`: it belongs to no agent on the roll.
    pub agent: Option<String>,
    pub process: Option<ProcessKey>,
    /// It enforces for the agent from outside its reach.
    pub supervises: bool,
}

/// Waits for a person's answer, so long; `None`: the time is up, or who asked is gone.
pub type Wait<'a> = dyn FnMut(&Receiver<Answered>, Duration) -> Option<Answered> + 'a;

#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    snapshot: RwLock<Snapshot>,
    approvals: Mutex<Approvals>,
    book: Mutex<Book>,
    config: Config,
    now_ns: Box<dyn Fn() -> Nanos + Send + Sync>,
}

/// What the loop takes from the gate.
#[derive(Default)]
pub struct Drained {
    pub gate: Vec<GateNote>,
    pub approvals: Vec<ApprovalNote>,
    /// Agents whose decisions found no room, and how many.
    pub refused: Vec<(String, u64)>,
}

impl Gate {
    pub fn new(config: Config, now_ns: impl Fn() -> Nanos + Send + Sync + 'static) -> Self {
        let shared = Shared {
            snapshot: RwLock::default(),
            approvals: Mutex::default(),
            book: Mutex::default(),
            config,
            now_ns: Box::new(now_ns),
        };
        Self { shared: Arc::new(shared) }
    }

    fn now_ns(&self) -> Nanos {
        (self.shared.now_ns)()
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.shared.snapshot.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn look<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.shared.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn approvals(&self) -> MutexGuard<'_, Approvals> {
        self.shared.approvals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    pub fn member(&self, process: ProcessKey, agent: &str) {
        self.change(|snapshot| snapshot.member(process, agent));
    }

    pub fn exited(&self, process: ProcessKey) {
        self.change(|snapshot| snapshot.exited(process));
    }

    pub fn agent(&self, state: &AgentState) {
        self.change(|snapshot| snapshot.agent(state));
        if state.ended_ns.is_some() {
            self.approvals().forget(&state.agent);
        }
    }

    /// From now on these mandates hold for the agent.
    pub fn mandate(&self, agent: &str, mandate: Option<Arc<Chain>>) {
        self.change(|snapshot| snapshot.mandate(agent, mandate));
    }

    /// Its mandate was revoked or refused: from now on nothing is let through.
    pub fn refuse(&self, agent: &str, why: &str) {
        self.change(|snapshot| snapshot.refuse(agent, why));
    }

    /// The process enforces for the agent, outside its lineage: it may tell what it decided.
    pub fn supervisor(&self, process: ProcessKey, agent: &str) {
        self.change(|snapshot| snapshot.supervisor(process, agent));
    }

    /// For the ledger; the loop asks each round. `all`: the daemon ends.
    pub fn drain(&self, all: bool) -> Drained {
        let now_ns = self.now_ns();
        let approvals = {
            let mut approvals = self.approvals();
            approvals.expire(now_ns);
            approvals.take_notes()
        };
        let mut book = self.book();
        Drained { gate: book.take(now_ns, all), approvals, refused: book.take_refused() }
    }

    /// The nearest agent on the roll that the process belongs to.
    pub fn agent_of(&self, pid: u32) -> Option<String> {
        muster_sensor::nearest(pid, |process| {
            self.look(|snapshot| snapshot.agent_of(process).map(str::to_owned))
        })
    }

    fn asker(&self, peer: Peer, spoken_for: Option<u32>) -> Asker {
        let process = muster_sensor::process_key(peer.pid);
        if let Some(agent) = process.and_then(|p| self.look(|s| s.supervised_by(p).map(str::to_owned))) {
            let process = spoken_for.and_then(muster_sensor::process_key);
            return Asker { agent: Some(agent), process, supervises: true };
        }
        let agent = self.agent_of(peer.pid);
        match spoken_for {
            // A proxy that a person runs speaks for whoever is at its other end, and only of the user's own.
            Some(pid) if agent.is_none() && (peer.uid == 0 || uid_of(pid) == Some(peer.uid)) => Asker {
                agent: self.agent_of(pid),
                process: muster_sensor::process_key(pid),
                supervises: false,
            },
            _ => Asker { agent, process, supervises: false },
        }
    }

    /// One line's answer.
    pub fn reply(&self, peer: Peer, line: &[u8], wait: &mut Wait<'_>) -> Answer {
        let request = match line::parse(line) {
            Ok(request) => request,
            Err(error) => return Answer::Refused { error },
        };
        match request {
            Request::Ask(ask) => {
                let line::Ask { action, call, said, by, wait_ms, process } = ask;
                let asker = self.asker(peer, process);
                let ask = AskAll { actions: vec![action], tool: None, call, said, by, wait_ms, process };
                self.ask(&asker, ask, wait)
            }
            Request::AskAll(ask) => self.ask(&self.asker(peer, ask.process), ask, wait),
            Request::Note(note) => {
                let asker = self.asker(peer, None);
                match asker.agent {
                    Some(agent) if asker.supervises => {
                        Answer::Noted { ok: self.told(agent, note.process, *note) }
                    }
                    Some(_) | None => Answer::Refused {
                        error: "only who enforces for an agent tells what it decided".to_owned(),
                    },
                }
            }
        }
    }

    /// The strictest of the decisions counts; each is written down.
    pub fn ask(&self, asker: &Asker, ask: AskAll, wait: &mut Wait<'_>) -> Answer {
        let now_ns = self.now_ns();
        let Some(agent) = asker.agent.as_deref() else {
            let decision = snapshot::allowed("not on the roll", "it belongs to no agent on the roll");
            return Answer::Decided { decision, approval: None };
        };
        let decided: Vec<Decided> =
            self.look(|s| ask.actions.iter().map(|action| s.decide(agent, action, now_ns)).collect());
        let verdict = decided.iter().map(|d| d.decision.verdict).fold(Verdict::Allow, line::stricter);
        let first = decided.iter().find(|d| d.decision.verdict == verdict).map(|d| d.decision.clone());
        // Nothing that reaches beyond the agent itself.
        let mut told =
            first.unwrap_or_else(|| snapshot::allowed("no effect", "no mandate is about such a call"));
        let mut approvals: Vec<Option<String>> = vec![None; decided.len()];
        if verdict == Verdict::Ask {
            let questions = ask.actions.iter().zip(&decided).zip(&mut approvals);
            for ((action, decided), approval) in
                questions.filter(|((_, d), _)| d.decision.verdict == Verdict::Ask)
            {
                told = self.question(agent, action, decided, &ask, approval, wait);
                if told.verdict != Verdict::Allow {
                    break;
                }
            }
        }
        // Where the call is not let through, none of its actions happens.
        let blocked = told.verdict != Verdict::Allow;
        let mut room = true;
        let mut shown = None;
        if let (true, Some(name)) = (ask.actions.is_empty(), ask.tool) {
            // That the hook was called is known from this.
            let action = Action::Tool { name, arguments: String::new() };
            room &= self.told(
                agent.to_owned(),
                asker.process,
                Note {
                    process: None,
                    by: ask.by,
                    action,
                    decision: told.clone(),
                    enforced: true,
                    blocked: false,
                    approval: None,
                    call: ask.call.clone(),
                    count: 1,
                },
            );
        }
        for ((action, decided), approval) in ask.actions.into_iter().zip(decided).zip(approvals) {
            shown = approval.clone().or(shown);
            room &= self.book().put(GateNote {
                time_ns: now_ns,
                agent: agent.to_owned(),
                process: asker.process,
                by: ask.by,
                action: without_secrets(action),
                decision: decided.decision,
                enforced: true,
                blocked,
                approval,
                call: ask.call.clone(),
                count: 1,
            });
        }
        if !room {
            told = denied("gate overloaded", "decisions come faster than they can be written down");
        }
        Answer::Decided { decision: told, approval: shown }
    }

    /// Asks a person, or knows the answer.
    fn question(
        &self,
        agent: &str,
        action: &Action,
        decided: &Decided,
        ask: &AskAll,
        approval: &mut Option<String>,
        wait: &mut Wait<'_>,
    ) -> Decision {
        let now_ns = self.now_ns();
        let shown = without_secrets(action.clone());
        let said = ask.said.as_deref().map(|said| redact(said).into_owned());
        let patience = Duration::from_millis(ask.wait_ms).min(self.shared.config.wait());
        let (sender, answer): (SyncSender<Answered>, _) = sync_channel(1);
        let asked = {
            let mut approvals = self.approvals();
            if patience.is_zero() {
                approvals.known(agent, &shown, now_ns)
            } else {
                let until_ns = now_ns.saturating_add(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX));
                let question = Question_ {
                    agent,
                    action: &shown,
                    decision: &decided.decision,
                    said: said.as_deref(),
                    mandate_until_ns: decided.until_ns,
                    until_ns,
                };
                Some(approvals.ask(&question, now_ns, sender))
            }
        };
        let id = match asked {
            // Nobody is asked: the one who asks knows what that means.
            None => return decided.decision.clone(),
            Some(Asked::TooMany) => {
                return denied("too many questions", "more questions wait than people can answer");
            }
            Some(Asked::Known { verdict, approval: id, by }) => {
                let decision = answered(&decided.decision, &id, &Answered { verdict, by });
                *approval = Some(id);
                return decision;
            }
            Some(Asked::Waits { approval: id }) => id,
        };
        *approval = Some(id.clone());
        match wait(&answer, patience) {
            Some(told) => answered(&decided.decision, &id, &told),
            None => {
                // Out of time, or the one who asked is gone.
                let now_ns = self.now_ns();
                let mut approvals = self.approvals();
                approvals.expire(now_ns);
                approvals.withdraw(&id, now_ns);
                answered(&decided.decision, &id, &Answered { verdict: Verdict::Deny, by: String::new() })
            }
        }
    }

    fn told(&self, agent: String, process: Option<ProcessKey>, note: Note) -> bool {
        let Note { process: _, by, action, decision, enforced, blocked, approval, call, count } = note;
        let action = without_secrets(action);
        let time_ns = self.now_ns();
        self.book().put(GateNote {
            time_ns,
            agent,
            process,
            by,
            action,
            decision,
            enforced,
            blocked,
            approval,
            call,
            count,
        })
    }

    /// The questions that are open, oldest first.
    pub fn open(&self) -> Vec<Open> {
        self.approvals().open()
    }

    /// A person's answer; `id`: of the oldest where there is none.
    pub fn answer(
        &self,
        id: Option<&str>,
        allow: bool,
        pattern: Option<&str>,
        by: &str,
    ) -> Result<Open, String> {
        let mut approvals = self.approvals();
        let id = match id {
            Some(id) => id.to_owned(),
            None => {
                let [open] = approvals.open().try_into().map_err(|open: Vec<Open>| match open.len() {
                    0 => "no question is open".to_owned(),
                    count => format!("{count} questions are open: name one"),
                })?;
                open.id
            }
        };
        approvals.answer(&id, allow, pattern, by, self.now_ns())
    }
}

fn answered(decision: &Decision, id: &str, told: &Answered) -> Decision {
    let reason = match (told.verdict, told.by.as_str()) {
        (Verdict::Allow, by) => format!("allowed by {by}"),
        (Verdict::Ask | Verdict::Deny, "") => "nobody answered in time".to_owned(),
        (Verdict::Ask | Verdict::Deny, by) => format!("denied by {by}"),
    };
    Decision {
        verdict: told.verdict,
        rule: format!("approval {id}"),
        reason,
        mandate: decision.mandate.clone(),
    }
}

/// As everything is that is stored or shown.
fn without_secrets(action: Action) -> Action {
    let cut = |text: String| redact(&text).into_owned();
    match action {
        Action::Execute { path, argv } => Action::Execute { path, argv: muster_event::redact_argv(&argv) },
        Action::Tool { name, arguments } => Action::Tool { name, arguments: cut(arguments) },
        Action::Privileged { operation, detail } => Action::Privileged { operation, detail: cut(detail) },
        action @ (Action::Read { .. }
        | Action::Write { .. }
        | Action::Connect { .. }
        | Action::Credential { .. }
        | Action::Agent { .. }) => action,
    }
}

/// Whose process it is.
pub fn uid_of(pid: u32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid())
}

#[cfg(test)]
mod tests;
