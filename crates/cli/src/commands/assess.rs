//! `muster assess`: what a board reads, from evidence.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use muster_assess::{About, Assessment};
use muster_event::Nanos;
use muster_sensor::now_ns;
use muster_server::views;

use crate::exit::{Exit, usage};
use crate::{Global, assessed, style};

/// Its numbers can be traced to findings and leaves of the ledger. What is not in the ledger is `not recorded`, never zero.
#[derive(Args)]
pub struct Assess {
    /// Only runs that started from this moment on (RFC 3339, or a date).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Nanos>,
    /// Only runs that started before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Nanos>,
    /// Whose assessment it is: a machine, a team. [default: the host's name]
    #[arg(long, value_name = "NAME")]
    entity: Option<String>,
    /// What drills showed: the output of `muster drill --json`. The daemon's own `drills.jsonl` is read too.
    #[arg(long, value_name = "FILE")]
    drills: Vec<PathBuf>,
    /// An assessment before this one (`.json`): says what changed.
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Other entities' own assessments (`.json`), to show side by side. Their data stay with them.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    bundle: Vec<PathBuf>,
    /// Write it to `FILE.html` (a page for people, without script) or `FILE.json`. May be given several times.
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Print it as one JSON object.
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<Nanos, String> {
    views::parse_time(text)
        .or_else(|| views::parse_time(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "give a time such as 2026-01-02T03:04:05Z, or a date".to_owned())
}

#[derive(Clone, Copy)]
enum Form {
    Html,
    Json,
}

impl Assess {
    pub fn run(self, global: &Global) -> Result<Exit> {
        // A name that cannot be written is told of before the ledger is read.
        let outputs = self.outputs()?;
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(usage("--since is not before --until"));
        }
        let before = self.before.as_deref().map(assessed::report).transpose()?;
        let others: Vec<Assessment> =
            self.bundle.iter().map(|path| assessed::report(path)).collect::<Result<_>>()?;
        let drills = assessed::drills(&global.data, &self.drills)?;
        let facts = assessed::facts(&global.data, self.since, self.until)?;
        let about = About {
            entity: self.entity.clone().unwrap_or_default(),
            made_ns: now_ns(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since_ns: self.since,
            until_ns: self.until,
        };
        let report = muster_assess::assess(&facts, drills.as_deref(), &about, before.as_ref(), &others);
        for (path, form) in &outputs {
            let text = match form {
                Form::Html => muster_assess::html(&report),
                Form::Json => serde_json::to_string_pretty(&report)? + "\n",
            };
            std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            write!(out, "{}", muster_assess::text(&report, style().width))?;
        }
        let incidents = !report.incidents.listed.is_empty();
        Ok(if incidents { Exit::Findings } else { Exit::Nothing })
    }

    fn outputs(&self) -> Result<Vec<(PathBuf, Form)>> {
        let form = |path: &PathBuf| match path.extension().and_then(|e| e.to_str()) {
            Some("html" | "htm") => Ok((path.clone(), Form::Html)),
            Some("json") => Ok((path.clone(), Form::Json)),
            _ => Err(usage(format!("`{}` ends neither in .html nor in .json", path.display()))),
        };
        self.output.iter().map(form).collect()
    }
}
