//! What a held call would do, for the mandate to decide, and how it is done if it may.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use muster_mandate::{Action, Operation, Protocol};
use muster_sensor::hold::Held;
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use rustix::fs::{
    AtFlags, CWD, Gid, MemfdFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, chmodat, chownat,
    linkat, memfd_create, mkdirat, openat, renameat_with, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::caller::{Caller, Place};
use crate::calls::{Attribute, Call, How, Name, Of, Target, name as call_name};
use crate::files::Right;
use crate::hand::To;
use crate::names::DNS;
use crate::supervisor::{Supervisor, interpreters};

/// `sizeof(struct sockaddr_storage)`
const ADDRESS_MAX: u64 = 128;
/// The kernel's own bound on messages of one call, and the size of each.
const MESSAGES_MAX: u64 = 1024;
const MANY_SIZE: u64 = 64;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AT_EMPTY_PATH: u64 = 0x1000;
const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
const AT_REMOVEDIR: u64 = 0x200;
const AT_FDCWD: u64 = 0xffff_ff9c;

/// What happens if it is allowed.
pub enum Then {
    /// The kernel does it, and stops what the mandate does not allow.
    Continue,
    Refuse(i32),
    Do(Box<dyn FnOnce() -> io::Result<i64> + Send>),
    /// Opens something, which the call gives to its caller; closed when that executes another program.
    Give(Box<dyn FnOnce() -> io::Result<OwnedFd> + Send>, bool),
    Connect {
        to: To,
        socket: OwnedFd,
        file: Option<OwnedFd>,
    },
}

pub struct Planned {
    /// All of these are decided, each by one of its faces. None: there is nothing to decide.
    pub faces: Vec<Vec<Action>>,
    pub then: Then,
}

impl Planned {
    fn nothing(then: Then) -> Self {
        Self { faces: Vec::new(), then }
    }

    fn one(action: Action, then: Then) -> Self {
        Self { faces: vec![vec![action]], then }
    }
}

fn argument(held: &Held, index: usize) -> u64 {
    held.arguments.get(index).copied().unwrap_or(0)
}

pub fn plan(supervisor: &Supervisor, held: &Held, call: Call, caller: &Caller) -> io::Result<Planned> {
    let a = |index| argument(held, index);
    match call {
        Call::Exec { at } => exec(supervisor, caller, at, held),
        Call::Connect => connect(supervisor, caller, a(0), a(1), a(2)),
        Call::Send { address: Some(index) } => {
            let index = usize::from(index);
            Ok(Planned { faces: message(supervisor, caller, a(index), a(index + 1))?, then: Then::Continue })
        }
        Call::Send { address: None } => {
            Ok(Planned { faces: message_at(supervisor, caller, a(1))?, then: Then::Continue })
        }
        Call::SendMany => {
            let mut faces = Vec::new();
            for index in 0..a(2).min(MESSAGES_MAX) {
                faces.extend(message_at(supervisor, caller, a(1).saturating_add(index * MANY_SIZE))?);
            }
            Ok(Planned { faces, then: Then::Continue })
        }
        Call::Socket => Ok(datagrams(a(0), a(1), a(2))),
        Call::Open { at, how } => open(supervisor, caller, held, at, how),
        Call::Name(name) => named(supervisor, caller, held, name),
        Call::Attribute(attribute) => attributes(caller, held, attribute),
        Call::Memfd => memfd(caller, a(0), a(1)),
        Call::Signal { through } => signal(supervisor, caller, through, a(0), a(1)),
        Call::Reach { argument: index } => {
            let target = as_u32(a(usize::from(index)));
            if target == caller.process() || target == caller.thread || supervisor.is_of_run(target) {
                return Ok(Planned::nothing(Then::Continue));
            }
            let detail = format!("reaches into process {target}");
            Ok(privileged(Operation::Other, detail))
        }
        Call::User { arguments } => Ok(user(caller, held, arguments)),
        Call::Privileged(operation) => Ok(privileged(operation, call_name(held.number).to_owned())),
    }
}

fn privileged(operation: Operation, detail: String) -> Planned {
    Planned::one(Action::Privileged { operation, detail }, Then::Continue)
}

#[expect(clippy::cast_possible_truncation, reason = "the kernel takes the lower half")]
fn as_u32(value: u64) -> u32 {
    value as u32
}

fn as_i32(value: u64) -> i32 {
    as_u32(value).cast_signed()
}

fn exec(supervisor: &Supervisor, caller: &Caller, at: bool, held: &Held) -> io::Result<Planned> {
    let a = |index| argument(held, index);
    let (directory, path, argv, flags) =
        if at { (a(0), a(1), a(2), a(4)) } else { (AT_FDCWD, a(0), a(1), 0) };
    let path = caller.path(path)?;
    let place = if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        caller.open_place(directory)
    } else {
        caller.place(directory, &path, flags & AT_SYMLINK_NOFOLLOW == 0)
    };
    let place = match place {
        Ok(place) => place,
        // It is not there: the kernel says so, or Landlock, should it be there by then.
        Err(error) if is_missing(&error) => return Ok(Planned::nothing(Then::Continue)),
        Err(error) => return Err(error),
    };
    if supervisor.gate.is_own(&place.path) {
        return Ok(Planned::nothing(Then::Continue));
    }
    let argv = caller.arguments(argv);
    let mut faces = vec![vec![Action::Execute { path: place.path.clone(), argv: argv.clone() }]];
    // What loads programs, started by itself: the program is in its arguments.
    if interpreters().iter().any(|loader| loader.to_str() == Some(&place.path)) {
        let program = argv.iter().skip(1).find(|word| !word.starts_with('-'));
        if let Some(program) = program
            && let Ok(program) = caller.place(AT_FDCWD, program.as_bytes(), true)
        {
            faces
                .push(vec![Action::Execute { path: program.path, argv: argv.into_iter().skip(1).collect() }]);
        }
    }
    // Which programs are executed rests on Landlock; with which arguments, on nothing that holds (docs/gate.md).
    Ok(Planned { faces, then: Then::Continue })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The address of a socket, as the caller has it in memory.
enum Address {
    Internet(SocketAddr),
    Path(Vec<u8>),
    Abstract(Vec<u8>),
    Nowhere,
    Other,
}

fn parse_address(bytes: &[u8]) -> Option<Address> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    Some(match family {
        0 => Address::Nowhere,
        AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Address::Internet((Ipv4Addr::from(ip), port()?).into())
        }
        AF_INET6 => {
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            let scope = bytes.get(24..28).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
            let flow = bytes.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
            SocketAddr::V6(std::net::SocketAddrV6::new(Ipv6Addr::from(ip), port()?, flow, scope)).into()
        }
        AF_UNIX => {
            let path = bytes.get(2..)?;
            match path.split_first() {
                Some((0, name)) => Address::Abstract(name.to_vec()),
                Some(_) => Address::Path(path.iter().copied().take_while(|byte| *byte != 0).collect()),
                None => return None,
            }
        }
        _ => Address::Other,
    })
}

