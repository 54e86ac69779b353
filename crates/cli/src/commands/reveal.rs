//! `muster reveal`: opens redacted values, one at a time. Who has the key and knows a value finds where it stood and gets
//! its opening; who is given the opening checks it against a text, with nothing else at hand.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use muster_engine::Input;
use muster_event::redact::{Mark, Opening, check, find_marks, open};
use muster_event::sanitize;
use muster_server::case::Case;
use muster_server::{Step, StoreReader};

use crate::exit::{Exit, usage};
use crate::{Global, redaction, secret_file};

/// Longest value: more than the kernel lets one argument have (128 KiB) is never cut out as one.
const VALUE_MAX: u64 = 1 << 20;
/// Places that are told of one by one.
const PLACES_MAX: usize = 100;
/// Bytes of a text file that are looked at together.
const PIECE: usize = 1 << 20;
/// No mark is longer: what may be the beginning of one at the end of a piece is looked at with the next.
const MARK_MAX: usize = 64;

#[derive(Args)]
pub struct Reveal {
    /// Check this opening (JSON, as printed by `muster reveal`) against the marks in a file. Needs no key, no record and
    /// no root; exit code 3: it opens none.
    #[arg(long, requires = "file", value_name = "OPENING")]
    check: Option<PathBuf>,
    /// Look for marks in this text instead of the record.
    #[arg(long = "in", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Reveal the value in this evidence bundle: who checks it sees that value, and no other.
    #[arg(long, requires = "output", conflicts_with_all = ["check", "file"], value_name = "CASE")]
    into: Option<PathBuf>,
    /// The bundle to write.
    #[arg(short, long, requires = "into", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// A value that was cut out somewhere.
#[derive(serde::Serialize)]
pub struct Found {
    pub commitment: String,
    #[serde(flatten)]
    pub opening: Opening,
    /// Marks that it opens.
    pub marks: u64,
    /// Where the first of them stand.
    pub places: Vec<String>,
}

impl Reveal {
    pub fn run(self, global: &Global) -> Result<Exit> {
        if let (Some(case), Some(output)) = (&self.into, &self.output) {
            redaction::use_key_of(&global.data)?;
            return into(case, output);
        }
        match (&self.check, &self.file) {
            (Some(opening), Some(file)) => self.check(opening, file),
            (None, file) => {
                redaction::use_key_of(&global.data)?;
                let value = read_value()?;
                let found = match file {
                    Some(file) => {
                        let mut finder = Finder::new(&value)?;
                        each_mark(file, &mut |mark| finder.mark(mark, || file.display().to_string()))?;
                        finder.found()
                    }
                    None => find_and_open(&global.data, &value)?,
                };
                self.report(&found)
            }
            // Refused by `requires`.
            (Some(_), None) => Err(usage("--check needs --in FILE")),
        }
    }

    fn check(&self, opening: &Path, file: &Path) -> Result<Exit> {
        let text = read_bounded(File::open(opening), VALUE_MAX * 2, &opening.display().to_string())?;
        let shown = opening.display();
        let opening: Opening = serde_json::from_str(&text).map_err(|error| {
            usage(format!("`{shown}` is no opening: {error}\nhint: `muster reveal` prints one"))
        })?;
        let commitment = opening.commitment();
        let (mut marks, mut opened) = (0_u64, 0_u64);
        each_mark(file, &mut |mark| {
            marks += 1;
            opened += u64::from(mark.commitment.is_some_and(|c| check(c, &opening)));
        })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let result = serde_json::json!({"commitment": commitment, "marks": marks, "opened": opened});
            writeln!(out, "{result}")?;
        } else {
            writeln!(out, "opens {opened} of {marks} marks: [redacted:{commitment}]")?;
        }
        Ok(if opened > 0 { Exit::Nothing } else { Exit::Tampered })
    }

