//! `muster watch`: the daemon.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use muster_engine::{Engine, Enrol, Input, Output, Products, Start, State};
use muster_event::{Kind, ProcessKey};
use muster_sensor::{Config, now_ns, process_key};
use muster_server::case::WITNESS_KEYS;
use muster_server::{
    ContainRequest, Doors, EnrolRequest, Enrolled, Http, Log, Peer, Retention, ReviewRequest, StopRequest,
    Store, StoreReader, Told,
};
use muster_server::{STANDS_STILL, Update};

use crate::artefacts::Artefacts;
use crate::cgroup::Cgroup;
use crate::containment::{self, Containments, Job};
use crate::daemon::{Daemon, Message};
use crate::drill::schedule;
use crate::exit::{Exit, usage};
use crate::gate::{self, Gate};
use crate::identify::Identifier;
use crate::judge::JudgeOptions;
use crate::mandates::Mandates;
use crate::outside::{Callbacks, Outside, OutsideOptions, Plan};
use crate::signer::{KeySource, Place};
use crate::without::{Part, Without};
use crate::{
    Global, canaries, client, data_files, judge, log_key, notify, pulse, redaction, remembered, scope, tail,
};

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Those who are watched must not be able to starve the loop by their numbers: it needs little, but it needs it soon.
const NICE: i32 = -5;
/// How long an enrolment may wait for the daemon's loop.
const ENROL_MAX: Duration = Duration::from_secs(8);

#[derive(Args)]
pub struct Watch {
    /// Where the page and the API are served.
    #[arg(long, default_value = "127.0.0.1:7373", value_name = "ADDR")]
    listen: SocketAddr,
    /// Size limit of the record, in MiB; the oldest goes first, findings and their evidence never. 0: no limit.
    #[arg(long, default_value_t = 4096, value_name = "MIB")]
    keep_mib: u64,
    /// Age limit of the record, in days. 0: no limit.
    #[arg(long, default_value_t = 90, value_name = "DAYS")]
    keep_days: u64,
    /// Folder of data files that add to the built-in ones or replace them (see `muster products`).
    #[arg(long, value_name = "DIR")]
    products: Option<PathBuf>,
    /// Where the key of the log is: `unix:PATH` (a `muster signer`) or `pkcs11:…` (a token). Default: in a file of the
    /// data folder.
    #[arg(long, value_name = "WHERE")]
    signer: Option<Place>,
    /// Configuration file (`docs/out.md`). Default: `config.toml` of the data folder, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Do not load probes: look at /proc only.
    #[arg(long)]
    no_kernel: bool,
    /// Look only at what runs under this process: for tests beside each other.
    #[arg(long, hide = true, value_name = "PID")]
    only_under: Option<u32>,
    /// Drop a part of what is sensed, to learn what depends on it; every agent's coverage says so.
    #[arg(long, hide = true, value_enum, value_name = "PART")]
    without: Vec<Part>,
    /// Every agent runs under this mandate, whose signature is not looked at: for tests of the gate.
    #[arg(long, hide = true, value_name = "FILE")]
    only_mandate: Option<PathBuf>,
    #[command(flatten)]
    judge: JudgeOptions,
    #[command(flatten)]
    outside: OutsideOptions,
}

