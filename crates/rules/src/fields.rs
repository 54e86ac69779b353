//! Muster's events as Sigma sees them: the names of its Linux taxonomy, and a few of our own.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use muster_event::{Address, Kind};
use rsigma_eval::event::{Event, EventValue};

/// Sigma's kinds of events that Muster's record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    ProcessCreation,
    FileEvent,
    FileChange,
    FileAccess,
    FileDelete,
    FileRename,
    NetworkConnection,
    DnsQuery,
}

impl Category {
    pub const ALL: [Category; 8] = [
        Category::ProcessCreation,
        Category::FileEvent,
        Category::FileChange,
        Category::FileAccess,
        Category::FileDelete,
        Category::FileRename,
        Category::NetworkConnection,
        Category::DnsQuery,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Category::ProcessCreation => "process_creation",
            Category::FileEvent => "file_event",
            Category::FileChange => "file_change",
            Category::FileAccess => "file_access",
            Category::FileDelete => "file_delete",
            Category::FileRename => "file_rename",
            Category::NetworkConnection => "network_connection",
            Category::DnsQuery => "dns_query",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.name() == name)
    }

    /// The fields of its events.
    pub(crate) fn has(self, field: &str) -> bool {
        let own: &[&str] = match self {
            Category::ProcessCreation => &["NamesAgent", "NamesWeights"],
            Category::FileEvent | Category::FileChange | Category::FileDelete => &FILE,
            Category::FileAccess => &FILE,
            Category::FileRename => {
                &["SourceFilename", "TargetFilename", "InProject", "OwnFile", "Operation"]
            }
            Category::NetworkConnection => &NETWORK,
            Category::DnsQuery => &["QueryName", "RecordType", "QueryType"],
        };
        COMMON.contains(&field) || own.contains(&field)
    }
}

/// Of the process that acted.
const COMMON: [&str; 15] = [
    "Image",
    "CommandLine",
    "CurrentDirectory",
    "User",
    "UserId",
    "ProcessId",
    "ParentProcessId",
    "ParentImage",
    "ParentCommandLine",
    "Script",
    "Role",
    "Product",
    "Label",
    "ProcessGuid",
    "EventType",
];
const FILE: [&str; 4] = ["TargetFilename", "InProject", "OwnFile", "Operation"];
const NETWORK: [&str; 6] =
    ["DestinationIp", "DestinationPort", "DestinationHostname", "Initiated", "Protocol", "DestinationIsIpv6"];

/// A program as it was started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program<'a> {
    pub pid: u32,
    pub uid: u32,
    /// The file that the kernel runs, and the script where it is an interpreter.
    pub path: &'a str,
    pub script: Option<&'a str>,
    pub argv: &'a [String],
    pub cwd: &'a str,
}

/// The agent whose act it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agent<'a> {
    pub product: &'a str,
    pub label: &'a str,
    /// Where it was started.
    pub cwd: &'a str,
    /// The act is one of a tool, not of the agent's own program.
    pub is_action: bool,
}

/// One act, for the rules.
pub struct Act<'a> {
    pub category: Category,
    pub program: Program<'a>,
    pub parent: Option<Program<'a>>,
    pub agent: Agent<'a>,
    /// The file is one that the agent's product keeps for itself.
    pub own_file: bool,
    /// An argument names the agent's own program or what lies beside it.
    pub names_agent: bool,
    /// … or the weights of a model, or a copy of them that the lineage made.
    pub names_weights: bool,
    object: Object<'a>,
    command_line: OnceCell<String>,
    parent_command_line: OnceCell<String>,
}

