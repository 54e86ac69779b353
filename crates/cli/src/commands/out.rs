//! `muster out`: musters an agent out, through the daemon or without one.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use muster_contain::restore::standing;
use muster_contain::{Out, Outside, Plan, Report, Step, Told, journal};
use muster_engine::State;
use muster_event::{ProcessKey, sanitize};
use muster_server::{ContainRequest, StoreReader, views};
use serde_json::json;

use crate::containment::{self, Config, target};
use crate::exit::{Exit, usage};
use crate::{Global, client, data_files, select};

/// Lines of a list that a person reads.
const SHOWN_MAX: usize = 40;

#[derive(Args)]
pub struct OutCommand {
    /// Id of the agent (its beginning is enough), or pid of its first process.
    #[arg(required_unless_present_any = ["list", "resume"])]
    agent: Option<String>,
    /// Only say what would be touched.
    #[arg(long)]
    dry_run: bool,
    /// The last step that is done: freeze, cut, revoke, kill, quarantine, seal, verify.
    #[arg(long, default_value = "verify", value_name = "STEP", value_parser = step)]
    until: Step,
    /// Stop and put away also what is only likely to be the agent's.
    #[arg(long)]
    include_likely: bool,
    /// Without the daemon: from the record as it is, and what runs.
    #[arg(long)]
    offline: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// List what was mustered out, and how far.
    #[arg(long, conflicts_with_all = ["agent", "resume"])]
    list: bool,
    /// Finish, without the daemon, a mustering out that was interrupted.
    #[arg(long, value_name = "ID", conflicts_with = "agent")]
    resume: Option<String>,
    /// Configuration file, where the daemon was given one (with --offline).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object (a line each, with --list).
    #[arg(long)]
    json: bool,
}

fn step(name: &str) -> Result<Step, String> {
    Step::named(name).ok_or_else(|| format!("one of {}", Step::ALL.map(Step::name).join(", ")))
}

impl OutCommand {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let data = &global.data;
        if self.list {
            return self.print_list(data);
        }
        if let Some(id) = &self.resume {
            return self.resume(data, id);
        }
        let reader = StoreReader::open(data)?;
        let agent = select::agent(&reader, self.agent.as_deref().unwrap_or_default())?;
        if !self.dry_run && !self.yes && !confirmed(&agent, self.until)? {
            return Ok(Exit::Usage);
        }
        if self.offline {
            return self.run_offline(data, &reader, &agent);
        }
        let answer = client::contain(
            data,
            &ContainRequest::Out {
                agent: agent.clone(),
                until: Some(self.until.name().to_owned()),
                include_likely: self.include_likely,
                dry_run: self.dry_run,
            },
        )?;
        if self.dry_run {
            self.print_plan(&agent, &serde_json::from_value(answer)?)
        } else {
            self.print_report(&serde_json::from_value(answer)?)
        }
    }

    fn run_offline(&self, data: &Path, reader: &StoreReader, agent: &str) -> Result<Exit> {
        refuse_agents(data)?;
        let config = Config::read(data, self.config.as_deref())?;
        let products = data_files::products(None)?;
        let none = BTreeSet::new();
        let target =
            target::build(reader, &products, &config, agent, &none, Vec::new(), self.include_likely)?;
        let own = own_pids(reader);
        if self.dry_run {
            return self.print_plan(agent, &muster_contain::dry_run(&target, &own, &none));
        }
        let by = "root, without the daemon";
        let mut out = Out::begin(data, target, self.until, by, own)?;
        let around = Alone { data: data.to_owned(), agent: agent.to_owned(), quiet: self.json };
        let report = out.carry_out(&around)?;
        self.print_report(&report)
    }

    fn resume(&self, data: &Path, id: &str) -> Result<Exit> {
        refuse_agents(data)?;
        target::folder(data, id)?;
        let own = StoreReader::open(data).map(|reader| own_pids(&reader)).unwrap_or_default();
        let (mut out, it) = Out::resume(data, id, own)?;
        if it.is_over() {
            return Err(usage(format!("{id} is over: it was let go, or put back")));
        }
        let around = Alone { data: data.to_owned(), agent: it.agent, quiet: self.json };
        let report = out.carry_out(&around)?;
        self.print_report(&report)
    }

    fn print_list(&self, data: &Path) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        for id in target::all(data) {
            let Ok(lines) = journal::read(&target::folder(data, &id)?) else { continue };
            let it = standing(&lines);
            let state = match (&it.finished, it.thawed, it.restored) {
                (_, true, _) => "thawed",
                (_, _, true) => "restored",
                (Some(left), ..) if left.is_empty() => "stands",
                (Some(_), ..) => "stands, with things left",
                (None, ..) => "interrupted",
            };
            if self.json {
                let line = json!({
                    "id": id, "agent": it.agent, "until": it.until, "by": it.by, "asked": views::time(it.asked_ns),
                    "done": it.done, "state": state, "left": it.finished.unwrap_or_default(), "returned": it.returned,
                    "files": it.kept.iter().map(|kept| &kept.path).collect::<Vec<_>>(),
                });
                writeln!(out, "{line}")?;
            } else {
                writeln!(
                    out,
                    "{id}  {}  {}  until {}  {state}  {} files put away  came back {} times",
                    views::time(it.asked_ns),
                    sanitize(&it.agent),
                    it.until,
                    it.kept.len(),
                    it.returned
                )?;
            }
        }
        Ok(Exit::Nothing)
    }

    fn print_plan(&self, agent: &str, plan: &Plan) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_value(plan)?)?;
            return Ok(Exit::Nothing);
        }
        writeln!(out, "{agent}: nothing is touched; mustering it out as far as {} would", self.until.name())?;
        print_touched(&mut out, plan)?;
        Ok(Exit::Nothing)
    }

    fn print_report(&self, report: &Report) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        let exit = if report.left.is_empty() { Exit::Nothing } else { Exit::Findings };
        if self.json {
            writeln!(out, "{}", serde_json::to_value(report)?)?;
            return Ok(exit);
        }
        writeln!(out, "{}  {}", report.id, sanitize(&report.agent))?;
        print_touched(&mut out, &report.touched)?;
        for step in &report.steps {
            writeln!(
                out,
                "{:<10} {:>9.1} ms  {}",
                step.step,
                step.micros as f64 / 1e3,
                sanitize(&step.text)
            )?;
        }
        if let Some(micros) = report.dead_micros {
            writeln!(out, "dead {:.1} ms after the decision", micros as f64 / 1e3)?;
        }
        for left in &report.left {
            writeln!(out, "LEFT: {}", sanitize(left))?;
        }
        Ok(exit)
    }
}

