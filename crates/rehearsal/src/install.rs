//! Installs the agents from npm into a folder that all tests share.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::agent::{Agent, Installed};
use crate::run::{find_program, isolated, run};

/// A few hundred megabytes over a slow line.
const PATIENCE: Duration = Duration::from_secs(600);
/// Tells that an installation came to its end.
const MARKER: &str = ".complete";

/// Why an agent cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "skipped: {}", self.reason)
    }
}

/// `MUSTER_AGENTS_DIR`, or `target/agents` of this workspace.
pub fn agents_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("MUSTER_AGENTS_DIR") {
        return folder.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")).join("agents")
}

/// The agent in its pinned version. The first caller installs it, others wait for that.
pub fn install(agent: Agent) -> Result<Installed, Skipped> {
    let skipped = |reason: String| Skipped { reason: format!("{}: {reason}", agent.name()) };
    let all = agents_dir();
    fs::create_dir_all(&all).map_err(|e| skipped(format!("cannot create `{}`: {e}", all.display())))?;
    let all = fs::canonicalize(&all).map_err(|e| skipped(e.to_string()))?;
    let name = format!("{}-{}", agent.name(), agent.version());
    let folder = all.join(&name);
    let lock = File::create(all.join(format!("{name}.lock"))).map_err(|e| skipped(e.to_string()))?;
    lock.lock().map_err(|e| skipped(format!("cannot lock `{name}.lock`: {e}")))?;
    if !folder.join(MARKER).exists() {
        download(agent, &folder).map_err(skipped)?;
    }
    Installed::at(agent, &folder).map_err(|e| skipped(e.to_string()))
}

/// Into an empty folder, without any script of theirs.
fn fetch(packages: &[&str], folder: &Path) -> Result<(), String> {
    let npm = find_program("npm").ok_or("npm is not installed")?;
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(format!("cannot clear `{}`: {e}", folder.display()));
        }
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(folder).map_err(|e| format!("cannot create `{}`: {e}", folder.display()))?;
    // With the user's own settings: the registry, a proxy and a certificate may be in them.
    let mut command = Command::new(npm);
    command.current_dir(folder).args(["install", "--prefix"]).arg(folder).args([
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--fetch-retries=1",
        "--loglevel=error",
    ]);
    command.args(packages);
    finished(command, "npm install").map(drop)
}

fn download(agent: Agent, folder: &Path) -> Result<(), String> {
    fetch(&[&format!("{}@{}", agent.package(), agent.version())], folder)?;
    if let Some(script) = agent.after_install() {
        let package = folder.join("node_modules").join(agent.package());
        let mut command = Command::new(find_program("node").ok_or("node is not installed")?);
        command.current_dir(&package).arg(script);
        finished(command, script)?;
    }
    let installed = Installed::at(agent, folder).map_err(|e| e.to_string())?;
    let mut command = isolated(&installed.program, folder, folder);
    command.arg("--version");
    let version = finished(command, "--version")?;
    if !version.contains(agent.version()) {
        return Err(format!("`--version` says `{}`, not {}", version.trim(), agent.version()));
    }
    fs::write(folder.join(MARKER), version).map_err(|e| e.to_string())
}

/// Runs to a good end, and gives the output; else the end of what it complained about.
fn finished(command: Command, what: &str) -> Result<String, String> {
    let ran = run(command, PATIENCE).map_err(|e| format!("{what}: {e}"))?;
    if ran.success() {
        return Ok(ran.stdout);
    }
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(5)..].join(" | ");
    Err(format!("{what} failed ({}): {end}", ran.status))
}

/// Packages of npm in a folder of their own, e.g. a browser's driver. The first caller installs them, others wait.
pub fn packages(name: &str, packages: &[&str]) -> Result<PathBuf, Skipped> {
    let skipped = |reason: String| Skipped { reason: format!("{name}: {reason}") };
    let all = agents_dir();
    fs::create_dir_all(&all).map_err(|e| skipped(format!("cannot create `{}`: {e}", all.display())))?;
    let folder = fs::canonicalize(&all).map_err(|e| skipped(e.to_string()))?.join(name);
    let lock = File::create(all.join(format!("{name}.lock"))).map_err(|e| skipped(e.to_string()))?;
    lock.lock().map_err(|e| skipped(format!("cannot lock `{name}.lock`: {e}")))?;
    let wanted = packages.join("\n");
    if fs::read_to_string(folder.join(MARKER)).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    fetch(packages, &folder).map_err(skipped)?;
    fs::write(folder.join(MARKER), wanted).map_err(|e| skipped(e.to_string()))?;
    Ok(folder)
}
