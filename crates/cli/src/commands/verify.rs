//! `muster verify`: whether an evidence bundle or a log is what it was. Needs no daemon, no network and no root.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_event::sanitize;
use muster_server::case::{Case, Checked, Trust};
use muster_server::log::{LogChecked, LogError};

use crate::exit::{Exit, usage};

#[derive(Args)]
pub struct Verify {
    /// A bundle made by `muster export`, the folder of a log, or the data folder of a daemon.
    #[arg(value_name = "CASE|LOGDIR")]
    path: PathBuf,
    /// Key of the log, as `muster key` prints it on the machine (repeatable). Without it, the key that lies beside the
    /// evidence is used: then the check says only that the evidence agrees with itself.
    #[arg(long, value_name = "VKEY")]
    key: Vec<String>,
    /// Key of a witness, as `muster witness` prints it (repeatable).
    #[arg(long, value_name = "VKEY")]
    witness: Vec<String>,
    /// How many of the named witnesses must have cosigned. Default: all.
    #[arg(long, value_name = "N")]
    quorum: Option<usize>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> Result<Exit> {
        let trust = Trust {
            log: self.key.clone(),
            quorum: self.quorum.unwrap_or(self.witness.len()),
            witnesses: self.witness.clone(),
        };
        if trust.quorum > trust.witnesses.len() {
            return Err(usage(format!(
                "--quorum {} of {} witnesses\nhint: name each with --witness",
                trust.quorum,
                trust.witnesses.len()
            )));
        }
        let metadata = std::fs::metadata(&self.path)
            .map_err(|error| usage(format!("cannot read `{}`: {error}", self.path.display())))?;
        if metadata.is_dir() { self.log(&trust) } else { self.case(&trust) }
    }

    fn case(&self, trust: &Trust) -> Result<Exit> {
        let case = Case::read(&self.path).map_err(|error| match error.is_io() {
            true => usage(error.to_string()),
            false => anyhow::Error::from(error),
        });
        let case = match case {
            Ok(case) => case,
            Err(error) if error.downcast_ref::<crate::exit::UsageError>().is_some() => return Err(error),
            Err(error) => return self.tampered(&error.to_string(), None),
        };
        match case.check(trust) {
            Ok(checked) => self.case_holds(&case, &checked),
            Err(wrong) => self.tampered(&wrong.to_string(), wrong.leaf()),
        }
    }

    fn case_holds(&self, case: &Case, checked: &Checked) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let answer = serde_json::json!({
                "holds": true, "kind": "case", "asked": case.about.asked, "origin": checked.origin,
                "size": checked.size, "leaves": checked.leaves, "missing": case.about.missing,
                "key": checked.key, "key_trusted": checked.trusted,
                "witnesses": witnesses(&checked.cosigned), "redacted": checked.redacted,
                "revealed": checked.revealed, "report_compared": !checked.report_unchecked,
            });
            writeln!(out, "{answer}")?;
            return Ok(Exit::Nothing);
        }
        writeln!(
            out,
            "holds: {} leaves of {}, each in the signed tree of {} leaves of {}",
            checked.leaves,
            sanitize(&case.about.asked),
            checked.size,
            sanitize(&checked.origin)
        )?;
        if case.about.missing > 0 {
            writeln!(out, "missing: {} leaves that belong to it (pruned, or too many)", case.about.missing)?;
        }
        signatures(&mut out, &checked.key, checked.trusted, &checked.cosigned)?;
        if checked.redacted > 0 {
            writeln!(out, "redacted: {} values, {} of them revealed", checked.redacted, checked.revealed)?;
        }
        if checked.report_unchecked {
            writeln!(
                out,
                "report.html: by Muster {}, so it was not compared with the leaves",
                sanitize(&case.about.version)
            )?;
        }
        Ok(Exit::Nothing)
    }

    fn log(&self, trust: &Trust) -> Result<Exit> {
        let bar = progress();
        let checked = muster_server::log::verify(&folder(&self.path), trust, &|done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        match checked {
            Ok(checked) => self.log_holds(&checked),
            Err(LogError::Tampered { what, leaf }) => self.tampered(&what, leaf),
            Err(LogError::NotThere(why)) => Err(usage(why)),
            Err(other) => Err(other.into()),
        }
    }

    fn log_holds(&self, checked: &LogChecked) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let answer = serde_json::json!({
                "holds": true, "kind": "log", "origin": checked.origin, "size": checked.size,
                "root": checked.root, "bytes": checked.bytes, "pruned": checked.pruned, "kept": checked.kept,
                "behind": checked.behind, "key": checked.key, "key_trusted": checked.trusted,
                "witnesses": witnesses(&checked.cosigned), "unknown": checked.unknown,
            });
            writeln!(out, "{answer}")?;
            return Ok(Exit::Nothing);
        }
        writeln!(out, "holds: all of the {} leaves of {}", checked.size, sanitize(&checked.origin))?;
        writeln!(out, "root: {}", checked.root)?;
        if checked.pruned > 0 {
            writeln!(
                out,
                "pruned: {} leaves are gone, as the log itself says; their hashes and {} leaves of them are kept",
                checked.pruned, checked.kept
            )?;
        }
        if checked.behind > 0 {
            writeln!(out, "not yet signed: {} leaves behind the checkpoint", checked.behind)?;
        }
        if checked.unknown > 0 {
            writeln!(out, "{} leaves are of a kind that this version does not know", checked.unknown)?;
        }
        signatures(&mut out, &checked.key, checked.trusted, &checked.cosigned)?;
        Ok(Exit::Nothing)
    }

    fn tampered(&self, what: &str, leaf: Option<u64>) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::json!({ "holds": false, "why": what, "leaf": leaf }))?;
        } else {
            writeln!(out, "DOES NOT HOLD: {}", sanitize(what))?;
        }
        Ok(Exit::Tampered)
    }
}

fn witnesses(cosigned: &[(String, u64, bool)]) -> Vec<serde_json::Value> {
    cosigned
        .iter()
        .map(|(name, time, trusted)| serde_json::json!({ "name": name, "time": time, "trusted": trusted }))
        .collect()
}

fn signatures(
    out: &mut impl Write,
    key: &str,
    trusted: bool,
    cosigned: &[(String, u64, bool)],
) -> Result<()> {
    let own = if trusted {
        ""
    } else {
        " (the key that lies beside it: compare it with one from elsewhere, --key)"
    };
    writeln!(out, "signed by: {}{own}", sanitize(key))?;
    for (name, time, trusted) in cosigned {
        let time = muster_server::views::time(time.saturating_mul(1_000_000_000));
        let own = if *trusted { "" } else { " (not named by --witness)" };
        writeln!(out, "seen by witness: {} at {time}{own}", sanitize(name))?;
    }
    if cosigned.is_empty() {
        writeln!(
            out,
            "no witness has cosigned: who held the log's key could have made all of it anew\nhint: `muster watch --witness …`"
        )?;
    }
    Ok(())
}

/// The log of a data folder, or the folder itself.
fn folder(path: &Path) -> PathBuf {
    let inner = path.join("ledger");
    if inner.is_dir() { inner } else { path.to_owned() }
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("verify {bar:30} {human_pos} of {human_len} leaves, {per_sec}")
    {
        bar.set_style(style);
    }
    bar
}
