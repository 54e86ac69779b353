//! The variables of an environment that mark an agent or say where its account is. Nothing else of an environment is kept.

use std::collections::BTreeMap;
use std::fs;

use muster_event::{escape_bytes, redact};

/// Whole names.
const NAMES: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_PID",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CONFIG_DIR",
    "AI_AGENT",
    "AGENT",
    "CODEX_TOOL_CALL_ID",
    "CODEX_THREAD_ID",
    "CODEX_SESSION_ID",
    "CODEX_CI",
    "CODEX_VERSION",
    "CODEX_HOME",
    "GEMINI_CLI",
    "OPENCODE",
    "OPENCODE_PID",
    "OPENCODE_SESSION_ID",
    "TMUX",
    "HOME",
    "XDG_DATA_HOME",
    "MUSTER_AGENT",
    "MUSTER_RUN",
];
const VALUE_MAX: usize = 512;

/// Is a variable of this name kept?
pub fn is_marker(name: &str) -> bool {
    NAMES.contains(&name)
}

/// From `NAME=value` strings, each ended by a NUL.
pub(crate) fn of_environment(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in bytes.split(|b| *b == 0) {
        let Some(at) = entry.iter().position(|b| *b == b'=') else { continue };
        let (Some(name), Some(value)) = (entry.get(..at), entry.get(at + 1..)) else { continue };
        let Some(name) = NAMES.iter().find(|known| known.as_bytes() == name) else { continue };
        let value = escape_bytes(value.get(..VALUE_MAX).unwrap_or(value));
        out.insert((*name).to_owned(), redact(&value).into_owned());
    }
    out
}

pub(crate) fn of_process(pid: u32) -> Option<BTreeMap<String, String>> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    (!bytes.is_empty()).then(|| of_environment(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_markers_are_kept() {
        let env = of_environment(
            b"PATH=/bin\0CLAUDECODE=1\0ANTHROPIC_API_KEY=sk-x\0AGENT=a=b\0MUSTER_AGENTS=1\0=\0",
        );
        assert_eq!(env.len(), 2);
        assert_eq!((env["CLAUDECODE"].as_str(), env["AGENT"].as_str()), ("1", "a=b"));
    }
}
