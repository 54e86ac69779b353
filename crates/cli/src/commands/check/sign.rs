//! `muster check sign`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_phish::sign::{Context, check_text};

use super::output::Answers;
use super::url::Known;
use super::{Printed, input};
use crate::exit::Exit;

#[derive(Args)]
pub struct Sign {
    /// JSON-RPC requests, EIP-712 data, transactions as JSON or raw (`0x…`); standard input where there is none. An object
    /// may carry `origin` and `simulation` beside its `request`.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The page that asks, where the request does not say it.
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    #[command(flatten)]
    known: Known,
    #[command(flatten)]
    printed: Printed,
}

impl Sign {
    pub fn run(self) -> Result<Exit> {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let context = Context { now, lists: self.known.read()?, origin: self.origin };
        let mut answers = Answers::to_stdout(self.printed);
        for (name, bytes) in input::files(&self.files, input::FILE_MAX)? {
            match check_text(&name, &String::from_utf8_lossy(&bytes), &context) {
                Ok(all) => all.iter().try_for_each(|checked| answers.give(checked))?,
                Err(error) => answers.unreadable(&name, &error)?,
            }
        }
        answers.end()
    }
}
