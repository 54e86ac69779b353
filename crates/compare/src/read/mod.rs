//! Other people's logs, read as streams: what is held in memory is one message, never a file.

mod clean;
mod document;
mod loose;
mod sample;
mod table;
mod zip;

use std::io::{self, Read, Seek};

pub use table::{csv, jsonl};

use crate::run::{NAME_MAX, Run};

/// What cannot be read, and why. The name of the file is its reader's to add.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it is torn: {0}")]
    Torn(String),
    #[error("{0}")]
    Refused(String),
    #[error("it is no JSON that an evaluation writes: {0}")]
    Json(String),
    #[error("line {line}: {why}")]
    Line { line: u64, why: String },
    #[error("it cannot be read")]
    Io(#[from] io::Error),
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        match error.classify() {
            serde_json::error::Category::Eof => {
                ReadError::Torn(format!("the file ends in the middle, at line {}", error.line()))
            }
            serde_json::error::Category::Io => ReadError::Io(error.into()),
            serde_json::error::Category::Syntax | serde_json::error::Category::Data => {
                ReadError::Json(error.to_string())
            }
        }
    }
}

/// What is asked of a log.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Which of several scorers gives the outcome; `None`: the first.
    pub scorer: Option<String>,
}

/// What a log said beside its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub lines: Vec<String>,
}

/// Notes of one file.
const NOTES_MAX: usize = 50;

impl Notes {
    pub fn push(&mut self, line: String) {
        if self.lines.len() < NOTES_MAX && !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }
}

pub type Sink<'a> = &'a mut dyn FnMut(Run) -> Result<(), ReadError>;

/// An Inspect log in JSON, or an ATIF trajectory.
pub fn json(reader: impl Read, ask: &Ask, notes: &mut Notes, sink: Sink) -> Result<(), ReadError> {
    document::read(reader, ask, notes, sink)
}

/// Inspect's `.eval`.
pub fn eval(
    file: &mut (impl Read + Seek),
    ask: &Ask,
    notes: &mut Notes,
    sink: Sink,
) -> Result<(), ReadError> {
    let members = zip::members(file)?;
    let mut header = document::Header::default();
    let named = |name: &str| members.iter().find(|m| m.name == name);
    match named("header.json").or(named("_journal/start.json")) {
        Some(member) => {
            header = zip::with_member(file, member, |reader| document::header(reader))?;
            if member.name != "header.json" {
                notes.push("the evaluation was not finished when this was written".to_owned());
            }
        }
        None => notes.push("it has no header: the name of its task is not known".to_owned()),
    }
    header.notes(notes);
    let mut samples = 0;
    for member in members.iter().filter(|m| m.name.starts_with("samples/") && m.name.ends_with(".json")) {
        samples += 1;
        let run = zip::with_member(file, member, |reader| sample::read(reader, &header, ask, notes))
            .map_err(|error| within(&member.name, error))?;
        sink(run)?;
    }
    if samples == 0 {
        notes.push("it has no samples".to_owned());
    }
    Ok(())
}

fn within(member: &str, error: ReadError) -> ReadError {
    match error {
        ReadError::Torn(why) => ReadError::Torn(format!("member `{member}`: {why}")),
        ReadError::Json(why) => ReadError::Json(format!("member `{member}`: {why}")),
        ReadError::Refused(why) => ReadError::Refused(format!("member `{member}`: {why}")),
        ReadError::Io(error) => ReadError::Torn(format!("member `{member}`: {error}")),
        line @ ReadError::Line { .. } => line,
    }
}

/// A name as it is kept.
fn name(text: &str) -> Result<String, ReadError> {
    if text.len() > NAME_MAX {
        return Err(ReadError::Refused(format!("a name has more than {NAME_MAX} bytes")));
    }
    Ok(text.to_owned())
}
