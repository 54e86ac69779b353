//! `muster compare A B`: whether two sets of runs differ in behaviour.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_compare::analysis::{Verdict, compare};
use muster_compare::monitor::{Monitor, Side};
use muster_compare::plan::{Plan, PlanView};
use muster_compare::read::Ask;
use muster_compare::report;
use muster_compare::set::Set;
use muster_compare::stats::detector;
use muster_compare::stats::power::Study;

use crate::compared::{self, Place, Reading, Registered, Registering, Source};
use crate::exit::{Exit, usage};
use crate::{Global, style};

/// Between two looks with `--follow`.
const LOOK: Duration = Duration::from_secs(2);
/// Tasks of a study for which its power is simulated.
const SIMULATED_MAX: u64 = 1_000;

/// It speaks of a behavioural difference and its size. Why there is one, it cannot say.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Compare {
    #[command(subcommand)]
    command: Option<Part>,
    /// One side: a log or a folder of logs (Inspect `.eval` or JSON, ATIF, CSV or JSONL with `task,arm,epoch,outcome`), or
    /// `label:NAME` for Muster's agents that were enrolled as `NAME` or `NAME/TASK`. With `@ARM` behind, only that arm of it.
    #[arg(required = true, value_name = "A")]
    a: Option<String>,
    /// The other side. Without it, A must hold just two arms.
    #[arg(value_name = "B")]
    b: Option<String>,
    /// Go by this plan (TOML: `metric`, `level`, `test`, `exclude_tasks`, …). It is signed before the data are read, unless
    /// that was done before (`muster compare register`); what departs from it is shown.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Register the plan in the ledger of the folder `--data`, not in a signed file beside it.
    #[arg(long, requires = "plan")]
    in_ledger: bool,
    /// The key that signs plans. Made where it is not there. [default: ~/.config/muster/plan.key]
    #[arg(long, value_name = "FILE")]
    plan_key: Option<PathBuf>,
    /// The public key of whoever registered the plan, where that was somebody else.
    #[arg(long, value_name = "VKEY")]
    plan_signer: Option<String>,
    /// The primary measure: `success`, a measure of conduct, or a column of a table.
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// The level of the tests; intervals hold one minus it.
    #[arg(long, value_name = "LEVEL")]
    level: Option<f64>,
    /// The primary test: sign-flip, mcnemar-exact, mcnemar-mid-p, fisher, boschloo, cmh, mann-whitney.
    #[arg(long, value_name = "NAME")]
    test: Option<String>,
    /// Which of several scorers gives the outcome.
    #[arg(long, value_name = "NAME")]
    scorer: Option<String>,
    /// Leave this task out. May be given several times.
    #[arg(long, value_name = "TASK")]
    exclude_task: Vec<String>,
    /// Count runs that broke off by an error of their harness, too.
    #[arg(long)]
    count_errors: bool,
    /// Outcomes that the logs do not have: a table `task,outcome`, by task, agent or name of file.
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,
    /// Let the e-process decide, which may be looked at any time.
    #[arg(long)]
    sequential: bool,
    /// Go on: look again each two seconds, tell each new pair, and end (exit 1) once the e-process shows a difference.
    #[arg(long)]
    follow: bool,
    /// Write the report as a page, with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The report as one JSON object: each test with `statistic`, `p`, `estimate`, `interval`.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Sign a plan now, before there are data.
    Register(Register),
    /// How many tasks do I need?
    Tasks(Tasks),
    /// How good a monitor is: a table with a score and an outcome (1: it was really there) in each line.
    Detector(DetectorArgs),
}

#[derive(Args)]
struct Register {
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Register it in the ledger of the folder `--data`, not in a signed file beside it.
    #[arg(long)]
    in_ledger: bool,
    /// The key that signs it. [default: ~/.config/muster/plan.key]
    #[arg(long, value_name = "FILE")]
    plan_key: Option<PathBuf>,
}

