//! The supervisor's process: starts the agent, decides, tells the launcher how it ended.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use muster_enforce::supervisor::{Gate, Setup, Supervisor};
use muster_enforce::wire;
use muster_sensor::hold::Listener;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, PidfdGetfdFlags, Signal, WaitOptions, getpid, pidfd_getfd, pidfd_open,
    pidfd_send_signal, set_child_subreaper, set_dumpable_behavior,
};

use super::{Order, Ready, Start, Word, control, mandate, receive, send};

/// Lines of the summary that reach the launcher.
const TOLD_MAX: usize = 128;
const TOLD_BYTES_MAX: usize = 64 * 1024;

pub fn run(command: &[OsString]) -> Result<i32> {
    let control = control()?;
    if let Err(error) = supervise(&control, command) {
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        drop(send(&control, &Word::Failed(chain.join(": "))));
    }
    Ok(0)
}

fn supervise(control: &OwnedFd, command: &[OsString]) -> Result<()> {
    // Nobody of the same user traces it or looks into its memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Orphans of the run are its children: by their ancestry they stay the run's.
    set_child_subreaper(Some(getpid()))?;
    let (order, files): (Order, _) = receive(control)?;
    let stdin = files.into_iter().next().context("no input")?;
    let program = command.first().context("a command is required")?;
    let chain = mandate::chain(&order.mandate, Path::new(program), service(&order.data).is_some())?;
    let in_force = mandate::in_force(&order.data, &chain);
    let gate = Arc::new(Gate::new(Setup {
        chain,
        enforce: order.enforce,
        service: service(&order.data),
        ask_wait: Duration::from_millis(order.ask_wait_ms),
        resolver: order.resolver,
        in_force,
        sockets: own_sockets(&order.data),
    }));
    let (own, other) = wire::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg("gate-agent")
        .arg("--")
        .args(command)
        .stdin(Stdio::from(other))
        .process_group(order.group)
        .spawn()
        .context("cannot start the agent")?;
    let agent = Pid::from_child(&child);
    let mut orders = File::from(memfd_create("orders", MemfdFlags::CLOEXEC)?);
    orders.write_all(&serde_json::to_vec(&gate.orders())?)?;
    let report = order.report.clone();
    let start = Start { order, supervisor: std::process::id() };
    wire::send(&own, &serde_json::to_vec(&start)?, &[stdin.as_fd(), orders.as_fd()])?;
    drop((stdin, orders));
    let (data, files) = wire::receive(&own, super::MESSAGE_MAX)?;
    if let Ok(Word::Failed(why)) = serde_json::from_slice(&data) {
        return Err(crate::exit::usage(why));
    }
    let hand = files.into_iter().next().context("the agent's process is gone")?;
    let (data, _) = wire::receive(&own, super::MESSAGE_MAX)?;
    if let Ok(Word::Failed(why)) = serde_json::from_slice(&data) {
        return Err(crate::exit::usage(why));
    }
    let ready: Ready = serde_json::from_slice(&data).context("the agent's process is gone")?;
    let handle = pidfd_open(agent, PidfdFlags::empty())?;
    let listener =
        pidfd_getfd(&handle, ready.listener, PidfdGetfdFlags::empty()).context("cannot take the listener")?;
    let launcher = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    let own_pids = vec![std::process::id(), ready.hand, launcher];
    let supervisor = Supervisor::new(Arc::clone(&gate), Listener::of(listener), hand, own_pids)?;
    supervisor.start()?;
    obey(control.try_clone()?, handle)?;
    send(&own, &Word::Signal(0))?;
    let notices = ready
        .confined
        .without_landlock
        .map(|why| vec![format!("files were not confined: {why}")])
        .unwrap_or_default();
    let code = wait(agent);
    // What it says if it could not become the command. The hand has its end open too: there is no end to wait for.
    let mut said = [PollFd::new(&own, PollFlags::IN)];
    if poll(&mut said, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
        && let Ok((Word::Failed(why), _)) = receive::<Word>(&own)
    {
        return Err(crate::exit::usage(why));
    }
    let mut summary = gate.summary();
    if let Some(path) = report {
        let lines: Vec<String> =
            summary.iter().map(|told| Ok(serde_json::to_string(told)? + "\n")).collect::<Result<_>>()?;
        std::fs::write(&path, lines.concat())
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let mut bytes = 0;
    let shown = summary
        .iter()
        .take(TOLD_MAX)
        .take_while(|told| {
            bytes += serde_json::to_vec(told).map_or(0, |text| text.len());
            bytes < TOLD_BYTES_MAX
        })
        .count();
    let more = u64::try_from(summary.len() - shown).unwrap_or(0);
    summary.truncate(shown);
    drop(send(control, &Word::Ended { code, summary, more, notices }));
    quiet()?;
    // What it left behind is decided upon as before, until the last of it is gone.
    std::thread::spawn(|| while rustix::process::wait(WaitOptions::empty()).is_ok() {});
    supervisor.join();
    Ok(())
}

/// Whoever reads what the command wrote need not wait for what it left behind.
fn quiet() -> Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    Ok(())
}

/// Waits for the agent, and for each orphan that ends before it.
fn wait(agent: Pid) -> i32 {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == agent => {
                return status
                    .exit_status()
                    .or_else(|| status.terminating_signal().map(|number| 128 + number))
                    .unwrap_or(1);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return 1,
        }
    }
}

/// Passes signals on. Where the launcher is gone before the agent, the agent ends, as it would have with it.
fn obey(control: OwnedFd, agent: OwnedFd) -> Result<()> {
    std::thread::Builder::new().name("launcher".to_owned()).spawn(move || {
        loop {
            match receive::<Word>(&control) {
                Ok((Word::Signal(number), _)) => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        let _ = pidfd_send_signal(&agent, signal);
                    }
                }
                Ok(_) => {}
                Err(_) => {
                    let _ = pidfd_send_signal(&agent, Signal::KILL);
                    return;
                }
            }
        }
    })?;
    Ok(())
}

/// The decision service of the daemon, where there is one.
fn service(data: &Path) -> Option<PathBuf> {
    let path = gate_socket(data);
    path.exists().then_some(path)
}

fn gate_socket(data: &Path) -> PathBuf {
    let enrol = crate::client::enrolment_socket(data);
    let name =
        enrol.file_name().map(|name| name.to_string_lossy().replacen("enrol", "gate", 1)).unwrap_or_default();
    enrol.with_file_name(name)
}

/// Where the agent's own hooks ask: the answers are the daemon's, whoever asks.
fn own_sockets(data: &Path) -> Vec<String> {
    [gate_socket(data), crate::client::enrolment_socket(data)]
        .into_iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}
