//! Records of the probes to acts.

use muster_event::{
    Access, Address, Identity, Kind, MemoryOp, OUTPUT_LINES_MAX, OutputText, ProcessKey, SignalTarget,
    escape_bytes, line_hash, redact_argv,
};

use crate::markers;
use crate::network;
use crate::paths::{self, Resolver};
use crate::recipes::{self, Call};
use crate::sensitive;
use crate::wire::{Raw, flag, kind, tag, until_nul};

const O_ACCMODE: u64 = 3;
const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;
const O_APPEND: u64 = 0o2000;
const AT_REMOVEDIR: i64 = 0x200;
const FMODE_WRITE: u32 = 2;
const FMODE_READ: u32 = 1;
const S_IFMT: u64 = 0o170_000;
const S_IFREG: u64 = 0o100_000;
const PR_SET_NAME: u64 = 15;
/// `personality(0xffffffff)` only asks.
const PERSONALITY_QUERY: u64 = 0xffff_ffff;

/// What a system call was, by its number.
pub(crate) struct Calls(Vec<Option<Call>>);

impl Default for Calls {
    fn default() -> Self {
        let mut calls = vec![None; recipes::NUMBERS];
        for (number, call, _) in recipes::ALL {
            if let Some(slot) = calls.get_mut(*number as usize) {
                *slot = Some(*call);
            }
        }
        Calls(calls)
    }
}

/// Makes acts of single records, without a kernel: to be measured.
#[derive(Default)]
pub struct Decoder {
    calls: Calls,
    resolver: Resolver,
}

impl Decoder {
    /// What this record says, if it is whole and of an act.
    pub fn kind(&mut self, record: &[u8]) -> Option<Kind> {
        let raw = Raw::parse(record)?;
        match raw.kind {
            kind::FORK => Some(fork(&raw)),
            kind::EXEC => Some(exec(&raw, &[], &mut self.resolver)),
            kind::EXIT => Some(exit(&raw)),
            kind::SYSCALL => syscall(&raw, &self.calls, "", &mut self.resolver),
            kind::URING => Some(uring(&raw, &mut self.resolver)),
            kind::OUTPUT => Some(output(&raw)),
            _ => None,
        }
    }
}

/// The kernel's `dev_t` (major in the upper 12 bits) as `stat` gives it.
pub(crate) fn device(kernel: u32) -> u64 {
    rustix::fs::makedev(kernel >> 20, kernel & 0xf_ffff)
}

/// The other way round: as the probes compare it.
pub(crate) fn kernel_device(device: u64) -> u64 {
    u64::from(rustix::fs::major(device)) << 20 | u64::from(rustix::fs::minor(device))
}

/// A command line or an environment: strings, each ended by a NUL.
pub(crate) fn strings(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|b| *b == 0).map(escape_bytes).collect()
}

/// An execution. `more`: what followed of a long command line.
pub(crate) fn exec(raw: &Raw, more: &[u8], resolver: &mut Resolver) -> Kind {
    let mut argv = raw.blob(tag::ARGV).unwrap_or_default().to_vec();
    argv.extend_from_slice(more);
    let argv_truncated = (argv.len() as u64) < raw.arg(1);
    let file = raw.file();
    let cwd = raw.blob(tag::CWD).map(|c| paths::from_components(c, raw.has(flag::CUT_PATH)));
    let script = raw.has(flag::SCRIPT).then(|| {
        let name = until_nul(raw.blob(tag::NAME).unwrap_or_default());
        resolver.resolve(name, cwd.as_deref(), None)
    });
    let environment = raw.blob(tag::ENV).unwrap_or_default();
    let env = if (environment.len() as u64) < raw.arg(2) {
        // Longer than a record holds: the rest is read from the process, if it is still there.
        markers::of_process(raw.tgid).unwrap_or_else(|| markers::of_environment(environment))
    } else {
        markers::of_environment(environment)
    };
    Kind::Exec {
        path: paths::of_file(raw).unwrap_or_default(),
        script,
        argv: redact_argv(&strings(&argv)),
        argv_truncated,
        cwd: cwd.as_deref().map(escape_bytes).unwrap_or_default(),
        env,
        parent: ProcessKey::new(raw.parent, raw.parent_start),
        session: raw.session,
        group: raw.group,
        file: file.map_or(Identity { device: 0, inode: 0 }, |f| Identity {
            device: device(f.device),
            inode: f.inode,
        }),
        anonymous: file.is_some_and(|f| f.internal || f.links == 0),
    }
}

