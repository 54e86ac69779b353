//! Checks of what is used to deceive people: hosts, messages, wallet requests, addresses. Pure: no files, no network.

#![forbid(unsafe_code)]

pub mod address;
pub mod agent;
pub mod campaign;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod host;
pub mod message;
pub mod sign;

use std::collections::BTreeSet;

pub use muster_web3::{Checked, Reason, Verdict};

fn reason(
    code: &str,
    channel: &str,
    verdict: Verdict,
    text: String,
    evidence: Option<String>,
    refuted: &str,
) -> Reason {
    Reason {
        code: code.to_owned(),
        text,
        evidence,
        refuted_by: Some(refuted.to_owned()),
        channel: channel.to_owned(),
        verdict,
    }
}

/// The verdict that reasons add up to: `High` where two channels each warn, else the worst below it.
fn checked(input: &str, score: f64, brand: Option<String>, mut reasons: Vec<Reason>) -> Checked {
    let warn: BTreeSet<&str> =
        reasons.iter().filter(|r| r.verdict >= Verdict::Warning).map(|r| r.channel.as_str()).collect();
    let worst = reasons.iter().map(|r| r.verdict).max().unwrap_or(Verdict::Info);
    let verdict = if warn.len() >= 2 { Verdict::High } else { worst.min(Verdict::Warning) };
    reasons.sort_by(|a, b| b.verdict.cmp(&a.verdict).then_with(|| a.code.cmp(&b.code)));
    Checked { input: input.to_owned(), verdict, score, brand, reasons }
}
