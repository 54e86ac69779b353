//! `muster export`: an evidence bundle that others can check without this machine.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_sensor::now_ns;
use muster_server::StoreReader;
use muster_server::case::{Asked, Case};

use crate::exit::{Exit, usage};
use crate::{Global, secret_file, select};

#[derive(Args)]
pub struct Export {
    /// Id of a finding (its beginning is enough), of an agent, or a time: `FROM..TO`, each in RFC 3339 or left out.
    #[arg(value_name = "FINDING|AGENT|FROM..TO")]
    what: String,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write over the file that is there.
    #[arg(long)]
    force: bool,
    /// Print what was written as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub fn run(self, global: &Global) -> Result<Exit> {
        if self.output.exists() && !self.force {
            return Err(usage(format!(
                "`{}` is there already\nhint: name another file, or use --force",
                self.output.display()
            )));
        }
        let reader = StoreReader::open(&global.data)?;
        let asked = self.asked(&reader)?;
        let case = Case::gather(&reader, &global.data, &asked, now_ns())?;
        let bytes = case.to_bytes()?;
        secret_file::write(&self.output, &bytes)
            .map_err(|error| usage(format!("cannot write `{}`: {error}", self.output.display())))?;
        let mut out = std::io::stdout().lock();
        let (leaves, missing) = (case.leaves.len(), case.about.missing);
        if self.json {
            let answer = serde_json::json!({
                "file": self.output, "asked": case.about.asked, "leaves": leaves, "missing": missing,
                "bytes": bytes.len(), "witnesses": case.keys.witnesses.len(),
            });
            writeln!(out, "{answer}")?;
        } else {
            writeln!(out, "{leaves} leaves of {} written to `{}`", case.about.asked, self.output.display())?;
            if missing > 0 {
                writeln!(out, "{missing} leaves that belong to it are not in it (pruned, or too many)")?;
            }
            if case.keys.witnesses.is_empty() {
                writeln!(
                    out,
                    "no witness has cosigned this log: nobody outside this machine vouches for it"
                )?;
            }
            writeln!(out, "check it with: muster verify {}", self.output.display())?;
        }
        Ok(Exit::Nothing)
    }

    fn asked(&self, reader: &StoreReader) -> Result<Asked> {
        if let Some((from, to)) = self.what.split_once("..") {
            let time = |text: &str, open: u64| if text.is_empty() { Ok(open) } else { select::time(text) };
            return Ok(Asked::Time { from_ns: time(from, 0)?, to_ns: time(to, u64::MAX)? });
        }
        if let Some(finding) = select::finding(reader, &self.what)? {
            return Ok(Asked::Finding(finding));
        }
        select::agent(reader, &self.what).map(Asked::Agent).map_err(|_| {
            usage(format!(
                "no finding and no agent is called `{}`\nhint: `muster findings` and `muster roll` list them",
                muster_event::sanitize(&self.what)
            ))
        })
    }
}
