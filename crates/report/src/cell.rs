//! Widths and colours.

use muster_engine::Severity;
use muster_event::sanitize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How the output looks: whether it may be coloured, and how many columns it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    pub width: usize,
}

/// The 16 colours that every terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Plain,
    Bold,
    Dim,
    Red,
    BoldRed,
    Yellow,
    Green,
    Cyan,
}

impl Colour {
    pub(crate) fn of(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Colour::BoldRed,
            Severity::High => Colour::Red,
            Severity::Medium => Colour::Yellow,
            Severity::Low => Colour::Cyan,
            Severity::Info => Colour::Dim,
        }
    }
}

impl Style {
    /// Text that is safe already, in a colour.
    pub(crate) fn paint(&self, text: &str, colour: Colour) -> String {
        let code = match colour {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Colour::Plain => return text.to_owned(),
            Colour::Bold => "1",
            Colour::Dim => "2",
            Colour::Red => "31",
            Colour::BoldRed => "1;31",
            Colour::Yellow => "33",
            Colour::Green => "32",
            Colour::Cyan => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts safe text to a width; what was cut ends with `…`.
pub(crate) fn cut(text: &str, max: usize) -> String {
    if text.width() <= max {
        return text.to_owned();
    }
    if max == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > max - 1 {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push('…');
    out
}

/// Cuts and fills to exactly this width.
pub(crate) fn fit(text: &str, to: usize) -> String {
    let text = cut(text, to);
    let missing = to.saturating_sub(text.width());
    text + &" ".repeat(missing)
}

/// Fills on the left.
pub(crate) fn right(text: &str, to: usize) -> String {
    let text = cut(text, to);
    " ".repeat(to.saturating_sub(text.width())) + &text
}

/// Hostile text, safe and in one line.
pub(crate) fn safe(text: &str) -> String {
    sanitize(text)
}

/// Wraps safe text at spaces; words that are too long are cut into pieces.
pub(crate) fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let wide = word.width();
        if used > 0 && used + 1 + wide > max {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut()
            && used > 0
        {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > max && used > 0 {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += wide;
        }
    }
    lines
}
