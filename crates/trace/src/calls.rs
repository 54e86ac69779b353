//! What each system call did, as events.

use std::collections::BTreeMap;

use muster_event::{
    Access, Address, Identity, Kind, MemoryOp, ProcessKey, SignalTarget, redact, redact_argv,
};

use crate::address;
use crate::errno;
use crate::line::Outcome;
use crate::path;
use crate::strace::Strace;
use crate::table::File;
use crate::value::{Value, field};
use crate::warning::Warning;

/// Longest value of an environment's marker that is kept.
const ENV_VALUE_MAX: usize = 512;
/// Bytes of one command line that are kept: as the kernel's own limit for one argument, and a little more.
const ARGV_BYTES_MAX: usize = 256 * 1024;

/// Calls that this module understands, or that tell of folders and files.
const WANTED: [&str; 78] = [
    "execve",
    "execveat",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "open",
    "openat",
    "openat2",
    "creat",
    "close",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "chdir",
    "fchdir",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "lchown",
    "fchown",
    "fchownat",
    "truncate",
    "ftruncate",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "write",
    "kill",
    "tkill",
    "tgkill",
    "pidfd_send_signal",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "bpf",
    "init_module",
    "finit_module",
    "mount",
    "umount2",
    "unshare",
    "setns",
    "chroot",
    "pivot_root",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setsid",
    "setpgid",
    "getuid",
    "wait4",
    "waitid",
    "prctl",
    "memfd_create",
    "move_mount",
];

pub(crate) fn is_wanted(name: &str) -> bool {
    WANTED.contains(&name)
}

