//! Tables of runs, one a line: CSV with a head line, or JSON objects. `task`, `outcome`, and where known `arm`, `epoch`,
//! `difficulty`, `chance`, `error`; any other column of numbers is a measure.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use super::loose::Loose;
use super::sample::score;
use super::{ReadError, Sink, name};
use crate::run::{Run, SUCCESS};

/// Bytes of a line: a run is a few words.
pub const LINE_MAX: u64 = 1 << 20;
const COLUMNS_MAX: usize = 256;

pub fn csv(reader: impl Read, sink: Sink) -> Result<(), ReadError> {
    let mut lines = Lines { reader: BufReader::new(reader), number: 0 };
    let Some(head) = lines.record()? else {
        return Err(ReadError::Refused("it is empty".to_owned()));
    };
    let columns: Vec<String> =
        head.iter().map(|c| known(c.trim().trim_start_matches('\u{feff}').trim())).collect();
    if columns.len() > COLUMNS_MAX {
        return Err(ReadError::Refused(format!("it has more than {COLUMNS_MAX} columns")));
    }
    if !columns.iter().any(|c| c == "task") {
        let other =
            [';', '\t', '|'].into_iter().find(|c| head.len() == 1 && head.iter().any(|h| h.contains(*c)));
        let other = other.map_or(String::new(), |c| {
            format!("; its fields stand between `{}`, but must between commas", c.escape_default())
        });
        return Err(ReadError::Refused(format!(
            "its first line names no column `task`; needed are `task,arm,epoch,outcome`{other}"
        )));
    }
    let mut seen = columns.clone();
    seen.sort();
    if let Some([twice, _]) = seen.windows(2).find(|pair| pair.first() == pair.last()) {
        return Err(ReadError::Refused(format!("column `{twice}` is there twice")));
    }
    while let Some(fields) = lines.record()? {
        if fields.len() == 1 && fields.iter().all(|f| f.trim().is_empty()) {
            continue;
        }
        let line = lines.number;
        if fields.len() != columns.len() {
            let why = format!("it has {} fields, the first line {}", fields.len(), columns.len());
            return Err(ReadError::Line { line, why });
        }
        let values = columns.iter().zip(fields).map(|(column, text)| {
            let number = text.trim().parse().ok();
            let null = text.trim().is_empty();
            (column.clone(), Loose { text: text.trim().to_owned(), number, null, command: None })
        });
        sink(run(values.collect(), line)?)?;
    }
    Ok(())
}

/// Columns with a meaning are known however their letters are written.
fn known(column: &str) -> String {
    let lower = column.to_lowercase();
    match lower.as_str() {
        "task" | "arm" | "epoch" | "outcome" | "difficulty" | "chance" | "error" => lower,
        _ => column.to_owned(),
    }
}

pub fn jsonl(reader: impl Read, sink: Sink) -> Result<(), ReadError> {
    let mut lines = Lines { reader: BufReader::new(reader), number: 0 };
    while let Some((text, whole)) = lines.line()? {
        if text.trim().is_empty() {
            continue;
        }
        let line = lines.number;
        let fields: BTreeMap<String, Loose> =
            serde_json::from_reader(super::clean::Clean::new(text.as_bytes())).map_err(|error| {
                let torn = !whole && error.is_eof();
                let why =
                    if torn { "it is torn: the file ends in it".to_owned() } else { format!("{error}") };
                ReadError::Line { line, why }
            })?;
        sink(run(fields, line)?)?;
    }
    Ok(())
}

fn run(mut fields: BTreeMap<String, Loose>, line: u64) -> Result<Run, ReadError> {
    let wrong = |why: String| ReadError::Line { line, why };
    let mut take = |name: &str| fields.remove(name).filter(|value| !value.null && !value.text.is_empty());
    let task = take("task").ok_or_else(|| wrong("it has no `task`".to_owned()))?;
    let mut run = Run { task: name(&task.text).map_err(|e| wrong(e.to_string()))?, ..Run::default() };
    run.arm = take("arm").map(|arm| name(&arm.text)).transpose().map_err(|e| wrong(e.to_string()))?;
    if let Some(epoch) = take("epoch") {
        let number = epoch
            .number
            .filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 1e15)
            .ok_or_else(|| wrong(format!("epoch `{}` is no whole number", epoch.text)))?;
        run.epoch = Some(number as u64);
    }
    let mut number = |column: &str| match take(column) {
        None => Ok(None),
        Some(value) => match value.number {
            Some(n) if n.is_finite() => Ok(Some(n)),
            _ => Err(wrong(format!("{column} `{}` is no finite number", value.text))),
        },
    };
    run.difficulty = number("difficulty")?;
    run.chance = number("chance")?;
    run.error = take("error").is_some_and(|e| e.number.is_none_or(|n| n != 0.0) && e.text != "false");
    if let Some(outcome) = take("outcome") {
        let value = score(&outcome).filter(|value| value.is_finite()).ok_or_else(|| {
            wrong(format!("outcome `{}` is neither a finite number nor yes or no", outcome.text))
        })?;
        run.measures.insert(SUCCESS.to_owned(), value);
    }
    for (column, value) in fields.into_iter().take(COLUMNS_MAX) {
        if let Some(number) = value.number.filter(|n| n.is_finite()) {
            run.measures.insert(name(&column).map_err(|e| wrong(e.to_string()))?, number);
        }
    }
    Ok(run)
}

struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next line without its end, and whether it had one.
    fn line(&mut self) -> Result<Option<(String, bool)>, ReadError> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(LINE_MAX + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let line = self.number;
        let whole = bytes.last() == Some(&b'\n');
        if bytes.len() as u64 > LINE_MAX && !whole {
            return Err(ReadError::Line { line, why: format!("it has more than {LINE_MAX} bytes") });
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| ReadError::Line { line, why: "it is no UTF-8".to_owned() })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some((text.strip_suffix('\r').unwrap_or(text).to_owned(), whole)))
    }

    /// The fields of the next record (RFC 4180): a quoted one may go on over lines.
    fn record(&mut self) -> Result<Option<Vec<String>>, ReadError> {
        let Some((mut text, _)) = self.line()? else { return Ok(None) };
        let begun = self.number;
        while text.matches('"').count() % 2 == 1 {
            let open = ReadError::Line { line: begun, why: "a quote is not closed".to_owned() };
            let Some((more, _)) = self.line()? else { return Err(open) };
            text.push('\n');
            text.push_str(&more);
            if text.len() as u64 > LINE_MAX {
                return Err(open);
            }
        }
        let mut fields = Vec::new();
        let mut field = String::new();
        let mut quoted = false;
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(std::mem::take(&mut field)),
                _ => field.push(c),
            }
        }
        fields.push(field);
        Ok(Some(fields))
    }
}
