//! The log's key in a process of its own, under another user: two real processes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use muster_ledger::note::Verifier;
use muster_ledger::signing::{Answer, Request};
use muster_ledger::tree::{leaf_hash, node_hash};
use muster_ledger::{Checkpoint, Hash, Head, Reader, tree};
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Daemon, MUSTER};

const NOBODY: u32 = 65_534;

/// `muster signer`, under an unprivileged user where the test may choose one.
struct Process {
    child: Child,
    folder: TempDir,
    key: Verifier,
}

impl Process {
    fn command(folder: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(MUSTER);
        command.arg("signer").arg("--socket").arg(folder.join("s")).arg("--key").arg(folder.join("key"));
        command.args(more);
        if rustix::process::geteuid().is_root() {
            chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        } else {
            command.arg("--allow-uid").arg(rustix::process::geteuid().as_raw().to_string());
        }
        command
    }

    fn start(folder: TempDir, more: &[&str]) -> Process {
        let mut child = Self::command(folder.path(), more).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let key =
            ready.trim_end().rsplit_once("key=").unwrap_or_else(|| panic!("{ready}")).1.parse().unwrap();
        Process { child, folder, key }
    }

    fn new() -> Process {
        Self::start(tempfile::tempdir().unwrap(), &["--name", "example.com/log"])
    }

