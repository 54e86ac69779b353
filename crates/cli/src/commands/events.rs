//! `muster events`: the record.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_server::views::{self, EventView};
use muster_server::{EventFilter, StoreReader};

use crate::exit::{Exit, usage};
use crate::{Global, screen, select, style};

#[derive(Args)]
pub struct Events {
    /// Only of this agent (its name, the beginning of it, or the pid of its first process).
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only these kinds, e.g. `exec,connect`.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kind: Vec<String>,
    /// Only of this process.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Only from this sequence number on.
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Only the last N.
    #[arg(long, short = 'n', value_name = "N")]
    last: Option<usize>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Go on: print events as they come.
    #[arg(long)]
    follow: bool,
}

impl Events {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        if let Some(unknown) = self.kind.iter().find(|k| !views::kind_names().any(|known| known == *k)) {
            let known: Vec<&str> = views::kind_names().collect();
            return Err(usage(format!("no kind `{unknown}`\nhint: one of {}", known.join(", "))));
        }
        let mut filter = EventFilter {
            agent: self.agent.as_deref().map(|name| select::agent(&reader, name)).transpose()?,
            kinds: self.kind,
            pid: self.pid,
            since_seq: self.since,
            limit: self.last,
            last: self.last.is_some(),
            ..EventFilter::default()
        };
        let style = style();
        loop {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            let mut written = Ok(());
            let mut next = filter.since_seq;
            let warnings = reader.records(&filter, &mut |record| {
                next = Some(record.event.seq + 1);
                let agent = record.agent.as_ref().map(|(id, _)| id.as_str());
                written = if self.json {
                    let agent = record.agent.as_ref().map(|(id, by)| (id.as_str(), *by));
                    serde_json::to_string(&EventView::new(&record.event, agent))
                        .map_err(std::io::Error::from)
                        .and_then(|line| writeln!(out, "{line}"))
                } else {
                    writeln!(out, "{}", muster_report::event_line(&record.event, agent, &style))
                };
                written.is_ok()
            })?;
            written?;
            out.flush()?;
            drop(out);
            for warning in warnings {
                eprintln!("events: {warning}");
            }
            if !self.follow {
                return Ok(Exit::Nothing);
            }
            filter.since_seq = next;
            (filter.limit, filter.last) = (None, false);
            std::thread::sleep(screen::REDRAW);
        }
    }
}
