//! The scenario library of `crates/rehearsal`, played against this tree's Muster.

use anyhow::Result;

use crate::repo;

pub fn run(arguments: &[&str]) -> Result<()> {
    repo::succeed(&repo::cargo(), &["build", "--locked", "--quiet", "--package", "muster-cli"])?;
    let play = ["run", "--locked", "--quiet", "--package", "muster-rehearsal", "--example", "library", "--"];
    repo::succeed(&repo::cargo(), &[&play, arguments].concat())
}
