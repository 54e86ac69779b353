//! What the user started: waits, passes signals on, says at the end what was stopped.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use muster_enforce::notes::{Told, summary};
use muster_enforce::wire;
use muster_mandate::Verdict;
use rustix::event::{PollFd, PollFlags, poll};

use super::{Order, Word, receive, send};
use crate::exit::usage;

/// Lines of the summary that are shown.
const SHOWN_MAX: usize = 20;
/// Passed on to the agent. What the terminal sends goes to its group by itself.
const PASSED_ON: [i32; 4] = [1, 10, 12, 15];
/// From the terminal: the agent decides what they mean, this process waits for it.
const LEFT_TO_IT: [i32; 2] = [2, 3];

/// Runs the command, and ends with its status.
pub fn run(order: &Order, command: &[OsString]) -> Result<i32> {
    let (own, other) = wire::pair()?;
    let supervisor = Command::new("/proc/self/exe")
        .arg("gate-supervisor")
        .arg("--")
        .args(command)
        .stdin(Stdio::from(other))
        // Keys that the user types are for the agent.
        .process_group(0)
        .spawn()
        .context("cannot start the supervisor")?;
    // It is waited for by its socket: it lives on while processes of the agent's do.
    drop(supervisor);
    let (mut signals, sender) = UnixStream::pair()?;
    for number in PASSED_ON.into_iter().chain(LEFT_TO_IT) {
        let sender = sender.try_clone()?;
        if PASSED_ON.contains(&number) {
            register(number, sender)?;
        } else {
            let ignored = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            signal_hook::flag::register(number, ignored)?;
        }
    }
    let stdin = std::io::stdin();
    wire::send(&own, &serde_json::to_vec(order)?, &[stdin.as_fd()])?;
    loop {
        let mut files = [PollFd::new(&own, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut files, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [from_supervisor, from_user] = &files;
        let (ended, signalled) = (!from_supervisor.revents().is_empty(), !from_user.revents().is_empty());
        if signalled {
            let mut number = [0];
            signals.read_exact(&mut number)?;
            drop(send(&own, &Word::Signal(number.first().copied().unwrap_or(15).into())));
        }
        if ended {
            return over(order.enforce, &own);
        }
    }
}

/// Each signal is a byte that says which.
fn register(number: i32, sender: UnixStream) -> Result<()> {
    let (mut pipe, writer) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(number, writer)?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut sender = sender;
        let mut byte = [0];
        while pipe.read_exact(&mut byte).is_ok() {
            let number = u8::try_from(number).unwrap_or(15);
            if std::io::Write::write_all(&mut sender, &[number]).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn over(enforce: bool, own: &OwnedFd) -> Result<i32> {
    match receive::<Word>(own)?.0 {
        Word::Ended { code, summary, more, notices } => {
            for notice in notices {
                eprintln!("muster: {}", muster_event::sanitize(&notice));
            }
            report(enforce, &summary, more);
            Ok(code)
        }
        Word::Failed(why) => Err(usage(why)),
        Word::Signal(_) => Err(anyhow::anyhow!("the supervisor spoke out of turn")),
    }
}

fn report(enforce: bool, told: &[Told], more: u64) {
    if told.is_empty() && more == 0 {
        return;
    }
    let what = if enforce {
        "acts were refused"
    } else {
        "acts that `--enforce` would stop, or ask about, were seen"
    };
    let total: u64 = told.iter().map(|told| told.count).sum::<u64>() + more;
    eprintln!("muster: {total} {what}:");
    for told in told.iter().take(SHOWN_MAX) {
        let act = muster_event::sanitize(&summary(&told.action));
        let times = if told.count > 1 { format!(" ({} times)", told.count) } else { String::new() };
        let asks = if told.decision.verdict == Verdict::Ask { ", a person would be asked" } else { "" };
        let unblocked = if enforce && !told.blocked { ", not stopped" } else { "" };
        eprintln!("  {act}{times}: {}{asks}{unblocked}", muster_event::sanitize(&told.decision.rule));
    }
    let rest = told.len().saturating_sub(SHOWN_MAX);
    if rest > 0 || more > 0 {
        eprintln!(
            "  … and {} more; `muster findings` and the page have them all",
            u64::try_from(rest).unwrap_or(0) + more
        );
    }
}
