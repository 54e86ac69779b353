//! The events of another Muster, as `muster events --json` prints them (docs/json.md).

use std::collections::BTreeMap;

use muster_event::{
    Access, Address, Event, Identity, Kind, MemoryOp, Nanos, ProcessKey, SignalTarget, redact::plain_marks,
    redact_argv,
};
use serde::Deserialize;

use crate::address::of_shown;
use crate::table::Table;
use crate::warning::{Warning, Warnings};

/// Fields that are needed; all others are passed by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    seq: Option<u64>,
    time: Option<String>,
    pid: Option<u32>,
    thread: u32,
    uid: u32,
    comm: String,
    kind: String,
    path: Option<String>,
    from: Option<String>,
    to: Option<String>,
    target: Option<String>,
    source: Option<String>,
    access: Option<Vec<String>>,
    directory: Option<bool>,
    mode: Option<u32>,
    owner_uid: Option<u32>,
    owner_gid: Option<u32>,
    length: Option<u64>,
    script: Option<String>,
    argv: Option<Vec<String>>,
    argv_truncated: Option<bool>,
    cwd: Option<String>,
    env: Option<BTreeMap<String, String>>,
    anonymous: Option<bool>,
    device: Option<u64>,
    inode: Option<u64>,
    session: Option<u32>,
    group: Option<u32>,
    child_pid: Option<u32>,
    parent_pid: Option<u32>,
    target_pid: Option<u32>,
    target_group: Option<u32>,
    exit_status: Option<i32>,
    signal: Option<i32>,
    address: Option<String>,
    server: Option<String>,
    name: Option<String>,
    record_type: Option<String>,
    method: Option<String>,
    host: Option<String>,
    call: Option<String>,
    operation: Option<String>,
    request: Option<i64>,
    command: Option<u32>,
    number: Option<u32>,
    flags: Option<u64>,
    arguments: Option<Vec<i64>>,
    result: Option<i64>,
}

#[derive(Default)]
pub(crate) struct Muster {
    pub table: Table,
    pub warnings: Warnings,
    pub lines: u64,
    last_seq: u64,
}

impl Muster {
    pub fn line(&mut self, text: &str, out: &mut Vec<Event>) {
        if text.trim().is_empty() {
            return;
        }
        let Ok(row) = serde_json::from_str::<Row>(text) else {
            return self.warnings.add(Warning::Line, 1);
        };
        let (Some(seq), Some(pid), Some(time_ns)) = (row.seq, row.pid, row.time.as_deref().and_then(moment))
        else {
            return self.warnings.add(Warning::Line, 1);
        };
        self.lines = self.lines.saturating_add(1);
        // The first may be any: it may have watched for long.
        let missing =
            if self.last_seq == 0 { 0 } else { seq.saturating_sub(self.last_seq).saturating_sub(1) };
        if missing > 0 {
            self.warnings.add(Warning::Hole, missing);
        }
        self.last_seq = self.last_seq.max(seq);
        let process = self.process(pid, time_ns, None);
        let (thread, uid, comm) = (row.thread, row.uid, row.comm.clone());
        if row.argv_truncated == Some(true) {
            self.warnings.add(Warning::CutArguments, 1);
        }
        let ends = row.kind == "exit";
        match self.kind(row, process, time_ns) {
            Some(kind) => {
                out.push(Event {
                    seq: 0,
                    time_ns,
                    boot_ns: time_ns,
                    process,
                    thread,
                    uid,
                    comm,
                    cgroup: 0,
                    kind,
                });
            }
            None => self.warnings.add(Warning::Event, 1),
        }
        if ends {
            self.table.end(pid);
        }
    }

    fn process(&mut self, pid: u32, time_ns: Nanos, parent: Option<ProcessKey>) -> ProcessKey {
        self.table.of_task(pid).unwrap_or_else(|| self.table.begin(pid, time_ns, parent, None))
    }

