//! `muster replay`: the findings follow from the ledger, and from nothing else. Goes through it with a fresh engine and
//! compares; can write the inputs of one agent as a scenario that needs no kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_engine::{Engine, Finding, Input, Output, Products, Rules};
use muster_event::{Kind, ProcessKey, Queue};
use muster_server::{Step, StoreReader};

use crate::exit::{Exit, usage};
use crate::{Global, data_files, select};

#[derive(Args)]
pub struct Replay {
    /// Folder of data files that the daemon was given.
    #[arg(long, value_name = "DIR")]
    products: Option<PathBuf>,
    /// Write the inputs that concern this agent as a scenario: one JSON object per line, without raw transcripts.
    #[arg(long, requires = "to", value_name = "AGENT")]
    export: Option<String>,
    /// The file to write it to.
    #[arg(long, requires = "export", value_name = "FILE")]
    to: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What a pass over the ledger came to.
#[derive(Default)]
struct Passed {
    inputs: u64,
    stored: BTreeMap<String, Finding>,
    replayed: BTreeMap<String, Finding>,
    /// Findings of before the first start that is still there.
    before: u64,
    damaged: Vec<String>,
    /// Entries that only another version understands.
    unknown: u64,
    unknown_first: Option<String>,
    /// Inputs that drove the engine and could not be written: without them it finds otherwise.
    unwritten: u64,
    dropped: bool,
    /// Processes by the agent that they belong to.
    members: BTreeMap<String, BTreeSet<ProcessKey>>,
}

impl Replay {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let products = data_files::products(self.products.as_deref())?;
        let reader = StoreReader::open(&global.data)?;
        let rules = data_files::rules(&global.data)?;
        let passed = pass(&reader, &products, &rules)?;
        if let (Some(agent), Some(to)) = (&self.export, &self.to) {
            let agent = select::agent(&reader, agent)?;
            let none = BTreeSet::new();
            let count = export(&reader, &agent, passed.members.get(&agent).unwrap_or(&none), to)?;
            eprintln!("replay: {count} inputs of {agent} written to `{}`", to.display());
        }
        let mut different: Vec<&str> = passed
            .stored
            .iter()
            .filter(|(id, finding)| passed.replayed.get(*id) != Some(finding))
            .map(|(id, _)| id.as_str())
            .collect();
        different
            .extend(passed.replayed.keys().filter(|id| !passed.stored.contains_key(*id)).map(String::as_str));
        self.report(&passed, &different)?;
        let explained = different.is_empty() || passed.unwritten > 0;
        Ok(if explained && passed.damaged.is_empty() { Exit::Nothing } else { Exit::Tampered })
    }

    fn report(&self, passed: &Passed, different: &[&str]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let result = serde_json::json!({
                "inputs": passed.inputs, "findings": passed.stored.len(), "different": different,
                "before_first_start": passed.before, "dropped": passed.dropped, "damaged": passed.damaged,
                "unknown": passed.unknown, "unwritten": passed.unwritten,
            });
            writeln!(out, "{result}")?;
            return Ok(());
        }
        for place in &passed.damaged {
            writeln!(out, "damaged: {}", muster_event::sanitize(place))?;
        }
        if let Some(first) = &passed.unknown_first {
            writeln!(
                out,
                "entries that this version does not understand: {} (the first: {})",
                passed.unknown,
                muster_event::sanitize(first)
            )?;
        }
        for id in different {
            let which = match (passed.stored.get(*id), passed.replayed.get(*id)) {
                (Some(_), Some(_)) => "comes out otherwise",
                (Some(_), None) => "does not come out again",
                (None, _) => "comes out now, and is not in the ledger",
            };
            writeln!(out, "{id}: {which}")?;
        }
        if passed.dropped {
            writeln!(
                out,
                "retention removed the beginning: what was before the first start left is not compared"
            )?;
        }
        if passed.unwritten > 0 {
            writeln!(
                out,
                "{} inputs could not be written when they came (`muster gaps`): what they led to cannot be compared",
                passed.unwritten
            )?;
        }
        let verdict = if different.is_empty() { "the same" } else { "NOT the same" };
        writeln!(out, "{} inputs, {} findings: {verdict}", passed.inputs, passed.stored.len())?;
        if !different.is_empty() && passed.unwritten == 0 {
            writeln!(
                out,
                "hint: another version of Muster, or other --products or rules, may find otherwise; else the ledger was changed"
            )?;
        }
        Ok(())
    }
}

