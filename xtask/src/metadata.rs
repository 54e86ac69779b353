//! What `cargo metadata` says of our crates and their dependencies, as plain data.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::repo;

#[derive(Clone, Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    /// Where it comes from; `None` for our own.
    pub source: Option<String>,
    /// Its folder, relative to the repository; empty for what is not ours.
    pub folder: String,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
}

#[derive(Clone, Debug)]
pub struct Dependency {
    /// The name our code calls it by.
    pub name: String,
    pub package: String,
    pub kind: DependencyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyKind {
    Normal,
    Build,
    Dev,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub kind: String,
}

/// Every package of the build, ours and others'.
pub fn packages() -> Result<Vec<Package>> {
    parse(&repo::output(&repo::cargo(), &["metadata", "--format-version", "1", "--locked"])?)
}

pub fn ours(packages: &[Package]) -> impl Iterator<Item = &Package> {
    packages.iter().filter(|package| package.source.is_none())
}

fn parse(json: &str) -> Result<Vec<Package>> {
    let json: Value = serde_json::from_str(json).context("`cargo metadata` printed no JSON")?;
    list(&json, "packages").iter().map(package).collect()
}

fn package(json: &Value) -> Result<Package> {
    let source = text(json, "source");
    let manifest = text(json, "manifest_path").context("a package without a manifest")?;
    let root = repo::root();
    let folder = match &source {
        Some(_) => String::new(),
        None => std::path::Path::new(&manifest)
            .parent()
            .and_then(|folder| folder.strip_prefix(&root).ok())
            .map(|folder| folder.to_string_lossy().into_owned())
            .with_context(|| format!("`{manifest}` is outside the repository"))?,
    };
    Ok(Package {
        name: text(json, "name").context("a package without a name")?,
        version: text(json, "version").unwrap_or_default(),
        license: text(json, "license"),
        source,
        folder,
        dependencies: list(json, "dependencies").iter().map(dependency).collect::<Result<_>>()?,
        targets: list(json, "targets").iter().map(target).collect::<Result<_>>()?,
    })
}

fn dependency(json: &Value) -> Result<Dependency> {
    let package = text(json, "name").context("a dependency without a name")?;
    Ok(Dependency {
        name: text(json, "rename").unwrap_or_else(|| package.clone()),
        package,
        kind: match text(json, "kind").as_deref() {
            Some("dev") => DependencyKind::Dev,
            Some("build") => DependencyKind::Build,
            _ => DependencyKind::Normal,
        },
    })
}

fn target(json: &Value) -> Result<Target> {
    Ok(Target {
        name: text(json, "name").context("a target without a name")?,
        kind: list(json, "kind").first().and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

fn text(json: &Value, key: &str) -> Option<String> {
    json.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn list<'a>(json: &'a Value, key: &str) -> &'a [Value] {
    json.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
