//! Runs a shell script or an act in a lineage of its own, and gives what the sensor saw of it.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muster_event::{Event, Kind, Lost, ProcessKey};
use muster_sensor::{Config, KernelSensor, SensorError, Source, process_key};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

pub const POLL: Duration = Duration::from_millis(5);

/// A sensor on the real kernel; `None`, with a line that says so, where there can be none.
pub fn sensor() -> Option<KernelSensor> {
    match KernelSensor::start(Config { first_seq: 1, keep: Box::new(|_| true), canary: None }) {
        Ok(sensor) => Some(sensor),
        Err(error @ (SensorError::NotRoot | SensorError::NoBtf { .. })) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub struct Seen {
    pub root: u32,
    pub events: Vec<Event>,
    pub lost: Vec<Lost>,
}

impl Seen {
    /// The acts of the lineage.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.events.iter().map(|e| &e.kind)
    }

    #[track_caller]
    pub fn has(&self, what: &str, test: impl Fn(&Kind) -> bool) {
        assert!(self.kinds().any(test), "{what} not seen among:\n{:#?}", self.kinds().collect::<Vec<_>>());
    }

    pub fn has_not(&self, what: &str, test: impl Fn(&Kind) -> bool) {
        let found: Vec<_> = self.kinds().filter(|k| test(k)).collect();
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}

/// How long an act may take: 20,000 opens are slow in an emulated guest.
const LIFE_MAX: Duration = Duration::from_secs(150);

/// Runs `script` with a shell, followed from its first instruction.
pub fn run(sensor: &mut KernelSensor, dir: &Path, script: &str) -> Seen {
    run_with(sensor, dir, script, |sensor, root| sensor.follow(root))
}

/// The same, the shell being an agent's own program: what it executes is a command.
pub fn run_as_harness(sensor: &mut KernelSensor, dir: &Path, script: &str) -> Seen {
    run_with(sensor, dir, script, |sensor, root| {
        sensor.follow(root);
        sensor.harness(root);
    })
}

fn run_with(
    sensor: &mut KernelSensor,
    dir: &Path,
    script: &str,
    tell: impl FnOnce(&mut KernelSensor, ProcessKey),
) -> Seen {
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("read go\n{script}")])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let root = child.id();
    sensor.poll(Duration::from_millis(20));
    tell(sensor, process_key(root).unwrap());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let seen = watch(sensor, root, || child.try_wait().unwrap().is_some());
    seen.unwrap_or_else(|| {
        drop(child.kill());
        drop(child.wait());
        panic!("the script did not end: {script}")
    })
}

/// Runs `act` in a process of its own, followed before it begins: for what a shell cannot do.
pub fn act(sensor: &mut KernelSensor, dir: &Path, act: impl FnOnce()) -> Seen {
    act_with(sensor, dir, act, |sensor, root| sensor.follow(root))
}

/// The same, the process being an agent's own program.
pub fn act_as_harness(sensor: &mut KernelSensor, dir: &Path, act: impl FnOnce()) -> Seen {
    act_with(sensor, dir, act, |sensor, root| {
        sensor.follow(root);
        sensor.harness(root);
    })
}

fn act_with(
    sensor: &mut KernelSensor,
    dir: &Path,
    act: impl FnOnce(),
    tell: impl FnOnce(&mut KernelSensor, ProcessKey),
) -> Seen {
    let (mut ready, mut go) = std::io::pipe().unwrap();
    let child = fork(|| {
        std::env::set_current_dir(dir).unwrap();
        ready.read_exact(&mut [0]).unwrap();
        act();
    });
    let root = child.as_raw_nonzero().get() as u32;
    sensor.poll(Duration::from_millis(20));
    tell(sensor, process_key(root).unwrap());
    go.write_all(b"\n").unwrap();
    let mut status = None;
    let seen = watch(sensor, root, || {
        status = status.or_else(|| waitpid(Some(child), WaitOptions::NOHANG).unwrap());
        status.is_some()
    });
    let Some(seen) = seen else {
        let _ = kill_process(child, Signal::KILL);
        panic!("the act did not end")
    };
    assert_eq!(status.unwrap().1.exit_status(), Some(0), "the act failed: {:#?}", seen.events);
    seen
}

/// A child process that runs this and nothing else; its status is 1 if that panics.
pub fn fork(run: impl FnOnce()) -> Pid {
    // SAFETY: the child has the one thread that calls this, its memory is a copy, and it leaves by `_exit`: nothing of the
    // test's runs in it. glibc keeps its allocator whole across fork.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        // SAFETY: it ends the process, and touches no memory.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    Pid::from_raw(pid).unwrap()
}

/// A system call by its number, with what is no pointer or points to what lives longer than it.
pub fn call(number: libc::c_long, arguments: [usize; 6]) -> libc::c_long {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the tests' calls write to no memory but what they name.
    unsafe { libc::syscall(number, a, b, c, d, e, f) }
}

/// What the lineage does until its root has ended; `None` where it does not end.
fn watch(sensor: &mut KernelSensor, root: u32, mut has_ended: impl FnMut() -> bool) -> Option<Seen> {
    let mut lineage = vec![root];
    let mut seen = Seen { root, events: Vec::new(), lost: Vec::new() };
    let begun = Instant::now();
    let mut ended = None;
    while begun.elapsed() < LIFE_MAX {
        let batch = sensor.poll(POLL);
        seen.lost.extend(batch.lost);
        for event in batch.events {
            if let Kind::Fork { child } = &event.kind
                && lineage.contains(&event.process.pid)
            {
                lineage.push(child.pid);
            }
            if lineage.contains(&event.process.pid) {
                seen.events.push(event);
            }
        }
        if ended.is_none() && has_ended() {
            ended = Some(Instant::now());
        }
        if ended.is_some_and(|at| at.elapsed() > Duration::from_millis(100)) {
            return Some(seen);
        }
    }
    None
}
