//! What must hold of files that users and packages wrote, and of what agents send to the gate: driven by proptest here, by libFuzzer in `fuzz/`, which takes
//! this file and those that it tests as modules of its own (a program cannot be depended on).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property fails by panicking")]

use std::path::Path;
use std::sync::LazyLock;

use muster_account::Body;
use muster_engine::Products;

use crate::gate::line::{self, LINE_MAX};
use crate::gate::words;
use crate::hooks::state::Product;
use crate::hooks::{self, edit, event};
use crate::mcp::message;
use crate::{configuration, identify};

static PRODUCTS: LazyLock<Products> = LazyLock::new(|| Products::built_in().unwrap());

/// The configuration of a product: JSON and TOML give commands, bounded, or nothing.
pub fn configuration_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for is_toml in [false, true] {
        let Some(commands) = configuration::commands_in(&text, is_toml) else { continue };
        assert!(commands.len() <= configuration::COMMANDS_MAX, "{} commands", commands.len());
        let taken: usize = commands.iter().flatten().map(String::len).sum();
        assert!(taken <= text.len(), "more was taken than the file has");
        assert_eq!(configuration::commands_in(&text, is_toml), Some(commands), "read again, it differs");
    }
}

/// The first line is the file that runs; the rest is `package.json`, or the script itself.
pub fn package_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let products = &*PRODUCTS;
    for is_script in [false, true] {
        let Some(package) = identify::package_in(rest.as_bytes()) else { break };
        if let Some(found) = identify::of_package(products, &package, Path::new(file), is_script) {
            assert!(products.get(&found.product).is_some());
            let name = package.get("name").and_then(|name| name.as_str()).unwrap();
            assert!(found.by.contains(name) && !file.is_empty());
        }
    }
    if let Some(found) = identify::of_script(products, "/usr/bin/aider", rest) {
        assert!(products.get(&found.product).is_some());
    }
    let argv: Vec<String> = rest.split('\0').map(str::to_owned).collect();
    let _ = identify::script_of(file, None, &argv, "/w");
}

