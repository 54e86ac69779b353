//! Accounts of runs that never were: records of Claude Code and Codex as these write them, with text of every length.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

const WORDS: [&str; 40] = [
    "the",
    "function",
    "returns",
    "error",
    "when",
    "file",
    "is",
    "missing",
    "test",
    "passes",
    "build",
    "src/main.rs",
    "target",
    "let",
    "value",
    "match",
    "Some(path)",
    "=>",
    "{",
    "}",
    "warning:",
    "unused",
    "variable",
    "cargo",
    "run",
    "git",
    "commit",
    "-m",
    "fix",
    "parser",
    "läuft",
    "→",
    "\"quoted\"",
    "\\n",
    "0x7f",
    "127.0.0.1",
    "TODO",
    "assert_eq!",
    "fn",
    "pub",
];
const COMMANDS: [&str; 8] = [
    "cargo test --workspace 2>&1 | tail -20",
    "git status --short && git diff --stat",
    "rg -n 'fn main' src | head",
    "sed -n 1,120p crates/engine/src/roll.rs",
    "python3 -m pytest -q tests/",
    "npm run build",
    "ls -la && cat README.md",
    "git commit -am 'parse the last line too'",
];
const FILE_BYTES: u64 = 24 << 20;

/// The same on every run: no chance, only arithmetic.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    /// Mostly short, sometimes very long: as what tools print.
    fn text(&mut self) -> String {
        let words = match self.roll(100) {
            0..60 => 5 + self.roll(60),
            60..90 => 60 + self.roll(500),
            90..99 => 500 + self.roll(4000),
            _ => 10_000,
        };
        let mut out = String::new();
        for n in 0..words {
            out.push_str(WORDS[self.roll(WORDS.len() as u64) as usize]);
            out.push(if n % 11 == 10 { '\n' } else { ' ' });
        }
        out
    }

    fn id(&mut self) -> String {
        format!(
            "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
            self.roll(1 << 32),
            self.roll(1 << 16),
            self.roll(1 << 12),
            self.roll(1 << 12),
            self.roll(1 << 48)
        )
    }
}

/// Writes so many bytes of accounts, half of each product, under the folder.
pub fn write(dir: &Path, bytes: u64) -> u64 {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut total, mut number) = (0, 0u64);
    while total < bytes {
        let session = dice.id();
        let claude = number.is_multiple_of(2);
        let path = if claude {
            dir.join(format!(".claude/projects/-home-dev-project/{session}.jsonl"))
        } else {
            dir.join(format!(
                ".codex/sessions/2026/11/{:02}/rollout-2026-11-23T15-57-38-{session}.jsonl",
                number % 28 + 1
            ))
        };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut out = BufWriter::new(File::create(&path).unwrap());
        let written = fill(&mut out, claude, &session, FILE_BYTES.min(bytes - total));
        out.flush().unwrap();
        total += written;
        number += 1;
    }
    total
}

/// One account of so many bytes, of Claude Code or else of Codex.
pub fn fill(out: &mut impl Write, claude: bool, session: &str, bytes: u64) -> u64 {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (mut written, mut turn) = (0, 0);
    while written < bytes {
        let records =
            if claude { claude_turn(&mut dice, session, turn) } else { codex_turn(&mut dice, session, turn) };
        for record in records {
            let line = record.to_string();
            written += line.len() as u64 + 1;
            writeln!(out, "{line}").unwrap();
        }
        turn += 1;
    }
    written
}

fn time(turn: u64, step: u64) -> String {
    let seconds = turn * 7 + step;
    format!(
        "2026-11-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        1 + seconds / 86_400 % 28,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        turn % 1000
    )
}