#[derive(Args)]
struct Tasks {
    /// Rate in the ordinary arm, between 0 and 1.
    #[arg(long, value_name = "RATE")]
    base: f64,
    /// Difference of rates that is to be found, e.g. -0.1.
    #[arg(long, value_name = "DIFFERENCE", allow_negative_numbers = true)]
    effect: f64,
    /// Runs of each task in each arm.
    #[arg(long, value_name = "N", default_value_t = 3)]
    epochs: u64,
    /// How much tasks differ in rate (standard deviation). Greater helps: pairs take it out.
    #[arg(long, value_name = "SD", default_value_t = 0.2)]
    spread: f64,
    /// How much the effect differs from task to task (standard deviation). Greater costs.
    #[arg(long, value_name = "SD", default_value_t = 0.05)]
    variation: f64,
    #[arg(long, value_name = "LEVEL", default_value_t = 0.05)]
    level: f64,
    /// How often the effect is to be found.
    #[arg(long, value_name = "SHARE", default_value_t = 0.8)]
    power: f64,
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct DetectorArgs {
    /// A table (CSV or JSONL) with `task`, `outcome` and the score.
    table: PathBuf,
    /// The column of the score.
    #[arg(long, value_name = "NAME", default_value = "score")]
    score: String,
    /// Recall is told at this share of false alarms.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    false_rate: f64,
    /// … and at so many alerts a day,
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    alerts: f64,
    /// of so many runs a day,
    #[arg(long, value_name = "N", default_value_t = 1_000.0)]
    per_day: f64,
    /// of which this share is real.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    prevalence: f64,
    #[arg(long, value_name = "LEVEL", default_value_t = 0.05)]
    level: f64,
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub fn run(self, global: &Global) -> Result<Exit> {
        match self.command {
            Some(Part::Register(ref part)) => part.run(global),
            Some(Part::Tasks(ref part)) => part.run(),
            Some(Part::Detector(ref part)) => part.run(),
            None => self.compare(global),
        }
    }

    fn compare(&self, global: &Global) -> Result<Exit> {
        // The plan first: it is registered before a byte of data is read.
        let how = Registering {
            key: self.plan_key.as_deref(),
            signer: self.plan_signer.as_deref(),
            data: &global.data,
            ledger: self.in_ledger,
        };
        let registered = self.plan.as_deref().map(|plan| compared::consult(plan, &how)).transpose()?;
        let mut done = self.done(registered.as_ref());
        done.check().map_err(|error| usage(error.to_string()))?;
        let outcomes = match &self.outcomes {
            Some(path) => compared::table_outcomes(path)?,
            None => BTreeMap::new(),
        };
        if self.follow {
            return self.follow(global, &done, &outcomes);
        }
        let mut notes = Vec::new();
        let (a, b) = self.sides(global, &done, &outcomes, &mut notes)?;
        if registered.as_ref().is_some_and(|r| !r.plan.a.is_empty() || !r.plan.b.is_empty()) {
            done.a.clone_from(&a.name);
            done.b.clone_from(&b.name);
        }
        let view = registered.map(|registered| self.view(registered, &done));
        let comparison = compare(a, b, &done, view, notes);
        if let Some(path) = &self.html {
            std::fs::write(path, report::html(&comparison))
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", report::json(&comparison))?;
        } else {
            write!(out, "{}", report::text(&comparison, style().width))?;
        }
        let difference = comparison.answer.verdict == Verdict::Difference;
        Ok(if difference { Exit::Findings } else { Exit::Nothing })
    }

    /// The plan, with what the command line says instead.
    fn done(&self, registered: Option<&Registered>) -> Plan {
        let mut done = registered.map(|r| r.plan.clone()).unwrap_or_default();
        if let Some(metric) = &self.metric {
            done.metric.clone_from(metric);
        }
        if let Some(level) = self.level {
            done.level = level;
        }
        if let Some(test) = &self.test {
            done.test.clone_from(test);
        }
        if let Some(scorer) = &self.scorer {
            done.scorer.clone_from(scorer);
        }
        done.exclude_tasks.extend(self.exclude_task.iter().cloned());
        done.exclude_errors &= !self.count_errors;
        done.sequential |= self.sequential;
        done
    }

    fn view(&self, registered: Registered, done: &Plan) -> PlanView {
        let mut deviations = registered.deviations;
        deviations.extend(registered.plan.deviations(done));
        let before = |source: &str| -> Option<()> {
            let Place::Path(path) = Source::parse(source).place else { return None };
            let oldest = compared::measure(&path)?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
            (oldest < u128::from(registered.time_ns?)).then_some(())
        };
        let older: Vec<&String> =
            [&self.a, &self.b].into_iter().flatten().filter(|source| before(source).is_some()).collect();
        if !older.is_empty() {
            deviations.push(
                "files of data are older than the registration: whether anybody had looked at them, nothing here shows"
                    .to_owned(),
            );
        }
        PlanView {
            title: registered.plan.title.clone(),
            metric: registered.plan.metric.clone(),
            level: registered.plan.level,
            test: registered.plan.test.clone(),
            registered: Some(registered.time),
            place: registered.place,
            deviations,
        }
    }

    fn sides(
        &self,
        global: &Global,
        done: &Plan,
        outcomes: &BTreeMap<String, f64>,
        notes: &mut Vec<String>,
    ) -> Result<(Set, Set)> {
        let a = self.a.as_deref().unwrap_or_default();
        let (a, b) = match &self.b {
            Some(b) => (Source::parse(a), Source::parse(b)),
            None => return self.two_arms(global, done, outcomes, notes),
        };
        let bar = bar(a.bytes() + b.bytes());
        let reading = reading(global, done, outcomes, &bar);
        let sides = (compared::read(&a, &reading, notes)?, compared::read(&b, &reading, notes)?);
        bar.finish_and_clear();
        Ok(sides)
    }

    /// One source with two arms: A is the one whose name comes first.
    fn two_arms(
        &self,
        global: &Global,
        done: &Plan,
        outcomes: &BTreeMap<String, f64>,
        notes: &mut Vec<String>,
    ) -> Result<(Set, Set)> {
        let name = self.a.as_deref().unwrap_or_default();
        let source = Source::parse(name);
        let bar = bar(source.bytes() * 2);
        let reading = reading(global, done, outcomes, &bar);
        let arms = compared::arms(&source, &reading)?;
        let [first, second] = arms.as_slice() else {
            let there = if arms.is_empty() { "none".to_owned() } else { arms.join(", ") };
            return Err(usage(format!(
                "`{name}` alone must hold two arms; it has: {there}\nhint: give A and B"
            )));
        };
        let side = |arm: &str, notes: &mut Vec<String>| {
            let source = Source { name: arm.to_owned(), arm: Some(arm.to_owned()), ..source.clone() };
            compared::read(&source, &reading, notes)
        };
        let sides = (side(first, notes)?, side(second, notes)?);
        bar.finish_and_clear();
        Ok(sides)
    }

    fn follow(&self, global: &Global, done: &Plan, outcomes: &BTreeMap<String, f64>) -> Result<Exit> {
        let mut monitor = Monitor::new(done.level);
        let mut seen: BTreeSet<(bool, String, Option<u64>)> = BTreeSet::new();
        let mut told = String::new();
        loop {
            let read = self.sides(global, done, outcomes, &mut Vec::new());
            match read {
                Ok((mut a, mut b)) => {
                    muster_compare::set::align(&mut a, &mut b);
                    for (side, set) in [(Side::A, a), (Side::B, b)] {
                        for run in set.runs {
                            let left_out =
                                (done.exclude_errors && run.error) || done.exclude_tasks.contains(&run.task);
                            let Some(value) = run.measure(&done.metric).filter(|_| !left_out) else {
                                continue;
                            };
                            if seen.insert((side == Side::A, run.task.clone(), run.epoch))
                                && monitor.push(side, &run.task, value)
                            {
                                self.tell(&monitor)?;
                            }
                        }
                    }
                }
                // What is being written is often torn for a moment.
                Err(error) => {
                    let now = muster_event::sanitize(&format!("{error:#}"));
                    if now != told {
                        eprintln!("compare: {now}");
                        told = now;
                    }
                }
            }
            if monitor.standing().crossed_at.is_some() {
                if !self.json {
                    println!(
                        "There is a behavioural difference in `{}`; the level holds although it was looked at all the time.",
                        muster_event::sanitize(&done.metric)
                    );
                }
                return Ok(Exit::Findings);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn tell(&self, monitor: &Monitor) -> Result<()> {
        let standing = monitor.standing();
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&standing)?)?;
        } else {
            writeln!(
                out,
                "pairs {}  unlike {}  A more {}  e {:.3} of {:.0}  share of A {:.2} to {:.2}",
                standing.pairs,
                standing.discordant,
                standing.a_more,
                standing.e,
                standing.threshold,
                standing.a_more_share.low,
                standing.a_more_share.high
            )?;
        }
        out.flush()?;
        Ok(())
    }
}

fn reading<'a>(
    global: &'a Global,
    done: &Plan,
    outcomes: &BTreeMap<String, f64>,
    bar: &'a ProgressBar,
) -> Reading<'a> {
    let scorer = Some(done.scorer.clone()).filter(|scorer| !scorer.is_empty());
    Reading { data: &global.data, ask: Ask { scorer }, outcomes: outcomes.clone(), bar }
}

