//! Which agent, finding or time a person means.

use anyhow::Result;
use muster_engine::AgentId;
use muster_server::{Named, StoreReader, views};

use crate::exit::usage;

/// By its name, an unmistakable beginning of it, or the pid of its first process (the latest of that pid).
pub fn agent(reader: &StoreReader, name: &str) -> Result<AgentId> {
    let agents = reader.roll()?;
    if let Some(agent) = agents.iter().find(|a| a.agent == name) {
        return Ok(agent.agent.clone());
    }
    if let Ok(pid) = name.parse::<u32>()
        && let Some(agent) = agents.iter().filter(|a| a.root.pid == pid).max_by_key(|a| a.root.start_ns)
    {
        return Ok(agent.agent.clone());
    }
    let fitting: Vec<&AgentId> = agents.iter().map(|a| &a.agent).filter(|id| id.starts_with(name)).collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(usage(format!("no agent `{name}` on the roll\nhint: `muster roll` lists them"))),
        many => {
            let names: Vec<&str> = many.iter().take(5).map(|s| s.as_str()).collect();
            Err(usage(format!("`{name}` may be any of {}\nhint: give more of its name", names.join(", "))))
        }
    }
}

/// By its id, or the beginning of it. `None`: there is none.
pub fn finding(reader: &StoreReader, name: &str) -> Result<Option<String>> {
    match reader.finding_named(name)? {
        Named::One(id) => Ok(Some(id)),
        Named::None => Ok(None),
        Named::Several(some) => {
            Err(usage(format!("`{name}` may be any of {}\nhint: give more of it", some.join(", "))))
        }
    }
}

/// RFC 3339.
pub fn time(text: &str) -> Result<u64> {
    views::parse_time(text)
        .ok_or_else(|| usage(format!("`{text}` is no time\nhint: give RFC 3339, e.g. 2026-01-02T03:04:05Z")))
}
