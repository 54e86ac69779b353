//! The null model of `muster check votes` on a file of votes, and groups that are put in by a generator of its own:
//! `cargo run --release -p muster-web3 --example votes -- FILE [JITTER_HOURS VOTES SEED] [purse]`.
//! Says how many untouched voters are called what, how many of those put in, and how long it took.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use std::collections::BTreeMap;

use muster_web3::{Verdict, votes};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut text = std::fs::read_to_string(&arguments[0]).unwrap();
    let has_purse = arguments.last().is_some_and(|word| word == "purse");
    if let [_, jitter, count, seed, ..] = arguments.as_slice() {
        put_in(&mut text, jitter.parse().unwrap(), count.parse().unwrap(), seed.parse().unwrap(), has_purse);
    }
    if let Ok(to) = std::env::var("DUMP") {
        std::fs::write(to, &text).unwrap();
    }
    let start = std::time::Instant::now();
    let read = votes::read(text.as_bytes()).unwrap();
    let answers = votes::check(&arguments[0], &read);
    let spent = start.elapsed();
    let mut counts: BTreeMap<(bool, Verdict), usize> = BTreeMap::new();
    for answer in answers.iter().skip(1) {
        *counts.entry((answer.input.starts_with("sybil"), answer.verdict)).or_default() += 1;
    }
    println!("{}", answers[0].reasons[0].text);
    for ((is_put_in, verdict), count) in counts {
        println!("{} {verdict:?}: {count}", if is_put_in { "put in" } else { "untouched" });
    }
    println!("{} votes, {:.2} s", read.votes.len(), spent.as_secs_f64());
}

/// Groups of three, five and ten; each votes on the same proposals, at a moment of its own choosing, with the choice of most.
fn put_in(text: &mut String, jitter_hours: f64, count: usize, seed: u64, has_purse: bool) {
    let read = votes::read(text.as_bytes()).unwrap();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut spans: Vec<(f64, f64)> = vec![(f64::MAX, f64::MIN); read.proposals.len()];
    for vote in &read.votes {
        let span = &mut spans[vote.proposal];
        *span = (span.0.min(vote.time), span.1.max(vote.time));
    }
    let header: Vec<String> = text.lines().next().unwrap().split(',').map(str::to_owned).collect();
    let has_column = header.iter().any(|name| name == "funder");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if has_purse && !has_column {
        for (at, line) in lines.iter_mut().enumerate() {
            line.push_str(if at == 0 { ",funder" } else { "," });
        }
    }
    let choices: Vec<&str> = {
        let at = header.iter().position(|name| name == "choice").unwrap();
        let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
        text.lines()
            .skip(1)
            .for_each(|line| *tally.entry(line.split(',').nth(at).unwrap()).or_default() += 1);
        let mut sorted: Vec<(&str, usize)> = tally.into_iter().collect();
        sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        sorted.into_iter().map(|(choice, _)| choice).collect()
    };
    for (group, size) in [3usize, 5, 10].into_iter().enumerate() {
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < count {
            let proposal = (random() * read.proposals.len() as f64) as usize;
            let span = spans[proposal];
            if span.1 > span.0 && !chosen.contains(&proposal) {
                chosen.push(proposal);
            }
        }
        for proposal in chosen {
            let (from, to) = spans[proposal];
            let base = from + random() * (to - from);
            for member in 0..size {
                let time = base + random() * jitter_hours * 3_600.0;
                let mut row = Vec::new();
                for name in header.iter().map(String::as_str) {
                    row.push(match name {
                        "proposal" => read.proposals[proposal].clone(),
                        "voter" => format!("sybil{group}-{member}"),
                        "choice" => choices[0].to_owned(),
                        "weight" => "1".to_owned(),
                        "time" => format!("{time:.0}"),
                        "funder" if has_purse => format!("purse{group}"),
                        _ => String::new(),
                    });
                }
                if has_purse && !has_column {
                    row.push(format!("purse{group}"));
                }
                lines.push(row.join(","));
            }
        }
    }
    *text = lines.join("\n");
}