fn bar(total: u64) -> ProgressBar {
    let shown = std::io::stderr().is_terminal() && total > 16 << 20;
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) =
        ProgressStyle::with_template("compare {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

impl Register {
    fn run(&self, global: &Global) -> Result<Exit> {
        let how = Registering {
            key: self.plan_key.as_deref(),
            signer: None,
            data: &global.data,
            ledger: self.in_ledger,
        };
        let registered = compared::register(&self.plan, &how)?;
        println!(
            "registered {}: `{}`, {}",
            registered.time,
            registered.plan.metric.escape_debug(),
            registered.place
        );
        Ok(Exit::Nothing)
    }
}

impl Tasks {
    fn run(&self) -> Result<Exit> {
        let within = |name: &str, value: f64, low: f64, high: f64| {
            if value > low && value < high {
                Ok(())
            } else {
                Err(usage(format!("--{name} {value} is not between {low} and {high}")))
            }
        };
        within("base", self.base, -1e-9, 1.0 + 1e-9)?;
        within("level", self.level, 0.0, 0.5)?;
        within("power", self.power, 0.0, 1.0)?;
        within("spread", self.spread, -1e-9, 0.5 + 1e-9)?;
        within("variation", self.variation, -1e-9, 0.5 + 1e-9)?;
        within("base plus --effect", self.base + self.effect, -1e-9, 1.0 + 1e-9)?;
        let study = Study {
            base: self.base,
            effect: self.effect,
            epochs: self.epochs.clamp(1, 1_000),
            spread: self.spread,
            variation: self.variation,
            level: self.level,
            power: self.power,
        };
        let tasks = study
            .tasks()
            .ok_or_else(|| usage("no number of tasks finds this effect\nhint: --effect must not be 0"))?;
        let simulated = (tasks <= SIMULATED_MAX).then(|| study.simulated_power(tasks, 2_000, 5));
        if self.json {
            println!(
                "{}",
                serde_json::json!({ "tasks": tasks, "runs": tasks * study.epochs * 2, "study": study, "simulated_power": simulated })
            );
            return Ok(Exit::Nothing);
        }
        println!(
            "{tasks} tasks, each {} times in both arms: {} runs.",
            study.epochs,
            tasks * study.epochs * 2
        );
        if let Some(power) = simulated {
            println!(
                "In 2000 simulated studies of this size, sign flips found the difference in {:.1} %.",
                power * 100.0
            );
        }
        println!(
            "This rests on what was assumed: rate {}, difference {:+}, tasks' rates spread by {}, the effect by {}.",
            study.base, study.effect, study.spread, study.variation
        );
        Ok(Exit::Nothing)
    }
}

impl DetectorArgs {
    fn run(&self) -> Result<Exit> {
        let scored = compared::scores(&self.table, &self.score)?;
        let quality = detector::quality(&scored, self.level).ok_or_else(|| {
            usage("there must be rows with outcome 1 and rows with outcome 0, each with a score")
        })?;
        let (fixed, fixed_at) =
            detector::recall_at_false_rate(&scored, self.false_rate).unwrap_or((0.0, f64::INFINITY));
        let (daily, daily_at) =
            detector::recall_at_alerts(&scored, self.alerts, self.per_day, self.prevalence)
                .unwrap_or((0.0, f64::INFINITY));
        let precision = detector::precision_at(self.prevalence, fixed, self.false_rate);
        let flagged = self.prevalence * fixed + (1.0 - self.prevalence) * self.false_rate;
        let corrected = detector::true_prevalence(flagged, fixed, self.false_rate);
        if self.json {
            let value = serde_json::json!({
                "positives": quality.positives, "negatives": quality.negatives,
                "tests": [
                    { "name": "auroc", "statistic": quality.mann_whitney_u, "p": null, "estimate": quality.auroc,
                      "interval": quality.auroc_interval },
                    { "name": "recall_at_false_rate", "statistic": fixed_at.is_finite().then_some(fixed_at), "p": null,
                      "estimate": fixed, "interval": null, "false_rate": self.false_rate },
                    { "name": "recall_at_alerts", "statistic": daily_at.is_finite().then_some(daily_at), "p": null,
                      "estimate": daily, "interval": null, "alerts": self.alerts },
                ],
                "average_precision": quality.average_precision, "brier": quality.brier,
                "auroc_variance": quality.auroc_variance, "precision_at_prevalence": precision,
                "prevalence_corrected": corrected,
            });
            println!("{value}");
            return Ok(Exit::Nothing);
        }
        println!(
            "AUROC {:.4} (DeLong {:.4} to {:.4}) over {} real and {} harmless cases.",
            quality.auroc,
            quality.auroc_interval.low,
            quality.auroc_interval.high,
            quality.positives,
            quality.negatives
        );
        println!(
            "average precision {:.4}, Brier {}",
            quality.average_precision,
            quality.brier.map_or("– (scores are no probabilities)".to_owned(), |b| format!("{b:.4}"))
        );
        println!(
            "recall {:.1} % where {:.2} % of harmless cases are flagged (threshold {fixed_at})",
            fixed * 100.0,
            self.false_rate * 100.0
        );
        println!(
            "recall {:.1} % at {} alerts a day, of {} runs with {:.2} % real (threshold {daily_at})",
            daily * 100.0,
            self.alerts,
            self.per_day,
            self.prevalence * 100.0
        );
        if let Some(precision) = precision {
            println!(
                "at that prevalence, {:.1} % of the alerts at the first threshold are real",
                precision * 100.0
            );
        }
        Ok(Exit::Nothing)
    }
}
