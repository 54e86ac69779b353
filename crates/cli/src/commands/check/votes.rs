//! `muster check votes`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::output::Answers;
use super::{Printed, input};
use crate::exit::Exit;

#[derive(Args)]
pub struct Votes {
    /// Files; standard input where there is none, or for `-`.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    printed: Printed,
}

impl Votes {
    pub fn run(self) -> Result<Exit> {
        let mut answers = Answers::to_stdout(self.printed);
        for (name, bytes) in input::files(&self.files, input::FILE_MAX)? {
            answers.unreadable(&name, &format!("{} bytes: not read yet", bytes.len()))?;
        }
        answers.end()
    }
}
