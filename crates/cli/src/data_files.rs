//! The data on products and providers, and the rules: built in, and files of the user's over them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use muster_engine::{Products, Rules};
use muster_rules::Status;
use sha2::{Digest, Sha256};

use crate::exit::usage;

/// Files of rules that are read, and bytes of one: SigmaHQ has some 300 for Linux, of a few KiB.
const FILES_MAX: usize = 4_096;
const FILE_BYTES_MAX: u64 = 1 << 20;

pub fn products(folder: Option<&Path>) -> Result<Products> {
    let mut files = Vec::new();
    if let Some(folder) = folder {
        let entries = fs::read_dir(folder).map_err(|error| {
            usage(format!("cannot read the data files in `{}`: {error}", folder.display()))
        })?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let text = fs::read_to_string(&path)
                .map_err(|error| usage(format!("cannot read `{}`: {error}", path.display())))?;
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            files.push((name, text));
        }
        files.sort();
    }
    Products::with(&files).map_err(|error| {
        usage(format!("{error}\nhint: `muster products` prints the built-in files, to compare with"))
    })
}

/// The rules: built in, and what was dropped into the data folder's `rules`.
pub fn rules(data: &Path) -> Result<Arc<Rules>> {
    let files = rule_files(data)?;
    Ok(if files.is_empty() { Rules::built_in() } else { Arc::new(Rules::with(&files)) })
}

/// The user's files, by name: Sigma rules at any depth, and the exceptions.
fn rule_files(data: &Path) -> Result<Vec<(String, String)>> {
    let folder = data.join("rules");
    let mut paths = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry?.path();
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if matches!(extension, "yml" | "yaml") || path == folder.join("exceptions.toml") {
                paths.push(path);
            }
        }
        if paths.len() > FILES_MAX {
            return Err(usage(format!("`{}` holds more than {FILES_MAX} files of rules", folder.display())));
        }
    }
    paths.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
        Ok((name, read_rules(&path)?))
    };
    paths.into_iter().map(named).collect()
}

pub fn read_rules(path: &Path) -> Result<String> {
    let wrong = |error: &dyn std::fmt::Display| usage(format!("cannot read `{}`: {error}", path.display()));
    let len = fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if len > FILE_BYTES_MAX {
        return Err(wrong(&format!("it has more than {} KiB", FILE_BYTES_MAX / 1024)));
    }
    fs::read_to_string(path).map_err(|error| wrong(&error))
}

/// What keeps rules of the user's from being evaluated, a line each.
pub fn troubles(rules: &Rules) -> Vec<String> {
    let own = rules.listed().iter().filter(|listed| !listed.built_in);
    let mut skipped = 0;
    let mut lines: Vec<String> = Vec::new();
    for listed in own {
        match &listed.status {
            Status::Broken(why) => {
                lines.push(format!("rules/{}:{}: {}: {why}", listed.file, listed.line, listed.title));
            }
            Status::NotEvaluated(_) => skipped += 1,
            Status::Evaluated | Status::Filter => {}
        }
    }
    if skipped > 0 {
        lines.push(format!("{skipped} rules are not evaluated (`muster rules` says why)"));
    }
    lines
}

/// For the log: which rules there are besides those that are built in.
pub fn described(data: &Path) -> String {
    let files = rule_files(data).unwrap_or_default();
    if files.is_empty() {
        return "built in".to_owned();
    }
    let mut hash = Sha256::new();
    for (name, text) in &files {
        for part in [name, text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("built in, and {} files (sha256 {digest})", files.len())
}
