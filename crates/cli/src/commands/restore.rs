//! `muster restore`: puts back what mustering out put away.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use muster_server::ContainRequest;

use crate::containment::{target, thread};
use crate::exit::Exit;
use crate::{Global, client, commands};

#[derive(Args)]
pub struct Restore {
    /// Name of the mustering out, as `muster out --list` gives it.
    id: String,
    /// Only this file.
    path: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let data = &global.data;
        let folder = target::folder(data, &self.id)?;
        let path = self.path.map(|path| path.to_string_lossy().into_owned());
        let answer = if client::answers(data) {
            client::contain(data, &ContainRequest::Restore { id: self.id, path })?
        } else {
            commands::out::refuse_agents(data)?;
            thread::restored(&self.id, &thread::restore_files(&folder, path.as_deref())?)
        };
        if self.json {
            println!("{answer}");
            return Ok(Exit::Nothing);
        }
        let mut exit = Exit::Nothing;
        for file in answer.get("files").and_then(|it| it.as_array()).into_iter().flatten() {
            let path =
                muster_event::sanitize(file.get("path").and_then(|it| it.as_str()).unwrap_or_default());
            match file.get("error").and_then(|it| it.as_str()) {
                None => println!("put back  {path}"),
                Some(error) => {
                    println!("not put back  {path}: {}", muster_event::sanitize(error));
                    exit = Exit::Findings;
                }
            }
        }
        Ok(exit)
    }
}
