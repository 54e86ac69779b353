//! OpenCode: rows of its SQLite database (`opencode.db`), or the JSON files of versions before 1.2.
//!
//! Rows are updated in place: a call is one row of `part` that goes `pending`, `running`, `completed` or `error`. So
//! what was given of a row already is remembered, within bounds.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_event::Nanos;
use serde_json::Value;

use crate::json::{at, cut, owned, text};
use crate::{Actor, Body, Class, Decision, Item, Origin, Status};

/// How to ask the database for the rows that changed.
///
/// Each query takes one parameter, `?1`: a `time_updated` in milliseconds; rows as old as that or newer come back, for
/// several rows share a millisecond. Columns, in this order: the table's name, the row's id, its `time_updated`, its
/// content as JSON, and the id of the session at the root (its own, or of the one that its sub-agents serve).
///
/// A row is fed as `{"table": …, "id": …, "time_updated": …, "data": <the JSON>}`. Feed the rows of `QUERIES` in the
/// order given, read in one transaction: else the end of a turn may come before its last words. One `Reader` for each
/// root session, or one for all; a row that is fed again says nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsQuery {
    pub table: &'static str,
    pub sql: &'static str,
}

/// The root of the session named by `$id`: sub-agents may have sub-agents.
macro_rules! root {
    ($id:literal) => {
        concat!(
            "(WITH RECURSIVE up(id, parent) AS (SELECT s.id, s.parent_id FROM session s WHERE s.id = ",
            $id,
            " UNION SELECT s.id, s.parent_id FROM session s JOIN up ON s.id = up.parent)",
            " SELECT id FROM up ORDER BY parent IS NOT NULL LIMIT 1)"
        )
    };
}

/// Only columns that every version with a database has.
pub const QUERIES: &[RowsQuery] = &[
    RowsQuery {
        table: "session",
        sql: concat!(
            "SELECT 'session', id, time_updated, json_object('id', id, 'parentID', parent_id,",
            " 'directory', directory, 'title', title, 'version', version, 'permission', permission,",
            " 'time', json_object('created', time_created, 'updated', time_updated)), ",
            root!("session.id"),
            " FROM session WHERE time_updated >= ?1 ORDER BY rowid"
        ),
    },
    RowsQuery {
        table: "part",
        sql: concat!(
            "SELECT 'part', part.id, part.time_updated, CASE WHEN json_valid(part.data)",
            " THEN json_set(part.data, '$.id', part.id, '$.messageID', part.message_id,",
            " '$.sessionID', part.session_id, '$.timeCreated', part.time_created,",
            " '$.role', json_extract(message.data, '$.role'), '$.mode', json_extract(message.data, '$.mode'),",
            " '$.sessionParent', session.parent_id)",
            " ELSE json_object('id', part.id, 'sessionID', part.session_id, 'type', 'malformed') END, ",
            root!("part.session_id"),
            " FROM part LEFT JOIN message ON message.id = part.message_id AND json_valid(message.data)",
            " LEFT JOIN session ON session.id = part.session_id",
            " WHERE part.time_updated >= ?1 ORDER BY part.rowid"
        ),
    },
    RowsQuery {
        table: "message",
        sql: concat!(
            "SELECT 'message', message.id, message.time_updated, CASE WHEN json_valid(message.data)",
            " THEN json_set(message.data, '$.id', message.id, '$.sessionID', message.session_id,",
            " '$.sessionParent', session.parent_id)",
            " ELSE json_object('id', message.id, 'sessionID', message.session_id, 'role', 'malformed') END, ",
            root!("message.session_id"),
            " FROM message LEFT JOIN session ON session.id = message.session_id",
            " WHERE message.time_updated >= ?1 ORDER BY message.rowid"
        ),
    },
];

/// Rows that are remembered of each kind: far more than change at a time.
const REMEMBERED: usize = 8192;
/// Longest id that is told apart.
const ID_MAX: usize = 128;

#[derive(Default)]
pub(crate) struct OpenCode {
    sessions: Recent<Session>,
    messages: Recent<Message>,
    parts: Recent<Given>,
}

#[derive(Default)]
struct Session {
    parent: Option<String>,
    version: Option<String>,
    model: Option<String>,
    cwd: Option<String>,
    agent: Option<String>,
    rules: Option<String>,
    said: Option<Body>,
}