#[cfg(any(test, fuzzing))]
pub(crate) fn is_address(bytes: &[u8]) -> bool {
    parse_address(bytes).is_some()
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Internet(address)
    }
}

fn connect(
    supervisor: &Supervisor,
    caller: &Caller,
    socket: u64,
    address: u64,
    len: u64,
) -> io::Result<Planned> {
    let len = usize::try_from(len.min(ADDRESS_MAX)).unwrap_or(0);
    let bytes = caller.bytes(address, len)?;
    let address = parse_address(&bytes).ok_or(Errno::INVAL)?;
    if !supervisor.gate.enforce {
        // Only looked at: the socket stays where it is.
        let faces = match &address {
            Address::Internet(address) => internet_faces(supervisor, *address, Protocol::Tcp),
            Address::Path(path) => unix_face(caller.written(AT_FDCWD, path)?),
            Address::Abstract(name) => unix_face(format!("@{}", String::from_utf8_lossy(name))),
            Address::Nowhere | Address::Other => return Ok(Planned::nothing(Then::Continue)),
        };
        return Ok(Planned { faces: vec![faces], then: Then::Continue });
    }
    let socket = caller.file(socket)?;
    match address {
        Address::Nowhere => Ok(Planned::nothing(Then::Connect { to: To::Nowhere, socket, file: None })),
        Address::Other => Ok(Planned::nothing(Then::Refuse(Errno::AFNOSUPPORT.raw_os_error()))),
        Address::Internet(to) => {
            let kind = sockopt::socket_type(&socket)?;
            let domain = sockopt::socket_domain(&socket)?;
            let protocol = if kind == SocketType::DGRAM { Protocol::Udp } else { Protocol::Tcp };
            // Whoever is asked for names, the resolver of the run answers.
            if let (DNS, Some(resolver)) = (to.port(), supervisor.resolver) {
                let ip = match (domain == AddressFamily::INET6, resolver.ip()) {
                    (true, IpAddr::V4(ip)) => IpAddr::V6(ip.to_ipv6_mapped()),
                    (_, ip) => ip,
                };
                let to = To::Internet((ip, resolver.port()).into());
                return Ok(Planned::nothing(Then::Connect { to, socket, file: None }));
            }
            let faces = internet_faces(supervisor, to, protocol);
            Ok(Planned {
                faces: vec![faces],
                then: Then::Connect { to: To::Internet(to), socket, file: None },
            })
        }
        Address::Path(path) => {
            let place = caller.place(AT_FDCWD, &path, true)?;
            if supervisor.gate.is_own(&place.path) {
                return Ok(Planned::nothing(Then::Connect { to: To::Unix, socket, file: Some(place.file) }));
            }
            let faces = unix_face(place.path);
            Ok(Planned {
                faces: vec![faces],
                then: Then::Connect { to: To::Unix, socket, file: Some(place.file) },
            })
        }
        Address::Abstract(name) => {
            let faces = unix_face(format!("@{}", String::from_utf8_lossy(&name)));
            Ok(Planned {
                faces: vec![faces],
                then: Then::Connect { to: To::Abstract(name), socket, file: None },
            })
        }
    }
}

