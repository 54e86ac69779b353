//! `muster witness`: vouches for the logs of other machines, and says when one goes back on what it signed or falls silent.

use std::fs::{self, DirBuilder};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use muster_event::sanitize;
use muster_ledger::note::{Key, KeyKind, Signer, Verifier};
use muster_ledger::witness::Log;
use muster_server::witness::{Alarm, Limits, Witness as Witnessing, WitnessError, WitnessServer};

use crate::exit::{Exit, usage};
use crate::{Global, secret_file};

/// Folder of the witness within that of Muster.
const FOLDER: &str = "witness";
const KEY: &str = "witness.key";
/// Longest key file, in bytes.
const KEY_MAX: u64 = 1024;
/// Longest file of logs: some thousand keys.
const LOGS_MAX: u64 = 1 << 20;
/// Alarms that may wait for the program that hears of them. What is beyond is told on stderr only.
const ALARMS_MAX: usize = 64;
/// How long that program may take.
const PROGRAM_MAX: Duration = Duration::from_secs(30);
/// How often silence and the signals to stop are looked for.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args)]
pub struct Witness {
    /// Where logs send their checkpoints. Plain HTTP: what is sent is signed, and no secret.
    #[arg(long, default_value = "127.0.0.1:7374", value_name = "ADDR")]
    listen: SocketAddr,
    /// Verifier key of a log to vouch for (repeatable), as `muster key` prints it. Several of one name: while a key is
    /// replaced, either counts.
    #[arg(long, value_name = "VKEY")]
    log: Vec<String>,
    /// File with more of them: one a line, each with the origin of the log behind it where that is not the key's name.
    #[arg(long, value_name = "FILE")]
    logs_file: Option<PathBuf>,
    /// Name of this witness's key, which is made at the first start. Default: HOST/witness.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Report a log from which nothing has come for so long.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    silent_after: u64,
    /// Report a log whose checkpoints come and have been the same for so long: Muster's own grow all the time, so that one
    /// that is stopped cannot be kept alive with its last. 0: never, for logs that may rest.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    unchanged_after: u64,
    /// Program to run at each alarm, with the alarm as JSON on its standard input.
    #[arg(long, value_name = "PROGRAM")]
    on_alarm: Option<PathBuf>,
}

impl Witness {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let logs = self.logs()?;
        if self.silent_after == 0 {
            return Err(usage("--silent-after 0: every log is silent for so long"));
        }
        let dir = global.data.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|error| {
            usage(format!("cannot make `{}`: {error}\nhint: name a folder with --data", dir.display()))
        })?;
        let key = key(&dir, self.name.as_deref())?;
        let vkey = key.verifier().to_string();
        let program = self.on_alarm.clone().map(start_program).transpose()?;
        let count = logs.len();
        let limits = Limits {
            silent_after: Duration::from_secs(self.silent_after),
            unchanged_after: Some(Duration::from_secs(self.unchanged_after)).filter(|limit| !limit.is_zero()),
        };
        let alarm = move |alarm| tell(&alarm, program.as_ref());
        let witness =
            Witnessing::open(&dir, logs, Box::new(key), limits, alarm).map_err(|error| match error {
                WitnessError::Locked { .. } | WitnessError::Damaged { .. } => usage(error.to_string()),
                WitnessError::Io { .. } | WitnessError::Serve { .. } => error.into(),
            })?;
        for (log, folder, cases) in witness.accused() {
            eprintln!(
                "witness: evidence is kept against `{}`: {cases} in `{}`",
                sanitize(&log),
                folder.display()
            );
        }
        let tcp = TcpListener::bind(self.listen).map_err(|error| {
            usage(format!(
                "cannot listen on {}: {error}\nhint: name another address with --listen",
                self.listen
            ))
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot take signals")?;
        }
        let server = WitnessServer::start(witness, tcp).context("cannot serve")?;
        println!("ready url=http://{} key={vkey} logs={count} data={}", server.address(), dir.display());
        std::io::stdout().flush()?;
        while !stop.load(Ordering::Relaxed) {
            server.look();
            thread::sleep(LOOK);
        }
        eprintln!("witness: stopped in good order");
        Ok(Exit::Nothing)
    }

    /// Every log with its keys.
    fn logs(&self) -> Result<Vec<Log>> {
        let mut logs: Vec<Log> = Vec::new();
        for text in &self.log {
            add(&mut logs, text, None)?;
        }
        if let Some(path) = &self.logs_file {
            let wrong = |error: String| usage(format!("`{}`: {error}", path.display()));
            let mut text = String::new();
            let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
            file.take(LOGS_MAX).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
            if text.len() as u64 >= LOGS_MAX {
                return Err(wrong(format!("it is longer than {LOGS_MAX} bytes")));
            }
            let lines = text.lines().map(str::trim).zip(1..);
            for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
                let (key, origin) = line.split_once(' ').map_or((line, None), |(k, o)| (k, Some(o.trim())));
                add(&mut logs, key, origin)
                    .with_context(|| format!("`{}`, line {number}", path.display()))?;
            }
        }
        if logs.is_empty() {
            return Err(usage(
                "there is no log to vouch for\nhint: name its key with --log; `muster key` on its machine prints it",
            ));
        }
        Ok(logs)
    }
}

