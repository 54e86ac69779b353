//! How answers are printed, and the exit code that follows from them.

use std::io::Write;

use anyhow::Result;
use muster_event::sanitize;
use muster_web3::{Checked, Verdict};
use serde::Serialize;

use super::Printed;
use crate::exit::{Exit, usage};

/// Prints each answer as it comes and remembers the worst.
pub struct Answers<W> {
    json: bool,
    out: W,
    worst: Verdict,
    unreadable: usize,
}

/// What an input gets that could not be read.
#[derive(Serialize)]
struct Unreadable<'a> {
    input: &'a str,
    error: &'a str,
}

impl Answers<std::io::BufWriter<std::io::StdoutLock<'static>>> {
    pub fn to_stdout(printed: Printed) -> Self {
        Self::new(printed.json, std::io::BufWriter::new(std::io::stdout().lock()))
    }
}

impl<W: Write> Answers<W> {
    pub fn new(json: bool, out: W) -> Self {
        Self { json, out, worst: Verdict::Info, unreadable: 0 }
    }

    pub fn give(&mut self, checked: &Checked) -> Result<()> {
        self.worst = self.worst.max(checked.verdict);
        if self.json {
            writeln!(self.out, "{}", serde_json::to_string(checked)?)?;
        } else {
            text(&mut self.out, checked)?;
        }
        Ok(())
    }

    /// An input that could not be read: the others are checked all the same.
    pub fn unreadable(&mut self, input: &str, error: &str) -> Result<()> {
        self.unreadable += 1;
        if self.json {
            writeln!(self.out, "{}", serde_json::to_string(&Unreadable { input, error })?)?;
        } else {
            writeln!(self.out, "unreadable  {}\n  {}", sanitize(input), sanitize(error))?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    /// 1 where something is at least a warning, 2 where something could not be read, 0 otherwise.
    pub fn end(mut self) -> Result<Exit> {
        self.out.flush()?;
        if self.unreadable > 0 {
            return Err(usage(format!("{} of the inputs could not be read", self.unreadable)));
        }
        Ok(if self.worst >= Verdict::Warning { Exit::Findings } else { Exit::Nothing })
    }
}

fn text(out: &mut impl Write, checked: &Checked) -> std::io::Result<()> {
    write!(out, "{:8} {:.2}  {}", name(checked.verdict), checked.score, sanitize(&checked.input))?;
    if let Some(brand) = &checked.brand {
        write!(out, "  imitates {}", sanitize(brand))?;
    }
    writeln!(out)?;
    for reason in &checked.reasons {
        writeln!(out, "  {:8} {}: {}", name(reason.verdict), sanitize(&reason.code), sanitize(&reason.text))?;
        if let Some(evidence) = &reason.evidence {
            writeln!(out, "           evidence: {}", sanitize(evidence))?;
        }
        if let Some(refuted_by) = &reason.refuted_by {
            writeln!(out, "           refuted by: {}", sanitize(refuted_by))?;
        }
    }
    Ok(())
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Info => "info",
        Verdict::Notice => "notice",
        Verdict::Warning => "warning",
        Verdict::High => "high",
    }
}
