//! `muster approve`: lists the questions that wait for a person, and answers one.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_event::sanitize;
use muster_server::{ApprovalView, ApproveRequest};

use crate::exit::{Exit, usage};
use crate::{Global, client};

#[derive(Args)]
pub struct ApproveCommand {
    /// The question to answer (`q-…`); without it, all that are open are listed.
    id: Option<String>,
    /// Answer no.
    #[arg(long, requires = "id")]
    deny: bool,
    /// Answer the same for whatever fits this, until the mandate ends: `write /srv/app/**`, `run git push*`, `connect *.example`.
    #[arg(long, value_name = "PATTERN", requires = "id")]
    pattern: Option<String>,
    /// Print the open questions as JSON, one a line.
    #[arg(long, conflicts_with = "id")]
    json: bool,
}

impl ApproveCommand {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        let Some(id) = self.id else {
            let open: Vec<ApprovalView> = client::approvals(&global.data)?;
            for question in &open {
                if self.json {
                    writeln!(out, "{}", serde_json::to_string(question)?)?;
                } else {
                    write!(out, "{}", shown(question))?;
                }
            }
            if open.is_empty() && !self.json {
                writeln!(out, "no question waits")?;
            }
            return Ok(if open.is_empty() { Exit::Nothing } else { Exit::Findings });
        };
        if let Some(pattern) = &self.pattern {
            crate::gate::words::Pattern::parse(pattern).map_err(usage)?;
        }
        let request = ApproveRequest { id: Some(id), allow: !self.deny, pattern: self.pattern.clone() };
        let answered = client::approve(&global.data, &request)?;
        let did = if self.deny { "denied" } else { "allowed" };
        let like = self.pattern.map(|p| format!("; and what fits `{}`", sanitize(&p))).unwrap_or_default();
        writeln!(out, "{did}: {} of {}{like}", answered.action, sanitize(&answered.agent))?;
        Ok(Exit::Nothing)
    }
}

fn shown(question: &ApprovalView) -> String {
    let mut out =
        format!("{}  {}\n  wants to   {}\n", question.id, sanitize(&question.agent), question.action);
    let mut line = |name: &str, text: &str| out.push_str(&format!("  {name:<10} {}\n", sanitize(text)));
    line("asked by", &format!("{} {}", question.rule, question.reason));
    if let Some(mandate) = &question.mandate {
        line("mandate", mandate.get(..16).unwrap_or(mandate));
    }
    if let Some(said) = &question.said {
        line("it says", said);
    }
    line("until", &format!("{} (then: no); {} waiting", question.until, question.count));
    if let Some(pattern) = &question.pattern {
        line("its like", &format!("--pattern '{pattern}'"));
    }
    if let Some(text) = &question.line {
        line("for good", &format!("in the mandate: {text}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_says_is_escaped() {
        let question = ApprovalView {
            id: "q-1".into(),
            agent: "a\u{1b}".into(),
            action: "write /x".into(),
            detail: serde_json::Value::Null,
            rule: "r".into(),
            reason: "w".into(),
            mandate: Some("é".repeat(30)),
            said: Some("\u{1b}[2J approve me\nq-2 harmless".into()),
            asked: String::new(),
            until: String::new(),
            count: 1,
            pattern: None,
            line: None,
        };
        let text = shown(&question);
        assert!(!text.contains('\u{1b}') && text.lines().count() == 6, "{text}");
    }
}
