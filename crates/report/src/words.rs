//! Acts and sayings in plain words. Everything that comes out is safe to print.

use muster_account::{Body, Class, Decision, Item, Status};
use muster_event::{Access, Kind, MemoryOp, SignalTarget};
use rustix::io::Errno;

use crate::cell::safe;

/// What was done, without its kind's name.
pub fn of_kind(kind: &Kind) -> String {
    let mut out = match kind {
        Kind::Fork { child } => format!("pid {}", child.pid),
        Kind::Exec { path, script, argv, anonymous, .. } => {
            let mut line = shell_line(argv);
            if line.is_empty() {
                line = path.clone();
            }
            // The file itself, where the command line names another.
            let named = argv.first().map(String::as_str).unwrap_or_default();
            if *anonymous || name_of(path) != name_of(named) && script.is_none() {
                line = format!("{line}  [{path}]");
            }
            if *anonymous { format!("{line}  (in memory only)") } else { line }
        }
        Kind::Exit { code: Some(code), .. } => format!("status {code}"),
        Kind::Exit { signal: Some(signal), .. } => format!("by signal {}", signal_name(*signal)),
        Kind::Exit { .. } => String::new(),
        Kind::SetSid { session } => format!("session {session}"),
        Kind::Open { path, access, .. } => format!("{} {path}", access_word(*access)),
        Kind::Rename { from, to, .. } => format!("{from} -> {to}"),
        Kind::Link { from, to, .. } => format!("{to} = {from}"),
        Kind::Symlink { target, path, .. } => format!("{path} -> {target}"),
        Kind::Unlink { path, .. } | Kind::Mkdir { path, .. } => path.clone(),
        Kind::Chmod { path, mode, .. } => format!("{mode:04o} {path}"),
        Kind::Chown { path, uid, gid, .. } => format!("{uid}:{gid} {path}"),
        Kind::Truncate { path, length, .. } => format!("{path} to {length} bytes"),
        Kind::Connect { address, .. }
        | Kind::Bind { address, .. }
        | Kind::Listen { address, .. }
        | Kind::Accept { address, .. }
        | Kind::Send { address, .. } => address.to_string(),
        Kind::Dns { name, record_type, server } => format!("{name} {record_type} (asked {server})"),
        Kind::Tls { name, address } => format!("{name} ({address})"),
        Kind::Http { method, target, host, address } => {
            format!("{method} {}{target} ({address})", host.as_deref().unwrap_or_default())
        }
        Kind::Signal { target, signal, .. } => match target {
            SignalTarget::Process(pid) => format!("{} to pid {pid}", signal_name(*signal)),
            SignalTarget::Group(0) => format!("{} to its own group", signal_name(*signal)),
            SignalTarget::Group(group) => format!("{} to group {group}", signal_name(*signal)),
            SignalTarget::Everyone => format!("{} to everyone", signal_name(*signal)),
        },
        Kind::Ptrace { request, target, .. } => format!("request {request} on pid {target}"),
        Kind::ProcessMemory { op: MemoryOp::Read, target, .. } => format!("read of pid {target}"),
        Kind::ProcessMemory { op: MemoryOp::Write, target, .. } => format!("write to pid {target}"),
        Kind::Bpf { command, .. } => format!("command {command}"),
        Kind::LoadModule { name, .. } => name.clone(),
        Kind::Mount { call, source, target, .. } => format!("{call} {source} {target}"),
        Kind::Namespace { call, flags, .. } => format!("{call} {}", namespaces(*flags)),
        Kind::Root { call, path, .. } => format!("{call} {path}"),
        Kind::Credentials { call, arguments, .. } | Kind::Control { call, arguments, .. } => {
            let arguments: Vec<String> = arguments.iter().map(i64::to_string).collect();
            format!("{call}({})", arguments.join(", "))
        }
        Kind::SetName { from, to } => format!("{from} -> {to}"),
        Kind::Memfd { name, .. } => name.clone(),
        Kind::ExecMemory { call, length, .. } => format!("{call} of {length} bytes"),
        Kind::IoUring { operation, path, .. } => match path {
            Some(path) => format!("{operation} {path}"),
            None => operation.clone(),
        },
        Kind::Compat { number, .. } => format!("32-bit system call {number}"),
        Kind::Output { stream, bytes, lines, .. } => {
            let stream = if *stream == 2 { "standard error" } else { "standard output" };
            format!("{bytes} bytes in {lines} lines to {stream}")
        }
    };
    if let Some(error) = failure(kind) {
        out.push_str("  failed: ");
        out.push_str(&error);
    }
    safe(&out)
}

