//! Every parser of bytes from outside has a property, a property test and a fuzz target, and the list of them is true.

use crate::fuzz::{properties, properties_crate};
use crate::repo::Tree;

use super::{Problem, Rule, problem};

pub const RULES: &[Rule] = &[targets];

const LIST: &str = "fuzz/README.md";
const MANIFEST: &str = "fuzz/Cargo.toml";

fn targets(tree: &Tree, problems: &mut Vec<Problem>) {
    let mut known = Vec::new();
    for (path, text) in tree.with_extension("rs") {
        let Some(krate) = properties_crate(path) else { continue };
        let tests = text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests);
        for name in properties(text) {
            known.push(name);
            if !tests.contains(&format!("{name}(")) {
                problems.push(problem(path, 0, format!("no property test drives `{name}`")));
            }
            let target = format!("fuzz/fuzz_targets/{name}.rs");
            let driven =
                tree.files.get(&target).is_some_and(|text| text.contains(&format!("fuzzing::{name}(")));
            if !driven {
                problems.push(problem(path, 0, format!("`{name}` is not driven by {target}")));
            }
            let row = |line: &str| line.starts_with(&format!("| `{name}` | `{krate}` |"));
            if !tree.files.get(LIST).is_some_and(|list| list.lines().any(row)) {
                problems.push(problem(path, 0, format!("`{name}` is not in the list of {LIST}")));
            }
            let bin = format!("name = \"{name}\"");
            if !tree.files.get(MANIFEST).is_some_and(|manifest| manifest.lines().any(|line| line == bin)) {
                problems.push(problem(path, 0, format!("`{name}` is not in {MANIFEST}")));
            }
        }
    }
    for path in tree.files.keys() {
        let target = path.strip_prefix("fuzz/fuzz_targets/").and_then(|name| name.strip_suffix(".rs"));
        if target.is_some_and(|name| !known.contains(&name)) {
            problems.push(problem(path, 0, "drives no property of a `fuzzing.rs`"));
        }
    }
    let listed = tree.files.get(LIST).map_or("", |list| list.as_str()).lines();
    for (number, line) in (1..).zip(listed) {
        let name = line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
        if name.is_some_and(|name| !known.contains(&name)) {
            problems.push(problem(LIST, number, "names a property that is not there"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn properties_without_a_target() {
        let source =
            "pub fn a(bytes: &[u8]) {\n}\npub fn b(bytes: &[u8]) {\n}\n#[cfg(test)]\nmod tests { a(x) }\n";
        check(
            targets,
            &[
                ("crates/x/src/fuzzing.rs", source),
                ("fuzz/Cargo.toml", "name = \"a\"\n"),
                ("fuzz/README.md", "| `a` | `x` | what |\n| `c` | `x` | gone |\n"),
                ("fuzz/fuzz_targets/a.rs", "fuzz_target!(|bytes| x::fuzzing::a(bytes));"),
                ("fuzz/fuzz_targets/c.rs", ""),
            ],
            &[
                "crates/x/src/fuzzing.rs: no property test drives `b`",
                "crates/x/src/fuzzing.rs: `b` is not driven by fuzz/fuzz_targets/b.rs",
                "crates/x/src/fuzzing.rs: `b` is not in the list of fuzz/README.md",
                "crates/x/src/fuzzing.rs: `b` is not in fuzz/Cargo.toml",
                "fuzz/fuzz_targets/c.rs: drives no property of a `fuzzing.rs`",
                "fuzz/README.md:2: names a property that is not there",
            ],
        );
    }
}
