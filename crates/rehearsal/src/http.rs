//! As much of an HTTP/1.1 server as agents need: one request after the other on a connection, answers of known length.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

const HEADERS_MAX: usize = 128;
/// Agents send their whole conversation with each request; a megabyte is common.
const BODY_MAX: usize = 256 * 1024 * 1024;

pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self { status: 200, content_type: "application/json", body: value.to_string().into_bytes() }
    }

    pub(crate) fn events(body: String) -> Self {
        Self { status: 200, content_type: "text/event-stream", body: body.into_bytes() }
    }

    pub(crate) fn error(status: u16, message: &str) -> Self {
        let value = serde_json::json!({"error": {"type": "rehearsal", "message": message}});
        Self { status, ..Self::json(&value) }
    }
}

/// The next request, or `None` where the client has gone.
pub(crate) fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
        if head[before..] == *b"\r\n" || head[before..] == *b"\n" {
            break;
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head).map_err(|e| invalid(e.to_string()))?;
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: parsed
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
            .collect(),
        body: Vec::new(),
    };
    if request.header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue")) {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = if request.header("transfer-encoding").is_some_and(|t| t.contains("chunked")) {
        read_chunks(stream)?
    } else {
        let length = request.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0usize);
        read_exactly(stream, length)?
    };
    Ok(Some(request))
}

fn read_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid(format!("chunk size `{size}`")))?;
        body.extend(read_exactly(stream, size)?);
        let mut end = String::new();
        stream.read_line(&mut end)?;
        if size == 0 {
            // Trailers, if any, up to an empty line.
            while !end.trim().is_empty() {
                end.clear();
                stream.read_line(&mut end)?;
            }
            return Ok(body);
        }
    }
}

fn read_exactly(stream: &mut BufReader<TcpStream>, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_MAX {
        return Err(invalid(format!("a body of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

pub(crate) fn write(stream: &mut TcpStream, response: &Response, head_only: bool) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-cache\r\n\r\n",
        response.status,
        if response.status == 200 { "OK" } else { "Error" },
        response.content_type,
        response.body.len(),
    );
    // One write: a client that reads the head alone would wait for a delayed second packet.
    let mut bytes = head.into_bytes();
    if !head_only {
        bytes.extend_from_slice(&response.body);
    }
    stream.write_all(&bytes)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
