//! The marks that stand where a secret stood: `[redacted]`, or `[redacted:C]` with a commitment to the value.
//!
//! An agent can write the like itself. Such a mark proves nothing and cannot be opened; it is text like any other, so both
//! sides of a join have it or neither.

use std::borrow::Cow;
use std::ops::Range;

pub(super) const PLAIN: &str = "[redacted]";
/// What both forms begin with.
pub(super) const BEGIN: &str = "[redacted";
/// SHA-256 as base64url without padding.
pub const COMMITMENT_LEN: usize = 43;
/// Characters of a commitment that a person is shown: enough to see which marks are equal.
const SHOWN_LEN: usize = 6;

/// A mark, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// In bytes of the text.
    pub range: Range<usize>,
    /// `None` in `[redacted]`, and in what was shortened to be shown.
    pub commitment: Option<&'a str>,
}

/// The marks of a text, in order.
pub fn find_marks(text: &str) -> Vec<Mark<'_>> {
    marks(text).collect()
}

pub(super) fn marks(text: &str) -> impl Iterator<Item = Mark<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.find(BEGIN)?;
            at = start + BEGIN.len();
            let Some((len, inside)) = text.get(at..).and_then(rest_of_mark) else { continue };
            at += len;
            let commitment = inside.filter(|inside| inside.len() == COMMITMENT_LEN);
            return Some(Mark { range: start..at, commitment });
        }
    })
}

/// What follows `[redacted` in a mark: its length, and what stands behind the colon.
fn rest_of_mark(text: &str) -> Option<(usize, Option<&str>)> {
    if text.starts_with(']') {
        return Some((1, None));
    }
    let inside = text.strip_prefix(':')?;
    let end = inside.bytes().position(|b| !b.is_ascii_alphanumeric() && b != b'-' && b != b'_')?;
    let (inside, after) = inside.split_at_checked(end)?;
    let known = matches!(end, SHOWN_LEN | COMMITMENT_LEN) && after.starts_with(']');
    known.then_some((end + 2, Some(inside)))
}

pub(super) fn is_mark(text: &str) -> bool {
    text.starts_with(BEGIN) && marks(text).next().is_some_and(|mark| mark.range == (0..text.len()))
}

/// For people: of each commitment, its first characters.
pub fn short_marks(text: &str) -> Cow<'_, str> {
    replaced(text, |commitment, out| {
        let shown: String = commitment.chars().take(SHOWN_LEN).collect();
        out.extend([BEGIN, ":", &shown, "]"]);
    })
}

/// Without commitments, where texts are compared or read whose marks were made with different keys, or with none, and
/// where characters that mean nothing would be taken for words and numbers.
pub fn plain_marks(text: &str) -> Cow<'_, str> {
    replaced(text, |_, out| out.push_str(PLAIN))
}

fn replaced(text: &str, mut by: impl FnMut(&str, &mut String)) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    for mark in marks(text) {
        let Some(commitment) = mark.commitment else { continue };
        out.push_str(text.get(done..mark.range.start).unwrap_or_default());
        by(commitment, &mut out);
        done = mark.range.end;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

/// The first characters of a text: a mark counts as what is shown of it, and is never cut.
pub fn head_chars(text: &str, max: usize) -> &str {
    let mut left = max;
    let mut end = 0;
    // The end of the text is the last mark, and an empty one.
    let last = Mark { range: text.len()..text.len(), commitment: None };
    for mark in marks(text).chain([last]) {
        let before = text.get(end..mark.range.start).unwrap_or_default();
        if let Some((cut, _)) = before.char_indices().nth(left) {
            return text.get(..end + cut).unwrap_or_default();
        }
        left = left.saturating_sub(before.chars().count());
        let shown = match mark.commitment {
            Some(_) => BEGIN.len() + SHOWN_LEN + 2,
            None => mark.range.len(),
        };
        if shown > left {
            return text.get(..mark.range.start).unwrap_or_default();
        }
        left -= shown;
        end = mark.range.end;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: &str = "Ab12cdAb12cdAb12cdAb12cdAb12cdAb12cdAb12c-_";

    #[track_caller]
    fn check(text: &str, found: &[(usize, bool)], short: &str, plain: &str) {
        let marks: Vec<_> =
            find_marks(text).iter().map(|m| (m.range.start, m.commitment.is_some())).collect();
        assert_eq!(marks, found, "{text}");
        assert_eq!((short_marks(text).as_ref(), plain_marks(text).as_ref()), (short, plain));
    }

    #[test]
    fn marks_are_found_and_shortened() {
        assert_eq!(C.len(), COMMITMENT_LEN);
        check("", &[], "", "");
        check("a [redacted] b", &[(2, false)], "a [redacted] b", "a [redacted] b");
        check(&format!("é[redacted:{C}]x"), &[(2, true)], "é[redacted:Ab12cd]x", "é[redacted]x");
        check("[redacted:Ab12cd]", &[(0, false)], "[redacted:Ab12cd]", "[redacted:Ab12cd]");
        check(
            &format!("[redacted[redacted:{C}][redacted]"),
            &[(9, true), (63, false)],
            "[redacted[redacted:Ab12cd][redacted]",
            "[redacted[redacted][redacted]",
        );
    }

    #[test]
    fn what_is_no_mark() {
        for text in [
            "[redacted".to_owned(),
            "[redacted:".to_owned(),
            "[redacted:]".to_owned(),
            "[redacted:abc]".to_owned(),
            format!("[redacted:{C}"),
            format!("[redacted:{C}A]"),
            format!("[redacted:{}é]", C.trim_end_matches('_')),
            format!("[Redacted:{C}]"),
        ] {
            check(&text, &[], &text, &text);
            assert!(!is_mark(&text));
        }
        assert!(is_mark("[redacted]") && is_mark(&format!("[redacted:{C}]")) && !is_mark("[redacted]x"));
    }

    #[test]
    fn a_head_holds_marks_whole() {
        let marked = format!("ab [redacted:{C}]");
        let text = format!("{marked} cd");
        let nearly = format!("{marked} c");
        for (max, expected) in
            [(0, ""), (2, "ab"), (19, "ab "), (20, &marked), (22, &nearly), (23, &text), (99, &text)]
        {
            assert_eq!(head_chars(&text, max), expected, "{max}");
        }
        assert_eq!((head_chars("aéb", 2), head_chars("aéb", 3)), ("aé", "aéb"));
    }
}
