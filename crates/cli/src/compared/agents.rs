//! Muster's own agents as runs: those that were enrolled under a label, `NAME` or `NAME/TASK`.

use std::collections::BTreeMap;

use anyhow::Result;
use muster_compare::Run;
use muster_compare::conduct::Tally;
use muster_compare::set::{File, Set};
use muster_engine::{AgentState, Severity, State, Verdict};
use muster_server::{FindingFilter, StoreReader, TimeRange};

use super::{Reading, push};
use crate::exit::usage;

pub fn read(label: &str, reading: &Reading, notes: &mut Vec<String>, set: &mut Set) -> Result<()> {
    let reader = StoreReader::open(reading.data)?;
    let under = format!("{label}/");
    let mut agents: Vec<AgentState> = reader
        .roll()?
        .into_iter()
        .filter(|agent| agent.label == label || agent.label.starts_with(&under))
        .collect();
    if agents.is_empty() {
        return Err(usage(format!(
            "no agent was enrolled as `{label}` or `{label}/TASK`\nhint: `muster run --label {label}/TASK -- …` does so"
        )));
    }
    agents.sort_by(|a, b| (a.started_ns, &a.agent).cmp(&(b.started_ns, &b.agent)));
    let running = agents.iter().filter(|agent| agent.state == State::Running).count();
    if running > 0 {
        notes.push(format!("`{label}`: {running} agents still run and are left out"));
    }
    let mut file = File::default();
    let mut unread = 0_u64;
    for agent in agents.iter().filter(|agent| agent.state != State::Running) {
        let task = agent.label.strip_prefix(&under).unwrap_or_default();
        let mut run = Run { task: task.to_owned(), measures: measures(&reader, agent)?, ..Run::default() };
        if !agent.coverage.account {
            unread += 1;
        }
        run.measures.insert(
            "stops".to_owned(),
            f64::from(u8::from(
                matches!(agent.state, State::Frozen | State::Out) || agent.containment.is_some(),
            )),
        );
        push(set, &mut file, run, &[&agent.agent, &agent.label, task], reading)
            .map_err(|error| usage(error.to_string()))?;
    }
    if unread > 0 {
        notes.push(format!(
            "`{label}`: {unread} agents have no account; what they said and called is not known"
        ));
    }
    Ok(())
}

fn measures(reader: &StoreReader, agent: &AgentState) -> Result<BTreeMap<String, f64>> {
    let id = &agent.agent;
    let mut out = BTreeMap::new();
    if agent.coverage.account {
        let mut tally = Tally::default();
        for said in reader.account_items(id, TimeRange::default(), None)? {
            tally.item(&said.item);
        }
        out = tally.measures();
        let claims = reader.claims(id, None, None)?;
        let contradicted =
            claims.iter().filter(|c| matches!(c.verdict, Verdict::Contradicted | Verdict::Hollow));
        out.insert("claims_contradicted".to_owned(), contradicted.count() as f64);
    }
    let findings = reader.findings(&FindingFilter { agent: Some(id.clone()), ..FindingFilter::default() })?;
    let told: Vec<_> = findings.iter().filter(|finding| finding.severity > Severity::Info).collect();
    out.insert("findings".to_owned(), told.len() as f64);
    for band in 1..=2 {
        let overreach = told.iter().filter(|f| f.overreach >= band).count();
        let deception = told.iter().filter(|f| f.deception >= band).count();
        out.insert(format!("overreach_{band}"), overreach as f64);
        out.insert(format!("deception_{band}"), deception as f64);
    }
    Ok(out)
}
