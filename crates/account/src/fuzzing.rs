//! What must hold of the readers whatever the bytes: each property is driven by proptest here, by libFuzzer in `fuzz/`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property fails by panicking"
)]

use sha2::{Digest, Sha256};

use crate::{Body, Format, Framing, Item, Reader, Record, detect, locate, shell};

pub fn account_claude_code(bytes: &[u8]) {
    account(Format::ClaudeCode, bytes);
}

pub fn account_codex(bytes: &[u8]) {
    account(Format::Codex, bytes);
}

pub fn account_gemini_cli(bytes: &[u8]) {
    account(Format::GeminiCli, bytes);
}

pub fn account_opencode(bytes: &[u8]) {
    account(Format::OpenCode, bytes);
}

pub fn account_openhands(bytes: &[u8]) {
    account(Format::OpenHands, bytes);
}

/// The first byte says how long the pieces are, and from which length on a line is too long.
fn account(format: Format, bytes: &[u8]) {
    let (control, file) = bytes.split_first().unwrap_or((&0, &[]));
    match format.framing() {
        Framing::Lines => lines(format, usize::from(*control), file),
        // Each feed is one row, or one state of a document.
        Framing::Document | Framing::Rows => {
            let mut reader = Reader::new(format);
            for document in file.split(|byte| *byte == b'\n') {
                for record in reader.feed(document) {
                    assert_eq!((record.offset, record.len), (0, document.len() as u64));
                    assert_eq!(record.sha256, sha256(document));
                    bounded(&record);
                }
            }
            assert_eq!(reader.waiting(), 0);
        }
    }
}

