//! Which system calls of an agent are held for a decision, which fail at once, and why. Data: the filter is made of it.

use muster_mandate::Operation;
use muster_sensor::filter::{Act, Rule, Test};

/// What the kernel and this user allow, and what the mandate needs: decides which calls must be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Acts are stopped; else they are only looked at.
    pub enforce: bool,
    /// Openings of files must be looked at one by one: what the mandate says of files is more than folders.
    pub files: bool,
    /// The agent runs as root: changing to another user is an act.
    pub root: bool,
}

/// What a held call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Exec {
        at: bool,
    },
    Connect,
    /// A datagram socket of an internet family.
    Socket,
    /// Opens a file by name: where directory, path and flags stand.
    Open {
        at: bool,
        how: How,
    },
    /// Makes, removes or renames by name.
    Name(Name),
    /// Changes what is said of a file: mode, owner, times.
    Attribute(Attribute),
    Memfd,
    /// A message to an address of its own: that stands in this argument, or behind it.
    Send {
        address: Option<u8>,
    },
    /// Several messages.
    SendMany,
    /// Sends a signal: to the process in the first argument.
    Signal {
        through: Target,
    },
    /// Reaches into another process's limits or scheduling.
    Reach {
        argument: u8,
    },
    User {
        arguments: u8,
    },
    Privileged(Operation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Flags,
    /// `struct open_how`.
    Structure,
    Create,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Unlink { at: bool, directory: bool },
    Make { at: bool },
    Node { at: bool },
    Rename { at: bool, flags: bool },
    Link { at: bool },
    Symlink { at: bool },
    Truncate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    Mode { of: Of },
    Owner { of: Of },
    Times { of: Of },
}

/// How a call names its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Path {
        follow: bool,
    },
    /// Directory and path; flags stand in this argument, if in any.
    At {
        flags: Option<u8>,
    },
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Process,
    Handle,
}

/// Flags of clone and unshare that make namespaces.
const NAMESPACES: u32 = 0x7e02_0080;
/// The same without the time namespace's: in `clone` its bit is the exit signal's.
const NAMESPACES_OF_CLONE: u32 = 0x7e02_0000;
/// Sends data with the opening of a connection, to an address that no `connect` names.
const MSG_FASTOPEN: u32 = 0x2000_0000;
/// `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC`
const WRITES: u32 = 0o1103;
const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const SOCK_SEQPACKET: u32 = 5;
const SOCK_KIND: u32 = 0xf;
const EPERM: u16 = 1;
const EACCES: u16 = 13;
const ENOSYS: u16 = 38;
const EPROTONOSUPPORT: u16 = 93;
const EOPNOTSUPP: u16 = 95;
const EAFNOSUPPORT: u16 = 97;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const IPPROTO_MPTCP: u32 = 262;

/// Held whatever the mandate says, with what each is.
const ALWAYS: &[(u32, Call)] = &[
    (59, Call::Exec { at: false }),
    (322, Call::Exec { at: true }),
    (42, Call::Connect),
    (62, Call::Signal { through: Target::Process }),
    (129, Call::Signal { through: Target::Process }),
    (424, Call::Signal { through: Target::Handle }),
    (321, Call::Privileged(Operation::Bpf)),
    (298, Call::Privileged(Operation::Other)), // perf_event_open
    (323, Call::Privileged(Operation::Other)), // userfaultfd: holds the kernel while it copies
    (101, Call::Privileged(Operation::Ptrace)),
    (310, Call::Privileged(Operation::Ptrace)), // process_vm_readv
    (311, Call::Privileged(Operation::Ptrace)), // process_vm_writev
    (438, Call::Privileged(Operation::Ptrace)), // pidfd_getfd
    (165, Call::Privileged(Operation::Mount)),
    (166, Call::Privileged(Operation::Mount)),
    (155, Call::Privileged(Operation::Mount)), // pivot_root
    (161, Call::Privileged(Operation::Mount)), // chroot
    (428, Call::Privileged(Operation::Mount)), // open_tree
    (429, Call::Privileged(Operation::Mount)), // move_mount
    (430, Call::Privileged(Operation::Mount)), // fsopen
    (431, Call::Privileged(Operation::Mount)), // fsconfig
    (432, Call::Privileged(Operation::Mount)), // fsmount
    (433, Call::Privileged(Operation::Mount)), // fspick
    (442, Call::Privileged(Operation::Mount)), // mount_setattr
    (467, Call::Privileged(Operation::Mount)), // open_tree_attr
    (175, Call::Privileged(Operation::Module)),
    (313, Call::Privileged(Operation::Module)),
    (176, Call::Privileged(Operation::Module)),
    (246, Call::Privileged(Operation::Module)), // kexec_load
    (320, Call::Privileged(Operation::Module)), // kexec_file_load
    (425, Call::Privileged(Operation::IoUring)),
    (308, Call::Privileged(Operation::Namespace)), // setns
    (169, Call::Privileged(Operation::Other)),     // reboot
    (167, Call::Privileged(Operation::Other)),     // swapon
    (168, Call::Privileged(Operation::Other)),     // swapoff
    (172, Call::Privileged(Operation::Other)),     // iopl
    (173, Call::Privileged(Operation::Other)),     // ioperm
    (170, Call::Privileged(Operation::Other)),     // sethostname
    (171, Call::Privileged(Operation::Other)),     // setdomainname
    (163, Call::Privileged(Operation::Other)),     // acct
    (248, Call::Privileged(Operation::Other)),     // add_key
    (249, Call::Privileged(Operation::Other)),     // request_key
    (250, Call::Privileged(Operation::Other)),     // keyctl
    (304, Call::Privileged(Operation::Other)),     // open_by_handle_at
];