impl Watch {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let products = data_files::products(self.products.as_deref())?;
        let rules = data_files::rules(&global.data)?;
        for line in data_files::troubles(&rules) {
            eprintln!("watch: {line}");
        }
        let judge = self.judge.open()?;
        let outside = self.outside.open()?;
        let data = &global.data;
        prepare_folder(data)?;
        let config = containment::Config::read(data, self.config.as_deref())?;
        let notified = notify::config::read(data, self.config.as_deref())?;
        let drills = schedule::Config::read(data, self.config.as_deref())?;
        let approvals = gate::config::Config::read(data, self.config.as_deref())?;
        let limit = Retention {
            bytes_max: self.keep_mib.saturating_mul(1 << 20),
            age_max_ns: self.keep_days.saturating_mul(DAY_NS),
        };
        // First of all: it holds the lock, so a second daemon ends here.
        let (mut store, repaired) = Store::open(data, limit).map_err(|e| usage(e.to_string()))?;
        for line in repaired {
            eprintln!("watch: {line}");
        }
        // Before anything is read that may hold a secret.
        redaction::begin(data)?;
        let known = log_key::known_key(data);
        let keys = self
            .signer
            .as_ref()
            .map(|place| KeySource::new(place, known.as_ref().map(|known| known.name())).map_err(usage));
        let keys = keys.transpose()?;
        let told = match (&self.signer, &keys) {
            (Some(place), Some(keys)) => log_key::begin_elsewhere(data, &mut store, place, keys, now_ns()),
            _ => log_key::begin(data, &mut store, now_ns()),
        };
        for line in told? {
            eprintln!("watch: {line}");
        }
        store.put_log(&Log::Settings {
            time_ns: now_ns(),
            settings: self.settings(&data_files::described(&global.data)),
        })?;
        let tcp = TcpListener::bind(self.listen).map_err(|error| {
            usage(format!(
                "cannot listen on {}: {error}\nhint: name another address with --listen",
                self.listen
            ))
        })?;
        let address = tcp.local_addr().context("cannot listen")?;
        let unix = listen_unix(&client::socket(data), 0o600)?;
        let public = self.public_socket(data);
        // A drill that was killed with all its keepers is ended here.
        crate::drill::clean::sweep();
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot take signals")?;
        }

        let gate = Gate::new(approvals, now_ns);
        self.open_gate(data, &gate);
        let (sender, messages) = channel();
        let http = Http::start(
            data,
            tcp,
            unix,
            public,
            Doors {
                enrol: enroller(sender.clone()),
                ask_stop: asker(sender.clone()),
                contain: container(sender.clone()),
                review: reviewer(sender.clone()),
                approvals: Arc::new(gate::people::People { gate: gate.clone() }),
            },
        )
        .context("cannot serve")?;
        let http = Arc::new(http);
        let (follow, requests) = channel();
        let for_tail = sender.clone();
        thread::Builder::new().name("accounts".to_owned()).spawn(move || {
            // The loop may be gone when the last records come.
            tail::run(&requests, &move |input| drop(for_tail.send(Message::Input(input))));
        })?;

        let for_artefacts = sender.clone();
        // Without the kernel's record no agent is seen to write.
        let artefacts = Artefacts::start(!self.no_kernel, move |input| {
            drop(for_artefacts.send(Message::Input(input)));
        })?;

        let for_judge = sender.clone();
        let judge = judge
            .map(|judge| judge::start(judge, data, move |input| drop(for_judge.send(Message::Input(input)))))
            .transpose()?;

        let outside = start_outside(outside, data, &sender)?;
        let first_seq = store.last_seq() + 1;
        let (mut source, why_not) = self.source(&products, first_seq);
        let top = self.only_under.and_then(process_key);
        if let Some(top) = top {
            eprintln!("watch: looks only at what runs under process {}", top.pid);
            source = Box::new(scope::Scoped::new(source, top, first_seq));
        }
        if !self.without.is_empty() {
            source = Box::new(Without { inner: source, parts: self.without.clone(), next_seq: first_seq });
        }
        let for_containment = Mutex::new(sender.clone());
        let containments = Containments::start(data, products.clone(), config, move |input| {
            if let Ok(sender) = for_containment.lock() {
                drop(sender.send(Message::Input(input)));
            }
        })?;
        if let Some(error) = why_not {
            eprintln!("watch: no kernel record, only who is there (from /proc): {error}");
        }
        let publisher = Arc::clone(&http);
        let pulse = pulse::start(move |text| {
            eprintln!("watch: {}", text.as_deref().unwrap_or("it goes on"));
            publisher.publish(Update::Notice { about: STANDS_STILL.to_owned(), text });
        })?;
        let (publisher, told) = (Arc::clone(&http), Arc::clone(&http));
        let mut daemon = Daemon {
            data: data.clone(),
            engine: Engine::with_rules(products.clone(), rules),
            products,
            store,
            source,
            identifier: Identifier::default(),
            messages,
            tail: follow,
            artefacts,
            publish: Box::new(move |update| publisher.publish(update)),
            trouble: Default::default(),
            cgroups: Default::default(),
            questions: Default::default(),
            happened: std::time::Instant::now(),
            judge,
            log: Default::default(),
            reads_accounts: !self.without.contains(&Part::Account),
            outside,
            keys,
            pulse,
            containments,
            oversight: Default::default(),
            mandates: Mandates::new(data, &hostname()),
            notices: gate::notice::Notices::start(gate.config())?,
            gate,
            gate_told: Default::default(),
            rehearsed: self.only_mandate.as_deref().map(gate::rehearsed::Rehearsed::read).transpose()?,
            canaries: canaries::CanaryFile::new(data),
        };
        begin(&mut daemon, data, top)?;
        daemon.look_for_canaries();
        daemon.sign();
        daemon.containments.give(Job::Resume);
        let blind = daemon.source.states().iter().filter(|s| s.error.is_some()).count();
        println!(
            "ready page=http://{}/login?token={} data={} record={} blind_probes={blind}",
            address,
            http.token(),
            data.display(),
            if daemon.source.is_kernel() { "kernel" } else { "proc" },
        );
        std::io::stdout().flush()?;
        eprintln!(
            "watch: who enters the page so may look; to act there, enter with the text in `{}`",
            data.join("operator-token").display()
        );
        let publisher = Arc::clone(&told);
        let notice: Arc<notify::Notice> = Arc::new(move |about, text| {
            publisher.publish(Update::Notice { about: about.to_owned(), text });
        });
        notify::start(notified, data, &stop, &notice)?;
        if let Some(drills) = drills {
            schedule::start(drills, data, &stop)?;
        }
        // Only the loop: what is asked of the page and the API must not slow down the machine's own work. Without the
        // right to it, it runs as everybody does.
        let _ = rustix::process::setpriority_process(None, NICE);
        daemon.run(&stop);
        for socket in [client::socket(data), client::enrolment_socket(data), gate::socket(data)] {
            drop(fs::remove_file(socket));
        }
        eprintln!("watch: stopped in good order");
        Ok(Exit::Nothing)
    }

    /// What changes what is recorded, kept or sent.
    fn settings(&self, rules: &str) -> BTreeMap<String, String> {
        let products = self.products.as_ref().map_or("built in".to_owned(), |it| it.display().to_string());
        [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("listen", self.listen.to_string()),
            ("keep_mib", self.keep_mib.to_string()),
            ("keep_days", self.keep_days.to_string()),
            ("products", products),
            (
                "config",
                self.config.as_ref().map_or("of the folder".to_owned(), |it| it.display().to_string()),
            ),
            ("rules", rules.to_owned()),
            ("kernel", (!self.no_kernel).to_string()),
            ("only_under", self.only_under.map_or("everything".to_owned(), |pid| pid.to_string())),
            (
                "only_mandate",
                self.only_mandate.as_ref().map_or("none".to_owned(), |it| it.display().to_string()),
            ),
            ("without", self.without.iter().map(|part| part.name()).collect::<Vec<_>>().join(",")),
            ("judge", self.judge.is_on().to_string()),
            ("outside", self.outside.to_string()),
            ("signer", self.signer.as_ref().map_or("a file".to_owned(), ToString::to_string)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Where every user may enrol what that user starts. Without it only root can.
    fn public_socket(&self, data: &Path) -> Option<UnixListener> {
        let path = client::enrolment_socket(data);
        let made = path
            .parent()
            .map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(0o755).create(folder))
            .map_err(anyhow::Error::from)
            .and_then(|()| listen_unix(&path, 0o666));
        made.map_err(|error| eprintln!("watch: only root can enrol agents: {error}")).ok()
    }

    /// Where whoever acts asks first. Without it every hook says no.
    fn open_gate(&self, data: &Path, gate: &Gate) {
        let path = gate::socket(data);
        let opened = path
            .parent()
            .map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(0o755).create(folder))
            .map_err(anyhow::Error::from)
            .and_then(|()| listen_unix(&path, 0o666))
            .and_then(|listener| Ok(gate::serve::start(gate.clone(), listener)?));
        if let Err(error) = opened {
            eprintln!("watch: no gate, so hooks and proxies let nothing pass: {error}");
        }
    }

    fn source(
        &self,
        products: &Products,
        first_seq: u64,
    ) -> (Box<dyn muster_sensor::Source>, Option<muster_sensor::SensorError>) {
        if self.no_kernel {
            return (Box::new(muster_sensor::PollingSensor::start(first_seq)), None);
        }
        let products = products.clone();
        muster_sensor::start(Config {
            first_seq,
            keep: Box::new(move |kind| speaks_to_model(&products, kind)),
            canary: canary_command(),
        })
    }
}

