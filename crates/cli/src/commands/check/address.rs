//! `muster check address`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_phish::address::{History, parse};

use super::output::Answers;
use super::{Printed, input};
use crate::exit::{Exit, usage};

#[derive(Args)]
pub struct Address {
    /// Addresses that are about to be paid; one a line on standard input where there is none and no `--all`.
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// The account's transfers, all of them: CSV with a heading (`from,to,amount,token,contract`), JSON, or JSON lines.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// The account itself; otherwise who is in nearly all of the transfers.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,
    /// Every address of the history that somebody put there to be mistaken.
    #[arg(long, requires = "history")]
    all: bool,
    #[command(flatten)]
    printed: Printed,
}

impl Address {
    pub fn run(self) -> Result<Exit> {
        let own = match &self.account {
            Some(text) => {
                Some(parse(text).ok_or_else(|| usage(format!("`{text}` is no address of 40 digits")))?)
            }
            None => None,
        };
        let history = match &self.history {
            Some(path) => {
                let bytes = input::file(path, input::FILE_MAX)?;
                History::read(&String::from_utf8_lossy(&bytes), own)
                    .map_err(|error| usage(format!("`{}`: {error}", path.display())))?
            }
            None => History::default(),
        };
        let mut answers = Answers::to_stdout(self.printed);
        if self.all {
            history.poisoned().iter().try_for_each(|checked| answers.give(checked))?;
        }
        if !self.all || !self.addresses.is_empty() {
            input::each_line(&self.addresses, |text| match history.check(text) {
                Some(checked) => answers.give(&checked),
                None => answers.unreadable(text, "no address of 40 hexadecimal digits"),
            })?;
        }
        answers.end()
    }
}