/// A message of `struct msghdr`.
fn message_at(supervisor: &Supervisor, caller: &Caller, at: u64) -> io::Result<Vec<Vec<Action>>> {
    message(supervisor, caller, caller.word(at)?, caller.word(at.saturating_add(8))?)
}

/// Where a message goes by itself. Datagrams only, and these on this machine only: streams have no such address, and
/// unix datagrams are not to be had.
fn message(supervisor: &Supervisor, caller: &Caller, address: u64, len: u64) -> io::Result<Vec<Vec<Action>>> {
    let len = usize::try_from((len & 0xffff_ffff).min(ADDRESS_MAX)).unwrap_or(0);
    if address == 0 || len == 0 {
        return Ok(Vec::new());
    }
    Ok(match parse_address(&caller.bytes(address, len)?) {
        Some(Address::Internet(to)) => vec![internet_faces(supervisor, to, Protocol::Udp)],
        _ => Vec::new(),
    })
}

fn internet_faces(supervisor: &Supervisor, to: SocketAddr, protocol: Protocol) -> Vec<Action> {
    let ip = to.ip().to_canonical();
    // The address of nobody is this machine's.
    let ip = if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip };
    let face = |host| Action::Connect { host, address: Some(ip), port: Some(to.port()), protocol };
    let names = supervisor.gate.names.of(ip);
    names.into_iter().map(|name| face(Some(name))).chain([face(None)]).collect()
}

fn unix_face(host: String) -> Vec<Action> {
    vec![Action::Connect { host: Some(host), address: None, port: None, protocol: Protocol::Unix }]
}

/// A datagram socket that reaches this machine only: its first device is the loopback, and who may change that is root
/// with a right that is given up.
fn datagrams(domain: u64, kind: u64, protocol: u64) -> Planned {
    let open = move || {
        let ipv6 = as_u32(domain) == u32::from(AF_INET6);
        let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let nonblocking = as_u32(kind) & SocketFlags::NONBLOCK.bits();
        let flags = SocketFlags::CLOEXEC | SocketFlags::from_bits_retain(nonblocking);
        // 0, and UDP by its number; no pings, no UDP-Lite.
        if !matches!(as_u32(protocol), 0 | 17) {
            return Err(Errno::PROTONOSUPPORT.into());
        }
        let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
        setsockopt(&socket, BindToDevice, &OsString::from("lo"))?;
        Ok(socket)
    };
    let close_on_exec = as_u32(kind) & SocketFlags::CLOEXEC.bits() != 0;
    Planned::nothing(Then::Give(Box::new(open), close_on_exec))
}

