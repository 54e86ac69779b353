//! Speaks to the daemon over its unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::exit::usage;

/// Largest answer taken from the daemon.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

pub fn socket(data: &Path) -> PathBuf {
    data.join("muster.sock")
}

/// Is a daemon there?
pub fn answers(data: &Path) -> bool {
    UnixStream::connect(socket(data)).is_ok()
}

/// One request, one JSON answer. HTTP/1.1 with `Connection: close`, so the answer ends where the stream ends.
pub fn post(data: &Path, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
    let socket = socket(data);
    let mut stream = UnixStream::connect(&socket).map_err(|error| {
        usage(format!(
            "no daemon answers at `{}`: {error}\nhint: start it with `muster watch`, or name its folder with --data",
            socket.display()
        ))
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let body = serde_json::to_vec(body)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    let mut reader = BufReader::new(stream.take(ANSWER_MAX));
    let mut status = String::new();
    reader.read_line(&mut status).context("the daemon did not answer")?;
    let code: u16 = status.split_whitespace().nth(1).and_then(|c| c.parse().ok()).unwrap_or(0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
    }
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer)?;
    let json: serde_json::Value = serde_json::from_slice(&answer).unwrap_or(serde_json::Value::Null);
    if code != 200 && code != 201 {
        let reason = json.get("error").and_then(|e| e.as_str()).unwrap_or("no reason given");
        bail!("the daemon refused (HTTP {code}): {reason}");
    }
    Ok(json)
}
