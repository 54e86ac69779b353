//! Real agents under a signed mandate: within it nothing is found, beyond it each kind once; what does not hold is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use muster_rehearsal::{Agent, Home, Model, Script, Step};
use serde_json::Value;
use tempfile::TempDir;

use crate::agents::{command, installed, project, show};
use crate::rig::{Daemon, MUSTER, text};

/// A folder with a key, and a daemon that allows it.
struct Signer {
    folder: TempDir,
}

impl Signer {
    fn new(daemon: &Daemon) -> Option<Signer> {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(folder.path().join("key"))
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no ssh-keygen");
            return None;
        }
        let public = fs::read_to_string(folder.path().join("key.pub")).unwrap();
        fs::write(daemon.data.path().join("allowed_signers"), format!("tester@x {public}")).unwrap();
        // The daemon looks each second.
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        Some(Signer { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A mandate to work in this folder, as changed, signed.
    fn mandate(&self, agent: &str, dir: &Path, change: impl Fn(String) -> String) -> PathBuf {
        let path = self.path("m.toml");
        drop(fs::remove_file(&path));
        let new =
            ["new", path.to_str().unwrap(), "--agent", agent, "--task", "a test", "--principal", "tester@x"];
        done(mandate(&new).args(["--for", "1h", "--folder"]).arg(dir).output().unwrap());
        let text = change(fs::read_to_string(&path).unwrap());
        fs::write(&path, text).unwrap();
        self.sign(&path);
        path
    }

    fn sign(&self, path: &Path) {
        done(mandate(&["sign"]).arg(path).arg("--key").arg(self.path("key")).output().unwrap());
    }
}

fn mandate(arguments: &[&str]) -> Command {
    let mut command = Command::new(MUSTER);
    command.arg("mandate").args(arguments);
    command
}

#[track_caller]
fn done(out: Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Runs the agent to its end under the mandate.
fn run(daemon: &Daemon, agent: Agent, dir: &Path, path: &Path, script: Script) -> Option<Home> {
    let installed = installed(agent)?;
    let home = Home::new().unwrap();
    let model = Model::start(script).unwrap();
    let plain = command(daemon, &installed, dir, &home, &model, false);
    let mut run = Command::new(MUSTER);
    run.args(["run", "--mandate"]).arg(path).arg("--data").arg(daemon.data.path()).arg("--");
    run.arg(plain.get_program()).args(plain.get_args()).current_dir(dir).env_clear();
    run.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = muster_rehearsal::run(run, Agent::PATIENCE).unwrap();
    assert!(ran.success(), "{}: {}\n{}\n{}", agent.name(), ran.status, ran.stdout, ran.stderr);
    Some(home)
}

fn above_info(daemon: &Daemon, agent: &Value) -> Vec<String> {
    let found = daemon.findings(&text(agent, "agent")).into_iter().filter(|f| f["severity"] != "info");
    found.map(|f| format!("{} {} {}", text(&f, "code"), text(&f, "severity"), text(&f, "summary"))).collect()
}

fn honest() -> Script {
    Script::new([
        Step::say("I write the program, then its test."),
        Step::write("greet.sh", "echo hello\n"),
        Step::shell("sh greet.sh | grep -qx hello && touch passed"),
        Step::shell("git add greet.sh && git commit -q -m 'add greet'"),
        Step::last("greet.sh says hello; its test passes; I committed it."),
    ])
}

/// Under the mandate of a person, and under the one that Muster suggests of that run.
#[track_caller]
fn within(agent: Agent) {
    let Some(daemon) = Daemon::start() else { return };
    let Some(signer) = Signer::new(&daemon) else { return };
    let dir = project();
    // The scripted model is on this machine.
    let local = |text: String| text.replace("[scope]\n", "[scope]\nconnect = [\"localhost:*\"]\n");
    let path = signer.mandate(agent.name(), dir.path(), local);
    let Some(_home) = run(&daemon, agent, dir.path(), &path, honest()) else { return };
    let first = daemon.finished(agent.name(), dir.path());
    assert_eq!(above_info(&daemon, &first), [""; 0], "{}", show(&daemon, &first));
    assert_eq!(text(&first, "principal"), "tester@x");
    assert_eq!(text(&first, "mandate").len(), 64, "{first}");
    assert!(!text(&first, "mandate_until").is_empty(), "{first}");
    let listed = daemon.get("/api/v1/mandates");
    assert!(listed.contains(&text(&first, "mandate")) && listed.contains("in force"), "{listed}");

    let suggested = signer.path("s.toml");
    let id = text(&first, "agent");
    let out = daemon.muster(&["mandate", "suggest", &id, "-o", suggested.to_str().unwrap()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines = fs::read_to_string(&suggested).unwrap();
    assert!(lines.lines().count() < 80, "{lines}");
    signer.sign(&suggested);
    // As it was before the first run: a second commit of the same would be none.
    let reset = ["-C", &dir.path().to_string_lossy(), "reset", "-q", "--hard", "HEAD~1"].map(str::to_owned);
    assert!(std::process::Command::new("git").args(reset).status().unwrap().success());
    let _ = fs::remove_file(dir.path().join("passed"));
    let Some(_home) = run(&daemon, agent, dir.path(), &suggested, honest()) else { return };
    let second = daemon.wait("second run", || {
        let ended = |row: &Value| text(row, "agent") != id && row["state"] == "ended";
        daemon.roll().into_iter().find(|row| ended(row) && text(row, "product") == agent.name())
    });
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(above_info(&daemon, &second), [""; 0], "{lines}\n{}", show(&daemon, &second));
}

#[test]
fn claude_code_within_its_mandate() {
    within(Agent::ClaudeCode);
}

#[test]
fn codex_within_its_mandate() {
    within(Agent::Codex);
}

#[test]
fn beyond_its_mandate_is_found_once_for_each_kind() {
    let Some(daemon) = Daemon::start() else { return };
    let Some(signer) = Signer::new(&daemon) else { return };
    let (dir, outside) = (project(), tempfile::Builder::new().tempdir_in("/var/tmp").unwrap());
    let path = signer.mandate("claude-code", dir.path(), |text| {
        text.replace("[scope]\n", "[scope]\nconnect = [\"localhost:*\"]\n")
            .replace("[scope.deny]\n", "[scope.deny]\nexecute = [\"git ** tag **\"]\n")
    });
    let out = outside.path().display();
    let script = Script::new([
        Step::shell(format!("for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo x > {out}/$n; done")),
        Step::shell(format!("cp /bin/true {out}/tool && {out}/tool")),
        Step::shell("git tag mine"),
        Step::last("All is done."),
    ]);
    let Some(_home) = run(&daemon, Agent::ClaudeCode, dir.path(), &path, script) else { return };
    let agent = daemon.finished("claude-code", dir.path());
    let found: Vec<Value> = daemon
        .findings(&text(&agent, "agent"))
        .into_iter()
        .filter(|f| text(f, "code") == "outside-mandate")
        .collect();
    let says =
        |words: &[&str]| found.iter().any(|f| words.iter().all(|word| text(f, "summary").contains(word)));
    assert!(says(&["to write", &format!("{out}/")]), "{found:#?}");
    assert!(says(&["to run programs"]), "{found:#?}");
    assert!(found.iter().any(|f| f["severity"] == "high"), "{found:#?}");
    assert!(found.len() <= 4, "one for a kind, and one more at ten: {found:#?}");
}

#[test]
fn what_does_not_hold_is_refused_and_found() {
    let Some(daemon) = Daemon::start() else { return };
    let Some(signer) = Signer::new(&daemon) else { return };
    let dir = project();
    let path = signer.mandate("claude-code", dir.path(), |text| text);
    let start = |path: &Path, label: &str| {
        Command::new(MUSTER)
            .args(["run", "--label", label, "--mandate"])
            .arg(path)
            .arg("--data")
            .arg(daemon.data.path())
            .args(["--", "sleep", "0"])
            .output()
            .unwrap()
    };
    assert!(start(&path, "good").status.success());
    let signed = fs::read_to_string(&path).unwrap();
    let copy = |name: &str, text: &str| {
        let to = signer.path(name);
        fs::write(&to, text).unwrap();
        fs::copy(path.with_extension("toml.sig"), signer.path(&format!("{name}.sig"))).unwrap();
        to
    };
    let weakened = copy("weakened.toml", &signed.replace("\"/tmp/**\"", "\"/**\""));
    let open = copy("open.toml", &signed);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
    let link = signer.path("link.toml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let unsigned = signer.path("unsigned.toml");
    fs::write(&unsigned, &signed).unwrap();
    let elsewhere = signer.path("elsewhere.toml");
    fs::write(&elsewhere, signed.replace("host = \"", "host = \"not-")).unwrap();
    signer.sign(&elsewhere);
    for (path, label, reason) in [
        (&weakened, "weakened", "changed after it was signed"),
        (&open, "open", "others may write"),
        (&link, "link", "symbolic link"),
        (&unsigned, "unsigned", "not signed"),
        (&elsewhere, "elsewhere", "another machine"),
    ] {
        let out = start(path, label);
        assert_eq!(out.status.code(), Some(2), "{label}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(reason), "{label}: {out:?}");
        let row = daemon.wait(label, || daemon.roll().into_iter().find(|row| text(row, "label") == label));
        assert!(row["mandate"].is_null(), "{row}");
        let found = daemon.findings(&text(&row, "agent"));
        assert!(
            found.iter().any(|f| text(f, "code") == "mandate-refused" && text(f, "summary").contains(reason)),
            "{label}: {found:#?}"
        );
    }

    // Taken back: the same file starts nothing more.
    let id = text(&serde_json::from_str(&done(check(&daemon, &path))).unwrap(), "id");
    assert!(daemon.muster(&["mandate", "revoke", &id, "--why", "enough"]).status.success());
    daemon.wait("revocation", || {
        daemon.list(&["mandate", "list"]).into_iter().find(|it| text(it, "state") == "revoked")
    });
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let out = start(&path, "revoked");
    assert!(String::from_utf8_lossy(&out.stderr).contains("it was revoked"), "{out:?}");
}

fn check(daemon: &Daemon, path: &Path) -> Output {
    daemon.muster(&["mandate", "check", path.to_str().unwrap(), "--json"])
}
