//! What is decided upon, and the answer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One act that an agent is about to do, or did. Paths are absolute and resolved by whoever saw the act: by the kernel where
/// it was the kernel. All strings may be an agent's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    Read {
        path: String,
    },
    Write {
        path: String,
    },
    Execute {
        path: String,
        argv: Vec<String>,
    },
    Connect {
        /// The name that the lineage asked DNS for and got `address` as answer, or that a tool's argument gave.
        host: Option<String>,
        address: Option<IpAddr>,
        port: Option<u16>,
        protocol: Protocol,
    },
    /// Something that gives authority elsewhere: a key, a token, a wallet.
    Credential {
        /// `ssh`, `aws`, `kubernetes`, `browser`, `keyring`, `env-file`, `wallet`, `metadata`, …
        what: String,
        path: Option<String>,
    },
    /// A tool of the agent's, by the agent's own name for it.
    Tool {
        name: String,
        /// JSON, cut to a bound.
        arguments: String,
    },
    /// Starts another agent.
    Agent {
        product: String,
    },
    /// What no scope of paths or hosts covers.
    Privileged {
        operation: Operation,
        detail: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    /// A path, or an abstract name that begins with `@`, stands in `host`.
    Unix,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Bpf,
    Ptrace,
    Mount,
    Module,
    /// A signal to a process of Muster's or of another lineage.
    Signal,
    IoUring,
    Namespace,
    SetUid,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Allow,
    /// A person must say.
    Ask,
    Deny,
}

/// The answer to one action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub verdict: Verdict,
    /// Which line says so, e.g. `scope.write[2]`, `expired`, `policy: no-network`, `no mandate`.
    pub rule: String,
    /// For people; an agent is told no more than that it was denied.
    pub reason: String,
    /// Id of the mandate that decided; the first of the chain that does not allow it.
    pub mandate: Option<String>,
}
