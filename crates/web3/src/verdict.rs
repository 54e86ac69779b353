//! What every check answers.

use serde::Serialize;

/// Graded; `High` takes two independent channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Info,
    Notice,
    Warning,
    High,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// As it was given: a host, an address, a file's name.
    pub input: String,
    pub verdict: Verdict,
    /// 0 to 1; comparable between inputs of one kind only.
    pub score: f64,
    /// Whom it imitates.
    pub brand: Option<String>,
    pub reasons: Vec<Reason>,
}

impl Checked {
    /// The verdict that its reasons allow: the worst of them, but `High` only where two channels have at least a warning.
    #[must_use]
    pub fn of(input: impl Into<String>, mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by(|a, b| {
            b.verdict.cmp(&a.verdict).then_with(|| (&a.channel, &a.code).cmp(&(&b.channel, &b.code)))
        });
        let worst = reasons.iter().map(|reason| reason.verdict).max().unwrap_or(Verdict::Info);
        let strong: std::collections::BTreeSet<&str> = reasons
            .iter()
            .filter(|reason| reason.verdict >= Verdict::Warning)
            .map(|reason| reason.channel.as_str())
            .collect();
        let verdict = match worst {
            Verdict::High if strong.len() < 2 => Verdict::Warning,
            worst => worst,
        };
        // 1 - the product of what is left of doubt after each channel's strongest reason.
        let mut best: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
        for reason in &reasons {
            let weight = match reason.verdict {
                Verdict::Info => 0.02,
                Verdict::Notice => 0.15,
                Verdict::Warning => 0.5,
                Verdict::High => 0.8,
            };
            let entry = best.entry(reason.channel.as_str()).or_insert(0.0);
            *entry = entry.max(weight);
        }
        let doubt: f64 = best.values().map(|weight| 1.0 - weight).product();
        Self {
            input: input.into(),
            verdict,
            score: ((1.0 - doubt) * 1000.0).round() / 1000.0,
            brand: None,
            reasons,
        }
    }
}

impl Reason {
    pub fn new(code: &str, channel: &str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            text: text.into(),
            evidence: None,
            refuted_by: None,
            channel: channel.to_owned(),
            verdict,
        }
    }

    #[must_use]
    pub fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = Some(evidence.into());
        self
    }

    #[must_use]
    pub fn refuted_by(mut self, what: impl Into<String>) -> Self {
        self.refuted_by = Some(what.into());
        self
    }
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// Stable, `kebab-case`.
    pub code: String,
    pub text: String,
    /// What of the input shows it.
    pub evidence: Option<String>,
    /// What would refute it.
    pub refuted_by: Option<String>,
    /// Reasons of one channel count once where two are needed.
    pub channel: String,
    pub verdict: Verdict,
}
