//! The daemon's memory with a hundred agents on the roll and a million events taken.

use std::io::{BufRead, BufReader, Write};

use crate::Mode;
use crate::act;
use crate::daemon::Daemon;
use crate::figures::{head, row};

/// Acts a second of all agents together: below what the daemon takes, so that none waits in a queue.
const RATE: u64 = 20_000;

pub fn run(mode: Mode) {
    let (agents, events) = (100u64, mode.pick(100_000u64, 1_000_000));
    let daemon = Daemon::start();
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    head(&["state", "VmRSS", "VmHWM", "RssAnon", "tables and queues of the probes (kernel)"]);
    tell("just started", &daemon);
    let each = events / agents;
    let mut children: Vec<_> = (0..agents)
        .map(|n| {
            let own = dir.path().join(n.to_string());
            let rate = (RATE / agents).to_string();
            let mut command = daemon.supervised();
            command.args(act::command(&["count", &own.to_string_lossy(), &each.to_string(), &rate]));
            act::spawn_piped(command)
        })
        .collect();
    while (daemon.running() as u64) < agents {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    tell(&format!("{agents} agents on the roll"), &daemon);
    for child in &mut children {
        writeln!(child.stdin.as_mut().unwrap(), "go").unwrap();
    }
    for child in &mut children {
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
    }
    daemon.settle();
    tell(&format!("and {} events taken", daemon.events()), &daemon);
    println!("\nlost: {:?}", daemon.lost());
    assert!(daemon.events() >= each * agents, "events are missing");
    for mut child in children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

fn tell(state: &str, daemon: &Daemon) {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    row(&[
        state.to_owned(),
        mib(daemon.memory("VmRSS")),
        mib(daemon.memory("VmHWM")),
        mib(daemon.memory("RssAnon")),
        mib(daemon.probe_memory()),
    ]);
}
