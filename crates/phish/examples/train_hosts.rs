//! Makes the host model's weights anew: `train_hosts DATA [--out FILE] [--tune | --test]`. `scripts/host-data.sh DATA` lays the
//! data down; docs/check.md says where it is from and how it is split.
//!
//! `--tune` fits on scams first seen up to 2023-10 and shows those of 2023-11 and 12; nothing later is read. `--test` opens the
//! test part: scams of 2024, and honest names of no group that was trained on.

#![expect(clippy::indexing_slicing, reason = "a tool for whoever trains: it may stop")]

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use muster_phish::host::model::{BITS, Model, Stratum, norm, pieces_of};
use muster_phish::host::{Host, host};

/// Weight of an honest name of a source about crypto: there are few, and they are the ones that scams resemble.
const NEAR: f32 = 10.0;
const EPOCHS: usize = 10;
const RATE: f32 = 0.12;
const DECAY: f32 = 2e-6;

#[derive(PartialEq, Clone, Copy)]
enum Part {
    Fit,
    Choose,
    Test,
}

struct Row {
    host: Host,
    pieces: Vec<u32>,
    bad: bool,
    weight: f32,
    part: Part,
    source: String,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(data) = args.first().filter(|a| !a.starts_with("--")) else {
        bail!("usage: train_hosts DATA [--out FILE] [--tune | --test]");
    };
    let has = |name: &str| args.iter().any(|a| a == name);
    let after = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let data = PathBuf::from(data);
    let (fit_to, choose_to) = if has("--tune") { ("2023-10", "2023-12") } else { ("2023-12", "2023-12") };
    let mut rows = scams(&data.join("scam.csv.gz"), fit_to, choose_to)?;
    // A name that is on the list of scams is no honest example of that time, and none at all in the test.
    let listed: HashSet<String> = rows.iter().map(|r| r.host.ascii.clone()).collect();
    honest(&data, &listed, &mut rows)?;
    if !has("--test") {
        rows.retain(|r| r.part != Part::Test);
    }
    let model = fit(&rows);
    let model = freeze(model, &rows);
    show(&model, &rows, if has("--test") { Part::Test } else { Part::Choose });
    if let Some(out) = after("--out") {
        std::fs::write(out, model.to_bytes())?;
    }
    if let Some(out) = after("--split") {
        split(&rows, Path::new(out))?;
    }
    Ok(())
}

fn row(host: Host, bad: bool, weight: f32, part: Part, source: &str) -> Row {
    let mut pieces = Vec::new();
    pieces_of(&host, |piece| pieces.push(piece));
    Row { host, pieces, bad, weight, part, source: source.to_owned() }
}

/// `first_seen,host`. Of a template with many numbers, some are enough: `claim-17.example`, `claim-18.example`.
fn scams(path: &Path, fit_to: &str, choose_to: &str) -> Result<Vec<Row>> {
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    flate2::read::GzDecoder::new(file).read_to_string(&mut text)?;
    let mut rows = Vec::new();
    let mut fitted = HashSet::new();
    for line in text.lines() {
        let Some((seen, name)) = line.split_once(',') else { continue };
        let Some(month) = seen.get(..7).filter(|m| m.starts_with("20")) else { continue };
        let Some(host) = host(name).filter(|h| !h.label.is_empty()) else { continue };
        let part = if month <= fit_to {
            fitted.insert(host.registered.clone());
            Part::Fit
        } else if month <= choose_to {
            Part::Choose
        } else {
            Part::Test
        };
        // What somebody registered and was seen with before is no test.
        if part != Part::Fit && fitted.contains(&host.registered) {
            continue;
        }
        rows.push(row(host, true, 1.0, part, month));
    }
    Ok(rows)
}

