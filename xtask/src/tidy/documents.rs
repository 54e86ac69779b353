//! Rules for documents.

use std::path::{Component, Path};

use crate::repo::Tree;

use super::{Problem, Rule, problem};

pub const RULES: &[Rule] = &[changelog, links, finding_pages];

/// Users read what changed in words; it is written when the change is made or never.
fn changelog(tree: &Tree, problems: &mut Vec<Problem>) {
    let has = tree.files.get("CHANGELOG.md").is_some_and(|text| {
        text.lines().any(|line| line.trim_start_matches(['#', ' ', '[']).starts_with("Unreleased"))
    });
    if !has {
        problems.push(problem("CHANGELOG.md", 0, "has no `## Unreleased` section"));
    }
}

/// A link that leads nowhere sends the reader away.
fn links(tree: &Tree, problems: &mut Vec<Problem>) {
    for (path, text) in tree.with_extension("md") {
        let mut fenced = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for target in link_targets(line) {
                if resolve(path, target).is_none_or(|target| !tree.paths.contains(&target)) {
                    problems.push(problem(path, number, format!("the link to `{target}` leads nowhere")));
                }
            }
        }
    }
}

/// What `](…)` names in this line, where it is a file of ours; the part before `#`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()).filter_map(|target| {
        let elsewhere = target.contains("://") || target.starts_with("mailto:") || target.starts_with('#');
        let file = target.split('#').next().unwrap_or_default();
        (!elsewhere && !file.is_empty()).then_some(file)
    })
}

/// The path that a link in `file` leads to; `None` for one that leaves the repository.
fn resolve(file: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => file.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir => drop(parts.pop()?),
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(parts.join("/"))
}

/// Every finding is explained to the person who gets it; no page explains one that does not exist.
fn finding_pages(tree: &Tree, problems: &mut Vec<Problem>) {
    let source = "crates/engine/src/finding.rs";
    let Some(text) = tree.files.get(source) else { return };
    let codes = finding_codes(text);
    if codes.is_empty() {
        problems.push(problem(source, 0, "`impl Code { fn name }` names no code that this rule can read"));
    }
    for code in &codes {
        if !tree.paths.contains(&format!("docs/findings/{code}.md")) {
            problems.push(problem(
                source,
                0,
                format!("`{code}` is not explained in docs/findings/{code}.md"),
            ));
        }
    }
    for path in tree.files.keys() {
        let Some(code) = path.strip_prefix("docs/findings/").and_then(|name| name.strip_suffix(".md")) else {
            continue;
        };
        if code != "README" && !codes.contains(&code) {
            problems.push(problem(path, 0, "explains a finding that does not exist"));
        }
    }
}

/// The strings in `fn name` of `impl Code`.
fn finding_codes(source: &str) -> Vec<&str> {
    source
        .lines()
        .skip_while(|line| !line.starts_with("impl Code"))
        .skip_while(|line| !line.contains("fn name("))
        .take_while(|line| *line != "    }")
        .filter_map(|line| line.split('"').nth(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn changelogs() {
        check(changelog, &[("CHANGELOG.md", "# Changes\n\n## [Unreleased]\n")], &[]);
        check(
            changelog,
            &[("CHANGELOG.md", "# Changes\n")],
            &["CHANGELOG.md: has no `## Unreleased` section"],
        );
    }

    #[test]
    fn local_links() {
        check(
            links,
            &[
                (
                    "README.md",
                    "[a](docs/a.md) [b](docs/b.md#x) [c](https://example.org/x) [d](#here) ![e](docs)",
                ),
                ("docs/a.md", "[up](../README.md) and [out](../../etc)\n```\n[no](link)\n```\n"),
            ],
            &[
                "README.md:1: the link to `docs/b.md` leads nowhere",
                "docs/a.md:1: the link to `../../etc` leads nowhere",
            ],
        );
    }

    #[test]
    fn pages_of_findings() {
        let source = "impl Code {\n    pub fn name(self) -> &'static str {\n        match self {\n            \
                      Code::A => \"aa\",\n            Code::B => \"bb\",\n        }\n    }\n}\n";
        check(
            finding_pages,
            &[
                ("crates/engine/src/finding.rs", source),
                ("docs/findings/aa.md", ""),
                ("docs/findings/cc.md", ""),
            ],
            &[
                "crates/engine/src/finding.rs: `bb` is not explained in docs/findings/bb.md",
                "docs/findings/cc.md: explains a finding that does not exist",
            ],
        );
    }
}
