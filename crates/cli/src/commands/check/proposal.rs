//! `muster check proposal`: does it do what it says, and what does it do besides?

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_web3::proposal::Proposal as Read;
use muster_web3::{Checked, judge, proposal};

use super::output::Answers;
use super::{Printed, input};
use crate::exit::Exit;

#[derive(Args)]
pub struct Proposal {
    /// Files with a proposal, an array of them, or one a line; standard input where there is none, or for `-`. Forms:
    /// Governor, Governor Bravo, Aave payloads, Snapshot, Realms, OpenGov (JSON); reports of Aave's seatbelt (Markdown).
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    printed: Printed,
}

impl Proposal {
    pub fn run(self) -> Result<Exit> {
        let mut answers = Answers::to_stdout(self.printed);
        let mut all: Vec<(String, Read)> = Vec::new();
        for (name, bytes) in input::files(&self.files, input::FILE_MAX)? {
            match proposal::read(&bytes) {
                Ok(read) => {
                    let several = read.len() > 1;
                    all.extend(read.into_iter().enumerate().map(|(at, read)| {
                        let name = match (&read.id, several) {
                            (Some(id), true) => format!("{name}#{id}"),
                            (None, true) => format!("{name}#{}", at + 1),
                            (_, false) => name.clone(),
                        };
                        (name, read)
                    }));
                }
                Err(error) => answers.unreadable(&name, &error.to_string())?,
            }
        }
        let (names, proposals): (Vec<String>, Vec<Read>) = all.into_iter().unzip();
        // What is given together is each other's history, in the order in which it is given.
        let across = judge::across(&proposals);
        for ((name, proposal), others) in names.iter().zip(&proposals).zip(across) {
            let mut reasons = judge::reasons(&judge::Case::new(proposal, &[]));
            reasons.extend(others);
            answers.give(&Checked::of(name, reasons))?;
        }
        answers.end()
    }
}