/// Of processes outside any lineage, only this is of interest.
fn speaks_to_model(products: &Products, kind: &Kind) -> bool {
    match kind {
        Kind::Dns { name, .. } | Kind::Tls { name, .. } => products.is_provider(name),
        Kind::Http { method, target, .. } => products.is_model_request(method, target),
        _ => false,
    }
}

/// This program itself, as a canary.
pub fn canary_command() -> Option<(PathBuf, Vec<String>)> {
    // By its link: the file may be replaced while the daemon runs.
    Some((PathBuf::from("/proc/self/exe"), vec!["sensor-canary".to_owned()]))
}

/// What the engine is told before anything happens: who Muster is, what it sees, who is there.
fn begin(daemon: &mut Daemon, data: &Path, only_under: Option<ProcessKey>) -> Result<()> {
    let own = process_key(std::process::id()).unwrap_or(ProcessKey { pid: std::process::id(), start_ns: 0 });
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let data = fs::canonicalize(data)?;
    let earlier: Vec<_> = StoreReader::open(&data)
        .and_then(|reader| reader.roll())
        .unwrap_or_default()
        .into_iter()
        .filter(|agent| matches!(agent.state, State::Running | State::Frozen))
        .collect();
    let before = daemon.store.before()?;
    let muster_sensor::Clocks { time_ns, boot_ns, .. } = muster_sensor::clocks();
    daemon.take(Input::Start(Start {
        time_ns,
        host: read("/proc/sys/kernel/hostname"),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel_record: daemon.source.is_kernel(),
        daemon: own,
        data_dir: data.to_string_lossy().into_owned(),
        boot_ns,
        before,
    }));
    for state in daemon.source.states().into_iter().filter(|s| s.error.is_some()) {
        let error = state.error.as_deref().unwrap_or_default();
        eprintln!("watch: probe {} is blind: {}", state.probe, muster_event::sanitize(error));
        daemon.take(Input::Probe { time_ns: now_ns(), state, seen_ns: None });
    }
    daemon.look_at_mandates();
    // Enrolments outlive the daemon.
    for agent in earlier.iter().filter(|a| a.parent.is_none()) {
        let (Some(principal), true) = (&agent.principal, process_key(agent.root.pid) == Some(agent.root))
        else {
            continue;
        };
        let cgroup = Cgroup::find(agent.root);
        let id = cgroup.as_ref().map_or(0, |c| c.id);
        if id != 0 {
            daemon.source.follow_cgroup(id);
        }
        daemon.take(Input::Enrol(Enrol {
            time_ns: now_ns(),
            process: agent.root,
            cgroup: id,
            principal: principal.clone(),
            label: agent.label.clone(),
            command: agent.command.clone(),
        }));
        let Some(id) = daemon.engine.agent_of_root(agent.root).map(str::to_owned) else { continue };
        if let Some(cgroup) = cgroup {
            daemon.cgroups.insert(id.clone(), cgroup);
        }
        if let Some(mandate) = &agent.mandate
            && let Some(note) = daemon.mandates.again(mandate, &id, now_ns())
        {
            daemon.take(Input::Mandate(Box::new(note)));
        }
    }
    let is_seen = |process: ProcessKey| only_under.is_none_or(|top| scope::is_under(process, top));
    for snapshot in muster_sensor::scan().into_iter().filter(|found| is_seen(found.process)) {
        daemon.take(Input::Snapshot(snapshot));
    }
    // Who ended while nobody watched.
    for mut agent in earlier {
        if daemon.engine.agent_of_root(agent.root).is_some() {
            continue;
        }
        agent.state = State::Ended;
        agent.ended_ns = Some(agent.last_ns);
        agent.processes = 0;
        if let Some(down) = daemon.engine.down() {
            agent.coverage.note(down);
        }
        daemon.store.apply(&Output::Agent(Box::new(agent)))?;
    }
    daemon.store.commit(true)?;
    for it in remembered::gather(&data)? {
        daemon.take(Input::Remembered(Box::new(it)));
    }
    daemon.store.commit(true)?;
    Ok(())
}

