//! A record as a stream of bytes: told by its first lines, cut into lines, read in any pieces with the same outcome.

use muster_event::Event;

use crate::muster::Muster;
use crate::parts::Parts;
use crate::strace::Strace;
use crate::warning::{Warning, Warnings};

/// Longest line that is read. `strace -s 65536 -v` prints some hundred kilobytes for a long command line.
const LINE_MAX: usize = 4 * 1024 * 1024;
/// Lines that are looked at to know the form.
const DETECT_LINES: usize = 64;

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Strace,
    /// `muster events --json`.
    Events,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Strace => "strace",
            Form::Events => "muster events",
        }
    }
}

/// Why this is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The lines have no date: nothing can be put in order with an account.
    NoDates,
    Unknown,
}

/// What the reader is told by whoever knows.
#[derive(Clone)]
pub struct Options {
    /// Reads of such files are recorded; of others they are not.
    pub is_sensitive: fn(&str) -> bool,
    /// Variables of an environment that are kept.
    pub is_marker: fn(&str) -> bool,
    /// Where the first process works, if the record does not say.
    pub cwd: Option<String>,
}

enum Reader {
    Strace(Box<Strace>),
    Events(Box<Muster>),
}

pub struct Record {
    reader: Reader,
    waiting: Vec<u8>,
    /// The line in hand is too long: the rest of it is passed by.
    passing: bool,
    warnings: Warnings,
}

/// The form of a text that begins so.
pub fn detect(head: &[u8]) -> Result<Form, Unreadable> {
    let mut dateless = false;
    for line in head.split(|b| *b == b'\n').take(DETECT_LINES) {
        let line = String::from_utf8_lossy(line);
        if line.starts_with('{') {
            let value: Result<serde_json::Value, _> = serde_json::from_str(&line);
            let is_event = value
                .is_ok_and(|v| v.get("seq").is_some() && v.get("kind").is_some() && v.get("pid").is_some());
            return if is_event { Ok(Form::Events) } else { Err(Unreadable::Unknown) };
        }
        match crate::line::parse(&line) {
            Ok(parsed) if parsed.time_ns > 0 => return Ok(Form::Strace),
            Ok(_) | Err(crate::line::NoLine::Form) => {}
            Err(crate::line::NoLine::Time) => dateless = true,
        }
    }
    Err(if dateless { Unreadable::NoDates } else { Unreadable::Unknown })
}

impl Record {
    pub fn new(form: Form, options: Options) -> Self {
        let reader = match form {
            Form::Strace => Reader::Strace(Box::new(Strace::new(options))),
            Form::Events => Reader::Events(Box::default()),
        };
        Self { reader, waiting: Vec::new(), passing: false, warnings: Warnings::default() }
    }

    /// The events that these bytes complete. They have no number yet (`seq` 0), and no boot time of their own.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut out = Vec::new();
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.passing) {
                self.warnings.add(Warning::LongLine, 1);
                continue;
            }
            if self.waiting.is_empty() {
                self.line(line, &mut out);
            } else {
                let mut whole = std::mem::take(&mut self.waiting);
                whole.extend_from_slice(line);
                self.line(&whole, &mut out);
            }
        }
        if !self.passing {
            self.waiting.extend_from_slice(rest);
            if self.waiting.len() > LINE_MAX {
                self.waiting = Vec::new();
                self.passing = true;
            }
        }
        out
    }

    /// Nothing follows: what waited is given.
    pub fn finish(&mut self) -> Vec<Event> {
        let mut out = Vec::new();
        if std::mem::take(&mut self.passing) {
            self.warnings.add(Warning::LongLine, 1);
        }
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() {
            // A whole line may lack its line feed; a torn one is counted.
            let before = self.inner_warnings();
            self.line(&rest, &mut out);
            if self.inner_warnings() != before {
                self.warnings.add(Warning::TornEnd, 1);
            }
        }
        if let Reader::Strace(strace) = &mut self.reader {
            strace.finish(&mut out);
        }
        out
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<Event>) {
        if line.len() > LINE_MAX {
            return self.warnings.add(Warning::LongLine, 1);
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        match &mut self.reader {
            Reader::Strace(strace) => strace.line(text, out),
            Reader::Events(muster) => muster.line(text, out),
        }
    }

    fn inner_warnings(&self) -> u64 {
        match &self.reader {
            Reader::Strace(strace) => strace.warnings.lost(),
            Reader::Events(muster) => muster.warnings.lost(),
        }
    }

    /// What was odd so far.
    pub fn warnings(&self) -> Warnings {
        let (inner, forgotten) = match &self.reader {
            Reader::Strace(strace) => (&strace.warnings, strace.table.forgotten),
            Reader::Events(muster) => (&muster.warnings, muster.table.forgotten),
        };
        let mut all = self.warnings.clone();
        for (warning, count) in inner.iter() {
            all.add(warning, count);
        }
        if forgotten > 0 {
            all.add(Warning::TooMany, forgotten);
        }
        all
    }

    /// Which acts it can show, by what was seen so far.
    pub fn parts(&self) -> Parts {
        match &self.reader {
            Reader::Strace(strace) => strace.parts.clone(),
            Reader::Events(muster) => {
                let mut parts = Parts::all();
                parts.arguments_cut = muster.warnings.get(Warning::CutArguments) > 0;
                parts
            }
        }
    }

    /// Lines that were understood so far.
    pub fn lines(&self) -> u64 {
        match &self.reader {
            Reader::Strace(strace) => strace.lines,
            Reader::Events(muster) => muster.lines,
        }
    }
}
