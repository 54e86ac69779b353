//! Files that the program writes about itself, committed, and compared so that they cannot go stale.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::repo;

/// File, and the arguments with which `muster` prints it.
const FILES: &[(&str, &[&str])] = &[
    ("docs/cli.md", &["reference"]),
    ("docs/json.md", &["reference", "json"]),
    ("crates/server/openapi.json", &["reference", "openapi"]),
];

pub fn write() -> Result<()> {
    for (file, args) in FILES {
        let path = repo::root().join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, print(args)?).with_context(|| format!("cannot write `{file}`"))?;
        println!("wrote {file}");
    }
    Ok(())
}

pub fn check() -> Result<()> {
    for (file, args) in FILES {
        let wanted = print(args)?;
        let found = std::fs::read_to_string(repo::root().join(file)).unwrap_or_default();
        if let Some(difference) = first_difference(&found, &wanted) {
            bail!("`{file}` is out of date: {difference}\nhint: `cargo xtask gen` writes it anew");
        }
        println!("{file}: up to date");
    }
    Ok(())
}

fn print(args: &[&str]) -> Result<String> {
    repo::succeed(&repo::cargo(), &["build", "--quiet", "--locked", "--package", "muster-cli"])?;
    let program: PathBuf = repo::target().join("debug/muster");
    repo::output(&program.to_string_lossy(), args)
}

fn first_difference(found: &str, wanted: &str) -> Option<String> {
    if found == wanted {
        return None;
    }
    let same = found.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count();
    let show = |text: &str| text.lines().nth(same).map_or("the end".to_owned(), |line| format!("`{line}`"));
    Some(format!("line {}: the file has {}, the program prints {}", same + 1, show(found), show(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        let difference = first_difference("a\nb\n", "a\nc\n").unwrap();
        assert!(difference.starts_with("line 2: the file has `b`"), "{difference}");
        assert!(first_difference("a\n", "a\nb\n").unwrap().contains("the end"));
    }
}
