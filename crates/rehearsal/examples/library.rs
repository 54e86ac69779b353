//! Plays the scenario library: `cargo xtask library [--agent NAME] [--only NAME,…] [--first] [--jobs N] [--json FILE]
//! [--out FOLDER] [--all]`. `--first`: each scenario on the first of its agents only; `--rest`:
//! on the others; `--all`: what was shown of each run is
//! kept, not only of those that did not go as expected. A name may end with `*`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the test rig")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use muster_rehearsal::library::{Library, Outcome, Report, Scenario, Stage, Who, problems};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.remove(at);
        Some(arguments.remove(at))
    };
    let agent = value("--agent");
    let only: Option<Vec<String>> =
        value("--only").map(|names| names.split(',').map(str::to_owned).collect());
    let jobs: usize = value("--jobs").map_or(8, |number| number.parse().expect("a number of jobs"));
    let json = value("--json");
    let out = PathBuf::from(value("--out").unwrap_or_else(|| "target/library".to_owned()));
    let muster = value("--muster").unwrap_or_else(|| "target/debug/muster".to_owned());
    let mut flag = |name: &str| {
        let before = arguments.len();
        arguments.retain(|a| a != name);
        arguments.len() < before
    };
    let (all, first, rest) = (flag("--all"), flag("--first"), flag("--rest"));
    assert!(arguments.is_empty(), "not understood: {arguments:?}");

    let library = Library::read().unwrap_or_else(|why| panic!("{why}"));
    for problem in problems(&library) {
        eprintln!("library: {problem}");
    }
    let fits = |run: &Scenario| {
        only.as_ref().is_none_or(|only| {
            only.iter().any(|name| {
                run.name == *name || name.ends_with('*') && run.name.starts_with(name.trim_end_matches('*'))
            })
        })
    };
    let runs: Vec<(&Scenario, Who)> = library
        .runs
        .iter()
        .filter(|run| fits(run))
        .flat_map(|run| {
            let (skip, take) = (usize::from(rest), if first { 1 } else { usize::MAX });
            run.on.iter().skip(skip).take(take).map(move |who| (run, *who))
        })
        .filter(|(_, who)| agent.as_ref().is_none_or(|agent| agent == who.name()))
        .collect();
    let stage = Stage::start(Path::new(&muster)).unwrap_or_else(|e| panic!("{e}"));
    let (stopping, ordinary): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(run, _)| run.stops_muster());
    let total = stopping.len() + ordinary.len();
    let mut outcomes = play(&stage, &ordinary, jobs, total, 0);
    let done = outcomes.len();
    // While Muster stands still for one of these, the others of them wait.
    outcomes.extend(play(&stage, &stopping, jobs.min(4), total, done));
    let report = Report::new(outcomes);
    drop(std::fs::remove_dir_all(&out));
    report.save(&out, all).expect("a folder for the report");
    if let Some(file) = json {
        std::fs::write(file, format!("{:#}\n", report.json())).expect("a file for the report");
    }
    print!("{report}");
    println!("what was shown of those: {}", out.display());
    let said = stage.said();
    for line in said.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")).take(5) {
        println!("daemon: {line}");
    }
    if report.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(stage: &Stage, runs: &[(&Scenario, Who)], jobs: usize, total: usize, done: usize) -> Vec<Outcome> {
    let next = Mutex::new(runs.iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let Some((run, who)) = next.lock().unwrap().next() else { return };
                    let outcome = stage.play(run, *who);
                    let mut outcomes = outcomes.lock().unwrap();
                    if !outcome.good() {
                        eprintln!("\r{:<100}", outcome.line());
                    }
                    outcomes.push(outcome);
                    let bad = outcomes.iter().filter(|o| !o.good()).count();
                    eprint!(
                        "\r{:>3} of {total}, {bad} not as expected; last: {:<48}",
                        done + outcomes.len(),
                        run.name
                    );
                    drop(std::io::stderr().flush());
                }
            });
        }
    });
    eprintln!();
    outcomes.into_inner().unwrap()
}
