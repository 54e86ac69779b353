//! What changed since an assessment before, and the same numbers of others beside these.

use std::collections::BTreeSet;

use muster_compare::stats::binary::{Two, fisher, newcombe};
use serde::{Deserialize, Serialize};

use crate::number::{LEVEL, Rate};
use crate::report::Assessment;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    pub before_entity: String,
    pub before_from: String,
    pub before_until: String,
    pub rows: Vec<ChangeRow>,
    /// Factors whose step is another one now, kinds of findings that are new or gone, in words.
    pub text: Vec<String>,
}

/// A headline number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    pub name: String,
    /// Null: not recorded.
    pub rate: Option<Rate>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeRow {
    pub name: String,
    pub before: Option<Rate>,
    pub now: Option<Rate>,
    /// Now − before, with Newcombe's interval and Fisher's p; null: one of them has no runs.
    pub difference: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub p: Option<f64>,
}

/// The numbers that assessments are compared by.
pub fn rows(a: &Assessment) -> Vec<Row> {
    let row = |name: &str, rate: Option<&Rate>| Row { name: name.to_owned(), rate: rate.cloned() };
    let band = |rates: &[Rate], at: usize| rates.get(at).cloned();
    let drills = a.opportunity.drills.as_ref();
    vec![
        row("runs under a mandate", Some(&a.scope.mandated)),
        row("runs whose record is whole", Some(&a.scope.record_whole)),
        row("runs with an account", Some(&a.scope.with_account)),
        row("runs with a finding above info", Some(&a.motive.all.any)),
        Row {
            name: "runs with overreach (band 1 or above)".to_owned(),
            rate: band(&a.motive.all.overreach, 0),
        },
        Row { name: "… band 2 or above".to_owned(), rate: band(&a.motive.all.overreach, 1) },
        Row {
            name: "runs with deception (band 1 or above)".to_owned(),
            rate: band(&a.motive.all.deception, 0),
        },
        Row { name: "… band 2 or above".to_owned(), rate: band(&a.motive.all.deception, 1) },
        row("drills that were seen", drills.map(|d| &d.recall)),
        row("honest sessions with a false alarm", drills.map(|d| &d.false_alarms)),
        row("runs that ask nobody", Some(&a.opportunity.skip_permissions)),
        row("incidents that were mustered out", Some(&a.opportunity.responded)),
        row("approvals granted unread", a.opportunity.approvals.as_ref().map(|x| &x.granted_unread)),
    ]
    .into_iter()
    // Of nothing there is no share: that is as if it were not recorded.
    .map(|row| Row { rate: row.rate.filter(|rate| rate.of > 0), ..row })
    .collect()
}

pub fn change(before: &Assessment, now: &Assessment) -> Change {
    let rows = rows(before)
        .into_iter()
        .zip(self::rows(now))
        .map(|(before, now)| {
            let two = before
                .rate
                .as_ref()
                .zip(now.rate.as_ref())
                .filter(|(b, n)| b.count <= b.of && n.count <= n.of);
            let two = two.map(|(b, n)| Two { x1: n.count, n1: n.of, x2: b.count, n2: b.of });
            let interval = two.map(|two| newcombe(two, LEVEL));
            ChangeRow {
                name: now.name,
                difference: two.map(|two| two.difference()),
                low: interval.map(|i| i.low),
                high: interval.map(|i| i.high),
                p: two.map(|two| fisher(two).two_sided),
                before: before.rate,
                now: now.rate,
            }
        })
        .collect();
    Change {
        before_entity: before.entity.clone(),
        before_from: before.from.clone(),
        before_until: before.until.clone(),
        rows,
        text: words(before, now),
    }
}

fn words(before: &Assessment, now: &Assessment) -> Vec<String> {
    let mut out = Vec::new();
    for factor in &now.gap.factors {
        let Some(old) = before.gap.factors.iter().find(|f| f.factor == factor.factor) else { continue };
        if old.seen.step != factor.seen.step {
            out.push(format!(
                "{}: the highest step of real runs went from `{}` to `{}`",
                factor.factor, old.seen.text, factor.seen.text
            ));
        }
        if let (Some(old), Some(new)) = (&old.possible, &factor.possible)
            && old.step != new.step
        {
            out.push(format!(
                "{}: the highest step of drills went from `{}` to `{}`",
                factor.factor, old.text, new.text
            ));
        }
    }
    let codes = |a: &Assessment| a.incidents.codes.keys().cloned().collect::<BTreeSet<String>>();
    let (old, new) = (codes(before), codes(now));
    for code in new.difference(&old) {
        out.push(format!("findings of `{code}` are new"));
    }
    for code in old.difference(&new) {
        out.push(format!("findings of `{code}` no longer occur"));
    }
    let open = |a: &Assessment| a.weaknesses.iter().map(|w| w.id.clone()).collect::<BTreeSet<String>>();
    let (old, new) = (open(before), open(now));
    for id in new.difference(&old) {
        out.push(format!("weakness `{id}` is new"));
    }
    for id in old.difference(&new) {
        out.push(format!("weakness `{id}` is no longer there"));
    }
    if before.entity != now.entity {
        out.push(format!("the assessment before is of another entity (`{}`)", before.entity));
    }
    out
}
