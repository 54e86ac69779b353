//! What went beyond a mandate, of one agent and kind: counted, and told as one finding.

use std::collections::BTreeSet;

use muster_event::Nanos;
use muster_mandate::{Action, Decision, Kind as Scope, Verdict};

use crate::engine::{finding_id, short_hash};
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage};

/// Told by name in a finding.
const EXAMPLES_MAX: usize = 3;
/// Different things beyond the mandate that are counted, per agent and kind.
pub(super) const DISTINCT_MAX: usize = 4_096;

#[derive(Default)]
pub(super) struct Overreach {
    distinct: BTreeSet<String>,
    more: usize,
    examples: Vec<String>,
    evidence: Vec<Evidence>,
    /// A line refuses it by name, or a person was to be asked.
    pub(super) refused: bool,
    asks: bool,
    /// Some of it was done, and some was stopped.
    pub(super) done: usize,
    stopped: usize,
    rule: String,
    reason: String,
    first_ns: Nanos,
    pub(super) told: usize,
}

impl Overreach {
    pub(super) fn add(
        &mut self,
        action: &Action,
        decision: &Decision,
        evidence: Option<Evidence>,
        own_ns: Nanos,
        stopped: bool,
    ) {
        let shown = words(action);
        let key = short_hash(&[&shown, if stopped { "stopped" } else { "" }]);
        if self.distinct.len() >= DISTINCT_MAX {
            self.more += 1;
        } else if !self.distinct.insert(key) {
            return;
        }
        if self.examples.is_empty() {
            self.first_ns = own_ns;
            self.rule.clone_from(&decision.rule);
            self.reason.clone_from(&decision.reason);
        }
        // The first that a line refuses by name stands for all.
        let refused = decision.rule.starts_with("scope.deny") || decision.rule.starts_with("policy");
        if refused && !self.refused {
            self.refused = true;
            self.rule.clone_from(&decision.rule);
            self.reason.clone_from(&decision.reason);
            self.examples.retain(|example| *example != shown);
            self.examples.insert(0, shown);
            self.examples.truncate(EXAMPLES_MAX);
            self.evidence.extend(evidence);
        } else if self.examples.len() < EXAMPLES_MAX && !self.examples.contains(&shown) {
            self.examples.push(shown);
            self.evidence.extend(evidence);
        }
        self.asks |= decision.verdict == Verdict::Ask;
        if stopped {
            self.stopped += 1;
        } else {
            self.done += 1;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.distinct.len() + self.more
    }

    pub(super) fn finding(&self, id: &str, scope: Scope, step: usize) -> Finding {
        let grave = self.refused || matches!(scope, Scope::Credential | Scope::Privileged);
        let (severity, overreach) = match (self.done, grave) {
            (0, _) => (Severity::Low, 1),
            (_, true) => (Severity::High, 2),
            (_, false) => (Severity::Medium, 1),
        };
        let examples: Vec<String> =
            self.examples.iter().map(|example| format!("`{}`", shorten(example))).collect();
        let more = match self.count().saturating_sub(self.examples.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let did = match (self.done, self.stopped) {
            (0, _) => format!("tried to {} outside its mandate, and was stopped", verb(scope)),
            (_, 0) if self.asks && !self.refused => {
                format!("did not wait for a person's word to {}", verb(scope))
            }
            (_, 0) => format!("went outside its mandate to {}", verb(scope)),
            (done, stopped) => {
                format!("went outside its mandate to {} ({done} done, {stopped} stopped)", verb(scope))
            }
        };
        let held = match (self.done > 0, self.refused) {
            (true, true) => "done refused",
            (true, false) => "done",
            (false, true) => "refused",
            (false, false) => "",
        };
        Finding {
            id: finding_id(Code::OutsideMandate, id, &format!("{} {step} {held}", scope.name())),
            code: Code::OutsideMandate,
            severity,
            stage: Stage::Initiate,
            overreach,
            deception: 0,
            agent: id.to_owned(),
            time_ns: self.first_ns,
            summary: format!("{did}: {}{more}", examples.join(", ")),
            explanation: format!(
                "`{}` decides it: {}. What the product does for itself is not counted. It would be refuted if a person had \
                 allowed it in words: then a line that says so belongs into the mandate (`muster mandate suggest`).",
                self.rule, self.reason
            ),
            evidence: self.evidence.clone(),
        }
    }
}

fn verb(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Execute => "run programs",
        Scope::Connect => "connect",
        Scope::Credential => "read credentials",
        Scope::Tool => "use tools",
        Scope::Agent => "start agents",
        Scope::Privileged => "use privileged operations",
    }
}

/// What is shown of an action, and by what two are one.
pub(super) fn words(action: &Action) -> String {
    match action {
        Action::Read { path } | Action::Write { path } | Action::Execute { path, .. } => path.clone(),
        Action::Connect { host, address, port, .. } => {
            let host = host.clone().or_else(|| address.map(|it| it.to_string())).unwrap_or_default();
            port.map_or(host.clone(), |port| format!("{host}:{port}"))
        }
        Action::Credential { what, path } => {
            path.as_ref().map_or(what.clone(), |path| format!("{what}: {path}"))
        }
        Action::Tool { name, .. } => name.clone(),
        Action::Agent { product } => product.clone(),
        Action::Privileged { operation, detail } => {
            format!("{} {detail}", muster_mandate::operation_name(*operation)).trim_end().to_owned()
        }
    }
}
