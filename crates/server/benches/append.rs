//! How many events a second ledger and index take together, on the disk that the build is on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use divan::Bencher;
use divan::counter::ItemsCount;
use muster_engine::{Input, Member, Output};
use muster_event::{Access, Attribution, Event, Kind, ProcessKey};
use muster_server::{Retention, Store};

fn main() {
    divan::main();
}

const EVENTS: u64 = 50_000;

/// Half of the events are of agents. Made visible every 1,500 events, which is 30 ms at 50,000 a second.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn append(bencher: Bencher) {
    let key = |n: u64| ProcessKey { pid: 1000 + (n % 500) as u32, start_ns: 10_000_000 };
    let access = Access { read: false, write: true, create: true, truncate: true, append: false };
    let inputs: Vec<Input> = (1..=EVENTS)
        .map(|seq| {
            let path = format!("/home/user/project/target/debug/deps/libsomething-{seq:016x}.rmeta");
            Input::Event(Event {
                seq,
                time_ns: 1_700_000_000_000_000_000 + seq * 20_000,
                boot_ns: seq * 20_000,
                process: key(seq),
                thread: 1000,
                uid: 1000,
                comm: "rustc".to_owned(),
                cgroup: 4711,
                kind: Kind::Open { path, access, result: 5 },
            })
        })
        .collect();
    let opened = || {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED).unwrap();
        for n in 0..250 {
            let agent = format!("claude-code-{:010}", n % 10);
            let member = Member { agent, process: key(n), from_seq: 0, by: Attribution::Ancestry };
            store.apply(&Output::Member(member)).unwrap();
        }
        (dir, store)
    };
    bencher.counter(ItemsCount::new(EVENTS)).with_inputs(opened).bench_values(|(dir, mut store)| {
        for (n, input) in inputs.iter().enumerate() {
            store.append(input).unwrap();
            if n % 1500 == 0 {
                store.commit(false).unwrap();
            }
        }
        store.commit(true).unwrap();
        (dir, store)
    });
}
