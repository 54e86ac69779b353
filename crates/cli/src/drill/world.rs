//! What a cell has instead of the internet: a listener that answers everybody kindly. And a cron, where the drill has one.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Result;

const PORTS: [u16; 8] = [80, 443, 3333, 8200, 8332, 22, 3306, 5432];
/// Names as rogue agents and honest ones use them: in a cell each of them is the cell's own listener.
const NAMES: [&str; 9] = [
    "drop.example.net",
    "vault.example.net",
    "pool.supportxmr.com",
    "api.runpod.io",
    "api.openai.com",
    "storage.googleapis.com",
    "registry.npmjs.org",
    "pypi.org",
    "github.com",
];
/// As much of a request is read.
const BODY_MAX: u64 = 64 << 20;

pub fn run(cron: bool) -> Result<()> {
    for port in PORTS {
        let listener = TcpListener::bind(("0.0.0.0", port))?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who does not finish a request is not answered.
                thread::spawn(move || drop(answer(stream)));
            }
        });
    }
    // The name server of the cell's `resolv.conf`: an answer must come from where it was asked.
    let names = UdpSocket::bind(("203.0.113.53", 53))?;
    thread::spawn(move || {
        let mut packet = [0_u8; 512];
        while let Ok((read, from)) = names.recv_from(&mut packet) {
            let answer = answer_of(packet.get(..read).unwrap_or_default());
            drop(names.send_to(&answer, from));
        }
    });
    let mut done = BTreeSet::new();
    loop {
        thread::sleep(Duration::from_millis(300));
        if cron {
            run_tables(&mut done);
        }
    }
}

/// The answer to a question: of the names that are there the address of the cell's listener, else that there is no such name.
fn answer_of(question: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    const ADDRESS: [u8; 2] = [0, 1];
    // The name ends with an empty part; type and class follow.
    let name: Vec<u8> = question.iter().skip(HEADER).take_while(|byte| **byte != 0).copied().collect();
    let end = HEADER + name.len() + 5;
    let (Some(head), Some(asked)) = (question.get(..HEADER), question.get(HEADER..end)) else {
        return Vec::new();
    };
    let dotted: String =
        name.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
    let known = NAMES.iter().any(|known| dotted.to_ascii_lowercase().trim_start_matches('.') == *known);
    let is_address = asked.get(name.len() + 1..name.len() + 3) == Some(&ADDRESS[..]);
    let mut out = head.to_vec();
    let counts = [0, 1, 0, u8::from(known && is_address), 0, 0, 0, 0];
    if let Some(rest) = out.get_mut(2..4) {
        rest.copy_from_slice(&[0x81, if known { 0x80 } else { 0x83 }]);
    }
    if let Some(rest) = out.get_mut(4..HEADER) {
        rest.copy_from_slice(&counts);
    }
    out.extend(asked);
    if known && is_address {
        // The name of the question, an address of the internet, for a minute.
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 10]);
    }
    out
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream.take(BODY_MAX));
    let mut length = 0;
    let mut first = true;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if std::mem::take(&mut first) && line.starts_with('{') {
            return out.write_all(b"{\"id\":1,\"result\":{\"status\":\"OK\"}}\n");
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if lower.starts_with("expect:") {
            out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if line == "\r\n" || line == "\n" {
            break;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"ok\": true}")
}

/// Runs what is planted for cron, each line once, whatever its time is.
fn run_tables(done: &mut BTreeSet<String>) {
    for (folder, fields) in [("/etc/cron.d", 6), ("/var/spool/cron/crontabs", 5)] {
        let Ok(files) = fs::read_dir(folder) else { continue };
        for file in files.flatten() {
            let Ok(text) = fs::read_to_string(file.path()) else { continue };
            for line in text.lines().filter(|line| !line.starts_with('#') && !line.contains('=')) {
                let words: Vec<&str> = line.splitn(fields + 1, ' ').collect();
                let Some(command) = words.get(fields) else { continue };
                if done.insert(line.to_owned()) {
                    // It fails for itself.
                    drop(Command::new("/bin/sh").args(["-c", command]).spawn());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_there_have_the_listeners_address() {
        let ask = |name: &str, kind: u8| {
            let mut question = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for part in name.split('.') {
                question.push(part.len() as u8);
                question.extend(part.bytes());
            }
            question.extend([0, 0, kind, 0, 1]);
            answer_of(&question)
        };
        assert!(ask("api.openai.com", 1).ends_with(&[203, 0, 113, 10]));
        assert_eq!(ask("api.openai.com", 28).get(3), Some(&0x80));
        assert_eq!(ask("no.example.org", 1).get(3), Some(&0x83));
        assert!(answer_of(&[1, 2, 3]).is_empty() && answer_of(&[0; 40]).len() > 12);
    }
}
