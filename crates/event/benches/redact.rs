//! How fast secrets are looked for, on text without any: nearly all text is. And what one costs.

use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    muster_event::redact::set_key([7; 32]);
    divan::main();
}

const LINES: [&str; 4] = [
    "cargo test --workspace 2>&1 | tail -20 # the parser returns an error when the last line is torn\n",
    "{\"type\":\"tool_result\",\"content\":\"let value = match Some(path) { \\\"quoted\\\" }\",\"is_error\":false}\n",
    "https://docs.rs/regex/latest/regex/#syntax and key_values: 127.0.0.1:7373 0x7f TODO secret_of = none\n",
    "läuft → fertig, «наконец»\n",
];

#[divan::bench(args = [("ascii", 3), ("not only ascii", 4)])]
fn redact(bencher: Bencher, (_, kinds): (&str, usize)) {
    let text: String = LINES.iter().take(kinds).copied().cycle().take(4000).collect();
    bencher.counter(BytesCount::of_str(&text)).bench(|| muster_event::redact(divan::black_box(&text)).len());
}

/// One secret in each line of some hundred bytes: a commitment costs two hashes and an HMAC.
#[divan::bench]
fn commit(bencher: Bencher) {
    let text: String = LINES.map(|line| format!("API_KEY=0123456789abcdef {line}")).concat().repeat(1000);
    bencher.counter(BytesCount::of_str(&text)).bench(|| muster_event::redact(divan::black_box(&text)).len());
}
