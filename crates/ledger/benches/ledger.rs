//! What the ledger costs, beside what hashing and waiting for the disk cost by themselves.
//!
//! `cargo bench -p muster-ledger [-- append|scale] [DIR]`: `append` writes 200-byte leaves for some seconds with one wait
//! for the disk per batch; `scale` makes a log of ten million leaves (3 GB in DIR, else in the temporary folder; a tenth
//! with `MUSTER_BENCH=quick`), then proves, verifies and recovers it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_ledger::{Head, Ledger, Options, Reader, tree, verify};

const LEAF: usize = 200;

fn main() {
    let mut parts: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let place = parts.iter().position(|it| it.contains('/')).map(|at| PathBuf::from(parts.remove(at)));
    let place = place.unwrap_or_else(std::env::temp_dir);
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|it| it == part);
    let quick = std::env::var_os("MUSTER_BENCH").is_some_and(|it| it == "quick");
    println!("in {}", place.display());
    load("before");
    if wanted("append") {
        append(&place, if quick { 2 } else { 6 });
    }
    if wanted("scale") {
        scale(&place, if quick { 1_000_000 } else { 10_000_000 });
    }
    load("after");
}

fn load(when: &str) {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {when} {}", text.split(' ').next().unwrap_or_default());
}

fn folder(place: &Path) -> tempfile::TempDir {
    tempfile::tempdir_in(place).unwrap()
}

fn leaf(index: u64, leaf: &mut [u8; LEAF]) {
    leaf[..8].copy_from_slice(&index.to_le_bytes());
}

fn checkpoint(head: &Head) -> Vec<u8> {
    format!("example.com/log\n{}\n\u{2014} example.com/log {}\n", head.lines(), "A".repeat(92)).into_bytes()
}

