//! Runs a configured command: as it is given, without a shell, with an environment of its own, and not for ever.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};

const LOOK: Duration = Duration::from_millis(5);
/// Of what it says.
const SAID_MAX: u64 = 400;

pub(crate) fn run(argv: &[String], environment: &[(&str, &str)], limit: Duration) -> Result<(), String> {
    run_as(argv, environment, limit, None).map(drop)
}

/// … as this user and group; gives the beginning of what it says.
pub(crate) fn run_as(
    argv: &[String],
    environment: &[(&str, &str)],
    limit: Duration,
    user: Option<(u32, u32)>,
) -> Result<String, String> {
    let (program, arguments) = argv.split_first().ok_or("no command")?;
    let failed = |error: std::io::Error| format!("`{program}`: {error}");
    // A file, not a pipe: who says much is not held up.
    let output = memfd_create("output", MemfdFlags::CLOEXEC).map(File::from).map_err(|e| failed(e.into()))?;
    let mut command = Command::new(program);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    let mut child = command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(environment.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::from(output.try_clone().map_err(failed)?))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() > limit => {
                drop(child.kill());
                drop(child.wait());
                return Err(format!("`{program}` had not ended after {} s", limit.as_secs()));
            }
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(format!("`{program}`: {error}")),
        }
    };
    if status.success() {
        let mut said = vec![0; SAID_MAX as usize];
        let count = output.read_at(&mut said, 0).unwrap_or(0);
        said.truncate(count);
        return Ok(String::from_utf8_lossy(&said).into_owned());
    }
    let mut said = Vec::new();
    // A child of its own may still hold the pipe: what is there is enough, and it is read only up to a limit.
    if let Some(stderr) = child.stderr.take() {
        let _ = rustix::io::ioctl_fionbio(&stderr, true);
        drop(stderr.take(SAID_MAX).read_to_end(&mut said));
    }
    Err(format!("`{program}` ended with {status}: {}", String::from_utf8_lossy(&said).trim()))
}