/// Begins to send checkpoints out of the machine. `None`: nobody is to have them.
fn start_outside(plan: Plan, data: &Path, sender: &Sender<Message>) -> Result<Option<Outside>> {
    let witnesses: String = plan.witnesses().map(|witness| format!("{witness}\n")).collect();
    let path = data.join(WITNESS_KEYS);
    fs::write(&path, witnesses).with_context(|| format!("cannot write `{}`", path.display()))?;
    if plan.is_empty() {
        return Ok(None);
    }
    let folder = data.to_owned();
    let (cosigned, news) = (Mutex::new(sender.clone()), Mutex::new(sender.clone()));
    let tell = |sender: &Mutex<Sender<Message>>, message| {
        if let Ok(sender) = sender.lock() {
            // The daemon is stopping.
            drop(sender.send(message));
        }
    };
    let callbacks = Callbacks {
        proof: Box::new(move |old, new| {
            Store::consistency(&folder, old, new).map_err(|error| error.to_string())
        }),
        cosigned: Box::new(move |note| tell(&cosigned, Message::Cosigned(note.clone()))),
        news: Box::new(move |it| tell(&news, Message::News(it))),
    };
    Ok(Some(plan.start(callbacks)?))
}

/// Hands enrolments to the loop and waits for its answer.
fn enroller(sender: Sender<Message>) -> Arc<muster_server::Enrol> {
    let sender = Mutex::new(sender);
    Arc::new(move |peer: Peer, request: EnrolRequest| -> Result<Enrolled, String> {
        let (answer, answered) = channel();
        let gone = || "the daemon is stopping".to_owned();
        sender.lock().map_err(|_| gone())?.send(Message::Enrol(peer, request, answer)).map_err(|_| gone())?;
        answered.recv_timeout(ENROL_MAX).map_err(|_| "the daemon is too busy to answer".to_owned())?
    })
}

