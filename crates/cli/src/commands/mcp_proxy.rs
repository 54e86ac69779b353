//! `muster mcp-proxy`: stands between an agent and an MCP server.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::Global;
use crate::exit::{Exit, usage};
use crate::mcp::{Proxy, http, stdio};

#[derive(Args)]
pub struct McpProxy {
    /// Name of the server, as the agent's product has it: its tools are `mcp__NAME__TOOL` in mandates. Default: the
    /// server's program or host.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Address of a server that is reached over HTTP.
    #[arg(long, value_name = "URL", conflicts_with = "server", requires = "listen")]
    http: Option<String>,
    /// Where the agent reaches the proxy.
    #[arg(long, value_name = "ADDR", requires = "http")]
    listen: Option<SocketAddr>,
    /// A server that is started here and speaks over its standard input and output.
    #[arg(last = true, required_unless_present = "http")]
    server: Vec<OsString>,
}

impl McpProxy {
    pub fn run(self, global: &Global) -> Result<Exit> {
        let by_itself = match &self.http {
            Some(url) => url.split(['/', ':']).nth(3).unwrap_or("server").to_owned(),
            None => self.server.first().map_or("server".to_owned(), |program| {
                Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned()
            }),
        };
        let name = self.name.unwrap_or(by_itself);
        if name.is_empty()
            || name.len() > 128
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            return Err(usage(format!("`{name}` is no name for a server\nhint: give one with --name")));
        }
        let proxy = Proxy { data: global.data.clone(), name };
        let code = match (self.http, self.listen) {
            (Some(url), Some(listen)) => http::run(proxy, &url, listen)?,
            _ => stdio::run(proxy, &self.server)?,
        };
        // The server's own end is the proxy's.
        let ended_well = code == std::process::ExitCode::SUCCESS;
        Ok(if ended_well { Exit::Nothing } else { Exit::Internal })
    }
}
