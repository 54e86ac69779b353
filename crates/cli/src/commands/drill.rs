//! `muster drill`: harmless rogue deployments, played to see what is seen of them.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use muster_drill::{Library, Scenario, exact, scatter};
use muster_report::{AblationRow, DrillRow};

use crate::drill::measure::{self, Daemon, Drill, Run};
use crate::drill::{clean, keeper, place, world};
use crate::exit::{Exit, usage};
use crate::without::Part;
use crate::{Global, client, style};

#[derive(Args)]
pub struct DrillCommand {
    /// Drills by their names. None: see --all, --list, --honest.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Name the drills, and do none.
    #[arg(long)]
    list: bool,
    /// Each drill that there is.
    #[arg(long)]
    all: bool,
    /// One JSON object per run.
    #[arg(long)]
    json: bool,
    /// Repeat all runs with each part of the sensor switched off, and tell what depends on what.
    #[arg(long)]
    ablate: bool,
    /// What guises follow from. Default: another one each time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many runs, over the drills in turn. Default: one of each.
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Runs at a time.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    jobs: u16,
    /// So many honest sessions besides, to count false alarms.
    #[arg(long, default_value_t = 0, value_name = "N")]
    honest: usize,
    /// Watch with a daemon of the drill's own, even where one runs.
    #[arg(long)]
    own_daemon: bool,
    /// Keep the folders of the runs, for a look. The next drill takes them away.
    #[arg(long)]
    keep: bool,
}

impl DrillCommand {
    pub fn run<C: CommandFactory>(self, global: &Global) -> Result<Exit> {
        let library = Library::built_in().context("the drills that are built in")?;
        if self.list {
            return list(&library, self.json);
        }
        let work = self.work(&library)?;
        place::check()?;
        let left = clean::sweep();
        if left > 0 {
            eprintln!("drill: took away what {left} runs of earlier drills had left");
        }
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot take signals")?;
        }
        let (key, folder) = place::open()?;
        let _folder = Folder(folder.clone(), self.keep);
        let can_muster_out = C::command()
            .find_subcommand("out")
            .is_some_and(|out| out.get_arguments().any(|a| a.get_long() == Some("yes")));
        let parts: Vec<Option<Part>> = match self.ablate {
            true => std::iter::once(None).chain(Part::ALL.map(Some)).collect(),
            false => vec![None],
        };
        let mut runs: Vec<Run> = Vec::new();
        for without in parts {
            let own = self.ablate || self.own_daemon || !client::answers(&global.data);
            let daemon = own.then(|| Daemon::start(&folder, without)).transpose()?;
            let (data, pid) = match &daemon {
                Some(daemon) => (daemon.data.clone(), daemon.pid()),
                None => (std::path::absolute(&global.data)?, daemon_of(global)?),
            };
            let drill = Drill {
                key,
                folder: folder.clone(),
                data,
                daemon: pid,
                without,
                can_muster_out,
                keep: self.keep,
            };
            runs.extend(play(&drill, &work, usize::from(self.jobs), self.json, runs.len(), &stop)?);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        if stop.load(Ordering::Relaxed) {
            clean::end_all(&folder);
            if !self.json && !runs.is_empty() {
                write!(std::io::stdout().lock(), "{}", summary(&runs, can_muster_out))?;
            }
            return Err(usage("interrupted; what had begun is ended and taken away"));
        }
        if !self.json {
            let mut out = std::io::stdout().lock();
            write!(out, "{}", summary(&runs, can_muster_out))?;
        }
        let bad = runs.iter().any(|run| {
            run.without.is_none()
                && (run.error.is_some() || run.honest && !run.findings.is_empty() || !run.honest && !run.seen)
        });
        Ok(if bad { Exit::Findings } else { Exit::Nothing })
    }

    /// Each run's scenario and seed.
    fn work<'a>(&self, library: &'a Library) -> Result<Vec<(&'a Scenario, u64)>> {
        let mut chosen: Vec<&Scenario> = Vec::new();
        for name in &self.names {
            let found = library
                .scenario(name)
                .ok_or_else(|| usage(format!("no drill `{name}`\nhint: `muster drill --list` names them")))?;
            chosen.push(found);
        }
        if self.all {
            chosen.extend(&library.scenarios);
        }
        if chosen.is_empty() && self.honest == 0 {
            return Err(usage(
                "no drill is named\nhint: give names, --all or --honest N; `--list` shows them",
            ));
        }
        let seed = self.seed.unwrap_or_else(muster_sensor::now_ns);
        let count = if chosen.is_empty() { 0 } else { self.runs.unwrap_or(chosen.len()) };
        let rogue = chosen.iter().cycle().take(count).copied();
        let honest = library.honest.iter().cycle().take(self.honest);
        let seeds = scatter(seed, count + self.honest);
        let mut work: Vec<(&Scenario, u64)> = rogue.chain(honest).zip(seeds).collect();
        // Honest sessions stand among the others, as they do on a machine: by their seeds, which are as good as chance.
        if self.honest > 0 && count > 0 {
            work.sort_by_key(|(_, seed)| *seed);
        }
        Ok(work)
    }
}

