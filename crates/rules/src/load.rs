//! Files of rules, as they were written for Sigma: what is evaluated, and what is not and why.

use std::collections::HashMap;

use rsigma_eval::fields::{FieldSource, RuleFieldSet};
use rsigma_parser::{FilterRule, FilterRuleTarget, LogSource, SigmaCollection, SigmaRule, parse_sigma_yaml};

use crate::{Category, Exception, Level, Rule, Rules, exceptions};

/// A rule of SigmaHQ has some 2 KiB, the longest 20. A parser of recursive text gets no more.
const DOCUMENT_MAX: usize = 256 * 1024;
/// Brackets within brackets, in all of a document: each level is a frame on the stack of two parsers.
const DEPTH_MAX: usize = 48;
/// Words that a condition may have; each may be a level of it (`not not …`).
const CONDITION_MAX: usize = 400;
/// Rules that are evaluated. SigmaHQ has some 300 for Linux; matching takes time for each.
const RULES_MAX: usize = 4_096;
/// Exceptions: each is tried at each match.
const EXCEPTIONS_MAX: usize = 1_024;
/// Lines that are listed: so many that something is wrong.
const LISTED_MAX: usize = 16_384;
/// Codes that a rule may name.
pub(crate) const CODES: [&str; 10] = [
    "compute",
    "credentials",
    "copies",
    "money",
    "log-tampering",
    "entrenchment",
    "covert-channel",
    "carry-over",
    "successor",
    "rule",
];

/// One document of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub file: String,
    /// Where it begins, from 1.
    pub line: usize,
    pub id: String,
    pub title: String,
    pub level: Level,
    pub code: String,
    pub built_in: bool,
    pub status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Evaluated,
    /// A filter, which takes part in other rules.
    Filter,
    NotEvaluated(String),
    /// It is no valid rule.
    Broken(String),
}

struct Loader {
    sigma: rsigma_eval::Engine,
    rules: Vec<Rule>,
    exceptions: Vec<Exception>,
    listed: Vec<Listed>,
    asked: [bool; Category::ALL.len()],
    pending: Vec<SigmaRule>,
    pending_listed: Vec<usize>,
    filters: Vec<(FilterRule, usize)>,
}

pub(crate) fn load(built_in: &[(&str, &str)], files: &[(String, String)]) -> Rules {
    let mut loader = Loader {
        sigma: rsigma_eval::Engine::new(),
        rules: Vec::new(),
        exceptions: Vec::new(),
        listed: Vec::new(),
        asked: [false; Category::ALL.len()],
        pending: Vec::new(),
        pending_listed: Vec::new(),
        filters: Vec::new(),
    };
    for (name, text) in built_in {
        loader.file(name, text, true);
    }
    for (name, text) in files {
        loader.file(name, text, false);
    }
    loader.finish()
}

impl Loader {
    fn file(&mut self, name: &str, text: &str, built_in: bool) {
        if name.ends_with(".toml") {
            let room = EXCEPTIONS_MAX.saturating_sub(self.exceptions.len());
            match exceptions::parse(text) {
                Ok(found) if found.len() <= room => self.exceptions.extend(found),
                Ok(_) => self.list(name, 1, None, built_in, Status::Broken("too many exceptions".to_owned())),
                Err(error) => self.list(name, 1, None, built_in, Status::Broken(error)),
            }
            return;
        }
        let mut document = String::new();
        let mut begin = 1;
        for (line, text) in (1..).zip(text.split_inclusive('\n')) {
            if text.trim_end() == "---" {
                self.document(name, begin, &document, built_in);
                document.clear();
                begin = line + 1;
            } else {
                document.push_str(text);
            }
        }
        self.document(name, begin, &document, built_in);
    }

    fn document(&mut self, file: &str, line: usize, text: &str, built_in: bool) {
        let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if is_empty || self.listed.len() >= LISTED_MAX {
            return;
        }
        if let Err(why) = within_bounds(text) {
            return self.list(file, line, None, built_in, Status::Broken(why));
        }
        let parsed = match parse_sigma_yaml(text) {
            Ok(parsed) => parsed,
            Err(error) => return self.broken(file, line, text, built_in, &error.to_string()),
        };
        if let Some(error) = parsed.errors.first() {
            return self.broken(file, line, text, built_in, error);
        }
        let SigmaCollection { rules, correlations, filters, .. } = parsed;
        let count = rules.len() + correlations.len() + filters.len();
        if count == 0 {
            let why =
                "neither a rule nor a filter; of `action:` documents each must be written out".to_owned();
            return self.list(file, line, None, built_in, Status::Broken(why));
        }
        for rule in rules {
            self.rule(file, line, rule, built_in);
        }
        for correlation in correlations {
            let head =
                Head { id: correlation.id.clone(), title: correlation.title.clone(), ..Head::default() };
            let why =
                "correlation rules are not evaluated: write the rule for one event, a finding has its count";
            self.list(file, line, Some(&head), built_in, Status::NotEvaluated(why.to_owned()));
        }
        for filter in filters {
            let head = Head { id: filter.id.clone(), title: filter.title.clone(), ..Head::default() };
            let at = self.listed.len();
            self.list(file, line, Some(&head), built_in, Status::Filter);
            self.filters.push((filter, at));
        }
    }