impl Strace {
    pub(crate) fn kinds(
        &mut self,
        key: ProcessKey,
        name: &str,
        args: &[Value<'_>],
        outcome: &Outcome<'_>,
    ) -> Vec<Kind> {
        // A call that never came back did nothing that is known.
        let Some(result) = outcome.result else { return Vec::new() };
        let code = result.min(0);
        let arg = |at: usize| args.get(at);
        let plain = |at: usize| args.get(at).map_or("", |v| v.plain());
        let number = |at: usize| args.get(at).and_then(Value::number);
        match name {
            "execve" if result == 0 => self.executed(key, None, args),
            "execveat" if result == 0 => self.executed(key, arg(0), args.get(1..).unwrap_or_default()),
            "open" | "creat" => {
                let flags = if name == "creat" { "O_WRONLY|O_CREAT|O_TRUNC" } else { plain(1) };
                self.opened(key, None, arg(0), flags, result, outcome.text)
            }
            "openat" => self.opened(key, arg(0), arg(1), plain(2), result, outcome.text),
            "openat2" => {
                let flags = field(plain(2), "flags").unwrap_or_default();
                self.opened(key, arg(0), arg(1), flags, result, outcome.text)
            }
            "close" | "dup" | "dup2" | "dup3" | "fcntl" => {
                self.descriptors(key, name, args, result);
                Vec::new()
            }
            "chdir" | "fchdir" if result == 0 => {
                let folder = if name == "chdir" {
                    self.at(key, None, arg(0))
                } else {
                    self.of_descriptor(key, arg(0))
                };
                if let (Some(folder), Some(process)) = (folder, self.table.get_mut(key)) {
                    process.cwd = Some(folder);
                }
                Vec::new()
            }
            "rename" => self.two(key, [None, arg(0), None, arg(1)], |from, to| Kind::Rename {
                from,
                to,
                result: code,
            }),
            "renameat" | "renameat2" => self.two(key, [arg(0), arg(1), arg(2), arg(3)], |from, to| {
                Kind::Rename { from, to, result: code }
            }),
            "link" => {
                self.two(key, [None, arg(0), None, arg(1)], |from, to| Kind::Link { from, to, result: code })
            }
            "linkat" => self.two(key, [arg(0), arg(1), arg(2), arg(3)], |from, to| Kind::Link {
                from,
                to,
                result: code,
            }),
            "symlink" | "symlinkat" => {
                let target = arg(0).and_then(Value::text).unwrap_or_default();
                let (folder, path) = if name == "symlink" { (None, arg(1)) } else { (arg(1), arg(2)) };
                self.one(key, folder, path, |path| Kind::Symlink { target, path, result: code })
            }
            "unlink" => {
                self.one(key, None, arg(0), |path| Kind::Unlink { path, directory: false, result: code })
            }
            "rmdir" => {
                self.one(key, None, arg(0), |path| Kind::Unlink { path, directory: true, result: code })
            }
            "unlinkat" => {
                let directory = plain(2).contains("AT_REMOVEDIR");
                self.one(key, arg(0), arg(1), |path| Kind::Unlink { path, directory, result: code })
            }
            "mkdir" => self.one(key, None, arg(0), |path| Kind::Mkdir { path, result: code }),
            "mkdirat" => self.one(key, arg(0), arg(1), |path| Kind::Mkdir { path, result: code }),
            "chmod" | "fchmod" | "fchmodat" | "fchmodat2" => {
                let at = usize::from(name.starts_with("fchmodat"));
                let mode = octal(plain(at + 1));
                let make = |path| Kind::Chmod { path, mode, result: code };
                match name {
                    "fchmod" => self.of_descriptor(key, arg(0)).map(make).into_iter().collect(),
                    "chmod" => self.one(key, None, arg(0), make),
                    _ => self.one(key, arg(0), arg(1), make),
                }
            }
            "chown" | "lchown" | "fchown" | "fchownat" => {
                let at = usize::from(name == "fchownat");
                let id = |n: usize| number(n).map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
                let (uid, gid) = (id(at + 1), id(at + 2));
                let make = |path| Kind::Chown { path, uid, gid, result: code };
                match name {
                    "fchown" => self.of_descriptor(key, arg(0)).map(make).into_iter().collect(),
                    "fchownat" => self.one(key, arg(0), arg(1), make),
                    _ => self.one(key, None, arg(0), make),
                }
            }
            "truncate" | "ftruncate" => {
                let length = number(1).and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
                let make = |path| Kind::Truncate { path, length, result: code };
                match name {
                    "truncate" => self.one(key, None, arg(0), make),
                    _ => self
                        .of_descriptor(key, arg(0))
                        .filter(|p| p.starts_with('/'))
                        .map(make)
                        .into_iter()
                        .collect(),
                }
            }
            "connect" => self.connected(key, args, code),
            "bind" | "accept" | "accept4" => {
                let Some(address) = address::socket_address(plain(1)) else { return Vec::new() };
                vec![match name {
                    "bind" => Kind::Bind { address, result: code },
                    _ => Kind::Accept { address, result },
                }]
            }
            "sendto" | "sendmsg" | "sendmmsg" | "write" => self.sent(key, name, args, result),
            "kill" | "tkill" | "tgkill" | "pidfd_send_signal" => signalled(name, args, code),
            "ptrace" => {
                let target = number(1).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
                vec![Kind::Ptrace { request: ptrace_request(plain(0)), target, result: code }]
            }
            "process_vm_readv" | "process_vm_writev" => {
                let op = if name.ends_with("readv") { MemoryOp::Read } else { MemoryOp::Write };
                let target = number(0).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
                vec![Kind::ProcessMemory { op, target, result }]
            }
            "bpf" => vec![Kind::Bpf { command: bpf_command(plain(0)), result }],
            "init_module" | "finit_module" => {
                let name = self.of_descriptor(key, arg(0)).unwrap_or_default();
                vec![Kind::LoadModule { name, result: code }]
            }
            "mount" | "umount2" | "move_mount" => {
                let (source, target) = match name {
                    "mount" => (arg(0), arg(1)),
                    "move_mount" => (arg(1), arg(3)),
                    _ => (None, arg(0)),
                };
                let text = |v: Option<&Value<'_>>| v.and_then(Value::text).unwrap_or_default();
                vec![Kind::Mount {
                    call: name.to_owned(),
                    source: text(source),
                    target: text(target),
                    result: code,
                }]
            }
            "unshare" | "setns" => {
                let flags = namespaces(plain(usize::from(name == "setns")));
                vec![Kind::Namespace { call: name.to_owned(), flags, result: code }]
            }
            "chroot" | "pivot_root" => {
                self.one(key, None, arg(0), |path| Kind::Root { call: name.to_owned(), path, result: code })
            }
            "setuid" | "setgid" | "setreuid" | "setregid" | "setresuid" | "setresgid" => {
                let arguments = args.iter().filter_map(Value::number).collect();
                if name == "setuid" && result == 0 {
                    self.set_uid(key, number(0));
                }
                vec![Kind::Credentials { call: name.to_owned(), arguments, result: code }]
            }
            "getuid" => {
                self.set_uid(key, Some(result));
                Vec::new()
            }
            "setsid" if result > 0 => {
                let session = u32::try_from(result).unwrap_or(key.pid);
                if let Some(process) = self.table.get_mut(key) {
                    (process.session, process.group) = (session, session);
                }
                vec![Kind::SetSid { session }]
            }
            "setpgid" if result == 0 => {
                // Zero is oneself.
                let [who, group] =
                    [0, 1].map(|at| number(at).and_then(|n| u32::try_from(n).ok()).unwrap_or(0));
                let who = if who == 0 { Some(key) } else { self.table.of_task(who) };
                if let Some((who, process)) = who.and_then(|who| Some((who, self.table.get_mut(who)?))) {
                    process.group = if group == 0 { who.pid } else { group };
                }
                Vec::new()
            }
            "prctl" if plain(0) == "PR_SET_NAME" && result == 0 => {
                let to: String = arg(1).and_then(Value::text).unwrap_or_default().chars().take(15).collect();
                let Some(process) = self.table.get_mut(key) else { return Vec::new() };
                let from = std::mem::replace(&mut process.comm, to.clone());
                vec![Kind::SetName { from, to }]
            }
            "memfd_create" => {
                let name = arg(0).and_then(Value::text).unwrap_or_default();
                if let Ok(number) = i32::try_from(result)
                    && number >= 0
                {
                    let path = Some(format!("/memfd:{name}"));
                    let close_on_exec = plain(1).contains("MFD_CLOEXEC");
                    self.table.set_file(key, number, File { path, peer: None, close_on_exec });
                }
                vec![Kind::Memfd { name, result }]
            }
            _ => Vec::new(),
        }
    }

    fn executed(&mut self, key: ProcessKey, folder: Option<&Value<'_>>, args: &[Value<'_>]) -> Vec<Kind> {
        // By its descriptor alone (`fexecve`): the path is empty.
        let named = args.first().and_then(Value::text).unwrap_or_default();
        let by_number = folder.is_some() && named.is_empty();
        let found =
            if by_number { self.of_descriptor(key, folder) } else { self.at(key, folder, args.first()) };
        let path = found.unwrap_or(named);
        let mut argv = Vec::new();
        let mut argv_truncated = true;
        if let Some(Value::List { values, cut }) = args.get(1) {
            argv_truncated = *cut;
            let mut left = ARGV_BYTES_MAX;
            for value in values {
                let Value::Text { bytes, cut } = value else { continue };
                argv_truncated |= *cut || bytes.len() > left;
                argv.push(muster_event::escape_bytes(bytes.get(..left).unwrap_or(bytes)));
                left = left.saturating_sub(bytes.len());
            }
        }
        if argv_truncated {
            self.warnings.add(Warning::CutArguments, 1);
            self.parts.arguments_cut = true;
        }
        let env = self.markers(args.get(2));
        self.table.execute(key, &path);
        let Some(process) = self.table.get(key) else { return Vec::new() };
        let anonymous = path.starts_with("/memfd:");
        vec![Kind::Exec {
            path,
            script: None,
            argv: redact_argv(&argv),
            argv_truncated,
            cwd: process.cwd.clone().unwrap_or_default(),
            env,
            parent: process.parent.unwrap_or(ProcessKey { pid: 0, start_ns: 0 }),
            session: process.session,
            group: process.group,
            file: Identity { device: 0, inode: 0 },
            anonymous,
        }]
    }

