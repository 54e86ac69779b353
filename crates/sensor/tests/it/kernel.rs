//! Real acts, and what arrives of them.

use std::fs;
use std::time::Duration;

use muster_event::{Address, Kind, SignalTarget};
use muster_sensor::Source;

use crate::rig::{run, sensor};

fn folder() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(dir.path()).unwrap().to_string_lossy().into_owned();
    (dir, path)
}

#[test]
fn every_probe_loads_and_answers() {
    let Some(sensor) = sensor() else { return };
    for state in sensor.states() {
        assert_eq!(state.error, None, "{}", state.probe);
    }
}

#[test]
fn files() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, at) = folder();
    let seen = run(
        &mut sensor,
        dir.path(),
        "mkdir real; ln -s real link; echo x > link/file; mv link/file link/moved; chmod 751 real/moved
         ln real/moved hard; truncate -s 7 hard; cat /etc/shadow > /dev/null; cat /etc/passwd > /dev/null
         exec 5<real; echo y > /proc/self/fd/5/through; exec 5<&-; rm real/moved; rmdir real 2>/dev/null
         chown 12:34 hard; cp hard copy; (cd real; rm ./through)",
    );
    assert!(seen.lost.is_empty(), "{:?}", seen.lost);
    let path = |end: &str| format!("{at}/{end}");
    seen.has("mkdir", |k| matches!(k, Kind::Mkdir { path: p, result: 0 } if *p == path("real")));
    seen.has(
        "symlink",
        |k| matches!(k, Kind::Symlink { target, path: p, .. } if target == "real" && *p == path("link")),
    );
    seen.has("open through a link", |k| {
        matches!(k, Kind::Open { path: p, access, result: 0 } if *p == path("real/file") && access.write && access.create)
    });
    seen.has("rename through a link", |k| {
        matches!(k, Kind::Rename { from, to, .. } if *from == path("real/file") && *to == path("real/moved"))
    });
    seen.has("chmod", |k| matches!(k, Kind::Chmod { path: p, mode: 0o751, .. } if *p == path("real/moved")));
    seen.has(
        "link",
        |k| matches!(k, Kind::Link { from, to, .. } if *from == path("real/moved") && *to == path("hard")),
    );
    seen.has("truncate", |k| matches!(k, Kind::Truncate { path: p, length: 7, .. } if *p == path("hard")));
    seen.has("chown", |k| matches!(k, Kind::Chown { path: p, uid: 12, gid: 34, .. } if *p == path("hard")));
    seen.has(
        "sensitive read",
        |k| matches!(k, Kind::Open { path: p, access, .. } if p == "/etc/shadow" && !access.write),
    );
    seen.has_not("ordinary read", |k| matches!(k, Kind::Open { path: p, .. } if p == "/etc/passwd"));
    seen.has_not("/dev/null", |k| matches!(k, Kind::Open { path: p, .. } if p == "/dev/null"));
    seen.has(
        "through /proc/self/fd",
        |k| matches!(k, Kind::Open { path: p, .. } if *p == path("real/through")),
    );
    seen.has(
        "unlink",
        |k| matches!(k, Kind::Unlink { path: p, directory: false, .. } if *p == path("real/moved")),
    );
    seen.has("refused rmdir", |k| {
        matches!(k, Kind::Unlink { path: p, directory: true, result } if *p == path("real") && *result < 0)
    });
    seen.has(
        "unlink, relative",
        |k| matches!(k, Kind::Unlink { path: p, result: 0, .. } if *p == path("real/through")),
    );
}

