//! `muster check votes`: who votes with whom.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_web3::{Verdict, votes};

use super::output::Answers;
use super::{Printed, input};
use crate::exit::Exit;

/// A hundred thousand votes have some 15 MB.
const FILE_MAX: usize = 512 << 20;

#[derive(Args)]
pub struct Votes {
    /// Tables (CSV) with `proposal,voter,choice,weight,time` and, where known, `funder,first_seen`; standard input where
    /// there is none, or for `-`. Each is one governor's.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Also voters of whom there is nothing to say. With `--json` all are printed.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    printed: Printed,
}

impl Votes {
    pub fn run(self) -> Result<Exit> {
        let mut answers = Answers::to_stdout(self.printed);
        for (name, bytes) in input::files(&self.files, FILE_MAX)? {
            match votes::read(&bytes) {
                Err(error) => answers.unreadable(&name, &error.to_string())?,
                Ok(read) => {
                    for (at, checked) in votes::check(&name, &read).iter().enumerate() {
                        // The first is the file's own.
                        if self.all || self.printed.json || at == 0 || checked.verdict > Verdict::Info {
                            answers.give(checked)?;
                        }
                    }
                }
            }
        }
        answers.end()
    }
}