#[derive(Clone, Copy)]
enum Object<'a> {
    None,
    File { path: &'a str, from: Option<&'a str>, operation: &'static str },
    Endpoint { ip: IpAddr, port: u16, name: Option<&'a str> },
    Name { name: &'a str, record_type: &'a str },
}

/// What rules see of this event; `None`: nothing, or it failed.
pub fn act<'a>(
    kind: &'a Kind,
    program: Program<'a>,
    parent: Option<Program<'a>>,
    agent: Agent<'a>,
) -> Option<Act<'a>> {
    let file = |category, path: &'a str, operation| (category, Object::File { path, from: None, operation });
    let ip = |address: &Address, name: Option<&'a str>| match address {
        Address::Ip { ip, port } => {
            Some((Category::NetworkConnection, Object::Endpoint { ip: *ip, port: *port, name }))
        }
        Address::Unix { .. } | Address::Other { .. } => None,
    };
    let (category, object) = match kind {
        Kind::Exec { .. } => (Category::ProcessCreation, Object::None),
        Kind::Open { path, access, result } if *result >= 0 => {
            if access.write && access.truncate {
                // Emptied, or made anew: which of them the kernel does not tell.
                file(Category::FileEvent, path, "truncate")
            } else if access.write && access.create {
                file(Category::FileEvent, path, "open")
            } else if access.write {
                file(Category::FileChange, path, "open")
            } else {
                file(Category::FileAccess, path, "open")
            }
        }
        Kind::Truncate { path, result: 0, .. } => file(Category::FileChange, path, "truncate"),
        Kind::Chmod { path, result: 0, .. } => file(Category::FileChange, path, "chmod"),
        Kind::Chown { path, result: 0, .. } => file(Category::FileChange, path, "chown"),
        Kind::Unlink { path, directory: false, result: 0 } => file(Category::FileDelete, path, "unlink"),
        Kind::Rename { from, to, result: 0 } => {
            (Category::FileRename, Object::File { path: to, from: Some(from), operation: "rename" })
        }
        Kind::Link { to, result: 0, .. } => file(Category::FileEvent, to, "link"),
        Kind::Symlink { path, result: 0, .. } => file(Category::FileEvent, path, "symlink"),
        Kind::IoUring { path: Some(path), flags, operation } if operation.starts_with("open") => {
            let category = if flags & 0o3 != 0 { Category::FileEvent } else { Category::FileAccess };
            file(category, path, "open")
        }
        // -EINPROGRESS: the usual answer to a connection that does not wait.
        Kind::Connect { address, result } if *result >= 0 || *result == -115 => ip(address, None)?,
        Kind::Send { address, result } if *result >= 0 => ip(address, None)?,
        Kind::Tls { name, address } => ip(address, Some(name))?,
        Kind::Http { host, address, .. } => ip(address, host.as_deref())?,
        Kind::Dns { name, record_type, .. } => (Category::DnsQuery, Object::Name { name, record_type }),
        _ => return None,
    };
    Some(Act {
        category,
        program,
        parent,
        agent,
        own_file: false,
        names_agent: false,
        names_weights: false,
        object,
        command_line: OnceCell::new(),
        parent_command_line: OnceCell::new(),
    })
}

impl<'a> Act<'a> {
    /// The same act under another kind, where it is of two: a file that is emptied is changed and made, one that takes
    /// another's name is made.
    pub fn also(&self) -> Option<Act<'a>> {
        let category = match (self.category, self.object) {
            (Category::FileEvent, Object::File { operation: "truncate", .. }) => Category::FileChange,
            (Category::FileRename, _) => Category::FileEvent,
            _ => return None,
        };
        Some(Act {
            category,
            program: self.program,
            parent: self.parent,
            agent: self.agent,
            own_file: self.own_file,
            names_agent: self.names_agent,
            names_weights: self.names_weights,
            object: self.object,
            command_line: OnceCell::new(),
            parent_command_line: OnceCell::new(),
        })
    }

    /// The file that it is on.
    pub fn path(&self) -> Option<&'a str> {
        match self.object {
            Object::File { path, .. } => Some(path),
            Object::None | Object::Endpoint { .. } | Object::Name { .. } => None,
        }
    }

    /// What it is on, in words; nothing for an execution.
    pub fn what(&self) -> Option<String> {
        match self.object {
            Object::None => None,
            Object::File { path, .. } => Some(path.to_owned()),
            Object::Endpoint { name: Some(name), .. } => Some(name.to_owned()),
            Object::Endpoint { ip: IpAddr::V6(ip), port, .. } => Some(format!("[{ip}]:{port}")),
            Object::Endpoint { ip, port, .. } => Some(format!("{ip}:{port}")),
            Object::Name { name, .. } => Some(name.to_owned()),
        }
    }

    fn in_project(&self) -> Option<bool> {
        let path = self.path()?;
        let cwd = self.agent.cwd;
        Some(cwd.len() > 1 && path.strip_prefix(cwd).is_some_and(|rest| rest.starts_with('/')))
    }

    fn field<'s>(&'s self, name: &str) -> Option<EventValue<'s>> {
        let text = |text: &'s str| Some(EventValue::Str(Cow::Borrowed(text)));
        let owned = |text: String| Some(EventValue::Str(Cow::Owned(text)));
        let flag = |flag: bool| text(if flag { "true" } else { "false" });
        let number = |number: u32| Some(EventValue::Int(i64::from(number)));
        let program = &self.program;
        match (name, self.object) {
            ("Image", _) => Some(image(program)),
            ("CommandLine", _) => text(self.command_line.get_or_init(|| program.argv.join(" "))),
            ("CurrentDirectory", _) => text(program.cwd),
            ("Script", _) => program.script.and_then(text),
            // Names of users are not in the record, and in a container they are others.
            ("User", _) if program.uid == 0 => text("root"),
            ("User" | "UserId", _) => owned(program.uid.to_string()),
            ("ProcessId", _) => number(program.pid),
            ("ParentProcessId", _) => number(self.parent?.pid),
            ("ParentImage", _) => self.parent.as_ref().map(image),
            ("ParentCommandLine", _) => {
                let parent = self.parent?;
                text(self.parent_command_line.get_or_init(|| parent.argv.join(" ")))
            }
            ("Role", _) => text(if self.agent.is_action { "action" } else { "harness" }),
            ("Product", _) => text(self.agent.product),
            ("Label", _) => text(self.agent.label),
            ("NamesAgent", Object::None) => flag(self.names_agent),
            ("NamesWeights", Object::None) => flag(self.names_weights),
            ("EventType", _) => text(self.category.name()),
            ("ProcessGuid", _) => None,
            ("TargetFilename", Object::File { path, .. }) => text(path),
            ("SourceFilename", Object::File { from, .. }) => from.and_then(text),
            ("Operation", Object::File { operation, .. }) => text(operation),
            ("InProject", Object::File { .. }) => flag(self.in_project()?),
            ("OwnFile", Object::File { .. }) => flag(self.own_file),
            ("DestinationIp", Object::Endpoint { ip, .. }) => owned(ip.to_string()),
            ("DestinationPort", Object::Endpoint { port, .. }) => number(u32::from(port)),
            ("DestinationHostname", Object::Endpoint { name, .. }) => name.and_then(text),
            ("DestinationIsIpv6", Object::Endpoint { ip, .. }) => flag(ip.is_ipv6()),
            ("Initiated", Object::Endpoint { .. }) => flag(true),
            ("Protocol", Object::Endpoint { .. }) => None,
            ("QueryName", Object::Name { name, .. }) => text(name),
            ("RecordType" | "QueryType", Object::Name { record_type, .. }) => text(record_type),
            _ => None,
        }
    }
}

