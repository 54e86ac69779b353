//! Canaries: harmless acts fired through the kernel path of each probe, and expected back. A probe that does not answer is
//! blind, whatever it was when it was loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_event::{Nanos, ProbeState};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::probes::URING;
use crate::wire::{Raw, kind, tag};

/// Time between two canaries: at random, so that nobody can be deaf in between by plan.
const EVERY_MIN: Duration = Duration::from_secs(10);
const EVERY_SPREAD_MS: u64 = 20_000;
/// How long a canary may take, on a busy machine.
const LIFE_MAX: Duration = Duration::from_secs(10);
/// How long after its end its last record may come.
const LATE: Duration = Duration::from_millis(1500);
const DNS_PORT: u16 = 53;
/// A DNS message that is an answer: whoever listens there drops it.
const DNS_ANSWER: [u8; 12] = [0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What the canary's process does (`muster canary TOKEN`): waits until it is followed, acts, and says which acts it could do.
pub fn act(token: &str) -> io::Result<()> {
    let mut go = [0u8; 1];
    io::stdin().read_exact(&mut go)?;
    let mut out = io::stdout().lock();
    // Opened for writing, and not written.
    if OpenOptions::new().write(true).open("/proc/self/comm").is_ok() {
        writeln!(out, "sys_exit")?;
    }
    // Where the kernel allows no rings, nobody uses one.
    if crate::ring::open().is_ok() {
        writeln!(out, "{URING}")?;
    }
    let acts: [(&str, SocketAddr, bool); 4] = [
        ("connect4", (Ipv4Addr::LOCALHOST, DNS_PORT).into(), true),
        ("connect6", (Ipv6Addr::LOCALHOST, DNS_PORT).into(), true),
        ("sendmsg4", (Ipv4Addr::LOCALHOST, DNS_PORT).into(), false),
        ("sendmsg6", (Ipv6Addr::LOCALHOST, DNS_PORT).into(), false),
    ];
    for (name, to, connected) in acts {
        if send(to, connected, &format!("{token} {name}")).is_ok() {
            writeln!(out, "{name}")?;
        }
    }
    Ok(())
}

fn send(to: SocketAddr, connected: bool, text: &str) -> io::Result<()> {
    let from: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::LOCALHOST, 0).into() } else { (Ipv6Addr::LOCALHOST, 0).into() };
    let socket = UdpSocket::bind(from)?;
    let mut message = DNS_ANSWER.to_vec();
    message.extend_from_slice(text.as_bytes());
    if connected {
        socket.connect(to)?;
        socket.send(&message)?;
    } else {
        socket.send_to(&message, to)?;
    }
    Ok(())
}

pub(crate) struct Canaries {
    command: Option<(PathBuf, Vec<String>)>,
    next: Instant,
    running: Option<Running>,
    /// Pids of canaries that ended a moment ago: their last records are no events either.
    pub(crate) recent: Option<u32>,
    /// Probes that the last one went through, and those of them that did not answer.
    tested: BTreeSet<&'static str>,
    deaf: BTreeSet<&'static str>,
    /// When the last canary that came back through a probe was let go, wall clock.
    seen: BTreeMap<&'static str, Nanos>,
}

struct Running {
    child: Child,
    token: String,
    started: Instant,
    started_ns: Nanos,
    /// When it was seen to have ended, with what it could do.
    ended: Option<(Instant, BTreeSet<String>)>,
    answered: BTreeSet<&'static str>,
    watches_lineages: bool,
}