    /// The openings are data, where they were found is for people.
    fn report(&self, found: &[Found]) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::json!({ "found": found }))?;
        }
        for found in found.iter().filter(|_| !self.json) {
            let opening = serde_json::json!({
                "commitment": found.commitment, "salt": found.opening.salt, "value": found.opening.value,
            });
            writeln!(out, "{opening}")?;
            eprintln!("reveal: {} marks are this value:", found.marks);
            for place in &found.places {
                eprintln!("  {}", sanitize(place));
            }
            if found.places.len() == PLACES_MAX {
                eprintln!("  and maybe more");
            }
        }
        if found.is_empty() {
            eprintln!("reveal: no mark is this value");
        }
        Ok(if found.is_empty() { Exit::Findings } else { Exit::Nothing })
    }
}

/// Never from the command line, which others can read.
fn read_value() -> Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("reveal: type the value, then Ctrl-D (it is shown as you type; a pipe is safer)");
    }
    let text = read_bounded(Ok(stdin.lock()), VALUE_MAX, "standard input")?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        return Err(usage("no value was given\nhint: give it on standard input: `muster reveal < FILE`"));
    }
    Ok(value.to_owned())
}

fn read_bounded(source: std::io::Result<impl Read>, max: u64, name: &str) -> Result<String> {
    let unreadable = |error: std::io::Error| usage(format!("cannot read `{name}`: {error}"));
    let mut bytes = Vec::new();
    source.and_then(|source| source.take(max + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(usage(format!("`{name}` is longer than {max} bytes: no value is")));
    }
    String::from_utf8(bytes).map_err(|_| usage(format!("`{name}` is no text")))
}

/// Where in the record of this folder the value was cut out. The folder's key must be in use.
pub fn find_and_open(data: &Path, value: &str) -> Result<Vec<Found>> {
    let mut finder = Finder::new(value)?;
    let reader = StoreReader::open(data)?;
    let mut failed = None;
    reader.replay(&mut |step| {
        failed = finder.step(step).err();
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(finder.found()),
    }
}

/// Looks at texts for the marks of one value.
pub struct Finder(Vec<Found>);

impl Finder {
    pub fn new(value: &str) -> Result<Self> {
        // As it is, and as it stands in JSON: a private key has line breaks.
        let json = serde_json::to_string(value)?;
        let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json);
        let mut values: Vec<&str> = vec![value, json];
        values.dedup();
        let found = values.into_iter().map(|value| {
            let opening = open(value).context("no key is in use")?;
            Ok(Found { commitment: opening.commitment(), opening, marks: 0, places: Vec::new() })
        });
        Ok(Finder(found.collect::<Result<_>>()?))
    }

    /// What was found, and nothing of what was not.
    pub fn found(self) -> Vec<Found> {
        self.0.into_iter().filter(|found| found.marks > 0).collect()
    }

    pub fn text(&mut self, text: &str, place: impl Fn() -> String) {
        find_marks(text).iter().for_each(|mark| self.mark(mark, &place));
    }

    fn mark(&mut self, mark: &Mark, place: impl Fn() -> String) {
        for found in self.0.iter_mut().filter(|found| mark.commitment == Some(&found.commitment)) {
            found.marks += 1;
            if found.places.len() < PLACES_MAX {
                let place = place();
                if found.places.last() != Some(&place) {
                    found.places.push(place);
                }
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Input(mut input) => {
                if let Input::Account(record) = &mut *input {
                    let raw = std::mem::take(&mut record.raw);
                    self.text(&String::from_utf8_lossy(&raw), || place(&input));
                }
                self.text(&serde_json::to_string(&*input)?, || place(&input));
            }
            Step::Finding(finding) => {
                self.text(&serde_json::to_string(&*finding)?, || format!("finding {}", finding.id));
            }
            Step::Dropped | Step::Unknown(_) | Step::Damaged(_) => {}
        }
        Ok(())
    }
}

/// Reveals the value on stdin in a bundle.
fn into(path: &Path, output: &Path) -> Result<Exit> {
    let value = read_value()?;
    let mut case = Case::read(path).map_err(|error| usage(error.to_string()))?;
    let openings = Finder::new(&value)?.0.into_iter().map(|found| found.opening);
    // Each: it may have been cut out in more than one form.
    let revealed = openings.filter(|opening| case.reveal(opening.clone())).count();
    if revealed == 0 {
        eprintln!("reveal: nothing in the bundle is this value");
        return Ok(Exit::Findings);
    }
    secret_file::write(output, &case.to_bytes()?)
        .map_err(|error| usage(format!("cannot write `{}`: {error}", output.display())))?;
    eprintln!("reveal: written to `{}`: whoever has it can read this value", output.display());
    Ok(Exit::Nothing)
}

fn place(input: &Input) -> String {
    match input {
        Input::Event(event) => format!("event {}", event.seq),
        Input::Account(record) => format!("account {} at byte {}", record.path, record.offset),
        Input::Enrol(enrol) => format!("enrolment of process {}", enrol.process.pid),
        Input::Snapshot(snapshot) => format!("process {}, there before Muster", snapshot.process.pid),
        Input::Configured { source, .. } => format!("configuration {source}"),
        Input::Opinion(_) => "opinion of a model".to_owned(),
        Input::ArtefactRead(read) => format!("what {} starts", read.path),
        Input::Mandate(note) => format!("what came to be of mandate {}", note.id),
        Input::Gate(note) => format!("a decision of the gate about {}", note.agent),
        Input::Review(review) => format!("a review of finding {}", review.finding),
        Input::Approval(note) => format!("question {}", note.id),
        Input::Hooks(read) => format!("hooks of {}", read.agent),
        Input::Canaries(_) => "the decoys".to_owned(),
        Input::Containment(step) => format!("step {} of {}", step.step, step.id),
        Input::Remembered(it) => format!("what was known of {}", it.state.agent),
        Input::Start(_)
        | Input::Lost(_)
        | Input::Probe { .. }
        | Input::Identified { .. }
        | Input::AccountState { .. }
        | Input::Tick { .. }
        | Input::ClockStep { .. }
        | Input::Stop { .. }
        | Input::Imported(_)
        | Input::Recorded { .. } => "input".to_owned(),
    }
}

/// Calls `visit` with each mark of a file, which may be of any size and need not be text all through.
fn each_mark(path: &Path, visit: &mut dyn FnMut(&Mark)) -> Result<()> {
    let unreadable = |error: std::io::Error| usage(format!("cannot read `{}`: {error}", path.display()));
    marks_of(File::open(path).map_err(unreadable)?, PIECE, visit).map_err(unreadable)
}

fn marks_of(mut source: impl Read, piece: usize, visit: &mut dyn FnMut(&Mark)) -> std::io::Result<()> {
    let mut waiting = Vec::new();
    loop {
        let read = source.by_ref().take(piece as u64).read_to_end(&mut waiting)?;
        // Marks are ASCII: whatever else there is may be replaced.
        let text = String::from_utf8_lossy(&waiting);
        let mut done = 0;
        for mark in find_marks(&text) {
            done = mark.range.end;
            visit(&mark);
        }
        if read == 0 {
            return Ok(());
        }
        let rest = text.get(done..).unwrap_or_default().as_bytes();
        waiting = rest.get(rest.len().saturating_sub(MARK_MAX)..).unwrap_or_default().to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_once_wherever_a_piece_ends() {
        let mark = format!("[redacted:{}]", "Ab1-_".repeat(9).get(..43).unwrap());
        let text = format!("x{mark}{mark}[redacted]é{}{mark}", "y".repeat(100));
        for piece in 1..200 {
            let mut count = 0;
            marks_of(text.as_bytes(), piece, &mut |found| count += usize::from(found.commitment.is_some()))
                .unwrap();
            assert_eq!(count, 3, "{piece}");
        }
        let mut bytes = vec![0xff, 0xfe];
        bytes.extend(mark.as_bytes());
        bytes.push(0xff);
        let mut count = 0;
        marks_of(&*bytes, 7, &mut |_| count += 1).unwrap();
        assert_eq!(count, 1);
    }
}
