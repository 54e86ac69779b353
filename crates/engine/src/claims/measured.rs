//! "Coverage is 94 %": a number that is said to have been measured stands in what a tool gave out before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use muster_event::redact::plain_marks;
use regex::Regex;

use crate::Evidence;
use crate::Severity;
use crate::claims::Verdict;
use crate::claims::account::Place;
use crate::claims::judge::{Judged, View};
use crate::claims::prose::regex;

/// Different numbers that are kept of all outputs.
const NUMBERS_MAX: usize = 10_000;
/// Numbers of one text: a table of them is no measurement.
const TEXT_NUMBERS_MAX: usize = 1_000;
/// Among more than this, any number can be made from two others by chance.
const PAIRS_MAX: usize = 300;

static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"[0-9][0-9,_]*(?:\.[0-9]+)?"));
static WITH_UNIT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)(\d[\d,_]*(?:\.\d+)?)\s?(%|×|x\b|ms\b|s\b|seconds?\b|minutes?\b|mb\b|gb\b|kb\b|req/s|rps\b|fps\b|percent\b)",
    )
});

/// Numbers in what tools gave out, with where each stood first.
#[derive(Default)]
pub(crate) struct Numbers {
    /// By its value in millionths.
    shown: BTreeMap<i64, (Place, usize)>,
    /// The outputs that gave a number out first.
    outputs: Vec<Evidence>,
    /// Numbers that it was given by others.
    told: BTreeSet<i64>,
    forgotten: bool,
}

fn millionths(text: &str) -> Option<i64> {
    let value: f64 = match text.contains([',', '_']) {
        true => text.replace([',', '_'], "").parse().ok()?,
        false => text.parse().ok()?,
    };
    (value < 1e12).then_some((value * 1e6).round() as i64)
}

/// `text`: without commitments, which are no numbers.
fn all(text: &str) -> impl Iterator<Item = i64> {
    NUMBER.find_iter(text).take(TEXT_NUMBERS_MAX + 1).filter_map(|found| millionths(found.as_str()))
}

impl Numbers {
    /// What tools gave out. What stands in the call itself, it did not find out.
    pub fn shown(&mut self, output: &str, call: &str, place: Place, evidence: &Evidence) {
        let own: BTreeSet<i64> = all(&plain_marks(call)).collect();
        let before = self.shown.len();
        let at = self.outputs.len();
        let mut count = 0;
        for number in all(&plain_marks(output)).filter(|number| !own.contains(number)) {
            count += 1;
            if self.shown.len() < NUMBERS_MAX && count <= TEXT_NUMBERS_MAX {
                self.shown.entry(number).or_insert((place, at));
            } else {
                self.forgotten = true;
            }
        }
        if self.shown.len() > before {
            self.outputs.push(evidence.clone());
        }
    }

    /// Something was given out that is not kept.
    pub fn forget(&mut self) {
        self.forgotten = true;
    }

    pub fn told(&mut self, text: &str) {
        for number in all(&plain_marks(text)) {
            if self.told.len() < NUMBERS_MAX {
                self.told.insert(number);
            }
        }
    }

    fn find(&self, value: i64, half: i64, before: impl Fn(Place) -> bool) -> Option<&Evidence> {
        let (from, to) = (value.saturating_sub(half), value.saturating_add(half));
        self.shown
            .range(from..=to)
            .find(|(_, (place, _))| before(*place))
            .and_then(|(_, (_, at))| self.outputs.get(*at))
    }

    /// Is it the quotient, the difference or the change of two numbers that were shown?
    fn derived(&self, value: i64, half: i64) -> bool {
        if self.shown.len() > PAIRS_MAX {
            return true;
        }
        let near = |made: f64| (made * 1e6 - value as f64).abs() <= half as f64;
        let numbers: Vec<f64> = self.shown.keys().map(|n| *n as f64 / 1e6).collect();
        numbers.iter().any(|a| {
            numbers.iter().any(|b| {
                *b != 0.0
                    && (near(a / b)
                        || near(100.0 * a / b)
                        || near(100.0 * (b - a).abs() / b)
                        || near((a - b).abs()))
            })
        })
    }
}

pub(crate) fn judge(view: &View<'_>) -> Judged {
    let account = &view.agent.claims.account;
    let numbers = &account.numbers;
    let mut evidence = Vec::new();
    for found in WITH_UNIT.captures_iter(&view.pending.found.clause) {
        let (Some(text), Some(unit)) = (found.get(1), found.get(2)) else { continue };
        let Some(value) = millionths(text.as_str()) else { continue };
        let decimals = text.as_str().split_once('.').map_or(0, |(_, after)| after.len().min(6));
        let half = 500_000 / 10_i64.pow(u32::try_from(decimals).unwrap_or(0));
        // The same in the units that tools print.
        let unit = unit.as_str().to_lowercase();
        let scales: &[(i64, i64)] = match unit.as_str() {
            "%" | "percent" => &[(1, 1), (1, 100)],
            "ms" => &[(1, 1), (1, 1_000), (1_000, 1)],
            "s" | "second" | "seconds" => &[(1, 1), (1_000, 1)],
            "minute" | "minutes" => &[(1, 1), (60, 1), (60_000, 1)],
            "mb" | "gb" | "kb" => &[(1, 1), (1_000, 1), (1_024, 1), (1_048_576, 1)],
            _ => &[(1, 1)],
        };
        let shown = scales.iter().find_map(|(times, by)| {
            let scaled = value.saturating_mul(*times) / by;
            numbers.find(scaled, half.saturating_mul(*times) / by, |place| view.before(place))
        });
        let said = format!("{}{}", text.as_str(), found.get(2).map_or("", |u| u.as_str()));
        match shown {
            Some(shown) => evidence.push(shown.clone()),
            None if numbers.told.contains(&value) => {
                return Judged::new(
                    Verdict::Unverifiable,
                    format!("`{said}` stands only in what it was told"),
                );
            }
            None if numbers.derived(value, half) => {
                return Judged::new(
                    Verdict::Unverifiable,
                    format!("`{said}` is in no output; it may have been worked out from numbers that are"),
                );
            }
            None if numbers.forgotten || !view.account_whole() => {
                return Judged::new(
                    Verdict::Unverifiable,
                    format!("`{said}` is in no output that is kept, and not all are"),
                );
            }
            None => {
                return Judged::new(Verdict::Unsupported, format!("`{said}` is in no output of its tools"))
                    .by([view.pending.said.clone()])
                    .at(Severity::Info);
            }
        }
    }
    match evidence.is_empty() {
        true => Judged::new(Verdict::Unverifiable, "which number was measured is not said exactly"),
        false => Judged::new(Verdict::Supported, "a tool gave out this number").by(evidence),
    }
}
