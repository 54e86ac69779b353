//! Acts that a shell cannot do, and what arrives of them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use muster_event::{Address, Kind, SignalTarget};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use crate::kernel::folder;
use crate::rig::{act, call, fork, sensor};

/// A question for `api.anthropic.com`.
const QUESTION: &[u8] =
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03api\x09anthropic\x03com\x00\x00\x01\x00\x01";

#[test]
fn network() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = act(&mut sensor, dir.path(), || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
        });
        let mut client = TcpStream::connect(to).unwrap();
        let request = b"POST /v1/chat/completions?key=s3cret HTTP/1.1\r\nHost: model.example\r\n\r\n";
        client.write_all(request).unwrap();
        server.join().unwrap();
        let _listener = UnixListener::bind("sock").unwrap();
        let _stream = UnixStream::connect("sock").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.send_to(QUESTION, "127.0.0.1:53").unwrap();
        datagrams.send_to(b"x", "127.0.0.1:9").unwrap();
        if let Ok(six) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
            drop(six.send_to(b"x", (Ipv6Addr::LOCALHOST, 9)));
        }
    });
    let local = |a: &Address| matches!(a, Address::Ip { ip, .. } if ip.to_string() == "127.0.0.1");
    seen.has("bind", |k| matches!(k, Kind::Bind { address, result: 0 } if local(address)));
    seen.has("listen", |k| matches!(k, Kind::Listen { address: Address::Ip { port, .. }, .. } if *port != 0));
    seen.has("connect", |k| matches!(k, Kind::Connect { address, .. } if local(address)));
    seen.has("accept", |k| matches!(k, Kind::Accept { address, .. } if local(address)));
    seen.has("unix", |k| match k {
        Kind::Connect { address: Address::Unix { path }, result: 0 } => path.ends_with("sock"),
        _ => false,
    });
    seen.has("http", |k| match k {
        Kind::Http { method, target, host, .. } => {
            method == "POST"
                && target.starts_with("/v1/chat/completions")
                && !target.contains("s3cret")
                && host.as_deref() == Some("model.example")
        }
        _ => false,
    });
    seen.has("dns", |k| matches!(k, Kind::Dns { name, .. } if name == "api.anthropic.com"));
    seen.has("datagram", |k| matches!(k, Kind::Send { address: Address::Ip { port: 9, .. }, .. }));
}

#[test]
fn privileges_and_memory() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = act(&mut sensor, dir.path(), || {
        call(libc::SYS_prctl, [15, c"kworker/0:1".as_ptr() as usize, 0, 0, 0, 0]);
        let mut file = File::from(memfd_create("hidden", MemfdFlags::empty()).unwrap());
        file.write_all(&std::fs::read("/bin/true").unwrap()).unwrap();
        wait_for(|| {
            let argv = [c"hidden-argv".as_ptr(), std::ptr::null()];
            let (name, argv) = (c"".as_ptr() as usize, argv.as_ptr() as usize);
            call(
                libc::SYS_execveat,
                [file.as_raw_fd() as usize, name, argv, 0, libc::AT_EMPTY_PATH as usize, 0],
            );
        });
        call(libc::SYS_mmap, [0, 4096, 7, 0x22, usize::MAX, 0]);
        call(libc::SYS_unshare, [libc::CLONE_NEWUTS as usize, 0, 0, 0, 0, 0]);
        call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize + 0x4000, 1, 0, 0, 0, 0]);
        wait_for(|| {
            call(libc::SYS_setresuid, [65534, 65534, 65534, 0, 0, 0]);
            assert!(File::open("/etc/gshadow").is_err());
        });
    });
    seen.has("rename of the task", |k| matches!(k, Kind::SetName { to, .. } if to == "kworker/0:1"));
    seen.has("memfd", |k| matches!(k, Kind::Memfd { name, .. } if name == "hidden"));
    seen.has("exec of memory", |k| {
        matches!(k, Kind::Exec { anonymous: true, argv, path, .. } if argv[0] == "hidden-argv" && path.contains("memfd:hidden"))
    });
    seen.has(
        "executable memory",
        |k| matches!(k, Kind::ExecMemory { call, length: 4096, .. } if call == "mmap"),
    );
    seen.has(
        "unshare",
        |k| matches!(k, Kind::Namespace { call, flags: 0x0400_0000, .. } if call == "unshare"),
    );
    seen.has("ptrace", |k| matches!(k, Kind::Ptrace { request: 0x4010, target: 1, .. }));
    seen.has("setresuid", |k| {
        matches!(k, Kind::Credentials { call, arguments, result: 0 } if call == "setresuid" && arguments[0] == 65534)
    });
    seen.has("refused read", |k| matches!(k, Kind::Open { path, result: -13, .. } if path == "/etc/gshadow"));
}