    /// A second one beside it, or one that cannot start: how it ends.
    fn does_not_start(folder: &Path, more: &[&str]) -> String {
        let out: Output = Self::command(folder, more).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        String::from_utf8(out.stderr).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn place(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    fn say(&self, bytes: &[u8]) -> Answer {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer).unwrap()
    }

    fn ask(&self, request: &Request) -> Answer {
        self.say(&request.to_bytes())
    }

    fn head(&self, origin: &str, head: Head, old: u64, proof: &[Hash]) -> Answer {
        let checkpoint = Checkpoint::new(origin, head);
        self.ask(&Request::Head { by: self.key.id(), old, proof: proof.to_vec(), checkpoint })
    }

    fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    #[track_caller]
    fn refuses(answer: &Answer, with: &str) {
        assert!(matches!(answer, Answer::Refused(why) if why.contains(with)), "{answer:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn nothing_but_what_continues_is_signed() {
    let signer = Process::new();
    let name = "example.com/log";
    assert_eq!(signer.ask(&Request::Keys), Answer::Keys { size: 0, keys: vec![signer.key.clone()] });
    let [a, b, c] = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")];
    let one = Head { size: 1, root: a };
    let two = Head { size: 2, root: node_hash(&a, &b) };
    let forked = Head { size: 2, root: node_hash(&c, &b) };
    let Answer::Signature(signature) = signer.head(name, one, 0, &[]) else { panic!("not signed") };
    assert!(signer.key.verify(Checkpoint::new(name, one).text().as_bytes(), &signature));
    assert!(matches!(signer.head(name, two, 1, &[b]), Answer::Signature(_)));
    // The same again, as after a crash of the daemon.
    assert!(matches!(signer.head(name, two, 2, &[]), Answer::Signature(_)));
    let check = |signer: &Process| {
        assert_eq!(signer.head(name, one, 0, &[]), Answer::Moved { size: 2 });
        Process::refuses(&signer.head(name, one, 2, &[]), "larger");
        Process::refuses(&signer.head(name, forked, 2, &[]), "another root");
        let three = Head { size: 3, root: node_hash(&forked.root, &c) };
        Process::refuses(&signer.head(name, three, 2, &[c]), "");
        Process::refuses(&signer.head(name, three, 2, &[]), "");
        Process::refuses(&signer.head("example.com/other", two, 2, &[]), "key of the log");
    };
    check(&signer);
    for bytes in [b"".as_slice(), b"sign anything\n", &[0xff; 100], b"muster-signer/1 sign\n"] {
        Process::refuses(&signer.say(bytes), "no signed note");
    }
    // None but its own keys take the place of its keys.
    let mine = muster_ledger::note::Key::new(name, muster_ledger::note::KeyKind::Log, &[1; 32]).unwrap();
    let mine = muster_ledger::note::Signer::verifier(&mine).clone();
    let by = signer.key.id();
    Process::refuses(
        &signer.ask(&Request::Rotation { by, old: Box::new(signer.key.clone()), new: Box::new(mine) }),
        "only for",
    );
    // It remembers, however it ends; one at a time.
    let folder = signer.kill();
    let signer = Process::start(folder, &[]);
    check(&signer);
    let said = Process::does_not_start(signer.folder.path(), &[]);
    assert!(said.contains("another process signs with this key"), "{said}");
    // Without its memory it does not sign.
    let folder = signer.kill();
    let memory = folder.path().join("key.signed");
    let bytes = fs::read(&memory).unwrap();
    fs::write(&memory, &bytes[..20]).unwrap();
    let said = Process::does_not_start(folder.path(), &[]);
    assert!(said.contains("damaged"), "{said}");
    fs::remove_file(&memory).unwrap();
    let said = Process::does_not_start(folder.path(), &[]);
    assert!(said.contains("is gone"), "{said}");
}

#[test]
fn others_are_not_answered() {
    if !rustix::process::geteuid().is_root() || Command::new("perl").arg("-v").output().is_err() {
        eprintln!("skipped: to ask as another user needs root and perl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let signer = Process::start(folder, &["--mode", "666", "--allow-uid", "1"]);
    let ask = |uid: u32| {
        let script = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => shift) or die $!; \
                      print $s \"muster-signer/1 keys\\n\"; shutdown($s, 1); print <$s>;";
        let out = Command::new("perl").args(["-e", script]).arg(signer.socket()).uid(uid).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(ask(0).contains("keys 0"));
    assert!(ask(1).contains("keys 0"));
    assert_eq!(ask(2), "");
}

#[track_caller]
fn verify(data: &Path, key: &Verifier) -> i32 {
    let out =
        Command::new(MUSTER).arg("verify").arg(data).args(["--key", &key.to_string()]).output().unwrap();
    out.status.code().unwrap_or(-1)
}

/// What the daemon tells of itself, by its notice on the log.
fn notice(daemon: &Daemon) -> String {
    let answer = daemon.get("/api/v1/health");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let health: Value =
        serde_json::from_str(&body[body.find('{').unwrap()..=body.rfind('}').unwrap()]).unwrap();
    health["notices"].to_string()
}

#[test]
fn the_daemon_signs_by_another_process() {
    let signer = Process::start(tempfile::tempdir().unwrap(), &[]);
    let place = signer.place();
    let Some(daemon) = Daemon::start_in(tempfile::tempdir().unwrap(), &["--signer", &place]) else { return };
    let data = daemon.data.path().to_owned();
    assert!(!data.join("log.key").exists());
    assert_eq!(verify(&data, &signer.key), 0);
    let size = || Reader::open(&data.join("ledger")).unwrap().published().unwrap().unwrap().size;
    let before = size();
    daemon.wait("growth", || (size() > before).then_some(()));
    assert!(String::from_utf8(daemon.muster(&["key"]).stdout).unwrap().contains(&signer.key.to_string()));

    // Root may ask, and yet gets nothing that contradicts the log.
    let Answer::Keys { size: signed, .. } = signer.ask(&Request::Keys) else { panic!("no keys") };
    let name = signer.key.name().to_owned();
    let root = tree::root(&mut Reader::open(&data.join("ledger")).unwrap().tiles(before), before).unwrap();
    let rolled_back = signer.head(&name, Head { size: before, root }, before, &[]);
    assert!(matches!(rolled_back, Answer::Moved { size } if size >= signed), "{rolled_back:?}");
    let forged = Head { size: signed + 1000, root: [7; 32] };
    assert!(!matches!(signer.head(&name, forged, signed, &[[7; 32]]), Answer::Signature(_)));

    // Away, and back.
    let key = signer.key.clone();
    let folder = signer.kill();
    daemon.wait("notice", || notice(&daemon).contains("THE LOG IS NOT SIGNED").then_some(()));
    let while_away = size();
    let signer = Process::start(folder, &[]);
    assert_eq!(signer.key, key);
    daemon.wait("end of the notice", || (!notice(&daemon).contains("NOT SIGNED")).then_some(()));
    assert!(size() > while_away);
    assert_eq!(verify(&data, &key), 0);

    // Its rotation, cross-signed; both sign until the old one goes.
    let rotated = daemon.muster(&["key", "rotate"]);
    let new: Verifier = String::from_utf8(rotated.stdout).unwrap().trim_end().parse().unwrap();
    daemon.wait("rotation", || daemon.said().contains("signed by a new key").then_some(()));
    assert_eq!((verify(&data, &key), verify(&data, &new)), (0, 0));
    assert_eq!(daemon.muster(&["key", "rotate"]).status.code(), Some(2));
    assert!(daemon.muster(&["key", "retire"]).status.success());
    daemon.wait("end of the old key", || daemon.said().contains("signs no more").then_some(()));
    daemon.wait("signature by the new one alone", || (verify(&data, &key) == 3).then_some(()));
    assert_eq!(verify(&data, &new), 0);

    // Without it the daemon starts all the same, and says so.
    let folder = signer.kill();
    let kept = daemon.stop();
    let daemon = Daemon::start_in(kept, &["--signer", &place]).unwrap();
    daemon.wait("notice", || notice(&daemon).contains("THE LOG IS NOT SIGNED").then_some(()));
    let signer = Process::start(folder, &[]);
    assert_eq!(signer.key, new);
    daemon.wait("end of the notice", || (!notice(&daemon).contains("NOT SIGNED")).then_some(()));
    assert_eq!(verify(daemon.data.path(), &new), 0);

    // A log that was set back is not signed.
    let kept = daemon.stop();
    fs::remove_dir_all(kept.path().join("ledger")).unwrap();
    let daemon = Daemon::start_in(kept, &["--signer", &place]).unwrap();
    daemon.wait("notice", || notice(&daemon).contains("it was set back, or begun anew").then_some(()));
    assert!(!daemon.data.path().join("ledger/checkpoint").exists());
}

/// A signer that hangs costs the log its signature, and the daemon neither its record nor its answers.
#[test]
fn a_signer_that_hangs_holds_nothing_up() {
    let signer = Process::start(tempfile::tempdir().unwrap(), &[]);
    let Some(daemon) = Daemon::start_in(tempfile::tempdir().unwrap(), &["--signer", &signer.place()]) else {
        return;
    };
    let pid = rustix::process::Pid::from_raw(signer.child.id() as i32).unwrap();
    let signal = |signal| rustix::process::kill_process(pid, signal).unwrap();
    signal(rustix::process::Signal::STOP);
    daemon.wait("notice", || notice(&daemon).contains("NOT SIGNED").then_some(()));
    let label = format!("hung-{}", std::process::id());
    for _ in 0..3 {
        let mut run = Command::new(MUSTER);
        run.args(["run", "--label", &label, "--data"]).arg(daemon.data.path()).args(["--", "true"]);
        let run = run.output().unwrap();
        assert!(run.status.success(), "{run:?}");
    }
    daemon.wait("agents", || {
        let mine = daemon.roll().into_iter().filter(|agent| agent["label"] == label.as_str());
        (mine.filter(|agent| agent["state"] == "ended").count() == 3).then_some(())
    });
    signal(rustix::process::Signal::CONT);
    daemon.wait("end of the notice", || (!notice(&daemon).contains("NOT SIGNED")).then_some(()));
    assert_eq!(verify(daemon.data.path(), &signer.key), 0);
}

#[test]
fn a_log_goes_from_a_file_to_a_process() {
    let Some(daemon) = Daemon::start() else { return };
    let shown = String::from_utf8(daemon.muster(&["key"]).stdout).unwrap();
    let old: Verifier = shown.lines().next().unwrap().parse().unwrap();
    let data = daemon.stop();
    let stranger = Process::start(tempfile::tempdir().unwrap(), &[]);
    let out = Command::new(MUSTER)
        .args(["watch", "--listen", "127.0.0.1:0", "--signer", &stranger.place(), "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("is of the log"), "{said}");
    let signer = Process::start(tempfile::tempdir().unwrap(), &["--name", old.name()]);
    let daemon = Daemon::start_in(data, &["--signer", &signer.place()]).unwrap();
    let data = daemon.data.path().to_owned();
    assert!(daemon.said().contains("signed by a new key"), "{}", daemon.said());
    assert_eq!((verify(&data, &old), verify(&data, &signer.key)), (0, 0));
    assert!(daemon.muster(&["key", "retire"]).status.success());
    daemon.wait("end of the old key", || daemon.said().contains("signs no more").then_some(()));
    daemon.wait("signature by the new one alone", || (verify(&data, &old) == 3).then_some(()));
    assert_eq!(verify(&data, &signer.key), 0);
    // A rotation while no daemon runs is cross-signed all the same.
    let kept = daemon.stop();
    let rotated = Command::new(MUSTER).args(["key", "rotate", "--data"]).arg(kept.path()).output().unwrap();
    let new: Verifier = String::from_utf8(rotated.stdout).unwrap().trim_end().parse().unwrap();
    let daemon = Daemon::start_in(kept, &["--signer", &signer.place()]).unwrap();
    assert!(daemon.said().contains(&format!("signed by a new key: {new}")), "{}", daemon.said());
    let data = daemon.data.path();
    assert_eq!((verify(data, &signer.key), verify(data, &new)), (0, 0));
    // And back to a file, which nobody signs for: the log goes on, and says so.
    let kept = daemon.stop();
    drop(signer);
    let daemon = Daemon::start_in(kept, &[]).unwrap();
    assert!(daemon.said().contains("the old one did not sign for it"), "{}", daemon.said());
    assert_eq!(verify(daemon.data.path(), &new), 3);
}

/// A daemon, stopped with the value, started here because its token is named by the environment.
#[cfg(feature = "pkcs11")]
struct Watch(Child);

#[cfg(feature = "pkcs11")]
impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        drop(self.0.wait());
    }
}

#[cfg(feature = "pkcs11")]
#[test]
fn the_daemon_signs_by_a_token() {
    const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
    let has = |program: &str| Command::new(program).arg("--help").output().is_ok();
    if !Path::new(MODULE).exists() || !has("softhsm2-util") || !has("pkcs11-tool") {
        eprintln!("skipped: needs softhsm2 and opensc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("tokens")).unwrap();
    fs::write(at("conf"), format!("directories.tokendir = {}\n", at("tokens"))).unwrap();
    fs::write(at("pin"), "1234\n").unwrap();
    fs::set_permissions(at("pin"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let run = |command: &mut Command| {
        let out = command.env("SOFTHSM2_CONF", at("conf")).output().unwrap();
        assert!(out.status.success(), "{out:?}");
    };
    run(Command::new("softhsm2-util")
        .args("--init-token --free --label muster --pin 1234 --so-pin 5678".split(' ')));
    run(Command::new("pkcs11-tool").args(["--module", MODULE]).args(
        "--token-label muster --login --pin 1234 --keypairgen --key-type EC:edwards25519 --label log --id 01"
            .split(' '),
    ));
    let place =
        format!("pkcs11:module={MODULE};token=muster;object=log;pin-file={};name=example.com/log", at("pin"));
    let start = || {
        let mut child = Command::new(MUSTER)
            .args([
                "watch",
                "--no-kernel",
                "--listen",
                "127.0.0.1:0",
                "--signer",
                &place,
                "--data",
                &at("data"),
            ])
            .env("SOFTHSM2_CONF", at("conf"))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(at("said")).unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("ready "), "{ready}");
        Watch(child)
    };
    let data = PathBuf::from(at("data"));
    let watch = start();
    let shown = Command::new(MUSTER).arg("key").arg("--data").arg(&data).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let key: Verifier = shown.lines().next().unwrap().parse().unwrap();
    assert_eq!(key.name(), "example.com/log");
    assert_eq!(verify(&data, &key), 0);
    assert!(!data.join("log.key").exists());
    // Taken out, and put in again.
    let says = |what: &str| {
        let begun = std::time::Instant::now();
        while !fs::read_to_string(at("said")).unwrap().contains(what) {
            assert!(begun.elapsed().as_secs() < 60, "{}", fs::read_to_string(at("said")).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    fs::rename(at("tokens"), at("away")).unwrap();
    says("the log is not signed");
    fs::rename(at("away"), at("tokens")).unwrap();
    says("the log is signed again");
    drop(watch);
    let size = || Reader::open(&data.join("ledger")).unwrap().published().unwrap().unwrap().size;
    let before = size();
    drop(start());
    assert!(size() > before);
    assert_eq!(verify(&data, &key), 0);
}
