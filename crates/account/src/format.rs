//! Which products' accounts are read, where each keeps them, and how a file of unknown origin is recognised.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    ClaudeCode,
    Codex,
    GeminiCli,
    #[serde(rename = "opencode")]
    OpenCode,
    #[serde(rename = "openhands")]
    OpenHands,
}

/// How records follow each other in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON object per line, appended.
    Lines,
    /// One JSON document, replaced whole.
    Document,
    /// Rows of a database, each handed over as one JSON object.
    Rows,
}

/// What a path says about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub format: Format,
    /// The session, where the path names it.
    pub session: Option<String>,
    /// The sub-agent, where the file is that of one.
    pub sub_agent: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no account format `{name}`; one of {}", Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat {
    pub name: String,
}

impl Format {
    pub const ALL: [Format; 5] =
        [Format::ClaudeCode, Format::Codex, Format::GeminiCli, Format::OpenCode, Format::OpenHands];

    /// The name of the product's data file.
    pub fn name(self) -> &'static str {
        match self {
            Format::ClaudeCode => "claude-code",
            Format::Codex => "codex",
            Format::GeminiCli => "gemini-cli",
            Format::OpenCode => "opencode",
            Format::OpenHands => "openhands",
        }
    }

    pub fn framing(self) -> Framing {
        match self {
            Format::ClaudeCode | Format::Codex | Format::GeminiCli => Framing::Lines,
            Format::OpenHands => Framing::Document,
            Format::OpenCode => Framing::Rows,
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Format::ALL
            .into_iter()
            .find(|f| f.name() == name)
            .ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}

/// What the path of a file says, if it is where a product keeps its accounts. Exact shapes only: a file of a user's that
/// happens to be called `sessions/x.jsonl` is no account.
pub fn locate(path: &str) -> Option<Location> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "projects", _, file] => {
            let session = file.strip_suffix(".jsonl").filter(|name| is_uuid(name))?;
            Some(location(Format::ClaudeCode, Some(session), None))
        }
        [.., "projects", _, session, "subagents", file] if is_uuid(session) => {
            let agent = file.strip_prefix("agent-")?.strip_suffix(".jsonl").filter(|name| is_name(name))?;
            Some(location(Format::ClaudeCode, Some(session), Some(agent)))
        }
        [.., "sessions", year, month, day, file]
            if is_number(year, 4) && is_number(month, 2) && is_number(day, 2) =>
        {
            let name = file.strip_prefix("rollout-")?.strip_suffix(".jsonl")?;
            let session = name.get(name.len().checked_sub(UUID_LEN)?..).filter(|id| is_uuid(id))?;
            Some(location(Format::Codex, Some(session), None))
        }
        [.., "tmp", _, "chats", file] => {
            let name = file.strip_prefix("session-")?;
            let name = name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".json"))?;
            is_name(name).then(|| location(Format::GeminiCli, None, None))
        }
        [.., "opencode", "opencode.db"] => Some(location(Format::OpenCode, None, None)),
        [.., conversation, "events", file] => {
            let name = file.strip_prefix("event-")?.strip_suffix(".json")?;
            let (number, id) = name.split_once('-')?;
            (is_number(number, 5) && is_uuid(id))
                .then(|| location(Format::OpenHands, Some(conversation), None))
        }
        _ => None,
    }
}

fn location(format: Format, session: Option<&str>, sub_agent: Option<&str>) -> Location {
    Location { format, session: session.map(str::to_owned), sub_agent: sub_agent.map(str::to_owned) }
}

const UUID_LEN: usize = 36;

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LEN
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// The format of a file of unknown origin, by its name, else by what its first records hold.
pub fn detect(head: &[u8], name: &str) -> Option<Format> {
    if let Some(found) = locate(name) {
        return Some(found.format);
    }
    if head.starts_with(b"SQLite format 3\0") {
        return Some(Format::OpenCode);
    }
    let first = head
        .split(|b| *b == b'\n')
        .take(LINES_MAX)
        .find_map(|line| serde_json::from_slice::<Value>(line).ok().and_then(|value| of_record(&value)));
    // A document goes on over lines, and may be cut here: its keys still show.
    first.or_else(|| of_text(&String::from_utf8_lossy(head)))
}

/// Records that are looked at: some begin with lines that say nothing of their product.
const LINES_MAX: usize = 16;

fn of_record(record: &Value) -> Option<Format> {
    let has = |key: &str| record.get(key).is_some();
    if has("payload") && has("timestamp") && has("type") {
        Some(Format::Codex)
    } else if has("sessionId") && (has("projectHash") || has("messages")) {
        Some(Format::GeminiCli)
    } else if has("sessionId") && has("type") {
        Some(Format::ClaudeCode)
    } else if has("kind") && has("source") && has("timestamp")
        || has("source") && (has("action") || has("observation")) && has("id")
    {
        Some(Format::OpenHands)
    } else {
        None
    }
}

fn of_text(head: &str) -> Option<Format> {
    let has = |key: &str| head.contains(&format!("\"{key}\""));
    if has("sessionId") && has("projectHash") {
        Some(Format::GeminiCli)
    } else if has("source") && has("timestamp") && (has("action") || has("observation") || has("kind")) {
        Some(Format::OpenHands)
    } else {
        None
    }
}
