//! `muster reindex`: the index follows from the ledger, and from nothing else.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_server::Store;

use crate::Global;
use crate::exit::{Exit, usage};

#[derive(Args)]
pub struct Reindex {
    /// Change nothing: make the index anew beside the one that is there, and compare. Exit code 3: they differ.
    #[arg(long)]
    check: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Reindex {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let bar = progress();
        let made = Store::reindex(&global.data, self.check, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let made = made.map_err(|error| match error {
            muster_server::StoreError::Ledger(muster_ledger::Error::Locked { .. }) => {
                usage(format!("{error}\nhint: stop the daemon first"))
            }
            error => error.into(),
        })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let answer = serde_json::json!({
                "entries": made.entries, "warnings": made.warnings, "different": made.different,
            });
            writeln!(out, "{answer}")?;
        } else {
            for warning in &made.warnings {
                writeln!(out, "{}", muster_event::sanitize(warning))?;
            }
            for place in &made.different {
                writeln!(out, "differs: {}", muster_event::sanitize(place))?;
            }
            let what = match (self.check, made.different.is_empty()) {
                (false, _) => "the index is made anew",
                (true, true) => "the index is what the ledger says",
                (true, false) => "the index is NOT what the ledger says",
            };
            writeln!(out, "{what}: {} leaves", made.entries)?;
        }
        Ok(if made.different.is_empty() { Exit::Nothing } else { Exit::Tampered })
    }
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("reindex {bar:30} {human_pos} of {human_len} leaves, {per_sec}")
    {
        bar.set_style(style);
    }
    bar
}
