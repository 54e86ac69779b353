//! What an execution is for, by its program and arguments: a run of tests, a build, a commit, a push, an installation.

use crate::roll::name_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Test,
    Build,
    Lint,
    Commit,
    Push,
    /// Opens or changes a request to take changes in, by a program for it.
    Request,
    Install,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runner {
    pub purpose: Purpose,
    /// It only starts what is configured elsewhere: its status may hide that of what it starts.
    pub delegates: bool,
    /// Some tests were left out by an option.
    pub selected: bool,
}

/// Which tests an execution runs: two runs of one suite can be compared, and what is run of one part is no run of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suite {
    /// Program, arguments that choose, and folder.
    pub key: String,
    /// The program, by its family.
    pub program: String,
    pub folder: String,
    /// No argument chooses among its tests.
    pub whole: bool,
}

/// Options of test runners whose value is the next word.
const VALUED: [&str; 22] = [
    "-n",
    "-p",
    "-c",
    "-o",
    "-W",
    "-j",
    "-r",
    "-C",
    "--maxfail",
    "--tb",
    "--package",
    "--features",
    "--config",
    "--reporter",
    "--manifest-path",
    "--timeout",
    "--workers",
    "--jobs",
    "--cov",
    "--durations",
    "--prefix",
    "-f",
];

pub(crate) fn suite(argv: &[String], folder: &str) -> Suite {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let words = without_interpreter(&words);
    let (path, arguments) = words.split_first().unwrap_or((&"", &[]));
    let program = name_of(path).to_owned();
    let mut chosen = Vec::new();
    let mut selected = false;
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        if leaves_out(word)
            || matches!(
                *word,
                "-m" | "-t" | "--testNamePattern" | "--grep" | "-g" | "-run" | "--filter" | "-E"
            )
        {
            selected = true;
            chosen.push(*word);
        } else if VALUED.contains(word) {
            rest.next();
        } else if !word.starts_with(['-', '+']) {
            chosen.push(*word);
        }
    }
    // What only names the act or all there is.
    let plain = |w: &&&str| {
        !matches!(
            **w,
            "test"
                | "t"
                | "run"
                | "r"
                | "nextest"
                | "tests"
                | "tests/"
                | "."
                | "./..."
                | "check"
                | "verify"
                | "all"
        )
    };
    let whole = !selected && (is_test_file(path) || chosen.iter().filter(plain).count() == 0);
    Suite {
        key: format!("{program} {} in {folder}", chosen.join(" ")),
        program,
        folder: folder.to_owned(),
        whole,
    }
}

/// `None`: none that is known.
pub(crate) fn recognise(argv: &[String]) -> Option<Runner> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let words = without_interpreter(&words);
    let (path, arguments) = words.split_first()?;
    let program = name_of(path);
    let program = program.strip_suffix(".exe").unwrap_or(program);
    let purpose = purpose(program, arguments).or_else(|| is_test_program(path).then_some(Purpose::Test))?;
    // Only told of, not done.
    let idle = [
        "--help",
        "-h",
        "--version",
        "--collect-only",
        "--co",
        "--no-run",
        "--list",
        "--dry-run",
        "--listTests",
    ];
    if arguments.iter().any(|a| idle.contains(a)) && purpose != Purpose::Install {
        return None;
    }
    Some(Runner {
        purpose,
        delegates: matches!(
            program,
            "npm" | "pnpm" | "yarn" | "bun" | "make" | "just" | "tox" | "nox" | "task" | "sh" | "bash"
        ),
        selected: purpose == Purpose::Test && arguments.iter().any(|a| leaves_out(a)),
    })
}

/// Options that leave out what would fail.
fn leaves_out(argument: &str) -> bool {
    let (name, _) = argument.split_once('=').unwrap_or((argument, ""));
    matches!(
        name,
        "-k" | "--deselect"
            | "--ignore"
            | "--ignore-glob"
            | "--skip"
            | "--passWithNoTests"
            | "--testPathIgnorePatterns"
            | "--exclude"
            | "-skip"
    )
}

