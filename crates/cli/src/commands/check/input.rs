//! What is checked: files, standard input, or words of the command line. All of it is of others' making and bounded.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::exit::usage;

/// The largest file that is read. The largest honest proposals have some 350 kB, a mail with pictures a few MB.
pub const FILE_MAX: usize = 32 << 20;
/// Host names and addresses are shorter by far; a longer line is cut there and shown as such by its check.
pub const LINE_MAX: usize = 4096;

/// Each file with its name; standard input where there is none, or where one is called `-`.
pub fn files(paths: &[PathBuf], max: usize) -> Result<Vec<(String, Vec<u8>)>> {
    if paths.is_empty() {
        return Ok(vec![("-".to_owned(), standard_input(max)?)]);
    }
    paths.iter().map(|path| Ok((path.to_string_lossy().into_owned(), file(path, max)?))).collect()
}

/// One file, or standard input where it is called `-`.
pub fn file(path: &Path, max: usize) -> Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        return standard_input(max);
    }
    let named = || format!("`{}`", path.display());
    let file = std::fs::File::open(path).map_err(|error| usage(format!("{}: {error}", named())))?;
    bounded(file, max).map_err(|error| usage(format!("{}: {error}", named())))
}

fn standard_input(max: usize) -> Result<Vec<u8>> {
    bounded(std::io::stdin().lock(), max).map_err(|error| usage(format!("standard input: {error}")))
}

fn bounded(from: impl Read, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(std::io::Error::other(format!("more than {} MB", max >> 20)));
    }
    Ok(bytes)
}

/// Each word of the command line; where there is none, each line of standard input, as it comes.
pub fn each_line(words: &[String], mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    if !words.is_empty() {
        return words.iter().try_for_each(|word| take(word));
    }
    lines_of(std::io::stdin().lock(), LINE_MAX, |line| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() { Ok(()) } else { take(text) }
    })
}

/// A message of a stream; a longer line is cut there.
pub const MESSAGE_MAX: usize = 16 << 20;

/// Each line of a file, or of standard input where it is called `-`, as it comes.
pub fn lines(path: &Path, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    if path.as_os_str() == "-" {
        return lines_of(std::io::stdin().lock(), MESSAGE_MAX, take);
    }
    let file = std::fs::File::open(path).map_err(|error| usage(format!("`{}`: {error}", path.display())))?;
    lines_of(std::io::BufReader::new(file), MESSAGE_MAX, take)
}

fn lines_of(mut input: impl BufRead, max: usize, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(max).unwrap_or(u64::MAX);
        if input.by_ref().take(limit).read_until(b'\n', &mut line).context("cannot read")? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && line.len() >= max {
            input.skip_until(b'\n').context("cannot read")?;
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            take(text)?;
        }
    }
}