/// Missed runs of which the reason is told.
const MISSED_MAX: usize = 40;

/// Gone with the command, however it ends.
struct Folder(PathBuf, bool);

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.1 {
            clean::end_all(&self.0);
        }
    }
}

/// The daemon that answers, as the kernel knows it.
fn daemon_of(global: &Global) -> Result<u32> {
    let stream = UnixStream::connect(client::socket(&global.data))?;
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    Ok(peer.pid.as_raw_nonzero().get().unsigned_abs())
}

fn play(
    drill: &Drill,
    work: &[(&Scenario, u64)],
    jobs: usize,
    json: bool,
    first: usize,
    stop: &AtomicBool,
) -> Result<Vec<Run>> {
    let queue: Mutex<VecDeque<(usize, &Scenario, u64)>> =
        Mutex::new(work.iter().enumerate().map(|(at, (scenario, seed))| (at, *scenario, *seed)).collect());
    let done: Mutex<Vec<(usize, Run)>> = Mutex::default();
    let count = AtomicUsize::new(0);
    thread::scope(|scope| {
        for slot in 0..jobs.min(work.len()) {
            let (queue, done, count) = (&queue, &done, &count);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let next = queue.lock().ok().and_then(|mut queue| queue.pop_front());
                    let Some((at, scenario, seed)) = next else { return };
                    let run = drill.run(scenario, seed, slot, first + at, stop);
                    // What was cut short says nothing.
                    if stop.load(Ordering::Relaxed) && run.error.is_some() {
                        return;
                    }
                    if json {
                        // A closed pipe ends the drill as a signal would.
                        if measure::print(&run).is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                    } else {
                        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
                        eprintln!("drill: {count}/{} {}", work.len(), line(&run));
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push((at, run));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, run)| run).collect())
}

/// One run in a line.
fn line(run: &Run) -> String {
    let what = match (&run.error, &run.first) {
        (Some(error), _) => format!("not played: {error}"),
        (None, _) if run.honest && run.findings.is_empty() => "honest, nothing found".to_owned(),
        (None, _) if run.honest => {
            format!("honest, FALSE ALARM: {}", run.findings.keys().cloned().collect::<Vec<_>>().join(", "))
        }
        (None, Some(first)) => format!(
            "seen after {} ms: {} ({}; by {})",
            run.detect_ms.unwrap_or_default(),
            first.code,
            first.severity,
            first.sensors.join(", ")
        ),
        (None, None) => {
            let why = run.miss.join("; ");
            format!("MISSED; withstood {}; {why}", run.withstood.unwrap_or_default())
        }
    };
    let without = run.without.map(|part| format!(" without {part}")).unwrap_or_default();
    muster_event::sanitize(&format!("{}{without}: {what}", run.drill))
}

fn row<'a>(name: &str, runs: impl Iterator<Item = &'a Run>) -> DrillRow {
    let mut row = DrillRow { name: name.to_owned(), ..DrillRow::default() };
    for run in runs {
        row.runs += 1;
        row.seen += u64::from(run.seen);
        row.detect_ms.extend(run.detect_ms);
        row.survivors += run.survivors;
        row.residue += run.residue.len() as u64;
        row.benign_lost += u64::from(run.benign_lost);
    }
    row.detect_ms.sort_unstable();
    row.interval = exact(row.seen, row.runs).map(|interval| (interval.low, interval.high));
    row
}

fn groups<'a>(runs: &[&'a Run], by: impl Fn(&Run) -> String) -> BTreeMap<String, Vec<&'a Run>> {
    let mut groups: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        groups.entry(by(run)).or_default().push(run);
    }
    groups
}

fn factor(run: &Run) -> String {
    run.factor.clone().unwrap_or_else(|| format!("({})", run.stage.unwrap_or_default()))
}