#[derive(Default)]
struct Message {
    role: Option<String>,
    mode: Option<String>,
    /// Its last text, held back until it is known whether the message ends the turn.
    held: Option<(Nanos, Actor, String)>,
    /// Whether it ends the turn, once that is known: not if it holds a call.
    last: Option<bool>,
    ended: bool,
}

/// What was given of a part.
#[derive(Default)]
struct Given {
    call: bool,
    end: bool,
}

impl OpenCode {
    pub(crate) fn items(&mut self, row: &Value) -> Vec<Item> {
        let data = data(row);
        let data = data.as_ref();
        match kind(row, data) {
            Some("session") => self.session(data),
            Some("message") => self.message(data),
            Some("part") => self.part(data),
            Some(other) => vec![carried(Actor::Main, format!("table {other}"))],
            None => vec![carried(Actor::Main, "row".to_owned())],
        }
    }

    // ---- sessions ----

    fn session(&mut self, data: &Value) -> Vec<Item> {
        let Some(id) = text(data, &["id"]) else { return vec![carried(Actor::Main, "session".to_owned())] };
        let session = self.sessions.entry(id);
        keep(&mut session.parent, some(data, &["parentID"]));
        keep(&mut session.version, some(data, &["version"]));
        keep(&mut session.rules, rules(at(data, &["permission"])));
        // A message is more exact about where it works.
        session.cwd = session.cwd.take().or_else(|| some(data, &["directory"]));
        self.session_said(id, time(data, &["time", "created"]))
    }

    /// The session, if more is known of it than it was said to be.
    fn session_said(&mut self, id: &str, time_ns: Option<Nanos>) -> Vec<Item> {
        let session = self.sessions.entry(id);
        let authority = [session.agent.as_deref(), session.rules.as_deref()];
        let authority: Vec<&str> = authority.into_iter().flatten().collect();
        let body = Body::Session {
            id: id.to_owned(),
            version: session.version.clone(),
            model: session.model.clone(),
            cwd: session.cwd.clone(),
            parent: session.parent.clone(),
            authority: (!authority.is_empty()).then(|| authority.join("; ")),
        };
        if session.said.as_ref() == Some(&body) {
            return Vec::new();
        }
        session.said = Some(body.clone());
        let actor = if session.parent.is_some() { Actor::Sub { id: id.to_owned() } } else { Actor::Main };
        vec![Item { time_ns, actor, body }]
    }

    /// A session with a parent is that of a sub-agent, which runs in the same process.
    fn actor(&mut self, data: &Value) -> Actor {
        let id = text(data, &["sessionID"]).unwrap_or_default();
        let session = self.sessions.entry(id);
        keep(&mut session.parent, some(data, &["sessionParent"]));
        if session.parent.is_some() { Actor::Sub { id: id.to_owned() } } else { Actor::Main }
    }

    // ---- messages ----

    fn message(&mut self, data: &Value) -> Vec<Item> {
        let actor = self.actor(data);
        let (Some(id), Some(role)) = (text(data, &["id"]), text(data, &["role"])) else {
            return vec![carried(actor, "message".to_owned())];
        };
        if !matches!(role, "user" | "assistant") {
            return vec![carried(actor, format!("message {role}"))];
        }
        let mut items = self.session_of_message(data);
        let message = self.messages.entry(id);
        message.role = Some(role.to_owned());
        keep(&mut message.mode, some(data, &["mode"]));
        if role == "assistant" {
            items.extend(message.finish(data, actor));
        }
        items
    }

    fn session_of_message(&mut self, data: &Value) -> Vec<Item> {
        let Some(id) = text(data, &["sessionID"]) else { return Vec::new() };
        let session = self.sessions.entry(id);
        let model = at(data, &["model"]).unwrap_or(data);
        if let (Some(provider), Some(name)) = (text(model, &["providerID"]), text(model, &["modelID"])) {
            session.model = Some(format!("{provider}/{name}"));
        }
        keep(&mut session.agent, some(data, &["agent"]).or_else(|| some(data, &["mode"])));
        keep(&mut session.cwd, some(data, &["path", "cwd"]));
        self.session_said(id, time(data, &["time", "created"]))
    }

    // ---- parts ----

