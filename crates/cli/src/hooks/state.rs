//! What a hook's settings say, and whether they say it whole. Pure.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::hooks::edit;

/// OpenCode's plugin.
pub const PLUGIN: &str = include_str!("opencode.js");
/// What makes a command ours, wherever its program lies.
pub const MARK: &str = " hook tool --agent ";
/// What makes a hook that cannot be started a no: products let a call pass whose hook ends with any code but 2.
pub const CLOSED: &str = " || exit 2";
/// How long a product waits for the hook: a person may have to answer. The gate's own limit is lower.
const SECONDS: u64 = 600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Product {
    ClaudeCode,
    Codex,
    #[value(alias = "gemini-cli")]
    Gemini,
    #[value(name = "opencode")]
    OpenCode,
}

impl Product {
    pub const ALL: [Product; 4] = [Product::ClaudeCode, Product::Codex, Product::Gemini, Product::OpenCode];

    /// Name of its data file.
    pub fn name(self) -> &'static str {
        match self {
            Product::ClaudeCode => "claude-code",
            Product::Codex => "codex",
            Product::Gemini => "gemini-cli",
            Product::OpenCode => "opencode",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

    /// The word for `--agent`.
    pub fn word(self) -> &'static str {
        match self {
            Product::Gemini => "gemini",
            other => other.name(),
        }
    }

    /// The event before a tool runs.
    pub fn event(self) -> &'static str {
        match self {
            Product::ClaudeCode | Product::Codex => "PreToolUse",
            Product::Gemini => "BeforeTool",
            Product::OpenCode => "tool.execute.before",
        }
    }

    /// Where its hook stands for all of a user's projects, and for one.
    pub fn user_file(self, home: &Path) -> PathBuf {
        match self {
            Product::ClaudeCode => home.join(".claude/settings.json"),
            Product::Codex => home.join(".codex/hooks.json"),
            Product::Gemini => home.join(".gemini/settings.json"),
            Product::OpenCode => home.join(".config/opencode/plugin/muster.js"),
        }
    }

    pub fn project_file(self, dir: &Path) -> PathBuf {
        match self {
            Product::ClaudeCode => dir.join(".claude/settings.json"),
            Product::Codex => dir.join(".codex/hooks.json"),
            Product::Gemini => dir.join(".gemini/settings.json"),
            Product::OpenCode => dir.join(".opencode/plugin/muster.js"),
        }
    }

    /// Files that can switch its hooks off, besides.
    pub fn switches(self, home: &Path, dir: &Path) -> Vec<PathBuf> {
        match self {
            Product::ClaudeCode => vec![
                home.join(".claude/settings.json"),
                home.join(".claude/settings.local.json"),
                dir.join(".claude/settings.json"),
                dir.join(".claude/settings.local.json"),
            ],
            Product::Codex => vec![home.join(".codex/config.toml"), dir.join(".codex/config.toml")],
            Product::Gemini => vec![home.join(".gemini/settings.json"), dir.join(".gemini/settings.json")],
            Product::OpenCode => Vec::new(),
        }
    }

    /// What its configuration file says.
    pub fn entry(self, command: &str) -> Value {
        match self {
            Product::ClaudeCode => json!({"matcher": "*", "hooks": [
                {"type": "command", "command": command, "timeout": SECONDS, "onFailure": "block"}]}),
            Product::Codex => json!({"hooks": [{"type": "command", "command": command, "timeout": SECONDS}]}),
            // Milliseconds.
            Product::Gemini => json!({"matcher": "*", "hooks": [
                {"type": "command", "name": "muster", "command": command, "timeout": SECONDS * 1000}]}),
            Product::OpenCode => Value::Null,
        }
    }
}

/// Is this element of the list a hook of Muster's, whole or not?
pub fn is_ours(entry: &Value) -> bool {
    let handlers = entry.get("hooks").and_then(Value::as_array).into_iter().flatten();
    handlers.filter_map(|handler| handler.get("command")?.as_str()).any(|command| command.contains(MARK))
}

/// How the hook stands in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Intact,
    Absent,
    /// It stands there and does not do what it is there for: why.
    Changed(String),
}

/// How it stands in the text of its file.
pub fn state(product: Product, text: &str) -> State {
    if product == Product::OpenCode {
        let Some(start) = PLUGIN.split("/*COMMAND*/").next() else { return State::Absent };
        let rest = PLUGIN.split("/*COMMAND*/[]").nth(1).unwrap_or_default();
        return match text.strip_prefix(start).and_then(|text| text.strip_suffix(rest)) {
            Some(command) if command.contains("\"tool\",\"--agent\"") && !command.contains('\n') => {
                State::Intact
            }
            _ => State::Changed("the plugin is not the one that was installed".to_owned()),
        };
    }
    let Some(settings) = edit::parsed(text) else {
        return State::Changed("the file can no longer be read".to_owned());
    };
    let list = settings.get("hooks").and_then(|hooks| hooks.get(product.event())).and_then(Value::as_array);
    let ours: Vec<&Value> = list.into_iter().flatten().filter(|entry| is_ours(entry)).collect();
    if ours.is_empty() {
        return State::Absent;
    }
    if ours.iter().any(|entry| is_whole(entry)) {
        return State::Intact;
    }
    State::Changed("it is no longer called for every tool, or no longer says no".to_owned())
}

