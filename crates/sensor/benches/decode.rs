//! How many of the probes' records a second become events.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use divan::Bencher;
use divan::counter::ItemsCount;
use muster_sensor::Decoder;

fn main() {
    divan::main();
}

const RECORDS: usize = 10_000;

/// Bytes as `bpf/wire.h` lays them out: the head, then blobs of tag, length and content.
fn record(kind: u16, nr: u32, result: i64, arguments: [u64; 6], blobs: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend([kind, 4].map(u16::to_ne_bytes).as_flattened());
    out.extend(nr.to_ne_bytes());
    out.extend([123_456_789_000u64, 100_000_000].map(u64::to_ne_bytes).as_flattened());
    out.extend([4711u32, 4711, 1000, 4000, 4711, 4000].map(u32::to_ne_bytes).as_flattened());
    out.extend([90_000_000u64, 33].map(u64::to_ne_bytes).as_flattened());
    out.extend(b"rustc\0\0\0\0\0\0\0\0\0\0\0");
    out.extend(result.to_ne_bytes());
    out.extend(arguments.map(u64::to_ne_bytes).as_flattened());
    for (tag, blob) in blobs {
        out.extend(tag.to_ne_bytes());
        out.extend((blob.len() as u16).to_ne_bytes());
        out.extend(*blob);
    }
    out
}

/// `struct file_info`.
fn file() -> Vec<u8> {
    let mut out = 99u64.to_ne_bytes().to_vec();
    out.extend([1 << 20u32, 0xef53, 1, 0o100_644, 0, 2].map(u32::to_ne_bytes).as_flattened());
    out
}

const PATH: &[u8] = b"libpart0-6f1d.rmeta\0deps\0debug\0target\0project\0dev\0home\0";
const FOLDER: &[u8] = b"project\0dev\0home\0";

fn open() -> Vec<u8> {
    record(4, 257, 5, [u64::MAX, 0, 0o1101, 0o644, 0, 0o1101], &[(1, &file()), (2, PATH)])
}

fn unlink() -> Vec<u8> {
    record(4, 87, 0, [0; 6], &[(7, b"out/a.tmp\0"), (8, FOLDER)])
}

fn exec() -> Vec<u8> {
    let argv = b"rustc\0--crate-name\0part0\0--edition=2021\0src/lib.rs\0--emit=dep-info,metadata,link\0-C\0debuginfo=2\0";
    let env =
        b"PATH=/usr/local/bin:/usr/bin:/bin\0HOME=/home/dev\0CARGO_PKG_NAME=part0\0LANG=C.UTF-8\0".repeat(10);
    let lengths = [8, argv.len() as u64, env.len() as u64, 0, 0, 0];
    record(
        2,
        0,
        0,
        lengths,
        &[(1, &file()), (2, PATH), (3, FOLDER), (6, b"/usr/bin/rustc\0"), (4, argv), (5, &env)],
    )
}

#[divan::bench(args = ["open", "unlink", "exec"])]
fn decode(bencher: Bencher, what: &str) {
    let record = match what {
        "open" => open(),
        "unlink" => unlink(),
        _ => exec(),
    };
    assert!(Decoder::default().kind(&record).is_some());
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let mut decoder = Decoder::default();
        (0..RECORDS).filter(|_| decoder.kind(divan::black_box(&record)).is_some()).count()
    });
}
