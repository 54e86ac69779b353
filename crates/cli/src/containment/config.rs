//! `[contain]` of the configuration file: when lineages are stopped without a person, and what takes a credential's power.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use muster_contain::Step;
use muster_engine::{Code, Finding, Severity};
use serde::Deserialize;

use crate::exit::usage;

/// In the data folder, unless another is named.
pub const FILE: &str = "config.toml";
const BYTES_MAX: u64 = 1 << 20;
/// Rules and revocations: a person writes them.
const ENTRIES_MAX: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File_ {
    #[serde(default)]
    contain: Config,
    /// Read by others.
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    drill: Option<toml::Value>,
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    rules: Option<toml::Value>,
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    notify: Option<toml::Value>,
    #[serde(default)]
    #[expect(dead_code, reason = "it is another command's")]
    approvals: Option<toml::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A finding that fits one of these stops its lineage.
    #[serde(default)]
    pub auto: Vec<Rule>,
    /// A lineage whose oversight is lost is frozen …
    #[serde(default)]
    pub deadman: bool,
    /// … after so long.
    #[serde(default = "grace")]
    pub deadman_seconds: u64,
    #[serde(default)]
    pub revoke: Vec<Revoke>,
}

fn grace() -> u64 {
    30
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Any of these; empty: any.
    #[serde(default)]
    pub codes: Vec<Code>,
    /// At least this.
    pub severity: Severity,
    pub until: Step,
}

impl Rule {
    pub fn fits(&self, finding: &Finding) -> bool {
        finding.severity >= self.severity && (self.codes.is_empty() || self.codes.contains(&finding.code))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    pub name: String,
    /// Files of the credential, with `*`: only if the lineage opened one. Empty: always.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Run as it is, without a shell; `MUSTER_OUT_AGENT` names the agent.
    #[serde(default)]
    pub command: Vec<String>,
    /// … or a webhook.
    pub url: Option<String>,
    #[serde(default = "seconds")]
    pub seconds: u64,
}

fn seconds() -> u64 {
    10
}

impl Config {
    /// `path`: as it was named; where none was, `config.toml` of the data folder, if there is one.
    pub fn read(data: &Path, path: Option<&Path>) -> Result<Config> {
        let file = path.map_or_else(|| data.join(FILE), PathBuf::from);
        let shown = file.display();
        let mut text = String::new();
        match File::open(&file) {
            Ok(open) => {
                open.take(BYTES_MAX)
                    .read_to_string(&mut text)
                    .map_err(|e| usage(format!("cannot read `{shown}`: {e}")))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_none() => {
                return Ok(Config::default());
            }
            Err(error) => return Err(usage(format!("cannot read `{shown}`: {error}"))),
        }
        parse(&text).map_err(|error| {
            usage(format!("`{shown}` is no configuration: {error}\nhint: docs/out.md tells its fields"))
        })
    }
}

pub(crate) fn parse(text: &str) -> Result<Config, String> {
    let config = toml::from_str::<File_>(text).map_err(|error| error.to_string().trim().to_owned())?.contain;
    if config.auto.len() > ENTRIES_MAX || config.revoke.len() > ENTRIES_MAX {
        return Err(format!("more than {ENTRIES_MAX} entries"));
    }
    for revoke in &config.revoke {
        if revoke.command.is_empty() == revoke.url.is_none() {
            return Err(format!("`contain.revoke` `{}` needs either a command or a url", revoke.name));
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_may_say() {
        let text = r#"
            [contain]
            auto = [{codes = ["unmandated-agent"], severity = "critical", until = "freeze"}]
            deadman = true
            [[contain.revoke]]
            name = "forge"
            paths = ["/root/.config/gh/*"]
            command = ["/usr/local/bin/revoke", "forge"]
        "#;
        let config = parse(text).unwrap();
        assert_eq!((config.auto[0].until, config.deadman, config.deadman_seconds), (Step::Freeze, true, 30));
        assert!(parse("").unwrap().auto.is_empty());
        for (text, says) in [
            ("[contain]\nauto = [{severity = \"high\", until = \"stop\"}]", "until"),
            ("[contain]\ndead_man = true", "dead_man"),
            ("[kontain]", "kontain"),
            ("[[contain.revoke]]\nname = \"x\"", "either a command or a url"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