/// Called for every tool, waited for, and heeded.
fn is_whole(entry: &Value) -> bool {
    let all = match entry.get("matcher") {
        None | Some(Value::Null) => true,
        Some(matcher) => matches!(matcher.as_str(), Some("*" | "" | ".*")),
    };
    let heeded = |handler: &Value| {
        let command = handler.get("command").and_then(Value::as_str).unwrap_or_default();
        let program = command.split(MARK).next().unwrap_or_default();
        handler.get("type").and_then(Value::as_str) == Some("command")
            && command.contains(MARK)
            && command.ends_with(CLOSED)
            && !program.contains([';', '&', '|', '\n', '#', '$', '`', '<', '>'])
            && !command
                .strip_suffix(CLOSED)
                .unwrap_or(command)
                .contains([';', '&', '|', '\n', '#', '$', '`', '<', '>'])
            && ["if", "async", "asyncRewake", "once", "disabled"]
                .iter()
                .all(|name| matches!(handler.get(*name), None | Some(Value::Null | Value::Bool(false))))
    };
    all && entry.get("hooks").and_then(Value::as_array).into_iter().flatten().any(heeded)
}

/// Does this file switch all hooks off?
pub fn switched_off(product: Product, text: &str) -> bool {
    match product {
        Product::ClaudeCode => {
            edit::parsed(text).is_some_and(|v| v.get("disableAllHooks") == Some(&Value::Bool(true)))
        }
        Product::Gemini => edit::parsed(text).is_some_and(|v| {
            let set = |at: &[&str]| at.iter().try_fold(&v, |v, key| v.get(key)).cloned();
            set(&["hooksConfig", "enabled"]) == Some(Value::Bool(false))
                || set(&["tools", "enableHooks"]) == Some(Value::Bool(false))
                || set(&["hooks", "enabled"]) == Some(Value::Bool(false))
                || set(&["hooksConfig", "disabled"])
                    .and_then(|v| v.as_array().map(|list| list.iter().any(|name| name == "muster")))
                    .unwrap_or(false)
        }),
        Product::Codex => toml::from_str::<toml::Table>(text).is_ok_and(|table| {
            let features = table.get("features").and_then(|f| f.as_table());
            ["hooks", "codex_hooks"]
                .iter()
                .any(|name| features.and_then(|f| f.get(*name)) == Some(&toml::Value::Boolean(false)))
        }),
        Product::OpenCode => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = "/usr/bin/muster hook tool --agent claude-code || exit 2";

    #[track_caller]
    fn check(entry: Value, expected: &str) {
        let text = json!({"hooks": {"PreToolUse": [entry]}}).to_string();
        let found = match state(Product::ClaudeCode, &text) {
            State::Intact => "intact",
            State::Absent => "absent",
            State::Changed(_) => "changed",
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn whole_or_not() {
        let entry = Product::ClaudeCode.entry(COMMAND);
        check(entry.clone(), "intact");
        let with = |pointer: &str, value: Value| {
            let mut entry = entry.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            entry.pointer_mut(parent).unwrap()[key] = value;
            entry
        };
        check(with("/matcher", json!("Read")), "changed");
        check(with("/hooks/0/if", json!("Bash(git *)")), "changed");
        check(with("/hooks/0/async", json!(true)), "changed");
        check(with("/hooks/0/type", json!("http")), "changed");
        check(with("/hooks/0/command", json!("/usr/bin/muster hook tool --agent claude-code")), "changed");
        check(with("/hooks/0/command", json!(format!("true; {COMMAND}"))), "changed");
        check(with("/hooks/0/command", json!(format!("true || {COMMAND}"))), "changed");
        check(
            with("/hooks/0/command", json!("/usr/bin/muster hook tool --agent x; true || exit 2")),
            "changed",
        );
        check(with("/hooks/0/command", json!("true")), "absent");
        assert!(switched_off(Product::ClaudeCode, r#"{"disableAllHooks": true}"#));
        assert!(!switched_off(Product::ClaudeCode, r#"{"disableAllHooks": false}"#));
        assert!(switched_off(Product::Codex, "[features]\nhooks = false\n"));
    }
}
