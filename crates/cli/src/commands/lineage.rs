//! `muster lineage AGENT`: all that belongs to it, as a tree.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_server::StoreReader;
use muster_server::views::LineageView;

use crate::exit::{Exit, usage};
use crate::{Global, select, style};

/// Agents that one tree shows: more than one screen has.
const AGENTS_MAX: usize = 256;

#[derive(Args)]
pub struct Lineage {
    /// Its name, the beginning of it, or the pid of its first process.
    agent: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

impl Lineage {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        let id = select::agent(&reader, &self.agent)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let found = reader.lineage(&id)?.ok_or_else(|| usage(format!("no agent `{id}` on the roll")))?;
            writeln!(out, "{}", serde_json::to_string(&LineageView::from(&found))?)?;
        } else {
            write!(out, "{}", drawn(&reader, &id)?)?;
        }
        Ok(Exit::Nothing)
    }
}

/// The tree as text.
pub fn drawn(reader: &StoreReader, id: &str) -> Result<String> {
    let mut left = AGENTS_MAX;
    let tree = tree(reader, id, &mut left)?.ok_or_else(|| usage(format!("no agent `{id}` on the roll")))?;
    Ok(muster_report::lineage(&tree, &style()))
}

/// An agent with those that were started from within it. No agent is its own: each is there once.
fn tree(reader: &StoreReader, id: &str, left: &mut usize) -> Result<Option<muster_report::Lineage>> {
    let Some(rest) = left.checked_sub(1) else { return Ok(None) };
    *left = rest;
    let Some(found) = reader.lineage(id)? else { return Ok(None) };
    let mut agents = Vec::new();
    for inner in &found.agents {
        agents.extend(tree(reader, inner, left)?);
    }
    Ok(Some(muster_report::Lineage {
        state: found.state,
        processes: found.processes,
        ended: found.ended,
        descents: found.descents,
        artefacts: found.artefacts,
        agents,
    }))
}
