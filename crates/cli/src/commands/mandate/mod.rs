//! `muster mandate`: what an agent may do, on whose word and until when (docs/mandates.md).

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use muster_event::sanitize;
use muster_mandate::{
    Action, Binding, MANDATE_MAX, Mandate, POLICY_MAX, Protocol, Refused, Register, SIGNERS_MAX, Signers,
    Verdict,
    draft::{self, Draft},
    duration_ns, id_of, moment_text, operations,
};
use serde_json::json;

use crate::exit::{Exit, usage};
use crate::mandates::{self, Mandates, file};
use crate::{Global, secret_file};

mod sign;
mod suggest;

#[derive(Args)]
pub struct MandateCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a mandate, from three answers or from options.
    New(New),
    /// Sign a mandate with an SSH key, as `ssh-keygen -Y sign -n muster-mandate` does.
    Sign(sign::Sign),
    /// Say whether a mandate holds on this machine now, and what a person should know before signing it.
    Check(Check),
    /// May an agent under this mandate do something, and which line says so?
    Explain(Explain),
    /// Write and sign the same mandate with a later end.
    Renew(sign::Renew),
    /// Take a mandate back, with all its parts and renewals. The daemon finds who still runs under it.
    Revoke(Revoke),
    /// List the mandates that the daemon holds.
    List(List),
    /// Write the smallest sensible mandate that covers what an agent did, for a person to look at.
    Suggest(suggest::Suggest),
    /// Say in words how two mandates differ.
    Diff(Diff),
}

impl MandateCommand {
    pub fn run(self, global: &Global) -> Result<Exit> {
        match self.command {
            Command::New(command) => command.run(),
            Command::Sign(command) => command.run(global),
            Command::Check(command) => command.run(global),
            Command::Explain(command) => command.run(),
            Command::Renew(command) => command.run(global),
            Command::Revoke(command) => command.run(global),
            Command::List(command) => command.run(global),
            Command::Suggest(command) => command.run(global),
            Command::Diff(command) => command.run(),
        }
    }
}

#[derive(Args)]
struct New {
    /// Where to write it; `-` is the standard output.
    #[arg(default_value = "mandate.toml", value_name = "FILE")]
    file: PathBuf,
    /// Who answers for it, as in the allowed signers. Default: the user at this machine.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Product that is to run under it, e.g. `claude-code`.
    #[arg(long, value_name = "PRODUCT")]
    agent: Option<String>,
    /// What it is to do, in words.
    #[arg(long, value_name = "TEXT")]
    task: Option<String>,
    /// Folder that it may write in.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Machine on which it holds. Default: this one.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// How long it holds.
    #[arg(long = "for", default_value = "8h", value_name = "TIME")]
    duration: String,
    /// Make it a part of the mandate in this file.
    #[arg(long, value_name = "FILE")]
    parent: Option<PathBuf>,
}

impl New {
    fn run(self) -> Result<Exit> {
        let agent = answer(
            self.agent,
            "Which agent is it for (claude-code, codex, gemini-cli, opencode)?",
            "claude-code",
        )?;
        let task = answer(self.task, "What is it to do?", "")?;
        let here = std::env::current_dir().unwrap_or_default();
        let folder = match self.folder {
            Some(folder) => folder,
            None => PathBuf::from(answer(None, "In which folder may it write?", &here.to_string_lossy())?),
        };
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        // As the kernel has it: links are no part of it.
        let folder = std::fs::canonicalize(&folder).unwrap_or(folder);
        let mut draft = Draft {
            principal: self.principal.unwrap_or_else(own_principal),
            agent,
            task,
            host: self.host.unwrap_or_else(hostname),
            serial: serial()?,
            expires_ns: until(&self.duration)?,
            ..Draft::default()
        };
        draft.for_folder(&folder.to_string_lossy());
        if let Some(parent) = &self.parent {
            draft.parent = Some(id_of(read(parent)?.as_bytes()));
        }
        let text = draft.text();
        Mandate::parse(&text).map_err(|error| usage(format!("cannot make a mandate of that: {error}")))?;
        write_new(&self.file, &text)?;
        if self.file != Path::new("-") {
            eprintln!(
                "wrote `{}`: look at it, then `muster mandate sign {}`",
                self.file.display(),
                self.file.display()
            );
        }
        Ok(Exit::Nothing)
    }
}

