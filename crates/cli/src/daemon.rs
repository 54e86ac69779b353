//! The daemon's one loop: what arrives becomes an `Input`, is written to the ledger, drives the engine, and the outputs are
//! carried out. Everything that waits for something else has a thread of its own and speaks to this loop by a channel.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use muster_engine::{AgentId, Engine, Enrol, Input, Output, Products, State};
use muster_event::{Lost, ProcessKey, Queue};
use muster_sensor::{Batch, Clocks, Source, now_ns, process_key};
use muster_server::{EnrolRequest, Enrolled, Peer, StopRequest, Store, StoreError, Told, Update};

use crate::cgroup::Cgroup;
use crate::identify::Identifier;
use crate::questions::Questions;
use crate::{configuration, judge, tail};

/// Longest wait for the sensor in one round: bounds how long an account record or an enrolment waits.
const ROUND: Duration = Duration::from_millis(8);
/// How often what was written is made visible to readers, and durable.
const COMMIT: Duration = Duration::from_millis(30);
const DURABLE: Duration = Duration::from_millis(500);
/// How often the engine is told the time.
const TICK: Duration = Duration::from_millis(200);
/// … and after so long in which nothing happened: each tick is a leaf of the ledger, 43 MB in a day of the former.
const TICK_IDLE: Duration = Duration::from_millis(800);
const IDLE: Duration = Duration::from_secs(30);
/// How often the record's size is compared with its limit.
const ENFORCE: Duration = Duration::from_secs(10);

/// What the engine reported while it could not be written: a busy hour's findings and rows.
const HELD_MAX: usize = 4096;

/// What other threads send to the loop.
pub enum Message {
    Input(Input),
    Enrol(Peer, EnrolRequest, Sender<Result<Enrolled, String>>),
    /// The Stop hook of an agent asks about its message.
    Stop(Peer, StopRequest, Sender<Result<Told, String>>),
}

pub struct Daemon {
    pub engine: Engine,
    pub products: Products,
    pub store: Store,
    pub source: Box<dyn Source>,
    pub identifier: Identifier,
    pub messages: Receiver<Message>,
    pub tail: Sender<tail::Request>,
    pub publish: Box<dyn Fn(Update)>,
    pub trouble: Trouble,
    pub cgroups: BTreeMap<AgentId, Cgroup>,
    pub questions: Questions,
    /// When the last input came that was no tick.
    pub happened: Instant,
    /// With `--judge`.
    pub judge: Option<judge::Questions>,
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

    fn begin(&mut self, error: &StoreError) {
        if self.since_ns.is_some() {
            return;
        }
        self.since_ns = Some(now_ns());
        let hint = if error.is_disk_full() {
            "\nhint: make room on its disk; watching goes on, the gap is recorded"
        } else {
            ""
        };
        eprintln!("watch: cannot write the record: {error}{hint}");
    }
}

impl Daemon {
    /// Until `stop`.
    pub fn run(&mut self, stop: &AtomicBool) {
        let (mut ticked, mut committed, mut synced, mut enforced) =
            (Instant::now(), Instant::now(), Instant::now(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let batch = self.source.poll(ROUND);
            self.take_batch(batch);
            while let Ok(message) = self.messages.try_recv() {
                match message {
                    Message::Input(input) => self.take(input),
                    Message::Enrol(peer, request, answer) => {
                        // The asker may have given up.
                        drop(answer.send(self.enrol(peer, request)));
                    }
                    Message::Stop(peer, request, answer) => match self.asking_agent(peer) {
                        Ok(agent) => self.questions.ask(&agent, &request.text, answer),
                        Err(why) => drop(answer.send(Err(why))),
                    },
                }
            }
            let tick = if self.happened.elapsed() > IDLE { TICK_IDLE } else { TICK };
            if ticked.elapsed() >= tick {
                ticked = Instant::now();
                let Clocks { time_ns, boot_ns, asleep_ns } = muster_sensor::clocks();
                self.take(Input::Tick { time_ns, boot_ns, asleep_ns });
            }
            self.questions.settle();
            if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                let durable = synced.elapsed() >= DURABLE;
                if durable {
                    synced = Instant::now();
                }
                self.commit(durable);
            }
            if enforced.elapsed() >= ENFORCE {
                enforced = Instant::now();
                match self.store.enforce(now_ns()) {
                    Ok(Some(dropped)) => eprintln!("watch: over the limit; the oldest went: {dropped:?}"),
                    Ok(None) => {}
                    Err(error) => eprintln!("watch: cannot keep the record within its limit: {error}"),
                }
            }
        }
        self.take(Input::Stop { time_ns: now_ns() });
        self.commit(true);
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
            let seen_ns = self.source.seen_ns(&state.probe);
            self.take(Input::Probe { time_ns: now_ns(), state, seen_ns });
        }
        for snapshot in batch.snapshots {
            self.take(Input::Snapshot(snapshot));
        }
        for event in batch.events {
            self.take(Input::Event(event));
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
            self.trouble.begin(&error);
        }
    }

    fn commit(&mut self, durable: bool) {
        if let Err(error) = self.store.commit(durable) {
            self.trouble.begin(&error);
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
                self.trouble.begin(&error);
                break;
            }
        }
        held.append(&mut self.trouble.held);
        self.trouble.held = held;
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
            Output::FollowAccount { agent, path, format, cwd, since_ns } => {
                drop(self.tail.send(tail::Request::Follow { agent, path, format, cwd, since_ns }));
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
                    self.trouble.begin(&error);
                }
                match output {
                    Output::Agent(state) => {
                        if state.state == State::Ended {
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
                    Output::Finding(finding) => (self.publish)(Update::Finding(finding)),
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

    fn enrol(&mut self, peer: Peer, request: EnrolRequest) -> Result<Enrolled, String> {
        let process = process_key(peer.pid).ok_or_else(|| format!("no process {}", peer.pid))?;
        self.may_enrol(process)?;
        let principal = request.principal.unwrap_or_else(|| principal(peer.uid));
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
            principal,
            label: request.label,
            command: request.command,
        }));
        let agent = self.engine.agent_of_root(process).ok_or("the enrolment was not taken")?.to_owned();
        if let Some(cgroup) = cgroup {
            self.cgroups.insert(agent.clone(), cgroup);
        }
        Ok(Enrolled { agent })
    }
}

/// The user who answers for an enrolment: `name@host`.
fn principal(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", name.unwrap_or_else(|| format!("uid {uid}")), host.trim())
}
