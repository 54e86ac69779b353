//! `muster claims AGENT`: what it said of its work, and what the record says to that.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_engine::Verdict;
use muster_server::StoreReader;
use muster_server::views::ClaimView;

use crate::exit::Exit;
use crate::{Global, select, style};

#[derive(Args)]
pub struct Claims {
    /// Its name, the beginning of it, or the pid of its first process.
    agent: String,
    /// Only with this verdict: supported, hollow, contradicted, unsupported, unverifiable, disclosed.
    #[arg(long, value_name = "VERDICT")]
    verdict: Option<Verdict>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Claims {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        let id = select::agent(&reader, &self.agent)?;
        let claims = reader.claims(&id, self.verdict, None)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            for claim in &claims {
                writeln!(out, "{}", serde_json::to_string(&ClaimView::from(claim))?)?;
            }
        } else {
            write!(out, "{}", muster_report::claims(&claims, &style()))?;
        }
        let false_ones = claims.iter().any(|c| matches!(c.verdict, Verdict::Contradicted | Verdict::Hollow));
        Ok(if false_ones { Exit::Findings } else { Exit::Nothing })
    }
}
