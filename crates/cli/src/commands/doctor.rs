//! `muster doctor`: what this machine lets Muster see and stop, by trying it.

use std::fs;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use muster_sensor::{Config, KernelSensor, cgroup_root};
use serde::Serialize;

use crate::abilities;
use crate::commands::watch::canary_command;
use crate::exit::Exit;

/// How long canaries may take.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Args)]
pub struct Doctor {
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// One line of the answer.
#[derive(Serialize)]
struct Line {
    what: String,
    ok: bool,
    /// What was found, in words.
    found: String,
    /// What that means for what Muster can see or stop.
    means: String,
    /// How to get what is missing; empty where nothing is.
    remedy: String,
    /// Good to have: coverage does not rest on it, and nothing is missing without it.
    extra: bool,
}

impl Line {
    fn new(what: &str, ok: bool, found: impl Into<String>, means: &str, remedy: &str) -> Self {
        let remedy = if ok { "" } else { remedy };
        Self {
            what: what.to_owned(),
            ok,
            found: found.into(),
            means: means.to_owned(),
            remedy: remedy.to_owned(),
            extra: false,
        }
    }
}

impl Doctor {
    pub fn run(self) -> Result<Exit> {
        let mut lines = vec![root(), btf(), cgroup(), seccomp(), landlock(), fanotify(), lsm()];
        lines.extend(probes());
        let mut out = std::io::stdout().lock();
        let colour = !self.json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        for line in &lines {
            if self.json {
                writeln!(out, "{}", serde_json::to_string(line)?)?;
                continue;
            }
            let mark = match (line.ok, line.extra, colour) {
                (true, _, true) => "\x1b[32mok\x1b[0m     ",
                (true, _, false) => "ok     ",
                (false, true, _) => "without",
                (false, false, true) => "\x1b[31mmissing\x1b[0m",
                (false, false, false) => "missing",
            };
            writeln!(out, "{mark} {:<22} {}", line.what, muster_event::sanitize(&line.found))?;
            writeln!(out, "        {:<22} {}", "", line.means)?;
            if !line.remedy.is_empty() {
                writeln!(out, "        {:<22} to get it: {}", "", line.remedy)?;
            }
        }
        let missing = lines.iter().filter(|l| !l.ok && !l.extra).count();
        if !self.json {
            let verdict = if missing == 0 {
                "everything that Muster uses works here".to_owned()
            } else {
                format!("{missing} of {} are missing: coverage is lower by what their lines say", lines.len())
            };
            writeln!(out, "{verdict}")?;
        }
        Ok(if missing == 0 { Exit::Nothing } else { Exit::Findings })
    }
}

fn root() -> Line {
    let ok = rustix::process::geteuid().is_root();
    let found = if ok { "running as root" } else { "not root" };
    let means = if ok {
        "the kernel's record and every agent's account can be read"
    } else {
        "no kernel record: only the presence of agents, and accounts that this user may read"
    };
    Line::new("root", ok, found, means, "start it with sudo")
}

fn btf() -> Line {
    let path = "/sys/kernel/btf/vmlinux";
    let found = match fs::File::open(path) {
        Ok(_) => Ok(format!("{path} can be read")),
        Err(error) => Err(format!("{path}: {error}")),
    };
    Line::new(
        "BTF",
        found.is_ok(),
        found.unwrap_or_else(|e| e),
        "the probes fit themselves to this kernel by it; without it there is no kernel record",
        "a kernel with CONFIG_DEBUG_INFO_BTF, as Debian's are",
    )
}

/// Makes a group and removes it.
fn cgroup() -> Line {
    let tried = cgroup_root().ok_or_else(|| "not mounted".to_owned()).and_then(|root| {
        let path = root.join(format!("muster-doctor-{}", std::process::id()));
        let made = fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()));
        let freezes = path.join("cgroup.freeze").exists();
        let kills = path.join("cgroup.kill").exists();
        drop(fs::remove_dir(&path));
        made.map(|()| format!("{}: groups can be made (freeze: {freezes}, kill: {kills})", root.display()))
    });
    Line::new(
        "cgroup v2",
        tried.is_ok(),
        tried.unwrap_or_else(|e| e),
        "`muster run` gives each agent a group of its own: the sure way to attribute what it does, and to stop all of it",
        "boot with systemd.unified_cgroup_hierarchy=1, as root",
    )
}

