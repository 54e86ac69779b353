//! The supervisor: takes held calls, asks the mandate, and lets them go on, carries them out itself, or refuses them.
//!
//! A call goes on as it stands only where the kernel itself stops what the mandate does not allow (Landlock), or where what
//! was decided upon stands in registers. All else that is allowed is done here, from the copy that was decided upon.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use muster_event::ProcessKey;
use muster_mandate::{Action, Chain, Decision, Kind, Operation, Pattern, Protocol, Verdict};
use muster_sensor::hold::{Answer, Held, Listener};
use rustix::event::{PollFd, PollFlags, poll};

use crate::acts;
use crate::caller::Caller;
use crate::calls::{Call, call, refusal};
use crate::confine::Orders;
use crate::files::{Plan, Right, plan};
use crate::hand::Hand;
use crate::names::{Admit, Names, Resolver, resolvers};
use crate::notes::{Notes, Service, Told};

/// Threads that take calls: each call takes some microseconds of one.
const TAKERS_MAX: usize = 4;
/// Decisions that are remembered: the files of a large build.
const REMEMBERED_MAX: usize = 16_384;

pub struct Setup {
    pub chain: Chain,
    pub enforce: bool,
    /// The daemon's decision service.
    pub service: Option<PathBuf>,
    /// How long an act waits for a person.
    pub ask_wait: Duration,
    /// Who is asked for names in place of the machine's configured resolvers.
    pub resolver: Option<SocketAddr>,
    /// Told when the mandate is not in force any more.
    pub in_force: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Muster's own sockets, at which the agent's hooks ask.
    pub sockets: Vec<String>,
}

/// All that a run is decided by.
pub struct Gate {
    pub(crate) chain: Chain,
    pub(crate) enforce: bool,
    pub(crate) plan: Plan,
    pub(crate) names: Arc<Names>,
    pub(crate) notes: Notes,
    pub(crate) service: Option<PathBuf>,
    ask_wait: Duration,
    /// Ports that lines name: under which a name may be of use.
    ports: Vec<u16>,
    in_force: Box<dyn Fn() -> Option<String> + Send + Sync>,
    remembered: Mutex<HashMap<(Kind, String), Decision>>,
    upstream: Vec<SocketAddr>,
    /// Muster's program and its sockets: the agent's hooks are of these.
    program: Option<String>,
    sockets: Vec<String>,
}

impl Gate {
    pub fn new(setup: Setup) -> Self {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let configured = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let upstream = match setup.resolver {
            Some(resolver) => vec![resolver],
            None => resolvers(&configured).into_iter().map(|ip| (ip, crate::names::DNS).into()).collect(),
        };
        let program =
            std::fs::read_link("/proc/self/exe").ok().and_then(|path| path.to_str().map(str::to_owned));
        let mut plan =
            if setup.enforce { plan(&setup.chain, muster_sensor::now_ns()) } else { Plan::default() };
        if setup.enforce {
            plan.add_loaders(program.as_deref());
        }
        let mut ports = Vec::new();
        let lines = setup.chain.allows(Kind::Connect).into_iter().flatten();
        for line in lines.chain(setup.chain.runtime(Kind::Connect)).chain(setup.chain.asks(Kind::Connect)) {
            if let Pattern::Host(host) = &line.pattern {
                let (from, to) = host.ports();
                ports.extend([from, to]);
            }
        }
        // Names that lines allow for looking up only are of no use.
        ports.retain(|port| *port != crate::names::DNS);
        ports.push(443);
        ports.sort_unstable();
        ports.dedup();
        Self {
            notes: Notes::new(setup.enforce, setup.service.clone()),
            chain: setup.chain,
            enforce: setup.enforce,
            plan,
            names: Arc::new(Names::with_table(&hosts)),
            service: setup.service,
            ask_wait: setup.ask_wait,
            ports,
            in_force: setup.in_force,
            remembered: Mutex::default(),
            upstream,
            program,
            sockets: setup.sockets,
        }
    }

