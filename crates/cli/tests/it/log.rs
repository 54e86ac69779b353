//! The log of a real daemon on the real kernel: signed as it goes, exported, checked by an outsider, tampered with, killed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Daemon, Folder, MUSTER, text};

const TOKEN: &str = "sk-ant-api03-Qm4vB7cD2eF5gH9Zx81kQ0pL";

/// Kills the daemon. Gives its folder.
fn killed(daemon: Daemon) -> TempDir {
    match daemon.kill() {
        Folder::Own(folder) => folder,
        Folder::Given(path) => panic!("{} is not this daemon's to give", path.display()),
    }
}

/// Runs a shell script as an enrolled agent.
fn enrolled(daemon: &Daemon, script: &str) {
    let mut run = Command::new(MUSTER);
    run.args(["run", "--data"]).arg(daemon.data.path()).args(["--", "sh", "-c", script]);
    assert!(run.output().unwrap().status.success());
}

/// An enrolled agent that writes into Muster's own folder, a token on its command line.
fn tampers(daemon: &Daemon) -> Value {
    let script = format!("echo {TOKEN} > {}/evil; rm {0}/evil", daemon.data.path().display());
    enrolled(daemon, &script);
    daemon.wait("finding", || {
        daemon.list(&["findings"]).into_iter().find(|found| text(found, "code") == "monitor-tampering")
    })
}

/// As an outsider does: another user, no daemon, nothing of Muster's but the program.
fn verify(arguments: &[&str]) -> Output {
    Command::new(MUSTER).arg("verify").args(arguments).env_clear().current_dir("/").output().unwrap()
}

