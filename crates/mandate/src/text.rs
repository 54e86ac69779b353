//! Reading TOML strictly: what is not known is an error with its line and a hint.

use std::fmt;

use muster_event::Nanos;
use serde::de::DeserializeOwned;
use toml::Spanned;

/// What is wrong with a file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// From 1; 0: the file as a whole.
    pub line: usize,
    pub message: String,
}

impl std::error::Error for TextError {}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

/// Deepest nesting that a mandate can need is three; the parser recurses.
const DEPTH_MAX: usize = 16;

/// The text as `T`.
pub fn read<T: DeserializeOwned>(text: &str, bytes_max: usize) -> Result<T, TextError> {
    if text.len() > bytes_max {
        return Err(TextError { line: 0, message: format!("longer than {bytes_max} bytes") });
    }
    // A file of brackets alone: the parser has a limit of its own, this one is ours.
    let deep =
        text.lines().any(|line| line.bytes().filter(|b| matches!(b, b'[' | b'{')).count() > DEPTH_MAX * 256);
    if deep {
        return Err(TextError { line: 0, message: "too deeply nested".to_owned() });
    }
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        let mut message = error.message().trim().to_owned();
        if let Some(hint) = nearest(&message) {
            message.push_str(&format!("\nhint: did you mean `{hint}`?"));
        }
        TextError { line, message }
    })
}

/// The line of a byte of the text, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

/// An error about a value.
pub fn at<T>(text: &str, value: &Spanned<T>, message: impl Into<String>) -> TextError {
    TextError { line: line_of(text, value.span().start), message: message.into() }
}

/// Of "unknown field `x`, expected one of `a`, `b`" the name that is most like it.
fn nearest(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    let (distance, name) = names.map(|name| (distance(wrong, name), name)).min()?;
    (distance <= 2 && distance < name.len()).then(|| name.to_owned())
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().take(64).enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (pair, d) in row.windows(2).zip(&b) {
            let &[diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(c != *d)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// `2h30m`, `45s`, `7d`.
pub fn duration_ns(text: &str) -> Result<Nanos, String> {
    let wrong = || format!("`{text}` is no length of time\nhint: as `90s`, `45m`, `2h30m` or `7d`");
    let mut total: Nanos = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let number: Nanos = number.parse().map_err(|_| wrong())?;
        let mut units = tail.chars();
        let unit: Nanos = match units.next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            _ => return Err(wrong()),
        };
        rest = units.as_str();
        let ns = number.checked_mul(unit).and_then(|s| s.checked_mul(1_000_000_000)).ok_or_else(wrong)?;
        total = total.checked_add(ns).ok_or_else(wrong)?;
    }
    if total == 0 {
        return Err(wrong());
    }
    Ok(total)
}

/// A length of time in words, as `duration_ns` reads it.
pub fn duration_words(ns: Nanos) -> String {
    let mut seconds = ns / 1_000_000_000;
    let mut words = String::new();
    for (unit, length) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        if seconds >= length && words.matches(char::is_alphabetic).count() < 2 {
            words.push_str(&format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words }
}

/// A moment with its offset, since 1970.
pub fn moment_ns(text: &str) -> Result<Nanos, String> {
    let moment: jiff::Timestamp = text.parse().map_err(|_| {
        format!("`{text}` is no moment\nhint: date, time and offset without quotes, as 2026-12-31T18:00:00Z")
    })?;
    Nanos::try_from(moment.as_nanosecond()).map_err(|_| format!("`{text}` is before 1970 or too far off"))
}

/// The moment in UTC, to the second.
pub fn moment_text(ns: Nanos) -> String {
    let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "the end of time".to_owned(), |it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("90s", 90), ("2h30m", 9_000), ("7d", 604_800)] {
            assert_eq!(duration_ns(text), Ok(seconds * 1_000_000_000), "{text}");
        }
        for text in ["", "5", "h", "5x", "0s", "-1h", "99999999999999999999d", "1h 2m", "ü"] {
            assert!(duration_ns(text).is_err(), "{text}");
        }
        assert_eq!(duration_words(9_000_000_000_000), "2h30m");
    }

    #[test]
    fn names_alike() {
        assert_eq!(distance("reed", "read"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("unknown field `reed`, expected one of `write`, `read`").as_deref(), Some("read"));
        assert_eq!(nearest("unknown field `zzzz`, expected one of `write`, `read`"), None);
    }
}
