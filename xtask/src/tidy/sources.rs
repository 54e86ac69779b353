//! Rules for source files.

use crate::repo::Tree;

use super::{Problem, Rule, problem};

pub const RULES: &[Rule] =
    &[first_line, length, unsafe_code, leftovers, this_workplace, forgotten_tests, safety_comments];

/// A file that is longer than this holds more than one concept.
const LINES_MAX: usize = 1100;

/// `//!` on the first line: who opens a file learns at once what it is, and what it is not.
fn first_line(tree: &Tree, problems: &mut Vec<Problem>) {
    for (path, text) in tree.with_extension("rs") {
        if !text.starts_with("//!") {
            problems.push(problem(path, 1, "does not begin with a `//!` line that says what it is"));
        }
    }
}

/// One concept per file. `vmlinux.h` is generated from the kernel's own types.
fn length(tree: &Tree, problems: &mut Vec<Problem>) {
    for extension in ["rs", "c", "h", "js", "css"] {
        for (path, text) in tree.with_extension(extension) {
            let lines = text.lines().count();
            if lines > LINES_MAX && !path.ends_with("vmlinux.h") {
                problems.push(problem(path, 0, format!("has {lines} lines, more than {LINES_MAX}")));
            }
        }
    }
}

/// `forbid` cannot be relaxed further in, unlike the workspace's `deny`: only the sensor may hold unsafe code.
fn unsafe_code(tree: &Tree, problems: &mut Vec<Problem>) {
    for (path, text) in tree.with_extension("rs") {
        let Some(folder) = path.strip_suffix("src/lib.rs").or_else(|| path.strip_suffix("src/main.rs"))
        else {
            continue;
        };
        if folder != "crates/sensor/" && !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            problems.push(problem(path, 0, "has no `#![forbid(unsafe_code)]`"));
        }
    }
}

/// Unfinished code and tests that do not run look finished from outside.
fn leftovers(tree: &Tree, problems: &mut Vec<Problem>) {
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ig", "nore")];
    for (path, text) in tree.with_extension("rs") {
        for (number, line) in (1..).zip(text.lines()) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                problems.push(problem(path, number, format!("`{word}`: finish it or take it out")));
            }
        }
    }
}

/// Paths of the machine that it was written on mean nothing to anyone else.
fn this_workplace(tree: &Tree, problems: &mut Vec<Problem>) {
    let shared = concat!("../", "shared");
    let work = concat!("/wo", "rk/");
    for (path, text) in &tree.files {
        for (number, line) in (1..).zip(text.lines()) {
            // `/home/me/work/x` is someone's project, and fine.
            let absolute = line.match_indices(work).any(|(at, _)| {
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                !before.is_some_and(|c| c.is_alphanumeric() || "._-~*>})$".contains(c))
            });
            if absolute || line.contains(shared) {
                problems.push(problem(path, number, "names a path of the machine that it was written on"));
            }
        }
    }
}

/// A file under `tests/it/` that no `mod` names is never compiled, so its tests never run.
fn forgotten_tests(tree: &Tree, problems: &mut Vec<Problem>) {
    for (path, _) in tree.with_extension("rs") {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let Some((krate, below)) = folder.split_once("tests/it") else { continue };
        let (parent, module) = match (below, name) {
            ("", "main.rs") => continue,
            ("", name) => (format!("{folder}/main.rs"), name.trim_end_matches(".rs")),
            (below, "mod.rs") => parent_module(krate, below),
            (below, name) => {
                let own = format!("{folder}/mod.rs");
                let beside = format!("{krate}tests/it{below}.rs");
                let parent = if tree.files.contains_key(&own) { own } else { beside };
                (parent, name.trim_end_matches(".rs"))
            }
        };
        let declared = tree.files.get(&parent).is_some_and(|text| declares(text, module));
        if !declared {
            problems.push(problem(
                path,
                0,
                format!("`mod {module};` is missing in {parent}: its tests never run"),
            ));
        }
    }
}

