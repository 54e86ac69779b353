//! The process that becomes the agent: enrols, splits off its hand, confines itself.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};
use muster_enforce::confine::{Orders, confine};
use muster_enforce::{hand, wire};

use super::{Ready, Start, Word, control, receive};
use crate::{client, mandates};

pub fn run(command: &[OsString]) -> Result<i32> {
    let control = control()?;
    match prepare(&control, command) {
        Ok(agent) => {
            let mut words = command.iter();
            let program = words.next().context("a command is required")?;
            let mut next = std::process::Command::new(program);
            next.args(words);
            if let Some(agent) = agent {
                next.env("MUSTER_AGENT", agent);
            }
            let error = next.exec();
            let why = format!(
                "cannot start `{}`: {error}\nhint: give the command as you would type it; the mandate must let it execute",
                program.to_string_lossy()
            );
            tell(&control, why);
        }
        Err(error) => {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            tell(&control, chain.join(": "));
        }
    }
    Ok(2)
}

/// Plainly: a message with files might be held.
fn tell(control: &OwnedFd, why: String) {
    if let Ok(text) = serde_json::to_vec(&Word::Failed(why)) {
        let _ = rustix::io::write(control, &text);
    }
}

fn prepare(control: &OwnedFd, command: &[OsString]) -> Result<Option<String>> {
    let (start, files): (Start, _) = receive(control)?;
    let mut files = files.into_iter();
    let (stdin, orders) = (files.next().context("no input")?, files.next().context("no orders")?);
    let mut text = Vec::new();
    let mut orders = File::from(orders);
    orders.rewind()?;
    orders.read_to_end(&mut text)?;
    let orders: Orders = serde_json::from_slice(&text)?;
    let shown: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let order = &start.order;
    let mut request = mandates::enrolment(Some(&order.mandate));
    request.insert("principal".to_owned(), order.principal.clone().into());
    request.insert("label".to_owned(), order.label.clone().into());
    request.insert("command".to_owned(), shown.into());
    // Decides for this agent from outside its reach.
    request.insert("supervisor".to_owned(), start.supervisor.into());
    let agent = match client::enrol(&order.data, &request.into()) {
        Ok(answer) => answer.get("agent").and_then(|agent| agent.as_str()).map(str::to_owned),
        // It does not hold: nobody acts on such a mandate.
        Err(error) if client::was_refused(&error) => return Err(error),
        Err(error) => {
            eprintln!("muster: this run is on no roll, and nobody keeps its record: {}", first_line(&error));
            None
        }
    };
    let (hand, end) = hand::split().context("cannot split off a process that connects")?;
    wire::send(control, b"hand", &[end.as_fd()])?;
    drop(end);
    let (listener, confined) = confine(&orders).context("cannot confine the agent")?;
    // From here on messages with files are held, and nobody takes them yet: the supervisor fetches the listener itself.
    let number = listener.fd().as_raw_fd();
    let ready = serde_json::to_vec(&Ready { agent: agent.clone(), hand, confined, listener: number })?;
    rustix::io::write(control, &ready)?;
    let _: Word = receive(control)?.0;
    drop(listener);
    rustix::stdio::dup2_stdin(&stdin)?;
    Ok(agent)
}

fn first_line(error: &anyhow::Error) -> String {
    let text = error.to_string();
    muster_event::sanitize(text.lines().next().unwrap_or_default())
}
