//! What must hold of text at the edges whatever it is: driven by proptest here, by libFuzzer in `fuzz/`.

use std::sync::LazyLock;

use crate::redact::{Key, Marker, check, find_marks, head_chars, plain_marks, short_marks};
use crate::{OutputText, escape_bytes, line_hash, sanitize};

static KEY: LazyLock<Key> = LazyLock::new(|| Key::new([0x5a; 32]));

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

/// What is stored: redacting again finds nothing more, bytes and text are treated alike, arguments stay as many; with a
/// key, the same is cut out as without.
pub fn secrets(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let argv: Vec<String> = text.split('\0').map(str::to_owned).collect();
    for marker in [Marker::new(None), Marker::new(Some(&KEY))] {
        let once = marker.text(&text).into_owned();
        assert_eq!(marker.text(&once), once, "redacting twice changes the text");
        match std::str::from_utf8(bytes) {
            Ok(valid) => assert_eq!(marker.bytes(bytes).as_ref(), marker.text(valid).as_bytes()),
            Err(_) => drop(marker.bytes(bytes)),
        }
        let cut = marker.argv(&argv);
        assert_eq!(cut.len(), argv.len());
        assert_eq!(marker.argv(&cut), cut, "redacting arguments twice changes them");
        let url = marker.url(&text);
        assert_eq!(marker.url(&url), url, "redacting a target twice changes it");
        // A token of a known shape goes, whatever text it stands in; but it must be a word (`tsk-ant-…` is another one).
        let token = " sk-ant-0123456789abcdefghijABCDEFGHIJ ";
        let around = format!("{text}{token}{text}");
        assert!(!marker.text(&around).contains(token), "a token survived: {around:?}");
    }
    // What was marked before may have a commitment already.
    if find_marks(&text).is_empty() {
        let (plain, committed) = (Marker::new(None), Marker::new(Some(&KEY)));
        assert_eq!(plain_marks(&committed.text(&text)), plain.text(&text));
    }
}

/// Marks in any text: found where they stand, shown short, never cut in two; and none opens to a value that was not
/// redacted.
pub fn marks(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let marks = find_marks(&text);
    let mut end = 0;
    for mark in &marks {
        let stands = text.get(mark.range.clone()).unwrap_or_default();
        assert!(mark.range.start >= end && stands.starts_with("[redacted") && stands.ends_with(']'));
        assert!(mark.commitment.is_none_or(|c| stands == format!("[redacted:{c}]")));
        end = mark.range.end;
        assert_eq!(Marker::new(Some(&KEY)).text(stands), stands, "a mark was redacted");
    }
    for shown in [short_marks(&text), plain_marks(&text)] {
        assert!(find_marks(&shown).iter().all(|mark| mark.commitment.is_none()));
        assert!(shown.len() <= text.len());
    }
    for max in [0, 1, 17, 60, usize::MAX] {
        let head = head_chars(&text, max);
        assert!(text.starts_with(head) && short_marks(head).chars().count() <= max);
        assert!(marks.iter().all(|mark| mark.range.end <= head.len() || mark.range.start >= head.len()));
    }
    // The text as a value, beside the marks that it holds.
    let opening = KEY.open(&text);
    let committed = opening.commitment();
    assert!(check(&committed, &opening));
    assert_eq!(
        find_marks(&format!("[redacted:{committed}]")).first().and_then(|m| m.commitment),
        Some(&*committed)
    );
    assert!(marks.iter().all(|mark| mark.commitment.is_none_or(|c| !check(c, &opening))));
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
    use crate::redact::Opening;

    /// As `shell-quote` does (for `eval`), and JSON.
    fn quoted(command: &str) -> Vec<String> {
        let escaped = |special: &str| -> String {
            command.chars().flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c])).collect()
        };
        vec![
            format!("eval '{}' < /dev/null", command.replace('\'', r#"'"'"'"#)),
            format!("eval '{}' < /dev/null", command.replace('\'', r"'\''")),
            format!("eval \"{}\" < /dev/null", escaped("\"\\$`!")),
            serde_json::to_string(command).unwrap(),
        ]
    }

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
        fn any_mark(
            text in "(\\[redacted|:|\\]|[a-zA-Z0-9_-]{6}|[a-zA-Z0-9_-]{43}|é|\\PC){0,12}",
            bytes: Vec<u8>,
        ) {
            marks(text.as_bytes());
            marks(&bytes);
            let opening = KEY.open(&text);
            let json = serde_json::to_string(&opening).unwrap();
            assert_eq!(serde_json::from_str::<Opening>(&json).unwrap(), opening);
        }

        /// A secret has the same mark in a command, in the same command as a product quotes it for a shell, and in JSON.
        #[test]
        fn any_quoting(
            name in "(export |-H '|\\{\"x\": 1, \")?(DB_PASSWORD|api_key|--client-secret|x-api-key|MY_TOKEN|Authorization: Bearer)",
            between in "(=|: | |\": ?\"|='|=\")",
            value in "[A-Za-z0-9!#*:=?@^/._~+%-]{8,24}",
            after in "(['\"]? (&& make|\\| tr a b|\\$HOME)|['\"}; ]{0,3})",
        ) {
            let marker = Marker::new(Some(&KEY));
            let command = format!("{name}{between}{value}{after}");
            let expected = marker.text(&command);
            for quoted in quoted(&command) {
                let cut = marker.text(&quoted).into_owned();
                let marks = |text: &str| -> Vec<String> {
                    find_marks(text).iter().filter_map(|mark| mark.commitment.map(str::to_owned)).collect()
                };
                assert_eq!(marks(&cut), marks(&expected), "{quoted} became {cut}");
            }
        }

        #[test]
        fn any_secret(
            text in "((--)?(api[-_]?key|password|token|secret|authorization|x-api-key|user)(=|: ?| |\"|'|\0)|bearer |sk-ant-|ghp_|AKIA|https://|:|@|\\[redacted(:[a-zA-Z0-9_-]{43})?\\]|\\?|&|eyJ|\\.|[a-zA-Z0-9]{1,24}|-----BEGIN PRIVATE KEY-----|\\PC){0,12}",
            bytes: Vec<u8>,
        ) {
            secrets(text.as_bytes());
            secrets(&bytes);
        }
    }
}