/// `python3 -m pytest`, `/usr/bin/env node x`, `uv run pytest`: what is meant stands behind.
fn without_interpreter<'a>(words: &'a [&'a str]) -> &'a [&'a str] {
    const DEPTH: usize = 4;
    let mut words = words;
    for _ in 0..DEPTH {
        let Some((program, rest)) = words.split_first() else { break };
        let program = name_of(program);
        let interpreter = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let options = rest
            .iter()
            .take_while(|w| {
                w.starts_with('-') && **w != "-m" && **w != "-c" && **w != "-e" && **w != "--test"
            })
            .count();
        let behind = rest.get(options..).unwrap_or_default();
        words = match (interpreter, behind) {
            ("python" | "pypy", ["-m", rest @ ..]) if !rest.is_empty() => rest,
            ("python" | "pypy" | "ruby" | "perl" | "php" | "sh" | "bash" | "dash", [script, ..])
                if !script.starts_with('-') =>
            {
                behind
            }
            ("node" | "deno" | "bun" | "tsx", [script, ..])
                if script.contains(['/', '.']) && !script.starts_with('-') =>
            {
                behind
            }
            ("env" | "nice" | "time" | "npx" | "bunx" | "nohup" | "xvfb-run" | "stdbuf", [_, ..]) => behind,
            ("timeout", [_, rest @ ..]) if !rest.is_empty() => rest,
            ("uv" | "poetry" | "pipenv" | "hatch" | "pdm" | "rye", ["run", rest @ ..])
                if !rest.is_empty() =>
            {
                rest
            }
            ("bundle" | "pnpm" | "yarn", ["exec", rest @ ..]) if !rest.is_empty() => rest,
            _ => return words,
        };
    }
    words
}

fn purpose(program: &str, arguments: &[&str]) -> Option<Purpose> {
    use Purpose::{Build, Commit, Install, Lint, Push, Request, Test};
    // The first words that are no options; of `git -c NAME=VALUE` and its like not the value either.
    let mut plain = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        if matches!(
            (program, *word),
            ("git", "-c" | "-C") | ("make", "-C" | "-f" | "-j") | ("npm" | "pnpm", "--prefix" | "-C")
        ) {
            rest.next();
        } else if !word.starts_with(['-', '+']) {
            plain.push(*word);
            if plain.len() == 3 {
                break;
            }
        }
    }
    let first = plain.first().copied().unwrap_or_default();
    let second = plain.get(1).copied().unwrap_or_default();
    match program {
        "pytest" | "py.test" | "unittest" | "nose2" | "tox" | "nox" | "jest" | "vitest" | "mocha" | "ava"
        | "tap" | "karma" | "ctest" | "rspec" | "phpunit" | "pest" | "gotestsum" | "nosetests" | "bats"
        | "busted" | "cargo-nextest" | "jest.js" | "vitest.mjs" | "_mocha" => Some(Test),
        "cargo" => match first {
            "test" | "t" => Some(Test),
            "nextest" => (second == "run" || second == "r").then_some(Test),
            "build" | "b" | "check" | "c" => Some(Build),
            "clippy" => Some(Lint),
            "fmt" => arguments.contains(&"--check").then_some(Lint),
            "install" | "add" => Some(Install),
            _ => None,
        },
        "go" => match first {
            "test" => Some(Test),
            "build" => Some(Build),
            "vet" => Some(Lint),
            "get" | "install" => Some(Install),
            _ => None,
        },
        "npm" | "pnpm" | "yarn" | "bun" => {
            let script = if first == "run" || first == "run-script" { second } else { first };
            match script {
                "test" | "t" | "tst" => Some(Test),
                script if script.starts_with("test:") => Some(Test),
                "build" | "compile" => Some(Build),
                "lint" | "typecheck" | "type-check" => Some(Lint),
                "install" | "i" | "ci" | "add" if first == script => Some(Install),
                "" if program == "yarn" => Some(Install),
                _ => None,
            }
        }
        "node" | "deno" if arguments.contains(&"--test") || (program == "deno" && first == "test") => {
            Some(Test)
        }
        "make" | "just" | "task" | "ninja" | "rake" => match first {
            "test" | "tests" | "check" => Some(Test),
            "" | "all" | "build" => Some(Build),
            "lint" => Some(Lint),
            _ => None,
        },
        "mvn" | "mvnw" | "gradle" | "gradlew" => {
            if plain.iter().any(|w| matches!(*w, "test" | "verify" | "check")) {
                Some(Test)
            } else if plain.iter().any(|w| matches!(*w, "build" | "compile" | "package" | "assemble")) {
                Some(Build)
            } else {
                None
            }
        }
        "dotnet" | "swift" | "mix" | "bazel" | "zig" | "sbt" | "flutter" | "dart" => match first {
            "test" => Some(Test),
            "build" | "compile" => Some(Build),
            _ => None,
        },
        "tsc" | "javac" | "rustc" | "cmake" => Some(Build),
        "mypy" | "pyright" | "ruff" | "eslint" | "flake8" | "pylint" | "golangci-lint" | "shellcheck"
        | "biome" => Some(Lint),
        "git" => match first {
            "commit" => Some(Commit),
            "push" => Some(Push),
            _ => None,
        },
        "gh" | "glab" | "hub" | "tea" => Some(Request),
        "pip" | "pip3" | "pipx" | "apt" | "apt-get" | "brew" | "dnf" | "yum" | "apk" | "pacman" | "gem"
        | "composer" | "uv" | "poetry" | "conda" => {
            (matches!(first, "install" | "add" | "sync" | "require" | "update")
                || second == "install"
                || arguments.contains(&"-S"))
            .then_some(Install)
        }
        _ => None,
    }
}

