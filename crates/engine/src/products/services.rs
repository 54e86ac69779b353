//! Services that start programs for others, and what asks them to: plain data, from `products/services.toml`.

use serde::Deserialize;

use super::pattern::{argv_matches, glob};

/// Folders in which a service's executable lies: its administrator put it there.
const SYSTEM: [&str; 10] = [
    "/usr/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/opt/",
    "/nix/store/",
    "/snap/",
    "/gnu/store/",
    "/run/current-system/",
    "/home/linuxbrew/",
];

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServicesFile {
    #[serde(default)]
    pub service: Vec<Service>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub name: String,
    program: Vec<String>,
    #[serde(default)]
    pid: Option<u32>,
    #[serde(default)]
    argv: Option<Vec<String>>,
    uid: Uid,
    pub depth: usize,
    /// Seconds.
    pub window: u64,
    #[serde(default)]
    pub schedules: bool,
    #[serde(default)]
    pub batch: bool,
    #[serde(default)]
    helper: Vec<String>,
    #[serde(default)]
    socket: Vec<String>,
    #[serde(default)]
    pub request: Vec<Request>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Uid {
    Root,
    Own,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    program: String,
    #[serde(default)]
    verb: Vec<String>,
    pub what: What,
    #[serde(default)]
    pub opens: bool,
    #[serde(default)]
    timer: Vec<String>,
    /// Only where an argument names this machine; what follows it is asked for.
    #[serde(default)]
    local: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Command,
    Keys,
    Unit,
    Job,
}

impl Service {
    /// Is this process the service's server? `asker`: the uid of who asks; root may ask anybody's.
    pub fn is_server(&self, pid: u32, uid: u32, asker: u32, path: &str, argv: &[String]) -> bool {
        let name = crate::roll::name_of(path);
        self.program.iter().any(|program| program == name)
            && SYSTEM.iter().any(|folder| path.starts_with(folder))
            && self.pid.is_none_or(|own| own == pid)
            && (uid == 0 || self.uid == Uid::Own && (uid == asker || asker == 0))
            && self
                .argv
                .as_ref()
                .is_none_or(|patterns| argv_matches(patterns, argv.get(1..).unwrap_or_default()))
    }

    /// The server runs this for itself.
    pub fn has_helper(&self, path: &str) -> bool {
        let name = crate::roll::name_of(path);
        self.helper.iter().any(|helper| helper == name)
    }

    pub fn has_socket(&self, path: &str) -> bool {
        self.socket.iter().any(|pattern| glob(pattern, path))
    }

    /// Is this a client of the service: what its command line asks for is known from that?
    pub fn has_client(&self, path: &str) -> bool {
        let name = crate::roll::name_of(path);
        self.request.iter().any(|request| request.program == name)
    }
}

impl Request {
    /// What follows the verb, where this command line is such a request. `host`: this machine's name.
    pub fn asks<'a>(&self, path: &str, argv: &'a [String], host: &str) -> Option<&'a [String]> {
        if crate::roll::name_of(path) != self.program {
            return None;
        }
        let arguments = argv.get(1..).unwrap_or_default();
        if self.local {
            let at = arguments.iter().position(|argument| is_here(argument, host))?;
            return arguments.get(at + 1..);
        }
        if self.verb.is_empty() {
            return Some(arguments);
        }
        let at = arguments.iter().position(|argument| self.verb.contains(argument))?;
        arguments.get(at + 1..)
    }

    /// Does the request only set a time at which it begins?
    pub fn is_timed(&self, argv: &[String]) -> bool {
        argv.iter().any(|argument| self.timer.iter().any(|pattern| glob(pattern, argument)))
    }
}

/// `localhost`, `user@127.0.0.1`, `ssh://host`: this machine.
fn is_here(argument: &str, host: &str) -> bool {
    let rest = argument.strip_prefix("ssh://").unwrap_or(argument);
    let name = rest.rsplit_once('@').map_or(rest, |(_, name)| name);
    let name = name.trim_end_matches('/');
    matches!(name, "localhost" | "::1" | "[::1]" | "ip6-localhost" | "0.0.0.0")
        || name.starts_with("127.") && name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || name.strip_prefix("localhost:").is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
        || !host.is_empty() && (name == host || host.split('.').next() == Some(name))
}