pub(crate) fn fork(raw: &Raw) -> Kind {
    Kind::Fork { child: ProcessKey::new(raw.arg(0) as u32, raw.arg(1)) }
}

/// The kernel's wait status: signal in the low seven bits, else the code in the next eight.
pub(crate) fn exit(raw: &Raw) -> Kind {
    let status = raw.ret as i32;
    match status & 0x7f {
        0 => Kind::Exit { code: Some(status >> 8 & 0xff), signal: None },
        signal => Kind::Exit { code: None, signal: Some(signal) },
    }
}

/// What was written to a stream: its beginning becomes hashes here, and goes no further.
pub(crate) fn output(raw: &Raw) -> Kind {
    let data = raw.blob(tag::DATA).unwrap_or_default();
    let bytes = raw.arg(0);
    let cut = (data.len() as u64) < bytes;
    let text = String::from_utf8_lossy(data);
    // What was cut ends within a line.
    let seen = if cut { text.rsplit_once('\n').map_or("", |(seen, _)| seen) } else { &text };
    // What is no text is shown in many ways, or not at all.
    let binary = text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    let shown = OutputText::new(seen);
    let mut hashes = Vec::new();
    let mut more = false;
    for hash in shown.lines.iter().map(|line| line_hash(line)) {
        if hashes.contains(&hash) {
            continue;
        }
        if hashes.len() == OUTPUT_LINES_MAX {
            more = true;
            break;
        }
        hashes.push(hash);
    }
    Kind::Output {
        stream: raw.nr,
        bytes,
        lines: shown.lines.len() as u64,
        whole: !cut && raw.arg(1) == 0 && !binary && !shown.drawn && !more,
        hashes,
    }
}

pub(crate) fn uring(raw: &Raw, resolver: &mut Resolver) -> Kind {
    let operation = recipes::URING.iter().find(|(number, _)| *number == raw.nr);
    Kind::IoUring {
        operation: operation.map_or_else(|| format!("operation {}", raw.nr), |(_, name)| (*name).to_owned()),
        path: raw.blob(tag::TEXT1).map(|_| resolver.argument(raw, true)),
        flags: raw.arg(1),
    }
}