/// A question on the terminal; without one, what must be given by an option.
fn answer(given: Option<String>, question: &str, default: &str) -> Result<String> {
    if let Some(given) = given {
        return Ok(given);
    }
    if !std::io::stdin().is_terminal() {
        if default.is_empty() {
            return Err(usage(format!("no answer to `{question}`\nhint: give it as an option")));
        }
        return Ok(default.to_owned());
    }
    loop {
        let hint = if default.is_empty() { String::new() } else { format!(" [{}]", sanitize(default)) };
        eprint!("{question}{hint} ");
        std::io::stderr().flush()?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(usage("no answer"));
        }
        let line = line.trim();
        if !line.is_empty() {
            return Ok(line.to_owned());
        }
        if !default.is_empty() {
            return Ok(default.to_owned());
        }
    }
}

#[derive(Args)]
struct Check {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Keys that may sign. Default: the daemon's (`allowed_signers` in its folder).
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,
    /// As if on this machine.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    #[arg(long)]
    json: bool,
}

impl Check {
    fn run(self, global: &Global) -> Result<Exit> {
        let path = self.signers.clone().unwrap_or_else(|| global.data.join("allowed_signers"));
        let (signers, no_signers) = match file::read(&path, SIGNERS_MAX) {
            Ok(text) => (Signers::parse(&text), None),
            Err(why) => (Signers::default(), Some(why)),
        };
        let body = file::read(&self.file, MANDATE_MAX);
        let parsed = body.as_ref().ok().and_then(|body| Mandate::parse(body).ok());
        let id = body.as_ref().ok().map(|body| id_of(body.as_bytes()));
        let (result, signer) = self.checked(&signers);
        let mut warnings = parsed.as_ref().map(Mandate::warnings).unwrap_or_default();
        warnings.extend(no_signers);
        warnings.extend(signers.unused.iter().map(|unused| format!("allowed signers: {unused}")));
        if let Some(mandate) = &parsed {
            for (name, set) in [
                ("cpu", mandate.limits.cpu_ns.is_some()),
                ("tokens", mandate.limits.tokens.is_some()),
                ("money", mandate.limits.micro_usd.is_some()),
            ] {
                if set {
                    warnings.push(format!("`limits.{name}` is not measured yet: nothing is found by it"));
                }
            }
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            let value = json!({
                "id": id, "holds": result.is_ok(), "signer": signer,
                "refused": result.as_ref().err().map(|refused| refused.word()),
                "reason": result.as_ref().err().map(ToString::to_string),
                "principal": parsed.as_ref().map(|it| &it.principal),
                "task": parsed.as_ref().map(|it| &it.task),
                "expires": parsed.as_ref().map(|it| moment_text(it.expires_ns)),
                "warnings": warnings,
            });
            writeln!(out, "{value}")?;
        } else {
            if let (Some(mandate), Some(id)) = (&parsed, &id) {
                writeln!(out, "mandate {id}")?;
                writeln!(out, "  by    {}", sanitize(&mandate.principal))?;
                writeln!(out, "  task  {}", sanitize(&mandate.task))?;
                writeln!(out, "  until {}", moment_text(mandate.expires_ns))?;
            }
            match (&result, &signer) {
                (Ok(()), Some(signer)) => writeln!(out, "holds: signed by {signer}")?,
                (Ok(()), None) => writeln!(out, "holds")?,
                (Err(refused), _) => {
                    let shown = sanitize(&refused.to_string()).replace("\\nhint:", "\nhint:");
                    writeln!(out, "refused ({}): {shown}", refused.word())?;
                }
            }
            for warning in &warnings {
                writeln!(out, "note: {}", sanitize(warning))?;
            }
        }
        Ok(if result.is_ok() { Exit::Nothing } else { Exit::Findings })
    }

    fn checked(&self, signers: &Signers) -> (Result<(), Refused>, Option<String>) {
        let host = self.host.clone().unwrap_or_else(hostname);
        let now_ns = muster_sensor::now_ns();
        let mut register = Register::default();
        let mut add = || -> Result<String, Refused> {
            let chain = mandates::read_chain(&self.file)?;
            let mut id = String::new();
            for signed in chain.iter().rev() {
                id = register.add(signed, signers, &host, now_ns)?;
            }
            Ok(id)
        };
        match add() {
            Ok(id) => (Ok(()), register.get(&id).and_then(|known| known.signer.clone())),
            Err(refused) => (Err(refused), None),
        }
    }
}

#[derive(Args)]
struct Explain {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// `read PATH`, `write PATH`, `execute COMMAND…`, `connect HOST:PORT`, `credential KIND[:PATH]`, `tool NAME`, `agent
    /// PRODUCT` or `privileged OPERATION`.
    #[arg(value_name = "ACT", required = true, num_args = 2.., trailing_var_arg = true)]
    act: Vec<String>,
    /// Product that runs under it. Default: the first that it names.
    #[arg(long, value_name = "PRODUCT")]
    product: Option<String>,
    /// Home folder of the user that it runs as. Default: that of who asks.
    #[arg(long, value_name = "DIR")]
    home: Option<String>,
    #[arg(long)]
    json: bool,
}