    /// What lines refuse below this folder: it goes where the folder goes.
    pub(crate) fn taken_below(&self, folder: &str) -> Vec<String> {
        let lines = self.chain.denies(Kind::Write).chain(self.chain.denies(Kind::Read));
        let globs = lines.filter_map(|line| match &line.pattern {
            Pattern::Path(glob) => Some(glob.folder().0),
            _ => None,
        });
        globs.filter(|at| at != folder && Path::new(at).starts_with(folder)).collect()
    }

    /// Is this Muster's own program, or a socket of its daemon?
    pub(crate) fn is_own(&self, path: &str) -> bool {
        self.program.as_deref() == Some(path) || self.sockets.iter().any(|socket| socket == path)
    }

    /// What the agent's process is to do to itself.
    pub fn orders(&self) -> Orders {
        let root = rustix::process::geteuid().is_root();
        let allows = |operation| {
            let action = Action::Privileged { operation, detail: String::new() };
            self.chain.decide(&action, muster_sensor::now_ns()).verdict != Verdict::Deny
        };
        use Operation::{Bpf, Module, Mount, Namespace, Other, SetUid, Signal};
        let reads_are_cut = self.chain.denies(Kind::Read).chain(self.chain.asks(Kind::Read)).next().is_some();
        Orders {
            enforce: self.enforce,
            files: reads_are_cut || self.plan.partial,
            root,
            signals: allows(Signal),
            privileged: [Bpf, Module, Mount, Namespace, Other, SetUid].into_iter().any(allows),
            grants: self.plan.grants.clone(),
        }
    }

    pub fn decide(&self, action: &Action) -> Decision {
        let now = muster_sensor::now_ns();
        if let Some(why) = (self.in_force)() {
            return Decision {
                verdict: Verdict::Deny,
                rule: "not in force".to_owned(),
                reason: why,
                mandate: Some(self.chain.id().to_owned()),
            };
        }
        let key = match action {
            Action::Read { path } => Some((Kind::Read, path)),
            Action::Write { path } => Some((Kind::Write, path)),
            _ => None,
        };
        // Time is no part of what is remembered.
        if let Some(invalid) = self.chain.invalid(now) {
            return invalid;
        }
        let Some((kind, path)) = key else { return self.chain.decide(action, now) };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decision) = remembered.get(&(kind, path.clone())) {
            return decision.clone();
        }
        let decision = self.chain.decide(action, now);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert((kind, path.clone()), decision.clone());
        decision
    }

    /// Decides about one act that has several faces (an address and its names): a line that refuses one refuses it, one
    /// that allows one allows it.
    pub(crate) fn decide_any(&self, faces: Vec<Action>) -> (Action, Decision) {
        let mut best: Option<(Action, Decision)> = None;
        for action in faces {
            let decision = self.decide(&action);
            if decision.verdict == Verdict::Deny && decision.rule.starts_with("scope.deny") {
                return (action, decision);
            }
            if best.as_ref().is_none_or(|(_, other)| decision.verdict < other.verdict) {
                best = Some((action, decision));
            }
        }
        best.unwrap_or_else(|| {
            let action = Action::Privileged { operation: Operation::Other, detail: String::new() };
            let decision = self.decide(&action);
            (action, decision)
        })
    }

    /// Asks a person. What nobody answers is refused.
    pub(crate) fn ask(&self, action: &Action, asked: Decision) -> (Decision, Option<String>) {
        let refused =
            |reason: &str| Decision { verdict: Verdict::Deny, reason: reason.to_owned(), ..asked.clone() };
        let Some(path) = self.service.clone() else { return (refused("nobody can be asked"), None) };
        match Service::new(path).ask(action, self.ask_wait) {
            Some(answered) if answered.decision.verdict == Verdict::Ask => {
                (refused("nobody answered"), answered.approval)
            }
            Some(answered) => (answered.decision, answered.approval),
            None => (refused("nobody can be asked"), None),
        }
    }

    pub fn summary(&self) -> Vec<Told> {
        self.notes.summary()
    }
}

impl Admit for Gate {
    fn admits(&self, name: &str) -> bool {
        let face = |port| Action::Connect {
            host: Some(name.to_owned()),
            address: None,
            port: Some(port),
            protocol: Protocol::Tcp,
        };
        let faces: Vec<Action> = self.ports.iter().map(|port| face(*port)).collect();
        let admitted = faces.iter().any(|action| self.decide(action).verdict != Verdict::Deny);
        if !admitted {
            let action = Action::Connect {
                host: Some(name.to_owned()),
                address: None,
                port: Some(crate::names::DNS),
                protocol: Protocol::Udp,
            };
            let decision = self.decide(&face(443));
            self.notes.add(&action, &decision, None, self.enforce, None);
        }
        admitted || !self.enforce
    }

