//! Places that keep checkpoints without a word: a file, an HTTP endpoint, a git repository.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use muster_ledger::Checkpoint;
use muster_ledger::note::Note;
use muster_ledger::witness::file_name;
use rustix::process::{Pid, Signal, kill_process_group};

use super::group::{Carrier, Failure};
use super::url::Url;
use super::witness::{agent, failure};
use crate::exit::usage;

/// How long a POST may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest time between two commits.
const GIT_EVERY: Duration = Duration::from_secs(60);
/// How long one command of git may take.
const GIT_MAX: Duration = Duration::from_secs(30);
/// Of what git says, in bytes.
const SAID_MAX: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    File(PathBuf),
    Http(Url),
    Git(PathBuf),
}

impl Sink {
    pub fn parse(text: &str) -> Result<Sink> {
        let path = |path: &str| {
            if path.is_empty() { Err(usage("--publish: a path is missing")) } else { Ok(PathBuf::from(path)) }
        };
        match text.split_once(':') {
            Some(("file", rest)) => Ok(Sink::File(path(rest)?)),
            Some(("git", rest)) => Ok(Sink::Git(path(rest)?)),
            Some(("http" | "https", _)) => {
                Ok(Sink::Http(Url::parse(text, "--publish", "http://127.0.0.1:8080/checkpoints")?))
            }
            _ => Err(usage("--publish: it is none of file:PATH, git:PATH and http://…")),
        }
    }

    pub fn carrier(self) -> Box<dyn Carrier> {
        match self {
            Sink::File(path) => Box::new(ToFile { path, last: None }),
            Sink::Http(url) => Box::new(ToHttp { agent: agent(TIMEOUT), url, last: None }),
            Sink::Git(path) => Box::new(ToGit { path, last: None, committed: None, every: GIT_EVERY }),
        }
    }
}

/// What was kept last: the same again is no news.
fn is_new(last: &Option<String>, note: &Note) -> bool {
    last.as_ref() != Some(&note.text)
}

struct ToFile {
    path: PathBuf,
    last: Option<String>,
}

impl Carrier for ToFile {
    fn who(&self) -> String {
        format!("file:{}", self.path.display())
    }

    fn carry(&mut self, note: &Note) -> Result<(), Failure> {
        if is_new(&self.last, note) {
            self.append(note).map_err(|error| Failure::Down(error.to_string()))?;
            self.last = Some(note.text.clone());
        }
        Ok(())
    }
}

impl ToFile {
    /// Each note with an empty line behind it.
    fn append(&self, note: &Note) -> std::io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let before = file.metadata()?;
        let written = file.write_all(format!("{note}\n").as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() && before.is_file() {
            // No half note, where that can be had.
            drop(file.set_len(before.len()));
        }
        written
    }
}

struct ToHttp {
    agent: ureq::Agent,
    url: Url,
    last: Option<String>,
}

impl Carrier for ToHttp {
    fn who(&self) -> String {
        self.url.as_str().to_owned()
    }

    fn carry(&mut self, note: &Note) -> Result<(), Failure> {
        if !is_new(&self.last, note) {
            return Ok(());
        }
        let request = self.agent.post(self.url.as_str()).header("content-type", "text/plain; charset=utf-8");
        let answer = request.send(note.to_string()).map_err(|error| failure(&error))?;
        if !answer.status().is_success() {
            return Err(Failure::Down(format!("status {}", answer.status().as_u16())));
        }
        self.last = Some(note.text.clone());
        Ok(())
    }
}

struct ToGit {
    path: PathBuf,
    last: Option<String>,
    committed: Option<Instant>,
    every: Duration,
}

impl Carrier for ToGit {
    fn who(&self) -> String {
        format!("git:{}", self.path.display())
    }

    fn carry(&mut self, note: &Note) -> Result<(), Failure> {
        if !is_new(&self.last, note) {
            return Ok(());
        }
        let early = self.committed.and_then(|at| self.every.checked_sub(at.elapsed()));
        if let Some(wait) = early.filter(|wait| !wait.is_zero()) {
            return Err(Failure::Later(wait));
        }
        self.commit(note).map_err(Failure::Down)?;
        self.committed = Some(Instant::now());
        self.last = Some(note.text.clone());
        Ok(())
    }
}

impl ToGit {
    fn commit(&self, note: &Note) -> Result<(), String> {
        let checkpoint = Checkpoint::parse(&note.text).map_err(|error| error.to_string())?;
        // Several machines may share a repository.
        let name = file_name(&checkpoint.origin);
        let file = self.path.join(&name);
        let new = self.path.join(format!("{name}.new"));
        File::create(&new)
            .and_then(|mut file| file.write_all(&note.to_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&new, &file))
            .map_err(|error| format!("cannot write `{}`: {error}", file.display()))?;
        git(&self.path, &["add", "--", &name])?;
        // Nothing to commit is no failure: the file may be from before a restart.
        let message = format!("{} entries: {}", checkpoint.head.size, checkpoint.origin);
        if !git(&self.path, &["status", "--porcelain", "--", &name])?.is_empty() {
            git(&self.path, &["commit", "--quiet", "--no-verify", "-m", &message, "--", &name])?;
        }
        let remotes = git(&self.path, &["remote"])?;
        match remotes.lines().next() {
            Some(remote) => git(&self.path, &["push", "--quiet", "--no-verify", remote, "HEAD"]).map(drop),
            None => Ok(()),
        }
    }
}

