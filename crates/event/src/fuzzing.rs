//! What must hold of text at the edges whatever it is: driven by proptest here, by libFuzzer in `fuzz/`.

use crate::{OutputText, escape_bytes, line_hash, redact, redact_argv, redact_bytes, redact_url, sanitize};

/// What is shown: no control, bidirectional or invisible character comes through; what is safe already stays.
pub fn shown_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = sanitize(&text);
    assert!(!shown.chars().any(is_hostile), "came through: {shown:?}");
    assert_eq!(sanitize(&shown), shown, "sanitizing twice changes what is shown");
    let escaped = escape_bytes(bytes);
    assert_eq!(escape_bytes(escaped.as_bytes()), escaped, "escaping twice changes the text");
    if let Ok(valid) = std::str::from_utf8(bytes) {
        assert_eq!(escaped, valid, "text that is text stays");
    }
}

/// Said here again, in the standards' words, so that a hole in the list of `sanitize` shows.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{61c}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{ad}' | '\u{e0000}'..='\u{e007f}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// What is stored: redacting again finds nothing more, bytes and text are treated alike, arguments stay as many.
pub fn secrets(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let once = redact(&text).into_owned();
    assert_eq!(redact(&once), once, "redacting twice changes the text");
    match std::str::from_utf8(bytes) {
        Ok(valid) => assert_eq!(redact_bytes(bytes).as_ref(), redact(valid).as_bytes()),
        Err(_) => drop(redact_bytes(bytes)),
    }
    let argv: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let cut = redact_argv(&argv);
    assert_eq!(cut.len(), argv.len());
    assert_eq!(redact_argv(&cut), cut, "redacting arguments twice changes them");
    let url = redact_url(&text);
    assert_eq!(redact_url(&url), url, "redacting a target twice changes it");
    // A token of a known shape goes, whatever text it stands in; but it must be a word (`tsk-ant-…` is another one).
    let token = " sk-ant-0123456789abcdefghijABCDEFGHIJ ";
    let around = format!("{text}{token}{text}");
    assert!(!redact(&around).contains(token), "a token survived: {around:?}");
}

/// An output as lines: none of them holds a control character or an end of a line, and making lines of lines changes nothing.
pub fn output_lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = OutputText::new(&text);
    assert!(shown.lines.iter().all(|line| !line.is_empty() && !line.contains(char::is_control)), "{shown:?}");
    let again = OutputText::new(&shown.lines.join("\n"));
    // What was in two lines may be a secret in one; but no secret appears.
    assert!(again.lines.len() <= shown.lines.len() && !again.drawn, "{shown:?}");
    let _ = shown.lines.iter().map(|line| line_hash(line)).max();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text(text in any::<String>(), bytes: Vec<u8>) {
            shown_text(text.as_bytes());
            shown_text(&bytes);
        }

        #[test]
        fn any_output(text in "(\u{1b}\\[[0-9;]*[mKHJ]|\u{1b}\\]|\u{7}|\r|\n|\t|a| |\\PC){0,60}", bytes: Vec<u8>) {
            output_lines(text.as_bytes());
            output_lines(&bytes);
        }

        #[test]
        fn any_secret(
            text in "((--)?(api[-_]?key|password|token|secret|authorization|x-api-key|user)(=|: ?| |\"|'|\0)|bearer |sk-ant-|ghp_|AKIA|https://|:|@|\\?|&|eyJ|\\.|[a-zA-Z0-9]{1,24}|-----BEGIN PRIVATE KEY-----|\\PC){0,12}",
            bytes: Vec<u8>,
        ) {
            secrets(text.as_bytes());
            secrets(&bytes);
        }
    }
}