/// The kernel keeps what a pidfd stands for in another place since 6.9.
#[test]
fn a_signal_through_a_pidfd_names_its_process() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = act(&mut sensor, dir.path(), || {
        let child = fork(|| std::thread::sleep(Duration::from_secs(60)));
        let pidfd = pidfd_open(child, PidfdFlags::empty()).unwrap();
        pidfd_send_signal(pidfd, Signal::KILL).unwrap();
        waitpid(Some(child), WaitOptions::empty()).unwrap();
    });
    let killed = |pid| {
        let target = SignalTarget::Process(pid);
        seen.kinds().any(|k| *k == Kind::Signal { target, signal: 9, result: 0 })
    };
    seen.has("fork, and a signal to it", |k| matches!(k, Kind::Fork { child } if killed(child.pid)));
}

/// The probe has another name before 6.4.
#[test]
fn requests_on_a_ring() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, at) = folder();
    match io_uring::IoUring::new(4) {
        Ok(ring) => drop(ring),
        Err(error) => return eprintln!("skipped: this kernel allows no io_uring: {error}"),
    }
    let seen = act(&mut sensor, dir.path(), || {
        use io_uring::{opcode, types};
        let here = types::Fd(libc::AT_FDCWD);
        let mut ring = io_uring::IoUring::new(4).unwrap();
        let open =
            opcode::OpenAt::new(here, c"by-ring".as_ptr()).flags(libc::O_CREAT | libc::O_WRONLY).mode(0o600);
        let make = opcode::MkDirAt::new(here, c"folder".as_ptr()).mode(0o700);
        let remove = opcode::UnlinkAt::new(here, c"by-ring".as_ptr());
        for entry in [open.build(), make.build(), remove.build()] {
            // SAFETY: the names are static, and the request is over before the next.
            unsafe { ring.submission().push(&entry) }.unwrap();
            ring.submit_and_wait(1).unwrap();
            let result = ring.completion().next().unwrap().result();
            assert!(result >= 0, "{result}");
        }
    });
    for (name, file) in [("openat", "by-ring"), ("mkdirat", "folder"), ("unlinkat", "by-ring")] {
        let path = format!("{at}/{file}");
        seen.has(name, |k| {
            matches!(k, Kind::IoUring { operation, path: Some(p), .. } if operation == name && *p == path)
        });
    }
}

/// 32-bit system calls are not decoded, and not missed.
#[test]
fn compat_calls() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let compat = || {
        // SAFETY: `getpid` of the 32-bit table has no arguments and touches no memory.
        unsafe {
            std::arch::asm!("int 0x80", inlateout("rax") 20u64 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
        }
    };
    let probe = waitpid(Some(fork(compat)), WaitOptions::empty()).unwrap();
    if probe.is_none_or(|(_, status)| status.exit_status() != Some(0)) {
        return eprintln!("skipped: this kernel has no 32-bit system calls");
    }
    let seen = act(&mut sensor, dir.path(), compat);
    seen.has("getpid", |k| matches!(k, Kind::Compat { number: 20, result } if *result > 0));
}

fn wait_for(run: impl FnOnce()) {
    waitpid(Some(fork(run)), WaitOptions::empty()).unwrap();
}