/// Runs git in that folder and gives what it printed.
fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let what = arguments.first().copied().unwrap_or_default();
    let failed = |error: std::io::Error| format!("git {what}: {error}");
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        // What the folder says is to be run, is not.
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false"])
        .args(["-c", "user.name=Muster", "-c", "user.email=muster@localhost", "-c", "gc.auto=0"])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // With what it starts itself, so that all of it can be ended.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if begun.elapsed() > GIT_MAX => {
                let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                let _ = group.map(|group| kill_process_group(group, Signal::KILL));
                drop(child.wait());
                return Err(format!("git {what}: it took longer than {} s and was ended", GIT_MAX.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    if status.success() {
        return Ok(said(out));
    }
    Err(format!("git {what}: {}", said(errors).trim()))
}

fn said(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What cannot be read was not said.
        drop(pipe.take(SAID_MAX).read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use muster_ledger::Head;
    use muster_ledger::note::{Key, KeyKind, Signer};

    use super::*;

    fn note(size: u64) -> Note {
        let key = Key::new("example.com/log", KeyKind::Log, &[1; 32]).unwrap();
        let head = Head { size, root: [size as u8; 32] };
        Checkpoint::new("example.com/log", head).sign([&key as &dyn Signer]).unwrap()
    }

    #[track_caller]
    fn carry(carrier: &mut dyn Carrier, size: u64) {
        match carrier.carry(&note(size)) {
            Ok(()) => {}
            Err(Failure::Down(why) | Failure::Said(_, why)) => panic!("{why}"),
            Err(Failure::Later(time)) => panic!("only in {time:?}"),
        }
    }

    #[test]
    fn where_to() {
        assert_eq!(Sink::parse("file:/a:b").unwrap(), Sink::File("/a:b".into()));
        assert_eq!(Sink::parse("git:rel").unwrap(), Sink::Git("rel".into()));
        assert!(matches!(Sink::parse("http://127.0.0.1:1/x").unwrap(), Sink::Http(_)));
        for bad in ["", "file:", "git:", "/a", "ftp://x", "http://", "http://u:p@h"] {
            Sink::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn a_file_grows_by_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let mut sink = Sink::File(path.clone()).carrier();
        for size in [1, 1, 2, 2, 2, 3] {
            carry(&mut *sink, size);
        }
        let expected: String = [1, 2, 3].iter().map(|size| format!("{}\n", note(*size))).collect();
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
        let mut sink = Sink::File(folder.path().join("no/such")).carrier();
        assert!(matches!(sink.carry(&note(1)), Err(Failure::Down(_))));
    }

    #[test]
    fn a_repository_is_committed_to_and_pushed() {
        let folder = tempfile::tempdir().unwrap();
        let (bare, repository) = (folder.path().join("bare"), folder.path().join("repository"));
        for path in [&bare, &repository] {
            fs::create_dir(path).unwrap();
        }
        git(&bare, &["init", "--quiet", "--bare"]).unwrap();
        git(&repository, &["init", "--quiet"]).unwrap();
        // A hook must not run.
        let hook = repository.join(".git/hooks/pre-commit");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut sink = ToGit {
            path: repository.clone(),
            last: None,
            committed: None,
            every: Duration::from_millis(300),
        };
        carry(&mut sink, 1);
        assert!(matches!(sink.carry(&note(2)), Err(Failure::Later(_))), "it is not limited");
        carry(&mut sink, 1);
        thread::sleep(sink.every);
        git(&repository, &["remote", "add", "origin", bare.to_str().unwrap()]).unwrap();
        carry(&mut sink, 3);
        assert_eq!(git(&bare, &["rev-list", "--count", "--all"]).unwrap().trim(), "2");
        let shown = git(&bare, &["show", &format!("HEAD:{}", file_name("example.com/log"))]);
        // The branch that a bare repository begins with may have another name.
        if let Ok(shown) = shown {
            assert_eq!(shown, note(3).to_string());
        }
        // A restart: the same file again, nothing to commit.
        let mut again = Sink::Git(repository.clone()).carrier();
        carry(&mut *again, 3);
        fs::remove_dir_all(&bare).unwrap();
        thread::sleep(sink.every);
        assert!(matches!(sink.carry(&note(4)), Err(Failure::Down(_))), "a push that fails is told");
        let mut none = Sink::Git(folder.path().join("none")).carrier();
        assert!(matches!(none.carry(&note(1)), Err(Failure::Down(_))));
    }
}
