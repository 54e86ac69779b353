//! The proxy before an MCP server: it asks the gate about each `tools/call`, and passes everything else as it is.

pub mod http;
pub mod message;
pub mod stdio;

use std::path::PathBuf;

use muster_mandate::{Action, Decision, GateWay};

use crate::gate::client::Asking;
use crate::gate::line::AskAll;
use message::ToolCall;

/// Largest message from the client, which must be read whole to know what it asks for.
pub const MESSAGE_MAX: usize = 32 * 1024 * 1024;
/// How long a person may take, as far as the proxy goes: the gate's own limit is lower.
pub const WAIT_MS: u64 = 580_000;
/// Bytes of arguments that are told.
const ARGUMENTS_MAX: usize = 4 * 1024;

/// What every call is asked about with.
#[derive(Clone)]
pub struct Proxy {
    pub data: PathBuf,
    /// The server's name, as in the tool names of products: `mcp__NAME__tool`.
    pub name: String,
}

impl Proxy {
    /// The question about one call; `process`: who calls, where that is not this process's own parent.
    pub fn question(&self, call: &ToolCall, wait_ms: u64, process: Option<u32>) -> AskAll {
        let mut arguments = call.arguments.clone();
        let mut end = arguments.len().min(ARGUMENTS_MAX);
        while !arguments.is_char_boundary(end) {
            end -= 1;
        }
        arguments.truncate(end);
        let name = format!("mcp__{}__{}", self.name, call.name);
        AskAll {
            actions: vec![Action::Tool { name: name.clone(), arguments }],
            tool: Some(name),
            call: Some(call.call_id.clone().unwrap_or_else(|| format!("mcp:{}:{}", self.name, call.id))),
            said: None,
            by: GateWay::Mcp,
            wait_ms,
            process,
        }
    }

    /// The gate's decision; without an answer there is none.
    pub fn ask(&self, call: &ToolCall, wait_ms: u64, process: Option<u32>) -> Result<Decision, String> {
        let mut asking = Asking::connect(&self.data)?;
        asking.ask(self.question(call, wait_ms, process)).map(|(decision, _)| decision)
    }
}
