//! What mustering out does beyond processes: connections, credentials, files in mounts of the lineage's own, what is only likely,
//! and what happens when nobody watches any more.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::out::{alive, bystander, end_bystander, ended, json, lineage, mark};
use crate::rig::{Daemon, text};

/// Waits, at most 20 s.
#[track_caller]
fn until(what: &str, mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes that were sent on this connection and that the other side's kernel has not taken.
fn untaken(stream: &TcpStream) -> u64 {
    let hex = |port: u16| format!(":{port:04X}");
    let (own, other) = (hex(stream.local_addr().unwrap().port()), hex(stream.peer_addr().unwrap().port()));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|it| it.ends_with(&own))
            && words.next().is_some_and(|it| it.ends_with(&other))
    });
    let queue = line.unwrap().split_whitespace().nth(4).unwrap();
    u64::from_str_radix(queue.split(':').next().unwrap(), 16).unwrap()
}

#[test]
fn open_connections_go_silent_and_speak_again() {
    let Some(daemon) = Daemon::start() else { return };
    let word = mark(21);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // One from within its control group; one from outside, by a process that left it before.
    let speaks =
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3; cat <&3 >/dev/null & exec sleep");
    let script = format!(
        "bash -c '{speaks} {word}.1' &
         bash -c 'echo $$ >/sys/fs/cgroup/cgroup.procs || echo $$ >/sys/fs/cgroup/unified/cgroup.procs; {speaks} {word}.2' \
         2>/dev/null & wait"
    );
    let lineage = lineage(&daemon, &script, &word, 2);
    let mut streams = [listener.accept().unwrap().0, listener.accept().unwrap().0];
    let mut other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut others = listener.accept().unwrap().0;
    for stream in &mut streams {
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(b"before").unwrap();
    }
    until("both are taken", || streams.iter().all(|stream| untaken(stream) == 0));
    let report = json(&daemon.muster(&["out", &lineage.agent, "--until", "cut", "--yes", "--json"]));
    assert_eq!(report["left"], json!([]), "{report}");
    for stream in &mut streams {
        stream.write_all(b"while").unwrap();
    }
    other.write_all(b"x").unwrap();
    others.read_exact(&mut [0]).unwrap();
    thread::sleep(Duration::from_millis(500));
    // A kernel that takes it for a frozen process would have answered: only the filter keeps it from that.
    assert_eq!(streams.each_ref().map(untaken), [5, 5], "{report}");
    assert!(daemon.muster(&["thaw", &lineage.agent]).status.success());
    until("it speaks again", || streams.iter().all(|stream| untaken(stream) == 0));
    // Killed, the other side is told.
    let report = json(&daemon.muster(&["out", &lineage.agent, "--yes", "--json"]));
    assert_eq!(report["left"], json!([]), "{report}");
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let end = stream.read(&mut [0; 64]);
        assert!(
            end.as_ref().is_ok_and(|count| *count == 0)
                || end.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "{end:?}"
        );
    }
    end_bystander(&word);
}

/// Answers one request with this status; gives what was asked.
fn webhook(status: &'static str) -> (u16, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut asked = Vec::new();
        let mut piece = [0; 1024];
        while !asked.ends_with(b"}") {
            match stream.read(&mut piece).unwrap() {
                0 => break,
                count => asked.extend(&piece[..count]),
            }
        }
        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (port, thread)
}

