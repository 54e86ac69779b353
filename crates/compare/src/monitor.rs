//! Two sides watched while their runs come in: the e-process may be looked at after each, and be stopped at when one likes.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::stats::Interval;
use crate::stats::evidence::{Signs, TwoStreams};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

/// Pairs the runs of a task in the order in which they come. What is to come plays no part, so the order is the study's own.
#[derive(Clone, Debug)]
pub struct Monitor {
    level: f64,
    waiting: BTreeMap<String, (VecDeque<f64>, VecDeque<f64>)>,
    signs: Signs,
    pairs: u64,
    largest: f64,
    crossed_at: Option<u64>,
}

/// Where a monitor stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    pub pairs: u64,
    /// Pairs that differ.
    pub discordant: u64,
    /// Of these, the ones in which A has more.
    pub a_more: u64,
    /// Evidence against "A and B are alike"; reject at 1/level.
    pub e: f64,
    /// The largest so far: its inverse is a p-value that holds at all times.
    pub e_largest: f64,
    pub threshold: f64,
    pub anytime_p: f64,
    /// Share of `a_more` among pairs that differ: one half where there is no difference. Holds at all times.
    pub a_more_share: Interval,
    /// Number of the pair at which the threshold was reached.
    pub crossed_at: Option<u64>,
    /// Runs that wait for their counterpart.
    pub unpaired: u64,
}

impl Monitor {
    pub fn new(level: f64) -> Self {
        Monitor {
            level,
            waiting: BTreeMap::new(),
            signs: Signs::default(),
            pairs: 0,
            largest: 1.0,
            crossed_at: None,
        }
    }

    /// A run's value. True: it made a pair.
    pub fn push(&mut self, side: Side, task: &str, value: f64) -> bool {
        let (a, b) = self.waiting.entry(task.to_owned()).or_default();
        match side {
            Side::A => a.push_back(value),
            Side::B => b.push_back(value),
        }
        if a.is_empty() || b.is_empty() {
            return false;
        }
        let (Some(first), Some(second)) = (a.pop_front(), b.pop_front()) else { return false };
        self.pairs += 1;
        if first != second {
            self.signs.push(first > second);
            self.largest = self.largest.max(self.signs.e());
            if self.largest >= 1.0 / self.level && self.crossed_at.is_none() {
                self.crossed_at = Some(self.pairs);
            }
        }
        true
    }

    pub fn standing(&self) -> Standing {
        Standing {
            pairs: self.pairs,
            discordant: self.signs.ones + self.signs.zeros,
            a_more: self.signs.ones,
            e: self.signs.e(),
            e_largest: self.largest,
            threshold: 1.0 / self.level,
            anytime_p: (1.0 / self.largest).min(1.0),
            a_more_share: self.signs.interval(self.level),
            crossed_at: self.crossed_at,
            unpaired: self.waiting.values().map(|(a, b)| (a.len() + b.len()) as u64).sum(),
        }
    }
}

/// Two streams of successes without pairs: the n-th of each beside each other.
pub fn unpaired(a: &[bool], b: &[bool]) -> f64 {
    let mut streams = TwoStreams::new(TwoStreams::GAMMA);
    for (first, second) in a.iter().zip(b) {
        streams.push(*first, *second);
    }
    streams.e()
}
