//! `muster thaw`: lets a frozen lineage go on.

use anyhow::Result;
use clap::Args;
use muster_contain::{journal, restore};
use muster_server::{ContainRequest, StoreReader};

use crate::containment::target;
use crate::exit::{Exit, usage};
use crate::{Global, client, commands, select};

#[derive(Args)]
pub struct Thaw {
    /// Id of the agent (its beginning is enough), or pid of its first process.
    agent: String,
    /// Without the daemon.
    #[arg(long)]
    offline: bool,
}

impl Thaw {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let data = &global.data;
        let agent = select::agent(&StoreReader::open(data)?, &self.agent)?;
        if self.offline {
            commands::out::refuse_agents(data)?;
            let mut done = 0;
            for id in target::all(data) {
                let folder = target::folder(data, &id)?;
                let it = restore::standing(&journal::read(&folder)?);
                if it.agent == agent && !it.is_over() && !it.killed {
                    restore::thaw(&folder)?.map_err(usage)?;
                    muster_sensor::unsilence(&id);
                    done += 1;
                }
            }
            if done == 0 {
                return Err(usage(format!("{agent} is not frozen")));
            }
        } else {
            client::contain(data, &ContainRequest::Thaw { agent: agent.clone() })?;
        }
        println!("{agent} goes on");
        Ok(Exit::Nothing)
    }
}
