//! `muster check protocol`: what capturing its governance would cost.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_web3::protocol;

use super::output::Answers;
use super::{Printed, input};
use crate::exit::Exit;

#[derive(Args)]
pub struct Protocol {
    /// Files (JSON) with what is known of a protocol: `name, quorum, token_price, treasury, tvl, usual_votes,
    /// flash_loanable, liquid, snapshot, timelock_hours, voting_delay_hours, guardian, emergency_execution`, or an array
    /// of them; standard input where there is none, or for `-`.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    printed: Printed,
}

impl Protocol {
    pub fn run(self) -> Result<Exit> {
        let mut answers = Answers::to_stdout(self.printed);
        for (name, bytes) in input::files(&self.files, input::FILE_MAX)? {
            match protocol::check(&name, &bytes) {
                Err(error) => answers.unreadable(&name, &error.to_string())?,
                Ok(all) => all.iter().try_for_each(|checked| answers.give(checked))?,
            }
        }
        answers.end()
    }
}
