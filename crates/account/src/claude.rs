//! Claude Code: one JSON object per line, one per block of a message.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::json::{at, cut, owned, text, time_ns};
use crate::{Actor, Body, Class, Decision, Item, Origin, Status};

/// Notifications that were given already: each stands in the account up to three times.
const NOTIFIED_MAX: usize = 4096;
const BACKGROUND_MAX: usize = 4096;

/// How Claude Code puts the exit code 1 of `grep`, `find`, `diff` and `test` into words.
const ONE_MEANS: [&str; 4] =
    ["No matches found", "Some directories were inaccessible", "Files differ", "Condition is false"];

#[derive(Default)]
pub(crate) struct Claude {
    /// What the session said of itself last.
    session: Option<Body>,
    model: Option<String>,
    authority: Option<String>,
    notified: HashSet<String>,
    /// Background tasks, and the calls that began them.
    background: HashMap<String, String>,
}

impl Claude {
    pub(crate) fn items(&mut self, record: &Value) -> Vec<Item> {
        let mut bodies = Vec::new();
        let kind = text(record, &["type"]).unwrap_or_default();
        match kind {
            "assistant" => self.assistant(record, &mut bodies),
            "user" => self.user(record, &mut bodies),
            "attachment" => self.attachment(record, &mut bodies),
            "queue-operation" if text(record, &["operation"]) == Some("enqueue") => {
                self.notification(text(record, &["content"]).unwrap_or_default(), &mut bodies);
            }
            "system" if text(record, &["subtype"]) == Some("stop_hook_summary") => bodies.push(Body::TurnEnd),
            _ => {}
        }
        let mut out: Vec<Body> = Vec::new();
        out.extend(self.session(record));
        out.append(&mut bodies);
        if out.is_empty() {
            out.push(Body::Other { record_type: record_type(record, kind) });
        }
        let time_ns = text(record, &["timestamp"]).and_then(time_ns);
        let actor = match text(record, &["agentId"]) {
            Some(id) if at(record, &["isSidechain"]) == Some(&Value::Bool(true)) => {
                Actor::Sub { id: id.to_owned() }
            }
            _ => Actor::Main,
        };
        out.into_iter().map(|body| Item { time_ns, actor: actor.clone(), body }).collect()
    }

    /// Every record names its session; it is told again when more is known.
    fn session(&mut self, record: &Value) -> Option<Body> {
        let id = text(record, &["sessionId"])?;
        // Records without a folder are housekeeping: they say less than the ones before.
        let cwd = text(record, &["cwd"]);
        if cwd.is_none() && self.session.is_some() {
            return None;
        }
        if let Some(model) = text(record, &["message", "model"]).filter(|m| *m != "<synthetic>") {
            self.model = Some(model.to_owned());
        }
        if let Some(mode) = text(record, &["permissionMode"]) {
            self.authority = Some(mode.to_owned());
        }
        let body = Body::Session {
            id: id.to_owned(),
            version: text(record, &["version"]).map(str::to_owned),
            model: self.model.clone(),
            cwd: cwd.map(str::to_owned),
            parent: text(record, &["forkedFrom", "sessionId"]).map(str::to_owned),
            authority: self.authority.clone(),
        };
        if self.session.as_ref() == Some(&body) {
            return None;
        }
        self.session = Some(body.clone());
        Some(body)
    }

    fn assistant(&mut self, record: &Value, out: &mut Vec<Body>) {
        let last = text(record, &["message", "stop_reason"]) == Some("end_turn");
        for block in list(at(record, &["message", "content"])) {
            match text(block, &["type"]).unwrap_or_default() {
                "text" => out.push(Body::Text { text: owned(block, &["text"]), last }),
                "thinking" => out.push(Body::Thinking { text: owned(block, &["thinking"]) }),
                "tool_use" => out.push(call(block)),
                _ => {}
            }
        }
    }

    fn user(&mut self, record: &Value, out: &mut Vec<Body>) {
        let content = at(record, &["message", "content"]);
        let results = list(content).filter(|block| text(block, &["type"]) == Some("tool_result"));
        let mut any = false;
        for block in results {
            any = true;
            self.result(record, block, out);
        }
        if any {
            return;
        }
        let prompt = match content {
            Some(Value::String(text)) => text.clone(),
            content => texts(list(content)),
        };
        if text(record, &["origin", "kind"]) == Some("task-notification")
            || prompt.starts_with("<task-notification>")
        {
            self.notification(&prompt, out);
        }
        if !prompt.is_empty() {
            out.push(Body::Prompt { text: prompt, origin: origin(record) });
        }
    }