/// A line of the gate's socket: refused with a reason, or a request that is the same when it is written again.
pub fn gate_line(bytes: &[u8]) {
    match line::parse(bytes) {
        Ok(request) => {
            assert!(bytes.len() <= LINE_MAX);
            let again = serde_json::to_vec(&request).unwrap();
            // Written again it may be longer (spaces of numbers, escapes), but it means the same.
            if again.len() <= LINE_MAX {
                assert_eq!(line::parse(&again), Ok(request.clone()));
            }
            let line::Request::Ask(ask) = request else { return };
            let shown = words::in_words(&ask.action);
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            if let Some(pattern) =
                words::suggestion(&ask.action).and_then(|text| words::Pattern::parse(&text).ok())
            {
                assert!(!pattern.to_string().is_empty());
            }
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// A hook's event, of whatever product: bounded actions, or a reason.
pub fn hook_event(bytes: &[u8]) {
    for product in Product::ALL {
        match event::parse(product.name(), bytes) {
            Ok(Some(found)) => {
                assert!(matches!(found.call, Body::Call { .. }) && !found.tool.is_empty());
                let actions =
                    muster_engine::actions(product.name(), &found.call, &found.cwd, Some("/home/x"));
                assert!(actions.len() <= muster_engine::ACTIONS_MAX);
            }
            Ok(None) => {}
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

/// A settings file: what is added can be taken out again, and nothing else changes.
pub fn hook_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let entry =
        serde_json::json!({"hooks": [{"type": "command", "command": "m hook tool --agent x || exit 2"}]});
    for product in Product::ALL {
        let _ = hooks::state::state(product, &text);
        let _ = hooks::state::switched_off(product, &text);
    }
    let Ok(clean) = edit::without_entries(&text, "PreToolUse", hooks::state::is_ours) else { return };
    if clean.trim().is_empty() || edit::parsed(&clean).is_none() {
        return;
    }
    if let Ok(with) = edit::with_entry(&clean, "PreToolUse", &entry) {
        let found = edit::parsed(&with).unwrap();
        assert!(found["hooks"]["PreToolUse"].as_array().unwrap().contains(&entry), "{with}");
        let without = edit::without_entries(&with, "PreToolUse", hooks::state::is_ours).unwrap();
        assert!(edit::parsed(&without).is_some(), "{without}");
        assert!(
            !without.contains("m hook tool --agent x || exit 2") || clean.contains("m hook tool"),
            "{without}"
        );
    }
}

/// What a client sends to an MCP server: refused with a reason, passed, or with its calls named; a denial answers its request.
pub fn mcp_message(bytes: &[u8]) {
    match message::look(bytes) {
        Ok(message::Looked::Calls { calls, messages, batch }) => {
            assert!(!calls.is_empty() && (batch || messages.len() == 1));
            let gone: Vec<usize> = calls.iter().map(|call| call.at).collect();
            for call in &calls {
                let method = messages[call.at]["method"].as_str();
                assert_eq!(method, Some("tools/call"));
                match message::denial(call) {
                    Some(answer) => assert_eq!(answer["id"].to_string(), call.id),
                    None => assert!(call.id.is_empty()),
                }
            }
            if let Some(left) = message::without(&messages, &gone, batch) {
                assert_eq!(message::look(left.to_string().as_bytes()), Ok(message::Looked::Pass));
            }
        }
        Ok(message::Looked::Pass | message::Looked::Cancelled(_)) => {}
        Err(why) => assert!(!why.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn any_configuration(
            text in "(\\{|\\}|\\[|\\]|\"command\"|\"args\"|:|,|\"[a-z ]{0,8}\"|command = \"x\"|\n|\\[hooks\\]| ){0,30}",
            commands in prop::collection::vec("[a-z ]{0,8}", 0..600),
            bytes: Vec<u8>,
        ) {
            configuration_file(text.as_bytes());
            configuration_file(&bytes);
            let hooks: Vec<_> = commands.iter().map(|c| serde_json::json!({"command": c, "args": [c, 1]})).collect();
            configuration_file(serde_json::json!({"hooks": hooks}).to_string().as_bytes());
        }

        #[test]
        fn any_package(
            file in "(cli\\.js|bin/[a-z]{0,8}|dist/index\\.js|\\PC{0,12})",
            name in prop::sample::select(vec!["@anthropic-ai/claude-code", "@openai/codex", "@google/gemini-cli", "opencode-ai", "x"]),
            bin in "(\\./)?(cli\\.js|bin/[a-z]{0,8}|dist/index\\.js)",
            bytes: Vec<u8>,
        ) {
            let package = serde_json::json!({"name": name, "version": "1.2.3-linux-x64", "bin": {"x": bin}, "main": bin});
            package_file(format!("{file}\n{package}").as_bytes());
            package_file(format!("{file}\nfrom {name}.x import y\n").as_bytes());
            package_file(&bytes);
        }

        #[test]
        fn any_line(text in "\\PC{0,40}", path in "\\PC{0,20}", bytes: Vec<u8>, wait: u64, by in prop::sample::select(vec!["hook", "mcp", "kernel", "x"])) {
            gate_line(text.as_bytes());
            hook_file(text.as_bytes());
            hook_file(&bytes);
            gate_line(&bytes);
            let ask = json!({"ask": {"action": {"kind": "execute", "path": path, "argv": [text, path]}, "by": by, "wait_ms": wait, "said": text}});
            gate_line(ask.to_string().as_bytes());
            let all = json!({"ask_all": {"actions": [{"kind": "read", "path": path}], "by": by, "call": text}});
            gate_line(all.to_string().as_bytes());
        }

        #[test]
        fn any_event(command in "[a-z /$(){};|&>\"'~.-]{0,40}", path in "\\PC{0,20}", tool in prop::sample::select(vec!["Bash", "Write", "apply_patch", "run_shell_command", "bash", "edit", "WebFetch", "mcp__a__b", "Task"]), bytes: Vec<u8>) {
            hook_event(&bytes);
            let event = json!({"hook_event_name": "PreToolUse", "tool_name": tool, "cwd": "/w", "tool_use_id": path,
                "tool_input": {"command": command, "file_path": path, "filePath": path, "url": path, "patchText": command}});
            hook_event(event.to_string().as_bytes());
        }

        #[test]
        fn any_message(name in "\\PC{0,12}", id in prop::sample::select(vec!["1", "\"a\"", "null", "[1]"]), method in prop::sample::select(vec!["tools/call", "ping", "notifications/cancelled", "TOOLS/CALL"]), bytes: Vec<u8>, count in 0usize..4) {
            mcp_message(&bytes);
            let name = json!(name);
            let one = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"name":{name},"requestId":{id}}}}}"#);
            mcp_message(one.as_bytes());
            mcp_message(format!("[{}]", vec![one; count].join(",")).as_bytes());
        }
    }
}
