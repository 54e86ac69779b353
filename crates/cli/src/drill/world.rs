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
            // The question back, as one whose name is not there.
            if let Some(flags) = packet.get_mut(2..4) {
                flags.copy_from_slice(&[0x81, 0x83]);
            }
            drop(names.send_to(packet.get(..read).unwrap_or_default(), from));
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