/// Short names lie within the kernel's own record of a name, long ones elsewhere; the probe knows 15 bytes of each.
#[test]
fn sensitive_names() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, at) = folder();
    let sensitive = [
        ".env",
        "id_ecdsa_sk",
        "credentials.json",
        ".env.production",
        "service-account.json",
        "application_default_credentials.json",
        ".ssh/config",
        ".aws/sso/cache/one",
        ".password-store/a/b/c/d",
    ];
    let ordinary =
        [".envx", "id_ecdsa", "credential", "service-accountx", "ssh/config", "credentials.txt/one", "k"];
    let make = |name: &&str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    sensitive.iter().chain(&ordinary[..1]).chain(&ordinary[2..]).for_each(make);
    let all: Vec<&str> = sensitive.iter().chain(&ordinary).copied().collect();
    let seen = run(&mut sensor, dir.path(), &format!("cat {} 2>/dev/null; true", all.join(" ")));
    let opened = |name: &str| {
        let path = format!("{at}/{name}");
        move |k: &Kind| matches!(k, Kind::Open { path: p, .. } if *p == path)
    };
    for name in sensitive {
        seen.has(name, opened(name));
    }
    for name in ordinary {
        seen.has_not(name, opened(name));
    }
}

#[test]
fn processes() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, at) = folder();
    fs::write(dir.path().join("script"), "#!/bin/sh\nexit 7\n").unwrap();
    let seen = run(
        &mut sensor,
        dir.path(),
        "chmod +x script; CLAUDECODE=1 SECRET=x ./script; setsid -f sleep 0.1; (sleep 60 & kill -9 $!; wait)
         sh -c 'printf renamed > /proc/self/comm'; cp /bin/true ./claude; ./claude one 'two words'; sleep 0.3",
    );
    seen.has("script", |k| match k {
        Kind::Exec { path, script, argv, cwd, env, .. } => {
            script.as_deref() == Some(&format!("{at}/script"))
                && path.ends_with("/dash")
                && argv.len() == 2
                && *cwd == at
                && env.get("CLAUDECODE").map(String::as_str) == Some("1")
                && !env.contains_key("SECRET")
        }
        _ => false,
    });
    seen.has("status", |k| matches!(k, Kind::Exit { code: Some(7), signal: None }));
    seen.has("killed", |k| matches!(k, Kind::Exit { code: None, signal: Some(9) }));
    seen.has("kill", |k| {
        matches!(k, Kind::Signal { target: SignalTarget::Process(_), signal: 9, result: 0 })
    });
    seen.has("setsid", |k| matches!(k, Kind::SetSid { .. }));
    seen.has("copied program", |k| match k {
        Kind::Exec { path, argv, .. } => *path == format!("{at}/claude") && argv[1..] == ["one", "two words"],
        _ => false,
    });
    let root_exit = seen.events.iter().filter(|e| e.process.pid == seen.root);
    assert!(root_exit.into_iter().any(|e| matches!(e.kind, Kind::Exit { code: Some(0), .. })));
}

#[test]
fn long_command_lines_arrive_whole() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = run(&mut sensor, dir.path(), "x=$(printf 'a%.0s' $(seq 60000)); /bin/true \"$x\" end");
    seen.has("60 kB of arguments", |k| match k {
        Kind::Exec { argv, argv_truncated: false, .. } => {
            argv.len() == 3 && argv[1].len() == 60_000 && argv[2] == "end"
        }
        _ => false,
    });
    // What was too long for one record was the command line, not the path.
    seen.has(
        "the path",
        |k| matches!(k, Kind::Exec { path, argv, .. } if path == "/usr/bin/true" && argv.len() == 3),
    );
}

/// A path that is deeper than what the probes send says so, and is never taken for another one.
#[test]
fn a_path_too_deep_is_marked() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = run(
        &mut sensor,
        dir.path(),
        "for i in $(seq 120); do mkdir d; cd d; done; cp /bin/true ./etc; ./etc deep; echo x > shadow",
    );
    seen.has("exec", |k| matches!(k, Kind::Exec { path, argv, .. } if argv.last().unwrap() == "deep" && path.starts_with('…')));
    seen.has(
        "open",
        |k| matches!(k, Kind::Open { path, .. } if path.starts_with('…') && path.ends_with("/d/shadow")),
    );
}

#[test]
fn network() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, at) = folder();
    let script = r#"python3 - <<'E'
import socket, threading, os
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); port = s.getsockname()[1]
def serve():
    c, _ = s.accept(); c.recv(4096); c.close()
