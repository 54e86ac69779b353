//! Which acts a record can show: what was never traced is not evidence of absence.

use std::collections::BTreeSet;

/// A kind of act that a record shows, or is blind for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Exec,
    Fork,
    Exit,
    Open,
    Rename,
    Unlink,
    Connect,
    Send,
    /// Signals: without them (`strace -e signal=none`) who dies of one is not seen to end.
    Signals,
    /// Command lines are whole.
    Arguments,
}

impl Part {
    pub const ALL: [Part; 10] = [
        Part::Exec,
        Part::Fork,
        Part::Exit,
        Part::Open,
        Part::Rename,
        Part::Unlink,
        Part::Connect,
        Part::Send,
        Part::Signals,
        Part::Arguments,
    ];

    /// As coverage names it where it is missing.
    pub fn name(self) -> &'static str {
        match self {
            Part::Exec => "record:execve",
            Part::Fork => "record:clone",
            Part::Exit => "record:exit",
            Part::Open => "record:open",
            Part::Rename => "record:rename",
            Part::Unlink => "record:unlink",
            Part::Connect => "record:connect",
            Part::Send => "record:sendto",
            Part::Signals => "record:signals",
            Part::Arguments => "record:arguments",
        }
    }
}

/// Names of calls that were seen. Who asks strace for one of the telltale calls asks for its whole class, or for all.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    calls: BTreeSet<&'static str>,
    /// All of them: the record of another Muster.
    all: bool,
    pub(crate) arguments_cut: bool,
    pub(crate) signals: bool,
}

/// Nobody filters for these: the log has everything.
const UNFILTERED: [&str; 8] =
    ["brk", "mmap", "mprotect", "futex", "read", "rt_sigaction", "set_robust_list", "arch_prctl"];
/// Calls of strace's class `file` that nobody names by hand.
const FILE: [&str; 8] =
    ["access", "faccessat", "faccessat2", "newfstatat", "readlink", "getcwd", "statfs", "lstat"];
/// … of `network`.
const NETWORK: [&str; 5] = ["socket", "setsockopt", "getsockname", "getpeername", "socketpair"];
/// Older names, beside which newer ones stand in a list that was made by hand.
const OLD: [&str; 6] = ["unlink", "rename", "mkdir", "rmdir", "link", "creat"];
/// The rest of what is looked for.
const NAMED: [&str; 21] = [
    "execve",
    "execveat",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "exit",
    "open",
    "openat",
    "openat2",
    "renameat",
    "renameat2",
    "unlinkat",
    "connect",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "symlink",
    "chmod",
    "wait4",
    "waitid",
];

impl Parts {
    pub(crate) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    pub(crate) fn see(&mut self, call: &str) {
        for list in [&UNFILTERED[..], &FILE, &NETWORK, &OLD, &NAMED] {
            if let Some(name) = list.iter().find(|name| **name == call) {
                self.calls.insert(name);
                return;
            }
        }
    }

    fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.calls.contains(name))
    }

    /// Would an act of this kind be in the record?
    pub fn shows(&self, part: Part) -> bool {
        if part == Part::Arguments {
            return !self.arguments_cut;
        }
        if part == Part::Signals {
            return self.all || self.signals;
        }
        if self.all || self.any(&UNFILTERED) {
            return true;
        }
        let file = self.any(&FILE);
        let network = self.any(&NETWORK);
        match part {
            Part::Exec => self.any(&["execve", "execveat"]),
            // A thread is a child for the kernel: a program that starts none is rare, and so is a log without any.
            Part::Fork => self.any(&["clone", "clone3", "fork", "vfork"]),
            Part::Exit => self.calls.contains("exit"),
            // A static program may use `open` where others use `openat`: one of them alone shows half.
            Part::Open => {
                file || self.any(&["open"]) && self.any(&["openat"])
                    || self.any(&["openat"]) && self.any(&OLD)
            }
            Part::Rename => file || self.any(&["rename", "renameat", "renameat2"]),
            Part::Unlink => file || self.any(&["unlink", "unlinkat"]),
            Part::Connect => network || self.any(&["connect"]),
            Part::Send => network || self.any(&["sendto", "sendmsg", "sendmmsg"]),
            Part::Signals | Part::Arguments => true,
        }
    }

    /// What it does not show.
    pub fn blind(&self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(|part| !self.shows(*part))
    }

    /// The calls that were seen, of those that are looked for.
    pub fn calls(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(calls: &str, blind: &[Part]) {
        let mut parts = Parts { signals: true, ..Parts::default() };
        calls.split(' ').for_each(|call| parts.see(call));
        assert_eq!(parts.blind().collect::<Vec<_>>(), blind, "{calls}");
    }

    #[test]
    fn what_was_not_traced_is_blind() {
        check("execve brk mmap", &[]);
        check("execve clone exit", &[Part::Open, Part::Rename, Part::Unlink, Part::Connect, Part::Send]);
        check("execve clone exit openat newfstatat socket", &[]);
        check(
            "execve exit openat connect",
            &[Part::Fork, Part::Open, Part::Rename, Part::Unlink, Part::Send],
        );
        check("execve vfork exit openat rename unlink mkdir connect sendto", &[]);
    }
}
