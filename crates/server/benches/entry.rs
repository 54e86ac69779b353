//! What an entry of the ledger costs: to write, to read, and to pass by.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;

use divan::{Bencher, black_box};
use muster_engine::Input;
use muster_event::{Access, Event, Identity, Kind, ProcessKey};
use muster_server::entry::{EntryRef, decode_event, encode, event_head};

fn main() {
    let bytes: usize = events().iter().map(|event| encoded(event).len()).sum();
    println!("{} bytes for an event", bytes / events().len());
    divan::main();
}

/// What a build of an agent's project looks like: mostly opens, some executions with their ends, a connection.
fn events() -> Vec<Event> {
    let access = Access { read: false, write: true, create: true, truncate: true, append: false };
    let key = |pid| ProcessKey { pid, start_ns: 4_711_230_000_000 };
    let kinds = (0..16u32).map(|n| match n {
        0 => Kind::Fork { child: key(41_001) },
        1 => Kind::Exec {
            path: "/usr/bin/bash".into(),
            script: None,
            argv: vec!["/bin/bash".into(), "-c".into(), "cargo test --workspace 2>&1 | tail -40".into()],
            argv_truncated: false,
            cwd: "/home/user/project".into(),
            env: BTreeMap::from([("CLAUDECODE".into(), "1".into()), ("HOME".into(), "/home/user".into())]),
            parent: key(40_000),
            session: 40_000,
            group: 40_000,
            file: Identity { device: 66_306, inode: 1_443_212 },
            anonymous: false,
        },
        2 => Kind::Exit { code: Some(0), signal: None },
        3 => Kind::Connect {
            address: muster_event::Address::Ip { ip: [160, 79, 104, 10].into(), port: 443 },
            result: -115,
        },
        4 => Kind::Rename {
            from: "/home/user/project/src/.main.rs.tmp".into(),
            to: "/home/user/project/src/main.rs".into(),
            result: 0,
        },
        5 => {
            Kind::Unlink { path: "/home/user/project/target/debug/.lock".into(), directory: false, result: 0 }
        }
        _ => Kind::Open {
            path: format!("/home/user/project/target/debug/deps/libsomething-{n:016x}.rmeta"),
            access,
            result: 5,
        },
    });
    (8_123_456..)
        .zip(kinds)
        .map(|(seq, kind)| Event {
            seq,
            time_ns: 1_764_060_000_123_456_789 + seq,
            boot_ns: 32_123_456_789_123 + seq,
            process: key(41_000),
            thread: 41_000,
            uid: 1000,
            comm: "rustc".into(),
            cgroup: 4711,
            kind,
        })
        .collect()
}

fn encoded(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&EntryRef::Input(&Input::Event(event.clone())), &mut bytes).unwrap();
    bytes
}

#[divan::bench]
fn write(bencher: Bencher) {
    let inputs: Vec<Input> = events().into_iter().map(Input::Event).collect();
    let mut buffer = Vec::new();
    let mut at = inputs.iter().cycle();
    bencher.bench_local(|| encode(&EntryRef::Input(black_box(at.next().unwrap())), &mut buffer));
}

#[divan::bench]
fn read(bencher: Bencher) {
    let entries: Vec<Vec<u8>> = events().iter().map(encoded).collect();
    let mut at = entries.iter().cycle();
    bencher.bench_local(|| decode_event(black_box(at.next().unwrap())));
}

#[divan::bench]
fn pass_by(bencher: Bencher) {
    let entries: Vec<Vec<u8>> = events().iter().map(encoded).collect();
    let mut at = entries.iter().cycle();
    bencher.bench_local(|| event_head(black_box(at.next().unwrap())));
}