/// Held where the agent is root: the others cannot.
const OF_ROOT: &[(u32, Call)] = &[
    (105, Call::User { arguments: 1 }),
    (106, Call::User { arguments: 1 }),
    (113, Call::User { arguments: 2 }),
    (114, Call::User { arguments: 2 }),
    (117, Call::User { arguments: 3 }),
    (119, Call::User { arguments: 3 }),
    (122, Call::User { arguments: 1 }),
    (123, Call::User { arguments: 1 }),
];

/// Other processes' limits and scheduling: held where they are another's.
const REACHING: &[(u32, u8)] = &[
    (302, 0), // prlimit64
    (141, 1), // setpriority
    (142, 0), // sched_setparam
    (144, 0), // sched_setscheduler
    (203, 0), // sched_setaffinity
    (314, 0), // sched_setattr
    (251, 1), // ioprio_set
    (256, 0), // migrate_pages
    (279, 0), // move_pages
];

const OPENING: &[(u32, Call)] = &[
    (2, Call::Open { at: false, how: How::Flags }),
    (257, Call::Open { at: true, how: How::Flags }),
    (437, Call::Open { at: true, how: How::Structure }),
    (85, Call::Open { at: false, how: How::Create }),
];

const NAMING: &[(u32, Call)] = &[
    (87, Call::Name(Name::Unlink { at: false, directory: false })),
    (84, Call::Name(Name::Unlink { at: false, directory: true })),
    (263, Call::Name(Name::Unlink { at: true, directory: false })),
    (83, Call::Name(Name::Make { at: false })),
    (258, Call::Name(Name::Make { at: true })),
    (133, Call::Name(Name::Node { at: false })),
    (259, Call::Name(Name::Node { at: true })),
    (82, Call::Name(Name::Rename { at: false, flags: false })),
    (264, Call::Name(Name::Rename { at: true, flags: false })),
    (316, Call::Name(Name::Rename { at: true, flags: true })),
    (86, Call::Name(Name::Link { at: false })),
    (265, Call::Name(Name::Link { at: true })),
    (88, Call::Name(Name::Symlink { at: false })),
    (266, Call::Name(Name::Symlink { at: true })),
    (76, Call::Name(Name::Truncate)),
];

/// What Landlock does not know of: always held where acts are stopped.
const ATTRIBUTES: &[(u32, Call)] = &[
    (90, Call::Attribute(Attribute::Mode { of: Of::Path { follow: true } })),
    (91, Call::Attribute(Attribute::Mode { of: Of::Open })),
    (268, Call::Attribute(Attribute::Mode { of: Of::At { flags: None } })),
    (452, Call::Attribute(Attribute::Mode { of: Of::At { flags: Some(3) } })),
    (92, Call::Attribute(Attribute::Owner { of: Of::Path { follow: true } })),
    (94, Call::Attribute(Attribute::Owner { of: Of::Path { follow: false } })),
    (93, Call::Attribute(Attribute::Owner { of: Of::Open })),
    (260, Call::Attribute(Attribute::Owner { of: Of::At { flags: Some(4) } })),
    (280, Call::Attribute(Attribute::Times { of: Of::At { flags: Some(3) } })),
];

