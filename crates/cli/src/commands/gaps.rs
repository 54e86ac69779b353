//! `muster gaps`: all intervals in which something could not be seen, and why.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_server::StoreReader;
use muster_server::views::GapView;

use crate::exit::Exit;
use crate::{Global, select, style};

#[derive(Args)]
pub struct Gaps {
    /// Only those that met the time of this agent (its name, the beginning of it, or the pid of its first process).
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only the last N.
    #[arg(long, short = 'n', value_name = "N")]
    last: Option<usize>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Gaps {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        let agent = self.agent.as_deref().map(|name| select::agent(&reader, name)).transpose()?;
        let gaps = reader.gaps(agent.as_deref(), self.last)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            for gap in &gaps {
                writeln!(out, "{}", serde_json::to_string(&GapView::from(gap))?)?;
            }
        } else {
            write!(out, "{}", muster_report::gaps(&gaps, &style()))?;
        }
        Ok(Exit::Nothing)
    }
}
