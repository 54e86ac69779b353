//! `muster run -- COMMAND`: enrols itself with the daemon, then becomes the command.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::exit::{Exit, usage};
use crate::{Global, client, gated, mandates};

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
    /// Look at each act before it is done: block nothing, and say at the end what `--enforce` would have stopped.
    #[arg(long, requires = "mandate", conflicts_with = "enforce")]
    observe: bool,
    /// Stop what the mandate does not allow, and hold what it says is to be asked until a person answers.
    #[arg(long, requires = "mandate")]
    enforce: bool,
    /// Longest wait for a person's answer, in seconds: after that it is refused.
    #[arg(long, default_value_t = 120, value_name = "SECONDS", requires = "mandate")]
    ask_wait: u64,
    /// Write what was refused, or would have been, to this file: one JSON object a line.
    #[arg(long, value_name = "FILE", requires = "mandate")]
    report: Option<PathBuf>,
    /// Ask this server for names instead of those that the machine is configured with.
    #[arg(long, hide = true, value_name = "ADDRESS:PORT")]
    resolver: Option<std::net::SocketAddr>,
    /// The agent's command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Run {
    pub fn run(self, global: &Global) -> Result<Exit> {
        // Behind sudo, the one who typed it; else the daemon knows the user by the socket.
        let principal = self.principal.clone().or_else(|| {
            let user = std::env::var("SUDO_USER").ok().filter(|_| rustix::process::geteuid().is_root())?;
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            Some(format!("{user}@{}", host.trim()))
        });
        if let Some(mandate) = self.mandate.as_ref().filter(|_| self.enforce || self.observe) {
            let order = gated::Order {
                enforce: self.enforce,
                mandate: std::path::absolute(mandate)?,
                data: std::path::absolute(&global.data)?,
                label: self.label,
                principal,
                group: rustix::process::getpgrp().as_raw_nonzero().get(),
                ask_wait_ms: self.ask_wait.saturating_mul(1_000),
                resolver: self.resolver,
                report: self.report.as_deref().map(std::path::absolute).transpose()?,
            };
            let code = gated::launch(&order, &self.command)?;
            std::process::exit(code);
        }
        let mut command = self.command.into_iter();
        let program = command.next().context("a command is required")?;
        let arguments: Vec<OsString> = command.collect();
        let shown: Vec<String> =
            std::iter::once(&program).chain(&arguments).map(|a| a.to_string_lossy().into_owned()).collect();
        let mut request = mandates::enrolment(self.mandate.as_deref());
        request.insert("principal".to_owned(), principal.into());
        request.insert("label".to_owned(), self.label.into());
        // As it is, for who may read this process's arguments anyhow: the daemon cuts secrets out, with its key.
        request.insert("command".to_owned(), shown.into());
        let answer = client::enrol(&global.data, &request.into())?;
        let agent = answer.get("agent").and_then(|a| a.as_str()).unwrap_or_default();
        // The same process goes on as the agent: it is in its cgroup and followed before its first instruction.
        let error = std::process::Command::new(&program).args(&arguments).env("MUSTER_AGENT", agent).exec();
        Err(usage(format!(
            "cannot start `{}`: {error}\nhint: give the command as you would type it: `muster run -- claude`",
            program.to_string_lossy()
        )))
    }
}
