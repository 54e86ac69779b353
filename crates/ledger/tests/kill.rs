//! `kill -9` at random moments: a real process writes a log and is killed, again and again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muster_ledger::{Head, Ledger, Options, Reader, tree, verify};

const OPTIONS: Options = Options { segment_bytes: 100_000, block: 1024 };
/// Where the child finds the folder.
const FOLDER: &str = "MUSTER_LEDGER_KILLED";
/// Kills that one log suffers.
const LIVES: u64 = 25;

fn leaf(index: u64) -> Vec<u8> {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().repeat(1 + index as usize % 30)
}

fn note(head: &Head) -> Vec<u8> {
    format!("example.com/log\n{}\n\u{2014} example.com/log AAAAAA==\n", head.lines()).into_bytes()
}

fn keep(through: u64) -> BTreeSet<u64> {
    (0..through).step_by(333).collect()
}

/// The program that is killed. It says what it was promised.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let (mut ledger, _) = Ledger::open(Path::new(&dir), OPTIONS).unwrap();
    let mut out = std::io::stdout().lock();
    let mut say = |what: &str, size: u64| {
        out.write_all(format!("\n{what} {size}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    say("opened", ledger.next_index());
    for round in 0u64.. {
        let count = [1, 7, 60, 700][(round % 4) as usize];
        for _ in 0..count {
            let index = ledger.next_index();
            ledger.append(&leaf(index)).unwrap();
        }
        match round % 5 {
            0..=2 => {
                ledger.commit(true).unwrap();
                say("durable", ledger.next_index());
            }
            3 => {
                let head = ledger.publish().unwrap();
                ledger.put_checkpoint(&note(&head)).unwrap();
                say("checkpoint", head.size);
                if round % 35 == 33 {
                    let sealed = ledger.sealed();
                    let through = ledger.block_of(sealed / 2);
                    say("pruning", through);
                    ledger.settle_all().unwrap();
                    ledger.prune(through, &keep(through)).unwrap();
                }
            }
            _ => ledger.commit(false).unwrap(),
        }
    }
}

#[derive(Default)]
struct Known {
    durable: u64,
    checkpoint: u64,
    pruned: u64,
}

/// Starts the child, kills it after this long, and takes in what it had said.
fn life(dir: &Path, after: Duration, known: &mut Known) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let reading = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|count| count > 0) {
            // What has no end was not said.
            if line.ends_with('\n') {
                lines.push(std::mem::take(&mut line));
            }
        }
        lines
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(status.code().is_none(), "it ended by itself: {error}");
    for line in reading.join().unwrap() {
        let Some((what, size)) = line.trim().split_once(' ') else { continue };
        let Ok(size) = size.parse() else { continue };
        match what {
            "opened" | "durable" => known.durable = known.durable.max(size),
            "checkpoint" => {
                known.durable = known.durable.max(size);
                known.checkpoint = size;
            }
            "pruning" => known.pruned = known.pruned.max(size),
            _ => {}
        }
    }
}

fn check(dir: &Path, known: &Known) {
    let (ledger, _) = Ledger::open(dir, OPTIONS).unwrap();
    let size = ledger.next_index();
    assert!(size >= known.durable, "{} were durable, {size} are there", known.durable);
    let mut edge = tree::Edge::default();
    (0..size).for_each(|index| edge.push(tree::leaf_hash(&leaf(index)), &mut Vec::new()));
    assert_eq!(ledger.head(), Head { size, root: edge.root() });
    let reader = Reader::open(dir).unwrap();
    let signed = reader.published().unwrap().unwrap_or(Head { size: 0, root: tree::empty_root() });
    assert!((known.checkpoint..=size).contains(&signed.size));
    let keep = keep(known.pruned);
    let may_miss = |index: u64| index < known.pruned && !keep.contains(&index);
    verify(dir, signed, &may_miss, &|index, bytes| assert_eq!(bytes, leaf(index)), &|_| {}).unwrap();
    for entry in reader.iter_from(signed.size) {
        let (index, bytes) = entry.unwrap();
        assert_eq!(bytes, leaf(index));
    }
}

fn kills(count: u64) {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let mut state = u64::from(std::process::id());
    let mut slowest = Duration::ZERO;
    let mut leaves = 0;
    for log in 0..count.div_ceil(LIVES) {
        let dir = tempfile::tempdir_in(&base).unwrap();
        let mut known = Known::default();
        for _ in 0..LIVES.min(count - log * LIVES) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            life(dir.path(), Duration::from_micros((state >> 33) % 80_000), &mut known);
            if dir.path().join("lock").exists() {
                let started = Instant::now();
                drop(Ledger::open(dir.path(), OPTIONS).unwrap());
                slowest = slowest.max(started.elapsed());
                check(dir.path(), &known);
            }
        }
        leaves += known.durable;
    }
    println!("{count} kills, {leaves} leaves acknowledged, none lost; slowest recovery {slowest:?}");
    assert!(leaves > 1000, "the child never came to write");
}

#[test]
fn fifty_kills() {
    kills(50);
}

/// Takes minutes: only with `MUSTER_LONG=1`.
#[test]
fn a_thousand_kills() {
    if std::env::var_os("MUSTER_LONG").is_none() {
        eprintln!("skipped: it takes minutes; MUSTER_LONG=1 runs it");
        return;
    }
    kills(1000);
}
