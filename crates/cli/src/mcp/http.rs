//! Over HTTP (streamable, or the older one with events): a request with a call is looked at and asked about, all others go
//! on; answers are passed on as they come, so that a stream stays one. One connection, one request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::exit::usage;
use crate::gate::client::lets_through;
use crate::mcp::message::{Looked, denial, look, refusal, without};
use crate::mcp::{MESSAGE_MAX, Proxy, WAIT_MS};
use muster_server::process_of;

/// Connections at once: each may hold a stream open.
const CONNECTIONS_MAX: usize = 128;
/// Of a request's head, in bytes, and its lines.
const HEAD_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 96;
/// How long a client may take to say what it wants.
const READ: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// Until it is killed.
pub fn run(proxy: Proxy, url: &str, listen: SocketAddr) -> Result<ExitCode> {
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| usage("the URL begins with http:// or https://"))?;
    if !matches!(scheme, "http" | "https") || rest.is_empty() || rest.contains(['?', '#', '@', ' ']) {
        return Err(usage(format!("`{url}` is no plain http URL")));
    }
    let (authority, base) =
        rest.split_once('/').map_or((rest, String::new()), |(a, path)| (a, format!("/{path}")));
    let listener =
        TcpListener::bind(listen).map_err(|error| usage(format!("cannot listen on {listen}: {error}")))?;
    let address = listener.local_addr()?;
    println!("ready url=http://{address}{base}");
    std::io::stdout().flush()?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let one = Arc::new(One {
        proxy,
        agent,
        origin: format!("{scheme}://{authority}"),
        address,
        caller: AtomicU32::new(0),
    });
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (one, done) = (Arc::clone(&one), Arc::clone(&open));
        let spawned = thread::Builder::new().name("mcp".to_owned()).spawn(move || {
            if let Err(error) = one.serve(&stream) {
                eprintln!("muster mcp-proxy: {}", muster_event::sanitize(&format!("{error:#}")));
            }
            done.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct One {
    proxy: Proxy,
    agent: ureq::Agent,
    /// Scheme, host and port of the server.
    origin: String,
    address: SocketAddr,
    /// Who called last; 0: nobody.
    caller: AtomicU32,
}

/// A request, whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

impl One {
    fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(READ))?;
        let request = match read(&mut &*stream) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(why) => return respond(stream, 400, "text/plain", why.as_bytes()),
        };
        if !self.is_own_name(&request) {
            return respond(stream, 403, "text/plain", b"a page of another site sent this");
        }
        let mut body = request.body.clone();
        if !body.is_empty() {
            match look(&body) {
                Ok(Looked::Pass | Looked::Cancelled(_)) => {}
                Ok(Looked::Calls { calls, messages, batch }) => {
                    let process = self.caller(stream);
                    let mut answers = Vec::new();
                    let mut gone = Vec::new();
                    for call in &calls {
                        let decision = self.proxy.ask(call, WAIT_MS, process);
                        if let Err(error) = &decision {
                            eprintln!(
                                "muster mcp-proxy: the gate cannot be asked: {}",
                                muster_event::sanitize(error)
                            );
                        }
                        if !decision.is_ok_and(|decision| lets_through(&decision)) {
                            gone.push(call.at);
                            answers.extend(denial(call));
                        }
                    }
                    if !gone.is_empty() {
                        match without(&messages, &gone, batch) {
                            // The rest of a batch with a denied call does not go alone: its answer has one place.
                            Some(_) | None if answers.is_empty() => {
                                return respond(stream, 202, "text/plain", b"");
                            }
                            Some(_) => {
                                let why = refusal(
                                    "the batch holds a call that is denied: send its messages one by one",
                                );
                                return respond(stream, 200, "application/json", why.to_string().as_bytes());
                            }
                            None => {
                                let answer = match answers.as_slice() {
                                    [one] if !batch => one.clone(),
                                    _ => serde_json::Value::Array(answers),
                                };
                                return respond(
                                    stream,
                                    200,
                                    "application/json",
                                    answer.to_string().as_bytes(),
                                );
                            }
                        }
                    }
                }
                Err(why) => {
                    return respond(stream, 400, "application/json", refusal(&why).to_string().as_bytes());
                }
            }
        }
        self.pass(stream, &request, std::mem::take(&mut body))
    }

    /// The process at the other end. As a rule it is the one of before.
    fn caller(&self, stream: &TcpStream) -> Option<u32> {
        let likely = self.caller.load(Ordering::Relaxed);
        let found =
            process_of(stream.peer_addr().ok()?, stream.local_addr().ok()?, (likely != 0).then_some(likely))?;
        self.caller.store(found, Ordering::Relaxed);
        Some(found)
    }

    /// A name of this machine, where only this machine can reach it: a page that points its name here gets nothing.
    fn is_own_name(&self, request: &Request) -> bool {
        if !self.address.ip().is_loopback() {
            return true;
        }
        let own = |host: &str| {
            let name = host
                .rsplit_once(':')
                .filter(|(_, port)| port.parse::<u16>().is_ok())
                .map_or(host, |(name, _)| name);
            matches!(name, "localhost" | "127.0.0.1" | "[::1]")
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).to_lowercase();
        let host = request.header("host").map(text);
        let origin = request.header("origin").map(text);
        host.is_some_and(|host| own(host.trim()))
            && origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, host)| own(host)))
    }

    fn pass(&self, stream: &TcpStream, request: &Request, body: Vec<u8>) -> Result<()> {
        let url = format!("{}{}", self.origin, request.target);
        let mut builder = ureq::http::Request::builder().method(request.method.as_str()).uri(url);
        for (name, value) in request.headers.iter().filter(|(name, _)| !is_hop(name)) {
            builder = builder.header(name.as_str(), value.as_slice());
        }
        let answer = if body.is_empty() && request.method != "POST" {
            self.agent.run(builder.body(()).context("the request cannot be passed on")?)
        } else {
            self.agent.run(builder.body(body).context("the request cannot be passed on")?)
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return respond(stream, 502, "text/plain", error.to_string().as_bytes()),
        };
        let (head, body) = answer.into_parts();
        let mut out = stream;
        write!(
            out,
            "HTTP/1.1 {} {}\r\n",
            head.status.as_u16(),
            head.status.canonical_reason().unwrap_or("-")
        )?;
        for (name, value) in head.headers.iter().filter(|(name, _)| !is_hop(name.as_str())) {
            out.write_all(name.as_str().as_bytes())?;
            out.write_all(b": ")?;
            out.write_all(value.as_bytes())?;
            out.write_all(b"\r\n")?;
        }
        out.write_all(b"Connection: close\r\n\r\n")?;
        let mut reader = body.into_with_config().limit(u64::MAX).reader();
        let mut chunk = vec![0u8; 64 * 1024];
        loop {
            let count = reader.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            out.write_all(chunk.get(..count).unwrap_or_default())?;
        }
    }
}

