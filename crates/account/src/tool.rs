//! A tool call as a product's hook tells of it, before it runs: read as the same call in the product's account would be.

use serde_json::{Value, json};

use crate::json::text;
use crate::{Body, Class, claude, codex, gemini, opencode};

/// Always a `Body::Call`. `product`: name of its data file; of one that is not known, only the tool's name and arguments.
pub fn tool_call(product: &str, call_id: &str, tool: &str, input: &Value) -> Body {
    match product {
        "claude-code" => claude::call(&json!({"id": call_id, "name": tool, "input": input})),
        "codex" => codex::hook_call(call_id, tool, input),
        "gemini-cli" => gemini::call_body(&json!({"name": tool, "args": input}), call_id),
        "opencode" => opencode::call(&json!({"callID": call_id, "tool": tool}), &json!({"input": input})),
        _ => other(call_id, tool, input),
    }
}

/// By the words that most products have for it.
fn other(call_id: &str, tool: &str, input: &Value) -> Body {
    let command = text(input, &["command"]).or_else(|| text(input, &["cmd"])).map(str::to_owned);
    let class = if command.is_some() { Class::Execute } else { Class::Other };
    Body::Call {
        call_id: call_id.to_owned(),
        tool: tool.to_owned(),
        class,
        command,
        paths: Vec::new(),
        cwd: None,
        arguments: input.to_string(),
        background: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(product: &str, tool: &str, input: Value, expected: (Class, Option<&str>, &[&str])) {
        let Body::Call { class, command, paths, .. } = tool_call(product, "c", tool, &input) else {
            panic!("no call");
        };
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!((class, command.as_deref(), paths.as_slice()), expected, "{product} {tool} {input}");
    }

    #[test]
    fn each_product_has_its_own_words() {
        let run = (Class::Execute, Some("ls"), &[][..]);
        check("claude-code", "Bash", json!({"command": "ls"}), run);
        check("codex", "Bash", json!({"command": "ls"}), run);
        check("gemini-cli", "run_shell_command", json!({"command": "ls"}), run);
        check("opencode", "bash", json!({"command": "ls"}), run);
        check(
            "claude-code",
            "Write",
            json!({"file_path": "/a", "content": "x"}),
            (Class::Edit, None, &["/a"]),
        );
        check("gemini-cli", "write_file", json!({"file_path": "a"}), (Class::Edit, None, &["a"]));
        check("opencode", "edit", json!({"filePath": "a"}), (Class::Edit, None, &["a"]));
        let patch = "*** Begin Patch\n*** Add File: a\n+x\n*** Delete File: b\n*** End Patch";
        check("codex", "apply_patch", json!({"command": patch}), (Class::Edit, None, &["a", "b"]));
        check("codex", "mcp__s__t", json!({"x": 1}), (Class::Mcp, None, &[]));
        check("claude-code", "Task", json!({"prompt": "x"}), (Class::Delegate, None, &[]));
    }
}
