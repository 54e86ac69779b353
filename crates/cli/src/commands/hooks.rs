//! `muster hooks`: writes the hook by which a product asks the gate before each tool call, and takes it out again.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::Global;
use crate::exit::{Exit, usage};
use crate::hooks::install::{Done, install, uninstall};
use crate::hooks::{Product, State, command, read, state};

#[derive(Args)]
pub struct HooksCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the hook into the product's settings. What is there stays; a copy of it is kept beside it.
    Install(Where),
    /// Take it out again: the file is as it was, but for what others changed since.
    Uninstall(Where),
    /// Say whether it stands, and stands as it was written.
    Status(Where),
}

#[derive(Args)]
struct Where {
    /// The product; without it, all of them.
    #[arg(long)]
    agent: Option<Product>,
    /// For all projects of the user who runs this (the default).
    #[arg(long, conflicts_with = "project")]
    user: bool,
    /// For the project in this folder.
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
}

impl Where {
    fn products(&self) -> Vec<Product> {
        self.agent.map_or(Product::ALL.to_vec(), |product| vec![product])
    }

    fn file(&self, product: Product) -> Result<PathBuf> {
        match &self.project {
            Some(dir) => {
                let dir = std::fs::canonicalize(dir)
                    .map_err(|e| usage(format!("no folder `{}`: {e}", dir.display())))?;
                Ok(product.project_file(&dir))
            }
            None => {
                let home = std::env::var_os("HOME").context("no HOME: name a folder with --project")?;
                Ok(product.user_file(Path::new(&home)))
            }
        }
    }
}

impl HooksCommand {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let mut out = std::io::stdout().lock();
        let mut whole = true;
        let (Command::Install(place) | Command::Uninstall(place) | Command::Status(place)) = &self.command;
        for product in place.products() {
            let file = place.file(product)?;
            let shown = muster_event::sanitize(&file.to_string_lossy());
            let name = product.word();
            match &self.command {
                Command::Install(place) => {
                    if place.agent.is_none() {
                        return Err(usage("name the product with --agent".to_owned()));
                    }
                    let program = std::env::current_exe().context("this program's own place is not known")?;
                    let data = std::path::absolute(&global.data)?;
                    match install(product, &file, &command(product, &program, &data))? {
                        Done::AlreadyThere => writeln!(out, "{name}: it stands already in {shown}")?,
                        Done::Written | Done::Removed | Done::NotThere => {
                            writeln!(out, "{name}: written to {shown}")?;
                            if product == Product::Codex {
                                writeln!(
                                    out,
                                    "Codex asks once whether it may run it: answer yes, or it is skipped"
                                )?;
                            }
                        }
                    }
                    if !crate::gate::socket(&data).exists() {
                        writeln!(
                            out,
                            "no daemon answers for {}: until one does, every tool call is denied",
                            data.display()
                        )?;
                    }
                }
                Command::Uninstall(_) => match uninstall(product, &file)? {
                    Done::Removed => writeln!(out, "{name}: taken out of {shown}")?,
                    Done::Written | Done::AlreadyThere | Done::NotThere => {
                        writeln!(out, "{name}: not there")?
                    }
                },
                Command::Status(_) => {
                    let standing = match read(&file) {
                        None => State::Absent,
                        Some(text) => state(product, &text),
                    };
                    whole &= standing == State::Intact;
                    let words = match standing {
                        State::Intact => "stands".to_owned(),
                        State::Absent => "not there".to_owned(),
                        State::Changed(why) => format!("CHANGED: {why}"),
                    };
                    writeln!(out, "{name}: {words} ({shown})")?;
                }
            }
        }
        Ok(if whole { Exit::Nothing } else { Exit::Findings })
    }
}