#[track_caller]
fn holds(arguments: &[&str]) -> Value {
    let out = verify(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{said}");
    serde_json::from_slice(&out.stdout).unwrap()
}

#[track_caller]
fn does_not_hold(arguments: &[&str]) -> Value {
    let out = verify(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{said}");
    serde_json::from_slice(&out.stdout).unwrap()
}

fn key(daemon: &Daemon) -> String {
    let out = daemon.muster(&["key", "--json"]);
    let keys: Value = serde_json::from_slice(&out.stdout).unwrap();
    text(&keys, "key")
}

#[track_caller]
fn export(daemon: &Daemon, what: &str, to: &Path) -> Value {
    // A checkpoint within the second speaks of what was just written.
    daemon.wait("checkpoint over it", || {
        let out = daemon.muster(&["export", what, "-o", to.to_str().unwrap(), "--force", "--json"]);
        serde_json::from_slice(&out.stdout).ok()
    })
}

#[test]
fn evidence_leaves_the_machine() {
    let Some(daemon) = Daemon::start() else { return };
    let found = tampers(&daemon);
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case.muster");
    let path = case.to_str().unwrap();
    let key = key(&daemon);
    let written = export(&daemon, &text(&found, "finding"), &case);
    assert_eq!(written["missing"], 0, "{written}");
    let held = holds(&[path, "--key", &key]);
    assert_eq!((&held["key_trusted"], &held["leaves"]), (&true.into(), &written["leaves"]), "{held}");
    assert!(held["redacted"].as_u64().unwrap() > 0, "{held}");
    // The daemon is not needed, nor its folder, nor root.
    let data = daemon.stop();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(&case, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let out = Command::new(MUSTER).args(["verify", path]).uid(65534).gid(65534).env_clear().output();
    match out {
        Ok(out) => assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr)),
        Err(error) => eprintln!("skipped: another user cannot run this program here: {error}"),
    }

    // By hand, as README.txt says.
    let unpacked = dir.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut archive = tar::Archive::new(fs::File::open(&case).unwrap());
    archive.unpack(&unpacked).unwrap();
    let readme = fs::read_to_string(unpacked.join("README.txt")).unwrap();
    let program: String = readme
        .lines()
        .skip_while(|line| !line.contains("import json"))
        .take_while(|line| line.is_empty() || line.starts_with("        "))
        .map(|line| line.strip_prefix("        ").unwrap_or(line).to_owned() + "\n")
        .collect();
    let by_hand = || Command::new("python3").arg("-c").arg(&program).current_dir(&unpacked).output();
    match by_hand() {
        Ok(out) => {
            assert_eq!(
                out.stdout,
                b"every leaf is in the tree\n",
                "{}",
                String::from_utf8_lossy(&out.stderr)
            );
            let leaves = fs::read_to_string(unpacked.join("leaves.jsonl")).unwrap();
            fs::write(
                unpacked.join("leaves.jsonl"),
                leaves.replacen("monitor-tampering", "monitor-tempering", 1),
            )
            .unwrap();
            assert!(!by_hand().unwrap().status.success());
        }
        Err(error) => eprintln!("skipped: no python3 to check by hand: {error}"),
    }
    let report = fs::read_to_string(unpacked.join("report.html")).unwrap();
    assert!(report.contains("monitor-tampering") && !report.contains("<script") && !report.contains(TOKEN));

    // The holder of a value reveals that one, and the bundle still holds.
    let opened = dir.path().join("opened.muster");
    let reveal = |value: &str| {
        let mut child = Command::new(MUSTER)
            .args(["reveal", "--into", path, "-o", opened.to_str().unwrap(), "--data"])
            .arg(data.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        child.wait_with_output().unwrap().status.code()
    };
    assert_eq!(reveal("another-secret-than-that"), Some(1));
    assert_eq!(reveal(TOKEN), Some(0));
    let held = holds(&[opened.to_str().unwrap(), "--key", &key]);
    assert_eq!(held["revealed"], 1, "{held}");

    // Another key, a witness that never saw it, a changed byte.
    let other = "example.com/log+2afd8bf4+AZdT7V2eGFQPR2KCL9oP8ZrWAeBdBnf6vDd0KBgHCjqq";
    assert_ne!(verify(&[path, "--key", other]).status.code(), Some(0));
    let bytes = fs::read(&case).unwrap();
    let at = bytes.windows(17).rposition(|window| window == b"monitor-tampering").unwrap();
    let mut changed = bytes.clone();
    changed[at] = b'M';
    fs::write(&case, changed).unwrap();
    does_not_hold(&[path]);
}

#[test]
fn a_log_that_was_tampered_with() {
    let Some(daemon) = Daemon::start() else { return };
    let found = tampers(&daemon);
    // A whole tile, on a quiet machine too.
    enrolled(&daemon, "for i in $(seq 200); do /bin/true; done");
    let key = key(&daemon);
    let id = text(&found, "agent");
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case.muster");
    for what in [id.as_str(), "..", "2026-01-01T00:00:00Z.."] {
        let written = export(&daemon, what, &case);
        assert!(written["leaves"].as_u64().unwrap() > 5, "{written}");
        holds(&[case.to_str().unwrap(), "--key", &key]);
    }
    // While the daemon writes.
    let folder = daemon.data.path().to_str().unwrap().to_owned();
    for _ in 0..5 {
        holds(&[&folder, "--key", &key]);
    }
    let data = daemon.stop();
    let held = holds(&[&folder, "--key", &key]);
    assert_eq!(held["behind"], 0, "the last thing that a daemon does is to sign: {held}");

    let check = |arguments: &[&str]| {
        let out = Command::new(MUSTER).args(["reindex", "--data", &folder]).args(arguments).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    assert_eq!(check(&["--check"]).0, Some(0), "{}", check(&["--check"]).1);
    let conn = rusqlite::Connection::open(data.path().join("index.db")).unwrap();
    conn.execute("DELETE FROM findings", []).unwrap();
    drop(conn);
    let (code, said) = check(&["--check"]);
    assert!(code == Some(3) && said.contains("findings"), "{said}");
    assert_eq!(check(&[]).0, Some(0));
    assert_eq!(check(&["--check"]).0, Some(0));
    let out = Command::new(MUSTER).args(["findings", "--json", "--data", &folder]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("monitor-tampering"));

    let bundle = data.path().join("ledger/tile/entries/000");
    let file = fs::OpenOptions::new().write(true).open(&bundle).unwrap();
    let bytes = fs::read(&bundle).unwrap();
    file.write_all_at(&[bytes[4000] ^ 1], 4000).unwrap();
    let wrong = does_not_hold(&[&folder]);
    assert!(wrong["leaf"].as_u64().unwrap() < 256, "{wrong}");
    file.write_all_at(&bytes[4000..4001], 4000).unwrap();
    holds(&[&folder]);
    fs::remove_file(data.path().join("ledger/tile/0/000")).unwrap();
    does_not_hold(&[&folder]);
}

/// The newest segment of the journal.
fn segment(data: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> =
        fs::read_dir(data.join("ledger/segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.pop().unwrap()
}

#[test]
fn a_log_that_cannot_be_gone_on_with_is_kept_and_another_begins() {
    let Some(daemon) = Daemon::start() else { return };
    let old = key(&daemon);
    let data = daemon.stop();
    let segment = segment(data.path());
    let len = fs::metadata(&segment).unwrap().len();
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(len - 200).unwrap();
    let daemon = Daemon::start_in(data, &[]).unwrap();
    let said = daemon.said();
    assert!(said.contains("a new one begins") && said.contains("set-aside-1"), "{said}");
    let folder = daemon.data.path().to_str().unwrap().to_owned();
    let new = key(&daemon);
    assert_ne!(new, old);
    holds(&[&folder, "--key", &new]);
    does_not_hold(&[&folder, "--key", &old]);
    // Why it begins is its first leaf.
    let case = daemon.data.path().join("case.muster");
    export(&daemon, "..", &case);
    let text = String::from_utf8_lossy(&fs::read(&case).unwrap()).into_owned();
    assert!(text.contains("set-aside-1"));
    assert!(Path::new(&folder).join("ledger.set-aside-1/log.key").exists());
}

#[test]
fn keys_follow_one_another() {
    let Some(daemon) = Daemon::start() else { return };
    let folder = daemon.data.path().to_str().unwrap().to_owned();
    let old = key(&daemon);
    assert!(daemon.muster(&["key", "rotate"]).status.success());
    daemon.wait("rotation", || daemon.said().contains("signed by a new key").then_some(()));
    let new = key(&daemon);
    assert_ne!(old, new);
    // Both sign, until the old one is retired.
    holds(&[&folder, "--key", &old]);
    holds(&[&folder, "--key", &new]);
    assert_eq!(daemon.muster(&["key", "rotate"]).status.code(), Some(2));
    assert!(daemon.muster(&["key", "retire"]).status.success());
    daemon.wait("end of the old key", || daemon.said().contains("signs no more").then_some(()));
    holds(&[&folder, "--key", &new]);
    does_not_hold(&[&folder, "--key", &old]);
    // A key that others can read is no key.
    let data = daemon.stop();
    let path = data.path().join("log.key");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let out =
        Command::new(MUSTER).args(["watch", "--listen", "127.0.0.1:0", "--data", &folder]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("chmod 600"), "{said}");
}

#[test]
fn a_daemon_killed_at_any_moment_leaves_a_log_that_holds() {
    let mut data = tempfile::tempdir().unwrap();
    let mut size = 0;
    for round in 0..6u64 {
        let Some(daemon) = Daemon::start_in(data, &[]) else { return };
        enrolled(&daemon, "for i in $(seq 200); do /bin/true; done");
        std::thread::sleep(std::time::Duration::from_millis(300 + 170 * round));
        data = killed(daemon);
        let held = holds(&[data.path().to_str().unwrap()]);
        let now = held["size"].as_u64().unwrap();
        assert!(now > size, "{now} leaves after {size}");
        size = now;
    }
}

/// The last word of a daemon that was stopped for a while is that it was.
#[test]
fn a_killed_daemon_is_not_a_quiet_one() {
    let Some(daemon) = Daemon::start() else { return };
    let data = killed(daemon);
    let daemon = Daemon::start_in(data, &[]).unwrap();
    let starts = daemon.list(&["gaps"]);
    assert!(!starts.is_empty(), "what nobody saw is on record");
}

/// A witness in another process, as on another machine.
struct Witness {
    child: std::process::Child,
    url: String,
    key: String,
    errors: tempfile::NamedTempFile,
    _data: TempDir,
}

impl Witness {
    fn start(log: &str) -> Self {
        use std::io::{BufRead, BufReader};
        let data = tempfile::tempdir().unwrap();
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new(MUSTER)
            .args(["witness", "--listen", "127.0.0.1:0", "--silent-after", "4", "--log", log, "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(errors.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let word = |name: &str| {
            let found = ready.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{ready}")).to_owned()
        };
        Witness { url: word("url="), key: word("key="), child, errors, _data: data }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.errors.path()).unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn what_one_machine_cannot_know_its_witness_does() {
    let Some(daemon) = Daemon::start() else { return };
    let log = key(&daemon);
    let data = daemon.stop();
    let folder = data.path().to_str().unwrap().to_owned();
    let witness = Witness::start(&log);
    let arguments = ["--witness", witness.url.as_str(), witness.key.as_str()];
    let daemon = Daemon::start_in(data, &arguments).unwrap();
    let seen = ["--key", log.as_str(), "--witness", witness.key.as_str()];
    daemon.wait("cosigned head", || {
        verify(&[&[folder.as_str()], &seen[..]].concat()).status.success().then_some(())
    });
    // A bundle bears the cosignature.
    let found = tampers(&daemon);
    let case = tempfile::NamedTempFile::new().unwrap();
    daemon.wait("cosigned bundle", || {
        export(&daemon, &text(&found, "finding"), case.path());
        verify(&[&[case.path().to_str().unwrap()], &seen[..]].concat()).status.success().then_some(())
    });
    let held = holds(&[&[case.path().to_str().unwrap()], &seen[..]].concat());
    assert_eq!(held["witnesses"][0]["trusted"], true, "{held}");

    // The log as it is now, before some more of it.
    let old = tempfile::tempdir().unwrap();
    let data = daemon.stop();
    copy(data.path(), old.path());
    let daemon = Daemon::start_in(data, &arguments).unwrap();
    enrolled(&daemon, "echo what is to be forgotten");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let data = killed(daemon);
    let quiet = std::time::Instant::now();
    while !witness.said().contains("silent") {
        assert!(quiet.elapsed().as_secs() < 30, "a silent stop goes unseen: {}", witness.said());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // Back to the old state: for itself, it is a log like any other.
    fs::remove_dir_all(data.path()).unwrap();
    copy(old.path(), data.path());
    holds(&[&folder, "--key", &log]);
    let daemon = Daemon::start_in(data, &arguments).unwrap();
    daemon.wait("word of the rollback", || {
        let notices = daemon.get("/api/v1/health");
        (notices.contains("NOT WHAT A WITNESS SAW")
            && ["rollback", "rewrite", "fork"].iter().any(|sign| witness.said().contains(sign)))
        .then_some(())
    });
}