fn claude_turn(dice: &mut Dice, session: &str, turn: u64) -> Vec<Value> {
    let call = format!("toolu_{:024x}", dice.roll(u64::MAX));
    let mut record = |step: u64, kind: &str, more: Value| {
        let mut record = json!({
            "parentUuid": dice.id(), "isSidechain": turn % 17 == 3, "type": kind, "uuid": dice.id(),
            "timestamp": time(turn, step), "userType": "external", "entrypoint": "cli", "cwd": "/home/dev/project",
            "sessionId": session, "version": "2.1.328", "gitBranch": "master",
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let usage = json!({"input_tokens": 1200, "cache_read_input_tokens": 98_000, "output_tokens": 42, "service_tier": "standard"});
    let said = |content: Value| {
        json!({"message": {"id": format!("msg_{turn:024x}"), "type": "message", "role": "assistant",
        "model": "claude-sonnet-4-5", "content": [content], "stop_reason": "tool_use", "usage": usage}})
    };
    let mut out = Vec::new();
    if turn.is_multiple_of(9) {
        out.push(record(0, "user", json!({"message": {"role": "user", "content": "now fix the parser, and say how"}, "promptSource": "typed"})));
    }
    out.push(record(1, "attachment", json!({"attachment": {"type": "total_tokens_reminder"}})));
    let mut own = Dice(turn * 77 + 5);
    out.push(record(
        2,
        "assistant",
        said(json!({"type": "thinking", "thinking": own.text(), "signature": "c2ln"})),
    ));
    out.push(record(3, "assistant", said(json!({"type": "text", "text": own.text()}))));
    let (name, input) = match turn % 4 {
        0 => (
            "Edit",
            json!({"file_path": "/home/dev/project/src/main.rs", "old_string": own.text(), "new_string": own.text()}),
        ),
        1 => ("Read", json!({"file_path": format!("/home/dev/project/src/{}.rs", turn % 50)})),
        _ => ("Bash", json!({"command": COMMANDS[(turn % 8) as usize], "description": "look"})),
    };
    out.push(record(
        4,
        "assistant",
        said(json!({"type": "tool_use", "id": call, "name": name, "input": input})),
    ));
    let text = own.text();
    out.push(record(5, "user", json!({
        "message": {"role": "user", "content": [{"tool_use_id": call, "type": "tool_result", "content": text, "is_error": turn.is_multiple_of(13)}]},
        "toolUseResult": {"stdout": text, "stderr": "", "interrupted": false, "isImage": false},
    })));
    out
}

fn codex_turn(dice: &mut Dice, session: &str, turn: u64) -> Vec<Value> {
    let (call, id) = (format!("call_{:022x}", dice.roll(u64::MAX)), dice.id());
    let line = |step: u64, kind: &str, payload: Value| json!({"timestamp": time(turn, step), "ordinal": turn * 8 + step, "type": kind, "payload": payload});
    let mut out = Vec::new();
    if turn == 0 {
        out.push(line(0, "session_meta", json!({"session_id": session, "id": session, "cwd": "/home/dev/project",
            "originator": "codex_exec", "cli_version": "0.169.0", "source": "exec", "model_provider": "openai"})));
    }
    out.push(line(
        1,
        "turn_context",
        json!({"turn_id": id, "cwd": "/home/dev/project", "approval_policy": "never", "model": "gpt-5.5"}),
    ));
    out.push(line(2, "response_item", json!({"type": "message", "id": format!("msg_{id}"), "role": "assistant", "content": [{"type": "output_text", "text": dice.text()}]})));
    let command = COMMANDS[(turn % 8) as usize];
    let text = dice.text();
    if turn % 5 == 4 {
        let patch = format!(
            "*** Begin Patch\n*** Update File: src/main.rs\n@@\n-{}\n+{}\n*** End Patch",
            dice.text(),
            dice.text()
        );
        out.push(line(3, "response_item", json!({"type": "custom_tool_call", "id": format!("ctc_{id}"), "call_id": call, "name": "apply_patch", "input": patch})));
        out.push(line(4, "response_item", json!({"type": "custom_tool_call_output", "call_id": call, "output": "Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess.\n"})));
    } else {
        let arguments = json!({"cmd": command, "workdir": "/home/dev/project"}).to_string();
        out.push(line(3, "response_item", json!({"type": "function_call", "id": format!("fc_{id}"), "name": "exec_command", "arguments": arguments, "call_id": call})));
        out.push(line(4, "event_msg", json!({"type": "item_completed", "thread_id": session, "turn_id": id, "item": {
            "type": "CommandExecution", "id": call, "command": ["/bin/bash", "-lc", command], "cwd": "file:///home/dev/project",
            "status": "completed", "aggregated_output": text, "exit_code": 0}})));
        out.push(line(
            5,
            "response_item",
            json!({"type": "function_call_output", "call_id": call,
            "output": format!("Wall time: 0.1 seconds\nProcess exited with code 0\nOutput:\n{text}")}),
        ));
    }
    out.push(line(6, "event_msg", json!({"type": "token_count", "info": {"total_token_usage": {"input_tokens": 1000, "total_tokens": 1040}}})));
    out
}