fn add(logs: &mut Vec<Log>, text: &str, origin: Option<&str>) -> Result<()> {
    let key: Verifier = text.parse().map_err(|error| usage(format!("`{}`: {error}", sanitize(text))))?;
    if key.kind() != KeyKind::Log {
        return Err(usage(format!(
            "`{key}` is the key of a witness\nhint: the key of a log has another number behind its name; `muster key` prints it"
        )));
    }
    let origin = origin.unwrap_or(key.name());
    match logs.iter_mut().find(|log| log.origin == origin) {
        Some(log) if log.keys.contains(&key) => {}
        Some(log) => log.keys.push(key),
        None => logs.push(Log { origin: origin.to_owned(), keys: vec![key] }),
    }
    Ok(())
}

/// The witness's own key; a new one where there is none.
fn key(dir: &Path, name: Option<&str>) -> Result<Key> {
    let path = dir.join(KEY);
    let harm = "with it, others can vouch in this witness's name";
    let key = match secret_file::read(&path, KEY_MAX, harm)? {
        Some(bytes) => {
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            Key::from_secret(text).map_err(|error| {
                usage(format!("`{}`: {error}\nhint: put it back from a copy", path.display()))
            })?
        }
        None => make_key(&path, name)?,
    };
    if key.verifier().kind() != KeyKind::Witness {
        return Err(usage(format!("`{}` is no witness's key", path.display())));
    }
    if let Some(name) = name.filter(|name| *name != key.verifier().name()) {
        return Err(usage(format!(
            "this witness's key has the name `{}`, not `{}`\nhint: another witness needs another folder (--data)",
            key.verifier().name(),
            sanitize(name)
        )));
    }
    Ok(key)
}

fn make_key(path: &Path, name: Option<&str>) -> Result<Key> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host: String = host.trim().chars().filter(plain).take(64).collect();
    let name = name.map_or_else(|| format!("{host}/witness"), str::to_owned);
    let seed = secret_file::random()?;
    let key = Key::new(&name, KeyKind::Witness, &seed).map_err(|error| usage(error.to_string()))?;
    let mut text = key.to_secret();
    text.push('\n');
    secret_file::make(path, text.as_bytes()).with_context(|| format!("cannot make `{}`", path.display()))?;
    eprintln!("witness: its key is {}\nhint: logs and `muster verify --witness` need it", key.verifier());
    Ok(key)
}

fn tell(alarm: &Alarm, program: Option<&SyncSender<Alarm>>) {
    let log = sanitize(&alarm.log);
    let evidence = alarm.evidence.as_ref().map(|path| format!(" (evidence: `{}`)", path.display()));
    eprintln!("witness: {}: `{log}`: {}{}", alarm.alarm, alarm.text, evidence.unwrap_or_default());
    if let Some(program) = program
        && program.try_send(alarm.clone()).is_err()
    {
        eprintln!("witness: more alarms than the program of --on-alarm takes: it is not told of this one");
    }
}