/// A system call. `None`: no act worth a record.
pub(crate) fn syscall(raw: &Raw, calls: &Calls, comm_before: &str, resolver: &mut Resolver) -> Option<Kind> {
    let result = raw.ret;
    if raw.has(flag::COMPAT) {
        return Some(Kind::Compat { number: raw.nr, result });
    }
    let call = (*calls.0.get(raw.nr as usize)?)?;
    let text = |tag| escape_bytes(until_nul(raw.blob(tag).unwrap_or_default()));
    let address = || network::address(raw);
    Some(match call {
        Call::Open => return open(raw, resolver),
        Call::Rename => {
            let (from, to) = (resolver.argument(raw, true), resolver.argument(raw, false));
            Kind::Rename { from, to, result }
        }
        Call::Link => {
            let (from, to) = (resolver.argument(raw, true), resolver.argument(raw, false));
            Kind::Link { from, to, result }
        }
        Call::Symlink => {
            Kind::Symlink { target: text(tag::TEXT1), path: resolver.argument(raw, false), result }
        }
        Call::Unlink { flags, directory } => Kind::Unlink {
            path: resolver.argument(raw, true),
            directory: directory || flags.is_some_and(|at| raw.int(at) & AT_REMOVEDIR != 0),
            result,
        },
        Call::Mkdir => Kind::Mkdir { path: resolver.argument(raw, true), result },
        Call::Mknod { mode } => match raw.arg(mode) & S_IFMT {
            // A plain file, as `open` would make it.
            0 | S_IFREG => Kind::Open {
                path: resolver.argument(raw, true),
                access: Access { read: false, write: false, create: true, truncate: false, append: false },
                result,
            },
            _ => Kind::Control {
                call: "mknod".to_owned(),
                arguments: vec![raw.int(mode), raw.int(mode + 1)],
                result,
            },
        },
        Call::Chmod { mode } => {
            let mode = raw.arg(mode) as u32 & 0o7777;
            Kind::Chmod { path: path_or_file(raw, resolver), mode, result }
        }
        Call::Chown { uid } => Kind::Chown {
            path: path_or_file(raw, resolver),
            uid: raw.arg(uid) as u32,
            gid: raw.arg(uid + 1) as u32,
            result,
        },
        Call::Truncate => Kind::Truncate { path: path_or_file(raw, resolver), length: raw.arg(1), result },
        Call::Connect => Kind::Connect { address: address()?, result },
        Call::Bind => Kind::Bind { address: address()?, result },
        Call::Listen => Kind::Listen { address: address()?, result },
        Call::Accept => {
            Kind::Accept { address: address().unwrap_or(Address::Unix { path: String::new() }), result }
        }
        Call::Send => Kind::Send { address: address()?, result },
        Call::Kill => signal(kill_target(raw.int(0)), raw.int(1), result)?,
        Call::ThreadKill { target, signal: number } => {
            signal(SignalTarget::Process(raw.int(target) as u32), raw.int(number), result)?
        }
        Call::PidfdKill => signal(SignalTarget::Process(raw.arg(5) as u32), raw.int(1), result)?,
        Call::Ptrace => Kind::Ptrace { request: raw.arg(0) as i64, target: raw.arg(1) as u32, result },
        Call::ProcessMemory { write } => Kind::ProcessMemory {
            op: if write { MemoryOp::Write } else { MemoryOp::Read },
            target: raw.arg(0) as u32,
            result,
        },
        Call::PidfdGetfd => {
            Kind::Control { call: "pidfd_getfd".to_owned(), arguments: vec![raw.int(5), raw.int(1)], result }
        }
        Call::Bpf => Kind::Bpf { command: raw.arg(0) as u32, result },
        Call::Module => Kind::LoadModule { name: paths::of_file(raw).unwrap_or_default(), result },
        Call::Mount(call) => {
            let (source, target) = match call {
                "mount" => (text(tag::TEXT1), resolver.argument(raw, false)),
                "umount" => (String::new(), resolver.argument(raw, false)),
                "move_mount" => (resolver.argument(raw, true), resolver.argument(raw, false)),
                "fsopen" => (text(tag::TEXT1), String::new()),
                _ => (String::new(), resolver.argument(raw, true)),
            };
            Kind::Mount { call: call.to_owned(), source, target, result }
        }
        Call::Namespace { call, flags } => {
            Kind::Namespace { call: call.to_owned(), flags: raw.arg(flags), result }
        }
        Call::Root(call) => Kind::Root { call: call.to_owned(), path: resolver.argument(raw, true), result },
        Call::Credentials { call, arguments } => Kind::Credentials {
            call: call.to_owned(),
            arguments: (0..arguments).map(|at| raw.int(at)).collect(),
            result,
        },
        Call::Prctl if raw.arg(0) == PR_SET_NAME => {
            // The kernel keeps 15 bytes.
            let name = until_nul(raw.blob(tag::TEXT1).unwrap_or_default());
            let to = escape_bytes(name.get(..15).unwrap_or(name));
            if to == comm_before {
                return None;
            }
            Kind::SetName { from: comm_before.to_owned(), to }
        }
        Call::Prctl => {
            Kind::Control { call: "prctl".to_owned(), arguments: vec![raw.int(0), raw.arg(1) as i64], result }
        }
        Call::Memfd => Kind::Memfd { name: text(tag::TEXT1), result },
        Call::ExecMemory { call } => Kind::ExecMemory {
            call: call.to_owned(),
            length: raw.arg(1),
            // An address is no result.
            result: if (-4095..0).contains(&result) { result } else { 0 },
        },
        Call::SetSid => Kind::SetSid { session: raw.session },
        Call::Write => return None,
        Call::Personality if raw.arg(0) & PERSONALITY_QUERY == PERSONALITY_QUERY => return None,
        Call::Personality => {
            Kind::Control { call: "personality".to_owned(), arguments: vec![raw.int(0)], result }
        }
        Call::Control { call, arguments } => Kind::Control {
            call: call.to_owned(),
            arguments: (0..arguments).map(|at| raw.int(at)).collect(),
            result,
        },
    })
}

/// Of the file behind a descriptor, where the call named one; else of the path.
fn path_or_file(raw: &Raw, resolver: &mut Resolver) -> String {
    paths::of_file(raw).unwrap_or_else(|| resolver.argument(raw, true))
}

fn open(raw: &Raw, resolver: &mut Resolver) -> Option<Kind> {
    let flags = raw.arg(5);
    let (create, truncate, append) = (flags & O_CREAT != 0, flags & O_TRUNC != 0, flags & O_APPEND != 0);
    let (read, write, path) = match raw.file() {
        Some(file) => {
            let (read, write) = (file.open_mode & FMODE_READ != 0, file.open_mode & FMODE_WRITE != 0);
            (read, write, paths::of_file(raw)?)
        }
        // Refused: only what was asked for is known.
        None => {
            let asked = flags & O_ACCMODE;
            (asked != 1, asked != 0, resolver.argument(raw, true))
        }
    };
    if !write && !create && !truncate && raw.ret >= 0 && !sensitive::is_sensitive(&path) {
        return None;
    }
    Some(Kind::Open {
        path,
        access: Access { read, write, create, truncate, append },
        result: raw.ret.min(0),
    })
}

