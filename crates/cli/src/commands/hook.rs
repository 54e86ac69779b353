//! `muster hook`: what an agent's product runs when the agent is about to end its turn. It hands back a message that the
//! record contradicts, so that the agent puts it right before a person reads it. It opens rather than closes: whatever goes
//! wrong, the agent goes on.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::{Global, client};

/// Longest a hook takes, whatever happens.
const PATIENCE: Duration = Duration::from_millis(5_000);
/// Most that is read of what the product says.
const INPUT_MAX: u64 = 4 * 1024 * 1024;
/// Most of a message that is asked about, in bytes: its end is what it ends with.
const TEXT_MAX: usize = 32 * 1024;

#[derive(Args)]
pub struct Hook {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run by the product when a turn ends (reads the hook's JSON on stdin).
    Stop,
    /// Run by the product before a tool is called (reads the hook's JSON on stdin); exit 2 is a no. See `muster hooks`.
    Tool {
        /// The product.
        #[arg(long)]
        agent: crate::hooks::Product,
    },
    /// Print the settings that make a product run it.
    Snippet { product: Product },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Product {
    /// For `.claude/settings.json`.
    ClaudeCode,
    /// For `.codex/hooks.json`.
    Codex,
    /// For `.gemini/settings.json`.
    GeminiCli,
}

impl Hook {
    pub fn run(self, global: &Global) -> Result<Exit> {
        match self.command {
            Command::Snippet { product } => {
                let program = std::env::current_exe().unwrap_or_else(|_| "muster".into());
                let mut command = quoted(&program.to_string_lossy());
                if global.data.as_os_str() != crate::DATA_DEFAULT {
                    command.push_str(&format!(" --data {}", quoted(&global.data.to_string_lossy())));
                }
                command.push_str(" hook stop");
                writeln!(std::io::stdout().lock(), "{:#}", snippet(product, &command))?;
            }
            Command::Stop => stop(global),
            // As a rule `main` has done it already.
            Command::Tool { agent } => {
                let code = crate::hooks::tool::run(agent, &global.data);
                return Ok(if code == std::process::ExitCode::SUCCESS { Exit::Nothing } else { Exit::Usage });
            }
        }
        Ok(Exit::Nothing)
    }
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = word.chars().all(|c| c.is_alphanumeric() || "/._-+:=@".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn snippet(product: Product, command: &str) -> Value {
    let hook =
        |timeout: u64| json!([{"hooks": [{"type": "command", "command": command, "timeout": timeout}]}]);
    match product {
        Product::ClaudeCode => json!({"hooks": {"Stop": hook(10), "SubagentStop": hook(10)}}),
        Product::Codex => json!({"hooks": {"Stop": hook(10)}}),
        // Milliseconds.
        Product::GeminiCli => json!({"hooks": {"AfterAgent": hook(10_000)}}),
    }
}

/// Everything on another thread: what reads and asks may hang, the hook does not.
fn stop(global: &Global) {
    let (sender, answer) = channel();
    let data = global.data.clone();
    std::thread::spawn(move || {
        let mut input = Vec::new();
        let read = std::io::stdin().lock().take(INPUT_MAX).read_to_end(&mut input);
        let answer = match read {
            Ok(_) => answer_to(&input, |text| client::ask_stop(&data, text)),
            Err(error) => Err(error.to_string()),
        };
        // The other end may have given up.
        drop(sender.send(answer));
    });
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(Some(answer))) => drop(writeln!(std::io::stdout().lock(), "{answer}")),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            // One line: the product may show it.
            let error = muster_event::sanitize(error.lines().next().unwrap_or_default());
            eprintln!("muster hook: not asked: {error}");
        }
        Err(_) => eprintln!("muster hook: no answer in time"),
    }
}

/// What to tell the product; nothing where the message may stand.
fn answer_to(
    input: &[u8],
    ask: impl FnOnce(&str) -> Result<Vec<(String, String)>>,
) -> Result<Option<Value>, String> {
    let event: Value = serde_json::from_slice(input).map_err(|error| format!("no JSON on stdin: {error}"))?;
    let field = |name: &str| event.get(name).and_then(Value::as_str);
    // It was handed back once already: never twice, or it would go round for ever.
    if event.get("stop_hook_active").and_then(Value::as_bool) != Some(false) {
        return Ok(None);
    }
    let (decision, text) = match field("hook_event_name") {
        Some("Stop" | "SubagentStop") => ("block", field("last_assistant_message")),
        Some("AfterAgent") => ("deny", field("prompt_response")),
        Some(_) | None => return Ok(None),
    };
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let mut from = text.len().saturating_sub(TEXT_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let told = ask(text.get(from..).unwrap_or_default()).map_err(|error| error.to_string())?;
    if told.is_empty() {
        return Ok(None);
    }
    // Exactly these two fields: Codex takes nothing else.
    Ok(Some(json!({"decision": decision, "reason": reason(&told)})))
}

/// One line, the sentence and the verdict, nothing of how it is known.
fn reason(told: &[(String, String)]) -> String {
    let all: Vec<String> =
        told.iter().map(|(sentence, verdict)| format!("“{sentence}” is {verdict}")).collect();
    format!("Muster: {}. Tell your user what is true.", all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered when the record contradicts everything.
    #[track_caller]
    fn check(event: &Value, expected: Option<&str>) {
        let answer = answer_to(event.to_string().as_bytes(), |text| {
            Ok(vec![(text.to_owned(), "contradicted".to_owned())])
        });
        assert_eq!(answer.unwrap().map(|v| v.to_string()).as_deref(), expected, "{event}");
    }

    #[test]
    fn each_product_gets_its_own_words() {
        let stop = json!({"hook_event_name": "Stop", "stop_hook_active": false, "last_assistant_message": "I pushed."});
        let block = r#"{"decision":"block","reason":"Muster: “I pushed.” is contradicted. Tell your user what is true."}"#;
        check(&stop, Some(block));
        let after = json!({"hook_event_name": "AfterAgent", "stop_hook_active": false, "prompt_response": "I pushed."});
        check(&after, Some(&block.replace("block", "deny")));
    }

    #[test]
    fn it_never_goes_round() {
        check(
            &json!({"hook_event_name": "Stop", "stop_hook_active": true, "last_assistant_message": "I pushed."}),
            None,
        );
        // Who does not say whether it was handed back already is not handed back.
        check(&json!({"hook_event_name": "Stop", "last_assistant_message": "I pushed."}), None);
        check(&json!({"hook_event_name": "PreToolUse", "stop_hook_active": false}), None);
        check(
            &json!({"hook_event_name": "Stop", "stop_hook_active": false, "last_assistant_message": " "}),
            None,
        );
    }

    #[test]
    fn it_opens_whatever_goes_wrong() {
        assert!(answer_to(b"not json", |_| Ok(Vec::new())).is_err());
        let stop = json!({"hook_event_name": "Stop", "stop_hook_active": false, "last_assistant_message": "I pushed."});
        assert!(answer_to(stop.to_string().as_bytes(), |_| anyhow::bail!("no daemon")).is_err());
    }

    #[test]
    fn snippets_name_the_program() {
        let text = snippet(Product::Codex, "/usr/bin/muster hook stop").to_string();
        assert!(text.contains("/usr/bin/muster hook stop") && !text.contains("AfterAgent"), "{text}");
        assert_eq!(quoted("/a b/muster"), "'/a b/muster'");
    }
}
