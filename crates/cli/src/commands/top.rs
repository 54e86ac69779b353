//! `muster top`: the roll and the inbox of findings in the terminal, live, with keys to act.

use anyhow::Result;
use clap::Args;

use crate::exit::Exit;
use crate::{Global, top};

#[derive(Args)]
pub struct Top {}

impl Top {
    pub fn run(self, global: &Global) -> Result<Exit> {
        top::run(&global.data)?;
        Ok(Exit::Nothing)
    }
}
