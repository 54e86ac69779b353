//! Runs a shell script in a lineage of its own, and gives what the sensor saw of it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muster_event::{Event, Kind, Lost};
use muster_sensor::{Config, KernelSensor, SensorError, Source, process_key};

pub const POLL: Duration = Duration::from_millis(5);

/// A sensor on the real kernel; `None`, with a line that says so, where there can be none.
pub fn sensor() -> Option<KernelSensor> {
    match KernelSensor::start(Config { first_seq: 1, keep: Box::new(|_| true), canary: None }) {
        Ok(sensor) => Some(sensor),
        Err(error @ (SensorError::NotRoot | SensorError::NoBtf { .. })) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub struct Seen {
    pub root: u32,
    pub events: Vec<Event>,
    pub lost: Vec<Lost>,
}

impl Seen {
    /// The acts of the lineage.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.events.iter().map(|e| &e.kind)
    }

    #[track_caller]
    pub fn has(&self, what: &str, test: impl Fn(&Kind) -> bool) {
        assert!(self.kinds().any(test), "{what} not seen among:\n{:#?}", self.kinds().collect::<Vec<_>>());
    }

    pub fn has_not(&self, what: &str, test: impl Fn(&Kind) -> bool) {
        let found: Vec<_> = self.kinds().filter(|k| test(k)).collect();
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}

/// Runs `script` with a shell, followed from its first instruction.
pub fn run(sensor: &mut KernelSensor, dir: &Path, script: &str) -> Seen {
    let mut child = Command::new("/bin/bash")
        .args(["-c", &format!("read go\n{script}")])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let root = child.id();
    sensor.poll(Duration::from_millis(20));
    sensor.follow(process_key(root).unwrap());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut lineage = vec![root];
    let mut seen = Seen { root, events: Vec::new(), lost: Vec::new() };
    let begun = Instant::now();
    let mut ended = None;
    while begun.elapsed() < Duration::from_secs(30) {
        let batch = sensor.poll(POLL);
        seen.lost.extend(batch.lost);
        for event in batch.events {
            if let Kind::Fork { child } = &event.kind
                && lineage.contains(&event.process.pid)
            {
                lineage.push(child.pid);
            }
            if lineage.contains(&event.process.pid) {
                seen.events.push(event);
            }
        }
        if ended.is_none() && child.try_wait().unwrap().is_some() {
            ended = Some(Instant::now());
        }
        if ended.is_some_and(|at| at.elapsed() > Duration::from_millis(100)) {
            return seen;
        }
    }
    drop(child.kill());
    drop(child.wait());
    panic!("the script did not end: {script}");
}
