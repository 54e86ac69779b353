//! The daemon's one loop: what arrives becomes an `Input`, is written to the ledger, drives the engine, and the outputs are
//! carried out. Everything that waits for something else has a thread of its own and speaks to this loop by a channel.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use muster_engine::{AgentId, Engine, Enrol, HooksRead, Input, Output, Products, Review, Severity, State};
use muster_event::{Kind, Lost, ProcessKey, Queue, redact, redact_argv};
use muster_ledger::note::Note;
use muster_mandate::{ApprovalState, Refused};
use muster_sensor::{Batch, Clocks, Source, now_ns, process_key};
use muster_server::{
    ContainRequest, EnrolRequest, Enrolled, Log, Peer, ReviewRequest, ReviewView, StopRequest, Store,
    StoreError, Told, Update,
};

use crate::artefacts::{self, Artefacts};
use crate::canaries::CanaryFile;
use crate::cgroup::Cgroup;
use crate::containment::oversight::Oversight;
use crate::containment::{Containments, Job};
use crate::gate::Gate;
use crate::gate::notice::{self, Notices};
use crate::gate::rehearsed::Rehearsed;
use crate::identify::Identifier;
use crate::mandates::Mandates;
use crate::outside::{News, Outside, What};
use crate::pulse::Pulse;
use crate::questions::Questions;
use crate::signer::KeySource;
use crate::{configuration, hooks, judge, log_key, tail};

/// Longest wait for the sensor in one round: bounds how long an account record or an enrolment waits.
const ROUND: Duration = Duration::from_millis(8);
/// How often what was written is made visible to readers, and durable.
const COMMIT: Duration = Duration::from_millis(30);
const DURABLE: Duration = Duration::from_millis(500);
/// Longest time between what was done and the signed checkpoint that speaks of it; where only time passes, longer.
const CHECKPOINT: Duration = Duration::from_millis(900);
const CHECKPOINT_IDLE: Duration = Duration::from_secs(10);
/// A finding of high severity is signed at once, but not more often than this.
const CHECKPOINT_MIN: Duration = Duration::from_millis(100);
/// How often it is looked whether a person wants another key.
const KEYS: Duration = Duration::from_secs(5);
/// How often the engine is told the time.
const TICK: Duration = Duration::from_millis(200);
/// … and after so long in which nothing happened: each tick is a leaf of the ledger, 43 MB in a day of the former.
const TICK_IDLE: Duration = Duration::from_millis(800);
const IDLE: Duration = Duration::from_secs(30);
/// How often the folder of mandates is looked at.
const MANDATES: Duration = Duration::from_secs(1);
/// How often the record's size is compared with its limit.
const ENFORCE: Duration = Duration::from_secs(10);

/// Processes of a lineage in whose mounts a file of it is looked for: they have a few sets of them.
const OTHERS_MAX: usize = 256;

/// What the engine reported while it could not be written: a busy hour's findings and rows.
const HELD_MAX: usize = 4096;

/// What other threads send to the loop.
pub enum Message {
    Input(Input),
    Enrol(Peer, EnrolRequest, Sender<Result<Enrolled, String>>),
    /// Witnesses have cosigned a checkpoint.
    Cosigned(Note),
    /// Of a witness, or of a place that checkpoints are sent to.
    News(News),
    /// An operator musters out, or undoes it.
    Contain(Peer, ContainRequest, Sender<Result<serde_json::Value, String>>),
    /// A person says something of a finding.
    Review(Peer, ReviewRequest, AgentId, Sender<Result<ReviewView, String>>),
    /// The Stop hook of an agent asks about its message.
    Stop(Peer, StopRequest, Sender<Result<Told, String>>),
}

