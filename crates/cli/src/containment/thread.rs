//! Mustering out beside the daemon's loop: each job in a thread of its own, and one that looks whether anything came back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use muster_contain::journal::{self, Note};
use muster_contain::restore::{self, Standing, standing};
use muster_contain::{Out, Outside, Step, Told};
use muster_engine::{AgentId, Artefact, Containment, Input, Products};
use muster_event::ProcessKey;
use muster_sensor::now_ns;
use muster_server::StoreReader;
use serde_json::{Value, json};

use super::{Config, seal, target};

/// How often one of those that were mustered out is looked after, in turn. What the record shows of one is looked at at once.
const LOOK: Duration = Duration::from_secs(1);
/// Musterings out that are looked after; older ones are left to `muster out`.
const STANDING_MAX: usize = 512;
/// Jobs at once: more of them wait for the processor anyhow.
const JOBS_MAX: usize = 64;
/// How long a job waits for another one, or for the index.
const BUSY_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
/// Before the daemon's loop, which is before everybody.
const NICE: i32 = -15;
/// Processes of one lineage that are handed to its job.
const FEED_MAX: usize = 65_536;
/// How many lines of a journal are in the ledger.
const TOLD_FILE: &str = "told";

pub enum Job {
    Out {
        agent: AgentId,
        until: Step,
        include_likely: bool,
        dry_run: bool,
        by: String,
        /// Who asked, to be spared.
        asker: Option<u32>,
        answer: Option<Sender<Result<Value, String>>>,
    },
    Thaw {
        agent: AgentId,
        by: String,
        answer: Sender<Result<Value, String>>,
    },
    Restore {
        id: String,
        path: Option<String>,
        by: String,
        answer: Sender<Result<Value, String>>,
    },
    /// The record has something new of an agent that was mustered out.
    Look {
        agent: AgentId,
    },
    /// What earlier daemons began.
    Resume,
}

/// What the loop knows of lineages that are mustered out.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<Fed>>);

#[derive(Default)]
struct Fed {
    /// Only of agents that are mustered out.
    members: BTreeMap<AgentId, BTreeSet<ProcessKey>>,
    /// Of every agent, by path.
    artefacts: BTreeMap<(AgentId, String), Artefact>,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Fed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self, agent: &str) -> BTreeSet<ProcessKey> {
        self.lock().members.get(agent).cloned().unwrap_or_default()
    }

    fn artefacts(&self, agent: &str) -> Vec<Artefact> {
        self.lock().artefacts.iter().filter(|((of, _), _)| of == agent).map(|(_, it)| it.clone()).collect()
    }
}

/// The loop's end.
pub struct Containments {
    jobs: Sender<Job>,
    feed: Feed,
    pub config: Config,
}

impl Containments {
    pub fn start(
        data: &Path,
        products: Products,
        config: Config,
        tell: impl Fn(Input) + Send + Sync + 'static,
    ) -> Result<Containments> {
        let (jobs, received) = channel();
        let shared = Arc::new(Shared {
            data: data.to_owned(),
            products,
            config: config.clone(),
            feed: Feed::default(),
            tell: Box::new(tell),
            standing: Mutex::default(),
            busy: Mutex::default(),
        });
        let feed = shared.feed.clone();
        thread::Builder::new().name("containment".to_owned()).spawn(move || run(&shared, &received))?;
        Ok(Containments { jobs, feed, config })
    }

    pub fn give(&self, job: Job) {
        // The thread ends with the daemon only.
        drop(self.jobs.send(job));
    }

    /// From now on what joins it is told.
    pub fn begin(&self, agent: &str, live: impl IntoIterator<Item = ProcessKey>) {
        self.feed.lock().members.entry(agent.to_owned()).or_default().extend(live);
    }

    /// Lineages of which news is wanted.
    pub fn wanted(&self) -> Vec<AgentId> {
        self.feed.lock().members.keys().cloned().collect()
    }

    pub fn is_idle(&self) -> bool {
        self.feed.lock().members.is_empty()
    }

    pub fn member(&self, agent: &str, process: ProcessKey) {
        let mut feed = self.feed.lock();
        let Some(members) = feed.members.get_mut(agent) else { return };
        if members.len() < FEED_MAX && members.insert(process) {
            drop(feed);
            self.give(Job::Look { agent: agent.to_owned() });
        }
    }

    pub fn artefact(&self, artefact: &Artefact) {
        let mut fed = self.feed.lock();
        // Those that find no room are in the index.
        if fed.artefacts.len() < FEED_MAX {
            fed.artefacts.insert((artefact.agent.clone(), artefact.path.clone()), artefact.clone());
        }
        let is_out = fed.members.contains_key(&artefact.agent);
        drop(fed);
        if is_out {
            self.give(Job::Look { agent: artefact.agent.clone() });
        }
    }
}