    fn result(&mut self, record: &Value, block: &Value, out: &mut Vec<Body>) {
        let call_id = owned(block, &["tool_use_id"]);
        let output = match at(block, &["content"]) {
            Some(Value::String(text)) => text.clone(),
            content => texts(list(content)),
        };
        let failed = at(block, &["is_error"]) == Some(&Value::Bool(true));
        let detail = at(record, &["toolUseResult"]);
        let task = detail.and_then(|d| text(d, &["backgroundTaskId"]));
        if let Some(task) = task {
            if self.background.len() >= BACKGROUND_MAX {
                self.background.clear();
            }
            self.background.insert(task.to_owned(), call_id.clone());
        }
        let is_true = |key| detail.and_then(|d| at(d, &[key])) == Some(&Value::Bool(true));
        let exit_code = failed.then(|| exit_code(&output)).flatten();
        let launched = detail.and_then(|d| text(d, &["status"])).is_some_and(|s| s.ends_with("_launched"));
        let status = if is_denied(record, &output, failed) {
            Status::Denied
        } else if failed && output.starts_with("<tool_use_error>") {
            Status::NotRun
        } else if is_true("interrupted") {
            Status::Killed
        } else if detail.is_some_and(|d| at(d, &["timedOutAfterMs"]).is_some_and(Value::is_number)) {
            Status::TimedOut
        } else if task.is_some() || launched {
            Status::Running
        } else if failed {
            Status::Failed
        } else {
            Status::Ok
        };
        out.extend(decision(record, &call_id, &output));
        // Tools that are no shell have no exit code, and a shell that succeeded has 0 (the account only names others).
        // What went wrong is told as a text: one that did not is told of as if it had ended well.
        let shell = detail.is_some_and(|d| d.get("stdout").is_some() || d.is_string());
        let ok = shell && status == Status::Ok;
        let exit_code =
            exit_code.or_else(|| match detail.and_then(|d| text(d, &["returnCodeInterpretation"])) {
                // Some programs say with 1 that there is nothing: no failure, and not 0 either.
                Some(meaning) => (ok && ONE_MEANS.contains(&meaning)).then_some(1),
                None => ok.then_some(0),
            });
        let output_len = output.len() as u64;
        out.push(Body::Result {
            call_id,
            status,
            exit_code,
            output: cut(&output, Item::OUTPUT_MAX).to_owned(),
            output_len,
            process_group: None,
        });
    }

    fn attachment(&mut self, record: &Value, out: &mut Vec<Body>) {
        let Some(attachment) = at(record, &["attachment"]) else { return };
        match text(attachment, &["type"]).unwrap_or_default() {
            // The only place that tells of arguments which a hook rewrote.
            "hook_success" => {
                let answer: Option<Value> =
                    text(attachment, &["stdout"]).and_then(|stdout| serde_json::from_str(stdout).ok());
                let input = answer.as_ref().and_then(|a| at(a, &["hookSpecificOutput", "updatedInput"]));
                if let (Some(input), Some(call_id)) = (input, text(attachment, &["toolUseID"])) {
                    out.push(Body::Effective {
                        call_id: call_id.to_owned(),
                        command: text(input, &["command"]).map(str::to_owned),
                        arguments: input.to_string(),
                    });
                }
            }
            "queued_command" => self.notification(text(attachment, &["prompt"]).unwrap_or_default(), out),
            _ => {}
        }
    }

    /// `<task-notification>`: how a background command ended.
    fn notification(&mut self, content: &str, out: &mut Vec<Body>) {
        // At the very beginning: prose that talks of one is none.
        let Some(body) = content
            .trim_start()
            .strip_prefix("<task-notification>")
            .and_then(|rest| rest.split_once("</task-notification>"))
            .map(|(body, _)| body)
        else {
            return;
        };
        let Some(task) = element(body, "task-id") else { return };
        let call_id =
            element(body, "tool-use-id").map(str::to_owned).or_else(|| self.background.get(task).cloned());
        let Some(call_id) = call_id else { return };
        let said = element(body, "status").unwrap_or_default();
        if self.notified.len() >= NOTIFIED_MAX {
            self.notified.clear();
        }
        if !self.notified.insert(format!("{task} {said}")) {
            return;
        }
        let summary = element(body, "summary").unwrap_or_default();
        // At its very end: what stands before is the command's own text.
        let exit_code = summary
            .trim_end_matches(['.', ')', ' '])
            .rsplit_once("exit code ")
            .and_then(|(_, number)| number.parse().ok());
        let status = match (said, exit_code) {
            ("completed", Some(0) | None) => Status::Ok,
            ("completed" | "failed", _) => Status::Failed,
            ("killed" | "stopped", _) => Status::Killed,
            ("running", _) => Status::Running,
            _ => Status::Unknown,
        };
        out.push(Body::Result {
            call_id,
            status,
            exit_code,
            output: cut(summary, Item::OUTPUT_MAX).to_owned(),
            output_len: summary.len() as u64,
            process_group: None,
        });
    }
}