pub struct Daemon {
    pub data: PathBuf,
    pub engine: Engine,
    pub products: Products,
    pub store: Store,
    pub source: Box<dyn Source>,
    pub identifier: Identifier,
    pub messages: Receiver<Message>,
    pub tail: Sender<tail::Request>,
    pub artefacts: Artefacts,
    pub publish: Box<dyn Fn(Update)>,
    pub trouble: Trouble,
    pub cgroups: BTreeMap<AgentId, Cgroup>,
    pub questions: Questions,
    /// When the last input came that was no tick.
    pub happened: Instant,
    /// With `--judge`.
    pub judge: Option<judge::Questions>,
    pub log: LogState,
    /// `false`: with `--without account`.
    pub reads_accounts: bool,
    /// Who is sent checkpoints.
    pub outside: Option<Outside>,
    /// With `--signer`.
    pub keys: Option<KeySource>,
    pub pulse: Pulse,
    pub containments: Containments,
    pub oversight: Oversight,
    pub mandates: Mandates,
    pub gate: Gate,
    /// Mandate and product of agents, as the gate was told last.
    pub gate_told: BTreeMap<AgentId, (Option<String>, String)>,
    /// With `--only-mandate`.
    pub rehearsed: Option<Rehearsed>,
    /// People are told of questions.
    pub notices: Notices,
    pub canaries: CanaryFile,
}

/// When the log was signed, and what keeps it from being so.
pub struct LogState {
    signed: Instant,
    /// A finding of high severity waits for its signature.
    urgent: bool,
    failed: bool,
}

impl Default for LogState {
    fn default() -> Self {
        LogState { signed: Instant::now(), urgent: false, failed: false }
    }
}

/// What keeps the record from being written, told once when it begins and once when it ends.
#[derive(Default)]
pub struct Trouble {
    since_ns: Option<u64>,
    refused: u64,
    /// Between the times of the first and the last input that was refused.
    refused_ns: Option<(u64, u64)>,
    /// Findings and rows that could not be written, and how many more there were.
    held: VecDeque<Output>,
    held_more: u64,
}

impl Trouble {
    /// The engine will not tell it again.
    fn hold(&mut self, output: Output) {
        if self.held.len() < HELD_MAX {
            self.held.push_back(output);
        } else {
            self.held_more += 1;
        }
    }

    fn refuse(&mut self, time_ns: u64) {
        self.refused += 1;
        let (from, to) = self.refused_ns.unwrap_or((time_ns, time_ns));
        self.refused_ns = Some((from.min(time_ns), to.max(time_ns)));
    }

    /// Gives what is to be told, where it begins.
    fn begin(&mut self, error: &StoreError) -> Option<String> {
        if self.since_ns.is_some() {
            return None;
        }
        self.since_ns = Some(now_ns());
        let hint = if error.is_disk_full() {
            "\nhint: make room on its disk; watching goes on, the gap is recorded"
        } else {
            ""
        };
        eprintln!("watch: cannot write the record: {error}{hint}");
        Some(format!("THE RECORD IS NOT WRITTEN: {error}. Watching goes on; what is not written is counted."))
    }
}

