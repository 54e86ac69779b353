//! `muster explain FINDING`: what was said, what happened, why that is a finding, and what speaks against it.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_report::Said;
use muster_server::{ExplanationView, StoreReader};

use crate::exit::{Exit, usage};
use crate::{Global, select, style};

#[derive(Args)]
pub struct Explain {
    /// Its id, or the beginning of it.
    finding: String,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        let id = select::finding(&reader, &self.finding)?.ok_or_else(|| {
            usage(format!("no finding `{}`\nhint: `muster findings` lists them", self.finding))
        })?;
        let found = reader
            .explanation(&id)?
            .ok_or_else(|| usage(format!("no finding `{id}`\nhint: `muster findings` lists them")))?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&ExplanationView::from(&found))?)?;
            return Ok(Exit::Findings);
        }
        write!(out, "{}", text(&found))?;
        Ok(Exit::Findings)
    }
}

/// The same for who has a finding's id.
pub fn drawn(reader: &StoreReader, id: &str) -> Result<String> {
    let found = reader.explanation(id)?.ok_or_else(|| usage(format!("no finding `{id}`")))?;
    Ok(text(&found))
}

fn text(found: &muster_server::Explanation) -> String {
    let said: Vec<Said<'_>> = found
        .said
        .iter()
        .map(|quote| Said { path: &quote.path, offset: quote.offset, items: &quote.items, raw: &quote.raw })
        .collect();
    let explain = muster_report::Explain {
        finding: &found.finding,
        agent: found.agent.as_ref(),
        claim: found.claim.as_ref(),
        said: &said,
        events: &found.events,
        missing: found.missing,
    };
    muster_report::explain(&explain, &style())
}