/// `honest/SOURCE/…` is split by who registered the name, `held/SOURCE/…` is for the test alone.
fn honest(data: &Path, listed: &HashSet<String>, rows: &mut Vec<Row>) -> Result<()> {
    let mut known = HashSet::new();
    for (folder, held) in [("held", true), ("honest", false)] {
        let mut sources: Vec<_> = std::fs::read_dir(data.join(folder))?.collect::<std::io::Result<_>>()?;
        sources.sort_by_key(std::fs::DirEntry::file_name);
        for source in sources {
            let name = source.file_name().to_string_lossy().into_owned();
            let mut names = Vec::new();
            hosts_in(&source.path(), &mut names)?;
            for text in names {
                let Some(host) = host(&text).filter(|h| !h.label.is_empty() && !h.ip && !h.suffix.is_empty())
                else {
                    continue;
                };
                if listed.contains(&host.ascii) || !known.insert(host.ascii.clone()) {
                    continue;
                }
                // Of MetaMask's list, all of it old and hard, half is learned from and half is kept for the test.
                let part = match (held, name.as_str(), group(&host.registered) % 10) {
                    (true, ..) | (_, "metamask", 0..=4) | (_, _, 0 | 1) => Part::Test,
                    (_, "metamask", _) => Part::Fit,
                    (_, _, 2 | 3) => Part::Choose,
                    _ => Part::Fit,
                };
                let near = if name == "hsts" { 1.0 } else { NEAR };
                rows.push(row(host, false, near, part, &name));
            }
        }
    }
    // Whoever registered a held name is in no other part.
    let held: HashSet<String> =
        rows.iter().filter(|r| !r.bad && r.part == Part::Test).map(|r| r.host.registered.clone()).collect();
    rows.retain(|r| r.bad || r.part == Part::Test || !held.contains(&r.host.registered));
    Ok(())
}

/// Every host of a URL in any file; every line of a `.txt` file.
fn hosts_in(path: &Path, names: &mut Vec<String>) -> Result<()> {
    if path.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(path)?.collect::<std::io::Result<_>>()?;
        files.sort_by_key(std::fs::DirEntry::file_name);
        return files.iter().try_for_each(|f| hosts_in(&f.path(), names));
    }
    let Ok(bytes) = std::fs::read(path) else { return Ok(()) };
    let text = String::from_utf8_lossy(&bytes);
    if path.extension().is_some_and(|e| e == "txt") {
        names.extend(text.lines().map(str::to_owned));
        return Ok(());
    }
    for part in text.split("://").skip(1) {
        let end =
            part.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-').unwrap_or(part.len());
        let name = part.get(..end).unwrap_or_default().trim_matches('.');
        if name.contains('.') {
            names.push(name.to_lowercase());
        }
    }
    Ok(())
}

fn group(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)) >> 20
}

/// Logistic regression by AdaGrad, in an order that is always the same.
fn fit(rows: &[Row]) -> Vec<f32> {
    let fit: Vec<&Row> = rows.iter().filter(|r| r.part == Part::Fit).collect();
    let bad: f32 = fit.iter().filter(|r| r.bad).map(|r| r.weight).sum();
    let good: f32 = fit.iter().filter(|r| !r.bad).map(|r| r.weight).sum();
    eprintln!("fit: {} names, weights {bad} bad, {good} honest", fit.len());
    let mut weights = vec![0f32; 1 << BITS];
    let mut squares = vec![1e-3f32; 1 << BITS];
    let mut order: Vec<usize> = (0..fit.len()).collect();
    let mut chance = 0x2545_f491_4f6c_dd1du64;
    for epoch in 0..EPOCHS {
        for i in (1..order.len()).rev() {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            order.swap(i, usize::try_from(chance % (i as u64 + 1)).unwrap_or(0));
        }
        let mut loss = 0f64;
        for &i in &order {
            let row = fit[i];
            let by = norm(u16::try_from(row.pieces.len()).unwrap_or(u16::MAX));
            let sum: f32 = row.pieces.iter().map(|p| weights[*p as usize]).sum::<f32>() / by;
            let chance = 1.0 / (1.0 + (-sum).exp());
            let target = if row.bad { 1.0 } else { 0.0 };
            loss -= f64::from(row.weight * (if row.bad { chance } else { 1.0 - chance }).max(1e-9).ln());
            let slope = (chance - target) * row.weight * 2.0 / by;
            for piece in &row.pieces {
                let at = *piece as usize;
                let g = slope + DECAY * weights[at];
                squares[at] += g * g;
                weights[at] -= RATE * g / squares[at].sqrt();
            }
        }
        eprintln!("epoch {epoch}: loss {:.4}", loss / f64::from(bad + good));
    }
    weights
}