impl Daemon {
    /// Until `stop`.
    pub fn run(&mut self, stop: &AtomicBool) {
        let (mut ticked, mut committed, mut synced, mut enforced, mut looked) =
            (Instant::now(), Instant::now(), Instant::now(), Instant::now(), Instant::now());
        let mut read = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            self.pulse.beat();
            let batch = self.source.poll(ROUND);
            self.take_batch(batch);
            while let Ok(message) = self.messages.try_recv() {
                match message {
                    Message::Input(input) => self.take(input),
                    Message::Cosigned(note) => self.take_cosigned(&note),
                    Message::News(news) => self.take_news(news),
                    Message::Enrol(peer, request, answer) => {
                        // The asker may have given up.
                        drop(answer.send(self.enrol(peer, request)));
                    }
                    Message::Contain(peer, request, answer) => self.contain(peer, request, answer),
                    Message::Review(peer, request, agent, answer) => {
                        drop(answer.send(self.review(peer, request, agent)));
                    }
                    Message::Stop(peer, request, answer) => match self.asking_agent(peer) {
                        // Its claims are those of the account, which is redacted too.
                        Ok(agent) => self.questions.ask(&agent, &redact(&request.text), answer),
                        Err(why) => drop(answer.send(Err(why))),
                    },
                }
            }
            let tick = if self.happened.elapsed() > IDLE { TICK_IDLE } else { TICK };
            if ticked.elapsed() >= tick {
                ticked = Instant::now();
                let Clocks { time_ns, boot_ns, asleep_ns } = muster_sensor::clocks();
                self.take(Input::Tick { time_ns, boot_ns, asleep_ns });
                self.look_for_lost_oversight();
            }
            self.questions.settle();
            self.take_gate(false);
            if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                let durable = synced.elapsed() >= DURABLE;
                if durable {
                    synced = Instant::now();
                }
                self.commit(durable);
            }
            self.sign_when_due();
            if read.elapsed() >= MANDATES {
                read = Instant::now();
                self.look_at_mandates();
            }
            if looked.elapsed() >= KEYS {
                looked = Instant::now();
                self.look_for_keys();
                self.look_for_canaries();
                self.look_for_plans();
            }
            // Without a signature that says what was dropped, what is dropped is taken for tampering.
            if enforced.elapsed() >= ENFORCE && !self.log.failed {
                enforced = Instant::now();
                match self.store.enforce(now_ns()) {
                    Ok(Some(dropped)) => eprintln!("watch: over the limit; the oldest went: {dropped:?}"),
                    Ok(None) => {}
                    Err(error) => eprintln!("watch: cannot keep the record within its limit: {error}"),
                }
            }
        }
        self.take_gate(true);
        self.take(Input::Stop { time_ns: now_ns() });
        self.commit(true);
        self.sign();
    }

    /// What the gate decided, and what people were asked and answered.
    fn take_gate(&mut self, all: bool) {
        let drained = self.gate.drain(all);
        for note in drained.approvals {
            let about = format!("question {}", note.id);
            if note.state == ApprovalState::Asked {
                self.notice(&about, Some(notice::text(&note)));
                self.notices.tell(&note);
            } else {
                self.notice(&about, None);
            }
            // Who let what pass is signed soon.
            self.log.urgent = true;
            self.take(Input::Approval(Box::new(note)));
        }
        for note in drained.gate {
            self.take(Input::Gate(Box::new(note)));
        }
        for (agent, count) in drained.refused {
            eprintln!(
                "watch: {count} decisions about {agent} were refused: they came faster than they can be written"
            );
        }
    }

    pub fn look_for_canaries(&mut self) {
        match self.canaries.look(now_ns()) {
            Ok(Some(canaries)) => self.take(Input::Canaries(canaries)),
            Ok(None) => {}
            Err(error) => eprintln!("watch: the list of decoys: {error}"),
        }
    }

    fn sign_when_due(&mut self) {
        let since = self.log.signed.elapsed();
        let due = if self.log.urgent {
            CHECKPOINT_MIN
        } else if self.store.is_active() {
            CHECKPOINT
        } else {
            CHECKPOINT_IDLE
        };
        if since >= due {
            self.sign();
        }
    }

    /// Puts what was taken under a signed checkpoint.
    pub fn sign(&mut self) {
        self.log.signed = Instant::now();
        self.log.urgent = false;
        let mut signed = self.store.checkpoint();
        if signed.is_err()
            && !self.log.failed
            && let Some(keys) = &self.keys
            && let Ok(Some(done)) = log_key::look_elsewhere(&self.data, &mut self.store, keys, now_ns())
        {
            // It was asked for a key that it has no more.
            eprintln!("watch: {done}");
            signed = self.store.checkpoint();
        }
        match signed {
            Ok(published) => {
                if std::mem::take(&mut self.log.failed) {
                    eprintln!("watch: the log is signed again");
                    self.notice("log", None);
                }
                if let (Some(outside), Some(published)) = (&self.outside, published) {
                    outside.send(&published.note);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.log.failed, true) {
                    eprintln!("watch: the log is not signed: {error}");
                    self.notice("log", Some(format!("THE LOG IS NOT SIGNED: {error}")));
                }
            }
        }
    }

    fn look_for_keys(&mut self) {
        let looked = match &self.keys {
            Some(keys) => log_key::look_elsewhere(&self.data, &mut self.store, keys, now_ns()),
            None => log_key::look(&self.data, &mut self.store, now_ns()),
        };
        match looked {
            Ok(None) => self.notice("key", None),
            Ok(Some(done)) => {
                self.sign();
                eprintln!("watch: {done}");
            }
            Err(error) => self.notice("key", Some(format!("the log's key: {error:#}"))),
        }
    }

    /// Plans of comparisons that a person left to be registered.
    fn look_for_plans(&mut self) {
        match crate::compared::take_plans(&self.data, &mut self.store) {
            Ok(told) => {
                for line in told {
                    eprintln!("watch: {}", muster_event::sanitize(&line));
                }
            }
            Err(error) => eprintln!("watch: {error:#}"),
        }
    }

    /// Tells on every channel that there is that the record is not written.
    fn begin_trouble(&mut self, error: &StoreError) {
        if let Some(text) = self.trouble.begin(error) {
            self.notice("record", Some(text));
        }
    }

    /// Tells what keeps Muster from its work, or no longer does.
    fn notice(&self, about: &str, text: Option<String>) {
        (self.publish)(Update::Notice { about: about.to_owned(), text });
    }

    fn take_cosigned(&mut self, note: &Note) {
        let kept = self.store.put_cosigned(note);
        self.notice(
            "cosigned",
            kept.err().map(|error| format!("a cosigned checkpoint is not kept: {error}")),
        );
    }

    fn take_news(&mut self, news: News) {
        let News { who, what, text } = news;
        let text =
            if text.contains(&who) { text } else { format!("{}: {text}", muster_event::sanitize(&who)) };
        eprintln!("watch: {text}");
        let log = Log::Outside {
            time_ns: now_ns(),
            who: who.clone(),
            what: what.name().to_owned(),
            text: text.clone(),
        };
        if let Err(error) = self.store.put_log(&log) {
            self.begin_trouble(&error);
        }
        match what {
            What::Back => self.notice(&who, None),
            // It stays, whatever the witness says next.
            what if what.is_tampering() => self.notice(
                &format!("{who}: history"),
                Some(format!("THE LOG IS NOT WHAT A WITNESS SAW: {text}")),
            ),
            _ => self.notice(&who, Some(text)),
        }
    }

    pub fn take_batch(&mut self, batch: Batch) {
        if let Some(by_ns) = batch.clock_step_ns {
            eprintln!("watch: the wall clock was set by {:.3} s", by_ns as f64 / 1e9);
            self.take(Input::ClockStep { time_ns: now_ns(), by_ns });
        }
        for state in batch.probes {
            match &state.error {
                Some(error) => {
                    eprintln!("watch: probe {} is blind: {}", state.probe, muster_event::sanitize(error))
                }
                None => eprintln!("watch: probe {} sees again", state.probe),
            }
            self.oversight.probe(&state.probe, state.error.as_deref());
            let seen_ns = self.source.seen_ns(&state.probe);
            self.take(Input::Probe { time_ns: now_ns(), state, seen_ns });
        }
        for snapshot in batch.snapshots {
            self.take(Input::Snapshot(snapshot));
        }
        for event in batch.events {
            let ended = matches!(event.kind, Kind::Exit { .. }).then_some(event.process);
            self.take(Input::Event(event));
            if let Some(process) = ended {
                self.gate.exited(process);
            }
        }
        for lost in batch.lost {
            eprintln!("watch: {} events of the {:?} queue were lost", lost.count, lost.queue);
            self.take(Input::Lost(lost));
        }
    }

    /// Ledger first, then the engine, then what it asks for.
    pub fn take(&mut self, input: Input) {
        let mut waiting = VecDeque::from([input]);
        while let Some(input) = waiting.pop_front() {
            if !matches!(input, Input::Tick { .. }) {
                self.happened = Instant::now();
            }
            self.append(&input);
            if let (Some(judge), Input::Account(record)) = (&mut self.judge, &input) {
                judge.read(record);
            }
            // What was done to a lineage is signed soon.
            self.log.urgent |= matches!(input, Input::Containment(_));
            let answers: Vec<Input> =
                self.engine.step(input).into_iter().filter_map(|output| self.carry_out(output)).collect();
            // Answers come before whatever was waiting, in their own order.
            for answer in answers.into_iter().rev() {
                waiting.push_front(answer);
            }
        }
    }

    fn append(&mut self, input: &Input) {
        if let Err(error) = self.store.append(input) {
            // What the index did not take, the ledger has.
            if !error.is_of_index() {
                self.trouble.refuse(input.time_ns().unwrap_or_else(now_ns));
            }
            self.begin_trouble(&error);
        }
    }

    fn commit(&mut self, durable: bool) {
        if let Err(error) = self.store.commit(durable) {
            self.begin_trouble(&error);
            return;
        }
        // What was taken while there was no room is written now; what was refused is a gap.
        let Some(since_ns) = self.trouble.since_ns.take() else { return };
        let count = std::mem::take(&mut self.trouble.refused);
        let (from_ns, to_ns) = self.trouble.refused_ns.take().unwrap_or((since_ns, since_ns));
        let unheld = std::mem::take(&mut self.trouble.held_more);
        eprintln!("watch: the record is written again; {count} inputs and {unheld} rows are missing in it");
        let mut held = std::mem::take(&mut self.trouble.held);
        while let Some(output) = held.pop_front() {
            if let Err(error) = self.store.apply(&output) {
                if !error.is_of_index() {
                    // As they were; the next commit tries again.
                    held.push_front(output);
                }
                self.begin_trouble(&error);
                break;
            }
        }
        held.append(&mut self.trouble.held);
        self.trouble.held = held;
        if self.trouble.since_ns.is_none() {
            self.notice("record", None);
        }
        if count > 0 {
            self.take(Input::Lost(Lost { queue: Queue::Intake, count, from_ns, to_ns }));
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Identify { process, path, script, argv, cwd } => {
                let found = self.identifier.identify(&self.products, &path, script.as_deref(), &argv, &cwd);
                let product = found.map(|found| {
                    if found.native {
                        // From now on the kernel knows this file itself.
                        self.source.follow_executable(Path::new(&path));
                    }
                    found.identified
                });
                return Some(Input::Identified { process, product });
            }
            Output::Follow { process } => self.source.follow(process),
            Output::Harness { process } => self.source.harness(process),
            Output::FollowAccount { .. } if !self.reads_accounts => {}
            Output::FollowAccount { agent, path, format, cwd, since_ns } => {
                drop(self.tail.send(tail::Request::Follow { agent, path, format, cwd, since_ns }));
            }
            Output::ReadArtefact { agent, path, mechanism, process, since_ns } => {
                let mut others = self.engine.live_processes(std::slice::from_ref(&agent));
                others.truncate(OTHERS_MAX);
                let request = artefacts::Request { agent, path, mechanism, process, since_ns, others };
                return self.artefacts.ask(request);
            }
            Output::ReadHooks { agent, product, home, cwd } => {
                let product = hooks::Product::named(&product)?;
                let home = home.unwrap_or_default();
                let hooks::Standing { intact, watched, wrong } =
                    hooks::standing(product, Path::new(&home), Path::new(&cwd));
                let read = HooksRead { agent, time_ns: now_ns(), intact, watched, wrong };
                return Some(Input::Hooks(Box::new(read)));
            }
            Output::Forget { agent } => drop(self.tail.send(tail::Request::Forget { agent })),
            Output::ReadConfiguration { agent, product, home, cwd, argv } => {
                let mut read = configuration::read(&product, home.as_deref(), &cwd, &argv);
                let commands = read.iter_mut().flat_map(|(_, commands)| std::mem::take(commands)).collect();
                let sources: Vec<String> = read.into_iter().map(|(source, _)| source).collect();
                return Some(Input::Configured { agent, source: sources.join(", "), commands });
            }
            output => {
                if let Err(error) = self.store.apply(&output) {
                    if !error.is_of_index() {
                        self.trouble.hold(output.clone());
                    }
                    self.begin_trouble(&error);
                }
                match &output {
                    Output::Member(member) => self.gate.member(member.process, &member.agent),
                    Output::Agent(state) => {
                        self.gate.agent(state);
                        self.tell_gate(&state.agent, false);
                        if let Some(rehearsed) = &mut self.rehearsed {
                            rehearsed.give(&self.gate, state);
                        }
                    }
                    _ => {}
                }
                match output {
                    Output::Member(member) if !self.containments.is_idle() => {
                        for agent in self.containments.wanted() {
                            if self.engine.is_within(&member.agent, &agent) {
                                self.containments.member(&agent, member.process);
                            }
                        }
                    }
                    Output::Artefact(artefact) => self.containments.artefact(&artefact),
                    Output::Agent(state) => {
                        if state.state == State::Ended {
                            self.gate_told.remove(&state.agent);
                            drop(self.tail.send(tail::Request::Ended { agent: state.agent.clone() }));
                        }
                        if matches!(state.state, State::Ended | State::Out)
                            && let Some(cgroup) = self.cgroups.remove(&state.agent)
                        {
                            self.source.unfollow_cgroup(cgroup.id);
                            cgroup.remove();
                        }
                        if let Some(judge) = &mut self.judge
                            && state.ended_ns.is_some()
                        {
                            judge.about(&state.agent);
                        }
                        (self.publish)(Update::Agent(state));
                    }
                    Output::Finding(finding) => {
                        if finding.severity >= Severity::High {
                            // Before anybody hears of it, where that is not too often.
                            self.log.urgent = true;
                            self.sign_when_due();
                        }
                        if let Some((until, by)) = self.oversight.finding(&self.containments.config, &finding)
                        {
                            self.muster_out(&finding.agent, until, by);
                        }
                        (self.publish)(Update::Finding(finding));
                    }
                    Output::Claim(claim) => self.questions.decided(&claim),
                    _ => {}
                }
            }
        }
        None
    }

    /// The agent whose lineage asks: the nearest one, as the kernel knows the process. Its hook may ask, its model's tools
    /// may not: they would learn which untruths pass.
    fn asking_agent(&self, peer: Peer) -> Result<AgentId, String> {
        let process = process_key(peer.pid).ok_or_else(|| format!("no process {}", peer.pid))?;
        for ancestor in muster_sensor::ancestry(process) {
            if let Some((agent, _)) = self.engine.agent_of_process(ancestor) {
                if self.engine.acts_for_model(ancestor) {
                    return Err("only a hook of the agent's own product may ask".to_owned());
                }
                return Ok(agent.to_owned());
            }
        }
        Err("it belongs to no agent on the roll".to_owned())
    }

    /// An agent that nobody enrolled cannot enrol what it starts.
    fn may_enrol(&self, process: ProcessKey) -> Result<(), String> {
        for ancestor in muster_sensor::ancestry(process) {
            if let Some((agent, mandated)) = self.engine.agent_of_process(ancestor)
                && !mandated
            {
                eprintln!(
                    "watch: pid {} of the unmandated agent {agent} asked to be enrolled: refused",
                    process.pid
                );
                return Err(format!("it was started by {agent}, which has no mandate itself"));
            }
        }
        Ok(())
    }

    /// Who is on the roll, or was started from there, stops nobody, undoes nothing and judges nothing: an operator does.
    fn may_operate(&self, peer: Peer) -> Result<(), String> {
        let process = process_key(peer.pid).ok_or_else(|| format!("no process {}", peer.pid))?;
        if peer.uid != 0 && !peer.operator {
            return Err("only root may do that".to_owned());
        }
        for ancestor in muster_sensor::ancestry(process) {
            if let Some((agent, _)) = self.engine.agent_of_process(ancestor) {
                eprintln!(
                    "watch: pid {} of {agent} asked for what only an operator may: refused",
                    process.pid
                );
                return Err(format!(
                    "it was asked by {agent}, which is on the roll: an agent stops nobody, and judges nothing"
                ));
            }
        }
        Ok(())
    }

    fn contain(
        &mut self,
        peer: Peer,
        request: ContainRequest,
        answer: Sender<Result<serde_json::Value, String>>,
    ) {
        // Who asks may be new: what it did before it asked comes first.
        let batch = self.source.poll(Duration::ZERO);
        self.take_batch(batch);
        if let Err(why) = self.may_operate(peer) {
            drop(answer.send(Err(why)));
            return;
        }
        let by = operator(peer);
        let job = match request {
            ContainRequest::Out { agent, until, include_likely, dry_run } => {
                let Some(until) = muster_contain::Step::named(until.as_deref().unwrap_or("verify")) else {
                    drop(answer.send(Err("no such step".to_owned())));
                    return;
                };
                self.tell_of(&agent);
                let asker = Some(peer.pid);
                Job::Out { agent, until, include_likely, dry_run, by, asker, answer: Some(answer) }
            }
            ContainRequest::Thaw { agent } => {
                self.oversight.forget(&agent);
                Job::Thaw { agent, by, answer }
            }
            ContainRequest::Restore { id, path } => Job::Restore { id, path, by, answer },
        };
        self.containments.give(job);
    }

    fn review(&mut self, peer: Peer, request: ReviewRequest, agent: AgentId) -> Result<ReviewView, String> {
        const NOTE_MAX: usize = 2_000;
        let batch = self.source.poll(Duration::ZERO);
        self.take_batch(batch);
        self.may_operate(peer)?;
        if request.note.len() > NOTE_MAX {
            return Err(format!("the note is longer than {NOTE_MAX} bytes"));
        }
        let review = Review {
            time_ns: now_ns(),
            finding: request.finding,
            agent,
            judgement: request.judgement,
            note: redact(&request.note).into_owned(),
            by: operator(peer),
        };
        let view = ReviewView::from(&review);
        self.take(Input::Review(Box::new(review)));
        Ok(view)
    }

    /// What belongs to it now, and from now on what joins it.
    fn tell_of(&self, agent: &str) {
        let within = self.engine.agents_within(agent);
        self.containments.begin(agent, self.engine.live_processes(&within));
    }

    /// Without a person.
    fn muster_out(&self, agent: &str, until: muster_contain::Step, by: String) {
        eprintln!("watch: mustering out {agent} as far as {}, by {by}", until.name());
        self.tell_of(agent);
        let agent = agent.to_owned();
        let job =
            Job::Out { agent, until, include_likely: false, dry_run: false, by, asker: None, answer: None };
        self.containments.give(job);
    }

    fn look_for_lost_oversight(&mut self) {
        if self.oversight.is_quiet() {
            return;
        }
        let running = self.engine.running().into_iter();
        for (agent, why) in self.oversight.lost(&self.containments.config, running) {
            self.muster_out(&agent, muster_contain::Step::Freeze, why);
        }
    }

    /// What came, changed, was revoked or expired.
    pub fn look_at_mandates(&mut self) {
        let now_ns = now_ns();
        let notes = self.mandates.look(now_ns);
        let any = !notes.is_empty();
        for note in notes {
            self.take(Input::Mandate(Box::new(note)));
        }
        if any {
            for agent in self.engine.running() {
                self.tell_gate(&agent, true);
            }
            self.tell_mandates();
        }
    }

    /// Under which mandate the gate decides for this agent. `anew`: something came to be of mandates.
    fn tell_gate(&mut self, agent: &str, anew: bool) {
        let Some(state) = self.engine.agent_state(agent) else { return };
        let held = (state.mandate.clone(), state.product.clone());
        if !anew && self.gate_told.get(agent) == Some(&held) {
            return;
        }
        match self.engine.chain_for(agent) {
            Some(Ok(chain)) => self.gate.mandate(agent, Some(Arc::new(chain))),
            Some(Err(refused)) => self.gate.refuse(agent, &refused.to_string()),
            // Without a signed one it decides as before: everything passes, and that it has none is a finding.
            None => {}
        }
        self.gate_told.insert(agent.to_owned(), held);
    }

    fn tell_mandates(&self) {
        (self.publish)(Update::Mandates(self.mandates.views(now_ns())));
    }

    /// Gives an agent that was just enrolled the mandate that it brought, or says why it may not start.
    fn give_mandate(&mut self, agent: &str, request: &EnrolRequest) -> Result<(), String> {
        let now_ns = now_ns();
        let given = match &request.mandate_refused {
            Some(why) => {
                let mut note = self.mandates.refused("", agent, &Refused::Unsigned, now_ns);
                let told = why.split("\nhint:").next().unwrap_or_default();
                note.text = redact(&muster_event::sanitize(told)).into_owned();
                self.take(Input::Mandate(Box::new(note)));
                return Err(why.clone());
            }
            None if request.mandate.is_empty() => return Ok(()),
            None => self.mandates.give(&request.mandate, request.mandate_file.as_deref(), agent, now_ns),
        };
        match given {
            Ok((id, notes)) => {
                eprintln!("watch: {agent} runs under the mandate {}", id.get(..12).unwrap_or(&id));
                for note in notes {
                    self.take(Input::Mandate(Box::new(note)));
                }
                self.tell_gate(agent, true);
                self.tell_mandates();
                Ok(())
            }
            Err(refused) => {
                let id = request.mandate.first().map(|own| muster_mandate::id_of(own.body.as_bytes()));
                let note = self.mandates.refused(&id.unwrap_or_default(), agent, &refused, now_ns);
                eprintln!(
                    "watch: the mandate of {agent} is refused: {}",
                    muster_event::sanitize(&refused.to_string())
                );
                self.take(Input::Mandate(Box::new(note)));
                Err(format!("the mandate is refused: {refused}"))
            }
        }
    }

    fn enrol(&mut self, peer: Peer, request: EnrolRequest) -> Result<Enrolled, String> {
        let process = process_key(peer.pid).ok_or_else(|| format!("no process {}", peer.pid))?;
        self.may_enrol(process)?;
        // What it did before it asked, its execution above all, comes first: where it stands is known from that.
        let batch = self.source.poll(Duration::ZERO);
        self.take_batch(batch);
        let principal = request.principal.clone().unwrap_or_else(|| principal(peer.uid));
        // Without cgroup v2 the lineage is followed by its ancestry alone.
        let cgroup = Cgroup::make(process)
            .map_err(|error| eprintln!("watch: no control group for pid {}: {error}", peer.pid))
            .ok();
        let id = cgroup.as_ref().map_or(0, |c| c.id);
        if id != 0 {
            self.source.follow_cgroup(id);
        }
        self.source.follow(process);
        self.take(Input::Enrol(Enrol {
            time_ns: now_ns(),
            process,
            cgroup: id,
            principal: redact(&principal).into_owned(),
            label: redact(&request.label).into_owned(),
            command: redact_argv(&request.command),
        }));
        let agent = self.engine.agent_of_root(process).ok_or("the enrolment was not taken")?.to_owned();
        if let Some(cgroup) = cgroup {
            self.cgroups.insert(agent.clone(), cgroup);
        }
        self.give_mandate(&agent, &request)?;
        // Only of its own kin may an agent say that it speaks for it.
        if let Some(pid) = request.supervisor
            && let Some(supervisor) = process_key(pid)
            && supervisor != process
            && muster_sensor::ancestry(process).contains(&supervisor)
        {
            self.gate.supervisor(supervisor, &agent);
        }
        Ok(Enrolled { agent })
    }
}

/// Who acts: a user, and whether by the page.
fn operator(peer: Peer) -> String {
    let name = principal(peer.uid);
    if peer.operator { format!("{name} with the operator's token") } else { name }
}

/// The user who answers for an enrolment: `name@host`.
pub fn principal(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", name.unwrap_or_else(|| format!("uid {uid}")), host.trim())
}
