//! OpenHands: one JSON file per event (SDK, "V1"), and the older single-file logs ("V0").
//!
//! Timestamps are naive local time of a machine we need not be on: only one with an offset counts.

use serde_json::Value;

use crate::json::{at, cut, owned, text, time_ns};
use crate::{Actor, Body, Class, Decision, Item, Origin, Status};

#[derive(Default)]
pub(crate) struct OpenHands {
    /// Events of a V0 log that were given already: the file is replaced whole, and grows.
    given: usize,
    /// What the conversation's state said last: its file is rewritten at every step.
    session: Option<Body>,
}

impl OpenHands {
    pub(crate) fn items(&mut self, record: &Value) -> Vec<Item> {
        if let Some(log) = record.as_array().or_else(|| at(record, &["history"])?.as_array()) {
            let items = log.iter().skip(self.given).flat_map(event).collect();
            self.given = self.given.max(log.len());
            return items;
        }
        if is_event(record) {
            return event(record);
        }
        match session(record) {
            Some(body) if self.session.as_ref() == Some(&body) => Vec::new(),
            Some(body) => {
                self.session = Some(body.clone());
                vec![item(record, body)]
            }
            None => vec![other(record, "document".to_owned())],
        }
    }
}

fn is_event(record: &Value) -> bool {
    ["kind", "action", "observation"].iter().any(|key| text(record, &[key]).is_some())
}

fn event(record: &Value) -> Vec<Item> {
    let bodies = if let Some(kind) = text(record, &["kind"]) {
        v1(kind, record)
    } else if let Some(action) = text(record, &["action"]) {
        v0_action(action, record)
    } else if let Some(observation) = text(record, &["observation"]) {
        v0_observation(observation, record)
    } else {
        vec![Body::Other { record_type: "event without a kind".to_owned() }]
    };
    bodies.into_iter().map(|body| item(record, body)).collect()
}

fn item(record: &Value, body: Body) -> Item {
    Item { time_ns: text(record, &["timestamp"]).and_then(time_ns), actor: Actor::Main, body }
}

fn other(record: &Value, record_type: String) -> Item {
    item(record, Body::Other { record_type })
}

/// `base_state.json`.
fn session(record: &Value) -> Option<Body> {
    at(record, &["agent"])?.as_object()?;
    Some(Body::Session {
        id: text(record, &["id"])?.to_owned(),
        version: None,
        model: some(record, &["agent", "llm", "model"]),
        cwd: some(record, &["workspace", "working_dir"]),
        parent: None,
        authority: some(record, &["confirmation_policy", "kind"]),
    })
}

fn some(value: &Value, keys: &[&str]) -> Option<String> {
    text(value, keys).map(str::to_owned)
}

// ---- V1 ----

fn v1(kind: &str, record: &Value) -> Vec<Body> {
    match kind {
        "MessageEvent" => v1_message(record),
        "ActionEvent" => v1_action(record),
        "ObservationEvent" => v1_observation(record),
        "AgentErrorEvent" => vec![v1_error(record)],
        "UserRejectObservation" => v1_reject(record),
        // The agent stops, and waits for someone.
        "PauseEvent" | "InterruptEvent" | "ConversationErrorEvent" => vec![Body::TurnEnd],
        // What the harness does for itself. A hook that blocks a call is told by `UserRejectObservation`.
        "SystemPromptEvent"
        | "ConversationStateUpdateEvent"
        | "HookExecutionEvent"
        | "Condensation"
        | "CondensationRequest"
        | "CondensationSummaryEvent"
        | "TokenEvent"
        | "LLMCompletionLogEvent"
        | "StreamingDeltaEvent" => Vec::new(),
        _ => vec![Body::Other { record_type: kind.to_owned() }],
    }
}

fn v1_message(record: &Value) -> Vec<Body> {
    let message = at(record, &["llm_message"]).unwrap_or(&Value::Null);
    let said = content(at(message, &["content"]));
    if text(record, &["source"]) == Some("agent") {
        let mut bodies = thinking(message);
        bodies.push(Body::Text { text: said, last: true });
        // A message without a call is how the agent hands back.
        bodies.push(Body::TurnEnd);
        return bodies;
    }
    let origin = match (text(record, &["source"]), text(record, &["sender"])) {
        // Only another agent gives its name.
        (_, Some(_)) => Origin::Agent,
        (Some("user"), None) => Origin::User,
        (Some("environment"), None) => Origin::System,
        _ => Origin::Unknown,
    };
    vec![Body::Prompt { text: said, origin }]
}

