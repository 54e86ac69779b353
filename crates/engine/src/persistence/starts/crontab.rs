//! Tables of cron and anacron.

use super::Commands;

/// Five times (or `@daily`), in a system's table the user, and the rest is a text for the shell.
pub(super) fn table(text: &str, user: bool, out: &mut Commands) {
    let mut shell = "sh".to_owned();
    for line in text.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = variable(line) {
            if name == "SHELL" {
                shell = value.to_owned();
            }
            continue;
        }
        let times = if line.starts_with('@') { 1 } else { 5 };
        let Some(rest) = behind(line, times + usize::from(user)) else { continue };
        out.text_for(&shell, &command(rest));
    }
}

/// Days, minutes of delay, the job's name, and the text.
pub(super) fn anacrontab(text: &str, out: &mut Commands) {
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') || variable(line).is_some() {
            continue;
        }
        if let Some(rest) = behind(line, 3) {
            out.text(rest);
        }
    }
}

/// `NAME = value`, with or without quotes.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = unquote(name.trim());
    let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    named.then(|| (name, unquote(value.trim())))
}

fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// What stands behind so many fields.
fn behind(line: &str, fields: usize) -> Option<&str> {
    let mut rest = line;
    for _ in 0..fields {
        let end = rest.find([' ', '\t'])?;
        rest = rest.get(end..)?.trim_start();
    }
    (!rest.is_empty()).then_some(rest)
}

/// The first `%` ends the command, and what follows is its input; `\%` is one.
fn command(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.peek() == Some(&'%') => {
                out.push('%');
                characters.next();
            }
            '%' => break,
            c => out.push(c),
        }
    }
    out
}
