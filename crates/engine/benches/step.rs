//! How many events a second the engine takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use divan::Bencher;
use divan::counter::ItemsCount;
use muster_engine::{Engine, Enrol, Input, Products, Start};
use muster_event::{Access, Event, Identity, Kind, ProcessKey};

fn main() {
    divan::main();
}

const EVENTS: u64 = 20_000;
const ROOT: ProcessKey = ProcessKey { pid: 100, start_ns: 100_000_000 };

/// An engine that follows one enrolled agent.
fn engine() -> Engine {
    let mut engine = Engine::new(Products::built_in().unwrap());
    engine.step(Input::Start(Start {
        time_ns: 1,
        host: "host".into(),
        boot_id: "boot".into(),
        version: "bench".into(),
        kernel_record: true,
        daemon: ProcessKey { pid: 7, start_ns: 7 },
        data_dir: "/var/lib/muster".into(),
        boot_ns: 0,
        before: None,
    }));
    engine.step(Input::Enrol(Enrol {
        time_ns: 2,
        process: ROOT,
        cgroup: 5,
        principal: "bench".into(),
        label: String::new(),
        command: vec!["agent".into()],
    }));
    engine
}

fn event(seq: u64, process: ProcessKey, kind: Kind) -> Input {
    Input::Event(Event {
        seq,
        time_ns: seq * 1000,
        boot_ns: seq * 1000,
        process,
        thread: process.pid,
        uid: 0,
        comm: "agent".into(),
        cgroup: 5,
        kind,
    })
}

#[divan::bench]
fn files(bencher: Bencher) {
    let access = Access { read: false, write: true, create: true, truncate: true, append: false };
    let inputs: Vec<Input> = (1..=EVENTS)
        .map(|seq| {
            let path = format!("/home/dev/project/target/debug/deps/libpart-{:04x}.rmeta", seq % 4096);
            event(seq, ROOT, Kind::Open { path, access, result: 5 })
        })
        .collect();
    bencher.counter(ItemsCount::new(EVENTS)).with_inputs(|| (engine(), inputs.clone())).bench_values(
        |(mut engine, inputs)| inputs.into_iter().map(|input| engine.step(input).len()).sum::<usize>(),
    );
}

#[divan::bench]
fn processes(bencher: Bencher) {
    let exec = Kind::Exec {
        path: "/usr/bin/git".into(),
        script: None,
        argv: ["git", "status", "--short"].map(str::to_owned).to_vec(),
        argv_truncated: false,
        cwd: "/home/dev/project".into(),
        env: Default::default(),
        parent: ROOT,
        session: 100,
        group: 100,
        file: Identity { device: 1, inode: 2 },
        anonymous: false,
    };
    let inputs: Vec<Input> = (0..EVENTS / 3)
        .flat_map(|n| {
            let child =
                ProcessKey { pid: 1000 + (n % 30_000) as u32, start_ns: 200_000_000 + n * 10_000_000 };
            [
                event(3 * n + 1, ROOT, Kind::Fork { child }),
                event(3 * n + 2, child, exec.clone()),
                event(3 * n + 3, child, Kind::Exit { code: Some(0), signal: None }),
            ]
        })
        .collect();
    bencher.counter(ItemsCount::new(inputs.len())).with_inputs(|| (engine(), inputs.clone())).bench_values(
        |(mut engine, inputs)| inputs.into_iter().map(|input| engine.step(input).len()).sum::<usize>(),
    );
}
