//! What was done: one variant per act. The ledger stores the names of variants and fields: they are never changed
//! (`docs/ledger.md`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ProcessKey;

/// One act. Paths are the kernel's own, after symlinks, `/proc/self/fd/N` and mounts, unless a field says otherwise;
/// bytes that are no UTF-8 appear as `\xNN`. `result` is 0 (or a count) on success, `-errno` on failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The acting process made a child process (not a thread).
    Fork {
        child: ProcessKey,
    },
    /// The process now runs this program.
    Exec {
        /// The executable file.
        path: String,
        /// For a script (`#!`): the script file, resolved; `path` is then the interpreter.
        script: Option<String>,
        argv: Vec<String>,
        /// `argv` was longer than the sensor copies.
        argv_truncated: bool,
        cwd: String,
        /// Only variables that mark an agent or locate its account; never a secret.
        env: BTreeMap<String, String>,
        parent: ProcessKey,
        session: u32,
        group: u32,
        file: Identity,
        /// The executable lives in memory only (memfd, or deleted).
        anonymous: bool,
    },
    /// The process ended. Exactly one of the two is set; neither where only `/proc` was looked at.
    Exit {
        code: Option<i32>,
        signal: Option<i32>,
    },
    #[serde(rename = "setsid")]
    SetSid {
        session: u32,
    },
    /// A file was opened in a way that is recorded: for writing, or for reading where it is sensitive.
    Open {
        path: String,
        access: Access,
        result: i64,
    },
    Rename {
        from: String,
        to: String,
        result: i64,
    },
    Link {
        from: String,
        to: String,
        result: i64,
    },
    /// `target` is the text of the link, as given.
    Symlink {
        target: String,
        path: String,
        result: i64,
    },
    Unlink {
        path: String,
        directory: bool,
        result: i64,
    },
    Mkdir {
        path: String,
        result: i64,
    },
    Chmod {
        path: String,
        mode: u32,
        result: i64,
    },
    Chown {
        path: String,
        uid: u32,
        gid: u32,
        result: i64,
    },
    Truncate {
        path: String,
        length: u64,
        result: i64,
    },
    Connect {
        address: Address,
        result: i64,
    },
    Bind {
        address: Address,
        result: i64,
    },
    Listen {
        address: Address,
        result: i64,
    },
    Accept {
        address: Address,
        result: i64,
    },
    /// A datagram to an address (unconnected socket).
    Send {
        address: Address,
        result: i64,
    },
    /// A DNS question in a packet that left the process.
    Dns {
        name: String,
        record_type: String,
        server: Address,
    },
    /// Server name in a TLS ClientHello.
    Tls {
        name: String,
        address: Address,
    },
    /// First line of a plaintext HTTP request. `target` has its query values redacted.
    Http {
        method: String,
        target: String,
        host: Option<String>,
        address: Address,
    },
    Signal {
        target: SignalTarget,
        signal: i32,
        result: i64,
    },
    Ptrace {
        request: i64,
        target: u32,
        result: i64,
    },
    ProcessMemory {
        op: MemoryOp,
        target: u32,
        result: i64,
    },
    Bpf {
        command: u32,
        result: i64,
    },
    LoadModule {
        name: String,
        result: i64,
    },
    Mount {
        call: String,
        source: String,
        target: String,
        result: i64,
    },
    /// `call` is `unshare`, `setns` or `clone`; `flags` are `CLONE_NEW*`.
    Namespace {
        call: String,
        flags: u64,
        result: i64,
    },
    /// `call` is `chroot` or `pivot_root`.
    Root {
        call: String,
        path: String,
        result: i64,
    },
    /// `call` is one of the setuid family or `capset`; the arguments as given.
    Credentials {
        call: String,
        arguments: Vec<i64>,
        result: i64,
    },
    /// The task renamed itself (`prctl(PR_SET_NAME)` or a write to `comm`).
    SetName {
        from: String,
        to: String,
    },
    Memfd {
        name: String,
        result: i64,
    },
    /// Anonymous memory became executable. `call` is `mmap` or `mprotect`.
    ExecMemory {
        call: String,
        length: u64,
        result: i64,
    },
    /// A request on an io_uring, named as what it does (`openat`, `connect`, …).
    IoUring {
        operation: String,
        path: Option<String>,
        flags: u64,
    },
    /// A 32-bit (compat) system call, which Muster does not decode.
    Compat {
        number: u32,
        result: i64,
    },
    /// A setting of a process or kernel surface that other kinds do not cover; `call` names it.
    Control {
        call: String,
        arguments: Vec<i64>,
        result: i64,
    },
    /// What a command that the agent's own program started had written to one of its outputs when it ended. `stream` is 1
    /// or 2; where both are one file, only 1 comes. No content: a 32-bit hash of each line (`OutputText`, `line_hash`).
    Output {
        stream: u32,
        bytes: u64,
        /// Lines among those looked at that hold anything.
        lines: u64,
        /// All that was written was seen, and each line has its hash.
        whole: bool,
        #[serde(with = "crate::bytes::hex_words")]
        hashes: Vec<u32>,
    },
}

