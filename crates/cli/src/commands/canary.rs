//! `muster canary`: plants decoys, lists them, takes them away.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::exit::{Exit, usage};
use crate::{Global, canaries};

#[derive(Args)]
pub struct CanaryCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put decoys where agents look for credentials: in a home (SSH, AWS, Kubernetes, gcloud, wallet, environment), in a
    /// project's folder (environment). What is there already stays as it is.
    Plant {
        /// A project's folder; may be given again.
        #[arg(long, value_name = "DIR")]
        dir: Vec<PathBuf>,
        /// A home; may be given again. Default, without --dir: that of the user who runs this.
        #[arg(long, value_name = "DIR")]
        home: Vec<PathBuf>,
    },
    /// List the decoys.
    List {
        /// As JSON, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Take them away. What somebody changed since stays, and is named.
    Remove {
        /// Only those below this folder.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

impl CanaryCommand {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        let data = &global.data;
        if !data.is_dir() {
            return Err(usage(format!(
                "no folder `{}`\nhint: start the daemon first, or name its folder with --data",
                data.display()
            )));
        }
        let show = |path: &std::path::Path| muster_event::sanitize(&path.to_string_lossy());
        match self.command {
            Command::Plant { dir, mut home } => {
                if dir.is_empty() && home.is_empty() {
                    home.push(
                        std::env::var_os("HOME")
                            .map(PathBuf::from)
                            .context("no HOME: name one with --home")?,
                    );
                }
                let places = home.iter().map(|home| (home, true)).chain(dir.iter().map(|dir| (dir, false)));
                for (place, is_home) in places {
                    for planted in canaries::plant(data, place, is_home, muster_sensor::now_ns())? {
                        writeln!(out, "planted {} ({})", show(&planted.path), planted.kind)?;
                    }
                }
            }
            Command::List { json } => {
                for planted in canaries::read(data)? {
                    if json {
                        writeln!(out, "{}", serde_json::to_string(&planted)?)?;
                    } else {
                        let there = if planted.path.exists() { "" } else { "  GONE" };
                        writeln!(out, "{}  {}{there}", show(&planted.path), planted.kind)?;
                    }
                }
            }
            Command::Remove { dir } => {
                let dir = dir.map(std::fs::canonicalize).transpose()?;
                let (removed, changed) = canaries::remove(data, |planted| {
                    dir.as_ref().is_none_or(|dir| planted.path.starts_with(dir))
                })?;
                for planted in removed {
                    writeln!(out, "removed {}", show(&planted.path))?;
                }
                for planted in changed {
                    writeln!(out, "left {}: it was changed since", show(&planted.path))?;
                }
            }
        }
        Ok(Exit::Nothing)
    }
}