/// How a file is opened.
struct Opening {
    directory: u64,
    path: Vec<u8>,
    flags: OFlags,
    mode: Mode,
}

fn opening(caller: &Caller, held: &Held, at: bool, how: How) -> io::Result<Opening> {
    let a = |index| argument(held, index);
    let (directory, path, next) = if at { (a(0), a(1), 2) } else { (AT_FDCWD, a(0), 1) };
    let (flags, mode) = match how {
        How::Flags => (a(next), a(next + 1)),
        How::Create => (u64::from((OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC).bits()), a(1)),
        How::Structure => (caller.word(a(2))?, caller.word(a(2).saturating_add(8))?),
    };
    Ok(Opening {
        directory,
        path: caller.path(path)?,
        flags: OFlags::from_bits_retain(as_u32(flags)),
        mode: Mode::from_raw_mode(as_u32(mode) & 0o7777),
    })
}

fn open(supervisor: &Supervisor, caller: &Caller, held: &Held, at: bool, how: How) -> io::Result<Planned> {
    let Opening { directory, path, flags, mode } = opening(caller, held, at, how)?;
    if flags.contains(OFlags::PATH) {
        return Ok(Planned::nothing(Then::Continue));
    }
    let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC | OFlags::CREATE);
    if !writes && supervisor.gate.enforce {
        // The kernel decides in the folders that it knows, and by the path as it is then.
        let written = caller.written(directory, &path)?;
        if !written.contains("/..") && supervisor.covers(&written, Right::Read) {
            return Ok(Planned::nothing(Then::Continue));
        }
    }
    let temporary = flags.contains(OFlags::TMPFILE);
    let makes_new = flags.contains(OFlags::CREATE) && flags.contains(OFlags::EXCL);
    let follow = !(flags.contains(OFlags::NOFOLLOW) || makes_new);
    match caller.place(directory, &path, follow) {
        Ok(place) => {
            let real = flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC) || temporary;
            let action = if real {
                Action::Write { path: place.path.clone() }
            } else {
                Action::Read { path: place.path.clone() }
            };
            let right = if real { Right::Write } else { Right::Read };
            let reads = !flags.contains(OFlags::WRONLY);
            let covered = supervisor.covers(&place.path, right)
                && (!reads || supervisor.covers(&place.path, Right::Read));
            // Pipes, sockets, memory: files of nobody's folder are the kernel's own affair.
            if !place.path.starts_with('/') || place.path.starts_with("/memfd:") {
                return Ok(Planned::nothing(Then::Continue));
            }
            if covered || !is_own(supervisor, caller) || temporary {
                return Ok(Planned::one(action, Then::Continue));
            }
            let exclusive = flags.contains(OFlags::CREATE | OFlags::EXCL);
            let again = flags - (OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW);
            let close_on_exec = flags.contains(OFlags::CLOEXEC);
            let act = move || {
                if exclusive {
                    return Err(Errno::EXIST.into());
                }
                reopen(&place, again)
            };
            Ok(Planned::one(action, Then::Give(Box::new(act), close_on_exec)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && flags.contains(OFlags::CREATE) => {
            let (folder, name) = caller.parent(directory, &path)?;
            let whole = join(&folder, &name);
            let action = Action::Write { path: whole };
            if supervisor.covers(&folder.path, Right::Write) || !is_own(supervisor, caller) {
                return Ok(Planned::one(action, Then::Continue));
            }
            let mode = mode - umask(caller);
            let close_on_exec = flags.contains(OFlags::CLOEXEC);
            let act = move || {
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                Ok(openat(&folder.file, &name, flags, mode)?)
            };
            Ok(Planned::one(action, Then::Give(Box::new(act), close_on_exec)))
        }
        Err(error) if is_missing(&error) => Ok(Planned::nothing(Then::Continue)),
        // A link where none may be, or one of the process file system that leads out: Landlock looks at what it leads to.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Ok(Planned::nothing(Then::Continue))
        }
        Err(error) => Err(error),
    }
}

