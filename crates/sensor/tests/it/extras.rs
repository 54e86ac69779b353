//! Acts of strangers against Muster, where the kernel lets it see them. These tests' process is Muster here.

use std::process::Command;
use std::time::{Duration, Instant};

use muster_event::{Event, Kind, MemoryOp, SignalTarget};
use muster_sensor::{KernelSensor, Source};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::kernel::folder;
use crate::rig::{POLL, act, call, fork, sensor};

/// A sensor with extras; `None`, with a line that says so, where the kernel lets none in.
fn with_extras() -> Option<KernelSensor> {
    let sensor = sensor()?;
    assert_eq!(sensor.extras().len(), 3);
    let refused = sensor.extras().iter().find_map(|it| Some((&it.probe, it.error.as_ref()?)));
    if let Some((probe, error)) = refused {
        // A guest has them all: tests/vm boots it so.
        assert!(std::env::var_os("MUSTER_VM").is_none(), "{probe}: {error}");
        println!("skipped: {probe} does not load here: {error}");
        return None;
    }
    Some(sensor)
}

fn events(sensor: &mut KernelSensor, of: u32) -> Vec<Event> {
    let mut events = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        events.extend(sensor.poll(POLL).events);
    }
    events.retain(|it| it.process.pid == of);
    events
}

fn me() -> u32 {
    std::process::id()
}

/// `SIGURG` is ignored by whoever does not wait for it.
fn is_urgent(kind: &Kind) -> bool {
    *kind == Kind::Signal { target: SignalTarget::Process(me()), signal: 23, result: 0 }
}

#[test]
fn without_them_the_sensor_starts_and_says_why() {
    let Some(sensor) = sensor() else { return };
    for extra in sensor.extras() {
        assert!(extra.error.as_ref().is_none_or(|it| !it.is_empty()));
        assert!(
            sensor.states().iter().all(|it| it.probe != extra.probe),
            "coverage rests on {}",
            extra.probe
        );
        assert!(muster_sensor::probe_purpose(&extra.probe).is_some());
    }
}

#[test]
fn a_stranger_s_signal() {
    let Some(mut sensor) = with_extras() else { return };
    let mut stranger =
        Command::new("/bin/sh").args(["-c", &format!("kill -URG {}; kill -0 {0}", me())]).spawn().unwrap();
    let pid = stranger.id();
    stranger.wait().unwrap();
    let events = events(&mut sensor, pid);
    let signals: Vec<_> = events.iter().filter(|it| matches!(it.kind, Kind::Signal { .. })).collect();
    assert!(matches!(&signals[..], [only] if is_urgent(&only.kind)), "{events:#?}");
    assert_eq!((signals[0].uid, signals[0].comm.as_str()), (0, "sh"));
}

#[test]
fn a_member_s_signal_comes_once() {
    let Some(mut sensor) = with_extras() else { return };
    let (dir, _) = folder();
    let daemon = Pid::from_raw(me() as i32).unwrap();
    let seen = act(&mut sensor, dir.path(), || kill_process(daemon, Signal::URG).unwrap());
    assert_eq!(seen.kinds().filter(|kind| is_urgent(kind)).count(), 1, "{:#?}", seen.events);
}

#[test]
fn a_stranger_at_muster_s_memory_and_probes() {
    let Some(mut sensor) = with_extras() else { return };
    let daemon = me();
    let stranger = fork(|| {
        std::fs::File::open(format!("/proc/{daemon}/mem")).unwrap();
        call(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, daemon as usize, 0, 0, 0, 0]);
        // The program with the number 1, which may be there or not.
        let attributes = [1u32, 0, 0, 0];
        call(libc::SYS_bpf, [13, attributes.as_ptr() as usize, 16, 0, 0, 0]);
    });
    waitpid(Some(stranger), WaitOptions::empty()).unwrap();
    let events = events(&mut sensor, stranger.as_raw_nonzero().get() as u32);
    let has = |kind| assert!(events.iter().any(|it| it.kind == kind), "{kind:?} not among {events:#?}");
    has(Kind::ProcessMemory { op: MemoryOp::Read, target: daemon, result: 0 });
    has(Kind::Ptrace { request: i64::from(libc::PTRACE_SEIZE), target: daemon, result: 0 });
    has(Kind::Bpf { command: 13, result: 0 });
}
