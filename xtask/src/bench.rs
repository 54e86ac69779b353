//! Every benchmark target of the workspace, one after the other: two at a time would measure each other.

use anyhow::{Result, bail};

use crate::{metadata, repo};

pub fn run() -> Result<()> {
    let packages = metadata::packages()?;
    let benches: Vec<_> = metadata::ours(&packages)
        .flat_map(|package| package.targets.iter().map(move |target| (package, target)))
        .filter(|(_, target)| target.kind == "bench")
        .collect();
    if benches.is_empty() {
        bail!("the workspace has no benchmark");
    }
    for (package, target) in benches {
        println!("\n── {} {}", package.name, target.name);
        repo::succeed(
            &repo::cargo(),
            &["bench", "--locked", "--package", &package.name, "--bench", &target.name],
        )?;
    }
    Ok(())
}