impl Event for Act<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        self.field(path)
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        self.all_string_values().iter().any(|value| pred(value))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        KEYWORDS
            .into_iter()
            .filter_map(|name| match self.field(name)? {
                EventValue::Str(text) => Some(text),
                _ => None,
            })
            .collect()
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn field_keys(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

/// Where a word without a field is looked for.
const KEYWORDS: [&str; 6] = [
    "CommandLine",
    "ParentCommandLine",
    "TargetFilename",
    "SourceFilename",
    "DestinationHostname",
    "QueryName",
];

/// The file, and by what names it goes: the kernel has resolved links (`/usr/bin/dash` for `/bin/sh`), and rules name the link.
/// Never by what a process calls itself.
fn image<'a>(program: &Program<'a>) -> EventValue<'a> {
    let path = program.path;
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let aliases: &[&str] = match (name, bare) {
        ("dash" | "busybox", _) => &["sh"],
        ("nodejs", _) => &["node"],
        ("mawk" | "gawk" | "original-awk", _) => &["awk"],
        ("nc.openbsd" | "nc.traditional" | "ncat", _) => &["nc"],
        ("vim.basic" | "vim.tiny" | "vim.nox" | "vim.gtk3", _) => &["vim", "vi"],
        ("traceroute.db", _) => &["traceroute"],
        ("xtables-nft-multi" | "xtables-legacy-multi", _) => &["iptables"],
        (_, "python") => &["python", "python3"],
        (_, "perl") if name != "perl" => &["perl"],
        (_, "ruby") if name != "ruby" => &["ruby"],
        (_, "php") if name != "php" => &["php"],
        (_, "lua") if name != "lua" => &["lua"],
        _ => &[],
    };
    if aliases.is_empty() {
        return EventValue::Str(Cow::Borrowed(path));
    }
    // BusyBox is whatever it is called as: there the name decides what it does.
    let applet = (name == "busybox").then(|| program.argv.first()).flatten();
    let applet = applet.map(|argument| argument.rsplit('/').next().unwrap_or(argument));
    let names = aliases.iter().copied().chain(applet);
    let mut all = vec![EventValue::Str(Cow::Borrowed(path))];
    all.extend(names.map(|alias| EventValue::Str(Cow::Owned(format!("{folder}/{alias}")))));
    EventValue::Array(all)
}
