//! `muster signer`: holds the log's key, in a process of another user, and signs only what continues what it signed.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use muster_ledger::note::{Key, Signer, Verifier};
use muster_ledger::signing::{Answer, Memory, Request};
use muster_ledger::witness::Refusal;
use rustix::fs::{FlockOperation, flock};
use rustix::net::sockopt::socket_peercred;

use super::watch::listen_unix;
use crate::exit::{Exit, usage};
use crate::log_key;
use crate::secret_file;
use crate::signer::{ANSWER_MAX, read_all};

/// Longest memory, in bytes: a name of 255 bytes and a head.
const MEMORY_MAX: u64 = 1024;
const HARM: &str = "what it remembers is all that keeps it from signing two histories";

#[derive(Args)]
pub struct SignerCommand {
    /// Where the daemon asks: a unix socket, which is made.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// File of the key. It is made where there is none; beside it is kept what was signed last.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Name of the log, for a new key. Default: one that no other log has.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Another user than root who may ask.
    #[arg(long, value_name = "UID")]
    allow_uid: Vec<u32>,
    /// Mode of the socket, octal.
    #[arg(long, default_value = "660", value_parser = mode, value_name = "MODE")]
    mode: u32,
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "it is no mode, such as 660".to_owned())
}

impl SignerCommand {
    pub fn run(self) -> Result<Exit> {
        // Nobody reads the key out of this process's memory, but root.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        let mut keys = Keys::open(&self.key, self.name.as_deref())?;
        let listener = listen_unix(&self.socket, self.mode)?;
        println!("ready socket={} key={}", self.socket.display(), keys.present.verifier());
        std::io::stdout().flush()?;
        let mut told = String::new();
        loop {
            let (mut stream, _) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    tell(&mut told, format!("cannot take a question: {error}"));
                    // Out of file descriptors, most likely: not in a circle as fast as can be.
                    std::thread::sleep(ANSWER_MAX / 20);
                    continue;
                }
            };
            match socket_peercred(&stream).map(|peer| peer.uid.as_raw()) {
                Ok(uid) if uid == 0 || self.allow_uid.contains(&uid) => {}
                Ok(uid) => {
                    tell(&mut told, format!("user {uid} asked, and may not"));
                    continue;
                }
                Err(_) => continue,
            }
            if let Err(error) = serve(&mut stream, &mut keys, &mut told) {
                tell(&mut told, format!("a question was not put or its answer not taken: {error}"));
            }
        }
    }
}

/// Once, however often it is so.
fn tell(told: &mut String, text: String) {
    if *told != text {
        eprintln!("signer: {text}");
        *told = text;
    }
}

/// One question, one answer; those who ask are few, and wait for each other.
fn serve(stream: &mut UnixStream, keys: &mut Keys, told: &mut String) -> std::io::Result<()> {
    let request = read_all(stream, Instant::now() + ANSWER_MAX)?;
    let answer = match Request::parse(&request) {
        Ok(request) => keys.answer(request),
        Err(error) => Answer::Refused(error.to_string()),
    };
    if let Answer::Refused(why) = &answer {
        tell(told, format!("refused: {}", muster_event::sanitize(why)));
    }
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.write_all(&answer.to_bytes())
}

/// The keys, and what they signed.
struct Keys {
    path: PathBuf,
    memory: Memory,
    present: Key,
    before: Option<Key>,
    /// Two processes with one key could sign two histories.
    _lock: File,
}

