//! Torn, forged and huge logs: a warning each, and the rest is read.

use muster_trace::{Form, Unreadable, Warning, detect};

use crate::{check, read, show};

const FIRST: &str = "5 1795452292.100000 execve(\"/a\", [\"a\"], 0x1 /* 1 var */) = 0\n";
const LAST: &str = "5 1795452299.100000 openat(AT_FDCWD, \"/z\", O_WRONLY) = 3\n";

#[track_caller]
fn check_between(between: &str, warning: Option<Warning>) {
    let log = format!("{FIRST}{between}{LAST}");
    let (events, record) = read(Form::Strace, &log);
    let shown: Vec<String> = events.iter().map(show).collect();
    assert_eq!(shown.last().map(String::as_str), Some("5 open write /z 0"), "{between}: {shown:?}");
    let found: Vec<Warning> = record.warnings().iter().map(|(w, _)| w).collect();
    assert_eq!(found, Vec::from_iter(warning), "{between}");
}

#[test]
fn one_line_never_loses_the_rest() {
    check_between("what the program itself printed\n", Some(Warning::Line));
    check_between("5 1795452293.100000 openat(AT_FDCWD, \"/x\n", Some(Warning::Call));
    check_between("5 1795452293.100000 execve(\"/x\", [[[[[[[[[[[[\"a\"\n", Some(Warning::Call));
    check_between("5 1795452293.100000 <... openat resumed>) = 3\n", Some(Warning::EndAlone));
    check_between("5 1795452293.100000 <... read resumed>\"x\", 1) = 1\n", None);
    check_between("5 1795452293.100000 openat(AT_FDCWD, \"/x\", O_WRONLY) = ?\n", None);
    check_between("5 99999999999999999999.1 openat(1) = 0\n", Some(Warning::Line));
    check_between("4294967296 1795452293.100000 openat(1) = 0\n", Some(Warning::Line));
    check_between("5 1795452293.100000 kill(-2147483648, SIGKILL) = 0\n", None);
    check_between(
        "5 1795452293.100000 sendto(3, \"\\377\\377\\377\", 3, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr(\"x\")}, 16) = 3\n",
        None,
    );
    check_between(
        "5 1795452293.100000 openat(999999999999, \"x\", O_WRONLY) = 3\n",
        Some(Warning::UnknownFolder),
    );
    check_between(&format!("{}\n", "x".repeat(5 << 20)), Some(Warning::LongLine));
    check_between("\0\u{1b}[31m\n", Some(Warning::Line));
}

#[test]
fn a_quoted_line_feed_cannot_forge_a_line() {
    let log = format!(
        "{FIRST}5 1795452293.100000 execve(\"/b\", [\"b\", \"\\n6 1795452293.2 execve(\\\"/evil\\\", [\\\"e\\\"], 0) = 0\"], 0x1) = 0\n"
    );
    let (events, _) = read(Form::Strace, &log);
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|e| e.process.pid == 5), "{events:?}");
}

#[test]
fn a_torn_end_is_told() {
    let warnings =
        check(&format!("{FIRST}5 1795452293.100000 openat(AT_FDCW"), &["5 exec /a [a] in /start of 0"]);
    assert_eq!(warnings.get(Warning::TornEnd), 1);
    // A whole line without its line feed is none.
    let warnings = check(FIRST.trim_end(), &["5 exec /a [a] in /start of 0"]);
    assert_eq!(warnings.iter().count(), 0);
}

#[test]
fn a_child_that_nobody_owns_up_to_is_not_lost() {
    let log = format!(
        "{FIRST}5 1795452293.000000 clone(flags=SIGCHLD <unfinished ...>\n6 1795452293.100000 execve(\"/b\", [\"b\"], 0x1 /* 1 var */) = 0\n"
    );
    let warnings = check(&log, &["5 exec /a [a] in /start of 0", "5 fork 6", "6 exec /b [b] in /start of 5"]);
    assert_eq!(warnings.get(Warning::GuessedParent), 1);
}

#[test]
fn thousands_of_processes_are_bounded() {
    use std::fmt::Write;
    let mut log = FIRST.to_owned();
    for pid in 10..80_000 {
        let _ = writeln!(log, "5 1795452293.100000 vfork() = {pid}");
    }
    log.push_str(LAST);
    let (events, record) = read(Form::Strace, &log);
    assert!(record.warnings().get(Warning::TooMany) > 10_000);
    assert!(events.len() > 70_000);
}

#[test]
fn what_is_no_record_is_told() {
    for (text, expected) in [
        ("12:30:01.123456 execve(\"/a\", [\"a\"], 0x1 /* 1 var */) = 0\n", Unreadable::NoDates),
        ("execve(\"/a\", [\"a\"], 0x1 /* 1 var */) = 0\n", Unreadable::NoDates),
        ("{\"type\": \"user\", \"message\": {}}\n", Unreadable::Unknown),
        ("hello\n", Unreadable::Unknown),
        ("", Unreadable::Unknown),
    ] {
        assert_eq!(detect(text.as_bytes()), Err(expected), "{text}");
    }
}
