//! A daemon with a folder of its own, and questions to it through the command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Daemon {
    child: Child,
    pub data: Folder,
    pub ready: String,
    errors: tempfile::NamedTempFile,
}

pub struct Paused(Pid);

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Where a daemon keeps its record: gone with it, or somebody else's.
pub enum Folder {
    Own(TempDir),
    Given(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &Path {
        match self {
            Folder::Own(folder) => folder.path(),
            Folder::Given(path) => path,
        }
    }
}

impl Daemon {
    /// Starts it and waits until it is live; `None`, with a line that says so, where there can be no kernel record.
    pub fn start() -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    pub fn start_at(data: &Path, more: &[&str]) -> Option<Self> {
        Self::start_with(Folder::Given(data.to_owned()), more)
    }

    pub fn start_in(data: TempDir, more: &[&str]) -> Option<Self> {
        Self::start_with(Folder::Own(data), more)
    }

    /// One that dies, as if the power failed, when this is written to the journal of a mustering out.
    pub fn start_halting(data: &Path, at: &str) -> Option<Self> {
        Self::start_under(Folder::Given(data.to_owned()), &[], &[("MUSTER_TEST_HALT", at)])
    }

    fn start_with(data: Folder, more: &[&str]) -> Option<Self> {
        Self::start_under(data, more, &[])
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn start_under(data: Folder, more: &[&str], environment: &[(&str, &str)]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/sys/kernel/btf/vmlinux").exists() {
            eprintln!("skipped: the kernel record needs root and BTF");
            return None;
        }
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new(MUSTER)
            .args(["watch", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(more)
            // Other tests run beside this one.
            .args(["--only-under", &std::process::id().to_string()])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(errors.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let daemon = Self { child, data, ready, errors };
        assert!(daemon.ready.starts_with("ready "), "{}{}", daemon.ready, daemon.said());
        Some(daemon)
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(self.errors.path()).unwrap_or_default()
    }

    pub fn muster(&self, arguments: &[&str]) -> Output {
        Command::new(MUSTER).args(arguments).arg("--data").arg(self.data.path()).output().unwrap()
    }

    /// The lines of a list command, as JSON.
    #[track_caller]
    pub fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.muster(&[arguments, &["--json"]].concat());
        assert!(
            matches!(out.status.code(), Some(0 | 1)),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A page, with the token.
    pub fn get(&self, path: &str) -> String {
        let answer = self.answer(path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// A page, whatever its status.
    pub fn answer(&self, path: &str) -> String {
        let page = self.ready.split_whitespace().find_map(|w| w.strip_prefix("page=http://")).unwrap();
        let (address, token) = page.split_once("/login?token=").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn address(&self) -> &str {
        let page = self.ready.split_whitespace().find_map(|w| w.strip_prefix("page=http://")).unwrap();
        page.split_once('/').unwrap().0
    }

    pub fn roll(&self) -> Vec<Value> {
        self.list(&["roll"])
    }

    pub fn findings(&self, agent: &str) -> Vec<Value> {
        self.list(&["findings", "--agent", agent])
    }

    /// Codes of an agent's findings, each once for each finding.
    pub fn codes(&self, agent: &str) -> Vec<String> {
        let mut codes: Vec<String> = self.findings(agent).iter().map(|f| text(f, "code")).collect();
        codes.sort();
        codes
    }

    /// Asks again until the answer is there.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no {what}\nroll: {:#?}\ndaemon: {}",
                self.roll(),
                self.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The agent of this product whose working folder this is, once it has ended and its account was read.
    #[track_caller]
    pub fn finished(&self, product: &str, dir: &Path) -> Value {
        let dir = dir.canonicalize().unwrap();
        let found = self.wait(&format!("finished {product}"), || {
            self.roll().into_iter().find(|a| {
                text(a, "product") == product && a["state"] == "ended" && self.cwd(a) == dir.to_string_lossy()
            })
        });
        // Decisions wait for what may still come.
        std::thread::sleep(Duration::from_secs(6));
        let id = text(&found, "agent");
        self.roll().into_iter().find(|a| text(a, "agent") == id).unwrap()
    }

    pub fn cwd(&self, agent: &Value) -> String {
        let id = text(agent, "agent");
        let execs = self.list(&["events", "--agent", &id, "--kind", "exec"]);
        execs.first().map(|e| text(e, "cwd")).unwrap_or_default()
    }

    pub fn stop(mut self) -> TempDir {
        self.end();
        match std::mem::replace(&mut self.data, Folder::Given(PathBuf::new())) {
            Folder::Own(folder) => folder,
            Folder::Given(path) => panic!("{} is not this daemon's to give", path.display()),
        }
    }

    /// As the kernel ends a process that it has no memory for.
    pub fn kill(mut self) -> Folder {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.data, Folder::Given(PathBuf::new()))
    }

    /// It sees and reads nothing until the returned value is dropped; what happens meanwhile waits in the kernel's queues.
    pub fn paused(&self) -> Paused {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Paused(pid)
    }

    fn end(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("daemon said:\n{}", self.said());
        }
    }
}

pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