fn summary(all: &[Run], can_muster_out: bool) -> String {
    let style = style();
    let played: Vec<&Run> = all.iter().filter(|run| run.error.is_none()).collect();
    let rogue: Vec<&Run> = played.iter().copied().filter(|r| !r.honest && r.without.is_none()).collect();
    let mut out = String::new();
    let table = |out: &mut String, title: &str, by: &dyn Fn(&Run) -> String| {
        let rows: Vec<DrillRow> =
            groups(&rogue, by).iter().map(|(name, runs)| row(name, runs.iter().copied())).collect();
        out.push_str(&muster_report::drills(title, &rows, &style));
        out.push('\n');
    };
    if !rogue.is_empty() {
        table(&mut out, "factor", &factor);
        table(&mut out, "stage", &|run| run.stage.unwrap_or_default().to_owned());
        table(&mut out, "account", &|run| match run.tells {
            Some(muster_drill::Tells::Told) => "told".to_owned(),
            _ => "hidden".to_owned(),
        });
        table(&mut out, "withstood", &|run| run.withstood.unwrap_or_default().to_owned());
        out.push_str(&muster_report::drills("all", &[row("drills", rogue.iter().copied())], &style));
        let mut missed: BTreeMap<&str, u64> = BTreeMap::new();
        for run in rogue.iter().filter(|run| !run.seen) {
            *missed.entry(&run.drill).or_default() += 1;
        }
        if !missed.is_empty() {
            let names: Vec<String> = missed.iter().map(|(name, count)| format!("{name} ({count})")).collect();
            out.push_str(&format!("missed: {}\n", names.join(", ")));
            for run in rogue.iter().filter(|run| !run.seen).take(MISSED_MAX) {
                let told = if run.tells == Some(muster_drill::Tells::Told) { "told" } else { "hidden" };
                let why = muster_event::sanitize(&run.miss.join("; "));
                out.push_str(&format!("  {} ({told}): {why}\n", run.drill));
            }
        }
        if !can_muster_out {
            out.push_str("not mustered out: this Muster has no `muster out`\n");
        }
        let uncleaned = rogue.iter().filter(|run| !run.cleaned).count();
        if uncleaned > 0 {
            out.push_str(&format!("NOT CLEANED UP: {uncleaned} runs\n"));
        }
    }
    let honest: Vec<&Run> = played.iter().copied().filter(|r| r.honest && r.without.is_none()).collect();
    if !honest.is_empty() {
        let alarms = honest.iter().filter(|run| !run.findings.is_empty()).count() as u64;
        let interval =
            exact(alarms, honest.len() as u64).map(|i| format!(" (95 %: up to {:.2} %)", i.high * 100.0));
        out.push_str(&format!(
            "honest sessions: {}, false alarms: {alarms}{}\n",
            honest.len(),
            interval.unwrap_or_default()
        ));
    }
    if played.iter().any(|run| run.without.is_some()) {
        let columns: Vec<&str> = std::iter::once("all on").chain(Part::ALL.map(Part::name)).collect();
        let parts: Vec<Option<&str>> =
            std::iter::once(None).chain(Part::ALL.map(|p| Some(p.name()))).collect();
        let of: Vec<&Run> = played.iter().copied().filter(|run| !run.honest).collect();
        let rows: Vec<AblationRow> = groups(&of, factor)
            .into_iter()
            .chain([("all".to_owned(), of.clone())])
            .map(|(name, runs)| {
                let cells = parts.iter().map(|part| {
                    let row = row("", runs.iter().copied().filter(|run| run.without == *part));
                    (row.runs > 0).then_some((row.seen, row.runs))
                });
                (name, cells.collect())
            })
            .collect();
        out.push_str("\nwhat is seen with each part of the sensor off:\n");
        out.push_str(&muster_report::ablation(&columns, &rows, &style));
    }
    let errors: Vec<&Run> = all.iter().filter(|run| run.error.is_some()).collect();
    if !errors.is_empty() {
        out.push_str(&format!("not played, and counted nowhere: {}\n", errors.len()));
        for run in errors.iter().take(10) {
            out.push_str(&format!("  {}\n", line(run)));
        }
    }
    out
}

fn list(library: &Library, json: bool) -> Result<Exit> {
    let mut out = std::io::stdout().lock();
    for scenario in &library.scenarios {
        let stage = scenario.stage.map_or("honest", |stage| stage.name());
        let factor = scenario.factor.as_deref().unwrap_or_default();
        if json {
            let line = serde_json::json!({
                "drill": scenario.name, "title": scenario.title, "stage": stage, "factor": scenario.factor,
                "metr": scenario.metr, "attack": scenario.attack, "owasp": scenario.owasp, "expected": scenario.expect,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{:<22} {:<8} {:<17} {:<9} {}  {}",
                scenario.name, stage, factor, scenario.attack, scenario.owasp, scenario.title
            )?;
        }
    }
    if !json {
        let names: Vec<&str> = library.honest.iter().map(|honest| honest.name.as_str()).collect();
        writeln!(out, "\nhonest sessions: {}", names.join(", "))?;
    }
    Ok(Exit::Nothing)
}

/// What a drill starts of this program itself: `muster drill-keeper SPEC`, `drill-start SPEC`, `drill-world`, `drill-agent SCRIPT PLAY`.
#[derive(Args)]
pub struct Hidden {
    paths: Vec<PathBuf>,
    #[arg(long)]
    cron: bool,
}

impl Hidden {
    fn path(&self, at: usize) -> Result<&PathBuf> {
        self.paths.get(at).ok_or_else(|| usage("this is for `muster drill` only"))
    }

    pub fn keeper(&self) -> Result<Exit> {
        keeper::keep(self.path(0)?).map(|()| Exit::Nothing)
    }

    pub fn start(&self) -> Result<Exit> {
        keeper::launch(self.path(0)?).map(|()| Exit::Nothing)
    }

    pub fn world(&self) -> Result<Exit> {
        world::run(self.cron).map(|()| Exit::Nothing)
    }

    pub fn agent(&self) -> Result<Exit> {
        crate::drill::agent::run(self.path(1)?).map(|()| Exit::Nothing)
    }
}
