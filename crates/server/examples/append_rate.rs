//! How many events a second the store takes, on one core:
//! `cargo run --release -p muster-server --example append_rate [events]`.

use std::time::{Duration, Instant};

use muster_engine::{Input, Member, Output};
use muster_event::{Access, Attribution, Event, Kind, ProcessKey};
use muster_server::{EventFilter, Retention, Store, StoreReader};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let dir =
        tempfile::tempdir_in(std::env::var_os("RATE_DIR").unwrap_or_else(|| std::env::temp_dir().into()))?;
    let (mut store, _) = Store::open(dir.path(), Retention::UNLIMITED)?;
    let key = |n: u64| ProcessKey { pid: 1000 + (n % 500) as u32, start_ns: 10_000_000 };
    for n in 0..250 {
        let agent = format!("claude-code-{:010}", n % 10);
        store.apply(&Output::Member(Member {
            agent,
            process: key(n),
            from_seq: 0,
            by: Attribution::Ancestry,
        }))?;
    }
    let access = Access { read: false, write: true, create: true, truncate: true, append: false };
    let begun = Instant::now();
    let mut committed = begun;
    for seq in 1..=count {
        let kind = Kind::Open {
            path: format!("/home/user/project/target/debug/deps/libsomething-{seq:016x}.rmeta"),
            access,
            result: 5,
        };
        store.append(&Input::Event(Event {
            seq,
            time_ns: 1_700_000_000_000_000_000 + seq * 20_000,
            boot_ns: seq * 20_000,
            process: key(seq),
            thread: 1000,
            uid: 1000,
            comm: "rustc".to_owned(),
            cgroup: 4711,
            kind,
        }))?;
        if committed.elapsed() >= Duration::from_millis(30) {
            store.commit(true)?;
            committed = Instant::now();
        }
    }
    store.commit(true)?;
    let took = begun.elapsed().as_secs_f64();
    println!("append: {count} events in {took:.2} s: {:.0} events/s", count as f64 / took);
    println!("ledger: {} bytes, {:.0} an event", store.bytes(), store.bytes() as f64 / count as f64);
    let reader = StoreReader::open(dir.path())?;
    let begun = Instant::now();
    let mut seen = 0u64;
    let filter = EventFilter { agent: Some("claude-code-0000000003".to_owned()), ..EventFilter::default() };
    reader.events(&filter, &mut |_| {
        seen += 1;
        true
    })?;
    let took = begun.elapsed().as_secs_f64();
    println!("read one agent's {seen} of them: {took:.2} s ({:.0} events scanned/s)", count as f64 / took);
    drop(store);
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    let begun = Instant::now();
    Store::open(dir.path(), Retention::UNLIMITED)?;
    println!("index made anew: {:.2} s", begun.elapsed().as_secs_f64());
    Ok(())
}