    fn kind(&mut self, row: Row, process: ProcessKey, time_ns: Nanos) -> Option<Kind> {
        let result = row.result.unwrap_or_default();
        let address = |text: Option<String>| -> Option<Address> { of_shown(&text?) };
        Some(match row.kind.as_str() {
            "fork" => {
                let pid = row.child_pid?;
                self.table.end(pid);
                Kind::Fork { child: self.process(pid, time_ns, Some(process)) }
            }
            "exec" => {
                let parent = match row.parent_pid {
                    Some(pid) if pid != process.pid => {
                        self.table.of_task(pid).unwrap_or(ProcessKey { pid, start_ns: 0 })
                    }
                    _ => ProcessKey { pid: 0, start_ns: 0 },
                };
                Kind::Exec {
                    path: row.path?,
                    script: row.script,
                    // That one's commitments mean nothing here.
                    argv: redact_argv(
                        &row.argv?.iter().map(|a| plain_marks(a).into_owned()).collect::<Vec<_>>(),
                    ),
                    argv_truncated: row.argv_truncated.unwrap_or_default(),
                    cwd: row.cwd.unwrap_or_default(),
                    env: row.env.unwrap_or_default(),
                    parent,
                    session: row.session.unwrap_or_default(),
                    group: row.group.unwrap_or_default(),
                    file: Identity {
                        device: row.device.unwrap_or_default(),
                        inode: row.inode.unwrap_or_default(),
                    },
                    anonymous: row.anonymous.unwrap_or_default(),
                }
            }
            "exit" => Kind::Exit { code: row.exit_status, signal: row.signal },
            "setsid" => Kind::SetSid { session: row.session? },
            "open" => Kind::Open { path: row.path?, access: access(&row.access?), result },
            "rename" => Kind::Rename { from: row.from?, to: row.to?, result },
            "link" => Kind::Link { from: row.from?, to: row.to?, result },
            "symlink" => Kind::Symlink { target: row.target?, path: row.path?, result },
            "unlink" => {
                Kind::Unlink { path: row.path?, directory: row.directory.unwrap_or_default(), result }
            }
            "mkdir" => Kind::Mkdir { path: row.path?, result },
            "chmod" => Kind::Chmod { path: row.path?, mode: row.mode?, result },
            "chown" => Kind::Chown { path: row.path?, uid: row.owner_uid?, gid: row.owner_gid?, result },
            "truncate" => Kind::Truncate { path: row.path?, length: row.length?, result },
            "connect" => Kind::Connect { address: address(row.address)?, result },
            "bind" => Kind::Bind { address: address(row.address)?, result },
            "listen" => Kind::Listen { address: address(row.address)?, result },
            "accept" => Kind::Accept { address: address(row.address)?, result },
            "send" => Kind::Send { address: address(row.address)?, result },
            "dns" => Kind::Dns {
                name: row.name?,
                record_type: row.record_type.unwrap_or_default(),
                server: address(row.server)?,
            },
            "tls" => Kind::Tls { name: row.name?, address: address(row.address)? },
            "http" => Kind::Http {
                method: row.method?,
                target: row.target?,
                host: row.host,
                address: address(row.address)?,
            },
            "signal" => {
                let target = match (row.target_pid, row.target_group) {
                    (Some(pid), _) => SignalTarget::Process(pid),
                    (None, Some(group)) => SignalTarget::Group(group),
                    (None, None) => SignalTarget::Everyone,
                };
                Kind::Signal { target, signal: row.signal?, result }
            }
            "ptrace" => Kind::Ptrace { request: row.request?, target: row.target_pid?, result },
            "process_memory" => {
                let op =
                    if row.operation.as_deref() == Some("read") { MemoryOp::Read } else { MemoryOp::Write };
                Kind::ProcessMemory { op, target: row.target_pid?, result }
            }
            "bpf" => Kind::Bpf { command: row.command?, result },
            "load_module" => Kind::LoadModule { name: row.name?, result },
            "mount" => Kind::Mount {
                call: row.call?,
                source: row.source.unwrap_or_default(),
                target: row.target.unwrap_or_default(),
                result,
            },
            "namespace" => Kind::Namespace { call: row.call?, flags: row.flags.unwrap_or_default(), result },
            "root" => Kind::Root { call: row.call?, path: row.path?, result },
            "credentials" => {
                Kind::Credentials { call: row.call?, arguments: row.arguments.unwrap_or_default(), result }
            }
            "set_name" => Kind::SetName { from: row.from?, to: row.to? },
            "memfd" => Kind::Memfd { name: row.name?, result },
            "exec_memory" => Kind::ExecMemory { call: row.call?, length: row.length?, result },
            "io_uring" => Kind::IoUring {
                operation: row.operation?,
                path: row.path,
                flags: row.flags.unwrap_or_default(),
            },
            "compat" => Kind::Compat { number: row.number?, result },
            "control" => {
                Kind::Control { call: row.call?, arguments: row.arguments.unwrap_or_default(), result }
            }
            _ => return None,
        })
    }
}

fn moment(text: &str) -> Option<Nanos> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

fn access(names: &[String]) -> Access {
    let has = |name: &str| names.iter().any(|known| known == name);
    Access {
        read: has("read"),
        write: has("write"),
        create: has("create"),
        truncate: has("truncate"),
        append: has("append"),
    }
}
