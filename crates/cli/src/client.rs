//! Speaks to the daemon over its unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::exit::usage;

/// Largest answer taken from the daemon.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// How an error begins that is the daemon's own answer.
const REFUSED: &str = "the daemon refused";

/// Longest wait for a lineage to be mustered out.
const CONTAIN_MAX: Duration = Duration::from_secs(310);

pub fn socket(data: &Path) -> PathBuf {
    data.join("muster.sock")
}

/// Where every user may enrol: outside the daemon's folder, which only root can enter.
pub fn enrolment_socket(data: &Path) -> PathBuf {
    let folder = Path::new("/run/muster");
    if data == Path::new(crate::DATA_DEFAULT) {
        return folder.join("enrol.sock");
    }
    // Another folder, another daemon. As it is written: its users cannot look into it.
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let hash = Sha256::digest(data.as_os_str().as_encoded_bytes());
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("enrol-{name}.sock"))
}

/// The socket that this user may speak to the daemon by.
fn own_socket(data: &Path) -> PathBuf {
    let own = socket(data);
    if rustix::process::geteuid().is_root() && own.exists() { own } else { enrolment_socket(data) }
}

/// Enrols this process.
pub fn enrol(data: &Path, body: &serde_json::Value) -> Result<serde_json::Value> {
    post(&own_socket(data), "/api/v1/runs", body)
}

/// What of this message the record contradicts, as sentence and verdict: asked by the Stop hook of the agent itself.
pub fn ask_stop(data: &Path, text: &str) -> Result<Vec<(String, String)>> {
    let answer = post(&own_socket(data), "/api/v1/stop", &serde_json::json!({ "text": text }))?;
    let told: muster_server::Told = serde_json::from_value(answer)?;
    Ok(told.claims.into_iter().map(|claim| (claim.sentence, claim.verdict)).collect())
}

/// Musters out, or undoes it. It answers when it is done.
pub fn contain(data: &Path, request: &muster_server::ContainRequest) -> Result<serde_json::Value> {
    post_within(&socket(data), "/api/v1/out", &serde_json::to_value(request)?, CONTAIN_MAX)
}

/// Keeps what a person says of a finding.
pub fn review(data: &Path, request: &muster_server::ReviewRequest) -> Result<muster_server::ReviewView> {
    let answer = post(&socket(data), "/api/v1/reviews", &serde_json::to_value(request)?)?;
    Ok(serde_json::from_value(answer)?)
}

/// The questions that wait for a person.
pub fn approvals(data: &Path) -> Result<Vec<muster_server::ApprovalView>> {
    let answer = request(&socket(data), "GET", "/api/v1/approvals", None, Duration::from_secs(10))?;
    Ok(serde_json::from_value(answer)?)
}

/// Answers one.
pub fn approve(data: &Path, answer: &muster_server::ApproveRequest) -> Result<muster_server::ApprovalView> {
    let answered = post(&socket(data), "/api/v1/approvals/answer", &serde_json::to_value(answer)?)?;
    Ok(serde_json::from_value(answered)?)
}

/// A daemon answered, and said no; else there was none.
pub fn was_refused(error: &anyhow::Error) -> bool {
    error.to_string().starts_with(REFUSED)
}

/// Is a daemon there?
pub fn answers(data: &Path) -> bool {
    UnixStream::connect(socket(data)).is_ok()
}

/// One request, one JSON answer. HTTP/1.1 with `Connection: close`, so the answer ends where the stream ends.
fn post(socket: &Path, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
    post_within(socket, path, body, Duration::from_secs(10))
}

fn post_within(
    socket: &Path,
    path: &str,
    body: &serde_json::Value,
    wait: Duration,
) -> Result<serde_json::Value> {
    request(socket, "POST", path, Some(body), wait)
}

fn request(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&serde_json::Value>,
    wait: Duration,
) -> Result<serde_json::Value> {
    let mut stream = UnixStream::connect(socket).map_err(|error| {
        usage(format!(
            "no daemon answers at `{}`: {error}\nhint: start it with `muster watch`, or name its folder with --data",
            socket.display()
        ))
    })?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
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
        let hint =
            json.get("hint").and_then(|h| h.as_str()).map(|h| format!("\nhint: {h}")).unwrap_or_default();
        return Err(usage(format!("{REFUSED}: {reason}{hint}")));
    }
    Ok(json)
}
