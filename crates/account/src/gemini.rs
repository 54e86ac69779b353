//! Gemini CLI: one JSON object per line, written again when more is known; older versions: one object per file.

use std::collections::HashSet;

use serde_json::Value;

use crate::json::{at, cut, owned, text, time_ns};
use crate::{Actor, Body, Class, Item, Origin, Status};

/// Messages whose parts were given already. A record comes again a moment later, not after thousands of others.
const GIVEN_MAX: usize = 65_536;

#[derive(Default)]
pub(crate) struct Gemini {
    /// What was given of each message: text, and calls and results by their id.
    given: HashSet<(String, &'static str)>,
    session: Option<String>,
    model: Option<String>,
    sub_agent: Option<String>,
}

impl Gemini {
    pub(crate) fn items(&mut self, record: &Value) -> Vec<Item> {
        if self.given.len() >= GIVEN_MAX {
            self.given.clear();
        }
        let mut out = Vec::new();
        let set = at(record, &["$set"]);
        let header = set.unwrap_or(record);
        if text(header, &["sessionId"]).is_some() {
            self.header(header, &mut out);
        }
        if let Some(messages) = at(header, &["messages"]).and_then(Value::as_array) {
            for message in messages {
                self.message(message, &mut out);
            }
        } else if set.is_none() && text(record, &["type"]).is_some() {
            self.message(record, &mut out);
        } else if set.is_some() && out.is_empty() {
            // Only housekeeping (`lastUpdated`), or a summary.
            out.push(item(record, &self.actor(), Body::Other { record_type: "$set".to_owned() }));
        }
        if out.is_empty() && !self.knows(record) {
            let record_type = match record.as_object().and_then(|o| o.keys().next()) {
                Some(key) => format!("record with `{key}`"),
                None => "record without keys".to_owned(),
            };
            out.push(item(record, &self.actor(), Body::Other { record_type }));
        }
        out
    }

    /// A message that was given before, or that carries results which stand beside their calls already.
    fn knows(&self, record: &Value) -> bool {
        matches!(text(record, &["type"]), Some("gemini" | "user"))
    }

    fn actor(&self) -> Actor {
        match &self.sub_agent {
            Some(id) => Actor::Sub { id: id.clone() },
            None => Actor::Main,
        }
    }

    fn header(&mut self, header: &Value, out: &mut Vec<Item>) {
        let id = owned(header, &["sessionId"]);
        if text(header, &["kind"]) == Some("subagent") {
            self.sub_agent = Some(id.clone());
        }
        if self.session.as_ref() == Some(&id) {
            return;
        }
        self.session = Some(id);
        out.push(item(header, &self.actor(), self.session_body()));
    }

    fn session_body(&self) -> Body {
        Body::Session {
            id: self.session.clone().unwrap_or_default(),
            version: None,
            model: self.model.clone(),
            cwd: None,
            parent: None,
            authority: None,
        }
    }

