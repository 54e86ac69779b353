//! The whole system, measured: the release binary on the real kernel. `MUSTER_BENCH=quick` takes a minute, the default
//! about half an hour; names after `--` choose parts: `cargo bench -p muster-cli --bench system -- latency import`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a benchmark fails by panicking"
)]

mod act;
mod audit;
mod daemon;
mod figures;
mod flood;
mod import;
mod latency;
mod memory;
mod overhead;
mod startup;
mod transcripts;
mod workload;

use std::path::Path;

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Quick,
    Full,
}

impl Mode {
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Mode::Quick => quick,
            Mode::Full => full,
        }
    }
}

type Part = (&'static str, fn(Mode));

const PARTS: [Part; 7] = [
    ("startup", startup::run),
    ("latency", latency::run),
    ("flood", flood::run),
    ("memory", memory::run),
    ("import", import::run),
    ("overhead", overhead::run),
    ("audit", audit::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == act::WORD
    {
        return act::act(rest);
    }
    let quick = std::env::var("MUSTER_BENCH").is_ok_and(|v| v == "quick");
    let mode = if quick { Mode::Quick } else { Mode::Full };
    println!("{}", figures::machine());
    println!("mode: {}", mode.pick("quick", "full"));
    for (name, run) in PARTS {
        if !arguments.is_empty() && !arguments.iter().any(|a| a == name) {
            continue;
        }
        if name != "import" && !has_kernel_record() {
            println!("\n### {name}\n\nskipped: the kernel record needs root and BTF");
            continue;
        }
        let before = figures::load();
        println!("\n### {name}\n");
        run(mode);
        println!("\nload average before {before}, after {}", figures::load());
    }
}

fn has_kernel_record() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/sys/kernel/btf/vmlinux").exists()
}
