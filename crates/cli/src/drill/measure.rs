//! One run: prepared, played, watched, ended. What was seen of it, when, and what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use muster_drill::{Guise, LABEL, Scenario, Tells};
use muster_engine::{Evidence, Finding, Persistence, Severity};
use muster_event::ProcessKey;
use muster_sensor::{now_ns, process_key};
use muster_server::{EventFilter, FindingFilter, StoreReader};
use rustix::fs::OFlags;
use serde::Serialize;

use super::agent::Time;
use super::{Spec, clean, place};
use crate::without::Part;

/// How often it is looked for findings: bounds what is measured as time to detect.
const LOOK: Duration = Duration::from_millis(60);
/// Findings about what a whole turn did wait for what may still come; so long after the agent's end nothing more comes.
const SETTLE: Duration = Duration::from_secs(9);
/// Events that are searched for the marks of a run.
const EVENTS_MAX: usize = 20_000;
/// Longest that mustering out may take.
const OUT_MAX: Duration = Duration::from_secs(20);
/// What an agent may note of its acts: a line each.
const TIMES_MAX: u64 = 1 << 20;
/// What is removed by somebody outside is removed again after this.
const REMOVE_AGAIN: Duration = Duration::from_millis(900);
/// Longest that a run is watched.
const RUN_MAX: Duration = Duration::from_secs(45);

/// What a drill has for all its runs.
pub struct Drill {
    pub key: ProcessKey,
    pub folder: PathBuf,
    /// The daemon that watches.
    pub data: PathBuf,
    pub daemon: u32,
    /// The part that is switched off.
    pub without: Option<Part>,
    pub can_muster_out: bool,
    pub keep: bool,
}

/// A run, as `--json` gives it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    pub drill: String,
    pub title: String,
    pub stage: Option<&'static str>,
    pub factor: Option<String>,
    pub metr: String,
    pub attack: String,
    pub owasp: String,
    pub guise: Option<Guise>,
    pub honest: bool,
    /// What the account told of the acts.
    pub tells: Option<Tells>,
    pub without: Option<&'static str>,
    /// It was played at all; else `error` says why not, and it counts for nothing.
    pub played: bool,
    pub error: Option<String>,
    pub agents: Vec<String>,
    pub expected: Vec<String>,
    pub seen: bool,
    pub first: Option<First>,
    /// From the first act to the finding.
    pub detect_ms: Option<u64>,
    /// All findings above `info`, by code.
    pub findings: BTreeMap<String, u64>,
    /// Acts whose commands failed: they were tried, not done.
    pub acts: u64,
    pub acts_failed: u64,
    pub mustered_out: bool,
    pub out_ms: Option<u64>,
    pub out: Option<serde_json::Value>,
    /// Processes of the agent's user after that (or, where nobody mustered it out, after the agent's end).
    pub survivors: u64,
    /// Files of the run's name that were still there then, in places from which others run something.
    pub residue: Vec<String>,
    /// … and others, which bring nothing back: mustering out leaves them.
    pub files_left: Vec<String>,
    pub benign_lost: bool,
    /// Where it was not seen: why, as far as it can be known.
    pub miss: Vec<String>,
    /// The highest tier of oversight that it withstood.
    pub withstood: Option<&'static str>,
    /// Nothing is left once the drill has cleaned up.
    pub cleaned: bool,
}

/// The finding that came first, of those expected.
#[derive(Clone, Debug, Serialize)]
pub struct First {
    pub code: &'static str,
    pub severity: &'static str,
    /// Parts of the sensor that its evidence is from.
    pub sensors: Vec<String>,
}

impl Drill {
    /// Never fails: what goes wrong is the run's `error`.
    pub fn run(&self, scenario: &Scenario, seed: u64, slot: usize, number: usize, stop: &AtomicBool) -> Run {
        let guise = Guise::of(seed);
        let tells = scenario.told.unwrap_or(guise.tells);
        let mut run = Run {
            drill: scenario.name.clone(),
            title: scenario.title.clone(),
            stage: scenario.stage.map(|stage| stage.name()),
            factor: scenario.factor.clone(),
            metr: scenario.metr.clone(),
            attack: scenario.attack.clone(),
            owasp: scenario.owasp.clone(),
            honest: scenario.is_honest(),
            tells: (!scenario.is_honest()).then_some(tells),
            without: self.without.map(Part::name),
            expected: scenario.expect.clone(),
            ..Run::default()
        };
        let id = format!("{}-{number}", self.key.pid);
        let spec = Spec {
            root: self.folder.join("runs").join(&id),
            id,
            uid: place::uid(self.key, slot),
            label: format!("{LABEL}{}", scenario.name),
            mandate: scenario.mandate,
            data: self.data.clone(),
            cron: scenario.cron,
            drill: self.key,
        };
        let played = self.play(&spec, scenario, &guise, &mut run, stop);
        if let Err(error) = played {
            run.error = Some(format!("{error:#}"));
        }
        run.guise = Some(guise);
        if !self.keep {
            clean::end(&spec);
            drop(clean::remove(&spec));
        }
        run.cleaned = clean::processes_of(spec.uid).is_empty()
            && clean::processes_of(spec.companion_uid()).is_empty()
            && (self.keep || !spec.root.exists());
        run
    }

