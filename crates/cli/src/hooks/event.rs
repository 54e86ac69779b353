//! What a product's hook is given on standard input before a tool runs. Hostile: the model chose most of it.

use muster_account::{Body, tool_call};
use serde_json::Value;

/// Most that is read of what the product says: a file that is written whole stands in it.
pub const INPUT_MAX: usize = 16 * 1024 * 1024;
/// Bytes of what the agent says about its act.
const SAID_MAX: usize = 1024;

/// A tool is about to be called.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolEvent {
    /// Always a `Body::Call`.
    pub call: Body,
    pub tool: String,
    pub call_id: Option<String>,
    pub cwd: String,
    pub said: Option<String>,
}

/// `None`: the hook was called for something else. An error is a no.
pub fn parse(product: &str, input: &[u8]) -> Result<Option<ToolEvent>, String> {
    let event: Value = serde_json::from_slice(input).map_err(|error| format!("no JSON on stdin: {error}"))?;
    let field = |name: &str| event.get(name).and_then(Value::as_str);
    match field("hook_event_name") {
        Some("PreToolUse" | "BeforeTool" | "tool.execute.before") => {}
        Some(_) => return Ok(None),
        None => return Err("the event has no name".to_owned()),
    }
    let tool = field("tool_name").filter(|name| !name.is_empty()).ok_or("the event names no tool")?;
    let none = Value::Null;
    let arguments = event.get("tool_input").unwrap_or(&none);
    let cwd = field("cwd").filter(|cwd| cwd.starts_with('/')).ok_or("the event names no folder")?;
    let call_id = field("tool_use_id").filter(|id| !id.is_empty());
    let said = ["description", "justification"].iter().find_map(|name| arguments.get(name)?.as_str());
    Ok(Some(ToolEvent {
        call: tool_call(product, call_id.unwrap_or_default(), tool, arguments),
        tool: tool.to_owned(),
        call_id: call_id.map(str::to_owned),
        cwd: cwd.to_owned(),
        said: said.map(|said| said.chars().take(SAID_MAX).collect()),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_about_a_tool() {
        let event = json!({"hook_event_name": "PreToolUse", "tool_name": "Bash", "cwd": "/w", "tool_use_id": "toolu_1",
            "tool_input": {"command": "ls", "description": "List files"}});
        let parsed = parse("claude-code", event.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(
            (parsed.call_id.as_deref(), parsed.said.as_deref()),
            (Some("toolu_1"), Some("List files"))
        );
        assert!(matches!(parsed.call, Body::Call { command: Some(_), .. }));
        assert_eq!(parse("codex", br#"{"hook_event_name":"Stop"}"#), Ok(None));
        for text in [
            "",
            "{}",
            "[]",
            r#"{"hook_event_name":"PreToolUse"}"#,
            r#"{"hook_event_name":"PreToolUse","tool_name":"x"}"#,
        ] {
            assert!(parse("codex", text.as_bytes()).is_err(), "{text}");
        }
    }
}
