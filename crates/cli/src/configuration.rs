//! Reads which commands an agent's own configuration makes its harness run: hooks, MCP servers, status lines, formatters.
//! They are the user's choice, not the model's act. Only the commands are taken; no key or environment is kept.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use muster_event::{redact, redact_argv};
use serde_json::Value;

/// Largest configuration file that is read.
const FILE_MAX: u64 = 4 * 1024 * 1024;
/// Most commands taken from one file.
pub(crate) const COMMANDS_MAX: usize = 512;

/// Command lines by the file that names them. A hook is one shell string (`[string]`); a server is its argv.
pub fn read(
    product: &str,
    home: Option<&str>,
    cwd: &str,
    argv: &[String],
) -> Vec<(String, Vec<Vec<String>>)> {
    let home = home.map(PathBuf::from).unwrap_or_default();
    let cwd = Path::new(cwd);
    let files: Vec<PathBuf> = match product {
        "claude-code" => vec![
            home.join(".claude/settings.json"),
            home.join(".claude/settings.local.json"),
            home.join(".claude.json"),
            cwd.join(".claude/settings.json"),
            cwd.join(".claude/settings.local.json"),
            cwd.join(".mcp.json"),
            PathBuf::from("/etc/claude-code/managed-settings.json"),
        ],
        "codex" => vec![
            home.join(".codex/config.toml"),
            home.join(".codex/hooks.json"),
            cwd.join(".codex/config.toml"),
            cwd.join(".codex/hooks.json"),
            PathBuf::from("/etc/codex/config.toml"),
        ],
        "gemini-cli" => vec![
            home.join(".gemini/settings.json"),
            cwd.join(".gemini/settings.json"),
            PathBuf::from("/etc/gemini-cli/settings.json"),
        ],
        "opencode" => vec![
            home.join(".config/opencode/opencode.json"),
            home.join(".config/opencode/opencode.jsonc"),
            cwd.join("opencode.json"),
            cwd.join("opencode.jsonc"),
        ],
        _ => Vec::new(),
    };
    let (named, given) = by_command_line(product, argv);
    let files = files.into_iter().chain(named.into_iter().map(|file| cwd.join(file)));
    let mut out: Vec<(String, Vec<Vec<String>>)> = files
        .filter_map(|file| {
            let commands = commands_of(&file)?;
            (!commands.is_empty()).then(|| (file.to_string_lossy().into_owned(), commands))
        })
        .collect();
    if !given.is_empty() {
        out.push(("its command line".to_owned(), given));
    }
    for command in out.iter_mut().flat_map(|(_, commands)| commands) {
        *command = redacted(command);
    }
    out
}

/// As the record shows the execution of it. What the product will fill in (`${API_KEY}`) is no secret, and must be known
/// as that.
fn redacted(command: &[String]) -> Vec<String> {
    let cut = redact_argv(command);
    let as_written = |argument: &str| redact(argument).into_owned();
    command.iter().zip(cut).map(|(a, cut)| if a.contains("${") { as_written(a) } else { cut }).collect()
}

/// Files that the command line names, and commands in settings that it gives itself.
fn by_command_line(product: &str, argv: &[String]) -> (Vec<String>, Vec<Vec<String>>) {
    let (mut files, mut commands) = (Vec::new(), Vec::new());
    let options: &[&str] = match product {
        "claude-code" => &["--mcp-config", "--settings"],
        "codex" => &["-c", "--config"],
        _ => return (files, commands),
    };
    let mut option = None;
    for argument in argv.iter().skip(1) {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if options.contains(&name) => (Some(name), value),
            _ if argument.starts_with('-') => {
                option = options.iter().find(|o| *o == argument);
                continue;
            }
            // Several values may follow one option.
            _ => (option.copied(), argument.as_str()),
        };
        if name.is_none() {
            continue;
        }
        let settings = if product == "codex" {
            toml::from_str::<toml::Table>(value).ok().and_then(|table| serde_json::to_value(table).ok())
        } else {
            serde_json::from_str(value).ok()
        };
        match settings {
            Some(settings) => collect(&settings, &mut commands, 0),
            None if product != "codex" => files.push(value.to_owned()),
            None => {}
        }
    }
    (files, commands)
}