    fn answered(&self, _name: &str, _addresses: &[IpAddr]) {}
}

/// A run that is under way.
pub struct Supervisor {
    pub(crate) gate: Arc<Gate>,
    pub(crate) listener: Listener,
    pub(crate) hand: Hand,
    /// The port of the resolver, for the agent's questions.
    pub(crate) resolver: Option<SocketAddr>,
    /// Processes of Muster's that belong to the run, and must not be reached.
    pub(crate) own: Vec<u32>,
    pub(crate) uid: u32,
}

impl Supervisor {
    pub fn new(gate: Arc<Gate>, listener: Listener, hand: OwnedFd, own: Vec<u32>) -> io::Result<Arc<Self>> {
        let resolver = if gate.enforce {
            let admit: Arc<dyn Admit> = Arc::<Gate>::clone(&gate);
            let upstream = gate.upstream.clone();
            let resolver = Resolver::start(upstream, Arc::clone(&gate.names), admit)?;
            Some(SocketAddr::from(([127, 0, 0, 1], resolver.port)))
        } else {
            None
        };
        let hand = Hand::new(hand)?;
        let uid = rustix::process::geteuid().as_raw();
        Ok(Arc::new(Self { gate, listener, hand, resolver, own, uid }))
    }

    /// Takes calls until nobody is filtered any more.
    pub fn start(self: &Arc<Self>) -> io::Result<()> {
        let takers = thread::available_parallelism().map_or(1, usize::from).min(TAKERS_MAX);
        for _ in 0..takers {
            let supervisor = Arc::clone(self);
            thread::Builder::new().name("gate".to_owned()).spawn(move || supervisor.take())?;
        }
        Ok(())
    }