impl Kind {
    /// The name scripts see in `events --json`.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Fork { .. } => "fork",
            Kind::Exec { .. } => "exec",
            Kind::Exit { .. } => "exit",
            Kind::SetSid { .. } => "setsid",
            Kind::Open { .. } => "open",
            Kind::Rename { .. } => "rename",
            Kind::Link { .. } => "link",
            Kind::Symlink { .. } => "symlink",
            Kind::Unlink { .. } => "unlink",
            Kind::Mkdir { .. } => "mkdir",
            Kind::Chmod { .. } => "chmod",
            Kind::Chown { .. } => "chown",
            Kind::Truncate { .. } => "truncate",
            Kind::Connect { .. } => "connect",
            Kind::Bind { .. } => "bind",
            Kind::Listen { .. } => "listen",
            Kind::Accept { .. } => "accept",
            Kind::Send { .. } => "send",
            Kind::Dns { .. } => "dns",
            Kind::Tls { .. } => "tls",
            Kind::Http { .. } => "http",
            Kind::Signal { .. } => "signal",
            Kind::Ptrace { .. } => "ptrace",
            Kind::ProcessMemory { .. } => "process_memory",
            Kind::Bpf { .. } => "bpf",
            Kind::LoadModule { .. } => "load_module",
            Kind::Mount { .. } => "mount",
            Kind::Namespace { .. } => "namespace",
            Kind::Root { .. } => "root",
            Kind::Credentials { .. } => "credentials",
            Kind::SetName { .. } => "set_name",
            Kind::Memfd { .. } => "memfd",
            Kind::ExecMemory { .. } => "exec_memory",
            Kind::IoUring { .. } => "io_uring",
            Kind::Compat { .. } => "compat",
            Kind::Control { .. } => "control",
            Kind::Output { .. } => "output",
        }
    }
}

/// Device and inode of a file, to know one file under two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// How a file was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    /// `O_CREAT` was given (the file may have been there before).
    pub create: bool,
    pub truncate: bool,
    pub append: bool,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    Ip {
        ip: IpAddr,
        port: u16,
    },
    /// A path, or `@name` for the abstract namespace; empty for an unnamed socket.
    Unix {
        path: String,
    },
    /// An address family that is not decoded.
    Other {
        family: u16,
    },
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Ip { ip: IpAddr::V4(ip), port } => write!(f, "{ip}:{port}"),
            Address::Ip { ip: IpAddr::V6(ip), port } => write!(f, "[{ip}]:{port}"),
            Address::Unix { path } => write!(f, "unix:{path}"),
            Address::Other { family } => write!(f, "family:{family}"),
        }
    }
}

/// Whom a signal was sent to, as the caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalTarget {
    Process(u32),
    /// A process group (`kill(-pgid)`), or 0 for the caller's own.
    Group(u32),
    /// `kill(-1)`.
    Everyone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryOp {
    Read,
    Write,
}