fn v1_action(record: &Value) -> Vec<Body> {
    let mut bodies = thinking(record);
    let thought = content(at(record, &["thought"]));
    if !thought.is_empty() {
        bodies.push(Body::Text { text: thought, last: false });
    }
    match text(record, &["action", "kind"]) {
        Some("FinishAction") => {
            bodies.push(Body::Text { text: owned(record, &["action", "message"]), last: true });
            bodies.push(Body::TurnEnd);
        }
        Some("ThinkAction") => bodies.push(Body::Thinking { text: owned(record, &["action", "thought"]) }),
        kind => bodies.push(v1_call(kind.unwrap_or_default(), record)),
    }
    bodies
}

fn v1_call(kind: &str, record: &Value) -> Body {
    let action = at(record, &["action"]).unwrap_or(&Value::Null);
    let tool = owned(record, &["tool_name"]);
    let class = v1_class(kind, &tool, action);
    // Keys typed into a program that runs are no command.
    let command = match class {
        Class::Execute if !flag(action, "is_input") => some(action, &["command"]),
        _ => None,
    };
    Body::Call {
        call_id: owned(record, &["tool_call_id"]),
        tool,
        class,
        command,
        paths: paths(class, action),
        cwd: None,
        arguments: some(record, &["tool_call", "arguments"]).unwrap_or_else(|| action.to_string()),
        background: false,
    }
}

fn v1_class(kind: &str, tool: &str, action: &Value) -> Class {
    // Without an action (unknown tool, bad arguments) there is the name only.
    match if kind.is_empty() { tool } else { kind } {
        "TerminalAction" | "ExecuteBashAction" | "terminal" | "execute_bash" => Class::Execute,
        "FileEditorAction" | "StrReplaceEditorAction" | "PlanningFileEditorAction" | "file_editor" => {
            edit_or_read(action)
        }
        "ApplyPatchAction" | "WriteFileAction" | "EditAction" | "apply_patch" => Class::Edit,
        "ReadFileAction" | "VisionInspectAction" => Class::Read,
        "GlobAction" | "GrepAction" | "ListDirectoryAction" | "glob" | "grep" => Class::Search,
        "TaskTrackerAction" | "task_tracker" => Class::Plan,
        "TaskAction" | "DelegateAction" | "StartChildConversationAction" | "WorkflowAction" => {
            Class::Delegate
        }
        "MCPToolAction" => Class::Mcp,
        name if name.starts_with("Browser") => Class::Fetch,
        _ => Class::Other,
    }
}

fn edit_or_read(action: &Value) -> Class {
    if text(action, &["command"]) == Some("view") { Class::Read } else { Class::Edit }
}

fn paths(class: Class, action: &Value) -> Vec<String> {
    if !matches!(class, Class::Read | Class::Edit | Class::Search) {
        return Vec::new();
    }
    let named = ["path", "file_path", "dir_path"].into_iter().filter_map(|key| some(action, &[key]));
    named.chain(text(action, &["patch"]).map(crate::opencode::patched).unwrap_or_default()).collect()
}

fn v1_observation(record: &Value) -> Vec<Body> {
    let observation = at(record, &["observation"]).unwrap_or(&Value::Null);
    // These only repeat what the action said.
    if matches!(text(observation, &["kind"]), Some("FinishObservation" | "ThinkObservation")) {
        return Vec::new();
    }
    let (status, exit_code) = v1_outcome(observation);
    vec![result(owned(record, &["tool_call_id"]), status, exit_code, &content(at(observation, &["content"])))]
}

