//! Starts a program cut off from this user's settings, and waits for it, but not for ever.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub pid: u32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot prepare the run")]
    Prepare(#[source] io::Error),
    #[error("cannot start `{program}`")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("`{program}` still ran after {} s; it was ended\nstdout: {stdout}\nstderr: {stderr}", patience.as_secs())]
    TooLong { program: String, patience: Duration, stdout: String, stderr: String },
}

/// Runs to the end, with the output kept. A background process that keeps the output open does not hold it up.
pub fn run(mut command: Command, patience: Duration) -> Result<Ran, RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let output = || tempfile::tempfile().map_err(RunError::Prepare);
    let (out, err) = (output()?, output()?);
    let twin = |file: &File| file.try_clone().map_err(RunError::Prepare);
    command.stdin(Stdio::null()).stdout(twin(&out)?).stderr(twin(&err)?).process_group(0);
    let mut child = command.spawn().map_err(|source| RunError::Start { program: program.clone(), source })?;
    let ended = wait(&mut child, patience);
    let (stdout, stderr) = (text(out), text(err));
    match ended {
        Some(status) => Ok(Ran { status, pid: child.id(), stdout, stderr, took: started.elapsed() }),
        None => Err(RunError::TooLong { program, patience, stdout, stderr }),
    }
}

/// Waits so long, then ends the program and its process group.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if started.elapsed() > patience {
            end(child);
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Ends a program that leads a process group, and the group.
pub(crate) fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    drop(child.kill());
    drop(child.wait());
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    drop(file.rewind().and_then(|()| file.read_to_end(&mut bytes)));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command with an environment of its own: nothing of this user's, nothing of an agent that runs the tests.
pub(crate) fn isolated(program: &Path, dir: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().envs([
        ("PATH", path().as_str()),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
        ("USER", "rehearsal"),
        ("SHELL", "/bin/bash"),
        ("PWD", &dir.to_string_lossy()),
    ]);
    command.env("HOME", home);
    command
}

/// The system's folders, and the one that has node.
fn path() -> String {
    let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    match find_program("node").as_deref().and_then(Path::parent) {
        Some(folder) if !system.split(':').any(|known| folder == Path::new(known)) => {
            format!("{}:{system}", folder.display())
        }
        Some(_) | None => system.to_owned(),
    }
}

pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = isolated(Path::new("/bin/sh"), Path::new("/"), Path::new("/"));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_are_kept() {
        let ran = run(sh("echo out; echo err >&2; exit 3"), Duration::from_secs(10)).unwrap();
        assert_eq!(
            (ran.status.code(), ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(3), "out\n", "err\n")
        );
    }

    #[test]
    fn what_takes_too_long_is_ended_with_its_children() {
        let error = run(sh("echo begun; sleep 60 & wait"), Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("begun"), "{error}");
    }

    #[test]
    fn a_background_process_holds_nothing_up() {
        let ran = run(sh("sleep 2 & echo $!"), Duration::from_secs(10)).unwrap();
        assert!(ran.took < Duration::from_secs(1));
    }
}
