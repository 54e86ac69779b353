//! The work tree: where it is, which text files it has, how to run a command in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The text files of the work tree by path, relative to its root.
pub struct Tree {
    pub files: BTreeMap<String, String>,
    /// Every path, of binary files too, and every folder that holds one.
    pub paths: std::collections::BTreeSet<String>,
}

impl Tree {
    /// What git tracks, and what it would track: a rule must hold before the commit, not after it.
    pub fn read() -> Result<Tree> {
        let listed = output("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .context("the list of files comes from git: run this in a clone")?;
        let mut tree = Tree { files: BTreeMap::new(), paths: Default::default() };
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let absolute = root().join(path);
            if !absolute.is_file() {
                continue; // deleted, the deletion not yet committed
            }
            let bytes = std::fs::read(&absolute).with_context(|| format!("cannot read `{path}`"))?;
            tree.add(path, bytes);
        }
        Ok(tree)
    }

    pub fn add(&mut self, path: &str, bytes: Vec<u8>) {
        let mut folder = path;
        self.paths.insert(path.to_owned());
        while let Some((parent, _)) = folder.rsplit_once('/') {
            self.paths.insert(parent.to_owned());
            folder = parent;
        }
        if let Ok(text) = String::from_utf8(bytes) {
            self.files.insert(path.to_owned(), text);
        }
    }

    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| Path::new(path).extension().is_some_and(|it| it == extension))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// The root of the repository, whatever the current folder is.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A command in the root of the repository.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// What a command printed on stdout; its failure is an error with what it printed on stderr.
pub fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = command(program, args).output().with_context(|| format!("cannot run `{program}`"))?;
    if !output.status.success() {
        bail!(
            "`{program} {}` failed ({}): {}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{program}` did not print UTF-8"))
}

/// Runs a command that talks to the terminal itself.
pub fn succeed(program: &str, args: &[&str]) -> Result<()> {
    let status = command(program, args).status().with_context(|| format!("cannot run `{program}`"))?;
    if !status.success() {
        bail!("`{program} {}` failed ({status})", args.join(" "));
    }
    Ok(())
}