fn v1_outcome(observation: &Value) -> (Status, Option<i32>) {
    let error = flag(observation, "is_error");
    let terminal =
        matches!(text(observation, &["kind"]), Some("TerminalObservation" | "ExecuteBashObservation"));
    if !terminal {
        return (if error { Status::Failed } else { Status::Ok }, None);
    }
    let code =
        number(observation, &["exit_code"]).or_else(|| number(observation, &["metadata", "exit_code"]));
    match code {
        // `is_error` is about the tool: a command that fails by itself has `is_error: false`.
        Some(0) if !error => (Status::Ok, Some(0)),
        Some(code) if code >= 0 => (Status::Failed, Some(code)),
        // Refused by the terminal: several commands at once, or one while another still runs.
        _ if error => (Status::NotRun, None),
        // -1 also stands for a prompt that could not be read.
        Some(_) if suffix(observation).contains("could not be determined") => (Status::Unknown, None),
        Some(_) => (Status::Running, None),
        None => (Status::Unknown, None),
    }
}

fn suffix(observation: &Value) -> &str {
    text(observation, &["metadata", "suffix"]).unwrap_or_default()
}

fn v1_error(record: &Value) -> Body {
    let error = text(record, &["error"]).unwrap_or_default();
    let status = if error.starts_with("Error executing tool") {
        Status::Failed
    } else if error.contains("interrupted before completion") {
        Status::Killed
    } else {
        Status::NotRun
    };
    result(owned(record, &["tool_call_id"]), status, None, error)
}

fn v1_reject(record: &Value) -> Vec<Body> {
    let reason = owned(record, &["rejection_reason"]);
    let by = some(record, &["rejection_source"]).unwrap_or_else(|| "user".to_owned());
    rejected(owned(record, &["tool_call_id"]), by, reason)
}

fn rejected(call_id: String, by: String, reason: String) -> Vec<Body> {
    let denied = result(call_id.clone(), Status::Denied, None, &reason);
    vec![Body::Decision { call_id: Some(call_id), decision: Decision::Reject, by, reason }, denied]
}

fn thinking(holder: &Value) -> Vec<Body> {
    let blocks = at(holder, &["thinking_blocks"]).and_then(Value::as_array).into_iter().flatten();
    let mut texts: Vec<&str> = blocks.filter_map(|block| text(block, &["thinking"])).collect();
    if texts.is_empty() {
        // With thinking blocks, this is the same text once more.
        texts.extend(text(holder, &["reasoning_content"]));
    }
    texts.retain(|text| !text.is_empty());
    texts.into_iter().map(|text| Body::Thinking { text: text.to_owned() }).collect()
}

/// Text of a list of content blocks, or a plain string.
fn content(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| text(block, &["text"])).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

// ---- V0 ----

fn v0_action(action: &str, record: &Value) -> Vec<Body> {
    let args = at(record, &["args"]).unwrap_or(&Value::Null);
    match action {
        "message" => return v0_message(record, args),
        "finish" => return v0_finish(record, args),
        "think" => return vec![Body::Thinking { text: owned(args, &["thought"]) }],
        "reject" => return vec![Body::TurnEnd],
        "null"
        | "system"
        | "recall"
        | "change_agent_state"
        | "pause"
        | "resume"
        | "stop"
        | "condensation"
        | "condensation_request"
        | "loop_recovery"
        | "start" => return Vec::new(),
        _ => {}
    }
    let Some(class) = v0_class(action, args) else {
        return vec![Body::Other { record_type: format!("action {action}") }];
    };
    let mut bodies = Vec::new();
    let thought = owned(args, &["thought"]);
    if !thought.is_empty() {
        bodies.push(Body::Text { text: thought, last: false });
    }
    bodies.push(v0_call(action, class, record, args));
    bodies
}

fn v0_class(action: &str, args: &Value) -> Option<Class> {
    Some(match action {
        "run" | "run_ipython" => Class::Execute,
        "read" => Class::Read,
        "write" => Class::Edit,
        "edit" => edit_or_read(args),
        "browse" | "browse_interactive" => Class::Fetch,
        "call_tool_mcp" => Class::Mcp,
        "delegate" => Class::Delegate,
        "task_tracking" | "add_task" | "modify_task" => Class::Plan,
        _ => return None,
    })
}

