//! Whose a process is, and what belongs to a lineage though no fork connects it.

use std::sync::Arc;

use muster_engine::{Artefact, Descent};
use muster_event::Attribution;
use rusqlite::params;

use super::{Index, int};
use crate::error::Result;

/// Agents of one process: as many as the engine lets it belong to.
const OWNERS_MAX: usize = 8;

/// An agent that a process belongs to.
#[derive(Clone)]
pub(super) struct Owner {
    pub agent: Arc<str>,
    /// Where it was told: the later one wins.
    pub made: u64,
    /// It belongs to it besides: takes the process from nobody.
    pub also: bool,
}

pub(crate) fn attribution(name: &str) -> Attribution {
    match name {
        "cgroup" => Attribution::Cgroup,
        "marker" => Attribution::Marker,
        "text" => Attribution::Text,
        "artefact" => Attribution::Artefact,
        "request" => Attribution::Request,
        "content" => Attribution::Content,
        _ => Attribution::Ancestry,
    }
}

/// Besides whose child it is: a process that others started for a lineage stays with who has it already.
pub(crate) fn is_also(by: Attribution) -> bool {
    match by {
        Attribution::Artefact | Attribution::Request | Attribution::Content => true,
        Attribution::Cgroup | Attribution::Marker | Attribution::Ancestry | Attribution::Text => false,
    }
}

/// Adds an owner. Of those whose lineage leads to it the latest has the process alone.
pub(super) fn own(owners: &mut Vec<Owner>, new: Owner) {
    if !new.also {
        if owners.iter().any(|owner| !owner.also && owner.made > new.made) {
            return;
        }
        owners.retain(|owner| owner.also && owner.agent != new.agent);
        owners.insert(0, new);
    } else if owners.len() < OWNERS_MAX && !owners.iter().any(|owner| owner.agent == new.agent) {
        owners.push(new);
    }
}

impl Index {
    pub(super) fn descent(&mut self, at: u64, descent: &Descent) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO descents (agent, pid, start_ns, via, at, time_ns, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                descent.agent,
                descent.process.pid,
                int(descent.process.start_ns),
                serde_json::to_string(&descent.via)?,
                int(at),
                int(descent.time_ns),
                serde_json::to_string(descent)?,
            ])?;
        Ok(())
    }

    pub(super) fn artefact(&mut self, at: u64, artefact: &Artefact) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO artefacts (id, at, agent, gone, time_ns, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                artefact.id,
                int(at),
                artefact.agent,
                artefact.gone,
                int(artefact.time_ns),
                serde_json::to_string(artefact)?,
            ])?;
        Ok(())
    }
}