fn commands_of(path: &Path) -> Option<Vec<Vec<String>>> {
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).ok()?;
    commands_in(&text, path.extension().is_some_and(|e| e == "toml"))
}

/// `None`: the text is no configuration.
pub(crate) fn commands_in(text: &str, is_toml: bool) -> Option<Vec<Vec<String>>> {
    let value: Value = if is_toml {
        serde_json::to_value(toml::from_str::<toml::Table>(text).ok()?).ok()?
    } else {
        serde_json::from_str(text).ok()?
    };
    let mut out = Vec::new();
    collect(&value, &mut out, 0);
    Some(out)
}

/// Settings that are commands and are not called so: Claude Code's helpers, Codex's notifier, Gemini CLI's tools.
const OTHER_NAMES: &[&str] = &[
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "gcpAuthRefresh",
    "otelHeadersHelper",
    "notify",
    "discoveryCommand",
    "toolDiscoveryCommand",
    "callCommand",
    "toolCallCommand",
];

/// Every object with a `command`: a string (with `args`: an argv; without: a shell string) or an array (an argv).
fn collect(value: &Value, out: &mut Vec<Vec<String>>, depth: usize) {
    if depth > 32 || out.len() >= COMMANDS_MAX {
        return;
    }
    match value {
        Value::Object(map) => {
            let strings = |value: &Value| -> Vec<String> {
                value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
            };
            match map.get("command") {
                Some(Value::String(command)) => match map.get("args") {
                    Some(arguments) => {
                        let mut argv = vec![command.clone()];
                        argv.extend(strings(arguments));
                        out.push(argv);
                    }
                    None => out.push(vec![command.trim().to_owned()]),
                },
                Some(array @ Value::Array(_)) => out.push(strings(array)),
                Some(_) | None => {}
            }
            for name in OTHER_NAMES {
                match map.get(*name) {
                    Some(Value::String(command)) => out.push(vec![command.trim().to_owned()]),
                    Some(array @ Value::Array(_)) => out.push(strings(array)),
                    Some(_) | None => {}
                }
            }
            for child in map.values() {
                collect(child, out, depth + 1);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, out, depth + 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_name_settings_too() {
        let argv = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let json =
            r#"claude -p x --mcp-config a.json b.json --settings={"hooks":[{"command":"h"}]} --model m"#;
        let (files, commands) = by_command_line("claude-code", &argv(json));
        assert_eq!(files, ["a.json", "b.json"]);
        assert_eq!(commands, [["h"]]);
        let (_, commands) =
            by_command_line("codex", &argv(r#"codex -c mcp_servers.x={command="s",args=["1"]} do"#));
        assert_eq!(commands, [["s", "1"]]);
    }

    #[test]
    fn secrets_are_cut_out_as_in_the_record() {
        let command = [
            "srv",
            "--api-key",
            "0123456789abcdef",
            "--password",
            "${THE_PASSWORD}",
            "MY_TOKEN=abcdefghijkl",
        ];
        assert_eq!(
            redacted(&command.map(str::to_owned)),
            ["srv", "--api-key", "[redacted]", "--password", "${THE_PASSWORD}", "MY_TOKEN=[redacted]"]
        );
    }

    #[test]
    fn hooks_and_servers_are_found_wherever_they_stand() {
        let json = serde_json::json!({
            "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "my-hook --x"}]}]},
            "mcpServers": {"db": {"command": "node", "args": ["server.js"], "env": {"KEY": "s"}}},
            "mcp": {"local": {"type": "local", "command": ["bun", "x"]}},
            "apiKeyHelper": "key.sh",
            "notify": ["say", "done"],
        });
        let mut out = Vec::new();
        collect(&json, &mut out, 0);
        out.sort();
        assert_eq!(
            out,
            [
                vec!["bun", "x"],
                vec!["key.sh"],
                vec!["my-hook --x"],
                vec!["node", "server.js"],
                vec!["say", "done"]
            ]
        );
    }
}