/// Of one connection only: not passed on.
fn is_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "content-length"
            | "expect"
            | "accept-encoding"
    )
}

fn respond(mut stream: &TcpStream, status: u16, kind: &str, body: &[u8]) -> Result<()> {
    let reason = match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        _ => "Bad Gateway",
    };
    write!(
        stream,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    Ok(())
}

/// `None`: nothing came. The error is for the client.
pub fn read(stream: &mut impl Read) -> Result<Option<Request>, String> {
    let mut bytes = Vec::new();
    let mut chunk = [0u8; 8 * 1024];
    let (length, mut request) = loop {
        let count = stream.read(&mut chunk).map_err(|error| error.to_string())?;
        if count == 0 {
            return if bytes.is_empty() { Ok(None) } else { Err("the request is not whole".to_owned()) };
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if let Some(head) = parse_head(&bytes)? {
            break head;
        }
        if bytes.len() > HEAD_MAX {
            return Err("the head of the request is too long".to_owned());
        }
    };
    let mut rest = bytes.split_off(length);
    let mut more = |rest: &mut Vec<u8>| -> Result<(), String> {
        let count = stream.read(&mut chunk).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the request is not whole".to_owned());
        }
        rest.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if rest.len() > 2 * MESSAGE_MAX { Err("the message is too long".to_owned()) } else { Ok(()) }
    };
    let lengths: Vec<&[u8]> =
        request.headers.iter().filter(|(n, _)| n == "content-length").map(|(_, v)| v.as_slice()).collect();
    let chunked = request.header("transfer-encoding").map(|value| value.eq_ignore_ascii_case(b"chunked"));
    // What two readers could end at two places is not passed on.
    match (lengths.as_slice(), chunked) {
        ([], None) => {}
        ([length], None) => {
            let length: usize = std::str::from_utf8(length)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .ok_or("the length of the request is no number")?;
            if length > MESSAGE_MAX {
                return Err("the message is too long".to_owned());
            }
            while rest.len() < length {
                more(&mut rest)?;
            }
            rest.truncate(length);
            request.body = rest;
        }
        ([], Some(true)) => loop {
            match unchunked(&rest)? {
                Some(body) => {
                    request.body = body;
                    break;
                }
                None => more(&mut rest)?,
            }
        },
        _ => return Err("the length of the request is told in two ways".to_owned()),
    }
    Ok(Some(request))
}

/// The head and its length; `None`: more is needed.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Request)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(length)) => {
            let target = parsed.path.unwrap_or_default();
            if !target.starts_with('/') {
                return Err("the target of the request is no path".to_owned());
            }
            let headers =
                parsed.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect();
            let method = parsed.method.unwrap_or_default().to_owned();
            Ok(Some((length, Request { method, target: target.to_owned(), headers, body: Vec::new() })))
        }
        Err(error) => Err(format!("no request: {error}")),
    }
}

/// A body in chunks; `None`: more is needed.
fn unchunked(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        match httparse::parse_chunk_size(bytes) {
            Err(_) => return Err("a chunk of the request has no length".to_owned()),
            Ok(httparse::Status::Partial) => return Ok(None),
            Ok(httparse::Status::Complete((_, 0))) => return Ok(Some(body)),
            Ok(httparse::Status::Complete((begin, size))) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                if size > MESSAGE_MAX || body.len() + size > MESSAGE_MAX {
                    return Err("the message is too long".to_owned());
                }
                let Some(chunk) = bytes.get(begin..begin + size) else { return Ok(None) };
                body.extend_from_slice(chunk);
                match bytes.get(begin + size..begin + size + 2) {
                    None => return Ok(None),
                    Some(b"\r\n") => bytes = bytes.get(begin + size + 2..).unwrap_or_default(),
                    Some(_) => return Err("a chunk of the request has no end".to_owned()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        match (read(&mut text.as_bytes()), expected) {
            (Ok(Some(request)), Ok(body)) => assert_eq!(request.body, body.as_bytes(), "{text}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn bodies_end_where_everybody_sees_them_end() {
        check("POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcdef", Ok("abc"));
        check(
            "POST /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            Ok("abc"),
        );
        check("GET /mcp HTTP/1.1\r\n\r\n", Ok(""));
        check(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Err("two ways"),
        );
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", Err("two ways"));
        check("POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", Err("no number"));
        check("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Err("two ways"));
        check("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", Err("not whole"));
        check("POST http://x/ HTTP/1.1\r\n\r\n", Err("no path"));
        check(&format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", MESSAGE_MAX + 1), Err("too long"));
    }
}