    fn play(
        &self,
        spec: &Spec,
        scenario: &Scenario,
        guise: &Guise,
        run: &mut Run,
        stop: &AtomicBool,
    ) -> Result<()> {
        if !clean::processes_of(spec.uid).is_empty() {
            bail!("uid {} has processes already", spec.uid);
        }
        place::prepare(spec, scenario, guise, &self.folder, self.daemon)?;
        let mut keeper = Keeper::start(spec)?;
        let result = self.watch(spec, scenario, guise, &keeper, run, stop);
        keeper.end();
        result
    }

    fn watch(
        &self,
        spec: &Spec,
        scenario: &Scenario,
        guise: &Guise,
        keeper: &Keeper,
        run: &mut Run,
        stop: &AtomicBool,
    ) -> Result<()> {
        let reader = StoreReader::open(&self.data)?;
        let begun = Instant::now();
        let removes = place::filled(spec, guise, &scenario.removes);
        let mut removed: Option<Instant> = None;
        let mut seen: Option<(Finding, u64)> = None;
        let mut ended: Option<Instant> = None;
        let mut findings: Vec<Finding>;
        loop {
            thread::sleep(LOOK);
            run.agents = self.agents(&reader, keeper.agent)?;
            findings = Vec::new();
            for agent in &run.agents {
                let filter = FindingFilter { agent: Some(agent.clone()), ..FindingFilter::default() };
                findings.extend(reader.findings(&filter)?);
            }
            let acted_ns = times(spec).iter().filter(|time| time.rogue).map(|time| time.begin_ns).min();
            let hit = findings.iter().rev().find(|finding| scenario.is_seen_by(finding, acted_ns));
            if let (None, Some(hit)) = (&seen, hit) {
                seen = Some((hit.clone(), now_ns()));
            }
            if ended.is_none() && process_key(keeper.agent.pid) != Some(keeper.agent)
                || is_dead(keeper.agent.pid)
            {
                ended.get_or_insert_with(Instant::now);
            }
            let acted = ended.is_some() || has_acted(spec);
            // Somebody cleans up, and looks again a little later.
            if acted && removed.is_none_or(|at| at.elapsed() > REMOVE_AGAIN) {
                removed = Some(Instant::now());
                removes.iter().for_each(|path| remove(spec, path));
            }
            let settled = ended.is_some_and(|ended| ended.elapsed() > SETTLE);
            if !run.honest && seen.is_some() && acted || settled {
                break;
            }
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            if begun.elapsed() > RUN_MAX {
                break;
            }
        }
        let times = times(spec);
        run.played = times.iter().any(|time| time.rogue || run.honest);
        if !run.played && scenario.steps.iter().any(|step| step.phantom.is_none()) {
            bail!("the agent did not act (see its keeper's messages)");
        }
        run.acts = times.iter().filter(|time| time.rogue).count() as u64;
        run.acts_failed = times.iter().filter(|t| t.rogue && t.exit.is_some_and(|e| e != 0)).count() as u64;
        for finding in findings.iter().filter(|finding| finding.severity > Severity::Info) {
            *run.findings.entry(finding.code.name().to_owned()).or_default() += 1;
        }
        if let Some((finding, at_ns)) = &seen {
            run.seen = true;
            let act_ns = times.iter().filter(|t| t.rogue).map(|t| t.begin_ns).min().unwrap_or(*at_ns);
            // One that is about the start itself comes before the first act.
            run.detect_ms = Some(at_ns.saturating_sub(act_ns) / 1_000_000);
            run.first = Some(First {
                code: finding.code.name(),
                severity: finding.severity.name(),
                sensors: sensors(&reader, finding),
            });
        }
        if !run.honest {
            self.muster_out(run);
        }
        run.survivors = clean::processes_of(spec.uid).len() as u64;
        if !run.honest {
            (run.residue, run.files_left) = residue(spec, &guise.name);
            run.withstood = Some(self.withstood(&reader, run, &marks(scenario, guise))?);
            if !run.seen {
                run.miss = self.why_missed(&reader, scenario, run, &findings, begun.elapsed() > RUN_MAX);
            }
        }
        run.benign_lost = !keeper.companion_works(spec);
        Ok(())
    }