fn lines(format: Format, control: usize, file: &[u8]) {
    let record_max = if control.is_multiple_of(2) { usize::MAX } else { 40 + control };
    let mut at_once = Reader::with_record_max(format, record_max);
    let mut records = at_once.feed(file);
    let mut in_pieces = Reader::with_record_max(format, record_max);
    let again: Vec<Record> = file.chunks(1 + control / 2).flat_map(|piece| in_pieces.feed(piece)).collect();
    assert_eq!(again, records, "read in pieces, a file says something else");
    assert_eq!(in_pieces.waiting(), at_once.waiting());
    // A torn line waits: nothing of it was given.
    let whole = file.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    assert!(records.iter().all(|record| record.offset + record.len <= whole as u64));
    let last = at_once.finish();
    assert_eq!(in_pieces.finish(), last);
    assert_eq!(in_pieces.unknown(), at_once.unknown());
    records.extend(last);
    let mut end = 0;
    for record in &records {
        let from = usize::try_from(record.offset).unwrap();
        let to = from + usize::try_from(record.len).unwrap();
        let between = &file[end..from];
        assert!(between.iter().all(u8::is_ascii_whitespace), "bytes were passed over: {between:?}");
        let line = &file[from..to];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        assert!(!line.contains(&b'\n'));
        assert_eq!(record.sha256, sha256(line));
        end = to;
        bounded(record);
        if !line.starts_with(b"{") {
            assert!(!record.items.is_empty(), "carried, not dropped: {}", String::from_utf8_lossy(line));
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn bounded(record: &Record) {
    for Item { body, .. } in &record.items {
        match body {
            Body::Result { output, .. } => assert!(output.len() <= Item::OUTPUT_MAX + SLACK),
            Body::Other { record_type } => assert!(record_type.len() <= 256 + SLACK),
            _ => {}
        }
    }
}

/// What redaction may add: a mark can be longer than the secret.
const SLACK: usize = 16 * 1024;

/// A name, a line break, the first bytes of the file.
pub fn account_place(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (name, head) = text.split_once('\n').unwrap_or((&text, ""));
    let found = detect(head.as_bytes(), name);
    if let Some(location) = locate(name) {
        assert_eq!(found, Some(location.format), "the place of a file says more than its bytes");
        for id in location.session.iter().chain(&location.sub_agent) {
            assert!(name.contains(id.as_str()));
        }
        assert_eq!(
            locate(&format!("/elsewhere/{name}")),
            Some(location),
            "what stands above it plays no part"
        );
    }
    assert_eq!(detect(head.as_bytes(), name), found);
}

/// What a harness wrapped comes out again; any other text is itself.
pub fn shell_command(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(command) = shell::unwrap(&text) {
        assert!(command.len() < text.len(), "a wrapper is longer than what it wraps");
    }
    let quoted = text.replace('\'', "'\"'\"'");
    let claude = format!("eval '{quoted}' < /dev/null && pwd -P >| /tmp/claude-1a2b-cwd");
    assert_eq!(shell::unwrap(&claude).as_deref(), Some(text.as_ref()));
    let gemini = format!(
        "shopt -u promptvars; _bgpids_file='/tmp/x/pids'\n(\n  trap 'jobs -p > \"$_bgpids_file\"' EXIT\n{text}\n)\n\
         __code=$?\nexit $__code"
    );
    assert_eq!(shell::unwrap(&gemini).as_deref(), Some(text.as_ref()));
}

/// What of a shown output is the command's own: never more than was shown.
pub fn shown_output(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for format in crate::Format::ALL {
        if let Some(own) = crate::command_output(format.name(), &text) {
            assert!(own.len() <= text.len(), "{own:?}");
        }
    }
    assert_eq!(crate::command_output("no such product", &text), None);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Words of all formats: made of these, some records mean something.
    const WORDS: &str = "type user assistant message content role text tool_use tool_result id name input command Bash \
        sessionId cwd timestamp 2026-01-02T03:04:05Z isSidechain agentId attachment subtype toolUseResult payload \
        session_meta response_item event_msg function_call function_call_output call_id arguments output exec_command \
        turn_context custom_tool_call apply_patch local_shell_call action reasoning summary gemini toolCalls args status \
        success result functionResponse response $set messages kind ActionEvent ObservationEvent MessageEvent observation \
        source agent tool_name exit_code table part data state completed metadata exit time start tool session_id \
        permissionDecision decision reject source run_in_background file_path projectHash";

    fn json() -> impl Strategy<Value = Value> {
        let words: Vec<&str> = WORDS.split_ascii_whitespace().collect();
        let key = proptest::sample::select(words);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            key.clone().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                1 => vec(inner.clone(), 0..4).prop_map(Value::from),
                3 => vec((key.clone(), inner), 0..7)
                    .prop_map(|all| all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
            ]
        })
    }

    /// Lines: records, and lines that are none.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            4 => json().prop_map(|value| value.to_string().into_bytes()),
            1 => vec(any::<u8>(), 0..40),
        ];
        (any::<u8>(), vec(line, 0..8), any::<bool>()).prop_map(|(control, lines, ended)| {
            let mut out = vec![control];
            out.extend(lines.join(&b'\n'));
            out.extend(ended.then_some(b'\n'));
            out
        })
    }

    proptest! {
        #[test]
        fn any_account(file in file()) {
            account_claude_code(&file);
            account_codex(&file);
            account_gemini_cli(&file);
            account_opencode(&file);
            account_openhands(&file);
        }

        #[test]
        fn any_place(name in "(/[a-z0-9.-]{0,40}){0,6}(/(session-|event-|rollout-|agent-)?[a-f0-9-]{0,40}(.jsonl|.json|.db)?)?", head: Vec<u8>) {
            account_place(&[name.as_bytes(), &head].join(&b'\n'));
        }

        #[test]
        fn any_command(command in any::<String>(), bytes: Vec<u8>) {
            shell_command(command.as_bytes());
            shell_command(&bytes);
        }

        #[test]
        fn any_shown_output(
            text in "((Exit code |Output: |\\(empty\\)|\\(no output\\)|Process Group PGID: |Signal: |Shell cwd was reset to |<system-reminder>|</system-reminder>|7|\n|\\PC) ?){0,40}",
            bytes: Vec<u8>,
        ) {
            shown_output(text.as_bytes());
            shown_output(&bytes);
        }
    }

    #[test]
    fn an_overlong_line_is_the_same_in_one_piece_and_in_many() {
        let file =
            [b"\xff{\"type\":\"x\"}\n".as_slice(), &[b'1'; 400], b"\n{\"type\":\"y\"}\n", &[b'2'; 400]]
                .concat();
        account_claude_code(&file);
        let mut reader = Reader::with_record_max(Format::ClaudeCode, 100);
        assert_eq!(reader.feed(&file[1..]).len(), 3);
        assert_eq!(reader.finish().map(|record| record.len), Some(400), "what is at the end is carried too");
    }

    #[test]
    fn secrets_are_cut_out_of_items_too() {
        let key = format!("sk-ant-{}", "a1".repeat(20));
        let line = serde_json::json!({"type": "assistant", "sessionId": "s", "message": {"content": [
            {"type": "text", "text": format!("I use {key}")},
            {"type": "tool_use", "id": "c", "name": "Bash", "input": {"command": format!("curl -H 'x-api-key: {key}'")}},
        ]}});
        let mut reader = Reader::new(Format::ClaudeCode);
        let records = reader.feed(format!("{line}\n").as_bytes());
        let told = format!("{:?}", records[0].items);
        assert!(told.contains("I use [redacted]") && told.contains("curl -H"), "{told}");
        assert!(!told.contains(&key), "{told}");
    }

    #[test]
    fn a_record_types_name_is_bounded() {
        let line = format!("{{\"type\":\"{}\"}}\n", "é".repeat(100_000));
        let mut reader = Reader::new(Format::ClaudeCode);
        reader.feed(line.as_bytes());
        assert!(reader.unknown().keys().all(|name| name.len() <= 256), "{:?}", reader.unknown().keys());
    }
}