/// One byte for a weight, and the thresholds at which one and 0.1 of 100 honest names of `Choose` are named.
fn freeze(weights: Vec<f32>, rows: &[Row]) -> Model {
    let mut sizes: Vec<f32> = weights.iter().map(|w| w.abs()).filter(|w| *w > 0.0).collect();
    sizes.sort_by(f32::total_cmp);
    let top = sizes.get(sizes.len() * 9995 / 10000).copied().unwrap_or(1.0);
    let scale = top / 127.0;
    let weights = weights.iter().map(|w| (w / scale).round().clamp(-127.0, 127.0) as i8).collect();
    let none = Stratum { warning: 0.0, strong: 0.0 };
    let mut model = Model { strata: [none; 2], scale, weights };
    model.strata = [false, true].map(|free| {
        let mut sums: Vec<(f32, f32)> = rows
            .iter()
            .filter(|r| !r.bad && r.part == Part::Choose && r.host.free == free)
            .map(|r| (model.sum(&r.host), r.weight))
            .collect();
        sums.sort_by(|a, b| b.0.total_cmp(&a.0));
        let all: f32 = sums.iter().map(|s| s.1).sum();
        let at = |share: f32| {
            let mut so_far = 0.0;
            sums.iter()
                .find(|s| {
                    so_far += s.1;
                    so_far > share * all
                })
                .map_or(0.0, |s| s.0 + 1e-4)
        };
        eprintln!("stratum free={free}: {} honest names to choose by", sums.len());
        Stratum { warning: at(0.01), strong: at(0.001) }
    });
    model
}

fn show(model: &Model, rows: &[Row], part: Part) {
    let mut groups: BTreeMap<(bool, String), [usize; 5]> = BTreeMap::new();
    let (mut good, mut evil) = (Vec::new(), Vec::new());
    let mut near = Vec::new();
    for row in rows.iter().filter(|r| r.part == part) {
        let said = model.say(&row.host);
        if row.bad {
            evil.push(said.score)
        } else {
            good.push(said.score)
        }
        if !row.bad && row.source != "hsts" {
            near.push(said.score)
        }
        if !row.bad && said.over && std::env::args().any(|a| a == "--names") {
            println!("{} {:.3} {}", row.source, said.score, row.host.ascii);
        }
        let source = if row.bad { "scams ".to_owned() + &row.source } else { row.source.clone() };
        for key in [
            source,
            if row.host.free { "~free hosting".into() } else { "~own names".into() },
            "~all".to_owned(),
        ] {
            let n = groups.entry((row.bad, key)).or_default();
            n[0] += 1;
            n[1] += usize::from(said.over);
            n[2] += usize::from(said.strong);
        }
    }
    for ((bad, source), [all, over, strong, ..]) in &groups {
        println!(
            "{} {source:32} {all:7} over {:6.2} % strong {:6.2} %",
            if *bad { "scam  " } else { "honest" },
            100.0 * *over as f64 / *all as f64,
            100.0 * *strong as f64 / *all as f64
        );
    }
    for (what, mut good) in [("all honest", good), ("honest of crypto and free hosting", near)] {
        good.sort_by(|a, b| b.total_cmp(a));
        for share in [0.001, 0.005, 0.01] {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share"
            )]
            let at = good.get((good.len() as f64 * share) as usize).copied().unwrap_or(1.0);
            let caught = 100.0 * evil.iter().filter(|s| **s > at).count() as f64 / evil.len().max(1) as f64;
            println!("one threshold at {:.1} % of {what} names: {caught:.1} % caught", share * 100.0);
        }
    }
}

/// The test part as lists, for running other tools on it.
fn split(rows: &[Row], folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut lists: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.part == Part::Test) {
        let list = if row.bad { "scam".to_owned() } else { format!("honest-{}", row.source) };
        lists.entry(list).or_default().push(&row.host.ascii);
    }
    for (name, list) in lists {
        std::fs::write(folder.join(name + ".txt"), list.join("\n") + "\n")?;
    }
    Ok(())
}
