//! `muster check message`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_phish::campaign::Campaigns;
use muster_phish::message;

use super::output::Answers;
use super::url::Known;
use super::{Printed, input};
use crate::exit::Exit;

#[derive(Args)]
pub struct Message {
    /// Mails as they came, chat messages as JSON (`from`, `text`), or bare text; standard input where there is none.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A stream: each line is a message as JSON; each answer says how many variants of it came before.
    #[arg(long)]
    stream: bool,
    #[command(flatten)]
    known: Known,
    #[command(flatten)]
    printed: Printed,
}

impl Message {
    pub fn run(self) -> Result<Exit> {
        let lists = self.known.read()?;
        let mut answers = Answers::to_stdout(self.printed);
        let mut campaigns = Campaigns::default();
        let several = self.files.len() > 1;
        let mut one = |name: &str, bytes: &[u8], answers: &mut Answers<_>| {
            let message = message::read(bytes);
            let joined = (self.stream || several).then(|| campaigns.join(name, &message));
            answers.give(&message::check(name, &message, &lists, joined.as_ref()))
        };
        if self.stream {
            let mut number = 0;
            for path in self.files.iter().cloned().chain(self.files.is_empty().then(|| "-".into())) {
                input::lines(&path, |line| {
                    number += 1;
                    one(&format!("#{number}"), line, &mut answers)?;
                    answers.flush()
                })?;
            }
        } else {
            for (name, bytes) in input::files(&self.files, input::FILE_MAX)? {
                one(&name, &bytes, &mut answers)?;
            }
        }
        answers.end()
    }
}
