//! What is put into an agent's settings before it starts: gates that refuse, and code that lies.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::scenario::{Deny, Gate, Lie};
use crate::agent::Agent;

const LIAR: &str = include_str!("liar.js");
const LIAR_PLUGIN: &str = include_str!("liar_plugin.js");

/// Loads the liar into the agent's program. Codex is one static binary: nothing can be loaded into it.
pub(super) fn lie(
    agent: Agent,
    home: &Path,
    command: &mut Command,
    lies: &[Lie],
    fill: &dyn Fn(&str) -> String,
) -> io::Result<()> {
    let lies = fill(&serde_json::to_string(lies)?);
    let file = home.join("liar.js");
    match agent {
        Agent::ClaudeCode => {
            fs::write(&file, LIAR)?;
            command.env("BUN_OPTIONS", format!("--preload {}", file.display()));
        }
        Agent::GeminiCli => {
            fs::write(&file, LIAR)?;
            command.env("NODE_OPTIONS", format!("--require {}", file.display()));
        }
        Agent::OpenCode => {
            let folder = home.join(".config/opencode/plugin");
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("liar.js"), LIAR_PLUGIN)?;
        }
        Agent::Codex => {
            return Err(io::Error::other("codex cannot be made to lie by itself: stop Muster instead"));
        }
    }
    command.env("REHEARSAL_LIES", lies);
    Ok(())
}

/// Makes the product refuse calls.
pub(super) fn deny(
    agent: Agent,
    home: &Path,
    command: &mut Command,
    deny: &Deny,
    fill: &dyn Fn(&str) -> String,
) -> io::Result<()> {
    let words: Vec<String> = deny.words.iter().map(|word| fill(word)).collect();
    let hook = hook(home, &words, &fill(&deny.first))?;
    match (agent, deny.by) {
        (Agent::ClaudeCode, Gate::Hook) => {
            settings(&home.join(".claude/settings.json"), "/hooks/PreToolUse", hooks(&hook))
        }
        (Agent::ClaudeCode, Gate::Rules) => {
            let rules: Vec<String> = words.iter().map(|word| format!("Bash({word}:*)")).collect();
            settings(&home.join(".claude/settings.json"), "/permissions/deny", json!(rules))
        }
        (Agent::Codex, Gate::Hook) => {
            command.arg("--dangerously-bypass-hook-trust");
            settings(&home.join(".codex/hooks.json"), "/hooks/PreToolUse", hooks(&hook))
        }
        (Agent::Codex, Gate::Rules) => {
            let rule = |word: &String| format!("prefix_rule(pattern=[\"{word}\"], decision=\"forbidden\")\n");
            let folder = home.join(".codex/rules");
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("default.rules"), words.iter().map(rule).collect::<String>())
        }
        (Agent::GeminiCli, Gate::Hook) => {
            settings(&home.join(".gemini/settings.json"), "/hooks/BeforeTool", hooks(&hook))
        }
        (Agent::GeminiCli, Gate::Rules) => {
            let rule = |word: &String| {
                format!(
                    "[[rule]]\ntoolName = \"run_shell_command\"\ncommandPrefix = \"{word}\"\ndecision = \"deny\"\npriority = 900\n"
                )
            };
            let folder = home.join(".gemini/policies");
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("deny.toml"), words.iter().map(rule).collect::<String>())
        }
        (Agent::OpenCode, Gate::Hook | Gate::Rules) => {
            let star = if deny.by == Gate::Hook { "*" } else { "" };
            let mut rules = serde_json::Map::new();
            rules.insert("*".to_owned(), json!("allow"));
            for word in &words {
                rules.insert(format!("{star}{word}*"), json!("deny"));
            }
            settings(&home.join(".config/opencode/opencode.json"), "/permission/bash", Value::Object(rules))
        }
    }
}

fn hook(home: &Path, words: &[String], first: &str) -> io::Result<String> {
    let file = home.join("gate.sh");
    let cases: String = words.iter().map(|word| format!("  *'{word}'*) refuse '{word}';;\n")).collect();
    let script = format!(
        "#!/bin/sh\nrefuse() {{\n{first}\n  echo \"the policy of this machine does not allow $1\" >&2\n  exit 2\n}}\nsaid=$(cat)\ncase \"$said\" in\n{cases}esac\nexit 0\n"
    );
    fs::write(&file, script)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(file.display().to_string())
}

fn hooks(command: &str) -> Value {
    json!([{"matcher": "*", "hooks": [{"type": "command", "command": command}]}])
}

/// Puts a value into a settings file, beside what is there.
pub(super) fn settings(path: &Path, pointer: &str, value: Value) -> io::Result<()> {
    let mut all: Value =
        fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(json!({}));
    let mut at = &mut all;
    for name in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, all.to_string())
}
