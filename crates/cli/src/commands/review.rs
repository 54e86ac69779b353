//! `muster review`: keeps what a person says of a finding.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::{Args, ValueEnum};
use muster_engine::Judgement;
use muster_event::sanitize;
use muster_server::{Named, ReviewRequest, ReviewView, StoreReader};

use crate::exit::{Exit, usage};
use crate::{Global, client};

/// Reviews that are listed.
const LISTED_MAX: usize = 10_000;

#[derive(Args)]
pub struct Review {
    /// Id of the finding, or an unmistakable beginning of it. Without it, the reviews that stand are listed.
    #[arg(requires = "judgement")]
    finding: Option<String>,
    /// What is said of it.
    #[arg(value_enum)]
    judgement: Option<Said>,
    /// In your own words.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Said {
    /// Seen; nothing is said of whether it is right.
    Acknowledge,
    /// It happened, and it matters.
    Confirm,
    /// It is no such thing: counts for the measured rate of false alarms.
    FalseAlarm,
    /// Others have to look: it stays in the inbox.
    Escalate,
    /// What was said before is taken back.
    Reopen,
}

impl Said {
    fn judgement(self) -> Judgement {
        match self {
            Said::Acknowledge => Judgement::Acknowledged,
            Said::Confirm => Judgement::Confirmed,
            Said::FalseAlarm => Judgement::FalseAlarm,
            Said::Escalate => Judgement::Escalated,
            Said::Reopen => Judgement::Reopened,
        }
    }
}

impl Review {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let data = &global.data;
        let (Some(name), Some(said)) = (&self.finding, self.judgement) else { return self.list(data) };
        let finding = match StoreReader::open(data)?.finding_named(name)? {
            Named::One(id) => id,
            Named::None => {
                return Err(usage(format!("no finding `{name}`\nhint: `muster findings` lists them")));
            }
            Named::Several(some) => {
                return Err(usage(format!("`{name}` is the beginning of several: {}", some.join(", "))));
            }
        };
        let request = ReviewRequest { finding, judgement: said.judgement(), note: self.note.clone() };
        self.print(&client::review(data, &request)?)?;
        Ok(Exit::Nothing)
    }

    fn list(&self, data: &Path) -> Result<Exit> {
        let reader = StoreReader::open(data)?;
        for review in reader.reviews(LISTED_MAX)? {
            self.print(&ReviewView::from(&review))?;
        }
        Ok(Exit::Nothing)
    }

    fn print(&self, review: &ReviewView) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(review)?)?;
            return Ok(());
        }
        writeln!(
            out,
            "{}  {:<12}  {}  {}  by {}  {}",
            review.time,
            review.judgement.replace('_', "-"),
            sanitize(&review.finding),
            sanitize(&review.agent),
            sanitize(&review.by),
            sanitize(&review.note)
        )?;
        Ok(())
    }
}
