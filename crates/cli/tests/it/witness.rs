//! `muster witness` as a process of its own: what it cosigned stands whenever it is killed, and what a log does to its past
//! is told to whoever listens.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_ledger::cosignature::cosigned;
use muster_ledger::note::{Key, KeyKind, Note, Signer, Verifier};
use muster_ledger::tree::{self, Subtrees};
use muster_ledger::witness::Request;
use muster_ledger::{Checkpoint, Hash, Head};
use serde_json::Value;

use crate::rig::MUSTER;

const PATIENCE: Duration = Duration::from_secs(60);
const ORIGIN: &str = "example.com/log";

/// A history: leaf `n` is of `own` from `own_from` on.
#[derive(Clone, Copy)]
struct History {
    own_from: u64,
    own: u8,
}

const OURS: History = History { own_from: 1 << 20, own: 0 };

impl Subtrees for &History {
    type Error = std::convert::Infallible;

    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        if height == 0 {
            let own = if index < self.own_from { 0 } else { self.own };
            return Ok(tree::leaf_hash(&[index as u8, own]));
        }
        Ok(tree::node_hash(&self.subtree(height - 1, index * 2)?, &self.subtree(height - 1, index * 2 + 1)?))
    }
}

fn log_key() -> Key {
    Key::new(ORIGIN, KeyKind::Log, &[1; 32]).unwrap()
}

fn head(history: History, size: u64) -> Head {
    Head { size, root: tree::root(&mut &history, size).unwrap() }
}

fn request(history: History, old: u64, new: u64) -> Request {
    let note = Checkpoint::new(ORIGIN, head(history, new)).sign([&log_key() as &dyn Signer]).unwrap();
    Request { old, proof: tree::consistency(&mut &history, old, new).unwrap(), note }
}

struct Witness {
    child: Child,
    address: String,
    key: Verifier,
    errors: tempfile::NamedTempFile,
}