    /// The environment is printed with `-v` only.
    fn markers(&self, env: Option<&Value<'_>>) -> BTreeMap<String, String> {
        let Some(Value::List { values, .. }) = env else { return BTreeMap::new() };
        values
            .iter()
            .filter_map(|value| {
                let text = value.text()?;
                let (name, value) = text.split_once('=')?;
                let value: String = value.chars().take(ENV_VALUE_MAX).collect();
                (self.options.is_marker)(name).then(|| (name.to_owned(), redact(&value).into_owned()))
            })
            .collect()
    }

    fn opened(
        &mut self,
        key: ProcessKey,
        folder: Option<&Value<'_>>,
        file: Option<&Value<'_>>,
        flags: &str,
        result: i64,
        outcome: &str,
    ) -> Vec<Kind> {
        let has = |flag: &str| flags.split('|').any(|f| f.trim() == flag);
        let noted = Value::Plain(outcome).descriptor().and_then(|(_, note)| note);
        let asked = self.at(key, folder, file);
        let Some(path) = noted.filter(|_| result >= 0).or(asked) else { return Vec::new() };
        if let (true, Ok(number)) = (result >= 0, i32::try_from(result)) {
            let file = File { path: Some(path.clone()), peer: None, close_on_exec: has("O_CLOEXEC") };
            self.table.set_file(key, number, file);
        }
        let write = has("O_WRONLY") || has("O_RDWR");
        let access = Access {
            read: !has("O_WRONLY"),
            write,
            create: has("O_CREAT"),
            truncate: has("O_TRUNC"),
            append: has("O_APPEND"),
        };
        if has("O_PATH") || has("O_DIRECTORY") && !write || !write && !(self.options.is_sensitive)(&path) {
            return Vec::new();
        }
        vec![Kind::Open { path, access, result: result.min(0) }]
    }

