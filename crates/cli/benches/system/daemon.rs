//! A daemon under measurement: the release binary with a folder of its own, and what can be known of it from outside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
const PATIENCE: Duration = Duration::from_secs(120);

/// Big data belongs where the build's own is, not in a `/tmp` that may be memory.
pub fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub struct Daemon {
    child: Child,
    data: Option<TempDir>,
    pub ready_after: Duration,
}

impl Daemon {
    pub fn start() -> Self {
        let data = folder();
        let errors = File::create(data.path().join("stderr")).unwrap();
        let begun = Instant::now();
        let mut child = Command::new(MUSTER)
            .args(["watch", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready_after = begun.elapsed();
        assert!(ready.starts_with("ready ") && ready.contains("record=kernel"), "{ready}");
        Self { child, data: Some(data), ready_after }
    }

    pub fn data(&self) -> &Path {
        self.data.as_ref().unwrap().path()
    }

    /// `muster run … --`, to which the command is to be added.
    pub fn supervised(&self) -> Command {
        let mut command = Command::new(MUSTER);
        command.arg("run").arg("--data").arg(self.data()).arg("--");
        command
    }

    /// An answer of the API over the unix socket; `None` where it is not 200.
    pub fn get(&self, path: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let body = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        answer.starts_with(b"HTTP/1.1 200").then(|| serde_json::from_slice(&answer[body..]).ok())?
    }

    pub fn socket(&self) -> PathBuf {
        self.data().join("muster.sock")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A line of `/proc/PID/status`, in bytes.
    pub fn memory(&self, name: &str) -> u64 {
        memory(self.pid(), name).unwrap_or(0)
    }

    /// Memory of the probes' tables and queues, which no process's figures hold.
    pub fn probe_memory(&self) -> u64 {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fdinfo", self.pid())) else { return 0 };
        entries
            .filter_map(|e| fs::read_to_string(e.ok()?.path()).ok())
            .filter_map(|text| {
                text.lines().find_map(|l| l.strip_prefix("memlock:")?.trim().parse::<u64>().ok())
            })
            .sum()
    }

    /// How many probes are attached now.
    pub fn links(&self) -> usize {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid())) else { return 0 };
        entries
            .filter_map(|e| fs::read_link(e.ok()?.path()).ok())
            .filter(|to| {
                to.to_string_lossy().contains("bpf_link") || to.to_string_lossy().contains("raw-tracepoint")
            })
            .count()
    }

    /// Agents on the roll that live.
    pub fn running(&self) -> usize {
        let roll = self.get("/api/v1/roll").unwrap();
        roll.as_array().unwrap().iter().filter(|a| a["state"] == "running").count()
    }

    pub fn cpu(&self) -> Duration {
        cpu(&format!("/proc/{}/stat", self.pid()), 11)
    }

    /// Losses by queue, as the daemon tells them.
    pub fn lost(&self) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for line in fs::read_to_string(self.data().join("stderr")).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["watch:", count, "events", "of", "the", queue, "queue", ..] = words.as_slice() {
                *out.entry((*queue).to_owned()).or_default() += count.parse::<u64>().unwrap();
            }
        }
        out
    }

    pub fn events(&self) -> u64 {
        self.get("/api/v1/health").and_then(|h| h["last_seq"].as_u64()).unwrap_or(0)
    }

    /// Waits until nothing new has come for half a second.
    pub fn settle(&self) {
        let begun = Instant::now();
        let mut last = self.events();
        let mut quiet = Instant::now();
        while quiet.elapsed() < Duration::from_millis(500) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.events();
            // Others on the machine go on: a few events are quiet enough.
            if now > last + 50 {
                quiet = Instant::now();
            }
            last = now;
        }
    }

    /// Ends it in good order and gives its folder.
    pub fn stop(mut self) -> TempDir {
        self.end();
        self.data.take().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, signal);
        }
    }

    fn end(&mut self) {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

pub fn memory(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Two neighbouring fields of a `stat` file, in clock ticks of 10 ms.
fn cpu(path: &str, field: usize) -> Duration {
    let text = fs::read_to_string(path).unwrap_or_default();
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split(' ').skip(field).take(2).filter_map(|v| v.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Processor time of all children that were waited for.
pub fn children_cpu() -> Duration {
    cpu("/proc/self/stat", 13)
}