impl Witness {
    fn start(data: &Path, more: &[&str]) -> Witness {
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new(MUSTER)
            .args([
                "witness",
                "--listen",
                "127.0.0.1:0",
                "--log",
                &log_key().verifier().to_string(),
                "--data",
            ])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(errors.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let field = |name: &str| ready.split_whitespace().find_map(|word| word.strip_prefix(name));
        let (Some(address), Some(key)) = (field("url=http://"), field("key=")) else {
            panic!("{ready}{}", std::fs::read_to_string(errors.path()).unwrap())
        };
        Witness { address: address.to_owned(), key: key.parse().unwrap(), child, errors }
    }

    /// Status, type and body. `None`: it was killed before it had answered.
    fn ask(&self, head: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(stream, "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
            .ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        // An answer that was cut off is none.
        let length = head.to_ascii_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
        })?;
        (length == body.len()).then(|| (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
    }

    fn add(&self, request: &Request) -> Option<(u16, String)> {
        self.ask("POST /add-checkpoint", &request.to_bytes())
    }

    #[track_caller]
    fn status(&self) -> Value {
        let (status, body) = self.ask("GET /status", b"").unwrap();
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.errors.path()).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, words: &str) {
        let begun = Instant::now();
        while !self.said().contains(words) {
            assert!(begun.elapsed() < PATIENCE, "it does not say `{words}`: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Killed at any moment, dozens of times, while somebody with the log's key tries two histories at once: what it says it
/// cosigned is one history, and it never forgets what it said.
#[test]
fn killed_at_any_moment_it_vouches_for_one_history() {
    let data = tempfile::tempdir().unwrap();
    let other = History { own_from: 40, own: 1 };
    let mut roots: BTreeMap<u64, Hash> = BTreeMap::new();
    let mut largest = 0;
    let mut seed = 0x9e37_79b9_u64;
    let mut chance = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..40 {
        let witness = Witness::start(data.path(), &[]);
        let pid = rustix::process::Pid::from_child(&witness.child);
        let wait = Duration::from_micros(chance(40_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(wait);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        let mut old = largest;
        loop {
            let history = if chance(2) == 0 { OURS } else { other };
            let new = old + chance(3);
            let Some((status, body)) = witness.add(&request(history, old, new)) else { break };
            match status {
                200 => {
                    let note = request(history, old, new).note;
                    let note = Note::parse(format!("{note}{body}").as_bytes()).unwrap();
                    assert_eq!(cosigned(&note, [&witness.key]).len(), 1);
                    assert!(new >= largest, "it went back from {largest} to {new}");
                    let root = head(history, new).root;
                    assert_eq!(*roots.entry(new).or_insert(root), root, "two histories of {new}");
                    (old, largest) = (new, new);
                }
                // A killed one may have written down what it did not come to say; or the history is the other one.
                409 => {
                    if let Ok(known) = body.trim().parse::<u64>() {
                        assert!(known >= largest, "it forgot {largest}: {known}");
                        old = known;
                    }
                }
                422 => {}
                status => panic!("{status} {body}"),
            }
        }
        killer.join().unwrap();
    }
    assert!(largest > 40, "it never came far enough to matter: {largest}");
    // All of them are one history.
    let one = [OURS, other]
        .into_iter()
        .any(|history| roots.iter().all(|(size, root)| head(history, *size).root == *root));
    assert!(one, "it has vouched for two histories");
}

#[test]
fn what_a_log_does_to_its_past_is_told_and_proven() {
    let data = tempfile::tempdir().unwrap();
    let (program, out) = (data.path().join("program"), data.path().join("alarms"));
    std::fs::write(&program, format!("#!/bin/sh\ncat >> '{}'\n", out.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let witness =
        Witness::start(data.path(), &["--silent-after", "2", "--on-alarm", program.to_str().unwrap()]);
    assert_eq!(witness.status()["logs"][0]["state"], "never-seen");
    let answered = |history, old, new| witness.add(&request(history, old, new)).unwrap().0;
    assert_eq!(answered(OURS, 0, 50), 200);
    assert_eq!(answered(OURS, 50, 60), 200);
    let status = witness.status();
    assert_eq!((&status["logs"][0]["state"], &status["logs"][0]["size"]), (&"ok".into(), &60.into()));
    // A machine that was set back, one whose past was changed, and one that signs twice.
    let other = History { own_from: 40, own: 1 };
    assert_eq!(answered(OURS, 50, 55), 409);
    witness.wait_for("rollback: `example.com/log`: it had 60 entries and now signs 55");
    assert_eq!(answered(other, 60, 70), 422);
    witness.wait_for("rewrite: `example.com/log`");
    assert_eq!(answered(other, 60, 60), 409);
    witness.wait_for("fork: `example.com/log`");
    // None of this was a sign of life.
    witness.wait_for("silent: `example.com/log`");
    let status = witness.status();
    assert_eq!(status["logs"][0]["evidence"].as_array().unwrap().len(), 3, "{status}");
    assert_eq!(status["logs"][0]["state"], "fork");
    let begun = Instant::now();
    let alarms = loop {
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        let alarms: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if alarms.len() == 4 {
            break alarms;
        }
        assert!(begun.elapsed() < PATIENCE, "{alarms:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    for (alarm, expected) in alarms.iter().zip(["rollback", "rewrite", "fork", "silent"]) {
        assert_eq!(alarm["alarm"], expected);
        assert_eq!(alarm["evidence"].is_string(), expected != "silent");
    }
    assert_eq!(answered(OURS, 60, 61), 200);
    witness.wait_for("back: `example.com/log`: it is back, after ");
}

#[test]
fn what_is_no_request_is_answered_as_such() {
    let data = tempfile::tempdir().unwrap();
    let witness = Witness::start(data.path(), &["--name", "witness.example"]);
    assert_eq!(witness.key.name(), "witness.example");
    let status = |head: &str, body: &[u8]| witness.ask(head, body).map(|(status, _)| status);
    assert_eq!(status("POST /add-checkpoint", b""), Some(400));
    assert_eq!(status("POST /add-checkpoint", b"old 0\n\nexample.com/log\n"), Some(400));
    assert_eq!(status("GET /add-checkpoint", b""), Some(405));
    assert_eq!(status("GET /", b""), Some(404));
    // It is cut off while it is sent, or refused after.
    assert!(matches!(status("POST /add-checkpoint", &vec![b'x'; 4 << 20]), None | Some(413)));
    // A second one on the same folder, and one without a log.
    let second = Command::new(MUSTER)
        .args(["witness", "--listen", "127.0.0.1:0", "--log", &log_key().verifier().to_string(), "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("a witness uses"));
    let none = Command::new(MUSTER).args(["witness", "--data"]).arg(data.path()).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
}
