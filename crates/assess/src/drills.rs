//! What drills showed: the lines of `muster drill --json`, as far as an assessment needs them. They come from files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Lines of one file, and bytes of one line.
pub const LINES_MAX: usize = 100_000;
pub const LINE_MAX: usize = 1 << 20;
/// Names of scenarios, factors and agents.
const NAME_MAX: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drill {
    pub drill: String,
    pub title: String,
    pub stage: Option<String>,
    pub factor: Option<String>,
    pub honest: bool,
    /// The part of the sensor that was off.
    pub without: Option<String>,
    pub played: bool,
    pub agents: Vec<String>,
    pub seen: bool,
    pub detect_ms: Option<u64>,
    pub findings: BTreeMap<String, u64>,
    pub acts: u64,
    pub acts_failed: u64,
    pub mustered_out: bool,
    pub out_ms: Option<u64>,
    pub survivors: u64,
    pub benign_lost: bool,
    pub withstood: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error("line {line} is no run of a drill: {why}")]
    Line { line: usize, why: String },
    #[error("it has more than {LINES_MAX} lines")]
    Long,
}

/// All runs of a file. A run that was not played counts for nothing, and is kept so that it can be told.
pub fn parse(text: &str) -> Result<Vec<Drill>, DrillError> {
    let mut runs = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        if runs.len() >= LINES_MAX {
            return Err(DrillError::Long);
        }
        let wrong = |why: String| DrillError::Line { line: at + 1, why };
        if line.len() > LINE_MAX {
            return Err(wrong(format!("it has more than {LINE_MAX} bytes")));
        }
        let run: Drill = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if !is_named(&run) {
            return Err(wrong("it names no drill, or one that is too long".to_owned()));
        }
        runs.push(run);
    }
    Ok(runs)
}

fn is_named(run: &Drill) -> bool {
    let short = |name: &String| name.len() <= NAME_MAX;
    !run.drill.is_empty()
        && short(&run.drill)
        && run.factor.iter().all(short)
        && run.stage.iter().all(short)
        && run.agents.iter().all(short)
}
