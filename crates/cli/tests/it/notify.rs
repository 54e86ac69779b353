//! Notices: each kind of place gets a finding once, also where it was down for a while, and a flood is one message.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_rehearsal::{Model, Script, Step, plain_agent};
use serde_json::Value;

use crate::rig::{Daemon, text};

type Taken = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Takes what is posted, by path; refuses the first `refused` requests to each.
fn web(refused: usize) -> (SocketAddr, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Taken::default();
    let kept = Arc::clone(&taken);
    std::thread::spawn(move || {
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for stream in listener.incoming().flatten() {
            let Some((path, body)) = request(&stream) else { continue };
            let count = asked.entry(path.clone()).or_default();
            *count += 1;
            let refuse = *count <= refused;
            let status = if refuse { "503 Not Now" } else { "200 OK" };
            if !refuse {
                kept.lock().unwrap().entry(path).or_default().push(body);
            }
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            drop((&stream).write_all(answer.as_bytes()));
        }
    });
    (address, taken)
}

fn request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line == "\r\n" || line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, String::from_utf8(body).ok()?))
}

/// A mail server that takes everything.
fn post_office() -> (SocketAddr, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Taken::default();
    let kept = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let say = |line: &str| (&stream).write_all(format!("{line}\r\n").as_bytes()).is_ok();
            say("220 here");
            let mut line = String::new();
            while {
                line.clear();
                reader.read_line(&mut line).is_ok_and(|read| read > 0)
            } {
                match line.split_whitespace().next().unwrap_or_default() {
                    "DATA" => {
                        say("354 go on");
                        let mut mail = String::new();
                        while {
                            line.clear();
                            reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != ".\r\n"
                        } {
                            mail.push_str(&line);
                        }
                        kept.lock().unwrap().entry("mail".to_owned()).or_default().push(mail);
                        say("250 taken");
                    }
                    "QUIT" => {
                        say("221 bye");
                        break;
                    }
                    _ => drop(say("250 well")),
                }
            }
        }
    });
    (address, taken)
}

#[test]
fn every_kind_of_place_is_told_once_however_often_it_was_down() {
    let data = tempfile::tempdir().unwrap();
    let ((web, posted), (office, mailed)) = (web(2), post_office());
    let log = data.path().join("log.sock");
    let syslog = UnixDatagram::bind(&log).unwrap();
    syslog.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut config = String::new();
    for kind in ["webhook", "slack", "ocsf", "otlp"] {
        config += &format!(
            "[[notify]]\nname = \"{kind}\"\nkind = \"{kind}\"\nurl = \"http://{web}/{kind}\"\nseverity = \"info\"\n"
        );
    }
    config += &format!(
        "[[notify]]\nname = \"post\"\nkind = \"smtp\"\nurl = \"smtp+plain://{office}\"\nseverity = \"info\"\n\
         from = \"muster@example.invalid\"\nto = [\"Ann <ann@example.invalid>\"]\n"
    );
    config += &format!(
        "[[notify]]\nname = \"syslog\"\nkind = \"syslog\"\nurl = \"unix:{}\"\nseverity = \"info\"\n",
        log.display()
    );
    config += &format!(
        "[[notify]]\nname = \"others\"\nkind = \"webhook\"\nurl = \"http://{web}/others\"\nseverity = \"info\"\nagents = [\"somebody-else\"]\n"
    );
    std::fs::write(data.path().join("config.toml"), &config).unwrap();
    let Some(daemon) = Daemon::start_at(data.path(), &[]) else { return };
    // Each place begins with what comes from now on.
    daemon.wait("beginning", || data.path().join("notify/syslog.json").exists().then_some(()));

    let dir = tempfile::tempdir().unwrap();
    let model = Model::start(Script::new([Step::shell("true"), Step::last("done")])).unwrap();
    let agent = plain_agent(dir.path(), &model, "go").unwrap();
    let found = daemon.wait("finding", || daemon.list(&["findings"]).into_iter().next());
    let id = text(&found, "finding");
    let take = |path: &str| posted.lock().unwrap().get(path).cloned().unwrap_or_default();
    daemon.wait("notices", || {
        let all = ["/webhook", "/slack", "/ocsf", "/otlp/v1/logs"].iter().all(|path| !take(path).is_empty());
        (all && mailed.lock().unwrap().contains_key("mail")).then_some(())
    });
    let webhook: Value = serde_json::from_str(&take("/webhook")[0]).unwrap();
    assert_eq!(webhook["finding"]["finding"], id.as_str());
    let ocsf: Value = serde_json::from_str(&take("/ocsf")[0]).unwrap();
    assert_eq!((ocsf["class_uid"].as_u64(), ocsf["type_uid"].as_u64()), (Some(2004), Some(200_401)));
    assert_eq!(ocsf["metadata"]["uid"], id.as_str());
    assert_eq!(ocsf["attestation_list"][0]["fingerprint"]["value"].as_str().map(str::len), Some(64));
    let otlp: Value = serde_json::from_str(&take("/otlp/v1/logs")[0]).unwrap();
    assert!(otlp["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["severityText"].is_string(), "{otlp}");
    assert!(take("/slack")[0].contains("unmandated-agent"));
    let mail = mailed.lock().unwrap()["mail"][0].clone();
    assert!(mail.contains("Subject: ") && mail.contains("unmandated-agent"), "{mail}");
    let mut line = [0; 8192];
    let read = syslog.recv(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line[..read]).into_owned();
    assert!(line.starts_with("<8") && line.contains(&id), "{line}");
    assert!(take("/others").is_empty(), "that place wants to know of others only");

    // The next daemon goes on where this one was.
    drop(agent);
    drop(daemon);
    let Some(next) = Daemon::start_at(data.path(), &[]) else { return };
    std::thread::sleep(Duration::from_secs(3));
    for path in ["/webhook", "/slack", "/ocsf", "/otlp/v1/logs"] {
        let told: Vec<String> = take(path).iter().filter(|body| body.contains(&id)).cloned().collect();
        assert_eq!(told.len(), 1, "{path}: {told:?}");
    }
    let states = next.list(&["notify"]);
    assert!(states.iter().all(|state| state["error"].is_null()), "{states:?}");
    let tests = next.muster(&["notify", "test", "webhook"]);
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stdout));
    assert!(take("/webhook").last().unwrap().contains("f-test"));
}

#[test]
fn a_place_that_is_down_is_named_and_its_url_is_not() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(
        data.path().join("config.toml"),
        "[[notify]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"http://127.0.0.1:9/T0/B0/secretpart\"\n",
    )
    .unwrap();
    let out = std::process::Command::new(crate::rig::MUSTER)
        .args(["notify", "test", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("chat  slack  NOT taken") && !said.contains("secretpart"), "{said}");
}