/// A program that is a test: not every script in a folder of tests is one.
fn is_test_program(path: &str) -> bool {
    let name = name_of(path);
    is_test_file(name) || is_test_file(path) && (name.starts_with("run") || name.starts_with("all"))
}

/// A file of tests by its name, with or without the folder it is in.
pub(crate) fn is_test_file(path: &str) -> bool {
    let name = name_of(path).to_ascii_lowercase();
    let (stem, kind) = name.rsplit_once('.').unwrap_or((&name, ""));
    let code = matches!(
        kind,
        "py" | "js"
            | "ts"
            | "jsx"
            | "tsx"
            | "mjs"
            | "cjs"
            | "rs"
            | "go"
            | "rb"
            | "java"
            | "kt"
            | "c"
            | "cc"
            | "cpp"
            | "cs"
            | "php"
            | "sh"
            | "bash"
            | "bats"
            | "swift"
            | "ex"
            | "exs"
            | "lua"
            | "scala"
            | "pl"
            | "t"
    );
    let by_name = stem == "test"
        || stem == "tests"
        || stem.starts_with("test_")
        || stem.starts_with("test-")
        || stem.ends_with("_test")
        || stem.ends_with("_tests")
        || stem.ends_with("-test")
        || stem.ends_with(".test")
        || stem.ends_with(".spec")
        || stem.ends_with("_spec")
        || matches!(stem, "run_tests" | "run-tests" | "runtests" | "run_test")
        || kind == "bats";
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let in_folder =
        folder.split('/').any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec" | "specs"));
    name == "conftest.py" || code && (by_name || in_folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<Purpose>) {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(recognise(&argv).map(|r| r.purpose), expected, "{line}");
    }

    #[test]
    fn which_tests_a_run_is_of() {
        let suite = |line: &str| super::suite(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), "/w");
        let same = |a: &str, b: &str| assert_eq!(suite(a).key, suite(b).key, "{a} and {b}");
        same("pytest -q", "python3 -m pytest -v -n 4");
        same("python3 test_calc.py", "python3.11 test_calc.py -v");
        same("cargo test --workspace", "cargo test -p x");
        for (line, whole) in [
            ("pytest -q", true),
            ("pytest tests", true),
            ("pytest tests/test_a.py", false),
            ("pytest -k add", false),
            ("cargo test", true),
            ("cargo test add", false),
            ("go test ./...", true),
            ("go test ./x", false),
            ("npm test", true),
            ("npm run test:unit", false),
            ("npx jest --ci", true),
            ("npx jest src/a.test.js", false),
            ("python3 test_calc.py", true),
            ("make test", true),
        ] {
            assert_eq!(suite(line).whole, whole, "{line}");
        }
        assert_ne!(suite("pytest").key, super::suite(&["pytest".to_owned()], "/w/sub").key);
    }

    #[test]
    fn what_an_execution_is_for() {
        use Purpose::*;
        check("/usr/bin/python3 /usr/bin/pytest -q", Some(Test));
        check("python3 -m pytest tests", Some(Test));
        check("python3.11 -B -m unittest", Some(Test));
        check("python3 test_calc.py", Some(Test));
        check("sh tests/run.sh", Some(Test));
        check("./run_tests.sh", Some(Test));
        check("node /usr/lib/node_modules/npm/bin/npm test", Some(Test));
        check("node /w/node_modules/.bin/jest --ci", Some(Test));
        check("node --test", Some(Test));
        check("cargo test --workspace", Some(Test));
        check("cargo test --no-run", None);
        check("/root/.cargo/bin/cargo-nextest nextest run", Some(Test));
        check("make -C x test", Some(Test));
        check("go test ./...", Some(Test));
        check("uv run pytest", Some(Test));
        check("cargo build", Some(Build));
        check("git -c user.name=x commit -qm a", Some(Commit));
        check("git push origin main", Some(Push));
        check("git push --dry-run", None);
        check("git log", None);
        check("pip install x", Some(Install));
        check("gh pr create", Some(Request));
        check("bash -c ls", None);
        check("cat test_calc.py", None);
        check("python3 tests/make_data.py", None);
        check("python3 main.py", None);
        check("node", None);
    }
}
