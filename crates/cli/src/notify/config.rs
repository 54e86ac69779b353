//! `[[notify]]` of the configuration: who is told of which findings, and how.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use muster_engine::Severity;
use serde::Deserialize;

use crate::exit::usage;

/// In the data folder, unless another is named.
const FILE: &str = "config.toml";
const BYTES_MAX: u64 = 1 << 20;
/// Places that are told: each has a thread's attention.
const TARGETS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The finding as `muster findings --json` has it, posted.
    Webhook,
    /// Slack's incoming webhook, and whoever takes the same (Mattermost, Rocket.Chat, Discord's `/slack`).
    Slack,
    /// Mail by SMTP.
    Smtp,
    /// RFC 5424 over UDP, TCP or a unix socket.
    Syslog,
    /// OCSF 1.9 Detection Finding, posted.
    Ocsf,
    /// OTLP logs as JSON, posted to `/v1/logs`.
    Otlp,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::Slack => "slack",
            Kind::Smtp => "smtp",
            Kind::Syslog => "syslog",
            Kind::Ocsf => "ocsf",
            Kind::Otlp => "otlp",
        }
    }

    /// People read it: more than a few in a minute are told as one.
    pub fn is_for_people(self) -> bool {
        matches!(self, Kind::Slack | Kind::Smtp)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Of its own, e.g. `oncall`: its place in what was told is kept under it.
    pub name: String,
    pub kind: Kind,
    /// Where to: `https://…`, `smtps://host:465`, `smtp://host:587` (STARTTLS), `smtp+plain://127.0.0.1:25`,
    /// `udp://host:514`, `tcp://host:514`, `unix:/dev/log`.
    #[serde(default)]
    url: Option<String>,
    /// A file that holds the URL, where that is a secret.
    #[serde(default)]
    url_file: Option<PathBuf>,
    /// The least severity.
    #[serde(default = "high")]
    pub severity: Severity,
    /// Only of agents whose id, product, label or principal begins so; none: of all.
    #[serde(default)]
    pub agents: Vec<String>,
    /// A header's value that proves who sends, in a file, e.g. `Bearer …`.
    #[serde(default)]
    pub authorization_file: Option<PathBuf>,
    /// Mail: from whom, to whom, and a file with `USER:PASSWORD`.
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub to: Vec<String>,
    #[serde(default)]
    pub login_file: Option<PathBuf>,
    /// Messages in a minute; more become one (people) or wait (machines).
    #[serde(default)]
    pub per_minute: Option<u32>,
}

fn high() -> Severity {
    Severity::High
}

#[derive(Deserialize)]
struct Sections {
    #[serde(default)]
    notify: Vec<Target>,
}

impl Target {
    /// Where to, with its secrets.
    pub fn url(&self) -> Result<String> {
        match (&self.url, &self.url_file) {
            (Some(url), None) => Ok(url.trim().to_owned()),
            (None, Some(file)) => secret(file),
            _ => Err(usage(format!("notify `{}`: give `url` or `url_file`", self.name))),
        }
    }

    pub fn per_minute(&self) -> u32 {
        self.per_minute.unwrap_or(if self.kind.is_for_people() { 10 } else { 600 }).clamp(1, 60_000)
    }
}

/// The first line of a file that only its owner should read.
pub fn secret(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)
        .map_err(|error| usage(format!("cannot read `{}`: {error}", file.display())))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Those of this data folder's configuration, or of the named file.
pub fn read(data: &Path, file: Option<&Path>) -> Result<Vec<Target>> {
    let path = file.map_or_else(|| data.join(FILE), Path::to_owned);
    let shown = path.display();
    match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => return Ok(Vec::new()),
        Err(error) => return Err(usage(format!("cannot read `{shown}`: {error}"))),
        Ok(meta) if meta.len() > BYTES_MAX => return Err(usage(format!("`{shown}` is too large"))),
        Ok(_) => {}
    }
    let text = fs::read_to_string(&path).map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
    parse(&text).map_err(|why| usage(format!("`{shown}`: {why}\nhint: docs/notify.md tells its fields")))
}

pub fn parse(text: &str) -> Result<Vec<Target>, String> {
    let sections: Sections = toml::from_str(text).map_err(|error| error.to_string())?;
    let targets = sections.notify;
    if targets.len() > TARGETS_MAX {
        return Err(format!("more than {TARGETS_MAX} places to notify"));
    }
    for (at, target) in targets.iter().enumerate() {
        let name = &target.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
            return Err(format!("notify: the name {name:?} is not of letters, digits, - and _"));
        }
        if targets.iter().take(at).any(|other| other.name == *name) {
            return Err(format!("notify: two are called `{name}`"));
        }
        if target.url.is_some() == target.url_file.is_some() {
            return Err(format!("notify `{name}`: give `url` or `url_file`, one of them"));
        }
        if let Some(url) = &target.url {
            fits(target.kind, url).map_err(|why| format!("notify `{name}`: {why}"))?;
        }
        if target.kind == Kind::Smtp && (target.from.is_none() || target.to.is_empty()) {
            return Err(format!("notify `{name}`: mail needs `from` and `to`"));
        }
    }
    Ok(targets)
}

/// Whether this kind goes to such a URL.
pub fn fits(kind: Kind, url: &str) -> Result<(), String> {
    let schemes: &[&str] = match kind {
        Kind::Webhook | Kind::Slack | Kind::Ocsf | Kind::Otlp => &["https://", "http://"],
        Kind::Smtp => &["smtps://", "smtp://", "smtp+plain://"],
        Kind::Syslog => &["udp://", "tcp://", "unix:/"],
    };
    if url.starts_with("https://") && !cfg!(feature = "https") {
        return Err("this build of Muster has no TLS (feature `https`)".to_owned());
    }
    match schemes.iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len()) {
        true => Ok(()),
        false => Err(format!("its url begins with none of {}", schemes.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, says: &str) {
        let said = parse(text).unwrap_err();
        assert!(said.contains(says), "{said}");
    }

    #[test]
    fn what_a_configuration_may_say() {
        assert!(parse("[drill]\nevery = \"6h\"").unwrap().is_empty());
        let slack = "[[notify]]\nname = \"a\"\nkind = \"slack\"\nurl = \"http://127.0.0.1:9/x\"\n";
        let target = &parse(slack).unwrap()[0];
        assert_eq!((target.severity, target.per_minute()), (Severity::High, 10));
        refused(&format!("{slack}{slack}"), "two are called");
        refused(&slack.replace("\"a\"", "\"../a\""), "letters, digits");
        refused(&slack.replace("http:", "ftp:"), "begins with none of");
        refused(&format!("{slack}url_file = \"x\""), "one of them");
        refused(&format!("{slack}severity = \"bad\""), "unknown variant");
        refused(&format!("{slack}colour = \"red\""), "unknown field");
        refused(&slack.replace("slack", "smtp").replace("http:", "smtp:"), "needs `from`");
    }
}
