//! `muster roll`: all agents.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_engine::State;
use muster_sensor::now_ns;
use muster_server::StoreReader;

use crate::exit::Exit;
use crate::{Global, client, screen, style};

#[derive(Args)]
pub struct Roll {
    /// Only agents that run now.
    #[arg(long)]
    running: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Go on: redraw the table as it changes; with --json, print each agent again when it changed.
    #[arg(long)]
    follow: bool,
}

impl Roll {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        if self.json {
            return self.json(&reader);
        }
        screen::show(self.follow, || self.table(&reader, global))?;
        Ok(Exit::Nothing)
    }

    fn table(&self, reader: &StoreReader, global: &Global) -> Result<String> {
        let mut agents = reader.roll()?;
        agents.retain(|a| !self.running || a.state == State::Running);
        if agents.is_empty() {
            return Ok(muster_report::roll_empty(client::answers(&global.data)));
        }
        let counts: BTreeMap<String, [u64; 5]> = reader
            .finding_counts()?
            .into_iter()
            .map(|(agent, c)| (agent, [c.info, c.low, c.medium, c.high, c.critical]))
            .collect();
        Ok(muster_report::roll(&agents, &counts, now_ns(), &style()))
    }

    fn json(&self, reader: &StoreReader) -> Result<Exit> {
        let mut shown: HashMap<String, String> = HashMap::new();
        loop {
            let mut out = std::io::stdout().lock();
            for view in reader.roll_views()? {
                if self.running && view.state != State::Running.name() {
                    continue;
                }
                let line = serde_json::to_string(&view)?;
                if shown.get(&view.agent) != Some(&line) {
                    writeln!(out, "{line}")?;
                    shown.insert(view.agent, line);
                }
            }
            out.flush()?;
            if !self.follow {
                return Ok(Exit::Nothing);
            }
            std::thread::sleep(screen::REDRAW);
        }
    }
}