    fn part(&mut self, data: &Value) -> Vec<Item> {
        let actor = self.actor(data);
        let (Some(id), Some(kind)) = (text(data, &["id"]), text(data, &["type"])) else {
            return vec![carried(actor, "part".to_owned())];
        };
        let message = self.messages.entry(text(data, &["messageID"]).unwrap_or_default());
        keep(&mut message.role, some(data, &["role"]));
        keep(&mut message.mode, some(data, &["mode"]));
        let given = self.parts.entry(id);
        match kind {
            "text" => message.text(given, data, actor),
            "reasoning" => Vec::from_iter(reasoning(given, data, actor)),
            "tool" => {
                // Whatever reason the provider gives: after a call the model goes on, unless the provider ran it itself.
                if at(data, &["metadata", "providerExecuted"]).and_then(Value::as_bool) != Some(true) {
                    message.last = Some(false);
                }
                let mut items = Vec::from_iter(message.release(false));
                items.extend(tool(given, data, &actor));
                items
            }
            "step-finish" => {
                let last = ends_turn(text(data, &["reason"])) && message.last != Some(false);
                Vec::from_iter(message.release(last))
            }
            // Marks of the harness, and what the user attached.
            "step-start" | "snapshot" | "patch" | "file" | "agent" | "subtask" | "retry" | "compaction" => {
                Vec::new()
            }
            kind => vec![carried(actor, format!("part {kind}"))],
        }
    }
}

impl Message {
    fn text(&mut self, given: &mut Given, data: &Value, actor: Actor) -> Vec<Item> {
        let said = owned(data, &["text"]);
        if given.end || said.is_empty() || self.mode.as_deref() == Some("compaction") {
            // A summary for the model's own use, which repeats what was said and done, is no word to the reader.
            return Vec::new();
        }
        // Only what the model says has times.
        let prompt = self.role.as_deref().map_or(at(data, &["time"]).is_none(), |role| role == "user");
        if prompt {
            given.end = true;
            let origin = origin(data, &actor);
            let time_ns = time(data, &["time", "start"]).or_else(|| time(data, &["timeCreated"]));
            return vec![Item { time_ns, actor, body: Body::Prompt { text: said, origin } }];
        }
        let Some(end) = time(data, &["time", "end"]) else { return Vec::new() };
        given.end = true;
        let mut items = Vec::from_iter(self.release(false));
        self.held = Some((end, actor, said));
        if let Some(last) = self.last {
            items.extend(self.release(last));
        }
        items
    }

    fn release(&mut self, last: bool) -> Option<Item> {
        let (time_ns, actor, text) = self.held.take()?;
        Some(Item { time_ns: Some(time_ns), actor, body: Body::Text { text, last } })
    }

    fn finish(&mut self, data: &Value, actor: Actor) -> Vec<Item> {
        let failed = at(data, &["error"]).is_some_and(|error| !error.is_null());
        let finish = text(data, &["finish"]);
        if finish.is_none() && !failed {
            return Vec::new();
        }
        let last = !failed && ends_turn(finish) && self.last != Some(false);
        self.last = Some(last);
        let mut items = Vec::from_iter(self.release(last));
        let completed = time(data, &["time", "completed"]);
        let summary = at(data, &["summary"]).and_then(Value::as_bool).unwrap_or_default();
        if (last || failed) && completed.is_some() && !summary && !self.ended {
            self.ended = true;
            items.push(Item { time_ns: completed, actor, body: Body::TurnEnd });
        }
        items
    }
}

/// With `tool-calls` the model goes on; so it does where the provider gave no reason.
fn ends_turn(finish: Option<&str>) -> bool {
    !matches!(finish, None | Some("tool-calls" | "unknown"))
}

fn origin(data: &Value, actor: &Actor) -> Origin {
    let synthetic = at(data, &["synthetic"]).and_then(Value::as_bool).unwrap_or_default();
    match actor {
        _ if synthetic => Origin::System,
        Actor::Sub { .. } => Origin::Agent,
        Actor::Main => Origin::User,
    }
}

fn reasoning(given: &mut Given, data: &Value, actor: Actor) -> Option<Item> {
    let (end, text) = (time(data, &["time", "end"])?, owned(data, &["text"]));
    if given.end || text.is_empty() {
        return None;
    }
    given.end = true;
    Some(Item { time_ns: Some(end), actor, body: Body::Thinking { text } })
}

