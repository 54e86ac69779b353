//! What a command wrote, and what an account shows of it, in a form in which the two can be compared: lines without what
//! only colours or moves, and a short hash of each. No content is kept where only hashes are.

use sha2::{Digest, Sha256};

use crate::redact::{plain_marks, redact};

/// Different lines of one output that are told apart. What prints more is compared by its length only.
pub const OUTPUT_LINES_MAX: usize = 512;

/// The lines of an output that hold anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputText {
    pub lines: Vec<String>,
    /// Something was written over: what a terminal shows in the end is not what was written.
    pub drawn: bool,
}

impl OutputText {
    /// Secrets are cut out first, as they are in an account: a line is the same on both sides. The marks are without
    /// commitments: hashes of lines are all that is left of an output, also where they were made with another key.
    pub fn new(text: &str) -> Self {
        let mut drawn = false;
        let plain = plain(&plain_marks(&redact(text)), &mut drawn);
        let lines = plain.lines().map(squeezed).filter(|line| !line.is_empty()).collect();
        Self { lines, drawn }
    }
}

/// 32 bits of SHA-256: enough to know a line again, too few to be sure of one.
pub fn line_hash(line: &str) -> u32 {
    let digest = Sha256::digest(line.as_bytes());
    digest.iter().take(4).fold(0, |hash, byte| hash << 8 | u32::from(*byte))
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without escape sequences and control characters; a carriage return ends a line too.
fn plain(text: &str, drawn: &mut bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.next() {
                Some('[') => {
                    let last = rest.find(|c| ('\u{40}'..='\u{7e}').contains(c));
                    // Colours, and clearing the rest of a line, change no text; nor do modes.
                    *drawn |= !matches!(last, Some('m' | 'K' | 'h' | 'l'));
                }
                // A title or a link: up to BEL, or to ESC and a backslash.
                Some(']') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' {
                            break;
                        }
                        if c == '\u{1b}' {
                            rest.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                Some('(' | ')') => drop(rest.next()),
                Some('=' | '>' | '7' | '8') => {}
                Some(_) | None => *drawn = true,
            },
            '\r' => {
                while rest.next_if_eq(&'\r').is_some() {}
                *drawn |= rest.peek().is_some_and(|next| *next != '\n');
                out.push('\n');
            }
            '\n' | '\t' => out.push(c),
            '\u{8}' => *drawn = true,
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lines: &[&str], drawn: bool) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(OutputText::new(text), OutputText { lines, drawn });
    }

    #[test]
    fn lines_without_what_colours_and_moves() {
        check("a\n\n  b   c \r\n", &["a", "b c"], false);
        check("\u{1b}[1;31mred\u{1b}[0m\u{1b}[K\n", &["red"], false);
        check("\u{1b}]0;title\u{7}x\u{1b}]8;;http://x\u{1b}\\link", &["xlink"], false);
        check("10 %\r20 %\r\n", &["10 %", "20 %"], true);
        check("\u{1b}[2J\u{1b}[Hscreen", &["screen"], true);
        check("ab\u{8}c", &["abc"], true);
        check("", &[], false);
    }

    #[test]
    fn secrets_are_cut_out_before_anything_is_hashed() {
        let token = "sk-ant-0123456789abcdefghijABCDEFGHIJ";
        check(&format!("key {token}\n"), &["key [redacted]"], false);
        // In an account it was redacted before.
        check(
            &format!("key [redacted:{}]\n", "Ab1-_".repeat(9).get(..43).unwrap()),
            &["key [redacted]"],
            false,
        );
    }

    #[test]
    fn a_hash_is_the_beginning_of_sha_256() {
        assert_eq!(line_hash("abc"), 0xba78_16bf);
    }
}
