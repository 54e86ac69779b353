//! The whole gate, in the order that fails soonest. The tests come last: their runner's summary ends the output.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{generated, licences, probes, repo, runner, tidy, unused};

/// One step: what it is called, what it does, and the command that repeats it alone.
struct Step {
    name: &'static str,
    again: &'static str,
    action: Action,
}

enum Action {
    Cargo(&'static [&'static str]),
    Own(fn() -> Result<()>),
}

const STEPS: &[Step] = &[
    Step { name: "format", again: "cargo fmt", action: Action::Cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", again: "cargo xtask tidy", action: Action::Own(tidy::run) },
    Step { name: "licences", again: "cargo xtask licences", action: Action::Own(licences::run) },
    Step { name: "unused dependencies", again: "cargo xtask unused", action: Action::Own(unused::run) },
    Step { name: "probes' object", again: "cargo xtask probes", action: Action::Own(probes::run) },
    Step {
        name: "lints",
        again: "cargo clippy --workspace --all-targets",
        action: Action::Cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    },
    Step {
        name: "build",
        again: "cargo build --workspace",
        action: Action::Cargo(&["build", "--workspace", "--locked"]),
    },
    Step { name: "generated files", again: "cargo xtask gen --check", action: Action::Own(generated::check) },
    Step {
        name: "examples in the docs",
        again: "cargo test --doc --workspace",
        action: Action::Cargo(&["test", "--doc", "--workspace", "--locked", "--quiet"]),
    },
];

const TESTS: Step =
    Step { name: "tests", again: "cargo nextest run --workspace", action: Action::Own(runner::run) };

pub fn run() -> Result<()> {
    let start = Instant::now();
    let mut times = Vec::new();
    for step in STEPS {
        times.push((step.name, timed(step, start)?));
    }
    println!("\nbefore the tests:");
    for (name, time) in times {
        println!("  {name:<22}{:>7.1} s", time.as_secs_f64());
    }
    timed(&TESTS, start).map(drop)
}

fn timed(step: &Step, start: Instant) -> Result<Duration> {
    let begun = Instant::now();
    println!("\n── {} (at {} s)", step.name, start.elapsed().as_secs());
    let result = match &step.action {
        Action::Own(check) => check(),
        Action::Cargo(args) => repo::succeed(&repo::cargo(), args),
    };
    let time = begun.elapsed();
    if let Err(error) = result {
        bail!(
            "{error:#}\n\nthe gate stopped at: {} (after {:.1} s)\nhint: repeat it with `{}`",
            step.name,
            time.as_secs_f64(),
            step.again
        );
    }
    Ok(time)
}