/// Signal 0 only asks whether the process is there.
fn signal(target: SignalTarget, signal: i64, result: i64) -> Option<Kind> {
    (signal != 0).then_some(Kind::Signal { target, signal: signal as i32, result })
}

fn kill_target(pid: i64) -> SignalTarget {
    match pid {
        -1 => SignalTarget::Everyone,
        0 => SignalTarget::Group(0),
        pid if pid < 0 => SignalTarget::Group(pid.unsigned_abs() as u32),
        pid => SignalTarget::Process(pid as u32),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::HEAD_LEN;

    /// A record: head fields by hand, blobs behind.
    fn record(kind: u16, nr: u32, ret: i64, args: [u64; 6], blobs: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = vec![0u8; HEAD_LEN];
        out[..2].copy_from_slice(&kind.to_ne_bytes());
        out[4..8].copy_from_slice(&nr.to_ne_bytes());
        out[80..88].copy_from_slice(&ret.to_ne_bytes());
        for (at, arg) in args.iter().enumerate() {
            out[88 + at * 8..96 + at * 8].copy_from_slice(&arg.to_ne_bytes());
        }
        for (tag, bytes) in blobs {
            out.extend(tag.to_ne_bytes());
            out.extend((bytes.len() as u16).to_ne_bytes());
            out.extend(*bytes);
        }
        out
    }

    fn decoded(nr: u32, ret: i64, args: [u64; 6], blobs: &[(u16, &[u8])]) -> Option<Kind> {
        let bytes = record(4, nr, ret, args, blobs);
        syscall(&Raw::parse(&bytes).unwrap(), &Calls::default(), "before", &mut Resolver::default())
    }

    #[test]
    fn calls_become_acts() {
        let base: (u16, &[u8]) = (tag::BASE1, b"nowhere\0");
        assert_eq!(
            decoded(263, 0, [0, 0, 0x200, 0, 0, 0], &[(tag::TEXT1, b"x\0"), base]),
            Some(Kind::Unlink { path: "/nowhere/x".into(), directory: true, result: 0 })
        );
        assert_eq!(
            decoded(62, -1, [-7i64 as u64, 9, 0, 0, 0, 0], &[]),
            Some(Kind::Signal { target: SignalTarget::Group(7), signal: 9, result: -1 })
        );
        assert_eq!(decoded(62, 0, [7, 0, 0, 0, 0, 0], &[]), None);
        assert_eq!(
            decoded(157, 0, [15, 0, 0, 0, 0, 0], &[(tag::TEXT1, b"kworker/0:1-and-more\0")]),
            Some(Kind::SetName { from: "before".into(), to: "kworker/0:1-and".into() })
        );
        assert_eq!(decoded(135, 0, [0xffff_ffff, 0, 0, 0, 0, 0], &[]), None);
        assert_eq!(decoded(999, 0, [0; 6], &[]), None);
    }

    #[test]
    fn a_status_is_a_code_or_a_signal() {
        let of = |status: i64| exit(&Raw::parse(&record(3, 0, status, [0; 6], &[])).unwrap());
        assert_eq!(of(0x300), Kind::Exit { code: Some(3), signal: None });
        assert_eq!(of(9), Kind::Exit { code: None, signal: Some(9) });
        assert_eq!(of(0x8b), Kind::Exit { code: None, signal: Some(11) });
    }

    #[test]
    fn devices_are_those_of_stat() {
        assert_eq!(device(8 << 20 | 1), rustix::fs::makedev(8, 1));
        assert_eq!(kernel_device(rustix::fs::makedev(259, 300)), 259 << 20 | 300);
    }

    proptest! {
        #[test]
        fn any_record_is_decoded_without_panic(nr in 0u32..520, ret: i64, args: [u64; 6], tags in proptest::collection::vec((1u16..15, proptest::collection::vec(any::<u8>(), 0..64)), 0..6)) {
            let blobs: Vec<(u16, &[u8])> = tags.iter().map(|(tag, bytes)| (*tag, bytes.as_slice())).collect();
            let _ = decoded(nr, ret, args, &blobs);
            let bytes = record(2, nr, ret, args, &blobs);
            let raw = Raw::parse(&bytes).unwrap();
            let _ = (exec(&raw, &[], &mut Resolver::default()), fork(&raw), exit(&raw), output(&raw), uring(&raw, &mut Resolver::default()));
        }
    }
}