/// Refused at once where acts are stopped, without a question: nobody needs them, or everybody has another way.
fn refused() -> Vec<Rule> {
    let of = |number, tests: &[Test], act| Rule { number, tests: tests.to_vec(), act };
    let mut rules = Vec::new();
    // Its flags stand behind a pointer. Libraries go on with `clone`, whose flags can be read.
    rules.push(of(435, &[], Act::Fail(ENOSYS)));
    // Terminals are shared with the user: what is typed there after the agent's end would be the agent's.
    for command in [TIOCSTI, TIOCLINUX] {
        let is = Test::Is { argument: 1, mask: u32::MAX, value: command };
        rules.push(of(16, &[is], Act::Fail(EPERM)));
    }
    // Attributes beyond mode and owner: whoever copies a file goes on without.
    for number in [188, 189, 190, 197, 198, 199, 463, 466] {
        rules.push(of(number, &[], Act::Fail(EOPNOTSUPP)));
    }
    // Old forms of `utimensat`: every library has the new one.
    for number in [132, 235, 261] {
        rules.push(of(number, &[], Act::Fail(ENOSYS)));
    }
    // `file_setattr`
    rules.push(of(469, &[], Act::Fail(EOPNOTSUPP)));
    for (number, flags) in [(44, 3), (46, 2), (307, 3)] {
        rules.push(of(number, &[Test::Any { argument: flags, mask: MSG_FASTOPEN }], Act::Fail(EOPNOTSUPP)));
    }
    // Unix datagrams go to whom each message says, and no pointer of a message can be trusted: streams only.
    let of_unix = Test::Is { argument: 0, mask: u32::MAX, value: AF_UNIX };
    for number in [41, 53] {
        for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
            let kind = Test::Is { argument: 1, mask: SOCK_KIND, value: kind };
            rules.push(of(number, &[of_unix, kind], Act::Allow));
        }
        rules.push(of(number, &[of_unix], Act::Fail(EPROTONOSUPPORT)));
    }
    rules
}

fn sockets() -> Vec<Rule> {
    let of = |tests: &[Test], act| Rule { number: 41, tests: tests.to_vec(), act };
    let mut rules = Vec::new();
    let raw = Test::Is { argument: 1, mask: SOCK_KIND, value: SOCK_RAW };
    for family in [AF_INET, AF_INET6] {
        let family = Test::Is { argument: 0, mask: u32::MAX, value: family };
        let mptcp = Test::Is { argument: 2, mask: u32::MAX, value: IPPROTO_MPTCP };
        let stream = Test::Is { argument: 1, mask: SOCK_KIND, value: SOCK_STREAM };
        let datagram = Test::Is { argument: 1, mask: SOCK_KIND, value: SOCK_DGRAM };
        // Landlock does not know it for TCP.
        rules.push(of(&[family, mptcp], Act::Fail(EPROTONOSUPPORT)));
        rules.push(of(&[family, stream], Act::Allow));
        rules.push(of(&[family, raw], Act::Fail(EPERM)));
        // Given by the supervisor, tied to this machine's own addresses: each message could name another, and no
        // pointer of a message can be trusted.
        rules.push(of(&[family, datagram], Act::Hold));
        rules.push(of(&[family], Act::Fail(EPROTONOSUPPORT)));
    }
    // Asks which addresses the machine has. It changes nothing: the right to is gone.
    let netlink = Test::Is { argument: 0, mask: u32::MAX, value: AF_NETLINK };
    let route = Test::Is { argument: 2, mask: u32::MAX, value: 0 };
    rules.push(of(&[netlink, route], Act::Allow));
    rules.push(of(&[], Act::Fail(EAFNOSUPPORT)));
    rules
}

/// The rules, those of one number together.
pub fn rules(needs: Needs) -> Vec<Rule> {
    let hold = |number, tests: &[Test]| Rule { number, tests: tests.to_vec(), act: Act::Hold };
    let mut rules: Vec<Rule> = ALWAYS.iter().map(|(number, _)| hold(*number, &[])).collect();
    rules.push(hold(272, &[Test::Any { argument: 0, mask: NAMESPACES }]));
    rules.push(hold(56, &[Test::Any { argument: 0, mask: NAMESPACES_OF_CLONE }]));
    for (number, argument) in REACHING {
        let mut tests = vec![Test::NotZero { argument: *argument }];
        if *number == 302 {
            // Without new limits it only asks.
            tests.push(Test::NotZero { argument: 2 });
        }
        rules.push(hold(*number, &tests));
    }
    if needs.root {
        rules.extend(OF_ROOT.iter().map(|(number, _)| hold(*number, &[])));
    }
    rules.extend(NAMING.iter().map(|(number, _)| hold(*number, &[])));
    if needs.files || !needs.enforce {
        rules.extend(OPENING.iter().map(|(number, _)| hold(*number, &[])));
    } else {
        // Who only reads is left to Landlock; who writes can be told from the flags, where they are no pointer.
        rules.push(hold(2, &[Test::Any { argument: 1, mask: WRITES }]));
        rules.push(hold(257, &[Test::Any { argument: 2, mask: WRITES }]));
        rules.extend([85, 437].map(|number| hold(number, &[])));
    }
    if needs.enforce {
        rules.extend(ATTRIBUTES.iter().map(|(number, _)| hold(*number, &[])));
        rules.push(hold(319, &[]));
        rules.extend(refused());
        // To this machine's own addresses only (`sockets`): what is left to decide is which of them.
        rules.extend([hold(44, &[Test::NotZero { argument: 4 }]), hold(46, &[]), hold(307, &[])]);
        rules.extend(sockets());
        // Old ways into a file that nothing needs.
        rules.push(Rule { number: 134, tests: Vec::new(), act: Act::Fail(ENOSYS) });
    } else {
        rules.extend(ATTRIBUTES.iter().map(|(number, _)| hold(*number, &[])));
    }
    // Stable: the order within a number is what decides.
    rules.sort_by_key(|rule| rule.number);
    rules
}

