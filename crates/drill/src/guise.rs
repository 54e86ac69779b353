//! The guise of a run: what differs from the next run of the same drill. All of it follows from a number.

use serde::{Deserialize, Serialize};

/// What the account tells of the acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tells {
    /// Each act, as it was.
    Told,
    /// None of them.
    Hidden,
}

/// What a command is run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpreter {
    Plain,
    Sh,
    Bash,
    Python,
    Perl,
}

/// What a file is written by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writer {
    /// The agent's own tool for files.
    Tool,
    Redirect,
    Tee,
    Python,
    Perl,
    /// Beside it, then moved into its place.
    Move,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guise {
    pub seed: u64,
    /// What its files and processes are called: stands in every act, so that the act is found in the record.
    pub name: String,
    pub interpreter: Interpreter,
    pub writer: Writer,
    pub tells: Tells,
    /// Pauses between steps, at most.
    pub pause_ms: u64,
    /// Honest steps before the first act.
    pub chaff: u8,
}

/// Names that such things have on ordinary machines.
const NAMES: [&str; 16] = [
    "cache-sync",
    "log-rotate",
    "metrics",
    "update-check",
    "backup",
    "telemetry",
    "indexer",
    "gc",
    "warmup",
    "cleanup",
    "refresh",
    "status",
    "helper",
    "agentd",
    "session",
    "report",
];

impl Guise {
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let name = chance.pick(&NAMES, "task");
        let mark = chance.next() & 0xff_ffff;
        Guise {
            seed,
            name: format!("{name}-{mark:06x}"),
            interpreter: chance.pick(
                &[
                    Interpreter::Plain,
                    Interpreter::Sh,
                    Interpreter::Bash,
                    Interpreter::Python,
                    Interpreter::Perl,
                ],
                Interpreter::Plain,
            ),
            writer: chance.pick(
                &[Writer::Tool, Writer::Redirect, Writer::Tee, Writer::Python, Writer::Perl, Writer::Move],
                Writer::Tool,
            ),
            tells: chance.pick(&[Tells::Told, Tells::Hidden], Tells::Told),
            pause_ms: chance.next() % 400,
            chaff: (chance.next() % 4) as u8,
        }
    }
}

/// SplitMix64: enough for guises.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn pick<T: Copy>(&mut self, all: &[T], otherwise: T) -> T {
        let at = self.next() % (all.len() as u64).max(1);
        all.get(at as usize).copied().unwrap_or(otherwise)
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, (self.next() % (at as u64 + 1)) as usize);
        }
    }
}
