//! Real acts, and what arrives of them.

use std::fs;
use std::time::Duration;

use muster_event::{Kind, SignalTarget};
use muster_sensor::Source;

use crate::rig::{run, sensor};

pub fn folder() -> (tempfile::TempDir, String) {
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
    let shell = fs::canonicalize("/bin/sh").unwrap().to_string_lossy().into_owned();
    fs::write(dir.path().join("script"), "#!/bin/sh\nexit 7\n").unwrap();
    let seen = run(
        &mut sensor,
        dir.path(),
        "chmod +x script; CLAUDECODE=1 SECRET=x ./script; setsid sleep 0.1 & (sleep 60 & kill -9 $!; wait)
         sh -c 'printf renamed > /proc/self/comm'; cp /bin/true ./claude; ./claude one 'two words'; sleep 0.3",
    );
    seen.has("script", |k| match k {
        Kind::Exec { path, script, argv, cwd, env, .. } => {
            script.as_deref() == Some(&format!("{at}/script"))
                && *path == shell
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
    // Its length must not touch the path: by that, products are known.
    let program = fs::canonicalize("/bin/true").unwrap().to_string_lossy().into_owned();
    let seen = run(&mut sensor, dir.path(), "x=$(printf 'a%.0s' $(seq 60000)); /bin/true \"$x\" end");
    seen.has("60 kB of arguments", |k| match k {
        Kind::Exec { path, argv, argv_truncated: false, .. } => {
            *path == program && argv.len() == 3 && argv[1].len() == 60_000 && argv[2] == "end"
        }
        _ => false,
    });
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
