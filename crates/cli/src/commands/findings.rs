//! `muster findings`: where mandate, account and record disagree.

use std::collections::HashSet;
use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_engine::{Code, Finding, Severity};
use muster_server::views::FindingView;
use muster_server::{EvidenceCopy, FindingFilter, StoreReader};

use crate::exit::{Exit, usage};
use crate::{Global, screen, select, style};

#[derive(Args)]
pub struct Findings {
    /// One finding, with its evidence.
    #[arg(value_name = "FINDING")]
    finding: Option<String>,
    /// Only of this agent (its name, the beginning of it, or the pid of its first process).
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only of this severity or above: info, low, medium, high, critical.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
    /// Only with this code, e.g. `unreported-action`.
    #[arg(long, value_name = "CODE")]
    code: Option<Code>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Go on: print findings as they come.
    #[arg(long)]
    follow: bool,
}

impl Findings {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        if let Some(id) = &self.finding {
            return self.one(&reader, id);
        }
        let filter = FindingFilter {
            agent: self.agent.as_deref().map(|name| select::agent(&reader, name)).transpose()?,
            severity_min: self.severity,
            code: self.code,
            ..FindingFilter::default()
        };
        let mut shown = HashSet::new();
        loop {
            let mut new: Vec<Finding> =
                reader.findings(&filter)?.into_iter().filter(|f| shown.insert(f.id.clone())).collect();
            // The store gives the newest first; people and scripts read on from the oldest.
            new.reverse();
            let mut out = std::io::stdout().lock();
            if self.json {
                for finding in &new {
                    writeln!(out, "{}", serde_json::to_string(&FindingView::from(finding))?)?;
                }
            } else if !new.is_empty() || (shown.is_empty() && !self.follow) {
                write!(out, "{}", muster_report::findings(&new, &style()))?;
                if let (false, Some(last)) = (self.follow, new.last()) {
                    writeln!(out, "muster explain {} tells why", muster_event::sanitize(&last.id))?;
                }
            }
            out.flush()?;
            drop(out);
            if !self.follow {
                return Ok(if shown.is_empty() { Exit::Nothing } else { Exit::Findings });
            }
            std::thread::sleep(screen::REDRAW);
        }
    }

    fn one(&self, reader: &StoreReader, id: &str) -> Result<Exit> {
        let Some(detail) = reader.finding(id)? else {
            return Err(usage(format!("no finding `{id}`\nhint: `muster findings` lists them")));
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&FindingView::from(&detail.finding))?)?;
        } else {
            let events: Vec<_> = detail
                .evidence
                .iter()
                .filter_map(|copy| match copy {
                    EvidenceCopy::Event(event) => Some((**event).clone()),
                    _ => None,
                })
                .collect();
            write!(out, "{}", muster_report::finding(&detail.finding, &events, &style()))?;
        }
        Ok(Exit::Findings)
    }
}
