//! What must hold of a record whatever its bytes: driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(clippy::panic, reason = "a property fails by panicking")]

use muster_event::{Event, Kind, redact_argv};

use crate::{Form, Options, Record, detect};

/// Most events that one line can make: a packet is sent and asks the DNS.
const PER_LINE: usize = 2;

pub fn strace_log(bytes: &[u8]) {
    record(Form::Strace, bytes);
}

pub fn muster_events(bytes: &[u8]) {
    record(Form::Events, bytes);
}

/// Read at once or in pieces, the same events; as many as the lines allow; no secret among the arguments.
fn record(form: Form, bytes: &[u8]) {
    let (control, text) = bytes.split_first().unwrap_or((&0, &[]));
    let _ = detect(text);
    let (events, at_once) = read(form, text, usize::MAX);
    let (again, in_pieces) = read(form, text, 1 + usize::from(*control));
    assert_eq!(again, events, "read in pieces, a record says something else");
    assert_eq!(in_pieces.warnings(), at_once.warnings());
    let lines = text.split(|b| *b == b'\n').count();
    // A child that comes before its parent has told adds one.
    assert!(events.len() <= (PER_LINE + 1) * lines, "{} events of {lines} lines", events.len());
    for event in &events {
        assert_eq!(event.seq, 0, "numbers are given by whoever keeps them");
        assert_eq!(event.process.start_ns % muster_event::ProcessKey::TICK_NS, 0);
        if let Kind::Exec { argv, .. } = &event.kind {
            assert_eq!(&redact_argv(argv), argv, "a secret came through");
        }
        if let (Form::Strace, Kind::Unlink { path, .. } | Kind::Mkdir { path, .. }) = (form, &event.kind) {
            let known = path.starts_with('/') || path.starts_with('?') || !path.contains("/../");
            assert!(known, "a path that no kernel names: {path:?}");
        }
    }
}

fn read(form: Form, text: &[u8], piece: usize) -> (Vec<Event>, Record) {
    let options = Options {
        is_sensitive: |path| path.ends_with("shadow"),
        is_marker: |name| name == "HOME",
        cwd: None,
    };
    let mut record = Record::new(form, options);
    let mut events: Vec<Event> =
        text.chunks(piece.min(text.len().max(1))).flat_map(|p| record.feed(p)).collect();
    events.extend(record.finish());
    (events, record)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "(([1-4] |\\[pid +[1-4]\\] )?(1795452292\\.[0-9]{6} )?(\
        (execve|openat|open|rename|connect|sendto|chdir|unlinkat|kill|wait4|close|write)\\((\"/?[a-z./]{0,8}\"(\\.\\.\\.)?|AT_FDCWD(</w>)?|[0-9]{1,2}(</[a-z]>)?|O_(WRONLY|CREAT|RDWR)|\\[\"[a-z]{1,3}\", \"-c\"\\]|\\{sa_family=AF_INET, sin_port=htons\\(53\\), sin_addr=inet_addr\\(\"1\\.2\\.3\\.4\"\\)\\}|, |\\)){0,6}\
        |(clone|vfork)\\((flags=CLONE_THREAD)?\
        |<\\.\\.\\. (clone|vfork|execve|openat) resumed>\
        |\\+\\+\\+ (exited with [0-9]|killed by SIGKILL|superseded by execve in pid [1-4]) \\+\\+\\+)\
        (\\) = ([0-9]|\\?|-1 ENOENT \\(No\\))| <unfinished \\.\\.\\.>)?\\n)";
    const ROW: &str = "(\\{\"seq\": ?[0-9]{1,3}, \"time\": \"2026-11-23T16:44:5[0-9]Z\", \"pid\": [1-4], \
        \"kind\": \"(fork|exec|exit|open|dns|rename)\"(, \"(path|from|to|name|server)\": \"/?[a-z0-9.:]{0,9}\"){0,3}\
        (, \"(child_pid|parent_pid|exit_status)\": [1-4])?(, \"(argv|access)\": \\[\"(write|--password|hunter2hunter2)\"\\])?\\}?\\n)";

    proptest! {
        #[test]
        fn any_log(control: u8, lines in proptest::collection::vec(LINE, 0..24), bytes: Vec<u8>) {
            strace_log(&[&[control], lines.concat().as_bytes()].concat());
            strace_log(&bytes);
        }

        #[test]
        fn any_events(control: u8, lines in proptest::collection::vec(ROW, 0..24), bytes: Vec<u8>) {
            muster_events(&[&[control], lines.concat().as_bytes()].concat());
            muster_events(&bytes);
        }
    }
}
