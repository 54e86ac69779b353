//! From the start of `muster watch` to its `ready`, and to the first event.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use muster_server::{EventFilter, StoreReader};

use crate::Mode;
use crate::act::now_ns;
use crate::daemon::Daemon;
use crate::figures::{head, row, spread_ms};

pub fn run(mode: Mode) {
    let rounds = mode.pick(3, 20);
    let (mut ready, mut seen, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Something to be seen, from before the start.
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop(Command::new("/bin/true").status());
                    thread::sleep(Duration::from_millis(2));
                }
            });
            let (begun, begun_ns) = (Instant::now(), now_ns());
            let daemon = Daemon::start();
            ready.push(daemon.ready_after.as_secs_f64() * 1e3);
            while daemon.get("/api/v1/events?limit=1").is_none_or(|e| e.as_array().is_none_or(Vec::is_empty))
            {
                thread::sleep(Duration::from_millis(1));
            }
            shown.push(begun.elapsed().as_secs_f64() * 1e3);
            over.store(true, Ordering::Relaxed);
            let data = daemon.stop();
            let mut first = 0;
            let filter = EventFilter { limit: Some(1), ..EventFilter::default() };
            let reader = StoreReader::open(data.path()).unwrap();
            drop(reader.records(&filter, &mut |record| {
                first = record.event.time_ns;
                false
            }));
            seen.push(first.saturating_sub(begun_ns) as f64 / 1e6);
        });
    }
    head(&["from exec of `muster watch` to", "p50", "p99", "max"]);
    for (what, values) in [
        ("the first event that is recorded", seen),
        ("`ready`", ready),
        ("the first event in the API", shown),
    ] {
        let [p50, p99, max] = spread_ms(&values);
        row(&[what.to_owned(), p50, p99, max]);
    }
    println!("\n{rounds} starts");
}
