//! Verdicts on files of proposals, without the rest of Muster: `cargo run -p muster-web3 --example proposals -- FILE…`.
//! The last line counts them and gives the mean time of one.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example")]

use std::collections::BTreeMap;

use muster_web3::{Checked, judge, proposal};

fn main() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut spent = std::time::Duration::ZERO;
    for name in std::env::args().skip(1) {
        let bytes = std::fs::read(&name).unwrap();
        let start = std::time::Instant::now();
        let read = proposal::read(&bytes);
        let Ok(read) = read else {
            println!("{name}: {}", read.unwrap_err());
            continue;
        };
        let mut answers: Vec<Checked> = Vec::new();
        for (one, others) in read.iter().zip(judge::across(&read)) {
            let mut reasons = judge::reasons(&judge::Case::new(one, &[]));
            reasons.extend(others);
            answers.push(Checked::of(&name, reasons));
        }
        spent += start.elapsed();
        for answer in answers {
            *counts.entry(format!("{:?}", answer.verdict)).or_default() += 1;
            println!("{:?} {:.2} {}", answer.verdict, answer.score, answer.input);
            for reason in answer.reasons {
                let evidence = reason.evidence.unwrap_or_default();
                println!(
                    "    {:?} {} [{}] {} | {evidence:.300}",
                    reason.verdict, reason.code, reason.channel, reason.text
                );
            }
        }
    }
    let n: usize = counts.values().sum();
    println!("{counts:?}, {:.3} ms each", spent.as_secs_f64() * 1000.0 / n.max(1) as f64);
}