    fn descriptors(&mut self, key: ProcessKey, name: &str, args: &[Value<'_>], result: i64) {
        let Some((Some(old), note)) = args.first().and_then(Value::descriptor) else { return };
        if name == "close" {
            return self.table.close(key, old);
        }
        if name == "fcntl" && !args.get(1).is_some_and(|v| v.plain().starts_with("F_DUPFD")) {
            return;
        }
        let Ok(new) = i32::try_from(result) else { return };
        if new < 0 || new == old {
            return;
        }
        let known = self.table.file(key, old).cloned();
        let path = known.as_ref().and_then(|f| f.path.clone()).or(note);
        let text: String = args.iter().skip(1).map(|v| v.plain()).collect::<Vec<_>>().join(" ");
        let close_on_exec = text.contains("CLOEXEC");
        self.table.set_file(key, new, File { path, peer: known.and_then(|f| f.peer), close_on_exec });
    }

    fn connected(&mut self, key: ProcessKey, args: &[Value<'_>], result: i64) -> Vec<Kind> {
        let Some(address) = args.get(1).and_then(|v| address::socket_address(v.plain())) else {
            return Vec::new();
        };
        // `EINPROGRESS`: it goes on meanwhile.
        if let (true, Some((Some(number), _))) =
            (result == 0 || result == -115, args.first().and_then(Value::descriptor))
        {
            let known = self.table.file(key, number).cloned();
            let (path, close_on_exec) = known.map_or((None, true), |f| (f.path, f.close_on_exec));
            self.table.set_file(key, number, File { path, peer: Some(address.clone()), close_on_exec });
        }
        vec![Kind::Connect { address, result }]
    }

    fn sent(&mut self, key: ProcessKey, name: &str, args: &[Value<'_>], result: i64) -> Vec<Kind> {
        let Some((Some(number), note)) = args.first().and_then(Value::descriptor) else { return Vec::new() };
        let (to, data) = match name {
            "sendto" => {
                let to = args.get(4).and_then(|v| address::socket_address(v.plain()));
                (to, args.get(1).and_then(bytes_of))
            }
            "write" => (None, args.get(1).and_then(bytes_of)),
            // Structs, which are kept as text: the name in it, and the first bytes.
            _ => {
                let text = args.iter().skip(1).map(text_of).collect::<Vec<_>>().join(",");
                let to = text.find("msg_name={").and_then(|at| address::socket_address(text.get(at..)?));
                let data = text.find("iov_base=\"").and_then(|at| {
                    let inside = text.get(at + "iov_base=\"".len()..)?;
                    Some(crate::value::unescape(inside.as_bytes(), Some(b'"')).0)
                });
                (to, data)
            }
        };
        let mut out = Vec::new();
        if let Some(address @ Address::Ip { .. }) = &to {
            out.push(Kind::Send { address: address.clone(), result });
        }
        let noted = || note.as_deref().and_then(address::peer_of_note);
        let peer = || self.table.file(key, number).and_then(|file| file.peer.clone());
        let whom = to.or_else(noted).or_else(peer);
        if let (true, Some(whom), Some(data)) = (result >= 0, whom, data) {
            out.extend(address::packet(&data, &whom));
        }
        out
    }

    fn set_uid(&mut self, key: ProcessKey, uid: Option<i64>) {
        if let (Some(uid), Some(process)) = (uid.and_then(|n| u32::try_from(n).ok()), self.table.get_mut(key))
        {
            process.uid = uid;
        }
    }

    fn one(
        &mut self,
        key: ProcessKey,
        folder: Option<&Value<'_>>,
        file: Option<&Value<'_>>,
        make: impl FnOnce(String) -> Kind,
    ) -> Vec<Kind> {
        self.at(key, folder, file).map(make).into_iter().collect()
    }

    fn two(
        &mut self,
        key: ProcessKey,
        [old_folder, old, new_folder, new]: [Option<&Value<'_>>; 4],
        make: impl FnOnce(String, String) -> Kind,
    ) -> Vec<Kind> {
        let old = self.at(key, old_folder, old);
        let new = self.at(key, new_folder, new);
        old.zip(new).map(|(old, new)| make(old, new)).into_iter().collect()
    }

    /// The file of an open descriptor.
    fn of_descriptor(&self, key: ProcessKey, value: Option<&Value<'_>>) -> Option<String> {
        let (number, note) = value?.descriptor()?;
        note.or_else(|| self.table.file(key, number?)?.path.clone())
    }

    /// A path as the kernel would have it, seen from a folder's descriptor or the working folder.
    fn at(
        &mut self,
        key: ProcessKey,
        folder: Option<&Value<'_>>,
        file: Option<&Value<'_>>,
    ) -> Option<String> {
        let given = file?.text()?;
        // A number that cannot be one stands for a folder that is not known.
        let (number, note) = folder.map_or((None, None), |v| v.descriptor().unwrap_or((Some(-1), None)));
        // `AT_FDCWD</w>` tells the working folder, whatever the path is.
        if let (None, Some(note), Some(process)) = (number, &note, self.table.get_mut(key)) {
            process.cwd = Some(note.clone());
        }
        if given.is_empty() {
            return self.of_descriptor(key, folder);
        }
        let cwd = || self.table.get(key).and_then(|p| p.cwd.clone());
        if given.starts_with('/') {
            let normal = path::normal(&given);
            if let Some((number, below)) = path::descriptor(&normal, key.pid)
                && let Some(base) = self.table.file(key, number).and_then(|f| f.path.clone())
            {
                return Some(if below.is_empty() { base } else { path::join(&base, below) });
            }
            if let (Some(below), Some(cwd)) = (path::working_folder(&normal, key.pid), cwd()) {
                return Some(path::join(&cwd, below));
            }
            if path::is_program(&normal, key.pid)
                && let Some(program) = self.table.get(key).and_then(|p| p.program.clone())
            {
                return Some(program);
            }
            return Some(normal);
        }
        let base = match number {
            Some(number) => note.or_else(|| self.table.file(key, number)?.path.clone()),
            None => cwd(),
        };
        let base = base.unwrap_or_else(|| path::UNKNOWN.to_owned());
        if base.starts_with(path::UNKNOWN) {
            self.warnings.add(Warning::UnknownFolder, 1);
        }
        Some(path::join(&base, &given))
    }
}

fn bytes_of(value: &Value<'_>) -> Option<Vec<u8>> {
    if let Value::Text { bytes, .. } = value { Some(bytes.clone()) } else { None }
}

/// Plain text of a value; of an array, that of its parts.
pub(crate) fn text_of(value: &Value<'_>) -> String {
    match value {
        Value::Plain(text) => (*text).to_owned(),
        Value::List { values, .. } => values.iter().map(text_of).collect::<Vec<_>>().join(","),
        Value::Text { .. } => String::new(),
    }
}

fn signalled(name: &str, args: &[Value<'_>], result: i64) -> Vec<Kind> {
    let number = |at: usize| args.get(at).and_then(Value::number);
    let at = if name == "tgkill" { 2 } else { 1 };
    let Some(signal) = args.get(at).and_then(|v| errno::signal(v.plain())) else { return Vec::new() };
    let target = match (name, number(0)) {
        // Its note names the process: `4<pid:123>`.
        ("pidfd_send_signal", _) => {
            let note = args.first().and_then(Value::descriptor).and_then(|(_, note)| note);
            let pid = note.and_then(|note| note.strip_prefix("pid:").and_then(|n| n.parse().ok()));
            let Some(pid) = pid else { return Vec::new() };
            SignalTarget::Process(pid)
        }
        (_, None) => return Vec::new(),
        ("kill", Some(-1)) => SignalTarget::Everyone,
        ("kill", Some(group)) if group <= 0 => {
            SignalTarget::Group(u32::try_from(group.unsigned_abs()).unwrap_or_default())
        }
        (_, Some(pid)) => SignalTarget::Process(u32::try_from(pid).unwrap_or_default()),
    };
    vec![Kind::Signal { target, signal, result }]
}

fn octal(text: &str) -> u32 {
    u32::from_str_radix(text.trim_start_matches("0o"), 8).unwrap_or_default()
}

fn namespaces(flags: &str) -> u64 {
    const FLAGS: [(&str, u64); 8] = [
        ("CLONE_NEWTIME", 0x80),
        ("CLONE_NEWNS", 0x2_0000),
        ("CLONE_NEWCGROUP", 0x200_0000),
        ("CLONE_NEWUTS", 0x400_0000),
        ("CLONE_NEWIPC", 0x800_0000),
        ("CLONE_NEWUSER", 0x1000_0000),
        ("CLONE_NEWPID", 0x2000_0000),
        ("CLONE_NEWNET", 0x4000_0000),
    ];
    let has = |name: &str| flags.split('|').any(|flag| flag.trim() == name);
    FLAGS.iter().filter(|(name, _)| has(name)).fold(0, |sum, (_, flag)| sum | flag)
}

fn ptrace_request(name: &str) -> i64 {
    match name {
        "PTRACE_TRACEME" => 0,
        "PTRACE_PEEKTEXT" => 1,
        "PTRACE_PEEKDATA" => 2,
        "PTRACE_POKETEXT" => 4,
        "PTRACE_POKEDATA" => 5,
        "PTRACE_CONT" => 7,
        "PTRACE_ATTACH" => 16,
        "PTRACE_DETACH" => 17,
        "PTRACE_SEIZE" => 0x4206,
        other => crate::value::number(other).unwrap_or(-1),
    }
}

fn bpf_command(name: &str) -> u32 {
    match name {
        "BPF_MAP_CREATE" => 0,
        "BPF_PROG_LOAD" => 5,
        "BPF_OBJ_PIN" => 6,
        "BPF_OBJ_GET" => 7,
        "BPF_LINK_CREATE" => 28,
        other => other.parse().unwrap_or(u32::MAX),
    }
}
