//! Dependencies that no source file of their crate names: each costs build time and trust for nothing.

use anyhow::{Result, bail};

use crate::metadata::{self, Dependency, DependencyKind, Package};
use crate::repo::Tree;

/// Named nowhere, needed all the same. Crate, dependency, why.
const NEEDED: &[(&str, &str, &str)] = &[];

pub fn run() -> Result<()> {
    let tree = Tree::read()?;
    let packages = metadata::packages()?;
    let mut problems = Vec::new();
    for package in metadata::ours(&packages) {
        for dependency in unused(&tree, package) {
            problems.push(format!("{}/Cargo.toml: `{}` is used by no file", package.folder, dependency.name));
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("every dependency is used");
    Ok(())
}

fn unused<'a>(tree: &Tree, package: &'a Package) -> Vec<&'a Dependency> {
    package.dependencies.iter().filter(|dependency| !is_used(tree, package, dependency)).collect()
}

fn is_used(tree: &Tree, package: &Package, dependency: &Dependency) -> bool {
    let name = dependency.name.replace('-', "_");
    let folder = match dependency.kind {
        DependencyKind::Normal => format!("{}/src/", package.folder),
        DependencyKind::Build => format!("{}/build.rs", package.folder),
        DependencyKind::Dev => format!("{}/", package.folder),
    };
    NEEDED.iter().any(|(of, needed, _)| *of == package.name && *needed == dependency.name)
        || tree.with_extension("rs").any(|(path, text)| path.starts_with(&folder) && names(text, &name))
}

/// Whether `text` has `name` as a whole word outside a comment line.
fn names(text: &str, name: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let before = line.get(..at).and_then(|before| before.chars().next_back());
            let after = line.get(at + name.len()..).and_then(|after| after.chars().next());
            !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_outside_comments_count() {
        assert!(names("use serde::Serialize;", "serde"));
        assert!(names("    let x = libc::getpid();", "libc"));
        assert!(!names("use serde_json::Value;", "serde"));
        assert!(!names("// serde would do\n", "serde"));
    }
}