/// What a held call of this number is.
pub fn call(number: i32, arguments: &[u64; 6]) -> Option<Call> {
    let number = u32::try_from(number).ok()?;
    let of = |table: &[(u32, Call)]| table.iter().find(|(it, _)| *it == number).map(|(_, call)| *call);
    of(ALWAYS)
        .or_else(|| of(OF_ROOT))
        .or_else(|| of(OPENING))
        .or_else(|| of(NAMING))
        .or_else(|| of(ATTRIBUTES))
        .or_else(|| {
            let reach = REACHING.iter().find(|(it, _)| *it == number);
            reach.map(|(_, argument)| Call::Reach { argument: *argument })
        })
        .or(match number {
            41 => Some(Call::Socket),
            319 => Some(Call::Memfd),
            44 => Some(Call::Send { address: Some(4) }),
            46 => Some(Call::Send { address: None }),
            307 => Some(Call::SendMany),
            56 | 272 if arguments.first().is_some_and(|flags| flags & u64::from(NAMESPACES) != 0) => {
                Some(Call::Privileged(Operation::Namespace))
            }
            _ => None,
        })
}

/// What a call is refused with. An agent is told no more.
pub fn refusal(call: Call) -> i32 {
    i32::from(match call {
        // So that programs do without it.
        Call::Privileged(Operation::IoUring) => ENOSYS,
        Call::Exec { .. }
        | Call::Connect
        | Call::Send { .. }
        | Call::SendMany
        | Call::Socket
        | Call::Open { .. }
        | Call::Name(_)
        | Call::Attribute(_)
        | Call::Memfd => EACCES,
        Call::Signal { .. } | Call::Reach { .. } | Call::User { .. } | Call::Privileged(_) => EPERM,
    })
}

/// Its name, for people.
pub fn name(number: i32) -> &'static str {
    const NAMES: &[(i32, &str)] = &[
        (56, "clone"),
        (101, "ptrace"),
        (155, "pivot_root"),
        (161, "chroot"),
        (163, "acct"),
        (165, "mount"),
        (166, "umount2"),
        (167, "swapon"),
        (168, "swapoff"),
        (169, "reboot"),
        (170, "sethostname"),
        (171, "setdomainname"),
        (172, "iopl"),
        (173, "ioperm"),
        (175, "init_module"),
        (176, "delete_module"),
        (246, "kexec_load"),
        (248, "add_key"),
        (249, "request_key"),
        (250, "keyctl"),
        (272, "unshare"),
        (298, "perf_event_open"),
        (304, "open_by_handle_at"),
        (308, "setns"),
        (310, "process_vm_readv"),
        (311, "process_vm_writev"),
        (313, "finit_module"),
        (320, "kexec_file_load"),
        (321, "bpf"),
        (323, "userfaultfd"),
        (425, "io_uring_setup"),
        (428, "open_tree"),
        (429, "move_mount"),
        (430, "fsopen"),
        (431, "fsconfig"),
        (432, "fsmount"),
        (433, "fspick"),
        (438, "pidfd_getfd"),
        (442, "mount_setattr"),
        (467, "open_tree_attr"),
    ];
    NAMES.iter().find(|(it, _)| *it == number).map_or("a system call", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use muster_sensor::filter::{NEWEST, program};

    use super::*;

    #[test]
    fn each_held_call_is_known_and_the_filter_fits() {
        for bits in 0..8_u8 {
            let needs = Needs { enforce: bits & 1 != 0, files: bits & 2 != 0, root: bits & 4 != 0 };
            let rules = rules(needs);
            assert!(program(&rules, NEWEST).is_some());
            for rule in rules.iter().filter(|rule| rule.act == Act::Hold) {
                let number = i32::try_from(rule.number).unwrap();
                let arguments = [u64::from(NAMESPACES); 6];
                assert!(call(number, &arguments).is_some(), "{number}");
            }
        }
    }
}
