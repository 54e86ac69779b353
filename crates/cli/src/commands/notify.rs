//! `muster notify`: who is told of findings, whether it works, and a test of it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use muster_event::sanitize;

use crate::Global;
use crate::exit::{Exit, usage};
use crate::notify::{self, Position, config};

#[derive(Args)]
pub struct Notify {
    /// The configuration, where it is not `config.toml` of the data folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Subcommand)]
enum Act {
    /// Send a test message: to one place of the configuration, or to all.
    Test { name: Option<String> },
}

impl Notify {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let targets = config::read(&global.data, self.config.as_deref())?;
        if targets.is_empty() {
            return Err(usage(
                "nobody is to be notified\nhint: `[[notify]]` in config.toml, see docs/notify.md",
            ));
        }
        let mut out = std::io::stdout().lock();
        let only = match &self.act {
            Some(Act::Test { name }) => name.as_deref(),
            None => None,
        };
        if let Some(name) = only
            && !targets.iter().any(|target| target.name == name)
        {
            return Err(usage(format!("no place `{name}` in the configuration")));
        }
        let mut exit = Exit::Nothing;
        for target in targets.iter().filter(|target| only.is_none_or(|name| target.name == name)) {
            let (kind, name) = (target.kind.name(), &target.name);
            if self.act.is_some() {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                let error = notify::test(target, host.trim()).err().map(|error| format!("{error:#}"));
                if error.is_some() {
                    exit = Exit::Findings;
                }
                match (self.json, &error) {
                    (true, _) => {
                        writeln!(out, "{}", serde_json::json!({"name": name, "kind": kind, "error": error}))?
                    }
                    (false, None) => writeln!(out, "{name}  {kind}  taken")?,
                    (false, Some(error)) => writeln!(out, "{name}  {kind}  NOT taken: {}", sanitize(error))?,
                }
                continue;
            }
            let position = Position::read(&global.data, name);
            if self.json {
                let line = serde_json::json!({
                    "name": name, "kind": kind, "severity": target.severity.name(), "told": position.as_ref().map(|it| it.told),
                    "leaf": position.as_ref().map(|it| it.leaf), "failures": position.as_ref().map_or(0, |it| it.failures),
                    "error": position.and_then(|it| it.last_error),
                });
                writeln!(out, "{line}")?;
                continue;
            }
            let state = match &position {
                None => "not begun".to_owned(),
                Some(Position { last_error: Some(error), failures, .. }) => {
                    exit = Exit::Findings;
                    format!("fails ({failures} times): {}", sanitize(error))
                }
                Some(position) => format!("{} told", position.told),
            };
            writeln!(out, "{name}  {kind}  from {}  {state}", target.severity.name())?;
        }
        Ok(exit)
    }
}
