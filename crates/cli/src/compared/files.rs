//! Runs in files: what a file is shows its content, not its name, where that can be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::ProgressBar;
use muster_compare::read::{self, Notes, ReadError};
use muster_compare::run::SUCCESS;
use muster_compare::set::Set;

use super::{Reading, push};
use crate::exit::usage;

/// Files of one side.
const FILES_MAX: usize = 100_000;
/// Bytes at a file's head that say what it is.
const HEAD: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Eval,
    Json,
    Jsonl,
    Csv,
}

/// A reader that tells the bar how far it is.
struct Counted<'a, R> {
    inner: R,
    bar: &'a ProgressBar,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}

impl<R: Seek> Seek for Counted<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }
}

fn form(path: &Path) -> std::io::Result<Form> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    let name = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if head.starts_with(b"PK") || name == "eval" {
        return Ok(Form::Eval);
    }
    let begins_object = head.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    Ok(match (name.as_str(), begins_object) {
        ("jsonl" | "ndjson", _) => Form::Jsonl,
        ("csv", _) => Form::Csv,
        (_, true) => Form::Json,
        (_, false) => Form::Csv,
    })
}

/// Files of a folder that may be logs, in the order of their names.
fn list(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut out = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // Links are not followed: they may lead in a circle.
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let name = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
                if matches!(name, "eval" | "json" | "jsonl" | "ndjson" | "csv") && out.len() < FILES_MAX {
                    out.push(path);
                }
            }
        }
    }
    out.sort();
    Ok(out)
}

pub fn bytes(path: &Path) -> u64 {
    let files = list(path).unwrap_or_default();
    files.iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

pub fn read(path: &Path, reading: &Reading, notes: &mut Vec<String>, set: &mut Set) -> Result<()> {
    let shown = |path: &Path| path.display().to_string();
    let files = list(path).map_err(|error| usage(format!("cannot read `{}`: {error}", shown(path))))?;
    if files.is_empty() {
        return Err(usage(format!(
            "`{}` holds no logs\nhint: files that end in .eval, .json, .jsonl or .csv are looked for",
            shown(path)
        )));
    }
    for file in &files {
        let mut own = Notes::default();
        let result = one(file, reading, &mut own, set);
        notes.extend(own.lines.into_iter().map(|line| format!("{}: {line}", shown(file))));
        result.map_err(|error| {
            let hint = match &error {
                ReadError::Torn(_) => "\nhint: move it away to compare without it, or get a whole copy",
                ReadError::Refused(_) | ReadError::Json(_) | ReadError::Line { .. } | ReadError::Io(_) => "",
            };
            let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
            usage(format!("`{}`: {error}{cause}{hint}", shown(file)))
        })?;
    }
    notes.sort();
    notes.dedup();
    Ok(())
}

fn one(path: &Path, reading: &Reading, notes: &mut Notes, set: &mut Set) -> Result<(), ReadError> {
    let form = form(path)?;
    let file = Counted { inner: File::open(path)?, bar: reading.bar };
    let mut seen = muster_compare::set::File::default();
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
    let mut sink = |mut run: muster_compare::Run| {
        if run.task.is_empty() {
            run.task.clone_from(&stem);
        }
        let task = run.task.clone();
        let id = task.rsplit('/').next().unwrap_or_default();
        push(set, &mut seen, run, &[&task, id, &stem], reading)
            .map_err(|error| ReadError::Refused(error.to_string()))
    };
    match form {
        Form::Eval => read::eval(&mut { file }, &reading.ask, notes, &mut sink),
        Form::Json => read::json(BufReader::new(file), &reading.ask, notes, &mut sink),
        Form::Jsonl => read::jsonl(file, &mut sink),
        Form::Csv => read::csv(file, &mut sink),
    }
}

/// Any table of runs.
fn rows(path: &Path, sink: read::Sink) -> Result<()> {
    let result = form(path).map_err(ReadError::from).and_then(|form| {
        let file = File::open(path)?;
        match form {
            Form::Jsonl | Form::Json => read::jsonl(file, sink),
            Form::Csv | Form::Eval => read::csv(file, sink),
        }
    });
    result.map_err(|error| usage(format!("`{}`: {error}", path.display())))
}

/// Outcomes by task or agent, from a table `task,outcome`.
pub fn table_outcomes(path: &Path) -> Result<BTreeMap<String, f64>> {
    let mut out = BTreeMap::new();
    rows(path, &mut |run| {
        if let Some(outcome) = run.measure(SUCCESS) {
            out.insert(run.task, outcome);
        }
        Ok(())
    })?;
    Ok(out)
}

/// One measure of each row, and its outcome: what a detector's quality is made of.
pub fn scores(path: &Path, score: &str) -> Result<Vec<(f64, bool)>> {
    let mut out = Vec::new();
    let mut missing = 0_u64;
    rows(path, &mut |run| {
        match (run.measure(score), run.measure(SUCCESS)) {
            (Some(score), Some(there)) if there == 0.0 || there == 1.0 => out.push((score, there == 1.0)),
            _ => missing += 1,
        }
        Ok(())
    })?;
    if missing > 0 {
        eprintln!("compare: {missing} rows without `{score}`, or without an outcome of 0 or 1, are left out");
    }
    Ok(out)
}

/// How old the newest and oldest file of a source are: seconds since 1970 of the oldest.
pub fn measure(path: &Path) -> Option<std::time::SystemTime> {
    let files = list(path).ok()?;
    files.iter().filter_map(|file| file.metadata().ok()?.modified().ok()).min()
}