    fn message(&mut self, message: &Value, out: &mut Vec<Item>) {
        let id = owned(message, &["id"]);
        let actor = self.actor();
        let mut put = |body| out.push(item(message, &actor, body));
        match text(message, &["type"]).unwrap_or_default() {
            "user" => {
                let prompt = content(message);
                if !prompt.is_empty() && self.given.insert((id, "prompt")) {
                    let harness = prompt.starts_with("<session_context>");
                    let origin = if harness { Origin::System } else { Origin::User };
                    put(Body::Prompt { text: prompt, origin });
                }
            }
            "gemini" => {
                if let Some(model) = text(message, &["model"])
                    && self.model.as_deref() != Some(model)
                {
                    self.model = Some(model.to_owned());
                    put(self.session_body());
                }
                let thoughts: Vec<String> = list(at(message, &["thoughts"]))
                    .map(|t| format!("{}: {}", owned(t, &["subject"]), owned(t, &["description"])))
                    .collect();
                if !thoughts.is_empty() && self.given.insert((id.clone(), "thoughts")) {
                    put(Body::Thinking { text: thoughts.join("\n") });
                }
                let prose = content(message);
                let calls = at(message, &["toolCalls"]).and_then(Value::as_array);
                if !prose.is_empty() && self.given.insert((id, "text")) {
                    put(Body::Text { text: prose, last: false });
                }
                for call in calls.into_iter().flatten() {
                    let call_id = owned(call, &["id"]);
                    if self.given.insert((call_id.clone(), "call")) {
                        let body = call_body(call, &call_id);
                        let run = match &body {
                            Body::Call { command: Some(command), .. } => without_shell(command),
                            _ => None,
                        };
                        put(body);
                        if let Some(command) = run {
                            let arguments = String::new();
                            put(Body::Effective {
                                call_id: call_id.clone(),
                                command: Some(command),
                                arguments,
                            });
                        }
                    }
                    if let Some(result) = result_body(call, &call_id)
                        && self.given.insert((call_id.clone(), "result"))
                    {
                        put(result);
                    }
                }
            }
            kind @ ("info" | "error" | "warning") => {
                if self.given.insert((id, "notice")) {
                    put(Body::Other { record_type: format!("message {kind}") });
                }
            }
            kind => put(Body::Other { record_type: format!("message {kind}") }),
        }
    }
}

fn item(record: &Value, actor: &Actor, body: Body) -> Item {
    let time = text(record, &["timestamp"]).or_else(|| text(record, &["startTime"]));
    Item { time_ns: time.and_then(time_ns), actor: actor.clone(), body }
}

pub(crate) fn call_body(call: &Value, call_id: &str) -> Body {
    let tool = owned(call, &["name"]);
    let arguments = at(call, &["args"]).unwrap_or(&Value::Null);
    let class = class(&tool);
    let path =
        ["file_path", "absolute_path", "path", "dir_path"].iter().find_map(|key| text(arguments, &[key]));
    Body::Call {
        call_id: call_id.to_owned(),
        class,
        command: (class == Class::Execute)
            .then(|| text(arguments, &["command"]))
            .flatten()
            .map(str::to_owned),
        paths: path.map(str::to_owned).into_iter().collect(),
        cwd: ["directory", "dir_path"]
            .iter()
            .find_map(|key| text(arguments, &[key]))
            .filter(|_| class == Class::Execute)
            .map(str::to_owned),
        arguments: arguments.to_string(),
        background: at(arguments, &["is_background"]) == Some(&Value::Bool(true)),
        tool,
    }
}

/// What became of a call; nothing while it waits.
fn result_body(call: &Value, call_id: &str) -> Option<Body> {
    let response = list(at(call, &["result"])).find_map(|part| at(part, &["functionResponse", "response"]));
    let said = text(call, &["status"]).unwrap_or_default();
    if response.is_none() && !matches!(said, "error" | "cancelled" | "success") {
        return None;
    }
    let output =
        response.and_then(|r| text(r, &["output"]).or_else(|| text(r, &["error"]))).unwrap_or_default();
    let inside = output.strip_prefix("<untrusted_context>\n").unwrap_or(output);
    let inside = inside.strip_suffix("\n</untrusted_context>").unwrap_or(inside);
    let shell = class(text(call, &["name"]).unwrap_or_default()) == Class::Execute;
    let ended = if shell { shell_end(inside) } else { ShellEnd::Unsaid };
    let exit_code = match ended {
        ShellEnd::Exited(code) if said == "success" => Some(code),
        ShellEnd::Exited(_) | ShellEnd::Otherwise(_) | ShellEnd::Unsaid => None,
    };
    let status = match said {
        "success" => match ended {
            ShellEnd::Otherwise(status) => status,
            ShellEnd::Exited(_) | ShellEnd::Unsaid => Status::Ok,
        },
        "cancelled" => cancelled_status(inside),
        "error" => error_status(inside),
        _ => Status::Unknown,
    };
    Some(Body::Result {
        call_id: call_id.to_owned(),
        status,
        exit_code,
        output: cut(inside, Item::OUTPUT_MAX).to_owned(),
        output_len: inside.len() as u64,
        process_group: if shell { trailer(inside, "Process Group PGID: ") } else { None },
    })
}

/// A person's "no" before the act, or an end in its midst.
fn cancelled_status(reason: &str) -> Status {
    let refused = ["denied execution", "did not allow"].iter().any(|words| reason.contains(words));
    if refused || reason.is_empty() { Status::Denied } else { Status::Unknown }
}

/// What an error was, by the words that Gemini CLI itself puts at its beginning.
fn error_status(error: &str) -> Status {
    let starts = |opening: &&str| error.starts_with(opening);
    let denied = ["Tool execution blocked", "Tool execution denied by policy", "User denied execution"];
    // Arguments that do not fit, a folder outside of the workspace; below: no such tool, or one that the settings exclude.
    let unfit = [
        "params must ",
        "params/",
        "Value of params must ",
        "Tool parameter modification by hook failed validation",
        "Path not in workspace: ",
    ];
    let no_tool = |e: &str| e.strip_prefix("Tool \"").is_some_and(|e| e.contains("\" not found"));
    if denied.iter().any(starts)
        || error.starts_with("Tool execution for \"") && error.contains("\" denied by policy")
    {
        Status::Denied
    } else if unfit.iter().any(starts) || no_tool(error) {
        Status::NotRun
    } else if error.starts_with("Agent execution stopped by hook: ") {
        // By a hook before the act, or by one after it: the same words.
        Status::Unknown
    } else {
        Status::Failed
    }
}

/// How a command ended.
enum ShellEnd {
    Exited(i32),
    /// By a signal, or not by itself, or not yet.
    Otherwise(Status),
    /// In the words of some other program (a summary by the model).
    Unsaid,
}

/// "success" only means that the tool worked. An exit code of 0 is never told: it is what a whole block at the end, with
/// neither code nor signal nor error, stands for.
fn shell_end(output: &str) -> ShellEnd {
    // What it answers, as a success, where it did not even begin. A command's own output follows `Output: `.
    const OPENINGS: [(&str, Status); 6] = [
        ("Command injection detected: ", Status::NotRun),
        ("Command was cancelled by user before it could start", Status::NotRun),
        ("Command was automatically cancelled", Status::TimedOut),
        ("Command was cancelled by user", Status::Killed),
        ("Command moved to background", Status::Running),
        ("Command is running in background", Status::Running),
    ];
    if let Some((_, status)) = OPENINGS.iter().find(|(opening, _)| output.starts_with(opening)) {
        return ShellEnd::Otherwise(*status);
    }
    if let Some(code) = trailer(output, "Exit Code: ") {
        return ShellEnd::Exited(code);
    }
    if trailer::<i32>(output, "Signal: ").is_some_and(|signal| signal != 0) {
        return ShellEnd::Otherwise(Status::Failed);
    }
    let error = trailer::<String>(output, "Error: ").is_some_and(|error| error != "(none)");
    match trailer::<u32>(output, "Process Group PGID: ") {
        Some(_) if !error => ShellEnd::Exited(0),
        Some(_) | None => ShellEnd::Unsaid,
    }
}

/// Gemini CLI takes a shell off that the model puts before its command (`bash -c 'ls'`), and runs the rest in its own.
fn without_shell(command: &str) -> Option<String> {
    let (shell, rest) = command.trim_start().split_once(char::is_whitespace)?;
    let name = shell.rsplit('/').next().unwrap_or(shell).to_ascii_lowercase();
    if !matches!(name.as_str(), "sh" | "bash" | "zsh") {
        return None;
    }
    let script = rest.trim_start().strip_prefix("-c")?;
    if !script.starts_with(char::is_whitespace) {
        return None;
    }
    let script = script.trim();
    let within = |quote: char| script.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(plain) = within('\'') {
        return Some(plain.to_owned());
    }
    let Some(quoted) = within('"') else { return Some(script.to_owned()) };
    let mut out = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '$' | '`' | '\\')) => out.push(escaped),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            // More than one word: taken as it stands.
            '"' => return Some(quoted.to_owned()),
            c => out.push(c),
        }
    }
    Some(out)
}

