//! Over standard input and output: the server is started as a child, lines go both ways. What the server says is passed on
//! byte for byte as it comes; what the client says is read line by line. A call that waits for a person does not hold up others.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use muster_mandate::Verdict;

use crate::gate::client::{Asking, lets_through};
use crate::mcp::message::{Looked, ToolCall, denial, look, refusal, without};
use crate::mcp::{MESSAGE_MAX, Proxy, WAIT_MS};

/// Calls that wait for a person at once; more of them are denied.
const PENDING_MAX: usize = 32;
/// Bytes that are passed on at once.
const CHUNK: usize = 64 * 1024;

/// Where the client listens: whole lines of ours between whole lines of the server's.
type Out = Arc<Mutex<std::io::Stdout>>;
type Server = Arc<Mutex<ChildStdin>>;
/// Calls that wait, by id, with the way to give them up.
type Pending = Arc<Mutex<HashMap<String, Option<UnixStream>>>>;

/// Until the client or the server ends.
pub fn run(proxy: Proxy, command: &[std::ffi::OsString]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("a server is required")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", program.to_string_lossy()))?;
    let server: Server = Arc::new(Mutex::new(child.stdin.take().context("no way to the server")?));
    let answers = child.stdout.take().context("no way from the server")?;
    let out: Out = Arc::new(Mutex::new(std::io::stdout()));
    let for_server = Arc::clone(&out);
    // It ends the whole when the server does: nobody is left to answer.
    let back = thread::Builder::new()
        .name("from the server".to_owned())
        .spawn(move || pass_back(answers, &for_server))?;
    let pending = Pending::default();
    let client = thread::Builder::new().name("from the client".to_owned()).spawn(move || {
        read_client(&proxy, &server, &out, &pending);
    })?;
    // The client's end closes the server's input; the server then ends, and with it its output.
    drop(client);
    drop(back.join());
    finish(&mut child)
}

fn finish(child: &mut Child) -> Result<ExitCode> {
    let status = child.wait()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Byte for byte; between two lines others may write.
fn pass_back(answers: impl Read, out: &Out) {
    let mut reader = BufReader::with_capacity(CHUNK, answers);
    'lines: loop {
        // Wait for the first byte of a line without holding up our own.
        match reader.fill_buf() {
            Ok([]) | Err(_) => return,
            Ok(_) => {}
        }
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Ok(bytes) = reader.fill_buf() else { return };
            if bytes.is_empty() {
                drop(out.flush());
                return;
            }
            let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
            let count = end.unwrap_or(bytes.len());
            let written = out.write_all(bytes.get(..count).unwrap_or_default()).and_then(|()| out.flush());
            if written.is_err() {
                return;
            }
            reader.consume(count);
            if end.is_some() {
                continue 'lines;
            }
        }
    }
}

fn read_client(proxy: &Proxy, server: &Server, out: &Out, pending: &Pending) {
    let mut reader = BufReader::with_capacity(CHUNK, std::io::stdin());
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MESSAGE_MAX as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if line.len() > MESSAGE_MAX {
            // What is not looked at does not go on.
            if !skip_line(&mut reader, &line) {
                break;
            }
            say(out, &refusal("the message is too long"));
            continue;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match look(&line) {
            Ok(Looked::Pass) => send(server, &line),
            Ok(Looked::Cancelled(id)) => {
                let waits = pending.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(|stream| {
                    // The gate withdraws the question; the server never heard of the call.
                    stream.as_ref().map(|stream| stream.shutdown(std::net::Shutdown::Both))
                });
                if waits.is_none() {
                    send(server, &line);
                }
            }
            Ok(Looked::Calls { calls, messages, batch }) => {
                let mut gone = Vec::new();
                for call in calls {
                    match proxy.ask(&call, 0, None) {
                        Ok(decision) if lets_through(&decision) => {}
                        Ok(decision) if decision.verdict == Verdict::Ask => {
                            gone.push(call.at);
                            let message = messages.get(call.at).map(ToString::to_string).unwrap_or_default();
                            wait_for_person(proxy, server, out, pending, call, message);
                        }
                        other => {
                            gone.push(call.at);
                            deny(out, &call, other.err());
                        }
                    }
                }
                if gone.is_empty() {
                    send(server, &line);
                } else if let Some(left) = without(&messages, &gone, batch) {
                    send(server, format!("{left}\n").as_bytes());
                }
            }
            Err(why) => say(out, &refusal(&why)),
        }
    }
    // Who waits for a person has nobody to answer.
    for stream in pending.lock().unwrap_or_else(PoisonError::into_inner).values().flatten() {
        drop(stream.shutdown(std::net::Shutdown::Both));
    }
}

fn wait_for_person(
    proxy: &Proxy,
    server: &Server,
    out: &Out,
    pending: &Pending,
    call: ToolCall,
    message: String,
) {
    let asking = Asking::connect(&proxy.data);
    {
        let mut waiting = pending.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= PENDING_MAX || asking.is_err() {
            drop(waiting);
            return deny(out, &call, asking.err());
        }
        waiting.insert(call.id.clone(), asking.as_ref().ok().and_then(|asking| asking.stream()));
    }
    let (proxy, server, out, pending) =
        (proxy.clone(), Arc::clone(server), Arc::clone(out), Arc::clone(pending));
    let id = call.id.clone();
    let spawned = {
        let (out, pending) = (Arc::clone(&out), Arc::clone(&pending));
        thread::Builder::new().name("a person is asked".to_owned()).spawn(move || {
            let decision = asking.and_then(|mut asking| asking.ask(proxy.question(&call, WAIT_MS, None)));
            pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&call.id);
            match decision {
                Ok((decision, _)) if lets_through(&decision) => {
                    send(&server, format!("{message}\n").as_bytes())
                }
                other => deny(&out, &call, other.err()),
            }
        })
    };
    if spawned.is_err() {
        pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

fn deny(out: &Out, call: &ToolCall, error: Option<String>) {
    if let Some(error) = error {
        eprintln!("muster mcp-proxy: the gate cannot be asked: {}", muster_event::sanitize(&error));
    }
    if let Some(answer) = denial(call) {
        say(out, &answer);
    }
}

fn say(out: &Out, message: &serde_json::Value) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // The client is gone: its end of the input tells so too.
    drop(writeln!(out, "{message}").and_then(|()| out.flush()));
}

fn send(server: &Server, line: &[u8]) {
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    // The server is gone: the end of its output tells so too.
    let mut written = server.write_all(line);
    if line.last() != Some(&b'\n') {
        written = written.and_then(|()| server.write_all(b"\n"));
    }
    drop(written.and_then(|()| server.flush()));
}

/// To the line's end; `false`: there is no more.
fn skip_line(reader: &mut impl BufRead, read: &[u8]) -> bool {
    if read.last() == Some(&b'\n') {
        return true;
    }
    loop {
        let (count, ended) = match reader.fill_buf() {
            Ok([]) | Err(_) => return false,
            Ok(bytes) => match memchr::memchr(b'\n', bytes) {
                Some(at) => (at + 1, true),
                None => (bytes.len(), false),
            },
        };
        reader.consume(count);
        if ended {
            return true;
        }
    }
}
