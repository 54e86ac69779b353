//! Lines of the accounts, as far as somebody must know them who forges some.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::agent::Agent;

/// What a line of an account is to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Call,
    Result,
    /// Both in one.
    Whole,
    /// Codex's second line about a command: what it was and how it ended.
    Item,
}

/// The id of the first call whose arguments hold these words.
pub(super) fn call_id(agent: Agent, lines: &[Value], like: &str) -> Option<String> {
    lines.iter().find_map(|line| match agent {
        Agent::ClaudeCode => list(&line["message"]["content"])
            .find(|block| block["type"] == "tool_use" && holds(&block["input"], like))
            .and_then(|block| text(&block["id"])),
        Agent::Codex => {
            let payload = &line["payload"];
            let call = payload["type"] == "function_call" || payload["type"] == "custom_tool_call";
            let said = holds(&payload["arguments"], like) || holds(&payload["input"], like);
            (call && said).then(|| text(&payload["call_id"])).flatten()
        }
        Agent::GeminiCli => list(&line["toolCalls"])
            .find(|call| holds(&call["args"], like))
            .and_then(|call| text(&call["id"])),
        Agent::OpenCode => None,
    })
}

/// What this line is to the call with this id.
pub(super) fn part(agent: Agent, line: &Value, id: &str) -> Option<Part> {
    match agent {
        Agent::ClaudeCode => list(&line["message"]["content"]).find_map(|block| {
            if block["id"] == id {
                Some(Part::Call)
            } else if block["tool_use_id"] == id {
                Some(Part::Result)
            } else {
                None
            }
        }),
        Agent::Codex => {
            let payload = &line["payload"];
            if payload["call_id"] == id {
                let result = payload["type"].as_str().is_some_and(|kind| kind.ends_with("_output"));
                Some(if result { Part::Result } else { Part::Call })
            } else if payload["item"]["id"] == id {
                Some(if payload["type"] == "item_completed" { Part::Item } else { Part::Call })
            } else {
                None
            }
        }
        // The same record again and again, last with the result.
        Agent::GeminiCli => {
            let call = list(&line["toolCalls"]).find(|call| call["id"] == id)?;
            Some(if call["result"].is_array() { Part::Whole } else { Part::Call })
        }
        Agent::OpenCode => None,
    }
}

/// Makes copies of lines follow the last line of an account: its chain goes on, its clock too.
pub(super) struct Chain {
    agent: Agent,
    last_uuid: Value,
    ordinal: Option<u64>,
    time: String,
    made: u64,
}

impl Chain {
    pub(super) fn after(agent: Agent, lines: &[Value]) -> Self {
        let last = |name: &str| lines.iter().rev().map(|line| &line[name]).find(|value| !value.is_null());
        Self {
            agent,
            last_uuid: last("uuid").cloned().unwrap_or_default(),
            ordinal: last("ordinal").and_then(Value::as_u64),
            time: lines.iter().filter_map(|line| line["timestamp"].as_str()).max().unwrap_or("").to_owned(),
            made: 0,
        }
    }

    pub(super) fn next(&mut self, line: &mut Value) {
        self.made += 1;
        if line.get("timestamp").is_some() {
            line["timestamp"] = json!(later(&self.time, self.made));
        }
        match self.agent {
            Agent::ClaudeCode => {
                line["parentUuid"] = std::mem::take(&mut self.last_uuid);
                self.last_uuid = json!(uuid(self.made));
                line["uuid"] = self.last_uuid.clone();
                if line["message"].get("id").is_some() {
                    line["message"]["id"] = json!(format!("msg_{}", uuid(self.made)));
                }
                if line.get("sourceToolAssistantUUID").is_some() {
                    line["sourceToolAssistantUUID"] = line["parentUuid"].clone();
                }
            }
            Agent::Codex => {
                if let Some(ordinal) = &mut self.ordinal {
                    *ordinal += 1;
                    line["ordinal"] = json!(ordinal);
                }
            }
            Agent::GeminiCli => line["id"] = json!(uuid(self.made)),
            Agent::OpenCode => {}
        }
    }
}

/// `2026-01-01T00:00:00.123Z`, some milliseconds later, as long as the second lasts.
fn later(time: &str, by_ms: u64) -> String {
    let Some((second, rest)) = time.split_once('.') else { return time.to_owned() };
    let ms: u64 = rest.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    format!("{second}.{:03}Z", (ms + by_ms).min(999))
}

fn uuid(number: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos() as u64;
    let low = now ^ number.rotate_left(40);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        now >> 32,
        (now >> 16) & 0xffff,
        now & 0xfff,
        number & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Some string in it holds these words; a string that is JSON itself is looked into.
fn holds(value: &Value, words: &str) -> bool {
    match value {
        Value::String(text) => {
            text.contains(words)
                || serde_json::from_str::<Value>(text)
                    .is_ok_and(|inner| inner.is_object() && holds(&inner, words))
        }
        Value::Array(values) => values.iter().any(|value| holds(value, words)),
        Value::Object(map) => map.values().any(|value| holds(value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
