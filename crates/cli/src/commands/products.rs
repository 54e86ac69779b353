//! `muster products`: the built-in data, to read or to start one's own from.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use muster_engine::Products;

use crate::exit::{Exit, usage};

#[derive(Args)]
pub struct ProductsCommand {
    /// Only this file, e.g. `providers.toml`.
    name: Option<String>,
}

impl ProductsCommand {
    pub fn run(self) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        let files = Products::built_in_files();
        match self.name {
            None => {
                for (name, text) in files {
                    writeln!(out, "# --- {name}\n{text}")?;
                }
            }
            Some(wanted) => {
                let Some((_, text)) = files.iter().find(|(name, _)| *name == wanted) else {
                    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
                    return Err(usage(format!("no data file `{wanted}`\nhint: one of {}", names.join(", "))));
                };
                write!(out, "{text}")?;
            }
        }
        Ok(Exit::Nothing)
    }
}