// ---- calls ----

fn tool(given: &mut Given, data: &Value, actor: &Actor) -> Vec<Item> {
    let state = at(data, &["state"]).unwrap_or(&Value::Null);
    let ended = matches!(text(state, &["status"]), Some("completed" | "error"));
    let mut items = Vec::new();
    let mut give = |time_ns, body| items.push(Item { time_ns, actor: actor.clone(), body });
    // While it is pending, its input is not whole.
    if !given.call && (ended || text(state, &["status"]) == Some("running")) {
        given.call = true;
        give(time(state, &["time", "start"]), call(data, state));
    }
    if !given.end && ended {
        given.end = true;
        let (time_ns, call_id) = (time(state, &["time", "end"]), owned(data, &["callID"]));
        let (status, exit_code, output) = outcome(data, state);
        if status == Status::Denied {
            give(time_ns, rejection(&call_id, output));
        }
        give(time_ns, result(call_id, status, exit_code, output));
    }
    items
}

pub(crate) fn call(data: &Value, state: &Value) -> Body {
    let input = at(state, &["input"]).unwrap_or(&Value::Null);
    let tool = match text(data, &["tool"]).unwrap_or_default() {
        // What OpenCode makes of a call to a tool that there is not.
        "invalid" => text(input, &["tool"]).unwrap_or("invalid"),
        tool => tool,
    };
    let class = class(tool);
    let command = if class == Class::Execute { some(input, &["command"]) } else { None };
    let background = at(input, &["background"]).and_then(Value::as_bool).unwrap_or_default();
    Body::Call {
        call_id: owned(data, &["callID"]),
        tool: tool.to_owned(),
        class,
        command,
        paths: paths(class, input),
        cwd: some(input, &["workdir"]),
        arguments: input.to_string(),
        background,
    }
}

fn class(tool: &str) -> Class {
    match tool {
        "bash" | "shell" => Class::Execute,
        "write" | "edit" | "multiedit" | "patch" | "apply_patch" => Class::Edit,
        "read" | "lsp" | "skill" => Class::Read,
        "grep" | "glob" | "list" => Class::Search,
        "webfetch" | "websearch" | "codesearch" => Class::Fetch,
        "task" => Class::Delegate,
        "todowrite" | "todoread" | "plan_enter" | "plan_exit" => Class::Plan,
        "question" => Class::Ask,
        // `<server>_<tool>`: nothing else marks a tool of an MCP server.
        tool if tool.contains('_') => Class::Mcp,
        _ => Class::Other,
    }
}

fn paths(class: Class, input: &Value) -> Vec<String> {
    if !matches!(class, Class::Read | Class::Edit | Class::Search) {
        return Vec::new();
    }
    let edits = at(input, &["edits"]).and_then(Value::as_array).into_iter().flatten();
    let named = [some(input, &["filePath"]), some(input, &["path"])].into_iter().flatten();
    let mut paths: Vec<String> = named.chain(edits.filter_map(|edit| some(edit, &["filePath"]))).collect();
    paths.extend(text(input, &["patchText"]).map(patched).unwrap_or_default());
    let mut known = BTreeSet::new();
    paths.retain(|path| known.insert(path.clone()));
    paths
}

/// The files that a patch in the `*** Begin Patch` form names.
pub(crate) fn patched(patch: &str) -> Vec<String> {
    let marks = ["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];
    let path =
        |line: &str| marks.iter().find_map(|mark| line.strip_prefix(mark)).map(|path| path.trim().to_owned());
    patch.lines().filter_map(path).collect()
}

fn outcome<'a>(data: &Value, state: &'a Value) -> (Status, Option<i32>, &'a str) {
    let exit_code =
        at(state, &["metadata", "exit"]).and_then(Value::as_i64).and_then(|code| code.try_into().ok());
    let tool = text(data, &["tool"]).unwrap_or_default();
    if text(state, &["status"]) == Some("error") {
        let error = text(state, &["error"]).unwrap_or_default();
        return (error_status(error, state), exit_code, error);
    }
    let output = text(state, &["output"]).unwrap_or_default();
    let background = at(state, &["metadata", "background"]).and_then(Value::as_bool).unwrap_or_default();
    let status = match exit_code {
        _ if tool == "invalid" => Status::NotRun,
        _ if background => Status::Running,
        Some(0) => Status::Ok,
        Some(_) => Status::Failed,
        // A command without a code: the harness tells why, after the command's own output.
        None if class(tool) == Class::Execute => unended(output),
        None => Status::Ok,
    };
    (status, exit_code, output)
}