impl Explain {
    fn run(self) -> Result<Exit> {
        let action = action_of(&self.act)?;
        let chain = mandates::read_chain(&self.file).map_err(refused)?;
        let own = chain.first().context("a mandate is required")?;
        let mandate = Mandate::parse(&own.body)
            .map_err(|error| usage(format!("`{}`: {error}", self.file.display())))?;
        let named = mandate.agents.iter().find_map(|word| word.literal()).unwrap_or("claude-code");
        let binding = Binding {
            product: self.product.unwrap_or_else(|| named.to_owned()),
            home: self.home.or_else(|| std::env::var("HOME").ok()),
            ..Binding::default()
        };
        // Its lines are asked, not its signature or time.
        let chain = mandates::chain_of(&chain, &binding).map_err(refused)?;
        let now_ns = muster_sensor::now_ns();
        let invalid = chain.invalid(now_ns);
        let at = if invalid.is_some() { chain.expires_ns().saturating_sub(1) } else { now_ns };
        let decision = chain.decide(&action, at);
        let mut out = std::io::stdout().lock();
        if self.json {
            let value = json!({
                "verdict": decision.verdict, "rule": decision.rule, "reason": decision.reason,
                "mandate": decision.mandate, "in_force": invalid.is_none(),
            });
            writeln!(out, "{value}")?;
        } else {
            let word = match decision.verdict {
                Verdict::Allow => "yes",
                Verdict::Ask => "a person is asked",
                Verdict::Deny => "no",
            };
            writeln!(out, "{word}: `{}` ({})", sanitize(&decision.rule), sanitize(&decision.reason))?;
            if let Some(invalid) = &invalid {
                writeln!(out, "note: it is not in force: {}", invalid.reason)?;
            }
        }
        Ok(if decision.verdict == Verdict::Allow { Exit::Nothing } else { Exit::Findings })
    }
}

fn action_of(words: &[String]) -> Result<Action> {
    let (kind, rest) = words.split_first().context("an act is required")?;
    let one = rest.join(" ");
    let whole = |path: &str| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        path.to_string_lossy().into_owned()
    };
    Ok(match kind.as_str() {
        "read" => Action::Read { path: whole(&one) },
        "write" => Action::Write { path: whole(&one) },
        "execute" => {
            let argv: Vec<String> =
                if rest.len() == 1 { one.split(' ').map(str::to_owned).collect() } else { rest.to_vec() };
            let name = argv.first().cloned().unwrap_or_default();
            Action::Execute { path: found(&name).unwrap_or_else(|| whole(&name)), argv }
        }
        "connect" => match one.strip_prefix("unix:") {
            Some(path) => Action::Connect {
                host: Some(path.to_owned()),
                address: None,
                port: None,
                protocol: Protocol::Unix,
            },
            None => {
                let (host, port) =
                    one.rsplit_once(':').ok_or_else(|| usage("name the port: `connect example.org:443`"))?;
                let port = port.parse().map_err(|_| usage(format!("`{port}` is no port")))?;
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let address = bare.parse().ok();
                let host = address.is_none().then(|| host.to_owned());
                Action::Connect { host, address, port: Some(port), protocol: Protocol::Tcp }
            }
        },
        "credential" => match one.split_once(':') {
            Some((what, path)) => Action::Credential { what: what.to_owned(), path: Some(whole(path)) },
            None => Action::Credential { what: one, path: None },
        },
        "tool" => Action::Tool { name: one, arguments: "{}".to_owned() },
        "agent" => Action::Agent { product: one },
        "privileged" => {
            let (operation, _) = operations()
                .find(|(_, name)| *name == one)
                .ok_or_else(|| usage(format!("no operation `{one}`")))?;
            Action::Privileged { operation, detail: String::new() }
        }
        other => {
            return Err(usage(format!(
                "`{other}` is no kind of act\nhint: read, write, execute, connect, credential, tool, agent or privileged"
            )));
        }
    })
}

/// The file that this command would run, after links.
fn found(name: &str) -> Option<String> {
    if name.contains('/') {
        return None;
    }
    let path = std::env::var_os("PATH")?;
    let file = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())?;
    Some(std::fs::canonicalize(file).ok()?.to_string_lossy().into_owned())
}

#[derive(Args)]
struct Revoke {
    /// Id of the mandate, or the beginning of it; or its file.
    #[arg(value_name = "ID")]
    mandate: String,
    /// Why, in words.
    #[arg(long, default_value = "", value_name = "TEXT")]
    why: String,
    #[arg(long)]
    json: bool,
}

