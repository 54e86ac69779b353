//! `muster check`: one thing from outside (a proposal, votes, a host, a message, …) and what is to be thought of it.
//! Needs no daemon and no root. What each check knows is in crates of its own (`web3`, `phish`); here are only the command
//! line, what is read (`input.rs`) and what is printed (`output.rs`).

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::exit::Exit;

mod address;
mod input;
mod message;
mod output;
mod proposal;
mod protocol;
mod rpc;
mod sign;
mod url;
mod votes;
mod watch;

#[derive(Args)]
pub struct Check {
    #[command(subcommand)]
    what: What,
}

/// What every check takes.
#[derive(Args, Clone, Copy)]
pub struct Printed {
    /// One JSON object for each input: `input`, `verdict`, `score`, `brand`, `reasons`.
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Say whether a proposal does what its text says, and what it does besides.
    Proposal(proposal::Proposal),
    /// Say which voters move together more than chance, week and habit explain.
    Votes(votes::Votes),
    /// Say what it would cost to capture a protocol's governance, and what would be gained.
    Protocol(protocol::Protocol),
    /// Follow governors on a chain, and check each proposal in the block in which it comes.
    Watch(watch::Watch),
    /// Say whom a host imitates, and whether its name is like those of phishing.
    Url(url::Url),
    /// Say whether a message is a lure: whom it imitates, where it leads, what it asks, how many variants came before.
    Message(message::Message),
    /// Say what signing a wallet's request would do, for whom, and on what terms.
    Sign(sign::Sign),
    /// Say whether an address looks like one that was paid before.
    Address(address::Address),
}

impl Check {
    pub fn run(self) -> Result<Exit> {
        match self.what {
            What::Proposal(command) => command.run(),
            What::Votes(command) => command.run(),
            What::Protocol(command) => command.run(),
            What::Watch(command) => command.run(),
            What::Url(command) => command.run(),
            What::Message(command) => command.run(),
            What::Sign(command) => command.run(),
            What::Address(command) => command.run(),
        }
    }
}
