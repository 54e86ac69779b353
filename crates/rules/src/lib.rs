//! Sigma rules over Muster's events: which match, and what of a user's rules cannot be evaluated and why. No I/O, no clock;
//! which processes rules are asked about is the engine's business.

#![forbid(unsafe_code)]

mod exceptions;
mod fields;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod load;

use std::sync::{Arc, LazyLock};

use rsigma_parser::LogSource;

pub use exceptions::Exception;
pub use fields::{Act, Agent, Category, Program, act};
pub use load::{Listed, Status};

/// Matches that one event can have: beyond it they say nothing more.
const MATCHES_MAX: usize = 32;

/// The rules that are built in.
const BUILT_IN: &[(&str, &str)] = &[
    ("compute.yml", include_str!("../rules/compute.yml")),
    ("credentials.yml", include_str!("../rules/credentials.yml")),
    ("copies.yml", include_str!("../rules/copies.yml")),
    ("money.yml", include_str!("../rules/money.yml")),
    ("log-tampering.yml", include_str!("../rules/log-tampering.yml")),
    ("entrenchment.yml", include_str!("../rules/entrenchment.yml")),
    ("covert-channel.yml", include_str!("../rules/covert-channel.yml")),
    ("carry-over.yml", include_str!("../rules/carry-over.yml")),
];

/// How grave a rule holds what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

/// A rule that is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its `id`, or its title where it has none.
    pub id: String,
    pub title: String,
    pub description: String,
    pub level: Level,
    /// `muster.code`: the sustain factor that it is about; `rule` where it names none.
    pub code: String,
    pub overreach: u8,
    pub deception: u8,
    /// ATT&CK techniques among its tags, e.g. `T1070.003`.
    pub techniques: Vec<String>,
    pub built_in: bool,
}

/// All rules that are loaded.
pub struct Rules {
    sigma: rsigma_eval::Engine,
    /// By the number that stands for the rule's id within `sigma`.
    rules: Vec<Rule>,
    exceptions: Vec<Exception>,
    listed: Vec<Listed>,
    /// By `Category`: some rule asks for it.
    asked: [bool; Category::ALL.len()],
    sources: Vec<LogSource>,
}

impl Rules {
    /// The rules that come with Muster.
    pub fn built_in() -> Arc<Rules> {
        static BUILT: LazyLock<Arc<Rules>> = LazyLock::new(|| Arc::new(Rules::with(&[])));
        Arc::clone(&BUILT)
    }

    /// No rules at all.
    pub fn none() -> Arc<Rules> {
        Arc::new(load::load(&[], &[]))
    }

    /// … and a user's over them: Sigma files (`*.yml`) and exceptions (`exceptions.toml`), each with its name. What is wrong
    /// with one is in `listed`, and keeps no other from being loaded.
    pub fn with(files: &[(String, String)]) -> Rules {
        load::load(BUILT_IN, files)
    }

    /// The text of the built-in files.
    pub fn built_in_files() -> &'static [(&'static str, &'static str)] {
        BUILT_IN
    }

    /// Everything that was found in the files, in their order: evaluated, or why not.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// Does any rule ask for acts of this kind?
    pub fn asks_for(&self, category: Category) -> bool {
        self.asked.get(category as usize).copied().unwrap_or(false)
    }

    /// The rules that match, in their order, without those that an exception names.
    pub fn matching(&self, act: &Act<'_>) -> Vec<&Rule> {
        let Some(source) = self.sources.get(act.category as usize) else { return Vec::new() };
        if !self.asks_for(act.category) {
            return Vec::new();
        }
        let found = self.sigma.evaluate_with_logsource(act, source);
        let mut numbers: Vec<usize> =
            found.iter().filter_map(|m| m.header.rule_id.as_deref()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
            .into_iter()
            .filter_map(|number| self.rules.get(number))
            .filter(|rule| !self.exceptions.iter().any(|exception| exception.covers(rule, act)))
            .take(MATCHES_MAX)
            .collect()
    }
}