fn pass(reader: &StoreReader, products: &Products, rules: &Arc<Rules>) -> Result<Passed> {
    let mut passed = Passed::default();
    let mut engine: Option<Engine> = None;
    let bar = spinner();
    reader.replay(&mut |step| {
        match step {
            Step::Dropped => passed.dropped = true,
            Step::Damaged(place) => passed.damaged.push(place),
            Step::Unknown(what) => {
                passed.unknown += 1;
                passed.unknown_first.get_or_insert(what);
            }
            Step::Finding(finding) if engine.is_none() => {
                drop(finding);
                passed.before += 1;
            }
            // The first telling counts: retention writes findings again.
            Step::Finding(finding) => {
                passed.stored.entry(finding.id.clone()).or_insert(*finding);
            }
            Step::Input(input) => {
                // Each start is a new daemon with a new engine. An import has none.
                if matches!(*input, Input::Start(_))
                    || engine.is_none() && matches!(*input, Input::Imported(_))
                {
                    engine = Some(Engine::with_rules(products.clone(), Arc::clone(rules)));
                }
                let Some(engine) = &mut engine else { return true };
                if let Input::Lost(lost) = &*input
                    && lost.queue == Queue::Intake
                {
                    passed.unwritten = passed.unwritten.saturating_add(lost.count);
                }
                passed.inputs += 1;
                bar.inc(1);
                for output in engine.step(*input) {
                    match output {
                        Output::Finding(finding) => {
                            passed.replayed.entry(finding.id.clone()).or_insert(*finding);
                        }
                        Output::Member(member) => {
                            passed.members.entry(member.agent).or_default().insert(member.process);
                        }
                        _ => {}
                    }
                }
            }
        }
        true
    })?;
    bar.finish_and_clear();
    Ok(passed)
}

/// Writes what concerns one agent: what its processes did, what it said, and the passing of time.
fn export(reader: &StoreReader, agent: &str, members: &BTreeSet<ProcessKey>, to: &Path) -> Result<u64> {
    let file =
        File::create(to).map_err(|error| usage(format!("cannot write `{}`: {error}", to.display())))?;
    let mut file = BufWriter::new(file);
    let mut count = 0;
    let mut failed = None;
    reader.replay(&mut |step| {
        let Step::Input(mut input) = step else { return true };
        if !concerns(&input, agent, members) {
            return true;
        }
        if let Input::Account(record) = &mut *input {
            record.raw.clear();
        }
        let written = serde_json::to_string(&*input)
            .map_err(anyhow::Error::from)
            .and_then(|line| writeln!(file, "{line}").map_err(Into::into));
        count += 1;
        failed = written.err();
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error).with_context(|| format!("cannot write `{}`", to.display()));
    }
    file.flush()?;
    Ok(count)
}

fn concerns(input: &Input, agent: &str, members: &BTreeSet<ProcessKey>) -> bool {
    match input {
        Input::Start(_)
        | Input::Lost(_)
        | Input::Probe { .. }
        | Input::Tick { .. }
        | Input::ClockStep { .. }
        | Input::Recorded { .. }
        | Input::Stop { .. } => true,
        Input::Snapshot(snapshot) => members.contains(&snapshot.process),
        Input::Event(event) => {
            let child = match &event.kind {
                Kind::Fork { child } => members.contains(child),
                _ => false,
            };
            child || members.contains(&event.process)
        }
        Input::Identified { process, .. } => members.contains(process),
        Input::Enrol(enrol) => members.contains(&enrol.process),
        Input::Account(record) => record.agent == agent,
        Input::AccountState { agent: of, .. } | Input::Configured { agent: of, .. } => of == agent,
        Input::Opinion(opinions) => opinions.agent == agent,
        // Of no agent: what stood in such places before.
        Input::ArtefactRead(read) => read.agent == agent || read.agent.is_empty(),
        Input::Containment(step) => step.agent == agent,
        Input::Remembered(it) => it.state.agent == agent,
        Input::Mandate(note) => note.agent.as_deref() == Some(agent),
        Input::Gate(note) => note.agent == agent,
        Input::Approval(note) => note.agent == agent,
        Input::Review(review) => review.agent == agent,
        Input::Hooks(read) => read.agent == agent,
        Input::Canaries(_) => true,
        Input::Imported(_) => false,
    }
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("replay {spinner} {human_pos} inputs {per_sec}") {
        bar.set_style(style);
    }
    bar
}