fn reopen(place: &Place, flags: OFlags) -> io::Result<OwnedFd> {
    let link = format!("/proc/self/fd/{}", place.file.as_raw_fd());
    // A pipe that nobody reads would hold the supervisor.
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open(link, flags, Mode::empty())?)
}

fn join(folder: &Place, name: &OsString) -> String {
    format!("{}/{}", folder.path.trim_end_matches('/'), name.to_string_lossy())
}

/// Is the caller the user that the supervisor is? What is done on another's behalf would be done with the wrong rights.
fn is_own(supervisor: &Supervisor, caller: &Caller) -> bool {
    let ids = caller.status("Uid:").unwrap_or_default();
    ids.split_whitespace().nth(3).and_then(|id| id.parse().ok()) == Some(supervisor.uid)
}

fn umask(caller: &Caller) -> Mode {
    let mask = caller.status("Umask:").and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok());
    Mode::from_raw_mode(mask.unwrap_or(0o022))
}

fn named(supervisor: &Supervisor, caller: &Caller, held: &Held, name: Name) -> io::Result<Planned> {
    let a = |index| argument(held, index);
    let at = |yes: bool, index: usize| -> io::Result<(Place, OsString)> {
        let (directory, path) = if yes { (a(index), a(index + 1)) } else { (AT_FDCWD, a(index)) };
        caller.parent(directory, &caller.path(path)?)
    };
    let write = |(folder, name): &(Place, OsString)| vec![Action::Write { path: join(folder, name) }];
    let covered =
        |folder: &Place| supervisor.covers(&folder.path, Right::Write) || !is_own(supervisor, caller);
    let found = match name {
        Name::Truncate => {
            let place = caller.place(AT_FDCWD, &caller.path(a(0))?, true);
            return Ok(match place {
                Ok(place) => {
                    let then = if supervisor.covers(&place.path, Right::Write) {
                        Then::Continue
                    } else {
                        Then::Refuse(Errno::ACCESS.raw_os_error())
                    };
                    Planned::one(Action::Write { path: place.path }, then)
                }
                Err(_) => Planned::nothing(Then::Continue),
            });
        }
        Name::Unlink { at: yes, directory } => at(yes, 0).map(|it| {
            let directory = directory || (yes && a(2) & AT_REMOVEDIR != 0);
            let faces = vec![write(&it)];
            if covered(&it.0) {
                return Planned { faces, then: Then::Continue };
            }
            let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            done(faces, move || unlinkat(&it.0.file, &it.1, flags))
        }),
        Name::Make { at: yes } => at(yes, 0).map(|it| {
            let faces = vec![write(&it)];
            if covered(&it.0) {
                return Planned { faces, then: Then::Continue };
            }
            let mode = Mode::from_raw_mode(as_u32(a(if yes { 2 } else { 1 })) & 0o7777) - umask(caller);
            done(faces, move || mkdirat(&it.0.file, &it.1, mode))
        }),
        // Pipes, sockets and devices: in folders that the kernel knows.
        Name::Node { at: yes } => {
            at(yes, 0).map(|it| Planned { faces: vec![write(&it)], then: Then::Continue })
        }
        Name::Rename { at: yes, flags } => {
            let both = at(yes, 0).and_then(|from| Ok((from, at(yes, if yes { 2 } else { 1 })?)));
            both.map(|(from, to)| {
                let mut faces = vec![write(&from), write(&to)];
                let path = join(&from.0, &from.1);
                // Under another name, what lines take away would be free.
                faces.extend(
                    supervisor.gate.taken_below(&path).into_iter().map(|path| vec![Action::Write { path }]),
                );
                faces.push(vec![Action::Read { path }]);
                if covered(&from.0) && covered(&to.0) {
                    return Planned { faces, then: Then::Continue };
                }
                let flags = RenameFlags::from_bits_retain(if flags { as_u32(a(4)) } else { 0 });
                done(faces, move || renameat_with(&from.0.file, &from.1, &to.0.file, &to.1, flags))
            })
        }
        Name::Link { at: yes } => {
            let follow = yes && a(4) & AT_SYMLINK_FOLLOW != 0;
            let (directory, path) = if yes { (a(0), a(1)) } else { (AT_FDCWD, a(0)) };
            let from = caller.path(path).and_then(|path| caller.place(directory, &path, follow));
            let both = from.and_then(|from| Ok((from, at(yes, if yes { 2 } else { 1 })?)));
            both.map(|(from, to)| {
                // By its new name, the file could be all that the new place allows.
                let read = Action::Read { path: from.path.clone() };
                let faces = vec![vec![Action::Write { path: from.path.clone() }], vec![read], write(&to)];
                if covered(&from) && covered(&to.0) {
                    return Planned { faces, then: Then::Continue };
                }
                done(faces, move || {
                    let link = format!("/proc/self/fd/{}", from.file.as_raw_fd());
                    linkat(CWD, link, &to.0.file, &to.1, AtFlags::SYMLINK_FOLLOW)
                })
            })
        }
        Name::Symlink { at: yes } => at(yes, 1).and_then(|it| {
            let faces = vec![write(&it)];
            if covered(&it.0) {
                return Ok(Planned { faces, then: Then::Continue });
            }
            let to = caller.path(a(0))?;
            let to = OsString::from(String::from_utf8(to).map_err(|_| Errno::INVAL)?);
            Ok(done(faces, move || symlinkat(to, &it.0.file, &it.1)))
        }),
    };
    match found {
        // The kernel says what is wrong with the names, or Landlock.
        Err(_) => Ok(Planned::nothing(Then::Continue)),
        Ok(planned) => Ok(planned),
    }
}