/// The error of an act that failed.
fn failure(kind: &Kind) -> Option<String> {
    let result = match kind {
        Kind::Open { result, .. }
        | Kind::Rename { result, .. }
        | Kind::Link { result, .. }
        | Kind::Symlink { result, .. }
        | Kind::Unlink { result, .. }
        | Kind::Mkdir { result, .. }
        | Kind::Chmod { result, .. }
        | Kind::Chown { result, .. }
        | Kind::Truncate { result, .. }
        | Kind::Connect { result, .. }
        | Kind::Bind { result, .. }
        | Kind::Listen { result, .. }
        | Kind::Accept { result, .. }
        | Kind::Send { result, .. }
        | Kind::Signal { result, .. }
        | Kind::Ptrace { result, .. }
        | Kind::ProcessMemory { result, .. }
        | Kind::Bpf { result, .. }
        | Kind::LoadModule { result, .. }
        | Kind::Mount { result, .. }
        | Kind::Namespace { result, .. }
        | Kind::Root { result, .. }
        | Kind::Credentials { result, .. }
        | Kind::Memfd { result, .. }
        | Kind::ExecMemory { result, .. }
        | Kind::Compat { result, .. }
        | Kind::Control { result, .. } => *result,
        Kind::Fork { .. }
        | Kind::Exec { .. }
        | Kind::Exit { .. }
        | Kind::SetSid { .. }
        | Kind::Dns { .. }
        | Kind::Tls { .. }
        | Kind::Http { .. }
        | Kind::SetName { .. }
        | Kind::Output { .. }
        | Kind::IoUring { .. } => 0,
    };
    // A connection that is being made is no failure.
    let in_progress = -i64::from(Errno::INPROGRESS.raw_os_error());
    (result < 0 && result != in_progress).then(|| {
        let number = i32::try_from(-result).unwrap_or(0);
        let text = std::io::Error::from_raw_os_error(number).to_string();
        text.split(" (os error").next().unwrap_or_default().to_owned()
    })
}

pub fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Arguments as one would type them.
pub fn shell_line(argv: &[String]) -> String {
    let quoted: Vec<String> = argv
        .iter()
        .map(|a| {
            let plain = !a.is_empty() && a.chars().all(|c| c.is_alphanumeric() || "/._-+:=@%,~^".contains(c));
            if plain { a.clone() } else { format!("'{}'", a.replace('\'', "'\\''")) }
        })
        .collect();
    quoted.join(" ")
}

fn access_word(access: Access) -> &'static str {
    match (access.write, access.truncate, access.create, access.append) {
        (true, _, _, true) => "append",
        (true, true, _, _) => "write, emptied",
        (true, _, true, _) => "write, create",
        (true, ..) => "write",
        (false, _, true, _) => "create",
        _ => "read",
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        6 => "SIGABRT",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        17 => "SIGCHLD",
        18 => "SIGCONT",
        19 => "SIGSTOP",
        20 => "SIGTSTP",
        number => return number.to_string(),
    };
    name.to_owned()
}

fn namespaces(flags: u64) -> String {
    const NAMES: [(u64, &str); 8] = [
        (0x0002_0000, "mount"),
        (0x0200_0000, "cgroup"),
        (0x0400_0000, "uts"),
        (0x0800_0000, "ipc"),
        (0x1000_0000, "user"),
        (0x2000_0000, "pid"),
        (0x4000_0000, "net"),
        (0x0000_0080, "time"),
    ];
    let names: Vec<&str> = NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { format!("flags {flags:#x}") } else { names.join(", ") }
}

/// What was said, in one line; nothing where it is of no interest to a reader.
pub fn of_item(item: &Item) -> Option<String> {
    let text = match &item.body {
        Body::Session { id, model, .. } => {
            let model = model.as_ref().map(|m| format!(" with {m}")).unwrap_or_default();
            format!("session {id}{model}")
        }
        Body::Prompt { text, .. } => format!("> {text}"),
        Body::Text { text, last } => format!("{} {text}", if *last { "final:" } else { "\"" }),
        Body::Thinking { text } => format!("~ {text}"),
        Body::Call { tool, class, command, paths, background, .. } => {
            let what = match (class, command, paths.first()) {
                (Class::Execute, Some(command), _) => command.clone(),
                (_, _, Some(path)) => path.clone(),
                _ => String::new(),
            };
            format!("{tool}{} {what}", if *background { " (background)" } else { "" })
        }
        Body::Effective { command, .. } => {
            format!("rewritten by a hook: {}", command.as_deref().unwrap_or("other arguments"))
        }
        Body::Result { status, exit_code, output, .. } => {
            let code = exit_code.map(|c| format!(" exit {c}")).unwrap_or_default();
            let first = output.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
            format!("= {}{code} {first}", status_word(*status))
        }
        Body::Decision { decision: Decision::Reject, by, reason, .. } => format!("refused by {by}: {reason}"),
        Body::Decision { decision: Decision::Accept, .. } => return None,
        Body::TurnEnd => "(turn ends)".to_owned(),
        Body::Other { .. } | Body::Link { .. } => return None,
    };
    // One line of prose: line breaks are spaces here, other control characters are shown.
    Some(safe(&text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Failed => "failed",
        Status::Denied => "denied",
        Status::NotRun => "not run",
        Status::TimedOut => "timed out",
        Status::Killed => "killed",
        Status::Running => "runs on",
        Status::Unknown => "?",
    }
}
