//! What commands write to their outputs.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use muster_event::{Kind, line_hash};

use crate::kernel::folder;
use crate::rig::{Seen, act_as_harness, run, run_as_harness, sensor};

/// Stream, bytes, whole, hashes of each output, in the order of the commands' ends.
fn outputs(seen: &Seen) -> Vec<(u32, u64, bool, Vec<u32>)> {
    seen.kinds()
        .filter_map(|kind| match kind {
            Kind::Output { stream, bytes, whole, hashes, .. } => {
                Some((*stream, *bytes, *whole, hashes.clone()))
            }
            _ => None,
        })
        .collect()
}

/// What one command, started by an agent's own program, is seen to have written.
#[track_caller]
fn check(command: &str, expected: &[(u32, u64, bool, &[&str])]) {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = run_as_harness(&mut sensor, dir.path(), command);
    let expected: Vec<_> = expected
        .iter()
        .map(|(stream, bytes, whole, lines)| {
            (*stream, *bytes, *whole, lines.iter().map(|line| line_hash(line)).collect::<Vec<u32>>())
        })
        .collect();
    assert_eq!(outputs(&seen), expected, "{command}");
    assert!(seen.lost.is_empty());
}

#[test]
fn to_a_file_or_a_pipe_apart_or_together() {
    check("sh -c 'echo a; echo b' >f 2>&1", &[(1, 4, true, &["a", "b"])]);
    check("sh -c 'echo a; echo err >&2' >f 2>g", &[(1, 2, true, &["a"]), (2, 4, true, &["err"])]);
    check("/bin/true >f 2>g", &[(1, 0, true, &[]), (2, 0, true, &[])]);
    check(
        "printf '%s' \"$(sh -c 'echo piped' 2>g)\" >/dev/null",
        &[(1, 6, true, &["piped"]), (2, 0, true, &[])],
    );
}

#[test]
fn whoever_of_the_command_writes_and_by_whatever_descriptor() {
    check(
        "sh -c 'exec 7>&1; (sh -c \"echo deep >&7\"); echo elsewhere >h; echo x | tr x y' >f 2>&1",
        &[(1, 7, true, &["deep", "y"])],
    );
}

#[test]
fn long_drawn_and_binary_outputs_are_only_counted() {
    let first =
        |seen: &Seen| outputs(seen).first().map(|(_, bytes, whole, hashes)| (*bytes, *whole, hashes.len()));
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let mut see = |command: &str| first(&run_as_harness(&mut sensor, dir.path(), command));
    // With what every shell has: the guests of `cargo xtask vm` have few programs.
    let count = "i=1; while [ $i -le 4000 ]; do echo $i; i=$((i+1)); done";
    assert_eq!(see(&format!("sh -c '{count}' >f 2>&1")), Some((18_893, false, 512)));
    assert_eq!(see("sh -c 'printf \"\\000\\001bin\\n\"' >f 2>&1"), Some((6, false, 1)));
    assert_eq!(see("sh -c 'printf \"1\\r2\\n\"' >f 2>&1"), Some((4, false, 2)));
    assert_eq!(see("printf '1\\n' >f 2>&1"), None, "a builtin is no command");
}

/// In parts, through a socket, and where the probe cannot read.
#[test]
fn other_ways_to_write() {
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: no python3");
        return;
    }
    let python = |act: &str| format!("python3 -c \"import os,socket; {act}\" >f 2>&1");
    check(&python("os.writev(1, [b'one ', b'two', b'', b' three'])"), &[(1, 13, true, &["one two three"])]);
    check(&python("os.writev(1, [b'x'] * 9)"), &[(1, 9, false, &["xxxx"])]);
    check(
        &python("open('g','w').write('sent'); os.sendfile(1, os.open('g', 0), 0, 4)"),
        &[(1, 4, false, &[])],
    );
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = act_as_harness(&mut sensor, dir.path(), || {
        let (mut own, others) = UnixStream::pair().unwrap();
        let script =
            "import socket; s = socket.socket(fileno=1); s.send(b'sent\\n'); s.sendmsg([b'in ', b'parts'])";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .stdout(OwnedFd::from(others))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success());
        let mut sent = String::new();
        own.read_to_string(&mut sent).unwrap();
        assert_eq!(sent, "sent\nin parts");
    });
    let lines = ["sent", "in parts"].map(line_hash).to_vec();
    assert_eq!(outputs(&seen).first(), Some(&(1, 13, true, lines)));
}

/// What the agent's own program writes, and what nobody called a command, is none.
#[test]
fn only_commands_have_outputs() {
    check("echo own >f; echo more >>f", &[]);
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = run(&mut sensor, dir.path(), "sh -c 'echo a' >f");
    assert_eq!(outputs(&seen), []);
}
