//! The one binary, `muster`: its command line. What each command does is in `commands/`.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod abilities;
mod artefacts;
mod assessed;
mod canaries;
mod cgroup;
mod client;
mod commands;
mod compared;
mod configuration;
mod containment;
mod daemon;
mod data_files;
mod drill;
mod exit;
#[cfg(test)]
mod fuzzing;
mod gate;
mod gated;
mod hooks;
mod identify;
mod judge;
mod log_key;
mod mandates;
mod mcp;
mod notify;
mod outside;
mod pulse;
mod questions;
mod recorded;
mod redaction;
mod remembered;
mod scope;
mod screen;
mod secret_file;
mod select;
mod signer;
mod tail;
#[cfg(feature = "pkcs11")]
mod token;
mod top;
mod without;

use exit::Exit;

/// Takes the roll of the AI agents on this machine: who runs and on whose authority, what each did, what it said it did,
/// and where these disagree.
#[derive(Parser)]
#[command(name = "muster", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone)]
pub struct Global {
    /// Folder that holds everything Muster keeps.
    #[arg(long, global = true, env = "MUSTER_DATA", default_value = DATA_DEFAULT, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: sense, read accounts, reconcile, serve the page and the API.
    Watch(commands::watch::Watch),
    /// Enrol an agent and start it: `muster run -- claude`.
    Run(commands::run::Run),
    /// Write, sign, check and compare mandates: what an agent may do, on whose word and until when.
    Mandate(commands::mandate::MandateCommand),
    /// List all agents, mandated or not.
    Roll(commands::roll::Roll),
    /// The roll and the findings that wait, live, with keys to look closer and to act.
    Top(commands::top::Top),
    /// Show one agent: mandate, account and record on one time axis.
    Show(commands::show::Show),
    /// List findings.
    Findings(commands::findings::Findings),
    /// Say why something is a finding, and what speaks against it.
    Explain(commands::explain::Explain),
    /// Keep what you think of a finding, or list what was said of all.
    Review(commands::review::Review),
    /// Say who is told of findings and whether that works, or test it.
    Notify(commands::notify::Notify),
    /// List what an agent claimed of its work, each with the verdict of the record.
    Claims(commands::claims::Claims),
    /// Show all that belongs to an agent: its processes, what others started for it, and what may bring it back.
    Lineage(commands::lineage::Lineage),
    /// Say whether two sets of runs differ in behaviour: tested and not tested, watched and not watched.
    Compare(commands::compare::Compare),
    /// Assess what agents did and could do here: means, motive, opportunity, and the gap between; for a board.
    Assess(commands::assess::Assess),
    /// Check what comes from outside: proposals and votes of governance, hosts, messages, wallet requests, addresses.
    Check(commands::check::Check),
    /// List events of the record.
    Events(commands::events::Events),
    /// List the intervals in which something could not be seen, and why.
    Gaps(commands::gaps::Gaps),
    /// Read accounts from files of finished runs.
    Import(commands::import::Import),
    /// Let an agent's product hand back a message that the record contradicts.
    Hook(commands::hook::Hook),
    /// Write the hook by which an agent's product asks the gate before each tool call, or take it out.
    Hooks(commands::hooks::HooksCommand),
    /// Stand between an agent and an MCP server: its tools are called if the gate lets them.
    McpProxy(commands::mcp_proxy::McpProxy),
    /// List the questions that wait for a person, and answer them.
    Approve(commands::approve::ApproveCommand),
    /// Plant decoy credentials: a lineage that reads one is a finding.
    Canary(commands::canary::CanaryCommand),
    /// Stop an agent with all that descends from it, and put away what would bring it back.
    Out(commands::out::OutCommand),
    /// Let an agent go on that was only frozen.
    Thaw(commands::thaw::Thaw),
    /// Put files back that mustering out put away.
    Restore(commands::restore::Restore),
    /// Write an evidence bundle: leaves of the log that others can check without this machine.
    Export(commands::export::Export),
    /// Check an evidence bundle or a log. Needs no daemon, no network and no root.
    Verify(commands::verify::Verify),
    /// Show the key that signs the log, or change it.
    Key(commands::key::KeyCommand),
    /// Hold the key that signs the log, as another user than the daemon, and sign only what continues what was signed.
    Signer(commands::signer::SignerCommand),
    /// Make the index anew from the ledger.
    Reindex(commands::reindex::Reindex),
    /// Go through the ledger again and see whether it gives the same findings.
    Replay(commands::replay::Replay),
    /// Open redacted values: say where in the record one stood, and let others check it.
    Reveal(commands::reveal::Reveal),
    /// Vouch for the logs of other machines, and say when one goes back on what it signed or falls silent.
    Witness(commands::witness::Witness),
    /// Say what this machine lets Muster see and stop, by trying it.
    Doctor(commands::doctor::Doctor),
    /// Play harmless rogue deployments, and measure what is seen of them.
    Drill(commands::drill::DrillCommand),
    /// Parts of `muster run` with a mandate.
    #[command(hide = true)]
    GateSupervisor {
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    #[command(hide = true)]
    GateAgent {
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Parts of `muster drill`.
    #[command(hide = true)]
    DrillKeeper(commands::drill::Hidden),
    #[command(hide = true)]
    DrillStart(commands::drill::Hidden),
    #[command(hide = true)]
    DrillWorld(commands::drill::Hidden),
    #[command(hide = true)]
    DrillAgent(commands::drill::Hidden),
    /// Print the data on products, providers and daemons that is built in.
    Products(commands::products::ProductsCommand),
    /// List the rules that are loaded, what of them is not evaluated and why; or check files of rules.
    Rules(commands::rules::RulesCommand),
    /// Print a reference that is kept in the repository: of all commands, of `--json`, or of the API.
    #[command(hide = true)]
    Reference(commands::reference::Reference),
    /// What the sensor's canary runs: harmless acts that the probes must see.
    #[command(hide = true)]
    SensorCanary { token: String },
}

/// Where the daemon keeps everything unless it is told otherwise.
pub const DATA_DEFAULT: &str = "/var/lib/muster";

fn main() -> ExitCode {
    // It stands in the way of every tool call of an agent: nothing that it does not need comes before it.
    if let Some(code) = hooks::tool::early(std::env::args_os()) {
        return code;
    }
    // A closed pipe (`muster events | head`) ends the program quietly instead of with a panic.
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Watch(command) => command.run(&cli.global),
        Command::Run(command) => command.run(&cli.global),
        Command::Mandate(command) => command.run(&cli.global),
        Command::Roll(command) => command.run(&cli.global),
        Command::Top(command) => command.run(&cli.global),
        Command::Show(command) => command.run(&cli.global),
        Command::Findings(command) => command.run(&cli.global),
        Command::Explain(command) => command.run(&cli.global),
        Command::Review(command) => command.run(&cli.global),
        Command::Notify(command) => command.run(&cli.global),
        Command::Claims(command) => command.run(&cli.global),
        Command::Lineage(command) => command.run(&cli.global),
        Command::Compare(command) => command.run(&cli.global),
        Command::Assess(command) => command.run(&cli.global),
        Command::Check(command) => command.run(),
        Command::Events(command) => command.run(&cli.global),
        Command::Gaps(command) => command.run(&cli.global),
        Command::Import(command) => command.run(&cli.global),
        Command::Hook(command) => command.run(&cli.global),
        Command::Hooks(command) => command.run(&cli.global),
        Command::McpProxy(command) => command.run(&cli.global),
        Command::Approve(command) => command.run(&cli.global),
        Command::Canary(command) => command.run(&cli.global),
        Command::Out(command) => command.run(&cli.global),
        Command::Thaw(command) => command.run(&cli.global),
        Command::Restore(command) => command.run(&cli.global),
        Command::Export(command) => command.run(&cli.global),
        Command::Verify(command) => command.run(),
        Command::Key(command) => command.run(&cli.global),
        Command::Signer(command) => command.run(),
        Command::Reindex(command) => command.run(&cli.global),
        Command::Replay(command) => command.run(&cli.global),
        Command::Reveal(command) => command.run(&cli.global),
        Command::Witness(command) => command.run(&cli.global),
        Command::Doctor(command) => command.run(),
        Command::Products(command) => command.run(),
        Command::Rules(command) => command.run(&cli.global),
        Command::Drill(command) => command.run::<Cli>(&cli.global),
        Command::DrillKeeper(command) => command.keeper(),
        Command::DrillStart(command) => command.start(),
        Command::DrillWorld(command) => command.world(),
        Command::DrillAgent(command) => command.agent(),
        Command::GateSupervisor { command } => {
            gated::supervisor(&command).map(|code| std::process::exit(code))
        }
        Command::GateAgent { command } => gated::agent(&command).map(|code| std::process::exit(code)),
        Command::Reference(command) => command.run::<Cli>(),
        Command::SensorCanary { token } => {
            muster_sensor::canary(&token).map(|()| Exit::Nothing).map_err(Into::into)
        }
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            if is_broken_pipe(&error) {
                return Exit::Nothing.into();
            }
            let chain: Vec<String> = error.chain().map(|e| muster_event::sanitize(&e.to_string())).collect();
            // Hints are lines of their own; `sanitize` would show their line breaks as codes.
            eprintln!("error: {}", chain.join(": ").replace("\\nhint:", "\nhint:"));
            exit::of(&error).into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Colour and width of what stdout is.
pub fn style() -> muster_report::Style {
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let width = if terminal {
        rustix::termios::tcgetwinsize(std::io::stdout()).map_or(100, |size| usize::from(size.ws_col))
    } else {
        160
    };
    muster_report::Style { colour, width: width.max(40) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// What scripts and service files rely on.
    #[test]
    fn the_contract_of_the_command_line() {
        Cli::command().debug_assert();
        let parsed = |words: &str| Cli::try_parse_from(words.split(' '));
        for command in
            ["watch", "roll", "events", "findings", "show a", "explain f", "run -- x", "doctor", "products"]
        {
            let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
            let words = format!("muster {name} --data /d {rest}");
            assert_eq!(parsed(words.trim_end()).unwrap().global.data, PathBuf::from("/d"), "{command}");
        }
        for words in ["roll --json", "events --json", "events --agent a --json", "findings --agent a --json"]
        {
            assert!(parsed(&format!("muster {words}")).is_ok(), "{words}");
        }
        let command = Cli::command();
        let data = command.get_arguments().find(|argument| argument.get_id() == "data").unwrap();
        assert_eq!(data.get_env(), Some("MUSTER_DATA".as_ref()));
        assert_eq!(data.get_default_values(), ["/var/lib/muster"]);
        let watch = command.find_subcommand("watch").unwrap();
        let listen = watch.get_arguments().find(|argument| argument.get_long() == Some("listen")).unwrap();
        assert_eq!(listen.get_default_values(), ["127.0.0.1:7373"]);
    }
}