/// One after the other, beside everything else.
fn start_program(program: PathBuf) -> Result<SyncSender<Alarm>> {
    let (sender, alarms) = sync_channel(ALARMS_MAX);
    thread::Builder::new().name("alarms".to_owned()).spawn(move || run_program(&program, &alarms))?;
    Ok(sender)
}

fn run_program(program: &Path, alarms: &Receiver<Alarm>) {
    for alarm in alarms {
        if let Err(error) = run_once(program, &alarm) {
            eprintln!("witness: `{}` was not told of an alarm: {error}", program.display());
        }
    }
}

fn run_once(program: &Path, alarm: &Alarm) -> Result<()> {
    let json = serde_json::to_string(alarm)? + "\n";
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    // Shorter than a pipe is: it does not wait, and who does not read it is asked for an exit code all the same.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(json.as_bytes()));
    let begun = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if begun.elapsed() > PROGRAM_MAX => {
                child.kill()?;
                child.wait()?;
                anyhow::bail!("it took longer than {} s and was ended", PROGRAM_MAX.as_secs());
            }
            None => thread::sleep(LOOK),
        }
    };
    anyhow::ensure!(status.success(), "{status}");
    written.context("it did not read it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vkey(name: &str, kind: KeyKind, seed: u8) -> String {
        Key::new(name, kind, &[seed; 32]).unwrap().verifier().to_string()
    }

    fn witness(log: &[&str], logs_file: Option<PathBuf>) -> Witness {
        Witness {
            listen: "127.0.0.1:0".parse().unwrap(),
            log: log.iter().map(|text| (*text).to_owned()).collect(),
            logs_file,
            name: None,
            silent_after: 30,
            unchanged_after: 60,
            on_alarm: None,
        }
    }

    #[test]
    fn which_logs() {
        let (a, a2, b) = (vkey("a", KeyKind::Log, 1), vkey("a", KeyKind::Log, 2), vkey("b", KeyKind::Log, 3));
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("# logs\n\n{b}  the log of b\n{a2}\n{a}\n")).unwrap();
        let logs = witness(&[&a], Some(file.path().to_owned())).logs().unwrap();
        let found: Vec<_> = logs.iter().map(|log| (log.origin.as_str(), log.keys.len())).collect();
        assert_eq!(found, [("a", 2), ("the log of b", 1)]);
        for bad in ["", "a+00000000+AQ==", &vkey("w", KeyKind::Witness, 1), &a.replace('a', "c")] {
            witness(&[bad], None).logs().unwrap_err();
        }
        assert!(witness(&[], None).logs().unwrap_err().to_string().contains("hint: "));
        fs::write(file.path(), "nonsense\n").unwrap();
        let error = witness(&[], Some(file.path().to_owned())).logs().unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }

    #[test]
    fn its_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = key(folder.path(), Some("witness.example")).unwrap();
        let again = key(folder.path(), None).unwrap();
        assert_eq!(first.verifier(), again.verifier());
        key(folder.path(), Some("another.example")).unwrap_err();
        key(tempfile::tempdir().unwrap().path(), Some("with blank")).unwrap_err();
        assert!(
            key(tempfile::tempdir().unwrap().path(), None).unwrap().verifier().name().ends_with("/witness")
        );
    }

    #[test]
    fn a_program_hears_of_an_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let (program, out) = (folder.path().join("program"), folder.path().join("out"));
        fs::write(&program, format!("#!/bin/sh\ncat > '{}'\n", out.display())).unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let alarm = Alarm {
            time: "2026-01-02T03:04:05.000000000Z".to_owned(),
            log: "a".to_owned(),
            alarm: "silent",
            size: Some(7),
            text: "nothing".to_owned(),
            evidence: None,
        };
        run_once(&program, &alarm).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
        assert_eq!((&said["alarm"], &said["size"]), (&"silent".into(), &7.into()));
        run_once(Path::new("/bin/false"), &alarm).unwrap_err();
        run_once(&folder.path().join("none"), &alarm).unwrap_err();
    }
}