    fn broken(&mut self, file: &str, line: usize, text: &str, built_in: bool, error: &str) {
        let title = text.lines().find_map(|line| line.strip_prefix("title:")).map(|title| title.trim());
        let head = Head { title: title.unwrap_or_default().to_owned(), ..Head::default() };
        let line = line_of(error).map_or(line, |within| line + within.saturating_sub(1));
        self.list(file, line, Some(&head), built_in, Status::Broken(error.to_owned()));
    }

    fn list(&mut self, file: &str, line: usize, head: Option<&Head>, built_in: bool, status: Status) {
        let default = Head::default();
        let head = head.unwrap_or(&default);
        self.listed.push(Listed {
            file: file.to_owned(),
            line,
            id: head.id.clone().unwrap_or_else(|| head.title.clone()),
            title: head.title.clone(),
            level: head.level,
            code: head.code.clone(),
            built_in,
            status,
        });
    }

    fn rule(&mut self, file: &str, line: usize, mut rule: SigmaRule, built_in: bool) {
        let mut head = Head {
            id: rule.id.clone(),
            title: rule.title.clone(),
            level: level(rule.level),
            ..Head::default()
        };
        if let Err(why) = head.take_muster(&rule) {
            return self.list(file, line, Some(&head), built_in, Status::Broken(why));
        }
        let category = match category(&rule) {
            Ok(category) => category,
            Err(why) => return self.list(file, line, Some(&head), built_in, Status::NotEvaluated(why)),
        };
        if self.rules.len() >= RULES_MAX {
            let why = format!("there are more than {RULES_MAX} rules");
            return self.list(file, line, Some(&head), built_in, Status::NotEvaluated(why));
        }
        let id = head.id.clone().unwrap_or_else(|| head.title.clone());
        if let Some(known) = self.rules.iter().find(|known| known.id == id) {
            let why = format!("the rule `{}` has the same id `{id}`", known.title);
            return self.list(file, line, Some(&head), built_in, Status::Broken(why));
        }
        let number = self.rules.len();
        let at = self.listed.len();
        self.rules.push(Rule {
            id,
            title: rule.title.clone(),
            description: rule.description.clone().unwrap_or_default(),
            level: head.level,
            code: head.code.clone(),
            overreach: head.overreach,
            deception: head.deception,
            techniques: techniques(&rule.tags),
            built_in,
        });
        if let Some(asked) = self.asked.get_mut(category as usize) {
            *asked = true;
        }
        self.list(file, line, Some(&head), built_in, Status::Evaluated);
        // Within the evaluator a rule goes by its number: ids may be missing.
        rule.id = Some(number.to_string());
        self.pending.push(rule);
        self.pending_listed.push(at);
    }

    fn finish(mut self) -> Rules {
        for (number, error) in self.sigma.add_rules(self.pending.iter()) {
            let listed = self.pending_listed.get(number).and_then(|at| self.listed.get_mut(*at));
            if let Some(listed) = listed {
                listed.status = Status::Broken(error.to_string());
            }
        }
        let mut numbers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, rule) in self.rules.iter().enumerate() {
            numbers.entry(&rule.id).or_default().push(number);
            numbers.entry(&rule.title).or_default().push(number);
        }
        for (mut filter, at) in self.filters {
            let mut problem = None;
            if let FilterRuleTarget::Specific(names) = &mut filter.rules {
                let missing = names.iter().find(|name| !numbers.contains_key(name.as_str())).cloned();
                *names = names
                    .iter()
                    .flat_map(|name| numbers.get(name.as_str()).into_iter().flatten())
                    .map(ToString::to_string)
                    .collect();
                problem = missing.map(|name| format!("it is for a rule `{name}` that is not there"));
            }
            if problem.is_none() {
                problem = self.sigma.apply_filter(&filter).err().map(|error| error.to_string());
            }
            if let (Some(problem), Some(listed)) = (problem, self.listed.get_mut(at)) {
                listed.status = Status::Broken(problem);
            }
        }
        let sources = Category::ALL
            .into_iter()
            .map(|category| LogSource {
                category: Some(category.name().to_owned()),
                product: Some("linux".to_owned()),
                ..LogSource::default()
            })
            .collect();
        Rules {
            sigma: self.sigma,
            rules: self.rules,
            exceptions: self.exceptions,
            listed: self.listed,
            asked: self.asked,
            sources,
        }
    }
}

