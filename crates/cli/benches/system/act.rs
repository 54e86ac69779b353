//! What measured processes do: this program again, under another first argument.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub const WORD: &str = "act";
/// Files that are written again and again: the file system itself is not measured.
const FILES: u64 = 512;

pub fn command(arguments: &[&str]) -> Vec<String> {
    let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    [own, WORD.to_owned()].into_iter().chain(arguments.iter().map(|a| (*a).to_owned())).collect()
}

pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

pub fn act(arguments: &[String]) {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match words.as_slice() {
        ["getppid", count] => timed(number(count), |_| {
            std::hint::black_box(rustix::process::getppid());
        }),
        ["read", path, count] => timed(number(count), |_| drop(File::open(path).unwrap())),
        ["write", path, count] => {
            timed(number(count), |_| drop(OpenOptions::new().write(true).open(path).unwrap()));
        }
        ["exec", count] => timed(number(count), |_| {
            assert!(Command::new("/bin/true").status().unwrap().success());
        }),
        ["files", dir, rate, seconds, threads] => {
            files(Path::new(dir), number(rate), number(seconds), number(threads));
        }
        ["count", dir, count, rate] => count_files(Path::new(dir), number(count), number(rate)),
        ["tamper", data, count] => tamper(Path::new(data), number(count)),
        ["post", address] => post(address),
        ["transcripts", dir, bytes] => drop(crate::transcripts::write(Path::new(dir), number(bytes))),
        _ => panic!("no act {words:?}"),
    }
}

/// Prints nanoseconds per round.
fn timed(count: u64, mut round: impl FnMut(u64)) {
    let begun = Instant::now();
    (0..count).for_each(&mut round);
    println!("{}", begun.elapsed().as_nanos() as f64 / count as f64);
}

fn prepared(dir: &Path) -> Vec<PathBuf> {
    fs::create_dir_all(dir).unwrap();
    let paths: Vec<PathBuf> = (0..FILES).map(|n| dir.join(format!("module-{n:03}.rs"))).collect();
    for path in &paths {
        File::create(path).unwrap();
    }
    paths
}

/// One act that is recorded: mostly an open for writing, sometimes a rename or a change of mode.
fn file_act(paths: &[PathBuf], n: u64) {
    let path = &paths[(n % FILES) as usize];
    match n % 8 {
        6 => fs::rename(path, path).unwrap(),
        7 => fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
        _ => drop(OpenOptions::new().write(true).open(path).unwrap()),
    }
}

/// Acts at a pace (0: as fast as it goes) until the time is over. Prints how many.
fn files(dir: &Path, rate: u64, seconds: u64, threads: u64) {
    let done = AtomicU64::new(0);
    let folders: Vec<Vec<PathBuf>> = (0..threads).map(|t| prepared(&dir.join(format!("t{t}")))).collect();
    let begun = Instant::now();
    let length = Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for paths in &folders {
            scope.spawn(|| {
                let mut n = 0;
                while begun.elapsed() < length {
                    if rate > 0 && n as f64 > begun.elapsed().as_secs_f64() * rate as f64 / threads as f64 {
                        std::thread::sleep(Duration::from_micros(300));
                        continue;
                    }
                    for _ in 0..16 {
                        file_act(paths, n);
                        n += 1;
                    }
                }
                done.fetch_add(n, Ordering::Relaxed);
            });
        }
    });
    let elapsed = begun.elapsed().as_secs_f64();
    // Preparing made each file once.
    println!("{} {elapsed}", done.load(Ordering::Relaxed) + threads * FILES);
}

/// Waits for a line, acts so often, says so, and lives on until its input ends.
fn count_files(dir: &Path, count: u64, rate: u64) {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let paths = prepared(dir);
    let begun = Instant::now();
    for n in 0..count.saturating_sub(FILES) {
        if n % 64 == 0 {
            let due = Duration::from_secs_f64(n as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        file_act(&paths, n);
    }
    println!("done");
    let mut rest = Vec::new();
    std::io::stdin().lock().read_to_end(&mut rest).unwrap();
}

/// Writes into the daemon's own folder at odd moments. Prints when.
fn tamper(data: &Path, count: u64) {
    let mut out = std::io::stdout().lock();
    for n in 0..count {
        // Neither in step with the daemon's rounds nor with its commits.
        std::thread::sleep(Duration::from_micros(40_000 + n * 7_919 % 61_000));
        let at = now_ns();
        drop(File::create(data.join(format!("tamper-{n}"))).unwrap());
        writeln!(out, "tamper-{n} {at}").unwrap();
    }
}

/// Asks a model, as an agent of nobody's make does. Prints when.
fn post(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let body = "{\"model\":\"m\",\"messages\":[]}";
    // One packet: as HTTP clients send it.
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let at = now_ns();
    stream.write_all(request.as_bytes()).unwrap();
    println!("{at}");
    let mut answer = [0u8; 256];
    let _ = stream.read(&mut answer);
    // It lives until it was seen: its parent ends it.
    let mut rest = Vec::new();
    std::io::stdin().lock().read_to_end(&mut rest).unwrap();
}

pub fn spawn_piped(mut command: Command) -> std::process::Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}