/// The number in a line at the end of a shell's output. The lines before are the command's own words: only the block at
/// the very end is the harness's.
fn trailer<T: std::str::FromStr>(output: &str, name: &str) -> Option<T> {
    const NAMES: [&str; 6] =
        ["Exit Code: ", "Process Group PGID: ", "Background PIDs: ", "Signal: ", "Error: ", "Directory: "];
    output
        .lines()
        .rev()
        .take_while(|line| NAMES.iter().any(|known| line.starts_with(known)))
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn class(tool: &str) -> Class {
    match tool {
        "run_shell_command" => Class::Execute,
        "write_file" | "replace" => Class::Edit,
        "read_file" | "read_many_files" => Class::Read,
        "glob" | "grep_search" | "search_file_content" | "list_directory" => Class::Search,
        "web_fetch" | "google_web_search" => Class::Fetch,
        "write_todos" => Class::Plan,
        "ask_user" => Class::Ask,
        "delegate_to_agent" | "codebase_investigator" | "invoke_agent" => Class::Delegate,
        tool if tool.starts_with("mcp_") => Class::Mcp,
        _ => Class::Other,
    }
}

/// A string, or parts with texts.
fn content(message: &Value) -> String {
    match at(message, &["content"]) {
        Some(Value::String(text)) => text.clone(),
        content => list(content).filter_map(|part| text(part, &["text"])).collect::<Vec<_>>().join("\n"),
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}
