//! Which system calls are recorded, and what the probe takes from each: the twin of the `R_*` constants in `bpf/wire.h`.
//! x86-64 numbers.

/// What a system call is, for `decode`. The fields are positions of arguments, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Rename,
    Link,
    Symlink,
    Unlink {
        flags: Option<usize>,
        directory: bool,
    },
    Mkdir,
    Mknod {
        mode: usize,
    },
    /// Of a path, or of an open file where the record has one.
    Chmod {
        mode: usize,
    },
    Chown {
        uid: usize,
    },
    Truncate,
    Connect,
    Bind,
    Listen,
    Accept,
    Send,
    Kill,
    ThreadKill {
        target: usize,
        signal: usize,
    },
    PidfdKill,
    Ptrace,
    ProcessMemory {
        write: bool,
    },
    PidfdGetfd,
    Bpf,
    Module,
    Mount(&'static str),
    Namespace {
        call: &'static str,
        flags: usize,
    },
    Root(&'static str),
    Credentials {
        call: &'static str,
        arguments: usize,
    },
    Prctl,
    Memfd,
    ExecMemory {
        call: &'static str,
    },
    SetSid,
    /// Only noted in the output of a command, never a record of its own.
    Write,
    Personality,
    Control {
        call: &'static str,
        arguments: usize,
    },
}

/// Positions of arguments (0 for none, else 1 + index), as in `wire.h`.
const fn dir1(a: u64) -> u64 {
    a
}
const fn path1(a: u64) -> u64 {
    a << 3
}
const fn dir2(a: u64) -> u64 {
    a << 6
}
const fn path2(a: u64) -> u64 {
    a << 9
}
const fn fd(a: u64) -> u64 {
    a << 12
}
const fn string1(a: u64) -> u64 {
    a << 15
}
const fn sockaddr(a: u64) -> u64 {
    a << 21
}
const fn flags(a: u64) -> u64 {
    a << 24
}
const USED: u64 = 1 << 32;
const OPEN: u64 = 1 << 33;
const HOW: u64 = 1 << 34;
const CREAT: u64 = 1 << 35;
const MMAP: u64 = 1 << 36;
const MPROTECT: u64 = 1 << 37;
const CLONE: u64 = 1 << 38;
const CLONE3: u64 = 1 << 39;
const PRCTL: u64 = 1 << 40;
const LOCAL: u64 = 1 << 41;
const PEER: u64 = 1 << 42;
const ACCEPTED: u64 = 1 << 43;
const SENT: u64 = 1 << 44;
const MSG: u64 = 1 << 45;
const PIDFD: u64 = 1 << 46;
const SUCCESS: u64 = 1 << 47;
const WRITE: u64 = 1 << 48;
const VECTOR: u64 = 1 << 49;
const UNSEEN: u64 = 1 << 50;

/// The path is the first argument; it is the second, relative to the folder in the first; and pairs of each.
const PATH: u64 = path1(1);
const AT: u64 = dir1(1) | path1(2);
const PATHS: u64 = path1(1) | path2(2);
const ATS: u64 = dir1(1) | path1(2) | dir2(3) | path2(4);

/// Entries of the probes' table.
pub(crate) const NUMBERS: usize = 512;

pub(crate) const ALL: &[(u32, Call, u64)] = &[
    (2, Call::Open, OPEN | PATH | flags(2)),
    (85, Call::Open, OPEN | CREAT | PATH),
    (257, Call::Open, OPEN | AT | flags(3)),
    (437, Call::Open, OPEN | HOW | AT | flags(3)),
    (304, Call::Open, OPEN | flags(3)),
    (82, Call::Rename, PATHS),
    (264, Call::Rename, ATS),
    (316, Call::Rename, ATS),
    (86, Call::Link, PATHS),
    (265, Call::Link, ATS),
    (88, Call::Symlink, string1(1) | path2(2)),
    (266, Call::Symlink, string1(1) | dir2(2) | path2(3)),
    (87, Call::Unlink { flags: None, directory: false }, PATH),
    (263, Call::Unlink { flags: Some(2), directory: false }, AT),
    (84, Call::Unlink { flags: None, directory: true }, PATH),
    (83, Call::Mkdir, PATH),
    (258, Call::Mkdir, AT),
    (133, Call::Mknod { mode: 1 }, PATH),
    (259, Call::Mknod { mode: 2 }, AT),
    (90, Call::Chmod { mode: 1 }, PATH),
    (91, Call::Chmod { mode: 1 }, fd(1)),
    (268, Call::Chmod { mode: 2 }, AT),
    (452, Call::Chmod { mode: 2 }, AT),
    (92, Call::Chown { uid: 1 }, PATH),
    (94, Call::Chown { uid: 1 }, PATH),
    (93, Call::Chown { uid: 1 }, fd(1)),
    (260, Call::Chown { uid: 2 }, AT),
    (76, Call::Truncate, PATH),
    (77, Call::Truncate, fd(1)),
    (42, Call::Connect, PEER | fd(1) | sockaddr(2)),
    (49, Call::Bind, LOCAL | fd(1) | sockaddr(2)),
    (50, Call::Listen, LOCAL | fd(1)),
    (43, Call::Accept, ACCEPTED),
    (288, Call::Accept, ACCEPTED),
    (1, Call::Write, WRITE | fd(1)),
    (18, Call::Write, WRITE | fd(1)),
    (20, Call::Write, WRITE | VECTOR | fd(1)),
    (296, Call::Write, WRITE | VECTOR | fd(1)),
    (328, Call::Write, WRITE | VECTOR | fd(1)),
    (40, Call::Write, WRITE | UNSEEN | fd(1)),
    (278, Call::Write, WRITE | UNSEEN | fd(1)),
    (276, Call::Write, WRITE | UNSEEN | fd(2)),
    (275, Call::Write, WRITE | UNSEEN | fd(3)),
    (326, Call::Write, WRITE | UNSEEN | fd(3)),
    (44, Call::Send, WRITE | SENT | fd(1) | sockaddr(5)),
    (46, Call::Send, WRITE | SENT | MSG | fd(1) | sockaddr(2)),
    (307, Call::Send, SENT | MSG | sockaddr(2)),
    (62, Call::Kill, USED),
    (200, Call::ThreadKill { target: 0, signal: 1 }, USED),
    (234, Call::ThreadKill { target: 0, signal: 2 }, USED),
    (129, Call::ThreadKill { target: 0, signal: 1 }, USED),
    (297, Call::ThreadKill { target: 0, signal: 2 }, USED),
    (424, Call::PidfdKill, PIDFD | fd(1)),
    (101, Call::Ptrace, USED),
    (310, Call::ProcessMemory { write: false }, USED),
    (311, Call::ProcessMemory { write: true }, USED),
    (438, Call::PidfdGetfd, PIDFD | fd(1)),
    (321, Call::Bpf, USED),
    (175, Call::Module, USED),
    (313, Call::Module, fd(1)),
    (176, Call::Control { call: "delete_module", arguments: 2 }, USED),
    (165, Call::Mount("mount"), string1(1) | path2(2)),
    (166, Call::Mount("umount"), path2(1)),
    (429, Call::Mount("move_mount"), ATS),
    (428, Call::Mount("open_tree"), AT),
    (430, Call::Mount("fsopen"), string1(1)),
    (442, Call::Mount("mount_setattr"), AT),
    (431, Call::Control { call: "fsconfig", arguments: 2 }, USED),
    (432, Call::Control { call: "fsmount", arguments: 3 }, USED),
    (272, Call::Namespace { call: "unshare", flags: 0 }, USED),
    (308, Call::Namespace { call: "setns", flags: 1 }, USED),
    (56, Call::Namespace { call: "clone", flags: 0 }, CLONE),
    (435, Call::Namespace { call: "clone", flags: 0 }, CLONE3),
    (161, Call::Root("chroot"), PATH),
    (155, Call::Root("pivot_root"), PATHS),
    (105, Call::Credentials { call: "setuid", arguments: 1 }, USED),
    (106, Call::Credentials { call: "setgid", arguments: 1 }, USED),
    (113, Call::Credentials { call: "setreuid", arguments: 2 }, USED),
    (114, Call::Credentials { call: "setregid", arguments: 2 }, USED),
    (116, Call::Credentials { call: "setgroups", arguments: 1 }, USED),
    (117, Call::Credentials { call: "setresuid", arguments: 3 }, USED),
    (119, Call::Credentials { call: "setresgid", arguments: 3 }, USED),
    (122, Call::Credentials { call: "setfsuid", arguments: 1 }, USED),
    (123, Call::Credentials { call: "setfsgid", arguments: 1 }, USED),
    (126, Call::Credentials { call: "capset", arguments: 0 }, USED),
    (157, Call::Prctl, PRCTL | string1(2)),
    (319, Call::Memfd, string1(1)),
    (447, Call::Control { call: "memfd_secret", arguments: 1 }, USED),
    (9, Call::ExecMemory { call: "mmap" }, MMAP),
    (10, Call::ExecMemory { call: "mprotect" }, MPROTECT),
    (329, Call::ExecMemory { call: "mprotect" }, MPROTECT),
    (112, Call::SetSid, SUCCESS),
    (425, Call::Control { call: "io_uring_setup", arguments: 1 }, USED),
    (317, Call::Control { call: "seccomp", arguments: 2 }, USED),
    (298, Call::Control { call: "perf_event_open", arguments: 0 }, USED),
    (323, Call::Control { call: "userfaultfd", arguments: 1 }, USED),
    (300, Call::Control { call: "fanotify_init", arguments: 2 }, USED),
    (301, Call::Control { call: "fanotify_mark", arguments: 3 }, USED),
    (135, Call::Personality, USED),
    (246, Call::Control { call: "kexec_load", arguments: 0 }, USED),
    (320, Call::Control { call: "kexec_file_load", arguments: 2 }, USED),
    (172, Call::Control { call: "iopl", arguments: 1 }, USED),
    (173, Call::Control { call: "ioperm", arguments: 3 }, USED),
    (164, Call::Control { call: "settimeofday", arguments: 0 }, USED),
    (227, Call::Control { call: "clock_settime", arguments: 1 }, USED),
    (169, Call::Control { call: "reboot", arguments: 3 }, USED),
];

/// Operations of an io_uring that are recorded, by their number.
pub(crate) const URING: &[(u32, &str)] = &[
    (9, "sendmsg"),
    (13, "accept"),
    (16, "connect"),
    (18, "openat"),
    (26, "send"),
    (28, "openat2"),
    (35, "renameat"),
    (36, "unlinkat"),
    (37, "mkdirat"),
    (38, "symlinkat"),
    (39, "linkat"),
    (45, "socket"),
    (46, "uring_cmd"),
    (47, "send_zc"),
    (48, "sendmsg_zc"),
    (55, "ftruncate"),
    (56, "bind"),
    (57, "listen"),
];

pub(crate) fn uring_mask() -> u64 {
    URING.iter().fold(0, |mask, (number, _)| mask | 1 << number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_number_stands_once_and_says_what_to_take() {
        let numbers: BTreeSet<u32> = ALL.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers.len(), ALL.len());
        assert!(ALL.iter().all(|(number, _, recipe)| (*number as usize) < NUMBERS && *recipe != 0));
    }

    /// The two sides of the table must not drift apart.
    #[test]
    fn the_flags_are_those_of_the_probes() {
        let header = include_str!("../bpf/wire.h");
        for (name, value) in [
            ("USED", USED),
            ("OPEN", OPEN),
            ("HOW", HOW),
            ("CREAT", CREAT),
            ("MMAP", MMAP),
            ("MPROTECT", MPROTECT),
            ("CLONE", CLONE),
            ("CLONE3", CLONE3),
            ("PRCTL", PRCTL),
            ("LOCAL", LOCAL),
            ("PEER", PEER),
            ("ACCEPTED", ACCEPTED),
            ("SENT", SENT),
            ("MSG", MSG),
            ("PIDFD", PIDFD),
            ("SUCCESS", SUCCESS),
            ("WRITE", WRITE),
            ("VECTOR", VECTOR),
            ("UNSEEN", UNSEEN),
        ] {
            let line =
                header.lines().find(|l| l.split_whitespace().nth(1) == Some(&format!("R_{name}"))).unwrap();
            assert!(line.contains(&format!("(1ULL << {})", value.trailing_zeros())), "{line}");
        }
        for (name, shift) in [
            ("DIR1", dir1(1)),
            ("PATH1", path1(1)),
            ("DIR2", dir2(1)),
            ("PATH2", path2(1)),
            ("FD", fd(1)),
            ("STRING1", string1(1)),
            ("SOCKADDR", sockaddr(1)),
            ("FLAGS", flags(1)),
        ] {
            assert!(header.contains(&format!("{name} = {}", shift.trailing_zeros())), "{name}");
        }
    }
}
