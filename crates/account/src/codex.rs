//! Codex CLI's rollout: one JSON object per line, where most of what happens is said twice (as an event and as an item of the history).

use std::collections::{BTreeMap, VecDeque};

use muster_event::Nanos;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::item::{Actor, Body, Class, Decision, Item, Origin, Status};
use crate::json::{at, cut, owned, text, time_ns};

/// Calls remembered, to know which have been shown and which have their result.
const CALLS_MAX: usize = 8192;
/// Processes remembered that run on under a session number of Codex.
const PROCESSES_MAX: usize = 1024;
/// Longest call id kept for such a process; Codex's own have some thirty bytes.
const ID_MAX: usize = 1024;
/// Pieces of prose remembered in a turn, to know the mirror of one already given.
const SAID_MAX: usize = 4096;

/// What is known of the newest values under keys from the account; old ones are forgotten.
/// Keys are kept as hashes: an account decides how long its ids are.
pub(crate) struct Recent<V> {
    max: usize,
    values: BTreeMap<[u8; 32], V>,
    order: VecDeque<[u8; 32]>,
}

impl<V> Recent<V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, values: BTreeMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.values.get(&hash(key))
    }

    pub(crate) fn set(&mut self, key: &str, value: V) {
        let key = hash(key);
        if self.values.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.order.clear();
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

pub(crate) struct Codex {
    session: Session,
    calls: Recent<Call>,
    /// Session number of a running process → the call that started it.
    processes: Recent<String>,
    said: Recent<Seen>,
    /// No turn is under way: what ends now was ended by Codex itself.
    turn_over: bool,
    /// Web searches come as events here, so the history's copy of them (often without an id) is the mirror.
    search_events: bool,
}

#[derive(Clone, Default, PartialEq)]
struct Session {
    id: Option<String>,
    version: Option<String>,
    model: Option<String>,
    cwd: Option<String>,
    parent: Option<String>,
    authority: Option<String>,
    /// The thread of a sub-agent: its "user" is the agent that started it.
    sub_agent: bool,
    /// Who answers when Codex asks for approval.
    reviewer: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
struct Call {
    kind: Kind,
    /// A result that says how it ended has been given.
    finished: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Command,
    /// Input to a process that an earlier call started.
    Input,
    Tool,
}

/// How often a text was met in each of the places that say it. It is new while one place has it more often than all others had.
#[derive(Clone, Copy, Default)]
struct Seen([u32; 3]);

#[derive(Clone, Copy)]
enum Place {
    History = 0,
    Item = 1,
    Event = 2,
}

impl Seen {
    fn add(&mut self, place: Place) -> bool {
        let before = self.0.iter().copied().max().unwrap_or(0);
        let Some(count) = self.0.get_mut(place as usize) else { return false };
        *count = count.saturating_add(1);
        *count > before
    }
}

/// The items of one record, all with its time and speaker.
struct Out {
    time_ns: Option<Nanos>,
    actor: Actor,
    items: Vec<Item>,
}

impl Out {
    fn push(&mut self, body: Body) {
        self.items.push(Item { time_ns: self.time_ns, actor: self.actor.clone(), body });
    }

    fn other(&mut self, record_type: impl Into<String>) {
        self.push(Body::Other { record_type: record_type.into() });
    }
}

/// An outcome, before it is known whether it is news.
struct Outcome {
    status: Status,
    exit_code: Option<i32>,
    output: String,
}

impl Default for Codex {
    fn default() -> Self {
        Self {
            session: Session::default(),
            calls: Recent::new(CALLS_MAX),
            processes: Recent::new(PROCESSES_MAX),
            said: Recent::new(SAID_MAX),
            turn_over: false,
            search_events: false,
        }
    }
}

impl Codex {
    pub(crate) fn items(&mut self, record: &Value) -> Vec<Item> {
        let time = text(record, &["timestamp"]).and_then(time_ns);
        let mut out = Out { time_ns: time, actor: self.actor(), items: Vec::new() };
        let kind = text(record, &["type"]).unwrap_or_default();
        match (kind, record.get("payload")) {
            ("session_meta", Some(payload)) => self.session_meta(payload, &mut out),
            ("turn_context", Some(payload)) => self.turn_context(payload, &mut out),
            ("response_item", Some(payload)) => self.history(payload, &mut out),
            ("event_msg", Some(payload)) => self.event(payload, &mut out),
            // The first rollouts had no envelope: a bare head, then bare items.
            ("", None) if text(record, &["id"]).is_some() => self.session_meta(record, &mut out),
            (
                "message" | "reasoning" | "function_call" | "function_call_output" | "local_shell_call",
                None,
            ) => {
                self.history(record, &mut out);
            }
            ("", _) => out.other("no type"),
            (kind, _) => out.other(kind),
        }
        out.items
    }

    fn actor(&self) -> Actor {
        match &self.session.id {
            Some(id) if self.session.sub_agent => Actor::Sub { id: id.clone() },
            _ => Actor::Main,
        }
    }

    fn session_meta(&mut self, payload: &Value, out: &mut Out) {
        let Some(id) = text(payload, &["id"]).or_else(|| text(payload, &["session_id"])) else {
            return out.other("session_meta");
        };
        if self.session.id.as_deref().is_some_and(|own| own != id) {
            // A fork carries the head of the session it was forked from.
            self.session.parent.get_or_insert_with(|| id.to_owned());
            return self.session_item(out);
        }
        let session = &mut self.session;
        session.id = Some(id.to_owned());
        session.sub_agent = text(payload, &["thread_source"]) == Some("subagent")
            || at(payload, &["source", "subagent"]).is_some_and(|source| !source.is_null());
        known(&mut session.version, text(payload, &["cli_version"]));
        known(&mut session.cwd, text(payload, &["cwd"]));
        known(&mut session.model, text(payload, &["model"]));
        known(&mut session.parent, parent(payload, id));
        out.actor = self.actor();
        self.session_item(out);
    }

    fn turn_context(&mut self, payload: &Value, out: &mut Out) {
        let before = self.session.clone();
        known(&mut self.session.model, text(payload, &["model"]));
        known(&mut self.session.cwd, text(payload, &["cwd"]));
        known(&mut self.session.reviewer, text(payload, &["approvals_reviewer"]));
        let authority = authority(payload);
        known(&mut self.session.authority, authority.as_deref());
        if self.session != before {
            self.session_item(out);
        }
    }

    fn session_item(&self, out: &mut Out) {
        let Session { id, version, model, cwd, parent, authority, .. } = self.session.clone();
        out.push(Body::Session { id: id.unwrap_or_default(), version, model, cwd, parent, authority });
    }

    /// An item of the history that the model sees.
    fn history(&mut self, payload: &Value, out: &mut Out) {
        match text(payload, &["type"]).unwrap_or_default() {
            "message" => self.message(payload, out),
            "reasoning" => {
                let parts = texts(payload, &["summary"]).into_iter().chain(texts(payload, &["content"]));
                parts.for_each(|part| self.thinking(part, Place::History, out));
            }
            "function_call" => {
                let arguments = owned(payload, &["arguments"]);
                let parsed = serde_json::from_str(&arguments).unwrap_or(Value::Null);
                self.call(payload, tool_name(payload), &parsed, arguments, out);
            }
            "custom_tool_call" => {
                let input = payload.get("input").unwrap_or(&Value::Null);
                self.call(payload, tool_name(payload), input, as_text(input), out);
            }
            "local_shell_call" => {
                let action = payload.get("action").unwrap_or(&Value::Null);
                self.call(payload, "local_shell".to_owned(), action, action.to_string(), out);
            }
            "web_search_call" if self.search_events => {}
            "web_search_call" => self.web_search(payload, out),
            "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
                self.mirror(payload, out)
            }
            kind => out.other(format!("response_item/{kind}")),
        }
    }

    fn message(&mut self, payload: &Value, out: &mut Out) {
        match text(payload, &["role"]).unwrap_or_default() {
            "assistant" => {
                let last = text(payload, &["phase"]) == Some("final_answer");
                let text = texts(payload, &["content"]).join("\n");
                self.prose(&text, Place::History, last, out);
            }
            "user" => {
                for (origin, text) in prompts(payload) {
                    self.prompt(&text, self.origin(origin), Place::History, out);
                }
            }
            "developer" | "system" => {
                let text = texts(payload, &["content"]).join("\n");
                self.prompt(&text, Origin::System, Place::History, out);
            }
            role => out.other(format!("response_item/message {role}")),
        }
    }

    /// In the thread of a sub-agent, nobody but the agent that started it speaks as the user.
    fn origin(&self, origin: Origin) -> Origin {
        if self.session.sub_agent && origin == Origin::User { Origin::Agent } else { origin }
    }

    fn prompt(&mut self, text: &str, origin: Origin, place: Place, out: &mut Out) {
        if self.news("prompt", text, place) {
            out.push(Body::Prompt { text: text.to_owned(), origin });
        }
    }

    fn prose(&mut self, text: &str, place: Place, last: bool, out: &mut Out) {
        if self.news("text", text, place) {
            out.push(Body::Text { text: text.to_owned(), last });
        }
    }

    fn thinking(&mut self, text: &str, place: Place, out: &mut Out) {
        if self.news("thinking", text, place) {
            out.push(Body::Thinking { text: text.to_owned() });
        }
    }

    /// False for the mirror of a text that another place said before in this turn.
    fn news(&mut self, kind: &str, text: &str, place: Place) -> bool {
        if text.is_empty() {
            return false;
        }
        let key = format!("{kind} {text}");
        let mut seen = self.said.get(&key).copied().unwrap_or_default();
        let news = seen.add(place);
        self.said.set(&key, seen);
        news
    }

    fn call(&mut self, payload: &Value, tool: String, parsed: &Value, arguments: String, out: &mut Out) {
        let Some(call_id) = text(payload, &["call_id"]).or_else(|| text(payload, &["id"])) else {
            return out.other(format!("call without id: {tool}"));
        };
        if self.calls.get(call_id).is_some() {
            return;
        }
        let call = read_call(call_id, tool, parsed, arguments);
        self.remember(&call);
        out.push(call);
    }

    fn remember(&mut self, call: &Body) {
        let Body::Call { call_id, tool, class, .. } = call else { return };
        let kind = match class {
            _ if tool == "write_stdin" => Kind::Input,
            Class::Execute => Kind::Command,
            _ => Kind::Tool,
        };
        self.calls.set(call_id, Call { kind, finished: false });
    }

    /// A call that only its outcome tells of (code mode, or a history that was cut).
    fn implied(&mut self, call: Body, out: &mut Out) {
        let Body::Call { call_id, .. } = &call else { return };
        if self.calls.get(call_id).is_none() {
            self.remember(&call);
            out.push(call);
        }
    }

    /// Gives the result of a call, once: a later copy of it is dropped.
    fn finish(&mut self, call_id: &str, outcome: Outcome, out: &mut Out) {
        let known = self.calls.get(call_id).copied();
        if known.is_some_and(|call| call.finished) {
            return;
        }
        // An outcome that says nothing leaves room for one that does.
        let finished = !matches!(outcome.status, Status::Running | Status::Unknown);
        let kind = known.map_or(Kind::Tool, |call| call.kind);
        self.calls.set(call_id, Call { kind, finished });
        out.push(Body::Result {
            call_id: call_id.to_owned(),
            status: outcome.status,
            exit_code: outcome.exit_code,
            output: cut(&outcome.output, Item::OUTPUT_MAX).to_owned(),
            output_len: outcome.output.len() as u64,
            process_group: None,
        });
    }

    fn reject(call_id: &str, by: &str, reason: &str, out: &mut Out) {
        out.push(Body::Decision {
            call_id: Some(call_id.to_owned()),
            decision: Decision::Reject,
            by: by.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The output of a call as the model gets it. It mirrors the event, except where no event is written.
    fn mirror(&mut self, payload: &Value, out: &mut Out) {
        let Some(call_id) = text(payload, &["call_id"]).or_else(|| text(payload, &["id"])) else {
            return out.other("output without call id");
        };
        let said = output_text(payload.get("output").unwrap_or(&Value::Null));
        let kind = self.calls.get(call_id).map_or(Kind::Tool, |call| call.kind);
        let mut outcome = read_output(&said);
        if kind == Kind::Input {
            self.process_end(&said, &outcome, out);
            // The exit code is that of the process which the input went to, not of this call.
            outcome =
                Outcome { status: input_status(outcome.status), exit_code: None, output: outcome.output };
        } else if let Some(number) = running_number(&said).filter(|_| call_id.len() <= ID_MAX) {
            self.processes.set(number, call_id.to_owned());
        }
        if let Some(reason) = said.strip_prefix(HOOK_BLOCK) {
            Self::reject(call_id, "hook", reason, out);
        } else if let Some(reason) = by_policy(&said) {
            Self::reject(call_id, "rule", reason, out);
        }
        self.finish(call_id, outcome, out);
    }

    /// A process that ran on has ended, as told by the output of the call that asked after it.
    fn process_end(&mut self, said: &str, outcome: &Outcome, out: &mut Out) {
        if outcome.exit_code.is_none() {
            return;
        }
        // The output names the process only while it runs; the call that asked is bound to its number then.
        let _ = said;
        let _ = out;
    }

    fn event(&mut self, payload: &Value, out: &mut Out) {
        let call_id = text(payload, &["call_id"]).unwrap_or_default();
        match text(payload, &["type"]).unwrap_or_default() {
            "item_completed" => self.item(payload, out),
            "user_message" => {
                let said = owned(payload, &["message"]);
                self.prompt(&said, self.origin(Origin::User), Place::Event, out);
            }
            "agent_message" => {
                let last = text(payload, &["phase"]) == Some("final_answer");
                self.prose(&owned(payload, &["message"]), Place::Event, last, out);
            }
            "agent_reasoning" | "agent_reasoning_raw_content" => {
                self.thinking(&owned(payload, &["text"]), Place::Event, out);
            }
            "exec_command_end" => self.command_end(call_id, payload, out),
            "patch_apply_end" => self.patch_end(call_id, payload, out),
            "mcp_tool_call_end" => {
                let invocation = payload.get("invocation").unwrap_or(&Value::Null);
                self.mcp_end(call_id, invocation, payload, out);
            }
            "web_search_end" => {
                self.search_events = true;
                self.web_search(payload, out);
            }
            "task_started" | "turn_started" => {
                self.turn_over = false;
                self.said.clear();
                out.other("event_msg/task_started");
            }
            "task_complete" | "turn_complete" => {
                let said = owned(payload, &["last_agent_message"]);
                self.last_message(&said, out);
                self.turn_end(out);
            }
            "turn_aborted" => self.turn_end(out),
            kind => out.other(format!("event_msg/{kind}")),
        }
    }

    /// The final message of a turn was nearly always said already; it is given only if it was not.
    fn last_message(&mut self, said: &str, out: &mut Out) {
        let key = format!("text {said}");
        if !said.is_empty() && self.said.get(&key).is_none() {
            out.push(Body::Text { text: said.to_owned(), last: true });
        }
    }

    fn turn_end(&mut self, out: &mut Out) {
        self.turn_over = true;
        out.push(Body::TurnEnd);
    }

    fn item(&mut self, payload: &Value, out: &mut Out) {
        let item = payload.get("item").unwrap_or(&Value::Null);
        let id = text(item, &["id"]).unwrap_or_default();
        match text(item, &["type"]).unwrap_or_default() {
            "UserMessage" => {
                let said = texts(item, &["content"]).join("\n");
                self.prompt(&said, self.origin(Origin::User), Place::Item, out);
            }
            "AgentMessage" => {
                let last = text(item, &["phase"]) == Some("final_answer");
                self.prose(&texts(item, &["content"]).join("\n"), Place::Item, last, out);
            }
            "Reasoning" => {
                let parts = texts(item, &["summary_text"]).into_iter().chain(texts(item, &["raw_content"]));
                parts.for_each(|part| self.thinking(part, Place::Item, out));
            }
            "CommandExecution" => self.command_end(id, item, out),
            "FileChange" => self.patch_end(id, item, out),
            "McpToolCall" => self.mcp_end(id, item, item, out),
            "WebSearch" => {
                self.search_events = true;
                self.web_search(item, out);
            }
            kind => out.other(format!("event_msg/item_completed {kind}")),
        }
    }

    fn command_end(&mut self, call_id: &str, end: &Value, out: &mut Out) {
        if text(end, &["source"]) == Some("user_shell") {
            // The user's own command, typed into Codex: no act of the agent.
            return out.other("command of the user");
        }
        if call_id.is_empty() {
            return out.other("command without call id");
        }
        let command = end.get("command").unwrap_or(&Value::Null);
        self.implied(
            Body::Call {
                call_id: call_id.to_owned(),
                tool: "exec_command".to_owned(),
                class: Class::Execute,
                command: shell_text(command),
                paths: Vec::new(),
                cwd: text(end, &["cwd"]).map(plain_path),
                arguments: command.to_string(),
                background: false,
            },
            out,
        );
        let exit_code = exit_code(at(end, &["exit_code"]));
        let output = command_output(end);
        let status = self.command_status(text(end, &["status"]), exit_code, &output);
        if status == Status::Denied {
            self.declined(call_id, out);
        }
        self.finish(call_id, Outcome { status, exit_code, output }, out);
    }

    fn command_status(&self, said: Option<&str>, exit_code: Option<i32>, output: &str) -> Status {
        match (said, exit_code) {
            (Some("declined"), _) => Status::Denied,
            (_, Some(TIMED_OUT)) if output.starts_with("command timed out after") => Status::TimedOut,
            // Codex kills what still runs when the turn is over, and notes it afterwards.
            (Some("failed"), Some(-1)) if self.turn_over => Status::Killed,
            (Some("completed"), _) | (None, Some(0)) => Status::Ok,
            (Some("failed"), _) | (None, Some(_)) => Status::Failed,
            (Some("in_progress"), _) => Status::Running,
            _ => Status::Unknown,
        }
    }

    fn declined(&self, call_id: &str, out: &mut Out) {
        if self.calls.get(call_id).is_none_or(|call| !call.finished) {
            Self::reject(call_id, self.session.reviewer.as_deref().unwrap_or("unknown"), "declined", out);
        }
    }

    fn patch_end(&mut self, call_id: &str, end: &Value, out: &mut Out) {
        if call_id.is_empty() {
            return out.other("file change without call id");
        }
        let changes = end.get("changes").unwrap_or(&Value::Null);
        self.implied(
            Body::Call {
                call_id: call_id.to_owned(),
                tool: "apply_patch".to_owned(),
                class: Class::Edit,
                command: None,
                paths: changed_paths(changes),
                cwd: None,
                arguments: changes.to_string(),
                background: false,
            },
            out,
        );
        let status = match (text(end, &["status"]), at(end, &["success"]).and_then(Value::as_bool)) {
            (Some("declined"), _) => Status::Denied,
            (Some("completed"), _) | (None, Some(true)) => Status::Ok,
            (Some("failed"), _) | (None, Some(false)) => Status::Failed,
            _ => Status::Unknown,
        };
        if status == Status::Denied {
            self.declined(call_id, out);
        }
        let output = owned(end, &["stdout"]) + text(end, &["stderr"]).unwrap_or_default();
        self.finish(call_id, Outcome { status, exit_code: None, output }, out);
    }

    fn mcp_end(&mut self, call_id: &str, invocation: &Value, end: &Value, out: &mut Out) {
        if call_id.is_empty() {
            return out.other("MCP call without call id");
        }
        let (server, tool) = (owned(invocation, &["server"]), owned(invocation, &["tool"]));
        self.implied(
            Body::Call {
                call_id: call_id.to_owned(),
                tool: format!("mcp__{server}__{tool}"),
                class: Class::Mcp,
                command: None,
                paths: Vec::new(),
                cwd: None,
                arguments: invocation.get("arguments").map(as_text).unwrap_or_default(),
                background: false,
            },
            out,
        );
        self.finish(call_id, mcp_outcome(end), out);
    }

    /// A search runs at the model's provider; one record tells of it and of its end.
    fn web_search(&mut self, payload: &Value, out: &mut Out) {
        let id = text(payload, &["call_id"]).or_else(|| text(payload, &["id"])).unwrap_or_default();
        if !id.is_empty() && self.calls.get(id).is_some() {
            return;
        }
        let action = payload.get("action").filter(|action| action.is_object()).unwrap_or(payload);
        let call = Body::Call {
            call_id: id.to_owned(),
            tool: "web_search".to_owned(),
            class: Class::Fetch,
            command: None,
            paths: Vec::new(),
            cwd: None,
            arguments: action.to_string(),
            background: false,
        };
        if !id.is_empty() {
            self.remember(&call);
        }
        out.push(call);
    }
}

/// What Codex writes as the output of a call that a hook stopped; nothing else tells of it.
const HOOK_BLOCK: &str = "Command blocked by PreToolUse hook: ";
/// The exit code that Codex gives a command which ran into its time limit.
const TIMED_OUT: i32 = 124;

fn known(slot: &mut Option<String>, value: Option<&str>) {
    if let Some(value) = value {
        *slot = Some(value.to_owned());
    }
}

fn parent<'a>(payload: &'a Value, id: &str) -> Option<&'a str> {
    text(payload, &["forked_from_id"])
        .or_else(|| text(payload, &["parent_thread_id"]))
        .or_else(|| text(payload, &["source", "subagent", "thread_spawn", "parent_thread_id"]))
        .or_else(|| text(payload, &["session_id"]).filter(|session| *session != id))
}

/// Approval policy and sandbox, which together say what the agent may do unasked.
fn authority(payload: &Value) -> Option<String> {
    let sandbox =
        named(at(payload, &["sandbox_policy"])).or_else(|| named(at(payload, &["permission_profile"])));
    let network =
        at(payload, &["sandbox_policy", "network_access"]).and_then(Value::as_bool).unwrap_or(false);
    let parts = [
        named(at(payload, &["approval_policy"])).map(|name| format!("approval {name}")),
        sandbox.map(|name| format!("sandbox {name}")),
        network.then(|| "network access".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The name of a policy: a plain string, or an object with its kind (`type` now, `mode` before).
fn named(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(name) => Some(name.clone()),
        value => {
            let name = text(value, &["type"]).or_else(|| text(value, &["mode"]));
            Some(name.map_or_else(|| value.to_string(), str::to_owned))
        }
    }
}

/// The texts of a list of parts, each a string or an object with `text`.
fn texts<'a>(value: &'a Value, keys: &[&str]) -> Vec<&'a str> {
    match at(value, keys) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.as_str().or_else(|| text(part, &["text"]))).collect()
        }
        _ => Vec::new(),
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The texts of a message in the role of the user, with who wrote each: Codex itself writes there too.
fn prompts(payload: &Value) -> Vec<(Origin, String)> {
    const METADATA: &[&str] = &["internal_chat_message_metadata_passthrough", "content_item_metadata"];
    let provenance = |index: usize| at(payload, METADATA)?.get(index)?.pointer("/provenance/type")?.as_str();
    let mut out: Vec<(Origin, String)> = Vec::new();
    let parts = at(payload, &["content"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, part) in parts.iter().enumerate() {
        let Some(said) = text(part, &["text"]) else { continue };
        let origin = match provenance(index) {
            Some("user") => Origin::User,
            Some(_) => Origin::System,
            None => guessed_origin(said),
        };
        match out.last_mut() {
            Some((last, joined)) if *last == origin => {
                joined.push('\n');
                joined.push_str(said);
            }
            _ => out.push((origin, said.to_owned())),
        }
    }
    out
}

/// Before provenance was written, only its opening tells the harness's text from the user's.
fn guessed_origin(said: &str) -> Origin {
    const HARNESS: &[&str] = &[
        "<environment_context>",
        "<user_instructions>",
        "<permissions instructions>",
        "<turn_aborted>",
        "<skill>",
        "<INSTRUCTIONS>",
        "# AGENTS.md instructions",
    ];
    let said = said.trim_start();
    if HARNESS.iter().any(|opening| said.starts_with(opening)) {
        Origin::System
    } else if said.starts_with('<') {
        Origin::Unknown
    } else {
        Origin::User
    }
}

fn tool_name(payload: &Value) -> String {
    let name = text(payload, &["name"]).unwrap_or_default();
    match text(payload, &["namespace"]) {
        Some(space) if space.starts_with("mcp__") && name.starts_with('_') => format!("{space}{name}"),
        Some(space) if space.starts_with("mcp__") => format!("{}__{name}", space.trim_end_matches('_')),
        Some(space) if !space.is_empty() => format!("{space}.{name}"),
        _ => name.to_owned(),
    }
}

fn class(tool: &str) -> Class {
    match tool {
        "exec_command" | "write_stdin" | "shell" | "shell_command" | "local_shell" | "container.exec"
        | "exec" => Class::Execute,
        "apply_patch" => Class::Edit,
        "view_image" | "read_file" => Class::Read,
        "grep_files" | "list_dir" | "tool_search" => Class::Search,
        "web_search" | "web_fetch" => Class::Fetch,
        "update_plan" => Class::Plan,
        "request_user_input" | "request_permissions" => Class::Ask,
        "spawn_agent" | "send_input" | "wait_agent" | "close_agent" | "resume_agent" => Class::Delegate,
        "list_mcp_resources" | "list_mcp_resource_templates" | "read_mcp_resource" => Class::Mcp,
        _ if tool.starts_with("mcp__") => Class::Mcp,
        _ if tool.starts_with("multi_agent") => Class::Delegate,
        _ => Class::Other,
    }
}

/// As a hook tells of it: commands under Claude Code's name for them, a patch as a command's text.
pub(crate) fn hook_call(call_id: &str, tool: &str, input: &Value) -> Body {
    let arguments = input.to_string();
    match (tool, text(input, &["command"])) {
        ("Bash", _) => read_call(
            call_id,
            "exec_command".to_owned(),
            &json!({"command": input.get("command"), "workdir": input.get("workdir")}),
            arguments,
        ),
        ("apply_patch", Some(patch)) => {
            read_call(call_id, tool.to_owned(), &json!({"input": patch}), arguments)
        }
        _ => read_call(call_id, tool.to_owned(), input, arguments),
    }
}

fn read_call(call_id: &str, tool: String, parsed: &Value, arguments: String) -> Body {
    let mut class = class(&tool);
    let mut command = if class == Class::Execute { command_text(parsed) } else { None };
    let mut cwd =
        text(parsed, &["workdir"]).or_else(|| text(parsed, &["working_directory"])).map(str::to_owned);
    let mut paths = Vec::new();
    let patch = match class {
        Class::Edit => parsed.as_str().or_else(|| text(parsed, &["input"])).map(|patch| (None, patch)),
        _ => patch_argument(parsed).or_else(|| command.as_deref().and_then(patch_command)),
    };
    if let Some((directory, patch)) = patch {
        paths = patch_paths(patch);
        cwd = directory.map(str::to_owned).or(cwd);
        // Codex takes a patch out of the shell command and applies it itself: no shell ever sees it.
        class = Class::Edit;
    }
    if class == Class::Edit {
        command = None;
    }
    if class == Class::Read {
        paths.extend(text(parsed, &["path"]).or_else(|| text(parsed, &["file_path"])).map(str::to_owned));
    }
    Body::Call { call_id: call_id.to_owned(), tool, class, command, paths, cwd, arguments, background: false }
}

/// The command in the arguments of a tool that runs one. Input to a running process is no command.
fn command_text(arguments: &Value) -> Option<String> {
    text(arguments, &["cmd"]).map(str::to_owned).or_else(|| shell_text(arguments.get("command")?))
}

/// A command as the shell gets it: the script of `bash -lc SCRIPT`, or the words of a command that no shell runs.
fn shell_text(command: &Value) -> Option<String> {
    if let Some(script) = command.as_str() {
        return Some(script.to_owned());
    }
    let words: Vec<&str> = command.as_array()?.iter().filter_map(Value::as_str).collect();
    match words.as_slice() {
        [] => None,
        [shell, "-c" | "-lc" | "-ic" | "-lic", script] if is_shell(shell) => Some((*script).to_owned()),
        words => Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
    }
}

fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    matches!(name, "bash" | "sh" | "zsh" | "dash" | "ksh" | "fish")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The patch of `["apply_patch", PATCH]`.
fn patch_argument(arguments: &Value) -> Option<(Option<&str>, &str)> {
    let words = arguments.get("command")?.as_array()?;
    match words.as_slice() {
        [program, patch] if matches!(program.as_str()?, "apply_patch" | "applypatch") => {
            Some((None, patch.as_str()?))
        }
        _ => None,
    }
}

/// The patch of `apply_patch <<'EOF' …` and of `cd DIR && apply_patch <<'EOF' …`, with the directory.
fn patch_command(command: &str) -> Option<(Option<&str>, &str)> {
    let command = command.trim_start();
    let (directory, rest) = match command.strip_prefix("cd ") {
        Some(rest) => {
            let (directory, rest) = rest.split_once("&&")?;
            (Some(directory.trim().trim_matches(['\'', '"'])), rest.trim_start())
        }
        None => (None, command),
    };
    let rest = rest.strip_prefix("apply_patch").or_else(|| rest.strip_prefix("applypatch"))?;
    (rest.trim_start().starts_with("<<") && rest.contains("*** Begin Patch")).then_some((directory, rest))
}

/// The files that a patch names, in its order, each once.
fn patch_paths(patch: &str) -> Vec<String> {
    const HEADERS: &[&str] = &["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];
    let named =
        patch.lines().filter_map(|line| HEADERS.iter().find_map(|header| line.trim().strip_prefix(header)));
    let mut paths: Vec<String> = Vec::new();
    for path in named.map(str::trim) {
        if !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    paths
}

/// The files of a change: a map from path to change, or (in other builds) a list of changes with their path.
fn changed_paths(changes: &Value) -> Vec<String> {
    let moved = |change: &Value| {
        text(change, &["move_path"]).or_else(|| text(change, &["kind", "move_path"])).map(str::to_owned)
    };
    match changes {
        Value::Object(map) => {
            map.iter().flat_map(|(path, change)| [Some(path.clone()), moved(change)]).flatten().collect()
        }
        Value::Array(list) => list
            .iter()
            .flat_map(|change| [text(change, &["path"]).map(str::to_owned), moved(change)])
            .flatten()
            .collect(),
        _ => Vec::new(),
    }
}

/// A path that may be written as a `file://` URL, with its percent escapes undone.
fn plain_path(path: &str) -> String {
    let Some(escaped) = path.strip_prefix("file://") else { return path.to_owned() };
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = tail.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8(bytes).unwrap_or_else(|_| escaped.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn exit_code(value: Option<&Value>) -> Option<i32> {
    value?.as_i64().and_then(|code| i32::try_from(code).ok())
}

fn command_output(end: &Value) -> String {
    match text(end, &["aggregated_output"]) {
        Some(output) if !output.is_empty() => output.to_owned(),
        _ => owned(end, &["stdout"]) + text(end, &["stderr"]).unwrap_or_default(),
    }
}

/// `result` is the server's answer, or `{"Ok": answer}` / `{"Err": text}`, or absent where `error` is set.
fn mcp_outcome(end: &Value) -> Outcome {
    let result = end.get("result").filter(|result| !result.is_null());
    let error = result
        .and_then(|result| result.get("Err"))
        .or_else(|| end.get("error"))
        .filter(|error| !error.is_null());
    if let Some(error) = error {
        let output = text(error, &["message"]).map_or_else(|| as_text(error), str::to_owned);
        return Outcome { status: Status::Failed, exit_code: None, output };
    }
    let Some(answer) = result.map(|result| result.get("Ok").unwrap_or(result)) else {
        let failed = text(end, &["status"]) == Some("failed");
        let status = if failed { Status::Failed } else { Status::Unknown };
        return Outcome { status, exit_code: None, output: String::new() };
    };
    let is_error =
        answer.get("isError").or_else(|| answer.get("is_error")).and_then(Value::as_bool).unwrap_or(false);
    let failed = is_error || text(end, &["status"]) == Some("failed");
    let said = texts(answer, &["content"]);
    let output = if said.is_empty() { answer.to_string() } else { said.join("\n") };
    Outcome { status: if failed { Status::Failed } else { Status::Ok }, exit_code: None, output }
}

/// The output of a call: text, a list of parts, or an object around the text.
fn output_text(output: &Value) -> String {
    match output {
        Value::String(text) => text.clone(),
        Value::Array(_) => texts(output, &[]).join("\n"),
        Value::Object(_) => match output.get("content").or_else(|| output.get("output")) {
            Some(inner) => inner.as_str().map_or_else(|| texts(inner, &[]).join("\n"), str::to_owned),
            None => output.to_string(),
        },
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What the output that the model got says of the outcome, in the wordings of several versions.
fn read_output(said: &str) -> Outcome {
    if let Some(outcome) = refusal(said) {
        return outcome;
    }
    if let Some(outcome) = wrapped_output(said) {
        return outcome;
    }
    let (head, body) = match header(said) {
        Some(parts) => parts,
        None => return Outcome { status: Status::Unknown, exit_code: None, output: said.to_owned() },
    };
    let number =
        |label: &str| head.lines().find_map(|line| line.strip_prefix(label)?.trim().parse::<i32>().ok());
    let exit_code = number("Process exited with code ").or_else(|| number("Exit code: "));
    let status = match exit_code {
        Some(TIMED_OUT) if body.starts_with("command timed out after") => Status::TimedOut,
        Some(0) => Status::Ok,
        Some(_) => Status::Failed,
        None if running_number(said).is_some() => Status::Running,
        None => Status::Unknown,
    };
    Outcome { status, exit_code, output: body.to_owned() }
}

/// Outputs that stand for a call which did not run, or not to its end.
fn refusal(said: &str) -> Option<Outcome> {
    const WORDINGS: &[(&str, Status)] = &[
        (HOOK_BLOCK, Status::Denied),
        ("exec command rejected by user", Status::Denied),
        ("patch rejected by user", Status::Denied),
        ("rejected by user", Status::Denied),
        ("exec_command failed: rejected by user", Status::Denied),
        ("aborted by user", Status::Killed),
        ("unsupported call: ", Status::NotRun),
        ("unsupported custom tool call: ", Status::NotRun),
        ("failed to parse function arguments", Status::NotRun),
        ("apply_patch verification failed", Status::NotRun),
        ("command timed out after", Status::TimedOut),
    ];
    let worded = WORDINGS.iter().find(|(opening, _)| said.starts_with(opening)).map(|(_, status)| *status);
    let status = worded.or_else(|| by_policy(said).map(|_| Status::Denied))?;
    Some(Outcome { status, exit_code: None, output: said.to_owned() })
}

/// What a rule (`prefix_rule` in `~/.codex/rules`) or the approval policy refused, nobody asked: the whole output is the
/// reason, bare or as the failure of the tool that would have started the process.
fn by_policy(said: &str) -> Option<&str> {
    const STARTS: &[&str] = &["exec_command failed: ", "exec_command failed for `"];
    const REJECTED: &str = "CreateProcess { message: \"Rejected(";
    const REASONS: &[&str] = &["patch rejected: ", "write_stdin rejected: ", "approval required by policy"];
    if STARTS.iter().any(|start| said.starts_with(start)) {
        let (_, reason) = said.split_once(REJECTED)?;
        return Some(reason.trim_start_matches(['\\', '"']).trim_end_matches(['\\', '"', '}', ')', ' ']));
    }
    // "`git push` rejected: policy forbids commands starting with `git push`", or a justification of the rule's author.
    let of_command = said.strip_prefix('`').is_some_and(|rest| rest.contains("` rejected: "));
    (of_command || REASONS.iter().any(|reason| said.starts_with(reason))).then_some(said)
}

/// `{"output": …, "metadata": {"exit_code": …}}` as text, the form of old versions.
fn wrapped_output(said: &str) -> Option<Outcome> {
    if !said.starts_with('{') {
        return None;
    }
    let value: Value = serde_json::from_str(said).ok()?;
    let exit_code = exit_code(at(&value, &["metadata", "exit_code"]))?;
    let output = owned(&value, &["output"]);
    let status = match exit_code {
        0 => Status::Ok,
        TIMED_OUT if output.starts_with("command timed out after") => Status::TimedOut,
        _ => Status::Failed,
    };
    Some(Outcome { status, exit_code: Some(exit_code), output })
}

/// Splits the lines that Codex puts before an output from the output, which may print lines of the same form.
fn header(said: &str) -> Option<(&str, &str)> {
    const OPENINGS: &[&str] = &["Chunk ID: ", "Wall time: ", "Exit code: "];
    if !OPENINGS.iter().any(|opening| said.starts_with(opening)) {
        return None;
    }
    Some(said.split_once("\nOutput:\n").or_else(|| said.split_once("\nOutput:")).unwrap_or((said, "")))
}

/// Codex's number (no pid) of the process that runs on.
fn running_number(said: &str) -> Option<&str> {
    let (head, _) = header(said)?;
    head.lines().find_map(|line| line.strip_prefix("Process running with session ID ")).map(str::trim)
}

/// An input was delivered, whatever became of the process that got it.
fn input_status(status: Status) -> Status {
    match status {
        Status::Ok | Status::Failed | Status::Running => Status::Ok,
        status => status,
    }
}
