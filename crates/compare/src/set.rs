//! A set of runs: one side of a comparison.

use std::collections::{BTreeMap, BTreeSet};

use crate::run::Run;

/// Task, arm, epoch.
type Key = (String, String, u64);

/// Runs of one side that are kept: more are refused, not dropped.
pub const RUNS_MAX: usize = 2_000_000;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    /// What the person called it.
    pub name: String,
    pub runs: Vec<Run>,
    taken: BTreeSet<Key>,
    /// Epochs that were given a new number, since two logs had the same.
    pub renumbered: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("task `{task}`, epoch {epoch} is there twice")]
    Twice { task: String, epoch: u64 },
    #[error("there are more than {RUNS_MAX} runs")]
    Full,
}

/// Marks where a file begins, for `Set::push`: within one, a repeated epoch is an error; between two, it is a further run.
#[derive(Clone, Debug, Default)]
pub struct File {
    seen: BTreeSet<Key>,
}

impl Set {
    pub fn new(name: &str) -> Set {
        Set { name: name.to_owned(), ..Set::default() }
    }

    pub fn push(&mut self, file: &mut File, mut run: Run) -> Result<(), SetError> {
        if self.runs.len() >= RUNS_MAX {
            return Err(SetError::Full);
        }
        let arm = run.arm.clone().unwrap_or_default();
        let key = |epoch: u64| (run.task.clone(), arm.clone(), epoch);
        if let Some(epoch) = run.epoch
            && !file.seen.insert(key(epoch))
        {
            return Err(SetError::Twice { task: run.task, epoch });
        }
        let epoch = match run.epoch {
            Some(epoch) if !self.taken.contains(&key(epoch)) => epoch,
            given => {
                self.renumbered += u64::from(given.is_some());
                // The next free one: after the greatest, so that many runs of one task take no time.
                let greatest = self.taken.range(key(0)..=key(u64::MAX)).next_back();
                greatest.map_or(1, |(_, _, epoch)| epoch.saturating_add(1))
            }
        };
        run.epoch = Some(epoch);
        self.taken.insert((run.task.clone(), arm, epoch));
        self.runs.push(run);
        Ok(())
    }

    /// Arms that the runs name.
    pub fn arms(&self) -> BTreeSet<String> {
        self.runs.iter().filter_map(|run| run.arm.clone()).collect()
    }

    pub fn keep_arm(&mut self, arm: &str) {
        self.runs.retain(|run| run.arm.as_deref() == Some(arm));
    }

    /// Values of a measure by task, in order of epochs.
    pub fn by_task(&self, measure: &str) -> BTreeMap<&str, Vec<f64>> {
        let mut tasks: BTreeMap<&str, Vec<(Option<u64>, f64)>> = BTreeMap::new();
        for run in &self.runs {
            if let Some(value) = run.measure(measure) {
                tasks.entry(&run.task).or_default().push((run.epoch, value));
            }
        }
        tasks
            .into_iter()
            .map(|(task, mut values)| {
                values.sort_by_key(|(epoch, _)| *epoch);
                (task, values.into_iter().map(|(_, value)| value).collect())
            })
            .collect()
    }
}

/// Where no task of one side is on the other, but would be without the name of its evaluation (`tested/17`, `deployed/17`), that
/// name is taken away. True: it was.
pub fn align(a: &mut Set, b: &mut Set) -> bool {
    let tasks = |set: &Set| set.runs.iter().map(|run| run.task.clone()).collect::<BTreeSet<_>>();
    let (first, second) = (tasks(a), tasks(b));
    if first.intersection(&second).next().is_some() {
        return false;
    }
    let prefix = |tasks: &BTreeSet<String>| {
        let (prefix, _) = tasks.first()?.rsplit_once('/')?;
        let prefix = format!("{prefix}/");
        tasks.iter().all(|task| task.starts_with(&prefix)).then_some(prefix)
    };
    let (Some(of_a), Some(of_b)) = (prefix(&first), prefix(&second)) else { return false };
    let rest = |tasks: &BTreeSet<String>, prefix: &str| {
        tasks.iter().filter_map(|task| task.strip_prefix(prefix).map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    if rest(&first, &of_a).intersection(&rest(&second, &of_b)).next().is_none() {
        return false;
    }
    for (set, prefix) in [(a, of_a), (b, of_b)] {
        for run in &mut set.runs {
            if let Some(task) = run.task.strip_prefix(&prefix) {
                run.task = task.to_owned();
            }
        }
    }
    true
}