#[test]
fn credentials_that_it_touched_lose_their_power() {
    let data = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let here = fs::canonicalize(dir.path()).unwrap();
    for name in [".aws", ".other"] {
        fs::create_dir(here.join(name)).unwrap();
        fs::write(here.join(name).join("credentials"), "x\n").unwrap();
    }
    let (good, asked) = webhook("200 OK");
    let (bad, refused) = webhook("500 Internal Server Error");
    let here = here.display();
    let config = format!(
        r#"
        [[contain.revoke]]
        name = "aws"
        paths = ["{here}/.aws/*"]
        command = ["/bin/sh", "-c", 'printf %s "$MUSTER_OUT_AGENT $HOME" >"$0"', "{here}/told"]
        [[contain.revoke]]
        name = "untouched"
        paths = ["{here}/.other/*"]
        command = ["/usr/bin/touch", "{here}/wrong"]
        [[contain.revoke]]
        name = "slow"
        command = ["/bin/sleep", "20"]
        seconds = 1
        [[contain.revoke]]
        name = "fails"
        command = ["/bin/sh", "-c", "echo no such token >&2; exit 3"]
        [[contain.revoke]]
        name = "forge"
        url = "http://127.0.0.1:{good}/revoke"
        [[contain.revoke]]
        name = "broken"
        url = "http://127.0.0.1:{bad}/revoke?key=hidden"
        "#
    );
    fs::write(data.path().join("config.toml"), config).unwrap();
    let Some(daemon) = Daemon::start_at(data.path(), &[]) else { return };
    let word = mark(22);
    let lineage = lineage(&daemon, &format!("cat {here}/.aws/credentials; sleep {word}.1"), &word, 1);
    daemon.wait("the credential", || {
        let events = daemon.list(&["events", "--agent", &lineage.agent, "--kind", "open"]);
        events.iter().any(|it| text(it, "path").ends_with(".aws/credentials")).then_some(())
    });
    let planned = json(&daemon.muster(&["out", &lineage.agent, "--dry-run", "--json"]));
    assert_eq!(planned["revocations"], json!(["aws", "slow", "fails", "forge", "broken"]));
    let report = json(&daemon.muster(&["out", &lineage.agent, "--until", "kill", "--yes", "--json"]));
    assert!(alive(&format!("sleep {word}")).is_empty());
    assert_eq!(fs::read_to_string(format!("{here}/told")).unwrap(), format!("{} ", lineage.agent));
    assert!(!Path::new(&format!("{here}/wrong")).exists());
    let sent = asked.join().unwrap();
    assert!(sent.starts_with("POST /revoke ") && sent.contains(&lineage.agent), "{sent}");
    assert!(sent.contains(r#""credential":"forge""#), "{sent}");
    assert!(refused.join().unwrap().contains("broken"));
    let left: Vec<&str> = report["left"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let says = |words: &[&str]| left.iter().any(|it| words.iter().all(|word| it.contains(word)));
    assert!(says(&["`slow`", "had not ended after 1 s"]), "{left:?}");
    assert!(says(&["`fails`", "no such token"]) && says(&["`broken`", "500"]), "{left:?}");
    assert!(left.len() == 3 && !report.to_string().contains("hidden"), "{report}");
    let step = report["steps"].as_array().unwrap().iter().find(|it| it["step"] == "revoke").unwrap();
    assert!(text(step, "text").starts_with("aws, forge"), "{step}");
    // At the same time: the slowest decides.
    assert!(step["micros"].as_u64().unwrap() < 6_000_000, "{step}");
    end_bystander(&word);
}

#[test]
fn a_lineage_whose_oversight_is_lost_is_frozen() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("config.toml"), "[contain]\ndeadman = true\ndeadman_seconds = 1\n").unwrap();
    let Some(daemon) = Daemon::start_at(data.path(), &[]) else { return };
    let word = mark(23);
    // A product that keeps accounts, by its files; this one keeps none, and something of it stays.
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("dist/agent");
    fs::create_dir(dir.path().join("dist")).unwrap();
    fs::write(dir.path().join("package.json"), r#"{"name": "@google/gemini-cli", "version": "0.1.0"}"#)
        .unwrap();
    let grows = dir.path().join("grows");
    let script = format!(
        "#!/bin/sh\nsh -c 'id >/dev/null; echo x >{0}/made'\n\
         (setsid sh -c 'while :; do echo >>{1}; sleep 0.02; done; sleep {word}' &)\nsleep 0.5\n",
        dir.path().display(),
        grows.display()
    );
    fs::write(&program, script).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&program).status().unwrap().success());
    let size = || fs::metadata(&grows).map_or(0, |meta| meta.len());
    let ran = Command::new(&program).env("HOME", dir.path()).stdin(Stdio::null()).status().unwrap();
    assert!(ran.success());
    let listed = daemon.wait("the dead-man rule", || daemon.list(&["out", "--list"]).into_iter().next());
    assert!(text(&listed, "by").contains("dead-man rule: its account is silent"), "{listed}");
    assert_eq!(text(&listed, "until"), "freeze");
    until("it stands still", || {
        let before = size();
        thread::sleep(Duration::from_millis(150));
        size() == before
    });
    let agent = text(&listed, "agent");
    assert!(!alive(&word).is_empty(), "frozen, not killed");
    // A person may let it go on, and end it.
    assert!(daemon.muster(&["thaw", &agent]).status.success());
    let before = size();
    until("it goes on", || size() > before);
    assert!(daemon.muster(&["out", &agent, "--until", "kill", "--yes"]).status.success());
    assert!(alive(&word).is_empty());
}