fn v0_call(action: &str, class: Class, record: &Value, args: &Value) -> Body {
    let tool = text(record, &["tool_call_metadata", "function_name"]).or_else(|| text(args, &["name"]));
    // `run_ipython` has Python in `code`: no command of a shell.
    let command = if action == "run" && !flag(args, "is_input") { some(args, &["command"]) } else { None };
    Body::Call {
        call_id: v0_id(record, "id"),
        tool: tool.unwrap_or(action).to_owned(),
        class,
        command,
        paths: paths(class, args),
        cwd: some(args, &["cwd"]),
        arguments: args.to_string(),
        background: flag(args, "background"),
    }
}

fn v0_message(record: &Value, args: &Value) -> Vec<Body> {
    let said = some(args, &["content"]).unwrap_or_else(|| owned(record, &["message"]));
    match text(record, &["source"]) {
        Some("agent") => {
            let last = flag(args, "wait_for_response");
            let mut bodies = vec![Body::Text { text: said, last }];
            bodies.extend(last.then_some(Body::TurnEnd));
            bodies
        }
        Some("user") => vec![Body::Prompt { text: said, origin: Origin::User }],
        Some("environment") => vec![Body::Prompt { text: said, origin: Origin::System }],
        _ => vec![Body::Prompt { text: said, origin: Origin::Unknown }],
    }
}

fn v0_finish(record: &Value, args: &Value) -> Vec<Body> {
    let candidates = [text(args, &["final_thought"]), text(args, &["thought"]), text(record, &["message"])];
    let said = candidates.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default();
    vec![Body::Text { text: said.to_owned(), last: true }, Body::TurnEnd]
}

fn v0_observation(observation: &str, record: &Value) -> Vec<Body> {
    let call_id = v0_id(record, "cause");
    let output = owned(record, &["content"]);
    let done = |status, exit_code| vec![result(call_id.clone(), status, exit_code, &output)];
    match observation {
        "run" => {
            let (status, exit_code) = v0_outcome(record);
            done(status, exit_code)
        }
        "user_rejected" => rejected(call_id, "user".to_owned(), output),
        // An error that answers no action is one of the harness.
        "error" if call_id.is_empty() => vec![Body::Other { record_type: "observation error".to_owned() }],
        "error" => done(Status::Failed, None),
        "read" | "write" | "edit" | "run_ipython" | "delegate" | "task_tracking" => done(Status::Ok, None),
        "browse" | "browse_interactive" if flag_at(record, &["extras", "error"]) => {
            done(Status::Failed, None)
        }
        "browse" | "browse_interactive" | "mcp" => done(Status::Ok, None),
        "null"
        | "agent_state_changed"
        | "recall"
        | "think"
        | "condense"
        | "success"
        | "system"
        | "download"
        | "loop_detection" => Vec::new(),
        _ => vec![Body::Other { record_type: format!("observation {observation}") }],
    }
}

fn v0_outcome(record: &Value) -> (Status, Option<i32>) {
    let extras = |keys: &[&str]| number(at(record, &["extras"])?, keys);
    match extras(&["metadata", "exit_code"]).or_else(|| extras(&["exit_code"])) {
        Some(0) => (Status::Ok, Some(0)),
        Some(code) if code > 0 => (Status::Failed, Some(code)),
        Some(_) => (Status::Running, None),
        None => (Status::Unknown, None),
    }
}

/// An event's number is what its observation names as `cause`.
fn v0_id(record: &Value, key: &str) -> String {
    match at(record, &[key]) {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(id)) => id.clone(),
        _ => owned(record, &["tool_call_metadata", "tool_call_id"]),
    }
}

// ---- both ----

fn result(call_id: String, status: Status, exit_code: Option<i32>, output: &str) -> Body {
    Body::Result {
        call_id,
        status,
        exit_code,
        output: cut(output, Item::OUTPUT_MAX).to_owned(),
        output_len: output.len() as u64,
        process_group: None,
    }
}

fn number(value: &Value, keys: &[&str]) -> Option<i32> {
    i32::try_from(at(value, keys)?.as_i64()?).ok()
}

fn flag(value: &Value, key: &str) -> bool {
    flag_at(value, &[key])
}

fn flag_at(value: &Value, keys: &[&str]) -> bool {
    at(value, keys).and_then(Value::as_bool).unwrap_or_default()
}