struct Shared {
    data: PathBuf,
    products: Products,
    config: Config,
    feed: Feed,
    tell: Box<dyn Fn(Input) + Send + Sync>,
    /// Those that are looked after, by name; `None`: a thread has it.
    standing: Mutex<BTreeMap<String, (AgentId, Option<Out>)>>,
    /// Agents that a job is at work for.
    busy: Mutex<BTreeSet<AgentId>>,
}

struct Around<'a> {
    shared: &'a Shared,
    id: String,
    agent: AgentId,
    by: String,
}

impl Outside for Around<'_> {
    fn told(&self, told: &Told) {
        (self.shared.tell)(Input::Containment(Box::new(Containment {
            id: self.id.clone(),
            agent: self.agent.clone(),
            time_ns: now_ns(),
            step: told.step.clone(),
            state: told.state.clone(),
            text: muster_event::redact(&told.text).into_owned(),
            by: self.by.clone(),
        })));
    }

    fn known(&self) -> BTreeSet<ProcessKey> {
        self.shared.feed.members(&self.agent)
    }

    fn planted(&self, known: &BTreeSet<PathBuf>) -> Vec<muster_contain::Artefact> {
        let is_new = |path: &str| !known.contains(Path::new(path));
        let mut late = self.shared.feed.artefacts(&self.agent);
        late.retain(|it| !it.gone && is_new(&it.path));
        if late.is_empty() {
            return Vec::new();
        }
        let paths: BTreeSet<PathBuf> = late.iter().map(|it| PathBuf::from(&it.path)).collect();
        let Shared { data, products, config, .. } = self.shared;
        let built = StoreReader::open(data).map_err(anyhow::Error::from).and_then(|reader| {
            target::build(&reader, products, config, &self.agent, &self.known(), late, false)
        });
        let mut all = built.map_or_else(|_| Vec::new(), |target| target.artefacts);
        all.retain(|it| paths.contains(it.inside.as_ref().unwrap_or(&it.path)));
        all
    }

    fn post(&self, url: &str, agent: &str, credential: &str, limit: Duration) -> Result<(), String> {
        seal::post(url, agent, credential, limit)
    }

    fn seal(&self, folder: &Path) -> Result<String, String> {
        seal::seal_soon(&self.shared.data, &self.agent, folder)
    }

    fn silence(&self, id: &str, groups: &[PathBuf], sockets: &[u64]) -> Result<(), String> {
        seal::silence(id, groups, sockets, false)
    }

    fn unsilence(&self) {
        seal::unsilence(&self.shared.data, &self.agent);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(shared: &Arc<Shared>, jobs: &Receiver<Job>) {
    let mut turn = String::new();
    loop {
        match jobs.recv_timeout(LOOK) {
            Ok(Job::Look { agent }) => {
                let ids: Vec<String> = lock(&shared.standing)
                    .iter()
                    .filter(|(_, (of, _))| *of == agent)
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in ids {
                    sweep(shared, &id);
                }
            }
            Ok(job) => spawn(shared, job),
            Err(RecvTimeoutError::Timeout) => {
                let standing = lock(&shared.standing);
                let next = standing.range(turn.clone()..).map(|(id, _)| id).find(|id| **id != turn);
                let next = next.or_else(|| standing.keys().next()).cloned();
                drop(standing);
                if let Some(id) = next {
                    sweep(shared, &id);
                    turn = id;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Looks whether it came back.
fn sweep(shared: &Shared, id: &str) {
    let taken =
        lock(&shared.standing).get_mut(id).and_then(|(agent, out)| Some((agent.clone(), out.take()?)));
    let Some((agent, mut out)) = taken else { return };
    let around = Around { shared, id: id.to_owned(), agent: agent.clone(), by: out.by.clone() };
    match out.sweep(&around) {
        Ok(None) => {}
        Ok(Some(text)) => eprintln!("watch: {agent}: {}", muster_event::sanitize(&text)),
        Err(error) => eprintln!("watch: {agent} is not looked after: {error}"),
    }
    if let Some((_, place)) = lock(&shared.standing).get_mut(id) {
        *place = Some(out);
    }
}

fn spawn(shared: &Arc<Shared>, job: Job) {
    let shared = Arc::clone(shared);
    let work = move || {
        // Who is to be stopped must not be able to starve it. Without the right to it, it runs as everybody does.
        let _ = rustix::process::setpriority_process(None, NICE);
        let (answer, done) = match job {
            Job::Out { agent, until, include_likely, dry_run, by, asker, answer } => {
                let asked = Asked { agent, until, include_likely, dry_run, by, asker };
                (answer, out(&shared, &asked))
            }
            Job::Thaw { agent, by, answer } => (Some(answer), thaw(&shared, &agent, &by)),
            Job::Restore { id, path, by, answer } => {
                (Some(answer), put_back(&shared, &id, path.as_deref(), &by))
            }
            Job::Resume => (None, resume(&shared)),
            Job::Look { .. } => return,
        };
        match (answer, done) {
            // Who asked may have given up.
            (Some(answer), done) => drop(answer.send(done.map_err(|error| format!("{error:#}")))),
            (None, Err(error)) => eprintln!("watch: mustering out failed: {error:#}"),
            (None, Ok(_)) => {}
        }
    };
    if let Err(error) = thread::Builder::new().name("out".to_owned()).spawn(work) {
        eprintln!("watch: mustering out failed: {error}");
    }
}

struct Asked {
    agent: AgentId,
    until: Step,
    include_likely: bool,
    dry_run: bool,
    by: String,
    asker: Option<u32>,
}

/// One job for one agent at a time.
struct Busy<'a>(&'a Shared, AgentId);

impl<'a> Busy<'a> {
    /// Waits a while for who is at work.
    fn take(shared: &'a Shared, agent: &str) -> Result<Self> {
        let began = Instant::now();
        loop {
            if let Some(busy) = Busy::try_take(shared, agent) {
                return Ok(busy);
            }
            if began.elapsed() > BUSY_MAX {
                anyhow::bail!("{agent} is being mustered out already, or too many others are");
            }
            thread::sleep(PAUSE);
        }
    }

    fn try_take(shared: &'a Shared, agent: &str) -> Option<Self> {
        let mut busy = lock(&shared.busy);
        let is_free = busy.len() < JOBS_MAX && busy.insert(agent.to_owned());
        is_free.then(|| Busy(shared, agent.to_owned()))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.0.busy).remove(&self.1);
    }
}

fn out(shared: &Shared, asked: &Asked) -> Result<Value> {
    let agent = &asked.agent;
    let _busy = Busy::take(shared, agent)?;
    let reader = StoreReader::open(&shared.data)?;
    // What a rule stops at its first act is not in the index yet.
    let began = Instant::now();
    while reader.agent(agent)?.is_none() && began.elapsed() < BUSY_MAX {
        thread::sleep(PAUSE);
    }
    let live = shared.feed.members(agent);
    let planted = shared.feed.artefacts(agent);
    let target = target::build(
        &reader,
        &shared.products,
        &shared.config,
        agent,
        &live,
        planted,
        asked.include_likely,
    )?;
    let own: Vec<u32> = asked.asker.into_iter().collect();
    if asked.dry_run {
        return Ok(serde_json::to_value(muster_contain::dry_run(&target, &own, &live))?);
    }
    let mut out =
        Out::begin(&shared.data, target, asked.until, &asked.by, own).context("nothing can be written")?;
    let around = Around { shared, id: out.id.clone(), agent: agent.clone(), by: asked.by.clone() };
    let report = out.carry_out(&around).context("the journal cannot be written")?;
    eprintln!(
        "watch: {agent} was mustered out as far as {} ({}), by {}",
        asked.until.name(),
        out.id,
        asked.by
    );
    note_told(&out.folder);
    stand(shared, out);
    Ok(serde_json::to_value(report)?)
}

/// From now on it is looked after.
fn stand(shared: &Shared, out: Out) {
    let mut standing = lock(&shared.standing);
    if standing.len() >= STANDING_MAX
        && let Some(oldest) = standing.keys().next().cloned()
    {
        eprintln!("watch: {oldest} is no longer looked after: too many were mustered out");
        standing.remove(&oldest);
    }
    standing.insert(out.id.clone(), (out.target.agent.clone(), Some(out)));
}

fn thaw(shared: &Shared, agent: &str, by: &str) -> Result<Value> {
    let _busy = Busy::take(shared, agent)?;
    let mut done = Vec::new();
    for id in target::all(&shared.data) {
        let folder = target::folder(&shared.data, &id)?;
        let it = standing(&journal::read(&folder)?);
        if it.agent != agent || it.is_over() || it.killed {
            continue;
        }
        lock(&shared.standing).remove(&id);
        let thawed = restore::thaw(&folder)?;
        muster_sensor::unsilence(&id);
        let around = Around { shared, id: id.clone(), agent: agent.to_owned(), by: by.to_owned() };
        let (state, text) = match &thawed {
            Ok(()) => ("done", "it goes on".to_owned()),
            Err(error) => ("failed", error.clone()),
        };
        around.told(&Told { step: "thaw".to_owned(), state: state.to_owned(), text });
        note_told(&folder);
        thawed.map_err(|error| anyhow::anyhow!(error))?;
        done.push(id);
    }
    if done.is_empty() {
        anyhow::bail!("{agent} is not frozen");
    }
    shared.feed.lock().members.remove(agent);
    Ok(json!({ "agent": agent, "thawed": done }))
}

fn put_back(shared: &Shared, id: &str, path: Option<&str>, by: &str) -> Result<Value> {
    let folder = target::folder(&shared.data, id)?;
    let before = standing(&journal::read(&folder)?);
    let _busy = Busy::take(shared, &before.agent)?;
    // Else what is put back is put away again.
    lock(&shared.standing).remove(id);
    let told = restore_files(&folder, path)?;
    let text =
        format!("{} of {} files put back", told.iter().filter(|(_, it)| it.is_none()).count(), told.len());
    let around = Around { shared, id: id.to_owned(), agent: before.agent.clone(), by: by.to_owned() };
    around.told(&Told { step: "restore".to_owned(), state: "done".to_owned(), text });
    note_told(&folder);
    let (out, after) = Out::resume(&shared.data, id, Vec::new())?;
    if !after.is_over() {
        stand(shared, out);
    }
    Ok(restored(id, &told))
}

/// Puts files back and writes it down, with what kept each from it.
pub fn restore_files(folder: &Path, path: Option<&str>) -> Result<Vec<(PathBuf, Option<String>)>> {
    let told = restore::restore(folder, path.map(Path::new))?;
    if told.is_empty() {
        anyhow::bail!("nothing is put away there{}", path.map_or("", |_| " from that path"));
    }
    let left = standing(&journal::read(folder)?).kept.len();
    let state = if left == 0 { "done" } else { "undone" };
    let text = format!("{left} files are still put away");
    journal::Journal::open(folder)?.write(Note::Step {
        step: "restore".to_owned(),
        state: state.to_owned(),
        text,
    })?;
    Ok(told.into_iter().map(|(path, it)| (path, it.err())).collect())
}

pub fn restored(id: &str, told: &[(PathBuf, Option<String>)]) -> Value {
    let files: Vec<Value> =
        told.iter().map(|(path, error)| json!({ "path": path, "error": error })).collect();
    json!({ "id": id, "files": files })
}

/// Finishes what was begun, and goes on looking after what stands.
fn resume(shared: &Shared) -> Result<Value> {
    for id in target::all(&shared.data) {
        if let Err(error) = resume_one(shared, &id) {
            eprintln!("watch: mustering out {id} cannot be finished: {error:#}");
        }
    }
    Ok(Value::Null)
}

fn resume_one(shared: &Shared, id: &str) -> Result<()> {
    let folder = target::folder(&shared.data, id)?;
    tell_journal(shared, &folder)?;
    let (mut out, it) = Out::resume(&shared.data, id, Vec::new())?;
    if it.is_over() {
        return Ok(());
    }
    let agent = it.agent.clone();
    shared.feed.lock().members.entry(agent.clone()).or_default();
    if it.finished.is_none() {
        eprintln!("watch: {agent}: finishing {id}, which was interrupted");
        let _busy = Busy::take(shared, &agent)?;
        out.carry_out(&Around { shared, id: id.to_owned(), agent, by: it.by })?;
        note_told(&folder);
    } else {
        out.cut_again(&Around { shared, id: id.to_owned(), agent, by: it.by }, &it.frozen);
    }
    stand(shared, out);
    Ok(())
}

/// What was done while no daemon ran enters the ledger.
fn tell_journal(shared: &Shared, folder: &Path) -> Result<()> {
    let lines = journal::read(folder)?;
    let Standing { id, agent, by, .. } = standing(&lines);
    let told: usize =
        std::fs::read_to_string(folder.join(TOLD_FILE)).ok().and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    for line in lines.iter().skip(told) {
        if let Note::Step { step, state, text } = &line.note {
            (shared.tell)(Input::Containment(Box::new(Containment {
                id: id.clone(),
                agent: agent.clone(),
                time_ns: line.time_ns,
                step: step.clone(),
                state: state.clone(),
                text: muster_event::redact(text).into_owned(),
                by: by.clone(),
            })));
        }
    }
    note_told(folder);
    Ok(())
}

fn note_told(folder: &Path) {
    let lines = journal::read(folder).map_or(0, |lines| lines.len());
    if let Err(error) = journal::write_file(&folder.join(TOLD_FILE), lines.to_string().as_bytes()) {
        eprintln!("watch: `{}`: {error}", folder.display());
    }
}
