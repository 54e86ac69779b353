//! Many file events from one lineage: is any lost, and is what is lost counted exactly?

use std::path::Path;
use std::time::{Duration, Instant};

use muster_event::Kind;
use muster_server::{EventFilter, StoreReader};
use rustix::process::Signal;

use crate::Mode;
use crate::act;
use crate::daemon::Daemon;
use crate::figures::{head, row};

pub fn run(mode: Mode) {
    head(&[
        "load",
        "acts done",
        "acts/s",
        "in the index",
        "told as lost, by queue",
        "other agents on the roll",
        "index + lost - acts",
        "daemon's processor time",
        "ready to read after",
        "ledger per event",
    ]);
    let none = Duration::ZERO;
    measure("50,000 a second", 50_000, mode.pick(5, 60), 1, none);
    measure("as fast as it goes, 4 threads", 0, mode.pick(3, 10), 4, none);
    // So that the queues do overflow.
    measure("the same, the daemon stopped for 2 s", 0, mode.pick(4, 10), 4, Duration::from_secs(2));
}

fn measure(load: &str, rate: u64, seconds: u64, threads: u64, stopped: Duration) {
    let daemon = Daemon::start();
    // In memory: the file system's own speed is no matter here.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = dir.path().to_string_lossy().into_owned();
    let cpu = daemon.cpu();
    let mut command = daemon.supervised();
    command.args(act::command(&[
        "files",
        &path,
        &rate.to_string(),
        &seconds.to_string(),
        &threads.to_string(),
    ]));
    let child = act::spawn_piped(command);
    if !stopped.is_zero() {
        std::thread::sleep(Duration::from_secs(1));
        daemon.signal(Signal::STOP);
        std::thread::sleep(stopped);
        daemon.signal(Signal::CONT);
    }
    let out = child.wait_with_output().unwrap();
    let over = Instant::now();
    let text = String::from_utf8(out.stdout).unwrap();
    let (done, elapsed) = text.trim().split_once(' ').expect("the acts were not done");
    let (done, elapsed): (u64, f64) = (done.parse().unwrap(), elapsed.parse().unwrap());
    daemon.settle();
    let behind = over.elapsed().as_secs_f64() - 0.5;
    let cpu = (daemon.cpu() - cpu).as_secs_f64();
    let by_queue = daemon.lost();
    let lost: u64 = by_queue.values().sum();
    let agents = daemon.get("/api/v1/roll").and_then(|roll| roll.as_array().map(Vec::len)).unwrap_or(0);
    let told = daemon.get("/api/v1/health").and_then(|h| h["lost"].as_u64()).unwrap();
    assert_eq!(lost, told, "the losses of the API are not those of the log");
    let data = daemon.stop();
    let (indexed, bytes, events) = count(data.path(), dir.path());
    row(&[
        load.to_owned(),
        done.to_string(),
        format!("{:.0}", done as f64 / elapsed),
        indexed.to_string(),
        format!("{lost} {by_queue:?}"),
        agents.saturating_sub(1).to_string(),
        (indexed as i64 + lost as i64 - done as i64).to_string(),
        format!("{cpu:.1} s in {:.1} s", elapsed + behind),
        format!("{behind:.1} s"),
        format!("{} B", bytes / events.max(1)),
    ]);
}

/// Events of the acts in the folder, bytes of the ledger, and all events in it.
fn count(data: &Path, dir: &Path) -> (u64, u64, u64) {
    let reader = StoreReader::open(data).unwrap();
    let dir = dir.to_string_lossy().into_owned() + "/t";
    let kinds = ["open", "rename", "chmod"].map(str::to_owned).to_vec();
    let mut found = 0;
    let filter = EventFilter { kinds, ..EventFilter::default() };
    let warnings = reader.records(&filter, &mut |record| {
        let path = match &record.event.kind {
            Kind::Open { path, .. } | Kind::Chmod { path, .. } => path,
            Kind::Rename { from, .. } => from,
            _ => return true,
        };
        found += u64::from(path.starts_with(&dir));
        true
    });
    assert!(warnings.unwrap().is_empty());
    let health = reader.health().unwrap();
    (found, health.ledger_bytes, health.last_seq)
}