fn done(faces: Vec<Vec<Action>>, act: impl FnOnce() -> rustix::io::Result<()> + Send + 'static) -> Planned {
    Planned { faces, then: Then::Do(Box::new(move || Ok(act().map(|()| 0)?))) }
}

fn attributes(caller: &Caller, held: &Held, attribute: Attribute) -> io::Result<Planned> {
    let a = |index: usize| argument(held, index);
    let of = match attribute {
        Attribute::Mode { of } | Attribute::Owner { of } | Attribute::Times { of } => of,
    };
    let (found, next) = match of {
        Of::Open => (open_file(caller, a(0)), 1),
        Of::Path { follow } => (caller.path(a(0)).and_then(|path| caller.place(AT_FDCWD, &path, follow)), 1),
        Of::At { flags } => {
            let flags = flags.map_or(0, |index| a(usize::from(index)));
            let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
            let found = if a(1) == 0 {
                open_file(caller, a(0))
            } else {
                caller.path(a(1)).and_then(|path| {
                    if path.is_empty() { open_file(caller, a(0)) } else { caller.place(a(0), &path, follow) }
                })
            };
            (found, 2)
        }
    };
    let place = match found {
        Ok(place) => place,
        Err(error) if is_missing(&error) => {
            return Ok(Planned::nothing(Then::Refuse(error.raw_os_error().unwrap_or(2))));
        }
        Err(error) => return Err(error),
    };
    // Pipes, sockets, memory: they are in no folder.
    if !place.path.starts_with('/') || place.path.starts_with("/memfd:") {
        return Ok(Planned::nothing(Then::Continue));
    }
    let link = format!("/proc/self/fd/{}", place.file.as_raw_fd());
    let action = Action::Write { path: place.path.clone() };
    let act: Box<dyn FnOnce() -> io::Result<i64> + Send> = match attribute {
        Attribute::Mode { .. } => {
            let mode = as_u32(a(next)) & 0o7777;
            let faces = vec![action];
            let act = move || {
                let _held = &place;
                Ok(chmodat(CWD, link, Mode::from_raw_mode(mode), AtFlags::empty()).map(|()| 0)?)
            };
            if mode & 0o6000 != 0 {
                // Who executes it becomes somebody else.
                let detail = format!("chmod {mode:o} {}", summary_path(&faces));
                let operation = Operation::SetUid;
                let extra = Action::Privileged { operation, detail };
                return Ok(Planned { faces: vec![faces, vec![extra]], then: Then::Do(Box::new(act)) });
            }
            return Ok(Planned { faces: vec![faces], then: Then::Do(Box::new(act)) });
        }
        Attribute::Owner { .. } => {
            let id = |value: u64| (as_u32(value) != u32::MAX).then_some(as_u32(value));
            let (uid, gid) = (id(a(next)).map(Uid::from_raw), id(a(next + 1)).map(Gid::from_raw));
            Box::new(move || {
                let _held = &place;
                Ok(chownat(CWD, link, uid, gid, AtFlags::empty()).map(|()| 0)?)
            })
        }
        Attribute::Times { .. } => {
            let at = a(2);
            let times = if at == 0 {
                let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
                Timestamps { last_access: now, last_modification: now }
            } else {
                let word = |index: u64| caller.word(at.saturating_add(index * 8)).map(u64::cast_signed);
                Timestamps {
                    last_access: Timespec { tv_sec: word(0)?, tv_nsec: word(1)? },
                    last_modification: Timespec { tv_sec: word(2)?, tv_nsec: word(3)? },
                }
            };
            Box::new(move || {
                let _held = &place;
                Ok(utimensat(CWD, link, &times, AtFlags::empty()).map(|()| 0)?)
            })
        }
    };
    Ok(Planned { faces: vec![vec![action]], then: Then::Do(act) })
}