fn print_touched(out: &mut impl Write, plan: &Plan) -> Result<()> {
    let mut list = |what: &str, lines: Vec<String>| -> Result<()> {
        let more = lines.len().saturating_sub(SHOWN_MAX);
        for line in lines.into_iter().take(SHOWN_MAX) {
            writeln!(out, "  {what:<10} {}", sanitize(&line))?;
        }
        if more > 0 {
            writeln!(out, "  {what:<10} … and {more} more (--json names all)")?;
        }
        Ok(())
    };
    let process = |it: &muster_contain::Known| format!("{} {}", it.pid, it.command);
    list("stop", plan.processes.iter().map(process).collect())?;
    list("group", plan.cgroups.clone())?;
    list("unit", plan.units.clone())?;
    let file = |it: &muster_contain::PlannedFile| {
        format!("{} {} ({}) {}", it.action, it.path.display(), it.mechanism, it.why)
    };
    list("file", plan.files.iter().map(file).collect())?;
    list("revoke", plan.revocations.clone())?;
    list("likely", plan.likely.iter().map(|it| format!("{} (left alone)", process(it))).collect())
}

/// A person at a terminal is asked; a script must say that it means it.
fn confirmed(agent: &str, until: Step) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(usage(
            "nobody can be asked here\nhint: give --yes, or --dry-run to see what would be touched",
        ));
    }
    eprint!("muster out {agent}, as far as {}? [y/N] ", until.name());
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// The daemon, if one runs: whoever musters out without it spares it.
fn own_pids(reader: &StoreReader) -> Vec<u32> {
    let start = reader.health().ok().and_then(|health| health.start);
    let daemon = start.map(|start| start.daemon).filter(|key| muster_contain::key_of(key.pid) == Some(*key));
    daemon.map(|key| key.pid).into_iter().collect()
}

/// Without the daemon, the record says who asks: what descends from an agent stops nobody.
pub fn refuse_agents(data: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(usage("only root may muster out\nhint: use sudo"));
    }
    let refused =
        |agent: &str| usage(format!("it was asked by {agent}, which is on the roll: an agent stops nobody"));
    let chain = muster_contain::ancestors(std::process::id());
    let Ok(reader) = StoreReader::open(data) else { return Ok(()) };
    let roll = reader.roll()?;
    let running: Vec<_> =
        roll.iter().filter(|state| matches!(state.state, State::Running | State::Frozen)).collect();
    for state in &running {
        if chain.contains(&state.root) || reader.members(&state.agent)?.iter().any(|key| chain.contains(key))
        {
            return Err(refused(&state.agent));
        }
    }
    // What began a moment ago is not in the index yet.
    if let Ok(marked) = std::env::var("MUSTER_AGENT") {
        return Err(refused(&sanitize(&marked)));
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if groups.lines().any(|line| line.starts_with("0::/muster/")) {
        return Err(refused("what runs in its control group"));
    }
    Ok(())
}

/// Without a daemon: the journal is all that there is.
struct Alone {
    data: PathBuf,
    agent: String,
    quiet: bool,
}

impl Outside for Alone {
    fn told(&self, told: &Told) {
        if !self.quiet && told.state != "begun" {
            eprintln!("{}: {} {}", told.step, told.state, sanitize(&told.text));
        }
    }

    fn known(&self) -> BTreeSet<ProcessKey> {
        BTreeSet::new()
    }

    fn post(&self, url: &str, agent: &str, credential: &str, limit: Duration) -> Result<(), String> {
        containment::post(url, agent, credential, limit)
    }

    fn seal(&self, folder: &Path) -> Result<String, String> {
        containment::seal(&self.data, &self.agent, folder)
    }

    fn silence(&self, id: &str, groups: &[PathBuf], sockets: &[u64]) -> Result<(), String> {
        containment::silence(id, groups, sockets, true)
    }

    fn unsilence(&self) {
        containment::unsilence(&self.data, &self.agent);
    }
}