/// Hands the questions of Stop hooks to the loop and waits for its answer.
fn asker(sender: Sender<Message>) -> Arc<muster_server::AskStop> {
    let sender = Mutex::new(sender);
    Arc::new(move |peer: Peer, request: StopRequest| -> Result<Told, String> {
        let (answer, answered) = channel();
        let gone = || "the daemon is stopping".to_owned();
        sender.lock().map_err(|_| gone())?.send(Message::Stop(peer, request, answer)).map_err(|_| gone())?;
        answered.recv_timeout(ENROL_MAX).map_err(|_| "the daemon is too busy to answer".to_owned())?
    })
}

/// How long an operator may wait for a lineage to be mustered out, credentials and evidence included.
const CONTAIN_MAX: Duration = Duration::from_secs(300);

/// Hands what an operator asks to the loop, and waits for the thread that does it.
fn container(sender: Sender<Message>) -> Arc<muster_server::Contain> {
    let sender = Mutex::new(sender);
    Arc::new(move |peer: Peer, request: ContainRequest| {
        let (answer, answered) = channel();
        let gone = || "the daemon is stopping".to_owned();
        sender
            .lock()
            .map_err(|_| gone())?
            .send(Message::Contain(peer, request, answer))
            .map_err(|_| gone())?;
        answered.recv_timeout(CONTAIN_MAX).map_err(|_| "the daemon is too busy to answer".to_owned())?
    })
}

/// Hands what a person says of a finding to the loop.
fn reviewer(sender: Sender<Message>) -> Arc<muster_server::KeepReview> {
    let sender = Mutex::new(sender);
    Arc::new(move |peer: Peer, request: ReviewRequest, agent| {
        let (answer, answered) = channel();
        let gone = || "the daemon is stopping".to_owned();
        sender
            .lock()
            .map_err(|_| gone())?
            .send(Message::Review(peer, request, agent, answer))
            .map_err(|_| gone())?;
        answered.recv_timeout(ENROL_MAX).map_err(|_| "the daemon is too busy to answer".to_owned())?
    })
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn prepare_folder(data: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(|error| {
        usage(format!("cannot make `{}`: {error}\nhint: name a folder with --data", data.display()))
    })
}

/// Whoever its mode lets in may speak to it: the socket needs no token.
pub fn listen_unix(path: &Path, mode: u32) -> Result<UnixListener> {
    if let Ok(meta) = fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            return Err(usage(format!("`{}` is in the way and is no socket", path.display())));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(usage(format!("a daemon already answers at `{}`", path.display())));
        }
        fs::remove_file(path)?;
    }
    // From its first moment on: between `bind` and `chmod`, others could connect.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(|error| usage(format!("cannot listen on `{}`: {error}", path.display())))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        let first = listen_unix(&path, 0o600).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(listen_unix(&path, 0o600).is_err(), "a daemon answers already");
        drop(first);
        // What a daemon left behind that was killed is in nobody's way.
        drop(listen_unix(&path, 0o600).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file of someone's").unwrap();
        assert!(listen_unix(&path, 0o600).is_err());
        assert!(path.is_file());
    }
}
