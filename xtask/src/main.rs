//! The project's own tasks: `cargo xtask ci | tidy | licences | probes | gen | vm | bench | fuzz | library`. Nothing here ships.

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod fuzz;
mod generated;
mod library;
mod licences;
mod metadata;
mod probes;
mod repo;
mod runner;
mod tidy;
mod unused;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask TASK

  ci                       the whole gate; stops at the first failure
  tidy                     the house rules that no compiler checks
  licences                 the licence and source of every dependency
  unused                   dependencies that no source file names
  probes                   the committed object of the probes against its source
  gen [--check]            write the generated files, or only compare them
  vm --systemd             mustering out under a real systemd, with Muster as its service, in a guest
  vm [--kernel 6.1|6.12]   the kernel tests in QEMU guests with Debian's kernels
  bench                    every benchmark
  fuzz [TARGET] [--seconds N]   fuzz one target or all of them
  library [--agent NAME] [--only NAME,…] [--first] [--jobs N] [--json FILE]
                           honest and dishonest runs of real agents: what is caught, missed, and found without reason
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["licences"] => licences::run(),
        ["unused"] => unused::run(),
        ["probes"] => probes::run(),
        ["gen"] => generated::write(),
        ["gen", "--check"] => generated::check(),
        ["vm"] => vm::run(&vm::KERNELS),
        ["vm", "--systemd"] => vm::systemd(),
        ["vm", "--kernel", kernel] => vm::run(&[kernel]),
        ["bench"] => bench::run(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["library", rest @ ..] => library::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such task: `{}`\n\n{USAGE}", args.join(" ")),
    }
}