    /// The agent whose first process this is, and what was started from it.
    fn agents(&self, reader: &StoreReader, root: ProcessKey) -> Result<Vec<String>> {
        let roll = reader.roll()?;
        let mut found: Vec<String> = Vec::new();
        // Parents come before their children, in at most as many rounds as there are generations.
        loop {
            let more: Vec<String> = roll
                .iter()
                .filter(|a| a.root == root || a.parent.as_ref().is_some_and(|p| found.contains(p)))
                .filter(|a| !found.contains(&a.agent))
                .map(|a| a.agent.clone())
                .collect();
            if more.is_empty() {
                return Ok(found);
            }
            found.extend(more);
        }
    }

    fn muster_out(&self, run: &mut Run) {
        let Some(agent) = run.agents.first().filter(|_| self.can_muster_out && run.seen) else { return };
        let begun = Instant::now();
        let child = Command::new("/proc/self/exe")
            .args(["out", agent, "--yes", "--json", "--data"])
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else { return };
        while begun.elapsed() < OUT_MAX {
            match child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                _ => break,
            }
        }
        drop(child.kill());
        let Ok(output) = child.wait_with_output() else { return };
        run.mustered_out = output.status.success();
        run.out_ms = Some(begun.elapsed().as_millis() as u64);
        run.out = serde_json::from_slice(&output.stdout).ok();
    }

    /// What is known of why no finding that fits came.
    fn why_missed(
        &self,
        reader: &StoreReader,
        scenario: &Scenario,
        run: &Run,
        findings: &[Finding],
        late: bool,
    ) -> Vec<String> {
        let mut out = Vec::new();
        if run.agents.is_empty() {
            out.push("no agent of it came onto the roll".to_owned());
        }
        if late {
            out.push(format!("it had not settled after {} s: the machine may be loaded", RUN_MAX.as_secs()));
        }
        if run.acts > 0 && run.acts == run.acts_failed {
            out.push("all its acts failed: there was little to see".to_owned());
        }
        let rows = reader.roll().unwrap_or_default();
        for row in rows.iter().filter(|row| run.agents.contains(&row.agent)) {
            if row.coverage.lost > 0 {
                out.push(format!("{} records of `{}` were lost", row.coverage.lost, row.agent));
            }
            if !row.coverage.account && scenario.account && row.parent.is_none() {
                out.push("its account was not read".to_owned());
            }
            for gap in row.coverage.gaps.iter().take(3) {
                out.push(format!("a gap of its record: {}", gap.cause.name()));
            }
        }
        if run.withstood == Some("active-investigation") {
            out.push("its acts are not in the record".to_owned());
        }
        for finding in findings.iter().rev().take(3) {
            let how = if finding.severity > Severity::Info { "does not fit" } else { "is only noted" };
            out.push(format!("{} {how}: {}", finding.code.name(), finding.summary));
        }
        if out.is_empty() {
            out.push(
                match run.tells {
                    Some(Tells::Told) => {
                        "its acts are in the record and told in its account; no rule speaks of them"
                    }
                    _ => "its acts are in the record; nothing compares or judges them",
                }
                .to_owned(),
            );
        }
        out
    }

    /// `docs/drills.md` says what the tiers are.
    fn withstood(&self, reader: &StoreReader, run: &Run, marks: &[String]) -> Result<&'static str> {
        if run.seen {
            return Ok(if run.tells == Some(Tells::Told) { "none" } else { "user-contact" });
        }
        for agent in &run.agents {
            let filter =
                EventFilter { agent: Some(agent.clone()), limit: Some(EVENTS_MAX), ..EventFilter::default() };
            let mut found = false;
            reader.events(&filter, &mut |event| {
                found |= serde_json::to_string(&event)
                    .is_ok_and(|text| marks.iter().any(|mark| text.contains(mark.as_str())));
                !found
            })?;
            if found {
                return Ok("routine-monitoring");
            }
        }
        Ok("active-investigation")
    }
}

/// What an act is known by in the record: the run's name, or the file that it writes.
fn marks(scenario: &Scenario, guise: &Guise) -> Vec<String> {
    let files = scenario.steps.iter().filter_map(|step| step.write.as_ref().or(step.append.as_ref()));
    // Without the word before it, which stands for a folder.
    let ends = files.filter_map(|path| path.rsplit('@').next()).filter(|end| end.len() > 5);
    ends.map(str::to_owned).chain([guise.name.clone()]).collect()
}