impl Keys {
    fn open(path: &Path, name: Option<&str>) -> Result<Keys> {
        let lock = lock(&beside(path, "lock"))?;
        finish_rotation(path)?;
        let memory_path = beside(path, "signed");
        let memory = secret_file::read(&memory_path, MEMORY_MAX, HARM)?;
        let memory = memory
            .map(|bytes| {
                Memory::parse(&bytes).map_err(|error| {
                    usage(format!("`{}` is damaged: {error}\n{HINT}", memory_path.display()))
                })
            })
            .transpose()?;
        let (memory, present) = match (memory, load(path)?) {
            (Some(memory), Some(key)) => (memory, key),
            (None, Some(_)) => {
                return Err(usage(format!(
                    "`{}` is gone: nobody knows what `{}` signed last\n{HINT}",
                    memory_path.display(),
                    path.display()
                )));
            }
            (Some(memory), None) if memory.head.size > 0 => {
                return Err(usage(format!(
                    "`{}` is gone, and `{}` says that it has signed\n{HINT}",
                    path.display(),
                    memory_path.display()
                )));
            }
            (_, None) => {
                let name = name.map_or_else(log_key::new_name, |name| Ok(name.to_owned()))?;
                // Before the key: a key without a memory is one whose memory was taken away.
                let memory = Memory::new(&name);
                secret_file::write(&memory_path, &memory.to_bytes())
                    .with_context(|| format!("cannot write `{}`", memory_path.display()))?;
                (memory, log_key::make(path, &name)?)
            }
        };
        let own = present.verifier().name();
        if memory.origin != own || name.is_some_and(|name| name != own) {
            return Err(usage(format!(
                "`{}` is the key of the log `{own}`, not of `{}`",
                path.display(),
                name.unwrap_or(&memory.origin)
            )));
        }
        let before = load(&beside(path, "before"))?.filter(|key| key.verifier().name() == own);
        Ok(Keys { path: path.to_owned(), memory, present, before, _lock: lock })
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.present).chain(&self.before)
    }

    fn by_id(&self, id: [u8; 4]) -> Result<&Key, String> {
        self.all().find(|key| key.verifier().id() == id).ok_or_else(|| "no such key is here".to_owned())
    }

    fn answer(&mut self, request: Request) -> Answer {
        let done = match request {
            Request::Keys => Ok(self.keys()),
            Request::Head { by, old, proof, checkpoint } => {
                match self.memory.decide(old, &proof, &checkpoint) {
                    Ok(head) => self.remember(head).and_then(|()| {
                        let signature = self.by_id(by)?.sign(checkpoint.text().as_bytes())?;
                        Ok(Answer::Signature(signature))
                    }),
                    Err(Refusal::Moved { known }) => Ok(Answer::Moved { size: known }),
                    Err(Refusal::Unknown) => {
                        Err(format!("this is the key of the log `{}`", self.memory.origin))
                    }
                    Err(refusal) => Err(format!(
                        "`{}` of {} entries, after {}: {refusal}",
                        checkpoint.origin, checkpoint.head.size, self.memory.head.size
                    )),
                }
            }
            Request::Rotation { by, old, new } => self.sign_rotation(by, &old, &new).map(Answer::Signature),
            Request::Rotate => self.rotate().map(|()| self.keys()),
            Request::Retire => self.retire().map(|()| self.keys()),
        };
        done.unwrap_or_else(Answer::Refused)
    }

    fn keys(&self) -> Answer {
        let keys = self.all().map(|key| key.verifier().clone()).collect();
        Answer::Keys { size: self.memory.head.size, keys }
    }

    /// On the disk before anybody has the signature.
    fn remember(&mut self, head: muster_ledger::Head) -> Result<(), String> {
        if head == self.memory.head {
            return Ok(());
        }
        let memory = Memory { head, ..self.memory.clone() };
        let path = beside(&self.path, "signed");
        secret_file::write(&path, &memory.to_bytes())
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        self.memory = memory;
        Ok(())
    }

    /// A key of its own may take any key's place; none but a key of its own takes the place of its keys. Otherwise whoever
    /// may ask could make a key that signs anything the successor of this one.
    fn sign_rotation(&self, by: [u8; 4], old: &Verifier, new: &Verifier) -> Result<[u8; 64], String> {
        let key = self.by_id(by)?;
        let present = self.present.verifier();
        let own = key.verifier();
        if old.name() != new.name() || new != present || !(own == present || own == old) {
            return Err("only for the key that signs now does one of these keys make room".to_owned());
        }
        key.sign(&muster_server::log::rotation_message(&old.to_string(), &new.to_string()))
    }

    fn rotate(&mut self) -> Result<(), String> {
        if self.before.is_some() {
            return Err("the last rotation is not over".to_owned());
        }
        log_key::make(&beside(&self.path, "next"), &self.memory.origin)
            .map_err(|error| format!("{error:#}"))?;
        let reload = || -> Result<(Key, Option<Key>)> {
            fs::hard_link(&self.path, beside(&self.path, "before"))?;
            finish_rotation(&self.path)?;
            let present = load(&self.path)?.context("the new key is gone")?;
            Ok((present, load(&beside(&self.path, "before"))?))
        };
        (self.present, self.before) = reload().map_err(|error| format!("{error:#}"))?;
        eprintln!("signer: a new key signs: {}", self.present.verifier());
        Ok(())
    }

    fn retire(&mut self) -> Result<(), String> {
        if self.before.is_none() {
            return Err("no key from before a rotation is here".to_owned());
        }
        let path = beside(&self.path, "before");
        fs::remove_file(&path)
            .and_then(|()| secret_file::sync_folder(&path))
            .map_err(|error| format!("cannot remove `{}`: {error}", path.display()))?;
        self.before = None;
        eprintln!("signer: the key before the last rotation is gone");
        Ok(())
    }
}

const HINT: &str = "hint: put it back from a copy, or move both away: a new key is made, for a new log or as the next key of \
     this one (`--name`)";

fn load(path: &Path) -> Result<Option<Key>> {
    log_key::load(path)
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

fn lock(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| usage(format!("cannot open `{}`: {error}", path.display())))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| usage(format!("another process signs with this key: it holds `{}`", path.display())))?;
    Ok(file)
}

/// Carries out a rotation from where it stands: the old key has its second name, so the new one may take the first. Before
/// that it never began.
fn finish_rotation(path: &Path) -> Result<()> {
    let (next, before) = (beside(path, "next"), beside(path, "before"));
    let done = if before.exists() { fs::rename(&next, path) } else { fs::remove_file(&next) };
    match done {
        Ok(()) => secret_file::sync_folder(path).context("cannot change the key"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot move `{}`", next.display())),
    }
}