#[test]
fn what_is_only_likely_goes_only_when_it_is_named() {
    let Some(daemon) = Daemon::start() else { return };
    let word = mark(24);
    let lineage = lineage(&daemon, &format!("sleep {word}.1"), &word, 1);
    let has = |value: &Value, list: &str| {
        value[list].as_array().unwrap().iter().any(|it| text(it, "command") == bystander(&word))
    };
    let all = ["out", &lineage.agent, "--include-likely"];
    let planned = json(&daemon.muster(&["out", &lineage.agent, "--dry-run", "--json"]));
    assert!(has(&planned, "likely") && !has(&planned, "processes"), "{planned}");
    let planned = json(&daemon.muster(&[&all[..], &["--dry-run", "--json"]].concat()));
    assert!(!has(&planned, "likely") && has(&planned, "processes"), "{planned}");
    let report = json(&daemon.muster(&[&all[..], &["--yes", "--json"]].concat()));
    assert!(has(&report["touched"], "processes"), "{report}");
    assert!(alive(&bystander(&word)).is_empty() && alive(&format!("sleep {word}")).is_empty());
}

#[test]
fn a_file_in_mounts_of_its_own_is_found_by_what_it_is() {
    let Some(daemon) = Daemon::start() else { return };
    for (number, mount, is_machines) in
        [(25, "mount --bind inside repo", true), (26, "mount -t tmpfs none repo", false)]
    {
        let word = mark(number);
        let dir = tempfile::tempdir().unwrap();
        let here = fs::canonicalize(dir.path()).unwrap();
        for name in ["repo/.git/hooks", "inside/.git/hooks", "work"] {
            fs::create_dir_all(here.join(name)).unwrap();
        }
        let hook = |name: &str| here.join(name).join(".git/hooks/pre-commit");
        // The user's file of the same path is newer than the agent, so its age does not save it.
        let script = format!(
            "cd {0}; {mount}; mkdir -p repo/.git/hooks; cd work; sleep 0.3
             printf '#!/bin/sh\\n: theirs\\n' >{0}/repo/.git/hooks/pre-commit; touch {0}/done; sleep {word}.1",
            here.display()
        );
        let lineage =
            lineage(&daemon, &format!("exec unshare -m sh -c \"{}\"", script.replace('"', "\\\"")), &word, 1);
        until("the hook", || here.join("done").exists());
        fs::write(hook("repo"), "#!/bin/sh\n: mine\n").unwrap();
        let planned = daemon.wait("the artefact", || {
            let planned = json(&daemon.muster(&["out", &lineage.agent, "--dry-run", "--json"]));
            (planned["files"] != json!([])).then_some(planned)
        });
        let file = &planned["files"][0];
        let report = json(&daemon.muster(&["out", &lineage.agent, "--yes", "--json"]));
        assert_eq!(report["left"], json!([]), "{report}");
        assert_eq!(report["touched"]["files"], planned["files"]);
        assert_eq!(fs::read_to_string(hook("repo")).unwrap(), "#!/bin/sh\n: mine\n", "{report}");
        if is_machines {
            assert_eq!(
                (text(file, "path"), text(file, "action")),
                (hook("inside").display().to_string(), "move".into())
            );
            assert!(!hook("inside").exists());
            assert!(daemon.muster(&["restore", &text(&report, "id")]).status.success());
            assert!(fs::read_to_string(hook("inside")).unwrap().contains("theirs"));
        } else {
            assert_eq!(text(file, "action"), "leave", "{file}");
            assert!(text(file, "why").contains("ends with them"), "{file}");
        }
        end_bystander(&word);
    }
}

#[test]
fn nothing_of_the_machine_is_touched_for_one_who_lived_elsewhere() {
    let Some(daemon) = Daemon::start() else { return };
    let word = mark(27);
    let dir = tempfile::tempdir().unwrap();
    let here = fs::canonicalize(dir.path()).unwrap();
    fs::create_dir_all(here.join("repo/.git/hooks")).unwrap();
    let hook = here.join("repo/.git/hooks/pre-commit");
    let script = format!(
        "unshare -m sh -c 'mount -t tmpfs none {0}/repo; mkdir -p {0}/repo/.git/hooks; sleep 0.3; \
         echo : >{1}; sleep 2'",
        here.display(),
        hook.display()
    );
    let agent = ended(&daemon, &word, &here, &script);
    fs::write(&hook, "#!/bin/sh\n: mine\n").unwrap();
    // It is over, with its mounts.
    let report = json(&daemon.muster(&["out", &agent, "--yes", "--json"]));
    assert_eq!(report["left"], json!([]), "{report}");
    assert_eq!(fs::read_to_string(&hook).unwrap(), "#!/bin/sh\n: mine\n");
}
