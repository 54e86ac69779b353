//! Which licences and sources of dependencies we accept. A small stand-in for cargo-deny, which takes minutes to build.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::metadata::{self, Package};
use crate::repo;

/// Licences under which the binary may be given to anyone without more than a notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub fn run() -> Result<()> {
    let packages = metadata::packages()?;
    // The lock file names optional parts of dependencies, too, that no build of ours has.
    let built = repo::output(
        &repo::cargo(),
        &[
            "tree",
            "--workspace",
            "--all-features",
            "--target",
            "all",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--locked",
        ],
    )?;
    let built: BTreeSet<(&str, &str)> = built
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let is_built = |package: &&Package| built.contains(&(package.name.as_str(), package.version.as_str()));
    let problems: Vec<String> = packages.iter().filter(is_built).filter_map(problem).collect();
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("{} packages: licences and sources are fine", built.len());
    Ok(())
}

fn problem(package: &Package) -> Option<String> {
    let Package { name, version, license, source, .. } = package;
    let Some(license) = license else {
        return Some(format!("{name} {version}: names no licence"));
    };
    if !allowed(license) {
        return Some(format!("{name} {version}: `{license}` is not on the list in xtask/src/licences.rs"));
    }
    // A git dependency can change under us and cannot be mirrored.
    if source.as_ref().is_some_and(|source| !source.starts_with("registry+")) {
        return Some(format!("{name} {version}: comes from no registry"));
    }
    None
}

/// Whether an SPDX expression can be satisfied by the list. `/` is the old way to write `OR`.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens = spaced.split_whitespace().peekable();
    any(&mut tokens) && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(tokens: &mut Tokens) -> bool {
    let mut answer = all(tokens);
    while tokens.next_if_eq(&"OR").is_some() {
        answer |= all(tokens);
    }
    answer
}

fn all(tokens: &mut Tokens) -> bool {
    let mut answer = one(tokens);
    while tokens.next_if_eq(&"AND").is_some() {
        answer &= one(tokens);
    }
    answer
}

fn one(tokens: &mut Tokens) -> bool {
    match tokens.next() {
        None => false,
        Some("(") => {
            let answer = any(tokens);
            tokens.next_if_eq(&")").is_some() && answer
        }
        Some(name) if tokens.next_if_eq(&"WITH").is_some() => {
            let exception = tokens.next().unwrap_or_default();
            ALLOWED.contains(&format!("{name} WITH {exception}").as_str())
        }
        Some(name) => ALLOWED.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-2.0-only OR MIT",
            "MIT AND BSD-3-Clause",
            "(MIT OR GPL-3.0-only) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "LGPL-2.1-or-later OR Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in
            ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "MIT WITH something", "(MIT", "MIT)", "MIT MIT"]
        {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
