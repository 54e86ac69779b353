//! What the checks say of whole sets: `measure hosts FOLDER` (a list a file, as `train_hosts --test --split` writes them),
//! `measure sign FOLDER` (requests, a file each), `measure messages FOLDER`. Counts verdicts, names what is high, tells the time.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use muster_phish::campaign::Campaigns;
use muster_phish::host::{Lists, check_url};
use muster_phish::{Checked, Verdict, message, sign};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, folder, more @ ..] = args.as_slice() else {
        bail!("usage: measure hosts|sign|messages FOLDER [--high]")
    };
    let name_high = more.iter().any(|a| a == "--high");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| folder.clone())?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let context = sign::Context { now: 1_795_000_000, ..Default::default() };
    let lists = Lists::default();
    let (mut all, mut count) = ([0usize; 4], 0usize);
    for file in files {
        let bytes = std::fs::read(&file)?;
        let text = String::from_utf8_lossy(&bytes);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let begun = Instant::now();
        let said: Vec<Checked> = match what.as_str() {
            "hosts" => text.lines().filter_map(|line| check_url(line, &lists)).collect(),
            "sign" => sign::check_text(&name, &text, &context).map_err(anyhow::Error::msg)?,
            _ => {
                let read = message::read(&bytes);
                let joined = Campaigns::default().join(&name, &read);
                vec![message::check(&name, &read, &lists, Some(&joined))]
            }
        };
        let took = begun.elapsed();
        let at_least = |v: Verdict| said.iter().filter(|c| c.verdict >= v).count();
        let row = [Verdict::Info, Verdict::Notice, Verdict::Warning, Verdict::High].map(at_least);
        for (sum, n) in all.iter_mut().zip(row) {
            *sum += n;
        }
        count += said.len();
        if what == "hosts" {
            print(&name, row, said.len());
            println!("{:>60} {:.1} us each", "", took.as_secs_f64() * 1e6 / said.len().max(1) as f64);
        }
        for one in said.iter().filter(|c| name_high && c.verdict >= Verdict::High) {
            let codes: Vec<&str> = one.reasons.iter().map(|r| r.code.as_str()).collect();
            println!("  high {} {codes:?} {:?}", one.input, one.brand);
        }
    }
    print("all", all, count);
    Ok(())
}

fn print(name: &str, row: [usize; 4], of: usize) {
    let share = |n: usize| 100.0 * n as f64 / of.max(1) as f64;
    let [_, notice, warning, high] = row.map(share);
    println!("{name:32} {of:7}  notice {notice:6.2} %  warning {warning:6.2} %  high {high:6.2} %");
}
