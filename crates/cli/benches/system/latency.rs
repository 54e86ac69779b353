//! From the system call to the finding in the API.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::Mode;
use crate::act::{self, now_ns};
use crate::daemon::Daemon;
use crate::figures::{head, row, spread_ms};

const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(mode: Mode) {
    let samples = mode.pick(30, 250);
    let daemon = Daemon::start();
    let findings = listen(&daemon);
    head(&["finding", "seen at", "samples", "p50", "p99", "max"]);
    tell("monitor-tampering", tampering(&daemon, &findings, samples), samples);
    tell("unmandated-agent", unmandated(&daemon, &findings, samples), samples);
}

/// In the stream, and by a question.
type Latencies = (Vec<f64>, Vec<f64>);

fn tell(code: &str, (streamed, asked): Latencies, samples: u64) {
    assert_eq!(streamed.len() as u64, samples, "{code}: a finding is missing");
    for (way, values) in [("/api/v1/stream", streamed), ("/api/v1/findings/ID", asked)] {
        let [p50, p99, max] = spread_ms(&values);
        row(&[code.to_owned(), format!("`{way}`"), values.len().to_string(), p50, p99, max]);
    }
}

struct Seen {
    finding: Value,
    streamed_ns: u64,
    asked_ns: u64,
}

/// Findings as they come in the stream, each then asked for until the answer has it.
fn listen(daemon: &Daemon) -> Receiver<Seen> {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (found, to_ask) = channel::<(Value, u64)>();
    let (send, seen) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let at = now_ns();
            let Some(data) = line.strip_prefix("data: ").or_else(|| line.strip_prefix("data:")) else {
                continue;
            };
            if let Ok(value) = serde_json::from_str::<Value>(data)
                && value["code"].is_string()
            {
                let _ = found.send((value, at));
            }
        }
    });
    let socket = daemon.socket();
    thread::spawn(move || {
        for (finding, streamed_ns) in to_ask {
            let id = finding["finding"].as_str().unwrap_or_default().to_owned();
            while !is_there(&socket, &id) {
                thread::sleep(Duration::from_millis(1));
            }
            let _ = send.send(Seen { finding, streamed_ns, asked_ns: now_ns() });
        }
    });
    seen
}

fn is_there(socket: &std::path::Path, id: &str) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return true };
    let asked =
        write!(stream, "GET /api/v1/findings/{id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    asked.is_err() || stream.read_to_end(&mut answer).is_err() || answer.starts_with(b"HTTP/1.1 200")
}

fn tampering(daemon: &Daemon, findings: &Receiver<Seen>, samples: u64) -> Latencies {
    let data = daemon.data().canonicalize().unwrap();
    let mut command = daemon.supervised();
    command.args(act::command(&["tamper", &data.to_string_lossy(), &samples.to_string()]));
    let out = command.output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let acts: HashMap<&str, u64> = text
        .lines()
        .filter_map(|l| l.split_once(' '))
        .map(|(name, at)| (name, at.parse().unwrap()))
        .collect();
    let mut latencies = Latencies::default();
    while (latencies.0.len() as u64) < samples
        && let Ok(seen) = findings.recv_timeout(PATIENCE)
    {
        let summary = seen.finding["summary"].as_str().unwrap_or_default();
        let name = summary.rsplit_once('/').map_or("", |(_, name)| name.trim_end_matches('`'));
        if let Some(at) = acts.get(name) {
            push(&mut latencies, &seen, *at);
        }
    }
    latencies
}

fn push((streamed, asked): &mut Latencies, seen: &Seen, at: u64) {
    streamed.push(seen.streamed_ns.saturating_sub(at) as f64 / 1e6);
    asked.push(seen.asked_ns.saturating_sub(at) as f64 / 1e6);
}

/// One new process after the other asks a model API on the loopback.
fn unmandated(daemon: &Daemon, findings: &Receiver<Seen>, samples: u64) -> Latencies {
    assert!(daemon.links() > 0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0u8; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    let mut latencies = Latencies::default();
    for n in 0..samples {
        thread::sleep(Duration::from_millis(5 + n * 7 % 31));
        let words = act::command(&["post", &address]);
        let mut command = std::process::Command::new(&words[0]);
        command.args(&words[1..]);
        let mut child = act::spawn_piped(command);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at: u64 = line.trim().parse().unwrap();
        while let Ok(seen) = findings.recv_timeout(PATIENCE) {
            if seen.finding["code"] == "unmandated-agent" && seen.streamed_ns > at {
                push(&mut latencies, &seen, at);
                break;
            }
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    latencies
}
