//! `muster check url`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use muster_phish::host::{Lists, check_url};

use super::output::Answers;
use super::{Printed, input};
use crate::exit::Exit;

#[derive(Args)]
pub struct Url {
    /// URLs or host names; one a line on standard input where there is none.
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    #[command(flatten)]
    known: Known,
    #[command(flatten)]
    printed: Printed,
}

/// Lists of hosts that whoever asks has. None is built in but the brands' own names.
#[derive(Args)]
pub struct Known {
    /// Honest hosts, one a line, or MetaMask's `config.json`.
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,
    /// Bad hosts, one a line, or MetaMask's `config.json`.
    #[arg(long, value_name = "FILE")]
    block: Option<PathBuf>,
}

impl Known {
    pub fn read(&self) -> Result<Lists> {
        let list = |file: &Option<PathBuf>, key| -> Result<_> {
            let Some(file) = file.as_deref() else { return Ok(Default::default()) };
            let bytes = input::file(Path::new(file), input::FILE_MAX)?;
            Ok(Lists::parse(&String::from_utf8_lossy(&bytes), key))
        };
        Ok(Lists { allow: list(&self.allow, "whitelist")?, block: list(&self.block, "blacklist")? })
    }
}

impl Url {
    pub fn run(self) -> Result<Exit> {
        let lists = self.known.read()?;
        let mut answers = Answers::to_stdout(self.printed);
        input::each_line(&self.urls, |line| match check_url(line, &lists) {
            Some(checked) => answers.give(&checked),
            None => answers.unreadable(line, "no host in it"),
        })?;
        answers.end()
    }
}