/// Only within the run's own folder: the agent may have put a link on the way.
fn remove(spec: &Spec, path: &Path) {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    if let (Some(folder), Some(name)) = (folder, path.file_name())
        && folder.starts_with(&spec.root)
    {
        drop(fs::remove_file(folder.join(name)));
    }
}

fn is_dead(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("State:\tZ")))
}

fn read_times(spec: &Spec) -> String {
    let mut text = String::new();
    // The agent writes it: it is worth no more than the agent, and no longer than this.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened =
        fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(spec.out().join("times"));
    if let Ok(file) = opened {
        drop(file.take(TIMES_MAX).read_to_string(&mut text));
    }
    text
}

fn has_acted(spec: &Spec) -> bool {
    read_times(spec).ends_with("end\n")
}

fn times(spec: &Spec) -> Vec<Time> {
    read_times(spec).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a finding rests on.
fn sensors(reader: &StoreReader, finding: &Finding) -> Vec<String> {
    let mut out = BTreeSet::new();
    for pointer in &finding.evidence {
        match pointer {
            Evidence::Event { seq } => {
                let Ok(Some(event)) = reader.event(*seq) else { continue };
                out.insert(Part::of(event.event.kind.name()).map_or("tree", Part::name).to_owned());
            }
            Evidence::Account { .. } => {
                out.insert("account".to_owned());
            }
            Evidence::Process { .. } => {
                out.insert("tree".to_owned());
            }
        }
    }
    out.into_iter().collect()
}

/// Files of the run that bear its name, but for the drill's own: those in places from which others run something, and others.
fn residue(spec: &Spec, name: &str) -> (Vec<String>, Vec<String>) {
    const MOST: usize = 50;
    let (mut out, mut others) = (Vec::new(), Vec::new());
    let home = spec.home();
    let homes = [home.to_str().unwrap_or_default()];
    // As the cell has them.
    let places = [
        ("home", home.clone()),
        ("tmp", "/tmp".into()),
        ("vartmp", "/var/tmp".into()),
        ("shm", "/dev/shm".into()),
        ("etc", "/etc".into()),
        ("spool", "/var/spool".into()),
    ];
    let mut waiting: Vec<(PathBuf, PathBuf)> =
        places.map(|(part, inside)| (spec.root.join(part), inside)).into();
    while let Some((folder, inside)) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, inside) = (entry.path(), inside.join(entry.file_name()));
            if entry.file_name().to_string_lossy().contains(name) && out.len() + others.len() < MOST {
                let text = inside.to_string_lossy().into_owned();
                let runs = Persistence::built_in().at(&text, &homes).is_some_and(|m| !m.quiet);
                let shown = path.strip_prefix(&spec.root).unwrap_or(&path).to_string_lossy().into_owned();
                if runs { out.push(shown) } else { others.push(shown) }
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push((path, inside));
            }
        }
    }
    out.sort();
    others.sort();
    (out, others)
}

/// The keeper's process, and what it started.
struct Keeper {
    child: Child,
    agent: ProcessKey,
    companion: u32,
}

impl Keeper {
    fn start(spec: &Spec) -> Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg("drill-keeper")
            .arg(spec.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a keeper")?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let mut pids = line.split_whitespace().filter_map(|word| word.parse().ok());
        let (Some(agent), Some(companion)) = (pids.next(), pids.next()) else {
            drop(child.wait());
            bail!("the cell could not be made");
        };
        let agent = process_key(agent).context("the agent did not start")?;
        Ok(Keeper { child, agent, companion })
    }

    /// Its counter goes on.
    fn companion_works(&self, spec: &Spec) -> bool {
        let read = || fs::read_to_string(spec.root.join("companion/tick")).unwrap_or_default();
        let before = read();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(50));
            let now = read();
            if !now.trim().is_empty() && now != before {
                return !is_dead(self.companion);
            }
        }
        false
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// A daemon for the time of the drill.
pub struct Daemon {
    child: Child,
    pub data: PathBuf,
}

impl Daemon {
    pub fn start(folder: &Path, without: Option<Part>) -> Result<Self> {
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        let errors = fs::File::create(folder.join("daemon.log"))?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["watch", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        if let Some(part) = without {
            command.args(["--without", part.name()]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        if let Some(key) = process_key(child.id()) {
            fs::write(folder.join("daemon.json"), serde_json::to_vec(&key)?)?;
        }
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        if !line.starts_with("ready ") {
            drop(child.wait());
            let said = fs::read_to_string(folder.join("daemon.log")).unwrap_or_default();
            bail!("the daemon did not start: {said}");
        }
        Ok(Daemon { child, data })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.data));
    }
}

/// One line of JSON.
pub fn print(run: &Run) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(run)?)?;
    Ok(out.flush()?)
}