impl Revoke {
    fn run(self, global: &Global) -> Result<Exit> {
        let known = held(global)?;
        let id = match Path::new(&self.mandate) {
            path if path.is_file() => id_of(read(path)?.as_bytes()),
            _ => match known.register().find(&self.mandate) {
                Some(id) => id.to_owned(),
                None => {
                    return Err(usage(format!(
                        "the daemon holds no mandate `{}`, or several\nhint: `muster mandate list`",
                        self.mandate
                    )));
                }
            },
        };
        let by = own_principal();
        let text = if self.why.is_empty() { by } else { format!("{by}: {}", self.why) };
        let folder = global.data.join("mandates");
        file::make_folder(&folder)
            .and_then(|()| file::write(&folder.join(format!("{id}.revoked")), text.as_bytes()))
            .map_err(|error| {
                usage(format!("cannot write into `{}`: {error}\nhint: only root may", folder.display()))
            })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({"id": id, "revoked": text}))?;
        } else {
            writeln!(out, "revoked {id}, with its parts")?;
        }
        Ok(Exit::Nothing)
    }
}

#[derive(Args)]
struct List {
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

impl List {
    fn run(self, global: &Global) -> Result<Exit> {
        let held = held(global)?;
        let mut out = std::io::stdout().lock();
        for view in held.views(muster_sensor::now_ns()) {
            if self.json {
                writeln!(out, "{}", serde_json::to_string(&view)?)?;
            } else {
                let until = view.expires.get(..19).unwrap_or(&view.expires);
                writeln!(
                    out,
                    "{}  {:<8}  until {until}Z  {}  {}",
                    view.id.get(..12).unwrap_or(&view.id),
                    view.state,
                    sanitize(&view.principal),
                    sanitize(&view.task)
                )?;
            }
        }
        for trouble in held.troubles() {
            eprintln!("note: {}", sanitize(&trouble));
        }
        Ok(Exit::Nothing)
    }
}

#[derive(Args)]
struct Diff {
    #[arg(value_name = "OLD")]
    old: PathBuf,
    #[arg(value_name = "NEW")]
    new: PathBuf,
    #[arg(long)]
    json: bool,
}

impl Diff {
    fn run(self) -> Result<Exit> {
        let parsed = |path: &Path| {
            Mandate::parse(&read(path)?).map_err(|error| usage(format!("`{}`: {error}", path.display())))
        };
        let words = draft::differences(&parsed(&self.old)?, &parsed(&self.new)?);
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "differences": words }))?;
        } else if words.is_empty() {
            writeln!(out, "they say the same")?;
        } else {
            for word in &words {
                writeln!(out, "{}", sanitize(word))?;
            }
        }
        Ok(if words.is_empty() { Exit::Nothing } else { Exit::Findings })
    }
}

/// What the daemon holds, as its folder has it.
fn held(global: &Global) -> Result<Mandates> {
    let folder = global.data.join("mandates");
    match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(usage(format!("cannot read `{}`: {error}\nhint: only root may", folder.display())));
        }
        _ => {}
    }
    let mut held = Mandates::new(&global.data, &hostname());
    drop(held.look(muster_sensor::now_ns()));
    Ok(held)
}

fn refused(why: Refused) -> anyhow::Error {
    usage(why.to_string())
}

fn read(path: &Path) -> Result<String> {
    file::read(path, MANDATE_MAX).map_err(usage)
}

/// Never over a file that is there.
fn write_new(path: &Path, text: &str) -> Result<()> {
    if path == Path::new("-") {
        std::io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(());
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut made = made.map_err(|error| usage(format!("cannot write `{}`: {error}", path.display())))?;
    made.write_all(text.as_bytes())?;
    Ok(())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn own_principal() -> String {
    let user =
        std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "root".to_owned());
    format!("{user}@{}", hostname())
}

fn serial() -> Result<String> {
    let random = secret_file::random()?;
    Ok(random.iter().take(10).map(|byte| format!("{byte:02x}")).collect())
}

fn until(duration: &str) -> Result<u64> {
    let length = duration_ns(duration).map_err(usage)?;
    Ok(muster_sensor::now_ns().saturating_add(length))
}

/// The policy file of a mandate, from beside it.
fn policy_of(path: &Path, mandate: &Mandate) -> Result<Option<String>> {
    let Some(policy) = &mandate.policy else { return Ok(None) };
    file::read(&path.with_file_name(&policy.name), POLICY_MAX).map(Some).map_err(usage)
}
