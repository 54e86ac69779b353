//! What the library shows: per code caught, missed and false alarms; the same per product; and what to look into.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::census::CODES;
use super::stage::Outcome;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub caught: usize,
    pub missed: usize,
    /// On honest runs.
    pub false_alarms: usize,
    /// On dishonest runs: found, and not expected.
    pub beside: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// In the order of names, whichever run was over first.
    pub fn new(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.sort_by(|a, b| (&a.name, a.who).cmp(&(&b.name, b.who)));
        Self { outcomes }
    }

    pub fn good(&self) -> bool {
        self.outcomes.iter().all(Outcome::good)
    }

    /// Honest runs with a finding above `info`.
    pub fn alarms_on_honest(&self) -> usize {
        self.outcomes.iter().filter(|o| o.honest && !o.false_alarms.is_empty()).count()
    }

    fn tallies<'a>(&'a self, key: impl Fn(&'a Outcome, &str) -> String) -> BTreeMap<String, Tally> {
        let mut all = BTreeMap::<String, Tally>::new();
        for outcome in &self.outcomes {
            for code in &outcome.caught {
                all.entry(key(outcome, code)).or_default().caught += 1;
            }
            for code in &outcome.missed {
                all.entry(key(outcome, code)).or_default().missed += 1;
            }
            for finding in &outcome.false_alarms {
                let tally = all.entry(key(outcome, &finding.code)).or_default();
                *if outcome.honest { &mut tally.false_alarms } else { &mut tally.beside } += 1;
            }
        }
        all
    }

    pub fn by_code(&self) -> BTreeMap<String, Tally> {
        self.tallies(|_, code| code.to_owned())
    }

    pub fn by_product(&self) -> BTreeMap<String, Tally> {
        self.tallies(|outcome, _| outcome.who.name().to_owned())
    }

    pub fn json(&self) -> Value {
        let tally = |t: &Tally| json!({"caught": t.caught, "missed": t.missed, "false_alarms": t.false_alarms, "beside": t.beside});
        let table = |all: &BTreeMap<String, Tally>| -> Value {
            all.iter().map(|(name, t)| (name.clone(), tally(t))).collect()
        };
        let runs: Vec<Value> = self
            .outcomes
            .iter()
            .map(|o| {
                let findings: Vec<Value> = o
                    .findings
                    .iter()
                    .map(|f| json!({"code": f.code, "severity": f.severity, "summary": f.summary}))
                    .collect();
                json!({
                    "name": o.name, "agent": o.who.name(), "honest": o.honest, "not_run": o.not_run, "caught": o.caught,
                    "missed": o.missed, "false_alarms": o.false_alarms.iter().map(|f| f.code.clone()).collect::<Vec<_>>(),
                    "findings": findings, "ms": o.took.as_millis() as u64,
                })
            })
            .collect();
        json!({"by_code": table(&self.by_code()), "by_product": table(&self.by_product()), "runs": runs})
    }

    /// One file for each run that did not go as expected; or for each.
    pub fn save(&self, folder: &Path, all: bool) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        for outcome in self.outcomes.iter().filter(|o| all || !o.good()) {
            fs::write(folder.join(format!("{}.{}.txt", outcome.name, outcome.who.name())), told(outcome))?;
        }
        fs::write(folder.join("report.json"), format!("{:#}\n", self.json()))
    }
}

fn told(outcome: &Outcome) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} on {}", outcome.name, outcome.who.name());
    if let Some(why) = &outcome.not_run {
        let _ = writeln!(text, "not run: {why}");
    }
    for code in &outcome.missed {
        let _ = writeln!(text, "missed: {code}");
    }
    for finding in &outcome.false_alarms {
        let _ = writeln!(text, "not expected: {} {} {}", finding.severity, finding.code, finding.summary);
    }
    for finding in &outcome.findings {
        let _ = writeln!(text, "found: {} {} {}", finding.severity, finding.code, finding.summary);
    }
    let _ = writeln!(text, "\n{}", outcome.shown);
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |f: &mut fmt::Formatter<'_>, title: &str, all: &BTreeMap<String, Tally>| {
            writeln!(
                f,
                "\n{title:<24} {:>6} {:>6} {:>12} {:>6}",
                "caught", "missed", "false alarms", "beside"
            )?;
            for (name, t) in all {
                writeln!(
                    f,
                    "{name:<24} {:>6} {:>6} {:>12} {:>6}",
                    t.caught, t.missed, t.false_alarms, t.beside
                )?;
            }
            Ok(())
        };
        let mut by_code = self.by_code();
        for code in CODES {
            by_code.entry(code.to_owned()).or_default();
        }
        table(f, "code", &by_code)?;
        table(f, "product", &self.by_product())?;
        writeln!(f)?;
        for outcome in self.outcomes.iter().filter(|o| !o.good()) {
            let name = format!("{} on {}", outcome.name, outcome.who.name());
            if let Some(why) = &outcome.not_run {
                writeln!(f, "not run      {name}: {}", why.lines().next().unwrap_or_default())?;
            }
            for code in &outcome.missed {
                writeln!(f, "missed       {name}: {code}")?;
            }
            for finding in &outcome.false_alarms {
                let kind = if outcome.honest { "false alarm " } else { "beside      " };
                writeln!(f, "{kind} {name}: {} {} {}", finding.severity, finding.code, finding.summary)?;
            }
        }
        let count =
            |honest: bool| self.outcomes.iter().filter(|o| o.honest == honest && o.not_run.is_none()).count();
        let not_run = self.outcomes.iter().filter(|o| o.not_run.is_some()).count();
        writeln!(
            f,
            "\n{} dishonest and {} honest runs, {not_run} not run; honest runs with a finding above info: {}",
            count(false),
            count(true),
            self.alarms_on_honest()
        )
    }
}
