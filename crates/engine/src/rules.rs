//! Rules of the `rules` crate, asked of what an agent's lineage does: one finding for an agent and a rule, with a count.

use std::collections::BTreeMap;

use muster_event::{Event, Kind};
use muster_rules::{Agent as RuleAgent, Level, Program};

use crate::engine::{Engine, event_evidence, finding_id};
use crate::process::{Process, Role};
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage};

/// Rules that matched which are remembered per agent: more than are loaded in practice. What is over is not told.
const RULES_MAX: usize = 512;
/// Acts that one finding cites: the first ones, the record has the others.
const EVIDENCE_MAX: usize = 8;

/// By the rule's id: what matched so far.
pub(crate) type Matches = BTreeMap<String, Match>;

#[derive(Default)]
pub(crate) struct Match {
    count: u64,
    first: Option<Finding>,
}

impl Engine {
    /// Which rules does this act match?
    pub(crate) fn note_rules(&mut self, event: &Event) {
        let Some(process) = self.processes.get(event.process) else { return };
        let Some(member) = &process.member else { return };
        let Some(agent) = self.agents.get(&member.agent) else { return };
        // What has not executed anything is its parent's program still.
        let parent = process.parent.and_then(|parent| self.processes.get(parent));
        let is_action = matches!(member.role, Role::Action(_));
        let about = RuleAgent {
            product: &agent.state.product,
            label: &agent.state.label,
            cwd: &agent.state.cwd,
            is_action,
        };
        let Some(mut first) = muster_rules::act(&event.kind, program(process), parent.map(program), about)
        else {
            return;
        };
        let product = self.products.get(&agent.state.product);
        if matches!(event.kind, Kind::Exec { .. }) {
            (first.names_agent, first.names_weights) = self.names(agent, process);
        }
        first.own_file = !is_action
            && product.zip(first.path()).is_some_and(|(p, path)| p.is_own_file(path, agent.home.as_deref()));
        let mut found = self.rules.matching(&first);
        if let Some(second) = first.also() {
            found.extend(self.rules.matching(&second));
        }
        if found.is_empty() {
            return;
        }
        let id = member.agent.clone();
        let what = match (first.what(), &event.kind) {
            (Some(what), Kind::Exec { .. }) | (Some(what), _) => {
                format!("`{}`, by `{}`", shorten(&what), shorten(&process.argv.join(" ")))
            }
            (None, _) => {
                let texts = crate::action::command_texts(&process.argv);
                format!("`{}`", shorten(texts.first().map_or("", String::as_str)))
            }
        };
        let evidence = event_evidence(event.seq, event.process);
        let findings: Vec<(String, Finding)> = found
            .into_iter()
            .map(|rule| (rule.id.clone(), finding(rule, &id, &what, event, evidence.clone())))
            .collect();
        for (rule, finding) in findings {
            self.matched(&id, rule, finding, &evidence);
        }
    }

    /// Tells of the first match, and of the tenth, the hundredth, …: the same finding, which then says how often.
    fn matched(&mut self, id: &str, rule: String, finding: Finding, evidence: &Evidence) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.matches.len() >= RULES_MAX && !agent.matches.contains_key(&rule) {
            return;
        }
        let known = agent.matches.entry(rule).or_default();
        known.count = known.count.saturating_add(1);
        let Some(first) = &mut known.first else {
            known.first = Some(finding.clone());
            self.raise(finding);
            return;
        };
        if first.evidence.len() < EVIDENCE_MAX && !first.evidence.contains(evidence) {
            first.evidence.push(evidence.clone());
        }
        let is_power_of_ten = known.count >= 10 && 10u64.pow(known.count.ilog10()) == known.count;
        if is_power_of_ten {
            let mut again = first.clone();
            again.summary = format!("{} ({} times so far)", again.summary, known.count);
            self.out.push(crate::Output::Finding(Box::new(again)));
        }
    }
}

fn program(process: &Process) -> Program<'_> {
    Program {
        pid: process.key.pid,
        uid: process.uid,
        path: &process.path,
        script: process.script.as_deref(),
        argv: &process.argv,
        cwd: &process.cwd,
    }
}

fn finding(rule: &muster_rules::Rule, id: &str, what: &str, event: &Event, evidence: Evidence) -> Finding {
    let code: Code = rule.code.parse().unwrap_or(Code::Rule);
    let severity = match rule.level {
        Level::Informational => Severity::Info,
        Level::Low => Severity::Low,
        Level::Medium => Severity::Medium,
        Level::High => Severity::High,
        Level::Critical => Severity::Critical,
    };
    let whose = if rule.built_in { "a rule of Muster's" } else { "a rule of this machine's operator" };
    let about = match rule.description.trim() {
        "" => String::new(),
        text => format!(" {}", shorten(text)),
    };
    let techniques = match rule.techniques.as_slice() {
        [] => String::new(),
        names => format!(" ATT&CK {}.", names.join(", ")),
    };
    Finding {
        id: finding_id(code, id, &format!("rule {}", rule.id)),
        code,
        severity,
        stage: Stage::Sustain,
        overreach: rule.overreach.min(3),
        deception: rule.deception.min(3),
        agent: id.to_owned(),
        time_ns: event.time_ns,
        summary: format!("{}: {what}", rule.title),
        explanation: format!(
            "The act matches `{}`, {whose}.{about}{techniques} It would be refuted if a person had asked for just this; where it \
             is ordinary here, an exception in the data folder's `rules/exceptions.toml` says so.",
            rule.id
        ),
        evidence: vec![evidence],
    }
}
