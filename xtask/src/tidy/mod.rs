//! The house rules that neither compiler nor clippy checks. A rule that nobody can give a reason for is deleted.

mod crates;
mod documents;
mod parsers;
mod sources;

use std::fmt;

use anyhow::{Result, bail};

use crate::metadata;
use crate::repo::Tree;

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    file: String,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

fn problem(file: &str, line: usize, text: impl Into<String>) -> Problem {
    Problem { file: file.to_owned(), line, text: text.into() }
}

pub fn run() -> Result<()> {
    let tree = Tree::read()?;
    let packages = metadata::packages()?;
    let mut problems = Vec::new();
    for rule in sources::RULES.iter().chain(documents::RULES).chain(parsers::RULES) {
        rule(&tree, &mut problems);
    }
    crates::check(&tree, &packages, &mut problems);
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        bail!("{}\n{} problems", lines.join("\n"), lines.len());
    }
    println!("{} files are tidy", tree.files.len());
    Ok(())
}

type Rule = fn(&Tree, &mut Vec<Problem>);

#[cfg(test)]
fn check(rule: Rule, files: &[(&str, &str)], expected: &[&str]) {
    let mut tree = Tree { files: Default::default(), paths: Default::default() };
    for (path, text) in files {
        tree.add(path, text.as_bytes().to_vec());
    }
    let mut problems = Vec::new();
    rule(&tree, &mut problems);
    let found: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(found, expected);
}
