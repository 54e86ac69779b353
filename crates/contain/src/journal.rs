//! What a mustering out did and is about to do, line by line: who finishes it after a power cut reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::freeze::Frozen;
use crate::quarantine::Quarantined;

pub const FILE: &str = "journal.jsonl";
/// Longest journal that is read: an agent with a thousand artefacts leaves less than 2 MB.
const READ_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub time_ns: u64,
    #[serde(flatten)]
    pub note: Note,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// First line.
    Asked {
        id: String,
        agent: String,
        until: String,
        by: String,
    },
    /// `begun`, `done`, `failed`, `undone`; the step is one of `Step`, or `watch`, `thaw`, `restore`.
    Step {
        step: String,
        state: String,
        text: String,
    },
    /// What stands still, as soon as it does.
    Frozen {
        frozen: Frozen,
    },
    /// A file is about to be put away as `kept.number` …
    Moving {
        kept: Box<Quarantined>,
    },
    /// … it is, …
    Moved {
        number: u32,
    },
    /// … or it stayed where it was.
    Kept {
        number: u32,
        why: String,
    },
    /// It is about to be put back, and is.
    Restoring {
        number: u32,
    },
    Restored {
        number: u32,
    },
    /// The last line of a mustering out that went as far as it should.
    Finished {
        left: Vec<String>,
    },
}

pub struct Journal {
    file: File,
}

impl Journal {
    pub fn open(folder: &Path) -> io::Result<Journal> {
        let path = folder.join(FILE);
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
        if is_new {
            File::open(folder)?.sync_all()?;
        } else if !ends_with_line(&mut file)? {
            // A power cut in the middle of a line.
            file.write_all(b"\n")?;
        }
        Ok(Journal { file })
    }

    /// On the disk when it returns.
    pub fn write(&mut self, note: Note) -> io::Result<()> {
        self.note(note)?;
        self.file.sync_data()
    }

    /// In the kernel's hands: it outlives this process. What it speaks of does not outlive the kernel either.
    pub fn note(&mut self, note: Note) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { time_ns: now_ns(), note: note.clone() })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        #[cfg(debug_assertions)]
        halt(&note);
        Ok(())
    }
}

/// For tests: the power fails when this is written.
#[cfg(debug_assertions)]
fn halt(note: &Note) {
    let Some(at) = std::env::var_os("MUSTER_TEST_HALT") else { return };
    let name = match note {
        Note::Step { step, state, .. } => format!("{step}:{state}"),
        Note::Moving { .. } => "moving".to_owned(),
        Note::Moved { .. } => "moved".to_owned(),
        _ => return,
    };
    if at == name.as_str() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

fn ends_with_line(file: &mut File) -> io::Result<bool> {
    let mut text = Vec::new();
    file.take(READ_MAX).read_to_end(&mut text)?;
    Ok(text.last().is_none_or(|byte| *byte == b'\n'))
}

pub fn read(folder: &Path) -> io::Result<Vec<Line>> {
    let mut text = Vec::new();
    File::open(folder.join(FILE))?.take(READ_MAX).read_to_end(&mut text)?;
    Ok(lines(&text))
}

/// What is no whole line is passed over.
pub fn lines(text: &[u8]) -> Vec<Line> {
    text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Writes a whole file so that it is there or not.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

pub(crate) fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
