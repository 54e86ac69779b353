//! `[drill]` of the configuration: drills at times that nobody is told of, so that it is known whether oversight works on a
//! day like any other. Off unless it is asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_drill::Library;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::exit::usage;

/// In the data folder, unless another is named.
const FILE: &str = "config.toml";
const BYTES_MAX: u64 = 1 << 20;
/// More often it would be load, not a test.
const EVERY_MIN: Duration = Duration::from_secs(60);
/// Results that are kept, about 2 KiB each.
const RESULTS_MAX: u64 = 16 << 20;
const RESULTS: &str = "drills.jsonl";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    drill: Option<Config>,
    /// Read by others.
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    contain: Option<toml::Value>,
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    rules: Option<toml::Value>,
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    notify: Option<toml::Value>,
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    approvals: Option<toml::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// As `30m`, `6h`, `2d`.
    every: String,
    /// Up to this share of it earlier or later.
    #[serde(default = "half")]
    jitter: f64,
    /// Which drills, by chance. None: any.
    #[serde(default)]
    names: Vec<String>,
    /// How many at a time.
    #[serde(default = "one")]
    runs: u16,
}

fn half() -> f64 {
    0.5
}

fn one() -> u16 {
    1
}

impl Config {
    pub fn read(data: &Path, path: Option<&Path>) -> Result<Option<Config>> {
        let file = path.map_or_else(|| data.join(FILE), PathBuf::from);
        let mut text = String::new();
        let shown = file.display();
        match File::open(&file) {
            Ok(open) => {
                open.take(BYTES_MAX)
                    .read_to_string(&mut text)
                    .map_err(|e| usage(format!("cannot read `{shown}`: {e}")))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_none() => return Ok(None),
            Err(error) => return Err(usage(format!("cannot read `{shown}`: {error}"))),
        }
        parse(&text).map_err(|error| {
            usage(format!("`{shown}` is no configuration: {error}\nhint: docs/drills.md tells its fields"))
        })
    }

    fn every(&self) -> Option<Duration> {
        let (number, unit) = self.every.split_at_checked(self.every.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
    }

    /// `chance`: between 0 and 1.
    fn pause(&self, chance: f64) -> Duration {
        let every = self.every().unwrap_or(EVERY_MIN).max(EVERY_MIN);
        every.mul_f64(1.0 + self.jitter * (2.0 * chance - 1.0)).max(EVERY_MIN)
    }
}

fn parse(text: &str) -> Result<Option<Config>, String> {
    let read: Sections = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
    let Some(config) = read.drill else { return Ok(None) };
    if config.every().is_none_or(|every| every < EVERY_MIN) {
        return Err(format!("`drill.every` is `{}`; a minute or more, as `30m`, `6h`, `2d`", config.every));
    }
    if !(0.0..=1.0).contains(&config.jitter) {
        return Err("`drill.jitter` is a share: between 0 and 1".to_owned());
    }
    let library = Library::built_in().map_err(|error| error.to_string())?;
    if let Some(name) = config.names.iter().find(|name| library.scenario(name).is_none()) {
        return Err(format!("`drill.names` has `{name}`, which is no drill"));
    }
    Ok(Some(config))
}

/// A thread that drills until `stop`.
pub fn start(config: Config, data: &Path, stop: &Arc<AtomicBool>) -> Result<()> {
    let (data, stop) = (data.to_owned(), Arc::clone(stop));
    thread::Builder::new().name("drills".to_owned()).spawn(move || {
        loop {
            let wait = config.pause(chance());
            let begun = Instant::now();
            while begun.elapsed() < wait {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_millis(250));
            }
            if let Err(error) = once(&config, &data, &stop) {
                eprintln!(
                    "watch: the drill could not be held: {}",
                    muster_event::sanitize(&format!("{error:#}"))
                );
            }
        }
    })?;
    Ok(())
}

fn chance() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without chance, the middle.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

fn once(config: &Config, data: &Path, stop: &AtomicBool) -> Result<()> {
    let library = Library::built_in()?;
    let names: Vec<String> = match config.names.is_empty() {
        true => library.scenarios.into_iter().map(|scenario| scenario.name).collect(),
        false => config.names.clone(),
    };
    let chosen: Vec<&String> = (0..config.runs)
        .filter_map(|_| names.get((chance() * names.len() as f64) as usize % names.len().max(1)))
        .collect();
    let mut output = tempfile::tempfile()?;
    let mut child = Command::new("/proc/self/exe")
        .args(["drill", "--json", "--jobs", "1", "--data"])
        .arg(data)
        .args(chosen)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(Stdio::null())
        .spawn()?;
    while child.try_wait()?.is_none() {
        if stop.load(Ordering::Relaxed)
            && let Some(pid) = Pid::from_raw(child.id() as i32)
        {
            // It cleans up, and is waited for.
            let _ = kill_process(pid, Signal::TERM);
        }
        thread::sleep(Duration::from_millis(100));
    }
    use std::io::Seek;
    output.rewind()?;
    let mut text = String::new();
    output.take(RESULTS_MAX).read_to_string(&mut text)?;
    for run in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        let word = |name: &str| run.get(name).map(ToString::to_string).unwrap_or_default().replace('"', "");
        // Only now is it told: before, it was to be met like the real thing.
        eprintln!(
            "watch: THIS WAS A DRILL: {} by {}: {}",
            word("drill"),
            word("agents"),
            match run.get("seen").and_then(serde_json::Value::as_bool) {
                Some(true) => format!("seen after {} ms", word("detect_ms")),
                _ => format!("MISSED {}", word("error")),
            }
        );
    }
    let path = data.join(RESULTS);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() > RESULTS_MAX) {
        fs::rename(&path, data.join(format!("{RESULTS}.old")))?;
    }
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, says: &str) {
        let said = parse(text).unwrap_err();
        assert!(said.contains(says), "{said}");
    }

    #[test]
    fn what_a_configuration_may_say() {
        assert!(parse("").unwrap().is_none());
        assert!(parse("[contain]\ndeadman = true").unwrap().is_none());
        // One file holds the sections of all.
        let all = "[contain]\ndeadman = true\n[approvals]\nseconds = 9\n[rules]\n[drill]\nevery = \"6h\"\n\
             [[notify]]\nname = \"a\"\nkind = \"syslog\"\nurl = \"udp://127.0.0.1:9\"\n";
        assert!(parse(all).unwrap().is_some());
        assert!(crate::containment::config::parse(all).unwrap().deadman);
        assert_eq!(crate::notify::config::parse(all).unwrap().len(), 1);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), all).unwrap();
        crate::gate::config::Config::read(folder.path(), None).unwrap();
        let config = parse("[drill]\nevery = \"6h\"\nnames = [\"git-hook\"]").unwrap().unwrap();
        assert_eq!(config.every(), Some(Duration::from_secs(6 * 3_600)));
        assert_eq!(config.pause(0.0), Duration::from_secs(3 * 3_600));
        assert_eq!(config.pause(1.0), Duration::from_secs(9 * 3_600));
        refused("[drill]\nevery = \"5s\"", "a minute or more");
        refused("[drill]\nevery = \"6 hours\"", "a minute or more");
        refused("[drill]\nevery = \"\"", "a minute or more");
        refused("[drill]\nevery = \"6h\"\njitter = 2.0", "between 0 and 1");
        refused("[drill]\nevery = \"6h\"\nnames = [\"nothing\"]", "is no drill");
        refused("[drill]\nevery = \"6h\"\nname = \"git-hook\"", "unknown field");
        refused("[dril]", "unknown field");
    }
}