struct Head {
    id: Option<String>,
    title: String,
    level: Level,
    code: String,
    overreach: u8,
    deception: u8,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            id: None,
            title: String::new(),
            level: Level::Medium,
            code: "rule".to_owned(),
            overreach: 1,
            deception: 0,
        }
    }
}

impl Head {
    /// `muster: { code: …, overreach: 0–3, deception: 0–3 }`.
    fn take_muster(&mut self, rule: &SigmaRule) -> Result<(), String> {
        if self.level == Level::Informational {
            self.overreach = 0;
        }
        let Some(own) = rule.custom_attributes.get("muster") else { return Ok(()) };
        let Some(own) = own.as_mapping() else { return Err("`muster` must be a mapping".to_owned()) };
        for (key, value) in own {
            let band = || match value.as_u64() {
                Some(band @ 0..=3) => Ok(band as u8),
                _ => Err("`muster.overreach` and `muster.deception` are numbers from 0 to 3".to_owned()),
            };
            match key.as_str() {
                Some("code") => match value.as_str() {
                    Some(code) if CODES.contains(&code) => code.clone_into(&mut self.code),
                    _ => return Err(format!("`muster.code` is one of {}", CODES.join(", "))),
                },
                Some("overreach") => self.overreach = band()?,
                Some("deception") => self.deception = band()?,
                _ => return Err("`muster` has `code`, `overreach` and `deception`".to_owned()),
            }
        }
        Ok(())
    }
}

fn level(level: Option<rsigma_parser::Level>) -> Level {
    match level {
        Some(rsigma_parser::Level::Informational) => Level::Informational,
        Some(rsigma_parser::Level::Low) => Level::Low,
        Some(rsigma_parser::Level::Medium) | None => Level::Medium,
        Some(rsigma_parser::Level::High) => Level::High,
        Some(rsigma_parser::Level::Critical) => Level::Critical,
    }
}

/// What kind of events it is about, if the record has those and all fields that it names.
fn category(rule: &SigmaRule) -> Result<Category, String> {
    let source = &rule.logsource;
    match source.product.as_deref() {
        Some("linux") | None => {}
        Some(other) => return Err(format!("it is for `{other}`")),
    }
    if let Some(service) = &source.service {
        return Err(format!("Muster has no log of the service `{service}`"));
    }
    if let Some(name) = source.custom.keys().min() {
        return Err(format!("its log source has a `{name}`, which no event of Muster's has"));
    }
    let Some(name) = &source.category else { return Err("its log source has no category".to_owned()) };
    let Some(category) = Category::named(name) else {
        return Err(format!("Muster has no events of the category `{name}`"));
    };
    let alone = SigmaCollection { rules: vec![rule.clone()], ..SigmaCollection::new() };
    let fields = RuleFieldSet::collect(&alone, &[], false);
    let missing: Vec<&str> = fields
        .iter()
        .filter(|(_, origin)| origin.sources.contains(&FieldSource::Detection))
        .map(|(name, _)| name)
        .filter(|name| !category.has(name))
        .collect();
    match missing.as_slice() {
        [] => Ok(category),
        names => Err(format!("events of `{}` have no field `{}`", category.name(), names.join("`, `"))),
    }
}

fn techniques(tags: &[String]) -> Vec<String> {
    let of_attack = tags.iter().filter_map(|tag| tag.strip_prefix("attack.t"));
    let numbers = of_attack.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbers.map(|rest| format!("T{rest}")).collect()
}

/// Text that no parser must be afraid of.
fn within_bounds(text: &str) -> Result<(), String> {
    if text.len() > DOCUMENT_MAX {
        return Err(format!("it has more than {} KiB", DOCUMENT_MAX / 1024));
    }
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!("brackets are nested deeper than {DEPTH_MAX}"));
        }
    }
    let nots = text.split_whitespace().filter(|word| matches!(*word, "not" | "(not")).count();
    if nots > CONDITION_MAX {
        return Err(format!("`not` stands in it more than {CONDITION_MAX} times"));
    }
    if text.contains("<<:") || text.lines().any(|line| line.contains(": &") || line.contains(": *")) {
        return Err("YAML anchors and aliases are not read".to_owned());
    }
    Ok(())
}

/// The parser says `at line 3 column 5`.
fn line_of(error: &str) -> Option<usize> {
    let rest = error.split("line ").nth(1)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
