//! `muster rules`: what is loaded, and what of it is not evaluated and why.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_event::sanitize;
use muster_rules::{Listed, Rules, Status};
use serde::Serialize;

use crate::exit::{Exit, usage};
use crate::{Global, data_files};

#[derive(Args)]
pub struct RulesCommand {
    /// Only look at these files, as if they lay in the data folder's `rules`. Exit code 2 where one is no valid rule.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    check: Vec<PathBuf>,
    /// Print the files that are built in, to read or to start one's own from.
    #[arg(long, conflicts_with = "check")]
    print: bool,
    /// One JSON object for each rule.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct View<'a> {
    file: &'a str,
    line: usize,
    id: &'a str,
    title: &'a str,
    level: &'static str,
    code: &'a str,
    built_in: bool,
    status: &'static str,
    why: Option<&'a str>,
}

impl RulesCommand {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        if self.print {
            for (name, text) in Rules::built_in_files() {
                writeln!(out, "# --- {name}\n{text}")?;
            }
            return Ok(Exit::Nothing);
        }
        let rules = if self.check.is_empty() {
            data_files::rules(&global.data)?
        } else {
            let files = self
                .check
                .iter()
                .map(|path| Ok((path.to_string_lossy().into_owned(), data_files::read_rules(path)?)));
            std::sync::Arc::new(Rules::with(&files.collect::<Result<Vec<_>>>()?))
        };
        let checked = |listed: &&Listed| self.check.is_empty() || !listed.built_in;
        let mut counts = [0usize; 3];
        for listed in rules.listed().iter().filter(checked) {
            let (status, why) = match &listed.status {
                Status::Evaluated => ("evaluated", None),
                Status::Filter => ("filter", None),
                Status::NotEvaluated(why) => ("not evaluated", Some(why.as_str())),
                Status::Broken(why) => ("broken", Some(why.as_str())),
            };
            let at = match listed.status {
                Status::Evaluated | Status::Filter => 0,
                Status::NotEvaluated(_) => 1,
                Status::Broken(_) => 2,
            };
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
            if self.json {
                let view = View {
                    file: &listed.file,
                    line: listed.line,
                    id: &listed.id,
                    title: &listed.title,
                    level: listed.level.name(),
                    code: &listed.code,
                    built_in: listed.built_in,
                    status,
                    why,
                };
                writeln!(out, "{}", serde_json::to_string(&view)?)?;
                continue;
            }
            let why = why.map(|why| format!(": {}", sanitize(why))).unwrap_or_default();
            let place = if listed.built_in {
                listed.id.clone()
            } else {
                format!("{}:{} {}", listed.file, listed.line, listed.title)
            };
            let (code, level) = (&listed.code, listed.level.name());
            writeln!(out, "{code:14} {level:13} {}  {status}{why}", sanitize(&place))?;
        }
        let [evaluated, skipped, broken] = counts;
        if !self.json {
            for exception in rules.exceptions() {
                let of = sanitize(&exception.rule);
                writeln!(out, "exception to {of}: {}", sanitize(&exception.reason))?;
            }
            writeln!(out, "{evaluated} evaluated, {skipped} not evaluated, {broken} broken")?;
        }
        if broken > 0 && !self.check.is_empty() {
            return Err(usage(format!("{broken} of the files' rules are broken")));
        }
        Ok(Exit::Nothing)
    }
}