t = threading.Thread(target=serve); t.start()
c = socket.create_connection(("127.0.0.1", port))
c.send(b"POST /v1/chat/completions?key=s3cret HTTP/1.1\r\nHost: model.example\r\n\r\n"); t.join()
u = socket.socket(socket.AF_UNIX); u.bind("sock"); u.listen()
v = socket.socket(socket.AF_UNIX); v.connect("sock")
d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
d.sendto(b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03api\x09anthropic\x03com\x00\x00\x01\x00\x01", ("127.0.0.1", 53))
d.sendto(b"x", ("127.0.0.1", 9))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
try: six.sendto(b"x", ("::1", 9))
except OSError: pass
E"#;
    let seen = run(&mut sensor, dir.path(), script);
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
    let _ = at;
}

#[test]
fn privileges_and_memory() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let script = r#"python3 - <<'E'
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, b"kworker/0:1", 0, 0, 0)
fd = os.memfd_create("hidden"); os.write(fd, open("/bin/true", "rb").read())
if os.fork() == 0: os.execve(fd, ["hidden-argv"], {})
os.wait()
mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
libc.unshare(0x04000000)
libc.ptrace(16, 1, 0, 0)
if os.fork() == 0:
    os.setresuid(65534, 65534, 65534); os.open("/etc/shadow-", os.O_RDONLY) if False else None
    try: os.open("/etc/gshadow", os.O_RDONLY)
    except OSError: pass
    os._exit(0)
os.wait()
E"#;
    let seen = run(&mut sensor, dir.path(), script);
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
    seen.has("ptrace", |k| matches!(k, Kind::Ptrace { request: 16, target: 1, .. }));
    seen.has("setresuid", |k| {
        matches!(k, Kind::Credentials { call, arguments, result: 0 } if call == "setresuid" && arguments[0] == 65534)
    });
    seen.has("refused read", |k| matches!(k, Kind::Open { path, result: -13, .. } if path == "/etc/gshadow"));
}

/// A peer drops opens beyond some 30 a second for each process: decoys hide the one that counts.
#[test]
fn decoys_hide_nothing() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let seen = run(
        &mut sensor,
        dir.path(),
        "for i in $(seq 20000); do : > decoy; [ $i = 10000 ] && read x < /etc/gshadow; done",
    );
    let decoys =
        seen.kinds().filter(|k| matches!(k, Kind::Open { path, .. } if path.ends_with("/decoy"))).count();
    assert_eq!((decoys, seen.lost.len()), (20_000, 0));
    seen.has("the read", |k| matches!(k, Kind::Open { path, .. } if path == "/etc/gshadow"));
}

#[test]
fn numbers_have_no_holes_and_times_rise() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, _) = folder();
    let mut events = Vec::new();
    for _ in 0..3 {
        events.extend(run(&mut sensor, dir.path(), "for i in $(seq 50); do /bin/true > x$i; done").events);
    }
    let all: Vec<u64> = events.iter().map(|e| e.seq).collect();
    assert!(all.is_sorted(), "in the order of their numbers");
    let late = events.windows(2).filter(|w| w[0].boot_ns > w[1].boot_ns).count();
    assert_eq!(late, 0, "of {} events", events.len());
}

/// Once nobody is followed, nobody pays.
#[test]
fn costly_probes_leave_with_the_last_lineage() {
    let Some(mut sensor) = sensor() else { return };
    let (dir, at) = folder();
    run(&mut sensor, dir.path(), "true");
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        sensor.poll(Duration::from_millis(50));
    }
    fs::write(format!("{at}/mine"), "x").unwrap();
    let batch = sensor.poll(Duration::from_millis(50));
    assert!(!batch.events.iter().any(|e| matches!(e.kind, Kind::Open { .. })));
    let counts = sensor.counts();
    run(&mut sensor, dir.path(), "echo again > again");
    assert!(sensor.counts()[1].1 > counts[1].1, "the next lineage is watched again");
}
