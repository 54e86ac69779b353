//! The crate table of ARCHITECTURE.md against what the crates are.

use std::collections::BTreeSet;

use crate::metadata::{self, DependencyKind, Package};
use crate::repo::Tree;

use super::{Problem, problem};

const DOCUMENT: &str = "ARCHITECTURE.md";

/// What a word of the table's last column rules out in the code before a file's `#[cfg(test)]`.
const EFFECTS: &[(&str, &[&str])] = &[
    (
        "I/O",
        &[
            "std::fs",
            "std::process::Command",
            "File::open",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
        ],
    ),
    ("clock", &["SystemTime::now", "Instant::now"]),
    ("threads", &["std::thread", "thread::spawn"]),
    ("async", &["async fn", "async move", ".await"]),
];

#[derive(Debug, PartialEq, Eq)]
struct Row {
    krate: String,
    line: usize,
    may_use: BTreeSet<String>,
    must_not_contain: String,
}

/// The table is what people plan by; an arrow that it does not show is a mistake in one of the two.
pub fn check(tree: &Tree, packages: &[Package], problems: &mut Vec<Problem>) {
    let Some(text) = tree.files.get(DOCUMENT) else {
        problems.push(problem(DOCUMENT, 0, "does not exist: the crate table belongs there"));
        return;
    };
    let rows = rows(text);
    if rows.is_empty() {
        problems.push(problem(
            DOCUMENT,
            0,
            "has no table `| crate | may depend on (ours) | must not contain |`",
        ));
        return;
    }
    for package in metadata::ours(packages) {
        match rows.iter().find(|row| row.krate == short(&package.name)) {
            None => {
                problems.push(problem(DOCUMENT, 0, format!("its table lacks `{}`", short(&package.name))))
            }
            Some(row) => {
                arrows(row, package, problems);
                effects(row, tree, &package.folder, problems);
            }
        }
    }
    for row in &rows {
        if !metadata::ours(packages).any(|package| short(&package.name) == row.krate) {
            problems.push(problem(DOCUMENT, row.line, format!("there is no crate `{}`", row.krate)));
        }
    }
}

fn short(package: &str) -> &str {
    package.trim_start_matches("muster-")
}

/// Tests may use any crate; what ships follows the table.
fn arrows(row: &Row, package: &Package, problems: &mut Vec<Problem>) {
    for dependency in package.dependencies.iter().filter(|it| it.kind != DependencyKind::Dev) {
        let name = short(&dependency.package);
        if dependency.package.starts_with("muster-") && !row.may_use.contains(name) {
            let file = format!("{}/Cargo.toml", package.folder);
            problems.push(problem(&file, 0, format!("{DOCUMENT} does not let `{}` use `{name}`", row.krate)));
        }
    }
}

fn effects(row: &Row, tree: &Tree, folder: &str, problems: &mut Vec<Problem>) {
    let source = format!("{folder}/src/");
    for (word, signs) in EFFECTS.iter().filter(|(word, _)| row.must_not_contain.contains(word)) {
        for (path, text) in tree.with_extension("rs").filter(|(path, _)| is_product(path, &source)) {
            let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
            for (number, line) in (1..).zip(code) {
                let code = line.split("//").next().unwrap_or_default();
                if let Some(sign) = signs.iter().find(|sign| code.contains(**sign)) {
                    let text = format!("`{sign}`: {DOCUMENT} keeps {word} out of `{}`", row.krate);
                    problems.push(problem(path, number, text));
                }
            }
        }
    }
}

fn is_product(path: &str, source: &str) -> bool {
    path.starts_with(source) && !path.ends_with("/tests.rs") && !path.contains("/tests/")
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let table = (1..)
        .zip(text.lines())
        .skip_while(|(_, line)| !line.starts_with("| crate | may depend on"))
        .skip(2)
        .take_while(|(_, line)| line.starts_with('|'));
    for (line, cells) in table {
        let cells: Vec<&str> = cells.trim_matches('|').split('|').map(str::trim).collect();
        let [krate, uses, must_not, ..] = cells.as_slice() else { continue };
        // "all" and "all below" mean the rows above this one: the table goes from the lowest layer up.
        let may_use = match uses.starts_with("all") {
            true => rows.iter().map(|row| row.krate.clone()).collect(),
            false => names(uses.split('(').next().unwrap_or_default()),
        };
        let krate = krate.trim_matches('`').to_owned();
        rows.push(Row { krate, line, may_use, must_not_contain: (*must_not).to_owned() });
    }
    rows
}

/// The names between backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    const TABLE: &str = "\
# A

| crate | may depend on (ours) | must not contain |
|---|---|---|
| `event` | – | I/O, clock, async |
| `ledger` | – (takes bytes; not `event`) | |
| `cli` | all | rules |
";

    fn package(name: &str, uses: &[&str]) -> Package {
        let dependency = |name: &&str| Dependency {
            name: (*name).to_owned(),
            package: (*name).to_owned(),
            kind: DependencyKind::Normal,
        };
        Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            license: None,
            source: None,
            folder: format!("crates/{}", short(name)),
            dependencies: uses.iter().map(dependency).collect(),
            targets: Vec::new(),
        }
    }

    fn found(packages: &[Package], files: &[(&str, &str)]) -> Vec<String> {
        let mut tree = Tree { files: Default::default(), paths: Default::default() };
        for (path, text) in files {
            tree.add(path, text.as_bytes().to_vec());
        }
        let mut problems = Vec::new();
        check(&tree, packages, &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_true_table_passes() {
        let packages = [
            package("muster-event", &["serde"]),
            package("muster-ledger", &[]),
            package("muster-cli", &["muster-event", "muster-ledger"]),
        ];
        let pure = "//! x\nfn a() {}\n#[cfg(test)]\nuse std::fs;\n";
        assert!(
            found(&packages, &[("ARCHITECTURE.md", TABLE), ("crates/event/src/lib.rs", pure)]).is_empty()
        );
    }

    #[test]
    fn arrows_rows_and_effects() {
        let packages = [
            package("muster-event", &[]),
            package("muster-ledger", &["muster-event"]),
            package("muster-new", &[]),
        ];
        let impure = "//! x\nuse std::fs;\nfn a() { SystemTime::now(); }\n";
        assert_eq!(
            found(&packages, &[("ARCHITECTURE.md", TABLE), ("crates/event/src/lib.rs", impure)]),
            [
                "crates/event/src/lib.rs:2: `std::fs`: ARCHITECTURE.md keeps I/O out of `event`",
                "crates/event/src/lib.rs:3: `SystemTime::now`: ARCHITECTURE.md keeps clock out of `event`",
                "crates/ledger/Cargo.toml: ARCHITECTURE.md does not let `ledger` use `event`",
                "ARCHITECTURE.md: its table lacks `new`",
                "ARCHITECTURE.md:7: there is no crate `cli`",
            ]
        );
    }
}