fn summary_path(faces: &[Action]) -> &str {
    match faces.first() {
        Some(Action::Write { path }) => path,
        _ => "",
    }
}

fn open_file(caller: &Caller, number: u64) -> io::Result<Place> {
    if as_i32(number) < 0 {
        return Err(Errno::BADF.into());
    }
    caller.open_place(number)
}

/// Memory as a file that nobody can execute.
fn memfd(caller: &Caller, name: u64, flags: u64) -> io::Result<Planned> {
    /// `MFD_EXEC`
    const EXECUTABLE: u32 = 0x10;
    let name = String::from_utf8_lossy(&caller.path(name)?).into_owned();
    let flags = MemfdFlags::from_bits_retain(as_u32(flags) & !EXECUTABLE);
    let close_on_exec = flags.contains(MemfdFlags::CLOEXEC);
    let act = move || {
        let flags = flags | MemfdFlags::NOEXEC_SEAL | MemfdFlags::CLOEXEC;
        Ok(memfd_create(name.as_str(), flags)?)
    };
    Ok(Planned::nothing(Then::Give(Box::new(act), close_on_exec)))
}

fn signal(
    supervisor: &Supervisor,
    caller: &Caller,
    through: Target,
    target: u64,
    number: u64,
) -> io::Result<Planned> {
    let target = match through {
        Target::Process => as_i32(target),
        Target::Handle => {
            let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{}", caller.thread, as_i32(target)))?;
            let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
            pid.and_then(|pid| pid.trim().parse().ok()).unwrap_or(0)
        }
    };
    // 0 asks whether somebody is there; the own group holds nobody else that Landlock lets a signal through to.
    // Of other groups, Landlock leaves it to those of the run.
    if as_i32(number) == 0 || target == 0 || (target < -1 && supervisor.gate.enforce) {
        return Ok(Planned::nothing(Then::Continue));
    }
    let detail = if target == -1 {
        "signal to all processes".to_owned()
    } else {
        let of_run = supervisor.is_of_run(target.unsigned_abs());
        if of_run || target.unsigned_abs() == caller.process() {
            return Ok(Planned::nothing(Then::Continue));
        }
        let name =
            std::fs::read_to_string(format!("/proc/{}/comm", target.unsigned_abs())).unwrap_or_default();
        if name.is_empty() && target > 0 {
            return Ok(Planned::nothing(Then::Continue));
        }
        format!("signal {} to {target} ({})", as_i32(number), name.trim())
    };
    Ok(privileged(Operation::Signal, detail))
}

fn user(caller: &Caller, held: &Held, arguments: u8) -> Planned {
    let of_groups = matches!(held.number, 106 | 114 | 119 | 123);
    let line = caller.status(if of_groups { "Gid:" } else { "Uid:" }).unwrap_or_default();
    let own: Vec<u32> = line.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    let same = held.arguments.iter().take(usize::from(arguments)).all(|id| {
        let id = as_u32(*id);
        id == u32::MAX || own.iter().all(|own| *own == id)
    });
    if same {
        return Planned::nothing(Then::Continue);
    }
    let ids: Vec<String> =
        held.arguments.iter().take(usize::from(arguments)).map(|id| as_i32(*id).to_string()).collect();
    let what = if of_groups { "group" } else { "user" };
    privileged(Operation::SetUid, format!("becomes {what} {}", ids.join(" ")))
}
