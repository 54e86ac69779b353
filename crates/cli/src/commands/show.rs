//! `muster show AGENT`: three lanes on one time axis.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_sensor::now_ns;
use muster_server::views::RollView;
use muster_server::{EventFilter, FindingFilter, StoreReader, TimeRange};

use crate::exit::{Exit, usage};
use crate::{Global, screen, select, style};

/// Events that are drawn unless more are asked for.
const LAST: usize = 2_000;

#[derive(Args)]
pub struct Show {
    /// Its name, the beginning of it, or the pid of its first process.
    agent: String,
    /// Only the last N events of the record.
    #[arg(long, short = 'n', value_name = "N", default_value_t = LAST)]
    last: usize,
    /// The agent, its account and its record as one JSON object.
    #[arg(long)]
    json: bool,
    /// Go on: redraw as it changes.
    #[arg(long)]
    follow: bool,
}

impl Show {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        let id = select::agent(&reader, &self.agent)?;
        if self.json {
            return self.json(&reader, &id);
        }
        screen::show(self.follow, || self.draw(&reader, &id))?;
        Ok(Exit::Nothing)
    }

    fn events(&self, id: &str) -> EventFilter {
        EventFilter {
            agent: Some(id.to_owned()),
            limit: Some(self.last),
            last: true,
            ..EventFilter::default()
        }
    }

    fn draw(&self, reader: &StoreReader, id: &str) -> Result<String> {
        draw(reader, id, &self.events(id))
    }

    fn json(&self, reader: &StoreReader, id: &str) -> Result<Exit> {
        let agent = reader.agent(id)?.ok_or_else(|| usage(format!("no agent `{id}`")))?;
        let counts = reader.finding_counts()?.get(id).copied().unwrap_or_default();
        let mut events = Vec::new();
        reader.events(&self.events(id), &mut |view| {
            events.push(view);
            true
        })?;
        let said: Vec<_> = reader
            .account_items(id, TimeRange::default(), None)?
            .into_iter()
            .map(|said| {
                serde_json::json!({
                    "path": said.path, "offset": said.offset, "len": said.len,
                    "sha256": muster_server::views::hex(&said.sha256),
                    "read": muster_server::views::time(said.read_ns),
                    "item": said.item,
                })
            })
            .collect();
        let findings: Vec<_> =
            reader.findings(&findings_of(id))?.iter().map(muster_server::views::FindingView::from).collect();
        let joins = reader.joins(id)?;
        let opinions: Vec<_> =
            reader.opinions(id, None)?.iter().map(muster_server::views::OpinionsView::from).collect();
        let all = serde_json::json!({
            "agent": RollView::new(&agent, counts), "account": said, "record": events, "joins": joins,
            "findings": findings, "opinions": opinions,
        });
        writeln!(std::io::stdout().lock(), "{all}")?;
        Ok(Exit::Nothing)
    }
}

fn findings_of(id: &str) -> FindingFilter {
    FindingFilter { agent: Some(id.to_owned()), ..FindingFilter::default() }
}

/// The lanes of the last events.
pub fn drawn(reader: &StoreReader, id: &str) -> Result<String> {
    let filter =
        EventFilter { agent: Some(id.to_owned()), limit: Some(LAST), last: true, ..EventFilter::default() };
    draw(reader, id, &filter)
}

fn draw(reader: &StoreReader, id: &str, filter: &EventFilter) -> Result<String> {
    let agent = reader.agent(id)?.ok_or_else(|| usage(format!("no agent `{id}`")))?;
    let mut events = Vec::new();
    reader.records(filter, &mut |record| {
        events.push(record.event);
        true
    })?;
    let said: Vec<_> = reader
        .account_items(id, TimeRange::default(), None)?
        .into_iter()
        .map(|said| (said.read_ns, said.item))
        .collect();
    let findings = reader.findings(&findings_of(id))?;
    let joins = reader.joins(id)?;
    let claims = reader.claims(id, None, None)?;
    let show = muster_report::Show {
        agent: &agent,
        events: &events,
        said: &said,
        joins: &joins,
        findings: &findings,
        claims: &claims,
        now_ns: now_ns(),
    };
    let opinions = muster_report::opinions(&reader.opinions(id, None)?, &style());
    let gap = if opinions.is_empty() { "" } else { "\n" };
    Ok(format!("{}{gap}{opinions}", muster_report::show(&show, &style())))
}
