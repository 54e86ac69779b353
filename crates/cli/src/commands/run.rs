//! `muster run -- COMMAND`: enrols itself with the daemon, then becomes the command.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::exit::{Exit, usage};
use crate::{Global, client, mandates};

#[derive(Args)]
pub struct Run {
    /// What the agent is to do, in words, for those who read the roll.
    #[arg(long, default_value = "", value_name = "TEXT")]
    label: String,
    /// Who answers for it. Default: the user who runs this; only root may name another.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// The signed mandate that it is to run under (`muster mandate`). Without one, it is enrolled and has no limits.
    #[arg(long, value_name = "FILE")]
    mandate: Option<PathBuf>,
    /// The agent's command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Run {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let mut command = self.command.into_iter();
        let program = command.next().context("a command is required")?;
        let arguments: Vec<OsString> = command.collect();
        // Behind sudo, the one who typed it; else the daemon knows the user by the socket.
        let principal = self.principal.or_else(|| {
            let user = std::env::var("SUDO_USER").ok().filter(|_| rustix::process::geteuid().is_root())?;
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            Some(format!("{user}@{}", host.trim()))
        });
        let shown: Vec<String> =
            std::iter::once(&program).chain(&arguments).map(|a| a.to_string_lossy().into_owned()).collect();
        let path =
            self.mandate.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let (mandate, refused) = match path.as_ref().map(|path| mandates::read_chain(path)) {
            None => (Vec::new(), None),
            Some(Ok(chain)) => (chain, None),
            // The daemon makes a finding of it, and refuses.
            Some(Err(why)) => (Vec::new(), Some(format!("{}: {why}", why.word()))),
        };
        let request = serde_json::json!({
            "principal": principal,
            "label": self.label,
            // As it is, for who may read this process's arguments anyhow: the daemon cuts secrets out, with its key.
            "command": shown,
            "mandate": mandate,
            "mandate_file": path.map(|path| path.display().to_string()),
            "mandate_refused": refused,
        });
        let answer = client::enrol(&global.data, &request)?;
        let agent = answer.get("agent").and_then(|a| a.as_str()).unwrap_or_default();
        // The same process goes on as the agent: it is in its cgroup and followed before its first instruction.
        let error = std::process::Command::new(&program).args(&arguments).env("MUSTER_AGENT", agent).exec();
        Err(usage(format!(
            "cannot start `{}`: {error}\nhint: give the command as you would type it: `muster run -- claude`",
            program.to_string_lossy()
        )))
    }
}
