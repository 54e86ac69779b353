//! Open weaknesses: what these numbers show to be missing. Each has an id, so that two assessments can be compared.

use serde::{Deserialize, Serialize};

use crate::number::{Rate, References};
use crate::opportunity::missed;
use crate::report::{Assessment, Counted};

/// Scenarios that are named.
const MISSED_MAX: usize = 100;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weakness {
    pub id: String,
    pub text: String,
    /// What would mend it.
    pub mend: String,
    pub references: References,
}

fn percent(rate: &Rate) -> String {
    rate.share.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

pub fn weaknesses(c: &Counted, a: &Assessment) -> Vec<Weakness> {
    let mut out = Vec::new();
    let mut weak = |id: &str, text: String, mend: &str, references: References| {
        out.push(Weakness { id: id.to_owned(), text, mend: mend.to_owned(), references });
    };
    let s = &a.scope;
    let o = &a.opportunity;
    if s.runs == 0 {
        weak(
            "no-runs",
            "no run of an agent is on record in this time".to_owned(),
            "watch where agents run",
            References::default(),
        );
    }
    if s.signed.is_none() {
        weak(
            "not-signed",
            "the log is not signed: its past can be changed unseen".to_owned(),
            "start a daemon with a key",
            References::default(),
        );
    } else if !s.witnessed {
        weak(
            "no-witness",
            "no witness has cosigned the log: who has root and its key can make another past".to_owned(),
            "`muster watch --witness`",
            References::default(),
        );
    }
    let unmandated = c.which(|run, _| run.state.mandate.is_none().then(|| crate::report::agent(run)));
    if !unmandated.is_empty() {
        weak(
            "unmandated",
            format!("{} of {} runs were under no mandate", unmandated.len(), s.runs),
            "`muster run`, and mandates",
            References::of(unmandated),
        );
    }
    let partial = c.which(|run, _| (!run.state.coverage.record_whole()).then(|| crate::report::agent(run)));
    if !partial.is_empty() {
        weak(
            "record-not-whole",
            format!("of {} of {} runs the record is not whole", partial.len(), s.runs),
            "see the gaps above: daemon down, losses, probes that saw nothing, runs that began unseen",
            References::of(partial),
        );
    }
    let silent = c.which(|run, _| (!run.state.coverage.account).then(|| crate::report::agent(run)));
    if !silent.is_empty() {
        weak(
            "no-account",
            format!(
                "{} of {} runs have no account: nothing can be held against what they did",
                silent.len(),
                s.runs
            ),
            "products that keep transcripts where Muster can read them",
            References::of(silent),
        );
    }
    for gap in &s.gaps {
        if matches!(gap.cause.as_str(), "daemon_down" | "lost" | "probe_blind") {
            weak(
                &format!("gap-{}", gap.cause),
                format!(
                    "{} gaps because of {}, {:.1} s in all",
                    gap.count,
                    gap.cause.replace('_', " "),
                    gap.seconds
                ),
                "`muster gaps`, `muster doctor`",
                gap.references.clone(),
            );
        }
    }
    if o.skip_permissions.count > 0 {
        weak(
            "skip-permissions",
            format!(
                "{} of {} runs whose mode is known asked nobody before they acted ({})",
                o.skip_permissions.count,
                o.skip_permissions.of,
                percent(&o.skip_permissions)
            ),
            "permission modes, or a gate with mandates",
            o.skip_permissions.references.clone(),
        );
    }
    if let Some(gate) = o.gate.as_ref().filter(|gate| gate.unenforced.count > 0) {
        weak(
            "gate-observes",
            format!(
                "{} of {} denials were only observed: the act went on",
                gate.unenforced.count, gate.denied
            ),
            "enforce what is denied",
            References::default(),
        );
    }
    if let Some(approvals) = o.approvals.as_ref().filter(|a| a.granted_unread.count > 0) {
        weak(
            "granted-unread",
            format!(
                "{} of {} approvals were granted within two seconds of the question",
                approvals.granted_unread.count, approvals.granted_unread.of
            ),
            "fewer and clearer questions",
            approvals.granted_unread.references.clone(),
        );
    }
    if o.responded.count < o.responded.of {
        weak(
            "not-responded",
            format!(
                "{} of {} incidents were not mustered out",
                o.responded.of - o.responded.count,
                o.responded.of
            ),
            "look at them: some may need no more than a word with the user",
            References::default(),
        );
    }
    for factor in &a.gap.factors {
        if let Some(possible) = factor.possible.as_ref().filter(|possible| possible.step < factor.seen.step) {
            weak(
                &format!("drills-behind-{}", factor.factor),
                format!(
                    "{}: real runs went further (`{}`) than any drill did (`{}`)",
                    factor.factor, factor.seen.text, possible.text
                ),
                "drills that go as far",
                factor.seen.references.clone(),
            );
        }
    }
    match &o.drills {
        None => weak(
            "no-drills",
            "no drills: how much of what a rogue agent does would be seen is not known".to_owned(),
            "`muster drill --all --json > drills.jsonl`, and --drills",
            References::default(),
        ),
        Some(drills) => {
            for scenario in missed(drills).into_iter().take(MISSED_MAX) {
                weak(
                    &format!("drill-{}", scenario.name),
                    format!(
                        "drill `{}` ({}) was seen in {} of {} runs",
                        scenario.name, scenario.title, scenario.seen.count, scenario.seen.of
                    ),
                    "a detector, or another control",
                    scenario.seen.references.clone(),
                );
            }
            if drills.survived.count > 0 {
                weak(
                    "drill-survivors",
                    format!(
                        "{} of {} drills had survivors after mustering out",
                        drills.survived.count, drills.survived.of
                    ),
                    "see docs/out.md",
                    drills.survived.references.clone(),
                );
            }
        }
    }
    out
}
