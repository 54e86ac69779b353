//! Making hostile text safe for a terminal, and hostile bytes safe for a `String`. HTML has its own escape, in `server`.

use std::fmt::Write;

use crate::redact::short_marks;

/// Bytes as text: valid UTF-8 stays, every other byte becomes `\xNN`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Text that an agent may have chosen, made safe to print: control characters (terminal escapes, newlines), bidirectional
/// and zero-width characters, and other invisible ones appear as `\u{…}`. Nothing is dropped, so two different names
/// never look the same for being stripped; but of the commitment in a mark (`redact`) only the beginning is shown.
pub fn sanitize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in short_marks(text).chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_bidi_and_zero_width_are_shown_as_codes() {
        assert_eq!(sanitize("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(sanitize("x\u{202e}y\u{200b}z\u{9b}0m"), "x\\u{202e}y\\u{200b}z\\u{9b}0m");
        assert_eq!(sanitize("línea 漢字\n"), "línea 漢字\\n");
    }

    #[test]
    fn commitments_are_shown_short() {
        let mark = format!("[redacted:{}]", "Ab12c-".repeat(8).get(..43).unwrap());
        assert_eq!(sanitize(&format!("\t{mark}\n")), "\\t[redacted:Ab12c-]\\n");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_kept_as_codes() {
        assert_eq!(escape_bytes(b"a\xff\xfeb"), "a\\xff\\xfeb");
        assert_eq!(escape_bytes("ü".as_bytes()), "ü");
    }
}
