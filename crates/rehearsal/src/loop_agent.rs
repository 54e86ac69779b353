//! Agents of nobody's make: a few lines around a model API. And programs that are agents in name only.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::model::Model;
use crate::run::{end, find_program, isolated, wait};

const PYTHON_AGENT: &str = include_str!("loop_agent.py");
const CURL_AGENT: &str = include_str!("loop_agent.sh");

/// A program that was started; it is ended when dropped.
pub struct LoopAgent {
    child: Child,
}

impl LoopAgent {
    fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        Ok(Self { child: command.spawn()? })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Is it still there after a moment in which a program that fails to start would have ended?
    pub fn wait_still_running(&mut self) -> bool {
        std::thread::sleep(Duration::from_millis(300));
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits so long, then ends it: `None`.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait(&mut self.child, patience)
    }
}

impl Drop for LoopAgent {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            end(&mut self.child);
        }
    }
}

/// Writes `agentx.py` into the folder. It takes the model's address and the prompt as arguments.
pub fn plain_agent_script(dir: &Path) -> io::Result<PathBuf> {
    let file = dir.join("agentx.py");
    fs::write(&file, PYTHON_AGENT)?;
    Ok(file)
}

/// `python3 agentx.py`: asks `/v1/chat/completions`, runs what the model wants, until it wants no more.
pub fn plain_agent(dir: &Path, model: &Model, prompt: &str) -> io::Result<LoopAgent> {
    plain_agent_script(dir)?;
    let mut command = isolated(&python()?, dir, dir);
    command.args(["agentx.py", &model.url(), prompt]);
    LoopAgent::start(command)
}

/// The same as a shell script around curl. Commands must do without quotes and backslashes.
pub fn curl_agent(dir: &Path, model: &Model, prompt: &str) -> io::Result<LoopAgent> {
    fs::write(dir.join("agentx.sh"), CURL_AGENT)?;
    let mut command = isolated(Path::new("/bin/bash"), dir, dir);
    command.args(["agentx.sh", &model.url(), prompt]);
    LoopAgent::start(command)
}

/// A python under the name `claude` that sleeps: no agent.
pub fn name_only_claude(dir: &Path) -> io::Result<LoopAgent> {
    renamed_python(dir, "claude")
}

/// A python under the name `langchain-worker` that sleeps: no agent.
pub fn name_only_langchain(dir: &Path) -> io::Result<LoopAgent> {
    renamed_python(dir, "langchain-worker")
}

fn renamed_python(dir: &Path, name: &str) -> io::Result<LoopAgent> {
    let original = python()?;
    let copy = dir.join(name);
    fs::copy(&original, &copy)?;
    let mut command = isolated(&copy, dir, dir);
    // The copy looks for its library where the original has it.
    let prefix = Command::new(&original).args(["-c", "import sys; print(sys.base_prefix)"]).output()?;
    command.env("PYTHONHOME", String::from_utf8_lossy(&prefix.stdout).trim());
    command.args(["-c", "import time; time.sleep(600)"]);
    LoopAgent::start(command)
}

/// The executable itself: `python3` may be a script that looks for it (pyenv).
fn python() -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "python3 is not installed");
    let found = find_program("python3").ok_or_else(missing)?;
    let out = Command::new(found).args(["-c", "import sys; print(sys.executable)"]).output()?;
    fs::canonicalize(String::from_utf8_lossy(&out.stdout).trim())
}