    /// Waits until the last process of the run is gone.
    pub fn join(&self) {
        loop {
            let mut files = [PollFd::new(self.listener.fd(), PollFlags::empty())];
            match poll(&mut files, None) {
                Ok(_) if files.iter().any(|file| file.revents().contains(PollFlags::HUP)) => return,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn take(self: &Arc<Self>) {
        loop {
            match self.listener.receive() {
                Ok(Some(held)) => self.handle(held),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    fn handle(self: &Arc<Self>, held: Held) {
        let Some(call) = call(held.number, &held.arguments) else {
            // The filter holds nothing else.
            self.listener.answer(held.id, Answer::Fail(1));
            return;
        };
        let act = Caller::of(held.thread).and_then(|caller| {
            let planned = acts::plan(self, &held, call, &caller)?;
            Ok((caller, planned))
        });
        match act {
            Ok((caller, planned)) => {
                // What was read is the caller's only if it still waits.
                if !self.listener.waits(held.id) {
                    return;
                }
                self.settle(held.id, call, &caller, planned);
            }
            Err(error) => {
                // Not to be read, or not there: as the kernel would have it.
                const EFAULT: i32 = 14;
                let answer = if self.gate.enforce {
                    Answer::Fail(error.raw_os_error().filter(|number| *number > 0).unwrap_or(EFAULT))
                } else {
                    Answer::Continue
                };
                self.listener.answer(held.id, answer);
            }
        }
    }

    fn settle(self: &Arc<Self>, id: u64, call: Call, caller: &Caller, planned: acts::Planned) {
        let acts::Planned { faces, then } = planned;
        if faces.is_empty() {
            self.go_on(id, call, then);
            return;
        }
        // All must be allowed: the first that is refused decides, else the first that asks.
        let mut worst: Option<(Action, Decision)> = None;
        for any in faces {
            let (action, decision) = self.gate.decide_any(any);
            if worst.as_ref().is_none_or(|(_, other)| decision.verdict > other.verdict) {
                worst = Some((action, decision));
            }
        }
        let Some((action, decision)) = worst else { return };
        let key = || muster_sensor::process_key(caller.process());
        match decision.verdict {
            Verdict::Allow => {
                // What the record has under the hand's name is told under the caller's.
                if matches!(action, Action::Connect { .. }) && self.gate.enforce {
                    self.gate.notes.add(&action, &decision, key(), false, None);
                }
                self.go_on(id, call, then);
            }
            Verdict::Deny => {
                self.gate.notes.add(&action, &decision, key(), self.gate.enforce, None);
                self.refuse(id, call, then);
            }
            Verdict::Ask if !self.gate.enforce => {
                self.gate.notes.add(&action, &decision, key(), false, None);
                self.go_on(id, call, then);
            }
            Verdict::Ask => {
                let supervisor = Arc::clone(self);
                let process = key();
                let asked = thread::Builder::new().name("ask".to_owned()).spawn(move || {
                    supervisor.ask(id, call, &action, decision, process, then);
                });
                if asked.is_err() {
                    self.listener.answer(id, Answer::Fail(refusal(call)));
                }
            }
        }
    }

    fn ask(
        self: &Arc<Self>,
        id: u64,
        call: Call,
        action: &Action,
        asked: Decision,
        process: Option<ProcessKey>,
        then: acts::Then,
    ) {
        let (decision, approval) = self.gate.ask(action, asked);
        let allowed = decision.verdict == Verdict::Allow;
        self.gate.notes.add(action, &decision, process, !allowed, approval);
        if allowed { self.go_on(id, call, then) } else { self.refuse(id, call, then) }
    }

    fn refuse(&self, id: u64, call: Call, then: acts::Then) {
        drop(then);
        let answer = if self.gate.enforce { Answer::Fail(refusal(call)) } else { Answer::Continue };
        self.listener.answer(id, answer);
    }

    fn go_on(self: &Arc<Self>, id: u64, call: Call, then: acts::Then) {
        match then {
            acts::Then::Continue => {
                self.listener.answer(id, Answer::Continue);
            }
            _ if !self.gate.enforce => {
                self.listener.answer(id, Answer::Continue);
            }
            acts::Then::Refuse(number) => {
                self.listener.answer(id, Answer::Fail(number));
            }
            acts::Then::Do(act) => {
                let answer = match act() {
                    Ok(value) => Answer::Value(value),
                    Err(error) => Answer::Fail(error.raw_os_error().unwrap_or(refusal(call))),
                };
                self.listener.answer(id, answer);
            }
            acts::Then::Give(open, close_on_exec) => match open() {
                Ok(file) => {
                    if self.listener.give(id, &file, close_on_exec).is_err() {
                        self.listener.answer(id, Answer::Fail(24));
                    }
                }
                Err(error) => {
                    self.listener.answer(id, Answer::Fail(error.raw_os_error().unwrap_or(refusal(call))));
                }
            },
            acts::Then::Connect { to, socket, file } => {
                let supervisor = Arc::clone(self);
                let done = Box::new(move |error: i32| {
                    let answer = if error == 0 { Answer::Value(0) } else { Answer::Fail(error) };
                    supervisor.listener.answer(id, answer);
                });
                if self.hand.connect(id, to, socket.as_fd(), file.as_ref(), done).is_err() {
                    self.listener.answer(id, Answer::Fail(refusal(call)));
                }
            }
        }
    }

    /// Does this process belong to the run? By its ancestors: orphans are the supervisor's children.
    pub(crate) fn is_of_run(&self, process: u32) -> bool {
        if self.own.contains(&process) {
            return false;
        }
        let own = std::process::id();
        let mut at = process;
        // More generations than a machine has processes at once are none.
        for _ in 0..1_000 {
            match parent_of(at) {
                Some(parent) if parent == own => return true,
                Some(parent) if parent > 1 => at = parent,
                _ => return false,
            }
        }
        false
    }

    pub(crate) fn covers(&self, path: &str, right: Right) -> bool {
        self.gate.plan.covers(path, right)
    }
}

fn parent_of(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Where the programs lie that the kernel itself starts to load others.
pub(crate) fn interpreters() -> Vec<PathBuf> {
    ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux.so.2", "/lib/ld-musl-x86_64.so.1", "/lib64/ld64.so.2"]
        .into_iter()
        .filter_map(|path| Path::new(path).canonicalize().ok())
        .collect()
}