fn error_status(error: &str, state: &Value) -> Status {
    let interrupted = at(state, &["metadata", "interrupted"]).and_then(Value::as_bool).unwrap_or_default();
    let starts = |beginning: &str| error.starts_with(beginning);
    if interrupted || starts("Tool execution aborted") {
        Status::Killed
    } else if denied_by(error).is_some() {
        Status::Denied
    } else if starts("The ") && error.contains(" tool was called with invalid arguments") {
        Status::NotRun
    } else {
        Status::Failed
    }
}

/// Who the account says refused. `opencode run` refuses by itself what it would have to ask, and says "user" as well.
fn denied_by(error: &str) -> Option<&'static str> {
    if error.starts_with("The user has specified a rule which prevents you") {
        Some("rule")
    } else if error.starts_with("The user rejected permission") || error.starts_with("The user dismissed") {
        Some("user")
    } else {
        None
    }
}

fn unended(output: &str) -> Status {
    let note =
        ["<shell_metadata>", "<bash_metadata>"].iter().find_map(|mark| Some(output.rsplit_once(mark)?.1));
    match note {
        Some(note) if note.contains("User aborted the command") => Status::Killed,
        Some(note) if note.contains("terminated command after exceeding timeout") => Status::TimedOut,
        _ => Status::Unknown,
    }
}

fn rejection(call_id: &str, error: &str) -> Body {
    Body::Decision {
        call_id: Some(call_id.to_owned()),
        decision: Decision::Reject,
        by: denied_by(error).unwrap_or_default().to_owned(),
        reason: error.to_owned(),
    }
}

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

// ---- rows ----

/// The content of a row; a file of an older version is its content.
fn data(row: &Value) -> Cow<'_, Value> {
    match at(row, &["data"]) {
        Some(Value::String(json)) => Cow::Owned(serde_json::from_str(json).unwrap_or_default()),
        Some(data) => Cow::Borrowed(data),
        None => Cow::Borrowed(row),
    }
}

fn kind<'a>(row: &'a Value, data: &Value) -> Option<&'a str> {
    let has = |key| text(data, &[key]).is_some();
    text(row, &["table"]).or_else(|| {
        if has("messageID") && has("type") {
            Some("part")
        } else if has("sessionID") && has("role") {
            Some("message")
        } else if has("id") && has("directory") {
            Some("session")
        } else {
            None
        }
    })
}

/// Rules of the session, as `action permission pattern`; a string where they come from a column.
fn rules(value: Option<&Value>) -> Option<String> {
    let parsed = value.and_then(Value::as_str).and_then(|json| serde_json::from_str(json).ok());
    let rules = parsed.as_ref().or(value)?.as_array()?;
    let words = |rule: &Value| ["action", "permission", "pattern"].map(|key| owned(rule, &[key])).join(" ");
    let rules: Vec<String> = rules.iter().map(words).collect();
    (!rules.is_empty()).then(|| rules.join("; "))
}

fn carried(actor: Actor, record_type: String) -> Item {
    Item { time_ns: None, actor, body: Body::Other { record_type } }
}

fn some(value: &Value, keys: &[&str]) -> Option<String> {
    text(value, keys).map(str::to_owned)
}

fn keep(place: &mut Option<String>, value: Option<String>) {
    if value.is_some() {
        *place = value;
    }
}

/// Milliseconds since the epoch.
fn time(value: &Value, keys: &[&str]) -> Option<Nanos> {
    at(value, keys)?.as_u64()?.checked_mul(1_000_000)
}

/// The latest entries; the oldest makes place.
struct Recent<V> {
    entries: BTreeMap<String, V>,
    order: VecDeque<String>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<V: Default> Recent<V> {
    fn entry(&mut self, id: &str) -> &mut V {
        let id = cut(id, ID_MAX);
        if !self.entries.contains_key(id) {
            if self.order.len() >= REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            self.order.push_back(id.to_owned());
        }
        self.entries.entry(id.to_owned()).or_default()
    }
}