pub(crate) fn call(block: &Value) -> Body {
    let tool = owned(block, &["name"]);
    let input = at(block, &["input"]).unwrap_or(&Value::Null);
    let class = class(&tool);
    let path = ["file_path", "notebook_path", "path"].iter().find_map(|key| text(input, &[key]));
    let paths = if matches!(class, Class::Edit | Class::Read | Class::Search) {
        path.map(str::to_owned).into_iter().collect()
    } else {
        Vec::new()
    };
    Body::Call {
        call_id: owned(block, &["id"]),
        class,
        command: (class == Class::Execute).then(|| text(input, &["command"])).flatten().map(str::to_owned),
        paths,
        cwd: None,
        arguments: input.to_string(),
        background: at(input, &["run_in_background"]) == Some(&Value::Bool(true)),
        tool,
    }
}

fn class(tool: &str) -> Class {
    match tool {
        "Bash" | "PowerShell" | "Monitor" => Class::Execute,
        "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => Class::Edit,
        "Read" | "NotebookRead" => Class::Read,
        "Glob" | "Grep" | "ToolSearch" | "LS" => Class::Search,
        "WebFetch" | "WebSearch" => Class::Fetch,
        "Agent" | "Task" => Class::Delegate,
        "AskUserQuestion" => Class::Ask,
        "TodoWrite" | "ExitPlanMode" | "EnterPlanMode" => Class::Plan,
        tool if tool.starts_with("mcp__") => Class::Mcp,
        tool if tool.starts_with("Task") => Class::Plan,
        _ => Class::Other,
    }
}

/// Was it refused before it ran? By a person, a rule, a mode, a hook or the classifier of the auto mode.
fn is_denied(record: &Value, output: &str, failed: bool) -> bool {
    // The harness's own texts. Versions that mark a denial have the mark, and with it the texts mean nothing.
    const WORDINGS: [&str; 3] = [
        "Permission to use ",
        "Permission for this action ",
        "The user doesn't want to proceed with this tool use.",
    ];
    // A hook may call a tool back whose work is done.
    let after = at(record, &["toolDenialAfterRun"]) == Some(&Value::Bool(true));
    match (text(record, &["permissionDecision", "decision"]), text(record, &["toolDenialKind"])) {
        _ if after || text(record, &["permissionDecision", "source"]) == Some("invalid_input") => false,
        (Some("reject"), _) => true,
        // Ends of what ran, or might have.
        (_, Some("interrupted" | "cancelled")) => false,
        (_, Some(_)) => true,
        (Some(_), None) => false,
        (None, None) => {
            failed && at(record, &["mcpMeta"]).is_none() && WORDINGS.iter().any(|w| output.starts_with(w))
        }
    }
}

/// `user-rejected` does not mean that a user was asked: `source` tells who decided.
fn decision(record: &Value, call_id: &str, output: &str) -> Option<Body> {
    let decided = at(record, &["permissionDecision"])?;
    let reject = text(decided, &["decision"])? == "reject";
    let code = text(decided, &["reasonCode"]).or_else(|| text(decided, &["reasonType"])).unwrap_or_default();
    Some(Body::Decision {
        call_id: Some(call_id.to_owned()),
        decision: if reject { Decision::Reject } else { Decision::Accept },
        by: owned(decided, &["source"]),
        reason: if reject && !output.is_empty() { format!("{code}: {output}") } else { code.to_owned() },
    })
}

fn origin(record: &Value) -> Origin {
    if at(record, &["isSidechain"]) == Some(&Value::Bool(true)) {
        return Origin::Agent;
    }
    if at(record, &["isMeta"]) == Some(&Value::Bool(true))
        || text(record, &["origin", "kind"]).is_some_and(|k| k != "human")
    {
        return Origin::System;
    }
    match text(record, &["promptSource"]) {
        Some("user" | "typed" | "keyboard") => Origin::User,
        Some("sdk") => Origin::Sdk,
        Some("system") => Origin::System,
        Some("loop_wakeup" | "schedule_wakeup") => Origin::Scheduled,
        _ => Origin::Unknown,
    }
}

/// `Exit code N` at the beginning of a failed command's text.
fn exit_code(output: &str) -> Option<i32> {
    let rest = output.strip_prefix("Exit code ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn texts<'a>(blocks: impl Iterator<Item = &'a Value>) -> String {
    blocks.filter_map(|block| text(block, &["text"])).collect::<Vec<_>>().join("\n")
}

fn record_type(record: &Value, kind: &str) -> String {
    let detail = text(record, &["attachment", "type"]).or_else(|| text(record, &["subtype"]));
    match (kind, detail) {
        ("", _) => "record without a type".to_owned(),
        (kind, Some(detail)) => format!("{kind} {detail}"),
        (kind, None) => kind.to_owned(),
    }
}
