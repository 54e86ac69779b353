//! Records from outside: real lines, what hostile ones do, the events of another Muster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod events;
mod hostile;
mod lines;

use muster_event::{Event, Kind};
use muster_trace::{Form, Options, Record, Warnings, detect};

fn options() -> Options {
    Options {
        is_sensitive: |path| path.ends_with("/id_rsa"),
        is_marker: |name| name == "HOME",
        cwd: Some("/start".to_owned()),
    }
}

fn read(form: Form, text: &str) -> (Vec<Event>, Record) {
    let mut record = Record::new(form, options());
    let mut events = record.feed(text.as_bytes());
    events.extend(record.finish());
    (events, record)
}

/// One line for an event.
fn show(event: &Event) -> String {
    let pid = event.process.pid;
    let what = match &event.kind {
        Kind::Fork { child } => format!("fork {}", child.pid),
        Kind::Exec { path, argv, cwd, argv_truncated, parent, .. } => {
            let cut = if *argv_truncated { "…" } else { "" };
            format!("exec {path} [{}]{cut} in {cwd} of {}", argv.join(" "), parent.pid)
        }
        Kind::Exit { code, signal } => format!("exit {code:?} {signal:?}"),
        Kind::Open { path, access, result } => {
            let how = if access.write { "write" } else { "read" };
            format!("open {how} {path} {result}")
        }
        Kind::Rename { from, to, result } => format!("rename {from} {to} {result}"),
        Kind::Unlink { path, directory, result } => format!("unlink {path} {directory} {result}"),
        Kind::Connect { address, result } => format!("connect {address} {result}"),
        Kind::Send { address, result } => format!("send {address} {result}"),
        Kind::Dns { name, record_type, server } => format!("dns {name} {record_type} {server}"),
        other => format!("{other:?}"),
    };
    format!("{pid} {what}")
}

#[track_caller]
fn check(log: &str, expected: &[&str]) -> Warnings {
    assert_eq!(detect(log.as_bytes()), Ok(Form::Strace));
    let (events, record) = read(Form::Strace, log);
    let shown: Vec<String> = events.iter().map(show).collect();
    assert_eq!(shown, expected);
    record.warnings()
}
