//! The keeper of one run: makes its cell, starts what is in it, and ends it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{SECONDS_MAX, Spec, cell, clean};
use crate::client;

/// The one path for programs: nothing of the user's.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

pub fn read(path: &Path) -> Result<Spec> {
    let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Until standard input ends (the drill is done, or gone), or the time is up.
pub fn keep(path: &Path) -> Result<()> {
    let spec = read(path)?;
    clean::check_uid(spec.uid)?;
    // A person's Ctrl-C is the drill's to hear: this one goes on until it has cleaned up.
    let _ = rustix::process::setsid();
    let kept = start(&spec);
    if kept.is_ok() {
        let (sender, ended) = channel();
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            drop(std::io::stdin().lock().read_to_end(&mut rest));
            // The other end waits for nothing else.
            let _ = sender.send(());
        });
        match ended.recv_timeout(Duration::from_secs(SECONDS_MAX)) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    clean::end(&spec);
    let _ = nix::mount::umount2(&spec.root, nix::mount::MntFlags::MNT_DETACH);
    // Not this run's last word: the drill, and the next one, look again.
    drop(clean::remove(&spec));
    kept
}

fn start(spec: &Spec) -> Result<()> {
    cell::enter(spec)?;
    let program = spec.harness().join("muster");
    let uid = spec.companion_uid();
    let quiet = |command: &mut Command| {
        command.env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    };
    let mut world = Command::new(&program);
    quiet(&mut world);
    world.arg("drill-world").args(spec.cron.then_some("--cron")).uid(uid).gid(uid).stderr(Stdio::null());
    world.spawn().context("cannot start the drill's world")?;
    let mut companion = Command::new("/bin/sh");
    quiet(&mut companion);
    let tick = spec.root.join("companion/tick");
    companion.args(["-c", "i=0; while :; do i=$((i+1)); echo $i > \"$1\"; sleep 0.3; done", "companion"]);
    companion.arg(tick).uid(uid).gid(uid).stderr(Stdio::null());
    let companion = companion.spawn().context("cannot start the companion")?;
    wait_for_world();
    let mut agent = Command::new(&program);
    quiet(&mut agent);
    agent.arg("drill-start").arg(spec.path()).current_dir(spec.work());
    let agent = agent.spawn().context("cannot start the agent")?;
    println!("{} {}", agent.id(), companion.id());
    std::io::stdout().flush()?;
    Ok(())
}

/// Until the world listens.
fn wait_for_world() {
    for _ in 0..100 {
        if std::net::TcpStream::connect("127.0.0.1:80").is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The launcher: enrols itself where the drill has a mandate, gives up root and becomes the agent.
pub fn launch(path: &Path) -> Result<()> {
    let spec = read(path)?;
    clean::check_uid(spec.uid)?;
    cell::join_groups(&spec.id)?;
    let agent = spec.harness().join("agent");
    let play = spec.root.join("play.json");
    // The daemon's folder as the machine has it: a cell has a `/tmp` of its own.
    let root = format!("/proc/{}/root", spec.drill.pid);
    let data = Path::new(&root).join(spec.data.strip_prefix("/").unwrap_or(&spec.data));
    let mut id = String::new();
    if spec.mandate {
        let answer = client::enrol(
            &data,
            &serde_json::json!({
                "principal": "muster drill",
                "label": spec.label,
                "command": [agent.to_string_lossy(), play.to_string_lossy()],
            }),
        )?;
        id = answer.get("agent").and_then(|a| a.as_str()).unwrap_or_default().to_owned();
    }
    cell::give_up(spec.uid)?;
    let mut command = Command::new(&agent);
    command.arg(play).env_clear().env("PATH", PATH).env("HOME", spec.home()).env("USER", "drill");
    command.env("LANG", "C.UTF-8").env("MUSTER_AGENT", id).current_dir(spec.work());
    Err(command.exec()).with_context(|| format!("cannot become `{}`", agent.display()))
}
