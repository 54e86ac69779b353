//! `[approvals]` of the configuration file: who is told of a question, and how long it waits.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use crate::containment::config::FILE;
use crate::exit::usage;

/// Longest that a tool call may be held: products give up their hooks after ten minutes.
const SECONDS_MAX: u64 = 570;
const BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default, Deserialize)]
struct File_ {
    #[serde(default)]
    approvals: Config,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long a question waits for a person; then the answer is no. 0: nobody is asked.
    #[serde(default = "seconds")]
    pub seconds: u64,
    /// Run as it is, without a shell, for each new question: its JSON on standard input, its words as last argument.
    #[serde(default)]
    pub command: Vec<String>,
    /// Gets the JSON of each new question as a POST.
    pub url: Option<String>,
}

fn seconds() -> u64 {
    300
}

impl Default for Config {
    fn default() -> Self {
        Self { seconds: seconds(), command: Vec::new(), url: None }
    }
}

impl Config {
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.seconds.min(SECONDS_MAX))
    }

    /// As the other parts of the file are found.
    pub fn read(data: &Path, path: Option<&Path>) -> Result<Config> {
        let file = path.map_or_else(|| data.join(FILE), Path::to_path_buf);
        let Ok(text) = fs::read_to_string(&file) else { return Ok(Config::default()) };
        parse(&text).map_err(|error| {
            usage(format!(
                "`{}` is no configuration: {error}\nhint: docs/approvals.md tells its fields",
                file.display()
            ))
        })
    }
}

pub fn parse(text: &str) -> Result<Config, String> {
    if text.len() > BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    let config =
        toml::from_str::<File_>(text).map_err(|error| error.to_string().trim().to_owned())?.approvals;
    if config.seconds > SECONDS_MAX {
        return Err(format!("`seconds` is at most {SECONDS_MAX}"));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stand_there() {
        assert_eq!(parse("").unwrap().seconds, 300);
        let config =
            parse("[approvals]\nseconds = 20\ncommand = [\"notify-send\", \"Muster\"]\n[contain]\n").unwrap();
        assert_eq!((config.seconds, config.command.len()), (20, 2));
        assert!(parse("[approvals]\nseconds = 5000").is_err());
        assert!(parse("[approvals]\nsecond = 5").is_err());
    }
}
