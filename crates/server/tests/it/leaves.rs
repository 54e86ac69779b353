//! Leaves of the ledger: those that were written once must always be read, and a later version's as far as can be.
//! `UPDATE=1` adds leaves of what is new to `tests/leaves/v1.jsonl` (lines that are there stay as they are: they are what
//! is on people's disks) and writes the tables of `docs/ledger.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use muster_account::{Actor, Body};
use muster_engine::{AccountFile, Evidence, Input};
use muster_event::{Address, Kind, SignalTarget};
use muster_server::entry::{Decoded, EntryRef, decode, decode_event, encode, event_head};
use muster_server::{Entry, EvidenceCopy, Kept, Log, StoredOutput};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::samples;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn leaf(entry: &Entry) -> String {
    let mut bytes = Vec::new();
    let entry = match entry {
        Entry::Input(input) => EntryRef::Input(input),
        Entry::Output(output) => EntryRef::Output(output),
        Entry::Kept(kept) => EntryRef::Kept(kept),
        Entry::Log(log) => EntryRef::Log(log),
    };
    encode(&entry, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn fixture() -> Vec<String> {
    let file = root().join("crates/server/tests/leaves/v1.jsonl");
    let mut lines: Vec<String> =
        fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
    if update() {
        lines.extend(samples::entries().iter().skip(lines.len()).map(leaf));
        fs::write(&file, lines.join("\n") + "\n").unwrap();
    }
    lines
}

#[test]
fn leaves_that_were_written_are_read_as_they_were_meant() {
    let entries = samples::entries();
    let lines = fixture();
    assert_eq!(lines.len(), entries.len(), "UPDATE=1 adds leaves of new samples; they stand at the end");
    for (line, entry) in lines.iter().zip(&entries) {
        assert_eq!(decode(line.as_bytes()), Ok(Decoded::Known(entry.clone())), "{line}");
        let again = leaf(entry);
        assert_eq!(decode(again.as_bytes()), Ok(Decoded::Known(entry.clone())), "{again}");
        let event = match entry {
            Entry::Input(input) => match &**input {
                Input::Event(event) => Some(event),
                _ => None,
            },
            Entry::Output(_) | Entry::Kept(_) | Entry::Log(_) => None,
        };
        let head = event_head(line.as_bytes());
        assert_eq!(head.is_some(), event.is_some(), "{line}");
        if let (Some(head), Some(event)) = (head, event) {
            assert_eq!((head.seq, head.time_ns, head.process), (event.seq, event.time_ns, event.process));
            assert_eq!(head.kind, event.kind.name());
        }
    }
}

#[track_caller]
fn unknown(line: &str, expected: &str) {
    let Ok(Decoded::Unknown { what }) = decode(line.as_bytes()) else {
        panic!("{line} is known, or no entry")
    };
    assert_eq!(what, expected);
}

#[test]
fn leaves_of_a_later_version_are_read_as_far_as_can_be() {
    // Fields that are not known are passed by, wherever they are.
    let line = r#"{"v":2,"sealed":{"by":"x"},"input":{"tick":{"time_ns":7,"leap":[1,{"a":null}]}}}"#;
    assert_eq!(
        decode(line.as_bytes()),
        Ok(Decoded::Known(Entry::Input(Box::new(Input::Tick { time_ns: 7, boot_ns: 0, asleep_ns: 0 }))))
    );
    // Fields may come in another order, and with spaces.
    let line = r#"{ "input": {"tick": {"time_ns": 7}}, "v": 1 }"#;
    assert!(matches!(decode(line.as_bytes()), Ok(Decoded::Known(_))));

    unknown(r#"{"v":2,"input":{"quiet":{"time_ns":7}}}"#, "input.quiet: unknown variant `quiet`");
    unknown(r#"{"v":2,"input":"quiet"}"#, "input.quiet: unknown variant `quiet`");
    unknown(r#"{"v":2,"output":{"gate":{}}}"#, "output.gate: unknown variant `gate`");
    unknown(r#"{"v":2,"kept":{"gate":{}}}"#, "kept.gate: unknown variant `gate`");
    unknown(r#"{"v":2,"sealed":{"agent":{"a":1,"b":2}}}"#, "sealed.agent: an entry without content");
    unknown(r#"{"v":2}"#, ": an entry without content");
    // Of an event, what it is about is known all the same.
    let line = r#"{"v":2,"input":{"event":{"seq":9,"time_ns":8,"boot_ns":7,"process":{"pid":6,"start_ns":5},"thread":4,"uid":3,"comm":"x","cgroup":2,"kind":{"teleport":{"to":"y"}}}}}"#;
    unknown(line, "input.event.teleport: unknown variant `teleport`");
    let head = event_head(line.as_bytes()).unwrap();
    assert_eq!((head.seq, head.time_ns, head.process.pid, &*head.kind), (9, 8, 6, "teleport"));
    assert!(matches!(decode_event(line.as_bytes()), Ok(Decoded::Unknown { .. })));
    let long = format!(r#"{{"v":2,"input":{{"{}":1}}}}"#, "ü".repeat(1000));
    assert!(matches!(decode(long.as_bytes()), Ok(Decoded::Unknown { what }) if what.chars().count() == 200));
}

#[test]
fn what_is_no_entry_is_said_to_be_none() {
    let deep = "[".repeat(100_000);
    for text in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        r#"{"v":0,"input":{"tick":{"time_ns":7}}}"#,
        r#"{"v":"1","input":{"tick":{"time_ns":7}}}"#,
        r#"{"input":{"tick":{"time_ns":7}}}"#,
        r#"{"v":1,"input":{"tick":{"time_ns":7}},"kept":{"start":{}}"#,
        "{\"v\":1,\"input\":{\"event\":{\"comm\":\"\u{1}\"}}}",
        deep.as_str(),
    ] {
        assert!(decode(text.as_bytes()).is_err(), "{text:.40}");
    }
    let two = r#"{"v":1,"input":{"tick":{"time_ns":7}},"output":{"member":{"agent":"a","process":{"pid":1,"start_ns":0},"from_seq":1,"by":"cgroup"}}}"#;
    assert_eq!(decode(two.as_bytes()), Err("two entries in one".to_owned()));
    assert!(decode(b"{\"v\":1,\"input\":{\"tick\":{\"time_ns\":7}}} ").is_ok());
    assert!(decode(b"{\"v\":1,\"input\":{\"tick\":{\"time_ns\":7}}}x").is_err());
}

/// Names of an enum's variants, as serde knows them.
fn variants<T: DeserializeOwned>() -> Vec<String> {
    let error = serde_json::from_str::<T>("\"?\"").err().unwrap().to_string();
    let known = error.split_once("expected").unwrap().1;
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All values below a value, by the last names of the path to them.
fn collect<'a>(value: &'a Value, path: &[&'a str], pool: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, path, pool)),
        Value::Object(fields) => {
            pool.push((path.join("."), value));
            for (name, value) in fields {
                collect(value, &[path, &[name]].concat(), pool);
            }
        }
        Value::String(_) => pool.push((path.join("."), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Names and types of the fields that samples of one thing have.
fn fields(samples: &[&Value]) -> String {
    let mut types: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for sample in samples {
        let each = match sample {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            other => vec![("", *other)],
        };
        for (name, value) in each {
            types.entry(name).or_default().insert(type_of(value));
        }
    }
    let words = types.iter().map(|(name, types)| {
        let types = types.iter().copied().collect::<Vec<_>>().join(" or ");
        if name.is_empty() { types } else { format!("`{name}` {types}") }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What stands in the pool under a path that ends so.
fn under<'a>(ends: &str, pool: &[(String, &'a Value)]) -> Vec<&'a Value> {
    let after = format!(".{ends}");
    let found = pool.iter().filter(|(path, _)| path == ends || path.ends_with(&after));
    found.map(|(_, value)| *value).collect()
}

/// One line for each variant, with the fields of its samples.
fn table<T: DeserializeOwned>(title: &str, ends: &str, pool: &[(String, &Value)]) -> String {
    let mut text = format!("\n### {title}\n\n| name | fields |\n|---|---|\n");
    let found = under(ends, pool);
    for name in variants::<T>() {
        let alone = found.iter().any(|value| value.as_str() == Some(name.as_str()));
        let held =
            found.iter().filter_map(|value| value.as_object().filter(|object| object.len() == 1)?.get(&name));
        let held: Vec<&Value> = held.collect();
        assert!(alone || !held.is_empty(), "no sample of {title} `{name}`");
        text += &format!("| `{name}` | {} |\n", fields(&held));
    }
    text
}

/// The fields of a struct, as the samples have them.
fn structure(title: &str, ends: &str, pool: &[(String, &Value)]) -> String {
    let found: Vec<&Value> = under(ends, pool).into_iter().filter(|value| value.is_object()).collect();
    assert!(!found.is_empty(), "no sample of {title}");
    format!("| {title} | {} |\n", fields(&found))
}

#[test]
fn the_document_is_true() {
    let leaves: Vec<Value> = fixture().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut pool = Vec::new();
    leaves.iter().for_each(|leaf| collect(leaf, &[], &mut pool));
    let mut text = String::new();
    text += &table::<Input>("`input`: what drives the engine", "input", &pool);
    text += &table::<StoredOutput>("`output`: what the engine reported", "output", &pool);
    text += &table::<Kept>("`kept`: what outlives its segment", "kept", &pool);
    text += &table::<Log>("`log`: what the log says of itself", "log", &pool);
    text += &table::<Kind>("`kind` of an event: what was done", "event.kind", &pool);
    text += &table::<Body>("`body` of an item: what was said", "items.body", &pool);
    text += &table::<Actor>("`actor` of an item: who said it", "items.actor", &pool);
    text += &table::<AccountFile>("`state` of an account's file", "account_state.state", &pool);
    text +=
        &table::<Evidence>("`evidence` of a finding, `said` of a claim", "finding.finding.evidence", &pool);
    text +=
        &table::<EvidenceCopy>("`evidence` beside a finding: copies of it", "output.finding.evidence", &pool);
    text += &table::<Address>("`address`, `server`", "address", &pool);
    text += &table::<SignalTarget>("`target` of a signal", "signal.target", &pool);
    text += "\n### Parts of these\n\n| part | fields |\n|---|---|\n";
    for (title, ends) in [
        ("`process`, `parent`, `child`, `root`, `daemon`", "event.process"),
        ("`file` of an execution", "exec.file"),
        ("`access` of an open", "open.access"),
        ("`state` of a probe", "probe.state"),
        ("`product` of a process", "identified.product"),
        ("an item of an account", "account.items"),
        ("`before` of a start", "start.before"),
        ("`coverage` of an agent", "agent.coverage"),
        ("`gaps` of a coverage", "coverage.gaps"),
        ("`finding`", "output.finding.finding"),
        ("an opinion", "opinion.opinions"),
        ("`cited` of an opinion", "opinions.cited"),
        ("`member` that is kept", "kept.member.member"),
    ] {
        text += &structure(title, ends, &pool);
    }
    text += "\n### Words\n\n| field | words |\n|---|---|\n";
    for (field, words) in samples::words() {
        text += &format!("| {field} | `{}` |\n", words.join("`, `"));
    }
    let file = root().join("docs/ledger.md");
    let document = fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- leaves: begin -->\n", "<!-- leaves: end -->");
    let (before, rest) = document.split_once(begin).unwrap();
    let (there, after) = rest.split_once(end).unwrap();
    if update() {
        fs::write(&file, format!("{before}{begin}{text}\n{end}{after}")).unwrap();
    } else {
        assert_eq!(there.trim_end(), text.trim_end(), "UPDATE=1 writes docs/ledger.md");
    }
}

/// What `samples::words` lists.
pub fn words_of<T: DeserializeOwned>(field: &'static str) -> (&'static str, Vec<String>) {
    (field, variants::<T>())
}