fn tried(what: &str, result: Result<String, String>, means: &str, remedy: &str) -> Line {
    Line::new(what, result.is_ok(), result.unwrap_or_else(|error| error), means, remedy)
}

fn seccomp() -> Line {
    tried(
        "seccomp",
        abilities::seccomp(),
        "can hold an enrolled agent's system calls until they are decided",
        "a kernel with CONFIG_SECCOMP_FILTER, 5.0 or later",
    )
}

fn landlock() -> Line {
    tried(
        "Landlock",
        abilities::landlock(),
        "can confine an enrolled agent to folders and ports before it starts",
        "a kernel with CONFIG_SECURITY_LANDLOCK and `landlock` in lsm=",
    )
}

fn fanotify() -> Line {
    tried(
        "fanotify",
        abilities::fanotify(),
        "can hold the opening of files until it is decided",
        "root, and a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS, 5.13 or later",
    )
}

fn lsm() -> Line {
    let list = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let ok = list.split(',').any(|l| l.trim() == "bpf");
    Line::new(
        "BPF LSM",
        ok,
        if ok { "active" } else { "not active" },
        "can refuse acts in the kernel; without it Muster sees them and stops lineages by control group and signal",
        "boot with lsm=…,bpf on a kernel with CONFIG_BPF_LSM, as Debian's are",
    )
}

/// Loads every probe, sends canaries through them, and waits for each to come back.
fn probes() -> Vec<Line> {
    let config = Config { first_seq: 1, keep: Box::new(|_| false), canary: canary_command() };
    let (states, extras) = match KernelSensor::start(config) {
        Err(error) => {
            let text = error.to_string();
            let (found, remedy) =
                text.split_once("\nhint: ").unwrap_or((text.as_str(), "see the lines above"));
            return vec![Line::new(
                "kernel record",
                false,
                found,
                "only the presence of agents is seen, from /proc: no files, no network, nothing short-lived",
                remedy,
            )];
        }
        Ok(mut sensor) => {
            let shows = std::io::stderr().is_terminal();
            let mut dots = 0usize;
            let states = sensor.self_test(PATIENCE, &mut || {
                dots += 1;
                if shows && dots.is_multiple_of(50) {
                    eprint!("\rdoctor: waiting for the canaries {}", ".".repeat(dots / 50));
                }
            });
            if shows {
                eprint!("\r\x1b[K");
            }
            (states, sensor.extras().to_vec())
        }
    };
    let own = |probe: &str| muster_sensor::probe_purpose(probe).unwrap_or("unknown");
    let extras = extras.into_iter().map(|state| {
        let found = state.error.as_deref().unwrap_or("loaded and attached");
        let line = Line::new(
            &format!("extra {}", state.probe),
            state.error.is_none(),
            found,
            &format!("sees {}; without it, only those of the lineages that are followed", own(&state.probe)),
            "boot with lsm=…,bpf on a kernel that lets such programs in (Debian's 6.1 and 6.12 do)",
        );
        Line { extra: true, ..line }
    });
    states
        .into_iter()
        .map(|state| {
            let found = match (&state.error, state.tested) {
                (None, true) => "a canary went through it and came back".to_owned(),
                (None, false) => "loaded and attached; no canary can be sent through it here".to_owned(),
                (Some(error), _) => error.clone(),
            };
            Line::new(
                &format!("probe {}", state.probe),
                state.error.is_none(),
                found,
                &format!("sees {}", own(&state.probe)),
                "a kernel that allows it (Debian's 6.1 and 6.12 do); see `found`",
            )
        })
        .chain(extras)
        .collect()
}
