//! `muster reference`: what Muster says of itself, kept in `docs/` and `openapi.json` and compared by the gate
//! (`cargo xtask gen`).

use std::fmt::Write;

use anyhow::Result;
use clap::{Args, CommandFactory, ValueEnum};

use crate::exit::Exit;

#[derive(Args)]
pub struct Reference {
    #[arg(value_enum, default_value_t = Part::Cli)]
    part: Part,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// The help of all commands: `docs/cli.md`.
    Cli,
    /// The fields of `--json`: `docs/json.md`.
    Json,
    /// The API: `crates/server/openapi.json`.
    Openapi,
}

impl Reference {
    pub fn run<C: CommandFactory>(self) -> Result<Exit> {
        let text = match self.part {
            Part::Cli => text(C::command())?,
            Part::Json => muster_server::reference::json_markdown(),
            Part::Openapi => muster_server::reference::openapi(),
        };
        print!("{text}");
        Ok(Exit::Nothing)
    }
}

fn text(mut command: clap::Command) -> Result<String> {
    let mut out =
        String::from("# `muster`: the command line\n\nMade by `muster reference`; a test keeps it true.\n");
    command.build();
    section(&mut out, &mut command, "muster")?;
    out.push_str(
        "\n## Exit codes\n\n| code | meaning |\n|---|---|\n| 0 | nothing found, or done |\n| 1 | findings: an answer, not a \
         failure |\n| 2 | the command line, the configuration or the environment does not allow it |\n| 3 | evidence was \
         tampered with |\n| 4 | an error of Muster's own |\n",
    );
    Ok(out)
}

fn section(out: &mut String, command: &mut clap::Command, name: &str) -> Result<()> {
    let help = command.clone().term_width(100).render_long_help();
    writeln!(out, "\n## `{name}`\n\n```text\n{}\n```", help.to_string().trim_end())?;
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
        .map(|c| c.get_name().to_owned())
        .collect();
    for sub in names {
        if let Some(sub_command) = command.find_subcommand_mut(&sub) {
            section(out, sub_command, &format!("{name} {sub}"))?;
        }
    }
    Ok(())
}