/// Leaves of this length that so many threads hash into trees in a second: each leaf, and one node.
fn hash_limit(threads: usize) -> f64 {
    let work = || {
        let mut bytes = [7; LEAF];
        let started = Instant::now();
        let mut count = 0u64;
        let mut last = [0; 32];
        while started.elapsed() < Duration::from_secs(1) {
            for _ in 0..10_000 {
                leaf(count, &mut bytes);
                let hash = tree::leaf_hash(&bytes);
                last = tree::node_hash(&last, &hash);
                count += 1;
            }
        }
        black_box(last);
        count as f64 / started.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// Waits for the disk in a second, after appends of this many bytes (`grows`), or over what is there.
fn sync_limit(place: &Path, bytes: usize, grows: bool) -> f64 {
    let dir = folder(place);
    let file = File::create(dir.path().join("x")).unwrap();
    let chunk = vec![7; bytes];
    if !grows {
        (0..64).for_each(|at| file.write_all_at(&chunk, at * bytes as u64).unwrap());
        file.sync_all().unwrap();
    }
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < Duration::from_secs(1) {
        let at = if grows { count } else { count % 64 };
        file.write_all_at(&chunk, at * bytes as u64).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    count as f64 / started.elapsed().as_secs_f64()
}

/// Processor time that the writing thread, and the whole program, have used.
fn used() -> (f64, f64) {
    let thread = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let thread: f64 = thread.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0.0);
    let all = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = all.split(' ').filter_map(|it| it.parse().ok()).collect();
    // User and system time, in hundredths of a second; the name and the state of the program are no numbers.
    (thread / 1e9, fields.get(11..13).map_or(0.0, |it| it.iter().sum::<f64>() / 100.0))
}

fn append(place: &Path, seconds: u64) {
    let hashes = hash_limit(1);
    println!("\nSHA-256: {:.0} leaves of {LEAF} bytes a second and core, with a node each", hashes);
    println!(
        "| batch | leaves/s | waits/s | p50 | p99 | waits/s that append as much | that write over it | of the fsync limit | of the hash limit | processor time a leaf, writing thread | all threads |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    // None is removed before the end: a file system without a journal looks long for an inode where many were just freed.
    let mut dirs = Vec::new();
    for batch in [256u64, 1024, 4096] {
        let bytes = batch as usize * (LEAF + 8);
        let (before, over) = (sync_limit(place, bytes, true), sync_limit(place, bytes, false));
        let dir = folder(place);
        let (mut ledger, _) = Ledger::open(dir.path(), Options::default()).unwrap();
        let mut bytes = [7; LEAF];
        let mut times = Vec::new();
        let started = Instant::now();
        let mut signed = Instant::now();
        let mut index = 0;
        let before_used = used();
        while started.elapsed() < Duration::from_secs(seconds) {
            let begun = Instant::now();
            for _ in 0..batch {
                leaf(index, &mut bytes);
                ledger.append(&bytes).unwrap();
                index += 1;
            }
            ledger.commit(true).unwrap();
            times.push(begun.elapsed());
            if signed.elapsed() > Duration::from_secs(1) {
                signed = Instant::now();
                let head = ledger.publish().unwrap();
                ledger.put_checkpoint(&checkpoint(&head)).unwrap();
            }
        }
        let took = started.elapsed().as_secs_f64();
        let after_used = used();
        let each = |after: f64, before: f64| (after - before) / index as f64 * 1e6;
        times.sort();
        let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
        let rate = index as f64 / took;
        println!(
            "| {batch} | {rate:.0} | {:.0} | {:.2} ms | {:.2} ms | {before:.0} | {over:.0} | {:.2} | {:.2} | {:.2} µs | {:.2} µs |",
            times.len() as f64 / took,
            at(50),
            at(99),
            rate / batch as f64 / before,
            rate / hashes,
            each(after_used.0, before_used.0),
            each(after_used.1, before_used.1),
        );
        drop(ledger);
        dirs.push(dir);
    }
}

fn scale(place: &Path, count: u64) {
    let dir = folder(place);
    let started = Instant::now();
    let (mut ledger, _) = Ledger::open(dir.path(), Options::default()).unwrap();
    let mut bytes = [7; LEAF];
    for index in 0..count {
        leaf(index, &mut bytes);
        ledger.append(&bytes).unwrap();
        if index % 65_536 == 0 {
            ledger.commit(true).unwrap();
        }
    }
    let head = ledger.publish().unwrap();
    ledger.put_checkpoint(&checkpoint(&head)).unwrap();
    ledger.settle_all().unwrap();
    let took = started.elapsed().as_secs_f64();
    println!("\n{count} leaves written in {took:.1} s: {:.0} a second", count as f64 / took);
    prove(dir.path(), &head);
    // The first may have to read what the disk has, the others what memory holds of it.
    for _ in 0..3 {
        let cores = std::thread::available_parallelism().unwrap().get();
        let before = hash_limit(cores);
        let started = Instant::now();
        let report = verify(dir.path(), head, &|_| false, &|_, _| {}, &|_| {}).unwrap();
        let took = started.elapsed().as_secs_f64();
        let rate = report.leaves as f64 / took;
        // The machine is shared: the limit right before and right after.
        let hashes = (before + hash_limit(cores)) / 2.0;
        println!(
            "verify: {took:.2} s, {rate:.0} leaves a second; SHA-256 alone on {cores} cores {hashes:.0}: {:.2} of the limit",
            rate / hashes,
        );
    }
    // As a kill leaves it: a segment nearly full, one that is closed and not sealed, and a torn leaf.
    for index in count..count + 80_000 {
        leaf(index, &mut bytes);
        ledger.append(&bytes).unwrap();
    }
    ledger.commit(true).unwrap();
    let newest = ledger.segments().pop().unwrap().path;
    drop(ledger);
    let file = OpenOptions::new().write(true).open(newest).unwrap();
    file.write_all_at(&[1, 0, 0, 0, 9], file.metadata().unwrap().len()).unwrap();
    let started = Instant::now();
    let (ledger, recovery) = Ledger::open(dir.path(), Options::default()).unwrap();
    println!("recovery: {:.0} ms, {recovery:?}", started.elapsed().as_secs_f64() * 1000.0);
    assert_eq!(ledger.next_index(), count + 80_000);
    drop(ledger);
    let started = Instant::now();
    Ledger::open(dir.path(), Options::default()).unwrap();
    println!("opened again: {:.0} ms", started.elapsed().as_secs_f64() * 1000.0);
}

fn prove(dir: &Path, head: &Head) {
    let reader = Reader::open(dir).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut times = Vec::new();
    let before = used().0;
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let index = state % head.size;
        let started = Instant::now();
        // Nothing is remembered from one proof to the next.
        let path = tree::inclusion(&mut reader.tiles(head.size), index, head.size).unwrap();
        times.push(started.elapsed());
        if times.len() % 100 == 0 {
            let leaf = tree::leaf_hash(&reader.read(index).unwrap());
            tree::verify_inclusion(&leaf, index, head.size, &head.root, &path).unwrap();
        }
    }
    times.sort();
    let at = |part: usize| times[(times.len() * part / 1000).min(times.len() - 1)].as_secs_f64() * 1e6;
    println!("processor time of a proof: {:.0} µs", (used().0 - before) / times.len() as f64 * 1e6);
    println!(
        "inclusion proof, {} at random: p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs",
        times.len(),
        at(500),
        at(990),
        at(1000)
    );
}
