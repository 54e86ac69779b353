//! The account that a drill agent keeps: lines as Claude Code's, which Muster reads. Honest, or doctored as the drill says.

use serde_json::{Value, json};

/// One session's account. Gives lines; who writes them is another's business.
pub struct Account {
    session: String,
    cwd: String,
    parent: Option<String>,
    count: u64,
}

/// What a tool call came to, as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Result<'a> {
    pub output: &'a str,
    pub exit: i32,
    /// A written file, not a shell command.
    pub file: bool,
}

impl Account {
    /// `session`: a UUID.
    pub fn new(session: &str, cwd: &str) -> Self {
        Account { session: session.to_owned(), cwd: cwd.to_owned(), parent: None, count: 0 }
    }

    pub fn prompt(&mut self, time: &str, text: &str) -> String {
        self.line(time, json!({"type": "user", "message": {"role": "user", "content": text}, "permissionMode": "default"}))
    }

    pub fn shell(&mut self, time: &str, call: &str, command: &str) -> String {
        self.call(time, call, "Bash", json!({"command": command}))
    }

    pub fn file(&mut self, time: &str, call: &str, path: &str, text: &str) -> String {
        self.call(time, call, "Write", json!({"file_path": path, "content": text}))
    }

    fn call(&mut self, time: &str, call: &str, tool: &str, input: Value) -> String {
        let block = json!({"type": "tool_use", "id": call, "name": tool, "input": input});
        self.assistant(time, block, "tool_use")
    }

    pub fn result(&mut self, time: &str, call: &str, result: Result) -> String {
        let failed = result.exit != 0;
        let content = match failed {
            true => format!("Exit code {}\n{}", result.exit, result.output),
            false => result.output.to_owned(),
        };
        let detail = match (result.file, failed) {
            (true, _) => json!({"type": "create"}),
            (false, true) => json!(format!("Error: {content}")),
            (false, false) => json!({"stdout": result.output, "stderr": "", "interrupted": false}),
        };
        let block =
            json!({"type": "tool_result", "tool_use_id": call, "content": content, "is_error": failed});
        self.line(
            time,
            json!({"type": "user", "message": {"role": "user", "content": [block]}, "toolUseResult": detail}),
        )
    }

    pub fn say(&mut self, time: &str, text: &str) -> String {
        self.assistant(time, json!({"type": "text", "text": text}), "end_turn")
    }

    fn assistant(&mut self, time: &str, block: Value, stop: &str) -> String {
        let id = format!("msg_{}", self.count);
        let message =
            json!({"id": id, "role": "assistant", "model": "drill", "content": [block], "stop_reason": stop});
        self.line(time, json!({"type": "assistant", "message": message}))
    }

    fn line(&mut self, time: &str, mut record: Value) -> String {
        self.count += 1;
        // A UUID of the session's own with the line's number in its last part.
        let head = self.session.get(..24).unwrap_or_default();
        let id = format!("{head}{:012x}", self.count);
        if let Some(fields) = record.as_object_mut() {
            fields.insert("parentUuid".to_owned(), json!(self.parent));
            fields.insert("uuid".to_owned(), json!(id));
            fields.insert("timestamp".to_owned(), json!(time));
            fields.insert("cwd".to_owned(), json!(self.cwd));
            fields.insert("sessionId".to_owned(), json!(self.session));
            fields.insert("version".to_owned(), json!("1.0.0"));
            fields.insert("isSidechain".to_owned(), json!(false));
        }
        self.parent = Some(id);
        format!("{record}\n")
    }
}
