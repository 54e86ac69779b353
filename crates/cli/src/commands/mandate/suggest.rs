//! `muster mandate suggest`: what an agent did, as the lines that would have covered it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use muster_account::Body;
use muster_engine::{actions_of, install_folders};
use muster_event::{Access, Kind};
use muster_mandate::draft::{Draft, lines_for, refusals_for};
use muster_mandate::{Action, Binding, Kind as Scope, Mandate};
use muster_server::{AttributedEvent, EventFilter, StoreReader, TimeRange};

use super::{hostname, own_principal, serial, until, write_new};
use crate::exit::{Exit, usage};
use crate::{Global, select};

/// Different acts that are looked at: a day of the busiest session seen has some ten thousand.
const ACTIONS_MAX: usize = 200_000;
const HOUR_NS: u64 = 3_600_000_000_000;

#[derive(Args)]
pub struct Suggest {
    /// Name of the agent, the beginning of it, or the pid of its first process.
    #[arg(value_name = "AGENT")]
    agent: String,
    /// Where to write it.
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    out: PathBuf,
    /// Who is to answer for it. Default: who answered for this run.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// How long it is to hold.
    #[arg(long = "for", default_value = "8h", value_name = "TIME")]
    duration: String,
    /// The draft and what it is made of, as JSON.
    #[arg(long)]
    json: bool,
}

impl Suggest {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let reader = StoreReader::open(&global.data)?;
        let id = select::agent(&reader, &self.agent)?;
        let roll = reader.roll()?;
        let agent = roll.iter().find(|row| row.agent == id).context("it is not on the roll any more")?;
        // With those that it started: they act under its mandate.
        let mut all: BTreeSet<&str> = BTreeSet::from([id.as_str()]);
        loop {
            let before = all.len();
            all.extend(
                roll.iter()
                    .filter(|row| row.parent.as_deref().is_some_and(|parent| all.contains(parent)))
                    .map(|row| row.agent.as_str())
                    .collect::<Vec<_>>(),
            );
            if all.len() == before {
                break;
            }
        }
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut actions: Vec<Action> = Vec::new();
        let mut install: Vec<String> = Vec::new();
        let mut home = None;
        let mut add = |action: Action| {
            let key = serde_json::to_string(&action).unwrap_or_default();
            if actions.len() < ACTIONS_MAX && seen.insert(key) {
                actions.push(action);
            }
        };
        for one in &all {
            let filter = EventFilter { agent: Some((*one).to_owned()), ..EventFilter::default() };
            reader.records(&filter, &mut |found: AttributedEvent| {
                if let Kind::Exec { path, script, cwd, env, .. } = &found.event.kind
                    && found.event.process == agent.root
                {
                    install.extend(install_folders(path, script.as_deref(), cwd));
                    home = env.get("HOME").cloned().or(home.take());
                }
                // Who opens for reading and writing reads too.
                if let Kind::Open { path, access: Access { read: true, write: true, .. }, result } =
                    &found.event.kind
                    && *result >= 0
                    && let Some(what) = muster_engine::credential(path)
                {
                    add(Action::Credential { what: what.to_owned(), path: Some(path.clone()) });
                }
                actions_of(&found.event).into_iter().for_each(&mut add);
                true
            })?;
            for said in reader.account_items(one, TimeRange::default(), None)? {
                if let Body::Call { tool, .. } = said.item.body {
                    add(Action::Tool { name: tool, arguments: String::new() });
                }
            }
        }
        for row in roll.iter().filter(|row| row.agent != id && all.contains(row.agent.as_str())) {
            add(Action::Agent { product: row.product.clone() });
        }
        let home = home.or_else(|| (agent.uid == 0).then(|| "/root".to_owned()));
        install.sort();
        install.dedup();
        let binding = Binding { product: agent.product.clone(), home, install, ..Binding::default() };
        let mut draft = Draft {
            principal: self.principal.or_else(|| agent.principal.clone()).unwrap_or_else(own_principal),
            agent: agent.product.clone(),
            task: if agent.label.is_empty() { format!("what {id} did") } else { agent.label.clone() },
            host: hostname(),
            serial: serial()?,
            expires_ns: until(&self.duration)?,
            allow: lines_for(&actions, &binding, &agent.cwd),
            deny: refusals_for(&actions, binding.home.as_deref()),
            account: !agent.accounts.is_empty(),
            ..Draft::default()
        };
        let ran = agent.ended_ns.unwrap_or(agent.last_ns).saturating_sub(agent.started_ns);
        draft.time_ns = Some((ran.saturating_mul(2) / HOUR_NS + 1).saturating_mul(HOUR_NS));
        draft.sub_agents = (all.len() > 1).then_some(all.len() as u64 - 1);
        let text = format!(
            "# Covers what {} did by its record and account: look at every line before you sign it.\n\
             # Reads of ordinary files are not recorded, so all but the known secrets may be read.\n{}",
            muster_event::sanitize(&id),
            draft.text()
        );
        Mandate::parse(&text).map_err(|error| usage(format!("what it did makes no mandate: {error}")))?;
        if self.json {
            let lines = |kind: Scope| draft.allow.get(&kind).cloned().unwrap_or_default();
            let scope: serde_json::Map<String, serde_json::Value> =
                Scope::ALL.into_iter().map(|kind| (kind.key().to_owned(), lines(kind).into())).collect();
            let value =
                serde_json::json!({"agent": id, "scope": scope, "mandate": text, "acts": actions.len()});
            writeln!(std::io::stdout().lock(), "{value}")?;
            return Ok(Exit::Nothing);
        }
        write_new(&self.out, &text)?;
        Ok(Exit::Nothing)
    }
}