/// Who declares the module `tests/it/a/b/mod.rs`: `tests/it/a/mod.rs`, or the main file.
fn parent_module<'a>(krate: &str, below: &'a str) -> (String, &'a str) {
    match below.rsplit_once('/') {
        Some(("", module)) => (format!("{krate}tests/it/main.rs"), module),
        Some((above, module)) => (format!("{krate}tests/it{above}/mod.rs"), module),
        None => (format!("{krate}tests/it/main.rs"), below),
    }
}

fn declares(text: &str, module: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) == Some(module)
    })
}

/// Each unsafe block says why it is sound, where the reader stands.
fn safety_comments(tree: &Tree, problems: &mut Vec<Problem>) {
    for (path, text) in tree.with_extension("rs") {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let opens = code.contains("unsafe {") || code.starts_with("unsafe impl");
            if !opens || code.starts_with("//") || code.contains('"') {
                continue;
            }
            let above = lines.get(index.saturating_sub(6)..=index).unwrap_or_default();
            if !above.iter().any(|line| line.contains("// SAFETY:")) {
                problems.push(problem(path, index + 1, "unsafe without a `// SAFETY:` line above it"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn first_lines() {
        check(
            first_line,
            &[("a.rs", "//! what\n"), ("b.rs", "use std;\n"), ("c.c", "int x;")],
            &["b.rs:1: does not begin with a `//!` line that says what it is"],
        );
    }

    #[test]
    fn lengths() {
        let long = "x\n".repeat(1101);
        check(
            length,
            &[("a.rs", &long), ("crates/sensor/probes/vmlinux.h", &long), ("b.rs", "x\n")],
            &["a.rs: has 1101 lines, more than 1100"],
        );
    }

    #[test]
    fn crate_roots_forbid_unsafe_code() {
        let forbids = "//! x\n#![forbid(unsafe_code)]\n";
        check(
            unsafe_code,
            &[
                ("crates/a/src/lib.rs", forbids),
                ("crates/b/src/lib.rs", "//! x"),
                ("crates/sensor/src/lib.rs", ""),
            ],
            &["crates/b/src/lib.rs: has no `#![forbid(unsafe_code)]`"],
        );
    }

    #[test]
    fn unfinished_code() {
        let text = concat!("fn a() { todo", "!() }");
        check(leftovers, &[("a.rs", text)], &[concat!("a.rs:1: `todo", "!(`: finish it or take it out")]);
    }

    #[test]
    fn paths_of_this_machine() {
        let told = "names a path of the machine that it was written on";
        check(
            this_workplace,
            &[
                ("a", concat!("see ../", "shared/x")),
                ("b", concat!("\n in /wo", "rk/main")),
                ("c", "/home/me/work/x ~/work/y"),
            ],
            &[&format!("a:1: {told}"), &format!("b:2: {told}")],
        );
    }

    #[test]
    fn test_files_that_nothing_declares() {
        check(
            forgotten_tests,
            &[
                ("crates/a/tests/it/main.rs", "mod one;\nmod deep;\n"),
                ("crates/a/tests/it/one.rs", ""),
                ("crates/a/tests/it/two.rs", ""),
                ("crates/a/tests/it/deep/mod.rs", "pub mod three;"),
                ("crates/a/tests/it/deep/three.rs", ""),
                ("crates/a/tests/it/deep/four.rs", ""),
            ],
            &[
                "crates/a/tests/it/deep/four.rs: `mod four;` is missing in crates/a/tests/it/deep/mod.rs: its tests never run",
                "crates/a/tests/it/two.rs: `mod two;` is missing in crates/a/tests/it/main.rs: its tests never run",
            ],
        );
    }

    #[test]
    fn unsafe_blocks_say_why() {
        check(
            safety_comments,
            &[
                ("a.rs", "// SAFETY: it is.\nunsafe { x }\n"),
                ("b.rs", "let y = unsafe { x };\n// unsafe { }\n"),
            ],
            &["b.rs:1: unsafe without a `// SAFETY:` line above it"],
        );
    }
}
