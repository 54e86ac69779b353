//! Results in an account whose call it never shows.

use muster_event::Nanos;

use crate::engine::{Engine, finding_id};
use crate::reconcile::shorten;
use crate::{Code, Evidence, Finding, Severity, Stage};

/// Results that wait for their call at once: more of them are more of the same.
const ORPHANS_MAX: usize = 64;
/// The call may stand in a file that is read a moment later.
const SETTLE_NS: Nanos = 2_500_000_000;

pub(crate) struct Orphan {
    pub call_id: String,
    pub path: String,
    pub time_ns: Nanos,
    pub read_ns: Nanos,
    /// Its first line.
    pub output: String,
    pub evidence: Evidence,
}

impl Engine {
    /// A result came for a call that is not known.
    pub(crate) fn note_orphan(&mut self, id: &str, orphan: Orphan) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        // Where calls were forgotten, one that is not known may have been one of them.
        if !agent.calls_forgotten
            && agent.orphans.len() < ORPHANS_MAX
            && agent.orphans.iter().all(|known| known.call_id != orphan.call_id)
        {
            agent.orphans.push(orphan);
        }
    }

    pub(crate) fn check_orphans(&mut self, id: &str) {
        let now = self.time_ns;
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.orphans.is_empty() {
            return;
        }
        let imported = agent.imported;
        let (due, waiting): (Vec<Orphan>, Vec<Orphan>) = std::mem::take(&mut agent.orphans)
            .into_iter()
            .partition(|orphan| imported || now.saturating_sub(orphan.read_ns) > SETTLE_NS);
        agent.orphans = waiting;
        let findings: Vec<Finding> = due
            .into_iter()
            .filter(|orphan| {
                !agent.call_by_id.contains_key(&orphan.call_id)
                    // What was before the beginning is not known.
                    && agent.chain.read_from_start(&orphan.path)
            })
            .map(|orphan| finding(id, orphan))
            .collect();
        for finding in findings {
            self.raise(finding);
        }
    }
}

fn finding(id: &str, orphan: Orphan) -> Finding {
    let shown = match shorten(&orphan.output) {
        text if text.is_empty() => "nothing".to_owned(),
        text => format!("`{text}`"),
    };
    Finding {
        id: finding_id(Code::OrphanResult, id, &orphan.call_id),
        code: Code::OrphanResult,
        severity: Severity::Medium,
        stage: Stage::Conceal,
        overreach: 0,
        deception: 3,
        agent: id.to_owned(),
        time_ns: orphan.time_ns,
        summary: format!("its account has the result of a call that it never shows: {shown}"),
        explanation: "Every result answers a call. Here the call was left out or taken out of the account, or the result \
            was put in. It would be refuted by the call in a file that Muster was not given."
            .to_owned(),
        evidence: vec![orphan.evidence],
    }
}