impl Canaries {
    pub(crate) fn new(command: Option<(PathBuf, Vec<String>)>) -> Self {
        Self {
            command,
            next: Instant::now(),
            running: None,
            recent: None,
            tested: BTreeSet::new(),
            deaf: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Starts one if it is time. Gives its pid: it is to be followed, then told to go on.
    pub(crate) fn start(&mut self, watches_lineages: bool) -> Option<u32> {
        if self.running.is_some() || Instant::now() < self.next {
            return None;
        }
        let (program, arguments) = self.command.as_ref()?;
        self.next = Instant::now() + EVERY_MIN + Duration::from_millis(random() % EVERY_SPREAD_MS);
        let token = format!("{:016x}", random());
        let child = Command::new(program)
            .args(arguments)
            .arg(&token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let pid = child.id();
        self.running = Some(Running {
            child,
            token,
            started: Instant::now(),
            started_ns: crate::now_ns(),
            ended: None,
            answered: BTreeSet::new(),
            watches_lineages,
        });
        self.recent = Some(pid);
        Some(pid)
    }

    pub(crate) fn seen_ns(&self, probe: &str) -> Option<Nanos> {
        self.seen.get(probe).copied()
    }

    pub(crate) fn go(&mut self) {
        if let Some(running) = &mut self.running
            && let Some(mut stdin) = running.child.stdin.take()
        {
            // If it is gone already, it cannot answer, and that will be told.
            drop(stdin.write_all(b"\n"));
        }
    }

    /// Is this record a canary's? Then it is no event.
    pub(crate) fn takes(&mut self, raw: &Raw) -> bool {
        let Some(pid) = self.recent else { return false };
        let made = raw.kind == kind::FORK && raw.arg(0) == u64::from(pid);
        if raw.tgid != pid && !made {
            return false;
        }
        let Some(running) = &mut self.running else { return true };
        let mut answer = |probe| {
            running.answered.insert(probe);
        };
        match raw.kind {
            kind::FORK => answer("sched_process_fork"),
            kind::EXEC => answer("sched_process_exec"),
            kind::EXIT => answer("sched_process_exit"),
            kind::SYSCALL => answer("sys_exit"),
            kind::URING => answer(URING),
            kind::NET => {
                let data = raw.blob(tag::DATA).unwrap_or_default();
                let text = String::from_utf8_lossy(data.get(DNS_ANSWER.len()..).unwrap_or_default());
                if let Some(name) = text.strip_prefix(running.token.as_str()) {
                    answer("egress");
                    for probe in ["connect4", "connect6", "sendmsg4", "sendmsg6"] {
                        if name.trim() == probe {
                            answer(probe);
                        }
                    }
                }
            }
            _ => {}
        }
        true
    }

    /// Has one come to its end? Gives the probes whose state changed by it, and whether it is over.
    pub(crate) fn settle(&mut self) -> (bool, Vec<ProbeState>) {
        let Some(running) = &mut self.running else { return (false, Vec::new()) };
        match &running.ended {
            None => {
                let over = running.started.elapsed() > LIFE_MAX;
                if over {
                    drop(running.child.kill());
                }
                if over || matches!(running.child.try_wait(), Ok(Some(_)) | Err(_)) {
                    let mut said = String::new();
                    if let Some(out) = running.child.stdout.take() {
                        drop(out.take(4096).read_to_string(&mut said));
                    }
                    drop(running.child.wait());
                    running.ended = Some((Instant::now(), said.lines().map(str::to_owned).collect()));
                }
                (false, Vec::new())
            }
            Some((at, did)) => {
                let expected: BTreeSet<&'static str> = expected(did, running.watches_lineages);
                let missing: BTreeSet<&'static str> =
                    expected.difference(&running.answered).copied().collect();
                if !missing.is_empty() && at.elapsed() < LATE {
                    return (false, Vec::new());
                }
                self.seen.extend(running.answered.iter().map(|probe| (*probe, running.started_ns)));
                let mut changed = Vec::new();
                for probe in &expected {
                    let deaf = missing.contains(probe);
                    let was = self.deaf.contains(probe);
                    if deaf && !was {
                        self.deaf.insert(probe);
                    } else if !deaf && was {
                        self.deaf.remove(probe);
                    } else {
                        continue;
                    }
                    changed.push(ProbeState {
                        probe: (*probe).to_owned(),
                        error: deaf.then(|| "a canary went through it and did not come back".to_owned()),
                    });
                }
                self.running = None;
                self.tested = expected;
                (true, changed)
            }
        }
    }

    /// Probes that the last canary went through.
    pub(crate) fn tested(&self) -> &BTreeSet<&'static str> {
        &self.tested
    }

    /// Those of them that did not answer.
    pub(crate) fn deaf(&self) -> &BTreeSet<&'static str> {
        &self.deaf
    }
}

/// Which probes should have seen a canary that could do these acts.
fn expected(did: &BTreeSet<String>, watches_lineages: bool) -> BTreeSet<&'static str> {
    let mut out = BTreeSet::from(["sched_process_fork", "sched_process_exec", "sched_process_exit"]);
    for probe in ["connect4", "connect6", "sendmsg4", "sendmsg6"] {
        if did.contains(probe) {
            out.insert(probe);
            out.insert("egress");
        }
    }
    for probe in ["sys_exit", URING] {
        if watches_lineages && did.contains(probe) {
            out.insert(probe);
        }
    }
    out
}

fn random() -> u64 {
    let mut bytes = [0u8; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(_) => u64::from_ne_bytes(bytes),
        // Not random, but never the same: it only spreads the canaries.
        Err(_) => crate::clock::boot_ns(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_could_not_do_is_not_expected() {
        let did = BTreeSet::from(["connect4".to_owned(), "sys_exit".to_owned()]);
        let got = expected(&did, false);
        assert!(got.contains("connect4") && got.contains("egress"));
        assert!(!got.contains("connect6") && !got.contains("sys_exit"));
        assert!(expected(&did, true).contains("sys_exit"));
    }
}
