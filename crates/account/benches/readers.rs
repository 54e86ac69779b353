//! How fast accounts are read: framing, hashing, JSON, redaction, items.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use divan::Bencher;
use divan::counter::BytesCount;
use muster_account::{Format, Reader};

#[allow(dead_code, reason = "it also writes whole folders, for the benchmarks of the whole system")]
#[path = "../../cli/benches/system/transcripts.rs"]
mod transcripts;

fn main() {
    divan::main();
}

const SESSION: &str = "01a20920-8e36-7801-b4ad-38350ced79b8";

#[divan::bench(args = [Format::ClaudeCode, Format::Codex])]
fn read(bencher: Bencher, format: Format) {
    let mut bytes = Vec::new();
    transcripts::fill(&mut bytes, format == Format::ClaudeCode, SESSION, 4 << 20);
    bencher.counter(BytesCount::of_slice(&bytes)).bench(|| {
        let mut reader = Reader::new(format);
        bytes.chunks(1 << 16).map(|piece| reader.feed(piece).len()).sum::<usize>()
    });
}
