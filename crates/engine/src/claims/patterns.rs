//! Which class a clause claims something of: the built-in patterns of `claims/patterns.toml`.

use std::sync::LazyLock;

use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use crate::claims::Class;
use crate::claims::prose::{Clause, Sentence, regex};

/// One claim in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub class: Class,
    /// The sentence, as written.
    pub sentence: String,
    /// The clause in it, with its names put in.
    pub clause: String,
    /// What stood in backticks in this clause, and file names.
    pub names: Vec<String>,
}

/// Claims of one text: more than a person would read.
const FOUND_MAX: usize = 500;

struct Patterns {
    /// All `says`, as one: most clauses claim nothing.
    says: RegexSet,
    /// Class of each of these.
    of: Vec<usize>,
    classes: Vec<Compiled>,
}

struct Compiled {
    class: Class,
    unless: RegexSet,
    guarded: bool,
}

#[derive(Deserialize)]
struct File {
    class: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Class,
    says: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    guarded: Option<bool>,
}

const PATH: &str = r"(?:`\d+`|(?:[\w.-]+/)*[\w-]+\.[a-z][a-z0-9]{0,4}\b)";
const NAME: &str = r"`\d+`";

static PATTERNS: LazyLock<Patterns> = LazyLock::new(compile);
static IN_CLAUSE: LazyLock<Regex> = LazyLock::new(|| regex(&format!("(?i){PATH}")));

fn compile() -> Patterns {
    #[expect(clippy::expect_used, reason = "a constant, which a test reads")]
    let file: File =
        toml::from_str(include_str!("../../claims/patterns.toml")).expect("the built-in patterns");
    let mut says = Vec::new();
    let mut of = Vec::new();
    let mut classes = Vec::new();
    for (at, entry) in file.class.into_iter().enumerate() {
        for pattern in entry.says {
            says.push(filled(&pattern));
            of.push(at);
        }
        classes.push(Compiled {
            class: entry.name,
            unless: set(entry.unless.iter().map(|p| filled(p)).collect()),
            guarded: entry.guarded.unwrap_or(true),
        });
    }
    Patterns { says: set(says), of, classes }
}

fn filled(pattern: &str) -> String {
    pattern.replace("{path}", PATH).replace("{name}", NAME)
}

fn set(patterns: Vec<String>) -> RegexSet {
    #[expect(clippy::expect_used, reason = "constants, which a test compiles")]
    RegexSetBuilder::new(patterns)
        .case_insensitive(true)
        .size_limit(64 * 1024 * 1024)
        .build()
        .expect("the built-in patterns")
}

/// What a text claims, in its order.
pub(crate) fn find(text: &str) -> Vec<Found> {
    let mut out = Vec::new();
    for sentence in crate::claims::prose::sentences(text) {
        for clause in &sentence.clauses {
            for class in classes_of(clause) {
                if out.len() >= FOUND_MAX {
                    return out;
                }
                out.push(found(class, &sentence, clause));
            }
        }
    }
    out
}

fn classes_of(clause: &Clause) -> Vec<Class> {
    let patterns = &*PATTERNS;
    let mut classes: Vec<usize> = patterns
        .says
        .matches(&clause.text)
        .into_iter()
        .filter_map(|at| patterns.of.get(at).copied())
        .collect();
    classes.dedup();
    classes
        .into_iter()
        .filter_map(|at| patterns.classes.get(at))
        .filter(|class| !(class.guarded && (clause.unsaid || clause.negated)))
        .filter(|class| !class.unless.is_match(&clause.text))
        .map(|class| class.class)
        .collect()
}

fn found(class: Class, sentence: &Sentence, clause: &Clause) -> Found {
    let mut names = Vec::new();
    for name in IN_CLAUSE.find_iter(&clause.text) {
        names.push(put_back(name.as_str(), &sentence.names));
    }
    Found { class, sentence: sentence.text.clone(), clause: put_back(&clause.text, &sentence.names), names }
}

/// Puts the names back; a name that stands alone comes without its backticks.
fn put_back(text: &str, names: &[String]) -> String {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"`(\d+)`"));
    NUMBER
        .replace_all(text, |found: &regex::Captures<'_>| {
            let at: Option<usize> = found.get(1).and_then(|n| n.as_str().parse().ok());
            at.and_then(|at| names.get(at)).cloned().unwrap_or_default()
        })
        .into_owned()
}
